"""Pictures of a training run, learning curves and reliability diagram, and how all pictures are saved; knows
no network."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from PIL import Image

from zoo.output import moved_into_place

__all__ = [
    "BLUE",
    "BLUES",
    "GRAY",
    "GREEN",
    "GRID",
    "INK",
    "ORANGE",
    "learning_curves",
    "learning_curves_in_frame",
    "new_figure",
    "reliability_diagram",
    "save_figure",
    "save_image",
]

INK, GRAY, GRID = "#22262b", "#7a828c", "#e4e7eb"
BLUE, ORANGE, GREEN = "#1f6fb4", "#d9731a", "#2a8f5c"
BLUES = LinearSegmentedColormap.from_list("blues", ["#ffffff", "#cfe1f2", "#6aa6d6", "#1f6fb4", "#0d3d6b"])


def learning_curves(history: list[dict[str, Any]], path: Path) -> None:
    """Draw losses and accuracies against epochs, with the best epoch marked.

    Where the training faces grew, a line says to how many pixels a side. Networks are validated on faces of
    full size, which a network that has seen smaller ones only doesn't know well.

    Args:
        history: one entry an epoch, fields of `zoo.training.loop.EpochResult`; at least one.
        path: of the PNG, 1000×420 pixels.
    """
    curves = _Curves(10.0)
    curves.show(history)
    for before, after in pairwise(history):
        size = after.get("resolution")
        if size != before.get("resolution"):
            for axes in curves.figure.axes:
                axes.axvline(before["epoch"] + 0.5, color=GRAY, linestyle=":", linewidth=1)
            curves.loss.annotate(
                f"{size} px",
                (before["epoch"] + 0.5, 0.02),
                xycoords=("data", "axes fraction"),
                xytext=(4, 0),
                textcoords="offset points",
                color=GRAY,
            )
    for axes in curves.figure.axes:
        axes.relim()
        axes.autoscale_view()
    save_figure(curves.figure, path, palette=True)


def learning_curves_in_frame(
    history: list[dict[str, Any]], path: Path, *, epochs: int, classes: int, width: float = 10.0
) -> None:
    """`learning_curves` in a frame that is the same for all runs of as many epochs and classes.

    Runs can be compared by a glance. As the frame is drawn once, a picture takes a ninth of the time. Not for
    several threads at once.

    Args:
        epochs: that fit in; a run may have fewer.
        classes: the loss of guessing among them is at three quarters of the height; what is above the frame
            is cut off.
        width: of the PNG in hundreds of pixels.
    """
    _frame(width, epochs, classes).draw(history, path)


class _Curves:
    """Both axes without values."""

    def __init__(self, width: float) -> None:
        self.figure = new_figure(width, 4.2, margins=(0.55, 0.2, 0.55, 0.4))
        self.loss, self.accuracy = self.figure.subplots(1, 2, gridspec_kw={"wspace": 0.2})
        self.lines = {}
        for axes, lines in (
            (self.loss, (("train_loss", "training (augmented)", ORANGE), ("loss", "validation", BLUE))),
            (
                self.accuracy,
                (
                    ("train_accuracy", "training (augmented)", ORANGE),
                    ("accuracy", "validation", BLUE),
                    ("macro_f1", "validation, macro F1", GREEN),
                ),
            ),
        ):
            for name, label, colour in lines:
                (self.lines[name],) = axes.plot([], [], color=colour, label=label, linewidth=1.8)
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(5))
            axes.grid(color=GRID)
        (self.best,) = self.accuracy.plot([], [], "o", color=BLUE, markersize=7, markeredgecolor="white")
        self.loss.set_title("Loss: cross-entropy, nats", y=1.0)
        self.accuracy.set_title("Accuracy", y=1.0)
        self.accuracy.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        self.loss.legend(frameon=False, loc="upper right")
        self.accuracy.legend(frameon=False, loc="lower right")

    def show(self, history: list[dict[str, Any]]) -> None:
        epochs = [entry["epoch"] for entry in history]
        for name, line in self.lines.items():
            line.set_data(epochs, [entry[name] for entry in history])
            line.set_marker("o" if len(history) == 1 else "")
        best = max(history, key=lambda entry: entry["accuracy"])
        self.best.set_data([best["epoch"]], [best["accuracy"]])
        self.accuracy.title.set_text(f"Accuracy: best {best['accuracy']:.1%} in epoch {best['epoch']}")


class _Frame:
    """Curves whose axes are drawn already, and don't change."""

    def __init__(self, width: float, epochs: int, classes: int) -> None:
        self._curves = _Curves(width)
        loss, accuracy = self._curves.loss, self._curves.accuracy
        for axes in (loss, accuracy):
            axes.set_xlim(0.5, epochs + 0.5)
        loss.set_ylim(0, np.log(classes) / 0.75)
        accuracy.set_ylim(0, 1)
        accuracy.legend(frameon=False, loc="upper left")
        self._moving = [*self._curves.lines.values(), self._curves.best, accuracy.title]
        for artist in self._moving:
            artist.set_animated(True)
        self._canvas = _draw(self._curves.figure)
        self._empty = self._canvas.copy_from_bbox(self._curves.figure.bbox)

    def draw(self, history: list[dict[str, Any]], path: Path) -> None:
        self._curves.show(history)
        self._canvas.restore_region(self._empty)
        for artist in self._moving:
            artist.axes.draw_artist(artist)
        save_image(_image_of(self._canvas), path)


_frame = cache(_Frame)


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


def save_figure(figure: Figure, path: Path, *, palette: bool = False) -> None:
    """Draw a figure in the house style and `save_image` it."""
    save_image(_image_of(_draw(figure)), path, palette=palette)


def _draw(figure: Figure) -> FigureCanvasAgg:
    for axes in figure.axes:
        axes.title.set(color=INK, fontsize=11)
        axes.spines[["top", "right"]].set_visible(False)
        for spine in axes.spines.values():
            spine.set_color(GRAY)
        axes.tick_params(colors=INK, labelsize=9)
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    return canvas


def _image_of(canvas: FigureCanvasAgg) -> Image.Image:
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def save_image(image: Image.Image, path: Path, *, palette: bool = True) -> None:
    """Write a PNG of few colours, moved into place when whole.

    Args:
        image: RGB.
        palette: it has the colours named in this module and blends of them with white only. Others are
            picked from the picture, which takes 25 ms instead of 1.
    """
    # 96 colours are enough for flat pictures, and make a file a third as large.
    image = image.quantize(palette=_palette(), dither=Image.Dither.NONE) if palette else image.quantize(96)
    path.parent.mkdir(parents=True, exist_ok=True)
    with moved_into_place(path) as temporary:
        image.save(temporary, format="png")


@cache
def _palette() -> Image.Image:
    """A picture whose palette has white, 48 blues and blends of the named colours with white."""
    blends = np.linspace(0, 1, 20)[:, None]
    named = [1 - blends * (1 - np.array(to_rgb(colour))) for colour in (INK, GRAY, BLUE, ORANGE, GREEN)]
    blended = np.concatenate(named)
    # Pillow takes the colour that suits a cell of 4 levels: nothing but white may be nearly white, and pale
    # cells of a matrix are to be blue, not gray.
    blended = blended[blended.min(axis=1) < 0.9]
    blues = BLUES(np.linspace(0.06, 1, 48))[:, :3]
    colours = np.concatenate([np.ones((1, 3)), blues, [to_rgb(GRID)], blended])
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.rint(colours * 255).astype(np.uint8).tobytes())
    return palette
