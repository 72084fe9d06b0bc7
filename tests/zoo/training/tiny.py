"""Tiny data sets that tiny networks learn in a second, for tests of the training path."""

from __future__ import annotations

import numpy as np
import torch

from zoo.data.dataset import USAGES, FaceDataset, Split
from zoo.networks import ParametricConfig
from zoo.training.recipe import Recipe

__all__ = ["CONFIG", "CPU", "RECIPE", "tiny_dataset", "tiny_split"]

CLASSES = ("rows", "plain", "columns")
CONFIG = ParametricConfig(classes=3, widths=(4, 8), repeats=(1, 1), head_dropout=0.1)
RECIPE = Recipe(epochs=4, batch_size=32, learning_rate=0.05, average=0.9, warmup_epochs=1.0)
CPU = torch.device("cpu")


def tiny_dataset(training: int = 96, public: int = 48, private: int = 30, *, seed: int = 0) -> FaceDataset:
    """Dark rows, plain gray or bright columns in noise, also when mirrored; plain ones are rare."""
    random = np.random.default_rng(seed)
    counts = (training, public, private)
    labels = np.concatenate([random.choice(3, count, p=(0.45, 0.1, 0.45)) for count in counts])
    faces = random.integers(0, 61, (sum(counts), 48, 48), dtype=np.uint8)
    faces += (20 + 50 * labels[:, None, None]).astype(np.uint8)
    stripes = np.where(np.arange(48) // 3 % 2, 60, 0).astype(np.uint8)
    faces[labels == 0] += stripes[:, None]
    faces[labels == 2] += stripes
    usage = np.repeat(np.arange(3, dtype=np.int8), counts)
    return FaceDataset("tiny stripes", CLASSES, faces, labels.astype(np.int64), usage)


def tiny_split(dataset: FaceDataset) -> Split:
    """The official split."""
    return Split("official", 0, *(dataset.rows(usage) for usage in USAGES))
