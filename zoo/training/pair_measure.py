"""Scores of pairs and distances of triplets → accuracy, ROC-AUC and calibration; knows no network."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score, roc_curve

from zoo.data.fec import TRIPLET_TYPES
from zoo.data.pairs import Pairs, Triplets

__all__ = [
    "best_threshold",
    "calibration_error",
    "fit_probability",
    "measure_pairs",
    "measure_triplets",
    "odd_one_out_scale",
]

_RESAMPLES = 400

_USUAL_SCALE = 8.0  # of squared distances; 8.5 was found on FER2013


def best_threshold(scores: np.ndarray, same: np.ndarray) -> float:
    """The score from which on a pair is called same that gives the best accuracy; half-way between scores.

    Args:
        scores: float (P,), higher for more alike.
        same: bool (P,), with both values.
    """
    wrong, right, cuts = roc_curve(same, scores, drop_intermediate=False)
    best = int(np.argmax(right * same.sum() + (1 - wrong) * (~same).sum()))
    below = scores[scores < cuts[best]]
    return (
        float((cuts[best] + below.max()) / 2) if len(below) and np.isfinite(cuts[best]) else float(cuts[best])
    )


def measure_pairs(scores: np.ndarray, pairs: Pairs, *, threshold: float, seed: int = 0) -> dict[str, Any]:
    """What is reported of one way to score pairs.

    The intervals come from resampling faces, not pairs: one face is in several pairs, so pairs say less than
    their number.

    Args:
        scores: float (P,), higher for more alike.
        threshold: chosen on other pairs.

    Returns:
        JSON values: `pairs`, `accuracy` and `auc`, each with its 95% `…_interval`, and `threshold`.
    """
    random = np.random.RandomState(seed)
    right = (scores >= threshold) == pairs.same
    faces, places = np.unique(np.concatenate([pairs.first, pairs.second]), return_inverse=True)
    first, second = places[: len(pairs)], places[len(pairs) :]
    ranks = np.unique(scores, return_inverse=True)[1]
    accuracies, areas = [], []
    for _ in range(_RESAMPLES):
        times = np.bincount(random.randint(len(faces), size=len(faces)), minlength=len(faces))
        weight = (times[first] * times[second]).astype(float)
        if not weight[pairs.same].any() or not weight[~pairs.same].any():
            continue  # so few pairs that a resample lost all of one kind
        accuracies.append((right * weight).sum() / weight.sum())
        areas.append(_weighted_area(ranks, pairs.same, weight))
    return {
        "pairs": len(pairs),
        "accuracy": float(right.mean()),
        "accuracy_interval": _middle(accuracies),
        "auc": float(roc_auc_score(pairs.same, scores)),
        "auc_interval": _middle(areas),
        "threshold": threshold,
    }


def _middle(values: list[float]) -> list[float]:
    """The middle 95%; everything there is where no value is known."""
    return [float(bound) for bound in np.quantile(values, (0.025, 0.975))] if values else [0.0, 1.0]


def _weighted_area(ranks: np.ndarray, same: np.ndarray, weight: np.ndarray) -> float:
    """Area under the ROC curve of weighted pairs; scikit-learn would sort them anew for every resample."""
    right, wrong = np.bincount(ranks, weight * same), np.bincount(ranks, weight * ~same)
    below = np.cumsum(wrong) - wrong / 2
    return float((right * below).sum() / (right.sum() * wrong.sum()))


def measure_triplets(
    near: np.ndarray, far: np.ndarray, farther: np.ndarray, triplets: Triplets
) -> dict[str, Any]:
    """Triplet accuracy: the similar pair is closer than both other pairs. Chance is one third.

    Args:
        near: distance of the similar pair, float (T,).
        far, farther: distances of its two faces from the odd one.

    Returns:
        JSON values by type and for `all`: `triplets`, `accuracy`, `accuracy_interval` (Wilson, 95%).
    """
    right = (near < far) & (near < farther)
    parts = {name: right[triplets.kind == kind] for kind, name in enumerate(TRIPLET_TYPES)}
    return {name: _share(part) for name, part in {"all": right, **parts}.items() if len(part)}


def _share(right: np.ndarray) -> dict[str, Any]:
    interval = binomtest(int(right.sum()), len(right)).proportion_ci(confidence_level=0.95, method="wilson")
    return {
        "triplets": len(right),
        "accuracy": float(right.mean()),
        "accuracy_interval": [float(interval.low), float(interval.high)],
    }


def fit_probability(scores: np.ndarray, same: np.ndarray, *, faces: int) -> tuple[float, float]:
    """Slope, above 0, and offset that make `sigmoid(slope * score + offset)` a probability.

    It is one half at the score that tells most pairs right, so that the verdict is that of the protocol; the
    slope is the likeliest (Platt, 1999). To be fitted on pairs that trained nothing. A normal prior of the
    slope's logarithm, of deviation 1, keeps a few faces whose pairs are all right from making every answer
    certain; beside thousands it weighs nothing.

    Args:
        faces: how many faces the pairs are of.
    """
    threshold = float(np.clip(best_threshold(scores, same), scores.min(), scores.max()))

    def loss(logarithm: float) -> float:
        logits = np.exp(logarithm) * (scores - threshold)
        return float(np.logaddexp(0, np.where(same, -logits, logits)).mean()) + logarithm**2 / (2 * faces)

    slope = float(np.exp(minimize_scalar(loss, bounds=(-7, 7), method="bounded").x))
    return slope, -slope * threshold


def odd_one_out_scale(near: np.ndarray, far: np.ndarray, farther: np.ndarray, *, faces: int) -> float:
    """The scale that makes a softmax over `-scale * distance` the probability of each pair being the similar.

    Its logarithm has a prior as in `fit_probability`, around that of a usual scale.

    Args:
        near, far, farther: distances as `measure_triplets` takes them, of triplets that trained nothing.
        faces: how many faces the triplets are of.
    """
    distances = np.stack([near, far, farther], axis=1)

    def loss(values: np.ndarray) -> float:
        logits = -np.exp(values[0]) * distances
        unlikely = (values[0] - np.log(_USUAL_SCALE)) ** 2 / (2 * faces)
        return float((np.logaddexp.reduce(logits, axis=1) - logits[:, 0]).mean() + unlikely)

    return float(np.exp(minimize(loss, np.ones(1), method="Nelder-Mead").x[0]))


def calibration_error(probabilities: np.ndarray, same: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error of probabilities of *same* (P,), 0–1, over bins of equal width."""
    place = np.minimum((probabilities * bins).astype(int), bins - 1)
    gaps = [
        (place == number).mean() * abs(probabilities[place == number].mean() - same[place == number].mean())
        for number in np.unique(place)
    ]
    return float(sum(gaps))
