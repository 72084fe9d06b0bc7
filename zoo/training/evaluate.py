"""Logits and labels → accuracy with its interval, per-class figures and calibration; knows no network."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from scipy.stats import binomtest
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

__all__ = ["calibration_bins", "calibration_error", "fit_temperature", "measure", "unsure_threshold"]

_BINS = 15


def measure(
    logits: np.ndarray, labels: np.ndarray, classes: tuple[str, ...], *, temperature: float = 1.0
) -> dict[str, Any]:
    """Every figure that is reported of a network on one set of faces.

    Args:
        logits: float (N, C), N at least 1.
        labels: int64 (N,).
        classes: C names.
        temperature: divides the logits for `ece_calibrated`.

    Returns:
        JSON values: `faces`, `accuracy` with `accuracy_interval` (Wilson, 95%), `balanced_accuracy` (mean
        recall of the classes that occur), `macro_f1`, `top2`, `loss` (cross-entropy, nats), `ece` and
        `ece_calibrated`, `per_class` (precision, recall, f1, support by name) and `confusion` (rows are
        labels).
    """
    predicted = logits.argmax(axis=1)
    right = int((predicted == labels).sum())
    interval = binomtest(right, len(labels)).proportion_ci(confidence_level=0.95, method="wilson")
    every = np.arange(len(classes))
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predicted, labels=every, zero_division=0
    )
    present = support > 0
    top2 = np.argsort(logits, axis=1)[:, -2:] == labels[:, None]
    return {
        "faces": len(labels),
        "accuracy": right / len(labels),
        "accuracy_interval": [float(interval.low), float(interval.high)],
        "balanced_accuracy": float(recall[present].mean()),
        "macro_f1": float(f1[present].mean()),
        "top2": float(top2.any(axis=1).mean()),
        "loss": _cross_entropy(logits, labels),
        "ece": calibration_error(softmax(logits, axis=1), labels),
        "ece_calibrated": calibration_error(softmax(logits / temperature, axis=1), labels),
        "per_class": {
            name: {
                "precision": float(precision[index]),
                "recall": float(recall[index]),
                "f1": float(f1[index]),
                "support": int(support[index]),
            }
            for index, name in enumerate(classes)
        },
        "confusion": confusion_matrix(labels, predicted, labels=every).tolist(),
    }


def _cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(-log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(labels)), labels].mean())


def calibration_bins(probabilities: np.ndarray, labels: np.ndarray) -> list[dict[str, float]]:
    """Confidence against accuracy in 15 bins of equal width: `share` of the faces, `confidence`, `accuracy`.

    Empty bins are left out. A calibrated network has accuracy equal to confidence in each.

    Args:
        probabilities: float (N, C), rows summing to 1.
        labels: int64 (N,).
    """
    confidence, predicted = probabilities.max(axis=1), probabilities.argmax(axis=1)
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    return [
        {
            "share": float(chosen.mean()),
            "confidence": float(confidence[chosen].mean()),
            "accuracy": float((predicted == labels)[chosen].mean()),
        }
        for chosen in (bins == number for number in range(_BINS))
        if chosen.any()
    ]


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error (Guo et al., 2017, arXiv:1706.04599), 0–1, over `calibration_bins`."""
    bins = calibration_bins(probabilities, labels)
    return sum(entry["share"] * abs(entry["confidence"] - entry["accuracy"]) for entry in bins)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The likeliest temperature, 0.05 to 20, of `logits / temperature`.

    To be fitted on validation faces (Guo et al., 2017, arXiv:1706.04599). A normal prior of its logarithm, of
    deviation 1, keeps a few faces that are all right from making every answer certain; beside thousands it
    weighs nothing.
    """
    found = minimize_scalar(
        lambda log: _cross_entropy(logits / np.exp(log), labels) + log**2 / (2 * len(labels)),
        bounds=(np.log(0.05), np.log(20)),
        method="bounded",
    )
    return float(np.exp(found.x))


def unsure_threshold(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The confidence below which an answer is called unsure: there it is more likely wrong than right.

    The smallest of 0.00, 0.01, … 1.00 at which isotonic regression of *right* on confidence reaches a half.

    Args:
        probabilities: float (N, C), calibrated, of validation faces.
        labels: int64 (N,).
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    grid = np.arange(101) / 100
    rising = IsotonicRegression(out_of_bounds="clip").fit(confidence, right.astype(float)).predict(grid)
    reached = np.flatnonzero(rising >= 0.5)
    return float(grid[reached[0]]) if len(reached) else 1.0
