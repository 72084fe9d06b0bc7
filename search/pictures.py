"""A study's pictures as PNG files; knows nothing of the study beyond its table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from search.analysis import basis_of, importances, pareto_front, rank_correlations, sampled, savings
from search.findings import duration, said_basis
from search.table import StudyTable, words_of
from search.views import (
    COLOURS,
    WITHOUT_PAUSES,
    axis_of,
    best_so_far,
    hours_worked,
    lanes,
    shown_parameters,
    survivors,
    thin,
)
from zoo.training.pictures import BLUE, GRAY, GRID, INK, ORANGE, new_figure, save_figure

__all__ = ["PICTURES", "draw"]

_SHADES = LinearSegmentedColormap.from_list("shades", ["#f3d9bf", "#6aa6d6", "#0d3d6b"])
_MOST_POINTS, _MOST_LINES, _MOST_BARS = 3000, 300, 13
_PERCENT = PercentFormatter(1, decimals=0)


def draw(table: StudyTable, folder: Path, names: Sequence[str]) -> list[Path]:
    """Draw pictures as `NAME.png` into a folder, which is made if need be.

    A picture that the study has no trials for isn't drawn, and removed if an earlier sitting left one.

    Args:
        names: of `PICTURES`.

    Returns:
        The paths of those drawn.
    """
    paths = []
    for name in names:
        path = folder / f"{name}.png"
        if PICTURES[name](table, path):
            paths.append(path)
        else:
            path.unlink(missing_ok=True)
    return paths


def _history(table: StudyTable, path: Path) -> bool:
    rows = thin(table.learned, _MOST_POINTS)
    if not len(rows):
        return False
    figure = new_figure(10, 4.2)
    axes = figure.subplots()
    for outcome, size, name in (("pruned", 14, "pruned, last accuracy"), ("complete", 26, "complete")):
        part = rows[rows.outcome == outcome]
        axes.scatter(part.index, part.accuracy, s=size, color=COLOURS[outcome], alpha=0.75, lw=0, label=name)
    known = table.learned[table.learned.network.notna()]
    if len(known):
        axes.scatter(
            known.index,
            known.accuracy,
            s=60,
            facecolor="none",
            edgecolor=INK,
            lw=1,
            label="starting point",
        )
    best = best_so_far(table)
    if len(best):
        axes.step(best.index, best, where="post", color=INK, lw=1.3, label="best so far")
        axes.set_title(f"Best so far {best.iloc[-1]:.1%}, after {len(table.rows):,} trials")
    axes.set(xlabel="trial", ylabel="validation accuracy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _finish(axes, percent=True)
    axes.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.13))
    save_figure(figure, path)
    return True


def _importance(table: StudyTable, path: Path) -> bool:
    basis = basis_of(table) if len(table.learned) else None
    shares = importances(table, basis) if basis is not None else {}
    if basis is None or not shares:
        return False
    shown = list(shares.items())[:12][::-1]
    figure = new_figure(8, 1.2 + 0.32 * len(shown))
    axes = figure.subplots()
    bars = axes.barh([words_of(name) for name, _ in shown], [share for _, share in shown], color=BLUE)
    axes.bar_label(bars, [f"{share:.0%}" for _, share in shown], padding=3, fontsize=9, color=INK)
    said = said_basis(sampled(table, basis), "sampled trial")
    axes.set_title(f"Importance (PED-ANOVA) for accuracy {said}", loc="left")
    axes.set_xlim(0, 1.1 * shown[-1][1])
    axes.xaxis.set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.spines["bottom"].set_visible(False)
    save_figure(figure, path)
    return True


def _pareto(table: StudyTable, path: Path) -> bool:
    rows = table.complete.dropna(subset=["macs"])
    if not len(rows):
        return False
    front = rows.loc[pareto_front(table)]
    figure = new_figure(10, 4.8)
    axes = figure.subplots()
    some = thin(rows, _MOST_POINTS)
    axes.scatter(some.macs, some.accuracy, s=26, color=BLUE, alpha=0.55, lw=0, label="complete trial")
    axes.step(front.macs, front.accuracy, where="post", color=ORANGE, lw=1.3, zorder=1)
    axes.scatter(front.macs, front.accuracy, s=44, color=ORANGE, lw=0, label="Pareto front")
    known = rows[rows.network.notna()]
    if len(known):
        axes.scatter(
            known.macs, known.accuracy, s=80, facecolor="none", edgecolor=INK, lw=1, label="starting point"
        )

    def label(text: str, row: pd.Series, points: float) -> None:
        place = (row.macs, row.accuracy)
        axes.annotate(text, place, (0, points), textcoords="offset points", ha="center", fontsize=8)

    width = max(rows.macs.max() / rows.macs.min(), 1.1)
    labelled: list[float] = []
    for number, row in front.sort_values("accuracy", ascending=False).head(12).iterrows():
        place = math.log(row.macs, width)
        if number not in known.index and all(abs(place - other) >= 0.04 for other in labelled):
            labelled.append(place)
            label(str(number), row, 7)
    for _, row in known.iterrows():
        label(row.network, row, -14)
    amounts = EngFormatter(sep=" ")
    limit = table.settings.max_macs
    if limit:
        axes.axvline(limit, color=GRAY, ls="--", lw=1, label=f"limit, {amounts(limit)}")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if width > 12 else (1, 1.5, 2, 3, 4, 6)))
    axes.xaxis.set_major_formatter(amounts)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="multiply–accumulates", ylabel="validation accuracy")
    axes.set_title(
        f"Accuracy against cost: {len(front)} of {len(rows)} complete trials are on the Pareto front"
    )
    axes.margins(y=0.12)
    _finish(axes, percent=True)
    axes.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    save_figure(figure, path)
    return True


def _savings(table: StudyTable, path: Path) -> bool:
    saved = savings(table)
    if not saved.started:
        return False
    counts = survivors(table)
    edges = np.arange(0.5, len(counts) + 1)
    figure = new_figure(8, 4.2)
    axes = figure.subplots()
    low = np.zeros(len(counts))
    for outcome, name in (("complete", "trained, trial complete"), ("pruned", "trained, pruned later")):
        axes.stairs(low + counts[outcome], edges, baseline=low, fill=True, color=COLOURS[outcome], label=name)
        low = low + counts[outcome].to_numpy()
    axes.stairs(
        np.full(len(counts), saved.started), edges, baseline=low, fill=True, color=GRID, label="saved"
    )
    axes.set(xlabel="epoch", ylabel="trials", xlim=(0.5, len(counts) + 0.5), ylim=(0, saved.started * 1.02))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(
        f"Stopping early saved {saved.share:.0%} of {saved.possible:,} epochs, about "
        f"{duration(saved.seconds)} of work"
    )
    axes.legend(frameon=True, facecolor="white", edgecolor="none", loc="upper right")
    save_figure(figure, path)
    return True


def _curves(table: StudyTable, path: Path) -> bool:
    rows = thin(table.learned, _MOST_LINES)
    if not len(rows) or table.best is None:
        return False
    figure = new_figure(10, 4.2)
    axes = figure.subplots()
    for outcome, width in (("pruned", 0.8), ("complete", 1.0)):
        numbers = rows.index[rows.outcome == outcome]
        _lines(axes, table.curves.loc[numbers], COLOURS[outcome], width, outcome)
    _lines(axes, table.curves.loc[[table.best.number]], INK, 2.2, f"best, trial {table.best.number}")
    axes.set(xlabel="epoch", ylabel="validation accuracy", xlim=(0.8, table.settings.epochs + 0.2))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    some = f"{len(rows)} of {len(table.learned):,}" if len(rows) < len(table.learned) else f"{len(rows)}"
    axes.set_title(f"Learning curves of {some} trained trials")
    _finish(axes, percent=True)
    axes.legend(frameon=False, loc="lower right")
    save_figure(figure, path)
    return True


def _lines(axes: Axes, curves: pd.DataFrame, colour: str, width: float, label: str) -> None:
    lines = [
        np.column_stack((curves.columns[known], values[known]))
        for values in curves.to_numpy()
        for known in [~np.isnan(values)]
    ]
    alpha = 0.5 if len(lines) > 1 else 1.0
    axes.add_collection(LineCollection(lines, colors=colour, linewidths=width, alpha=alpha, label=label))
    # A curve of one epoch has no line.
    dots = np.array([line[0] for line in lines if len(line) == 1]).reshape(-1, 2)
    axes.scatter(dots[:, 0], dots[:, 1], s=9, color=colour, alpha=alpha, lw=0)
    axes.autoscale_view()


def _parallel(table: StudyTable, path: Path) -> bool:
    basis = basis_of(table) if len(table.learned) else None
    names = shown_parameters(table, basis, 7, common=True) if basis is not None else []
    if basis is None or len(names) < 2:
        return False
    axis = [axis_of(table, name) for name in names]
    frame = pd.DataFrame({a.name: a.places for a in axis}).dropna()
    frame = thin(frame.join(basis.accuracy.rename("accuracy"), how="inner"), _MOST_LINES).sort_values(
        "accuracy"
    )
    if not len(frame):
        return False
    low, high = frame.accuracy.min(), frame.accuracy.max()
    norm = Normalize(low, high if high > low else low + 0.01)
    figure = new_figure(11, 4.6)
    axes = figure.subplots()
    lines = frame[[a.name for a in axis]].assign(accuracy=norm(frame.accuracy.to_numpy()))
    # A little aside, so that lines through the same choice can be told apart.
    aside = np.random.default_rng(0).uniform(-0.012, 0.012, (len(lines), len(axis)))
    lines.iloc[:, :-1] += aside
    places = np.arange(lines.shape[1])
    axes.add_collection(
        LineCollection(
            [np.column_stack((places, row)) for row in lines.to_numpy()],
            array=frame.accuracy.to_numpy(),
            cmap=_SHADES,
            norm=norm,
            linewidths=1,
            alpha=0.8,
        )
    )
    labels = [*axis]
    for place, a in enumerate(labels):
        axes.axvline(place, color=GRAY, lw=1)
        for tick, label in zip(a.ticks, a.labels, strict=True):
            axes.text(place + 0.03, tick, label, fontsize=7.5, va="center", color=INK, bbox=_BEHIND)
    axes.axvline(len(axis), color=GRAY, lw=1)
    for tick in (0.0, 0.5, 1.0):
        axes.text(len(axis) + 0.03, tick, f"{norm.inverse(tick):.1%}", fontsize=8, va="center", color=INK)
    axes.set(xlim=(-0.1, len(axis) + 0.45), ylim=(-0.05, 1.05), yticks=[])
    axes.set_xticks(places, [a.name.replace(" ", "\n", 1) for a in axis] + ["accuracy"])
    axes.set_title(f"Parallel coordinates: accuracy {said_basis(basis)}, {len(frame):,} shown")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    save_figure(figure, path)
    return True


_BEHIND = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8}


def _slices(table: StudyTable, path: Path) -> bool:
    basis = basis_of(table) if len(table.learned) else None
    names = shown_parameters(table, basis, 8) if basis is not None else []
    if basis is None or not names:
        return False
    rows = max(1, -(-len(names) // 4))
    figure = new_figure(11, 0.6 + 2.5 * rows)
    grid = figure.subplots(rows, min(4, len(names)), sharey=True, squeeze=False)
    random = np.random.default_rng(0)
    for axes, name in zip(grid.flat, names, strict=False):
        a = axis_of(table, name)
        frame = pd.DataFrame({"place": a.places}).join(basis.accuracy.rename("accuracy"), how="inner")
        frame = thin(frame, _MOST_POINTS)
        levels = frame.place.nunique()
        discrete = a.choices or levels <= _MOST_BARS
        wide = 0.3 / max(1, len(a.ticks) - 1, levels - 1) if discrete else 0.0
        aside = random.uniform(-wide, wide, len(frame))
        axes.scatter(frame.place + aside, frame.accuracy, s=10, color=BLUE, alpha=0.45, lw=0)
        if discrete:
            medians = frame.groupby("place").accuracy.median()
            axes.scatter(medians.index, medians, marker="_", s=260, color=INK, lw=1.6)
        axes.set_xticks(a.ticks, a.labels, rotation=30 if sum(map(len, a.labels)) > 22 else 0)
        axes.set_title(a.name)
        axes.margins(x=0.08)
        _finish(axes, percent=True)
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    for line in grid:
        line[0].set_ylabel("accuracy")
    figure.suptitle(f"Accuracy {said_basis(basis)} by parameter; bars are medians", fontsize=11, color=INK)
    save_figure(figure, path)
    return True


def _timeline(table: StudyTable, path: Path) -> bool:
    rows = table.rows.dropna(subset=["started", "ended"])
    if not len(rows):
        return False
    lane = lanes(rows)
    figure = new_figure(10, min(8.0, 1.6 + 0.28 * (lane.max() + 1)))
    axes = figure.subplots()
    start, pauses = hours_worked(rows)
    length = (rows.ended - rows.started).dt.total_seconds() / 3600
    # At least a pixel, else most of thousands of bars vanish.
    length = length.clip(lower=start.max() / 1000)
    for place, (outcome, colour) in enumerate(COLOURS.items()):
        chosen = (rows.outcome == outcome).to_numpy()
        if chosen.any():
            axes.barh(
                lane[rows.index[chosen]],
                length[chosen],
                left=start[chosen],
                height=0.8,
                color=colour,
                edgecolor="white",
                lw=0.25 if len(rows) < 500 else 0.0,
                label=outcome,
                zorder=len(COLOURS) - place,
            )
    for hour in pauses:
        axes.axvline(hour, color=GRAY, lw=1.0, ls=(0, (2, 2)), zorder=len(COLOURS) + 1)
    axes.set_xlabel(f"hours, {WITHOUT_PAUSES}" if pauses else "hours")
    axes.set_yticks([])
    axes.set_ylabel("trials at once")
    axes.set_title(f"Timeline: {len(rows):,} trials, at most {lane.max() + 1} at once")
    axes.legend(frameon=False, ncols=6, loc="upper center", bbox_to_anchor=(0.5, -0.3))
    save_figure(figure, path)
    return True


def _ranks(table: StudyTable, path: Path) -> bool:
    ranks = rank_correlations(table)
    if len(ranks) < 2:
        return False
    figure = new_figure(8, 3.6)
    axes = figure.subplots()
    axes.plot(ranks.index, ranks, "o-", color=BLUE, lw=1.8, markersize=5)
    axes.set(
        xlabel="epoch", ylabel="rank correlation with the end", ylim=(min(0.0, ranks.min()) - 0.03, 1.03)
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(f"How early the final order shows, over {len(table.complete)} complete trials")
    _finish(axes)
    save_figure(figure, path)
    return True


def _finish(axes: Axes, *, percent: bool = False) -> None:
    axes.grid(color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    if percent:
        axes.yaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(_PERCENT)


PICTURES: dict[str, Callable[[StudyTable, Path], bool]] = {
    "history": _history,
    "importance": _importance,
    "pareto": _pareto,
    "savings": _savings,
    "curves": _curves,
    "parallel": _parallel,
    "slices": _slices,
    "ranks": _ranks,
    "timeline": _timeline,
}
"""Functions that draw one picture, and say whether the study had something to draw."""
