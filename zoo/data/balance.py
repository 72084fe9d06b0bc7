"""Class balance: how often each row comes in an epoch, and how much it weighs; pure functions of labels."""

import numpy as np
import torch
from torch import Tensor

__all__ = ["BALANCES", "class_weights", "epoch_rows", "epoch_size"]

BALANCES = ("none", "weighted", "oversample", "undersample")


def class_weights(labels: np.ndarray, classes: int, strength: float) -> Tensor:
    """Loss weights proportional to frequency ** -strength, with mean 1 over the rows: float32 (classes,).

    A class without rows weighs 0.

    Args:
        labels: int64 (N,).
        strength: 0 weighs all rows alike, 1 all classes.
    """
    frequency = np.bincount(labels, minlength=classes) / len(labels)
    weights = np.where(frequency > 0, np.maximum(frequency, 1 / len(labels)) ** -strength, 0)
    return torch.tensor(weights / (weights * frequency).sum(), dtype=torch.float32)


def _targets(labels: np.ndarray, balance: str, strength: float) -> np.ndarray:
    """Rows that each class contributes to an epoch, float (classes,)."""
    counts = np.bincount(labels).astype(float)
    present = counts[counts > 0]
    if balance == "oversample":
        return np.where(counts > 0, counts * (present.max() / np.maximum(counts, 1)) ** strength, 0)
    if balance == "undersample":
        return np.where(counts > 0, counts * (present.min() / np.maximum(counts, 1)) ** strength, 0)
    return counts


def epoch_size(labels: np.ndarray, balance: str, strength: float) -> int:
    """How many rows one epoch has, the same for every epoch."""
    return int(np.round(_targets(labels, balance, strength)).sum())


def epoch_rows(labels: np.ndarray, balance: str, strength: float, generator: torch.Generator) -> Tensor:
    """The positions in `labels` that one epoch visits, int64, in random order.

    Every row comes equally often within its class, give or take one visit.

    Args:
        labels: int64 (N,).
        balance: `oversample` raises every class towards the largest, `undersample` lowers it towards the
            smallest; the others visit each row once.
        strength: 0 changes nothing, 1 makes the classes equal.
        generator: on the CPU.
    """
    if balance not in ("oversample", "undersample"):
        return torch.randperm(len(labels), generator=generator)
    parts = []
    for label, target in enumerate(np.round(_targets(labels, balance, strength)).astype(int)):
        rows = torch.from_numpy(np.flatnonzero(labels == label))
        if not len(rows):
            continue
        whole, rest = divmod(int(target), len(rows))
        parts += [rows] * whole + [rows[torch.randperm(len(rows), generator=generator)[:rest]]]
    joined = torch.cat(parts)
    return joined[torch.randperm(len(joined), generator=generator)]
