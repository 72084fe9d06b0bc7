"""A small network trained on drawn faces in seconds, saved as any other; for tests that need a real model."""

from pathlib import Path

import torch

from zoo.card import Card
from zoo.data.dataset import Split
from zoo.data.drawn import drawn_dataset
from zoo.networks import ParametricConfig
from zoo.training.fit import save_trained
from zoo.training.loop import Trainer
from zoo.training.recipe import Recipe

__all__ = ["train_small"]


def train_small(
    folder: Path, *, widths: tuple[int, ...] = (8, 16, 32), seed: int = 0, epochs: int = 3
) -> Card:
    """Train on 700 drawn faces and save as `folder`; takes about three seconds on one core."""
    dataset = drawn_dataset(training=700, public=140, private=140, seed=seed)
    split = Split(
        "official", 0, *(dataset.rows(usage) for usage in ("Training", "PublicTest", "PrivateTest"))
    )
    config = ParametricConfig(widths=widths, repeats=(1,) * len(widths))
    recipe = Recipe(epochs=epochs, batch_size=64, average=0.0, seed=seed)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        trainer = Trainer(config, recipe, dataset, split, device=torch.device("cpu"))
        list(trainer.epochs())
        return save_trained(folder, trainer, dataset, split, note="A small network for tests.")
    finally:
        torch.set_num_threads(threads)
