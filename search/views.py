"""What a study's pictures show, thinned to what a picture can carry; knows no drawing library."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
import pandas as pd
from optuna.distributions import CategoricalDistribution

from search.analysis import Basis, importances
from search.table import StudyTable, words_of
from zoo.training.pictures import BLUE, GREEN, ORANGE

__all__ = [
    "COLOURS",
    "WITHOUT_PAUSES",
    "ParameterAxis",
    "axis_of",
    "best_so_far",
    "hours_worked",
    "lanes",
    "shown_parameters",
    "survivors",
    "thin",
]


COLOURS = {
    "complete": BLUE,
    "pruned": ORANGE,
    "over a limit": "#b9a3cf",
    "duplicate": "#c9ced4",
    "failed": "#c43d3d",
    "running": GREEN,
}
"""Of each outcome, in every picture."""

WITHOUT_PAUSES = "without the pauses at the dashed lines"
"""What an axis of `hours_worked` is called where it leaves some out."""

_PAUSE_SECONDS = 600


@dataclass(frozen=True)
class ParameterAxis:
    """A parameter laid along an axis from 0 to 1.

    Attributes:
        places: by trial number, 0–1; missing where the trial doesn't have the parameter.
        ticks, labels: a few places and what they stand for.
        choices: whether the places are choices without order.
    """

    name: str
    places: pd.Series
    ticks: tuple[float, ...]
    labels: tuple[str, ...]
    choices: bool


def thin(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most so many rows, in order: half of them the most accurate, the rest spread evenly."""
    if len(rows) <= most:
        return rows
    best = rows.accuracy.nlargest(most // 2).index
    others = rows.index.difference(best)
    spread = others[np.linspace(0, len(others) - 1, most - len(best)).round().astype(int)]
    return rows.loc[best.union(spread)]


def best_so_far(table: StudyTable) -> pd.Series:
    """The highest accuracy of a complete trial up to each number at which it rose, and at the last trial."""
    reached = table.complete.accuracy.cummax()
    if not len(reached):
        return reached
    rises = reached[reached.diff().fillna(1.0) > 0]
    rises.loc[int(table.rows.index[-1])] = reached.iloc[-1]
    return rises


def survivors(table: StudyTable) -> pd.DataFrame:
    """How many trials were trained in each epoch, from 1; one column each for those complete and pruned."""
    epochs = range(1, table.settings.epochs + 1)
    rows = table.learned
    return pd.DataFrame(
        {
            outcome: [int((rows.epochs[rows.outcome == outcome] >= epoch).sum()) for epoch in epochs]
            for outcome in ("complete", "pruned")
        },
        index=list(epochs),
    )


def lanes(rows: pd.DataFrame) -> pd.Series:
    """The lowest lane, from 0, that no earlier trial occupies; the rows have `started` and `ended`."""
    lane: dict[int, int] = {}
    busy: list[tuple[pd.Timestamp, int]] = []
    free: list[int] = []
    for number, row in rows.sort_values("started").iterrows():
        while busy and busy[0][0] <= row.started:
            heapq.heappush(free, heapq.heappop(busy)[1])
        place = heapq.heappop(free) if free else len(busy)
        lane[int(str(number))] = place
        heapq.heappush(busy, (row.ended, place))
    return pd.Series(lane, dtype=int)


def hours_worked(rows: pd.DataFrame) -> tuple[pd.Series, list[float]]:
    """When each trial began, in hours without the pauses of ten minutes or more in which none ran.

    Args:
        rows: at least one; they have `started` and `ended`.

    Returns:
        The hours by trial, from 0; and those at which pauses are left out.
    """
    ordered = rows.sort_values("started")
    pauses = (ordered.started - ordered.ended.cummax().shift()).dt.total_seconds()
    left_out = pauses.where(pauses >= _PAUSE_SECONDS, 0.0)
    passed = (ordered.started - ordered.started.iloc[0]).dt.total_seconds()
    hours = (passed - left_out.cumsum()) / 3600
    return hours.reindex(rows.index), hours[left_out > 0].tolist()


def shown_parameters(table: StudyTable, basis: Basis, most: int, *, common: bool = False) -> list[str]:
    """The most important parameters, or with too few trials to say the first ones.

    Args:
        common: only those that at least three quarters of the compared trials have.
    """
    names = list(importances(table, basis)) or list(table.distributions)
    had = table.params.reindex(basis.accuracy.index).notna().mean()
    sampled = max(1e-9, float(had.max())) if len(had) else 1.0
    return [name for name in names if had[name] >= (0.75 * sampled if common else 1e-9)][:most]


def axis_of(table: StudyTable, name: str) -> ParameterAxis:
    """Lay a parameter along an axis: choices evenly, numbers to scale, logarithmic if sampled so."""
    values = table.params[name].dropna()
    distribution = table.distributions[name]
    if isinstance(distribution, CategoricalDistribution):
        choices = list(distribution.choices)
        ticks = tuple(float(tick) for tick in np.linspace(0, 1, len(choices))) if len(choices) > 1 else (0.5,)
        places = values.map(lambda value: ticks[choices.index(value)]).astype(float)
        labels = tuple(str(choice) for choice in choices)
        return ParameterAxis(words_of(name), places, ticks, labels, not table.is_number(name))
    numbers = values.astype(float)
    low, high = float(getattr(distribution, "low", 0)), float(getattr(distribution, "high", 1))
    shown = np.linspace(low, high, 3)
    if table.is_logarithmic(name):
        numbers, shown = np.log10(numbers), np.geomspace(low, high, 3)
        low, high = np.log10(low), np.log10(high)
    elif high - low == int(high - low) and high - low <= 5:
        shown = np.arange(low, high + 1)
    span = (high - low) or 1.0
    scaled = np.log10(shown) if table.is_logarithmic(name) else shown
    ticks = tuple(float((tick - low) / span) for tick in scaled)
    return ParameterAxis(
        words_of(name), (numbers - low) / span, ticks, tuple(f"{v:.3g}" for v in shown), False
    )
