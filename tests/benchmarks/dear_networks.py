"""Do networks too dear to be trained in full train at all? 50 optimiser steps each; ten minutes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from tests.benchmarks.measure import Figure, data_and_split
from zoo.console import stderr
from zoo.networks import named
from zoo.training.device import pick_device
from zoo.training.loop import Trainer
from zoo.training.recipes import recipe_for

__all__ = ["measure"]

_NETWORKS = ("r1", "r2", "vit")
_STEPS, _ROUNDS, _BATCH = 10, 5, 8


def measure(data: Path | None) -> list[Figure]:
    """Training loss of the last ten of 50 steps, over that of the first ten.

    The recipe is the tuned one on 80 faces, in batches of 8 with the learning rate that goes with them.
    """
    figures = []
    for name in _NETWORKS:
        dataset, split = data_and_split(data, _STEPS * _BATCH)
        split = replace(split, validation=split.validation[:_BATCH])
        tuned = recipe_for(name)
        recipe = replace(
            tuned,
            epochs=_ROUNDS,
            batch_size=_BATCH,
            learning_rate=tuned.learning_rate * _BATCH / tuned.batch_size,
            warmup_epochs=1.0,
            balance="none",
            average=0.0,
        )
        trainer = Trainer(named(name), recipe, dataset, split, device=pick_device("auto"))
        for result in trainer.epochs():
            stderr().print(f"{name}: step {_STEPS * result.epoch}, loss {result.train_loss:.3f}")
        losses = [result.train_loss for result in trainer.history]
        steps = _STEPS * len(losses)
        detail = (
            f"loss {' '.join(f'{loss:.2f}' for loss in losses)} over {steps} steps of {_BATCH} faces, "
            f"{trainer.seconds / steps:.1f} s a step on {torch.get_num_threads()} thread(s)"
        )
        ratio = losses[-1] / losses[0]
        figures.append(Figure(f"{name}: loss at the end over the start", ratio, "", "< 1", ratio < 1, detail))
    return figures
