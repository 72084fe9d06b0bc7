"""ROC curve and histogram of scores of compared pairs as PNG files; knows no network and no data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score, roc_curve

from zoo.output import moved_into_place

__all__ = ["save_distances", "save_roc"]

_NAME = 40  # characters of a name that are shown, the last ones


def save_roc(path: Path, scores: Mapping[str, np.ndarray], same: np.ndarray) -> None:
    """Draw one ROC curve for each way of scoring.

    Args:
        scores: by name, float (P,), higher for more alike.
        same: bool (P,).
    """
    figure = Figure(figsize=(5.5, 5.5), layout="constrained")
    axes = figure.add_subplot()
    for name, values in scores.items():
        wrong, right, _ = roc_curve(same, values)
        # A legend as wide as a path would leave the curves no room.
        short = name if len(name) <= _NAME else f"…{name[-_NAME:]}"
        axes.plot(wrong, right, label=f"{short} (AUC {roc_auc_score(same, values):.3f})", linewidth=1.6)
    axes.plot((0, 1), (0, 1), color="0.6", linestyle=":", label="chance")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set(xlabel="different pairs called same", ylabel="same pairs called same")
    axes.legend(loc="lower right", fontsize=8)
    _save(figure, path)


def save_distances(path: Path, distances: np.ndarray, same: np.ndarray) -> None:
    """Draw how far apart same and different pairs are.

    Args:
        distances: float (P,).
        same: bool (P,).
    """
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.add_subplot()
    bins = np.linspace(float(distances.min()), float(distances.max()) + 1e-6, 50).tolist()
    axes.hist(distances[same], bins, alpha=0.6, label="same expression")
    axes.hist(distances[~same], bins, alpha=0.6, label="different expressions")
    axes.set(xlabel="distance of the two faces", ylabel="pairs")
    axes.legend(fontsize=8)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with moved_into_place(path) as temporary:
        FigureCanvasAgg(figure).print_png(str(temporary))
