"""What the authors of the published networks measured, as they report it; measures nothing itself."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PUBLISHED_FIGURES", "PublishedFigure"]


@dataclass(frozen=True)
class PublishedFigure:
    """An accuracy as published.

    Attributes:
        accuracy: 0–1; the higher end where a range is reported.
        measured_on: which faces, and whatever else the figure needs.
        comparable: it can stand beside ours on PublicTest. Not so where the rows were split at random, or
            where a report says *test* without naming the usage.
    """

    accuracy: float
    measured_on: str
    comparable: bool


_UNNAMED = "a test set that the report doesn't name"
_RANDOM = "15% of all rows, split at random by class"
_PAIRS = "pairs made of Google's facial expression comparison set"

PUBLISHED_FIGURES: dict[str, PublishedFigure] = {
    "fully_connected": PublishedFigure(0.43, "validation, 0.42–0.43", True),
    "simple_conv": PublishedFigure(0.56, "validation after 30 epochs, 0.55–0.56", True),
    "emotionnet": PublishedFigure(0.63, "validation after 30–35 epochs, 0.62–0.63", True),
    "eda_cnn": PublishedFigure(0.60, "validation, about", True),
    "custom_cnn": PublishedFigure(0.5834, f"{_UNNAMED}; validation 0.5795", False),
    "bilstm": PublishedFigure(0.4521, f"{_UNNAMED}; validation 0.4461", False),
    "vgg16_bn": PublishedFigure(0.6801, f"{_UNNAMED}; validation 0.6723", False),
    "resnet101": PublishedFigure(0.5497, f"{_UNNAMED}; validation 0.5618", False),
    "vit": PublishedFigure(0.5621, f"{_UNNAMED}; validation 0.569", False),
    "seven_block": PublishedFigure(0.64, "validation after 15 epochs, about", True),
    "r1": PublishedFigure(0.609, f"{_RANDOM}; 0.579 mean per class", False),
    "r2": PublishedFigure(0.567, f"{_RANDOM}; 0.470 mean per class, disgust 0", False),
    "siamese_resnet18": PublishedFigure(0.65, _PAIRS, False),
    "siamese_mobilenet_v3": PublishedFigure(0.58, _PAIRS, False),
}
