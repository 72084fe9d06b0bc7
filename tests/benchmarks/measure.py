"""What the measurements share: one figure with its target, and the data that they run on."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from zoo.data import FaceDataset, Split, load_dataset, make_split

__all__ = ["Figure", "data_and_split", "interleaved_ratio"]


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        measure: what was measured, in words.
        value: in `unit`.
        target: what it should be, such as `≥ 0.95`, or empty.
        reached: whether it is; None without a target.
        detail: what a reader needs to judge it.
    """

    measure: str
    value: float
    unit: str
    target: str = ""
    reached: bool | None = None
    detail: str = ""

    @classmethod
    def at_least(cls, measure: str, value: float, unit: str, target: float, detail: str = "") -> Figure:
        """A figure that should be large."""
        return cls(measure, value, unit, f"≥ {target:g}", value >= target, detail)

    @classmethod
    def at_most(cls, measure: str, value: float, unit: str, target: float, detail: str = "") -> Figure:
        """A figure that should be small."""
        return cls(measure, value, unit, f"≤ {target:g}", value <= target, detail)


def data_and_split(path: Path | None, rows: int | None = None) -> tuple[FaceDataset, Split]:
    """FER2013 where it is given, else drawn faces.

    Args:
        rows: keep so many training rows, and 128 validation rows, so that an epoch is nearly all training.
    """
    dataset = load_dataset(path)
    split = make_split(dataset)
    if rows is not None:
        kept = np.sort(np.random.default_rng(0).permutation(split.train)[:rows])
        split = replace(split, train=kept, validation=split.validation[:128])
    return dataset, split


def interleaved_ratio(
    first: Callable[[], float], second: Callable[[], float], *, rounds: int = 5
) -> tuple[float, float, float]:
    """Run two measurements in turn, after one warm-up each, so that a drifting machine meets both alike.

    Args:
        first, second: each runs once and returns how much it did (images, rows).

    Returns:
        The median of the ratios first/second of their speeds, and both median speeds a second.
    """
    first(), second()
    speeds = []
    for _ in range(rounds):
        pair = []
        for function in (first, second):
            started = time.perf_counter()
            done = function()
            pair.append(done / (time.perf_counter() - started))
        speeds.append(pair)
    ratio = statistics.median(a / b for a, b in speeds)
    return ratio, statistics.median(a for a, _ in speeds), statistics.median(b for _, b in speeds)
