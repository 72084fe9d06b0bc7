"""A saved model's pictures and its per-class table, written beside its card; trains and measures nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax

from zoo.card import Card
from zoo.output import moved_into_place
from zoo.training.confusion import confusion_picture
from zoo.training.evaluate import calibration_bins
from zoo.training.pictures import learning_curves, reliability_diagram

__all__ = ["write_report"]


def write_report(folder: Path, card: Card, logits: np.ndarray, labels: np.ndarray) -> None:
    """Write `curves.png`, `confusion.png`, `reliability.png` and `per_class.csv` into a model's folder.

    An ensemble, which wasn't trained itself, has no curves.

    Matrix and diagram are those of the validation part; the table has every measured part.

    Args:
        card: of the saved model.
        logits: float32 (N, classes), uncalibrated, of the validation part.
        labels: int64 (N,), of the validation part.
    """
    part = card.validation
    if card.history:
        learning_curves(card.history, folder / "curves.png")
    confusion_picture(card.metrics[part], card.classes, folder / "confusion.png", part=part)
    before, after = (
        calibration_bins(softmax(logits / temperature, axis=1), labels)
        for temperature in (1.0, card.temperature)
    )
    reliability_diagram(before, after, folder / "reliability.png", part=part)
    table = pd.DataFrame(
        {"part": name, "class": label, **figures}
        for name, metrics in card.metrics.items()
        for label, figures in metrics["per_class"].items()
    )
    with moved_into_place(folder / "per_class.csv") as path:
        table.round(4).to_csv(path, index=False)
