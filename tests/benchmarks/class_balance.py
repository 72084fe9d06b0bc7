"""What each class balance does to one network, by the same seed and as many faces; 40 minutes of a core."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from tests.benchmarks.measure import Figure, data_and_split
from zoo.console import stderr
from zoo.data.balance import epoch_size
from zoo.networks import named
from zoo.training.evaluate import measure as measure_answers
from zoo.training.loop import Trainer
from zoo.training.recipes import recipe_for

__all__ = ["measure"]

_NETWORK, _EPOCHS = "simple_conv", 12
_OPTIONS = (
    ("none", 0.0),
    ("weighted", 0.5),
    ("weighted", 1.0),
    ("oversample", 0.3),
    ("oversample", 1.0),
    ("undersample", 0.3),
    ("undersample", 0.6),
)


def measure(data: Path | None) -> list[Figure]:
    """Validation accuracy of each option, and in its detail what the rare classes gain.

    An oversampled epoch has more faces than the data: each option gets the epochs in which it sees as many
    faces as 12 epochs have without a balance.
    """
    torch.set_num_threads(1)
    dataset, split = data_and_split(data)
    labels, own = dataset.labels[split.train], dataset.labels[split.validation]
    figures = []
    for balance, strength in _OPTIONS:
        epochs = max(1, round(_EPOCHS * len(labels) / epoch_size(labels, balance, strength)))
        recipe = replace(recipe_for(_NETWORK), epochs=epochs, balance=balance, balance_strength=strength)
        trainer = Trainer(named(_NETWORK), recipe, dataset, split, device=torch.device("cpu"))
        for result in trainer.epochs():
            stderr().print(f"{balance} {strength}: epoch {result.epoch}/{epochs}, {result.accuracy:.4f}")
        metrics = measure_answers(trainer.validation_logits(), own, dataset.classes)
        low, high = metrics["accuracy_interval"]
        recalls = ", ".join(f"{name} {entry['recall']:.2f}" for name, entry in metrics["per_class"].items())
        detail = (
            f"95% interval {low:.4f}–{high:.4f}, balanced {metrics['balanced_accuracy']:.4f}, "
            f"macro F1 {metrics['macro_f1']:.4f}; recall: {recalls}; {epochs} epochs"
        )
        words = "no balance" if balance == "none" else f"{balance} {strength:g}"
        figures.append(Figure(f"{_NETWORK}, {words}: accuracy", metrics["accuracy"], "", detail=detail))
    return figures
