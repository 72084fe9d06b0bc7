"""Pictures of a training run: learning curves, confusion matrix, reliability diagram; knows no network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from PIL import Image

__all__ = [
    "BLUE",
    "GRAY",
    "GREEN",
    "GRID",
    "INK",
    "ORANGE",
    "confusion_picture",
    "learning_curves",
    "new_figure",
    "reliability_diagram",
    "save_figure",
]

INK, GRAY, GRID = "#22262b", "#7a828c", "#e4e7eb"
BLUE, ORANGE, GREEN = "#1f6fb4", "#d9731a", "#2a8f5c"
_BLUES = LinearSegmentedColormap.from_list("blues", ["#ffffff", "#cfe1f2", "#6aa6d6", "#1f6fb4", "#0d3d6b"])


def learning_curves(history: list[dict[str, Any]], path: Path, *, width: float = 10.0) -> None:
    """Draw losses and accuracies against epochs, with the best epoch marked.

    Args:
        history: one entry an epoch, fields of `zoo.training.loop.EpochResult`; at least one.
        path: of the PNG, 420 pixels high.
        width: of the PNG in hundreds of pixels.
    """
    epochs = [entry["epoch"] for entry in history]
    best = max(history, key=lambda entry: entry["accuracy"])
    figure = new_figure(width, 4.2, margins=(0.55, 0.2, 0.55, 0.4))
    left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.2})
    marker = "o" if len(history) == 1 else None
    for axes, lines in (
        (left, (("train_loss", "training (augmented)", ORANGE), ("loss", "validation", BLUE))),
        (
            right,
            (
                ("train_accuracy", "training (augmented)", ORANGE),
                ("accuracy", "validation", BLUE),
                ("macro_f1", "validation, macro F1", GREEN),
            ),
        ),
    ):
        for name, label, colour in lines:
            values = [entry[name] for entry in history]
            axes.plot(epochs, values, color=colour, label=label, linewidth=1.8, marker=marker)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(color=GRID)
    left.set_title("Loss: cross-entropy, nats")
    right.set_title(f"Accuracy: best {best['accuracy']:.1%} in epoch {best['epoch']}")
    right.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    right.plot(best["epoch"], best["accuracy"], "o", color=BLUE, markersize=7, markeredgecolor="white")
    left.legend(frameon=False)
    right.legend(frameon=False, loc="lower right")
    save_figure(figure, path)


def confusion_picture(
    metrics: dict[str, Any], classes: tuple[str, ...], path: Path, *, part: str = ""
) -> None:
    """Draw a confusion matrix: colour is the share of the row, each cell says share and count.

    Args:
        metrics: as `zoo.training.evaluate.measure` returns them.
        classes: names in the order of `metrics["confusion"]`.
        path: of the PNG.
        part: which faces these are, for the title, such as `PublicTest`.
    """
    counts = np.asarray(metrics["confusion"], dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(4.0, 0.74 * len(classes))
    names = max(1.1, 0.08 * max(map(len, classes)) + 0.4)
    figure = new_figure(side + names + 0.2, side + names, margins=(names, 0.2, names - 0.3, 0.3))
    axes = figure.subplots()
    axes.imshow(shares, cmap=_BLUES, vmin=0, vmax=1)
    for row, column in np.ndindex(*shares.shape):
        share = shares[row, column]
        colour = "white" if share > 0.5 else INK if counts[row, column] else GRAY
        axes.text(column, row - 0.11, f"{share:.0%}", ha="center", va="center", color=colour, fontsize=10)
        count = f"{counts[row, column]:,.0f}"
        axes.text(column, row + 0.22, count, ha="center", va="center", color=colour, fontsize=7)
    places = range(len(classes))
    axes.set_xticks(places, classes, rotation=30, ha="right", rotation_mode="anchor")
    labels = [f"{name}\n{total:,.0f} faces" for name, total in zip(classes, counts.sum(axis=1), strict=True)]
    axes.set_yticks(places, labels)
    axes.set_xticks(np.arange(len(classes) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(classes) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("answer")
    axes.set_ylabel("label")
    axes.set_title(
        f"{part or 'Accuracy'} {metrics['accuracy']:.1%}, balanced {metrics['balanced_accuracy']:.1%} "
        f"({metrics['faces']:,} faces)"
    )
    save_figure(figure, path)


def reliability_diagram(
    before: list[dict[str, float]], after: list[dict[str, float]], path: Path, *, part: str = ""
) -> None:
    """Draw accuracy against confidence before and after the temperature.

    Args:
        before, after: bins as `zoo.training.evaluate.calibration_bins` returns them.
        path: of the PNG, 1000×460 pixels.
        part: which faces these are, for the axis, such as `PublicTest`.
    """
    figure = new_figure(10, 4.6)
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, bins, name in ((left, before, "Before"), (right, after, "After")):
        _draw_bins(axes, bins)
        error = sum(entry["share"] * abs(entry["confidence"] - entry["accuracy"]) for entry in bins)
        axes.set_title(f"{name} temperature scaling: calibration error {error:.1%}")
    left.set_ylabel(f"accuracy on {part}" if part else "accuracy")
    left.legend(frameon=False, loc="upper left")
    save_figure(figure, path)


def _draw_bins(axes: Axes, bins: list[dict[str, float]]) -> None:
    confidence = [entry["confidence"] for entry in bins]
    accuracy = [entry["accuracy"] for entry in bins]
    share = [entry["share"] for entry in bins]
    axes.bar(confidence, share, width=0.045, color=GRID, label="share of the faces")
    axes.plot((0, 1), (0, 1), color=GRAY, linestyle="--", linewidth=1, label="calibrated")
    axes.vlines(confidence, confidence, accuracy, color=ORANGE, linewidth=2, alpha=0.7, label="gap")
    axes.plot(confidence, accuracy, "o-", color=BLUE, linewidth=1.8, markersize=5, label="network")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))


def new_figure(
    width: float, height: float, margins: tuple[float, float, float, float] | None = None
) -> Figure:
    """A figure in inches at 100 pixels each, without matplotlib's global state, so any thread may draw.

    Args:
        margins: around all axes: left, right, bottom, top; None measures what is drawn, which takes as long
            as drawing it.
    """
    figure = Figure(figsize=(width, height), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    if margins is None:
        figure.set_layout_engine("constrained")
    else:
        left, right, bottom, top = margins
        figure.subplots_adjust(
            left=left / width, right=1 - right / width, bottom=bottom / height, top=1 - top / height
        )
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write the picture to a temporary file and move it to `path`."""
    for axes in figure.axes:
        axes.title.set(color=INK, fontsize=11)
        axes.spines[["top", "right"]].set_visible(False)
        for spine in axes.spines.values():
            spine.set_color(GRAY)
        axes.tick_params(colors=INK, labelsize=9)
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    # 96 colours are enough for flat pictures, and make a file a third as large.
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(96)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    image.save(temporary, format="png")
    os.replace(temporary, path)
