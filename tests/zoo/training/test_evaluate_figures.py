"""The figures that are reported of a network, against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from zoo.training.evaluate import (
    calibration_bins,
    calibration_error,
    fit_temperature,
    measure,
    unsure_threshold,
)

CLASSES = ("a", "b", "c")
# Six faces; answers a a b b b c against labels a a a b b c.
LABELS = np.array([0, 0, 0, 1, 1, 2])
LOGITS = np.array([[3, 1, 0], [2, 0, 1], [1, 2, 0], [0, 4, 1], [1, 2, 0], [1, 0, 2]], dtype=np.float32)


def test_a_case_by_hand() -> None:
    figures = measure(LOGITS, LABELS, CLASSES)
    assert figures["faces"] == 6
    assert figures["accuracy"] == pytest.approx(5 / 6)
    assert figures["confusion"] == [[2, 1, 0], [0, 2, 0], [0, 0, 1]]
    assert figures["balanced_accuracy"] == pytest.approx((2 / 3 + 1 + 1) / 3)
    by_class = figures["per_class"]
    assert by_class["a"] == {
        "precision": 1.0,
        "recall": pytest.approx(2 / 3),
        "f1": pytest.approx(0.8),
        "support": 3,
    }
    assert by_class["b"] == {
        "precision": pytest.approx(2 / 3),
        "recall": 1.0,
        "f1": pytest.approx(0.8),
        "support": 2,
    }
    assert by_class["c"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1}
    assert figures["macro_f1"] == pytest.approx((0.8 + 0.8 + 1) / 3)
    assert figures["top2"] == 1.0
    probabilities = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
    assert figures["loss"] == pytest.approx(-np.log(probabilities[range(6), LABELS]).mean(), rel=1e-5)


def test_the_wilson_interval_by_hand() -> None:
    # 8 right of 10: centre (8 + z²/2) / (10 + z²), half width z √(8·2/10 + z²/4) / (10 + z²), z = 1.959964.
    logits = np.eye(2)[[0] * 8 + [1] * 2]
    low, high = measure(logits, np.zeros(10, dtype=int), ("a", "b"))["accuracy_interval"]
    assert (low, high) == (pytest.approx(0.490162, abs=1e-5), pytest.approx(0.943318, abs=1e-5))


def test_one_standard_deviation_of_a_fer2013_test_is_three_quarters_of_a_point() -> None:
    logits = np.eye(2)[[0] * 2584 + [1] * 1005]
    low, high = measure(logits, np.zeros(3589, dtype=int), ("a", "b"))["accuracy_interval"]
    assert (high - low) / 2 / 1.96 == pytest.approx(0.0075, abs=2e-4)


def test_absent_classes_do_not_count() -> None:
    figures = measure(LOGITS[:3], LABELS[:3], CLASSES)
    assert figures["balanced_accuracy"] == pytest.approx(2 / 3)
    assert figures["macro_f1"] == pytest.approx(0.8)
    assert figures["per_class"]["c"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}


def test_top2_by_hand() -> None:
    logits = np.array([[3, 2, 1], [3, 2, 1], [3, 2, 1]], dtype=np.float32)
    assert measure(logits, np.array([0, 1, 2]), CLASSES)["top2"] == pytest.approx(2 / 3)


def test_calibration_error_by_hand() -> None:
    # Two bins: 0.9 sure and right in 2 of 4; 0.6 sure and right in 1 of 1.
    probabilities = np.array([[0.9, 0.1]] * 4 + [[0.4, 0.6]])
    labels = np.array([0, 0, 1, 1, 1])
    bins = calibration_bins(probabilities, labels)
    assert [entry["share"] for entry in bins] == [pytest.approx(0.2), pytest.approx(0.8)]
    assert [entry["accuracy"] for entry in bins] == [1.0, 0.5]
    assert [entry["confidence"] for entry in bins] == [pytest.approx(0.6), pytest.approx(0.9)]
    assert calibration_error(probabilities, labels) == pytest.approx(0.2 * 0.4 + 0.8 * 0.4)


def test_full_confidence_is_in_the_last_bin() -> None:
    assert calibration_bins(np.array([[1.0, 0.0]]), np.array([0])) == [
        {"share": 1.0, "confidence": 1.0, "accuracy": 1.0}
    ]


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_a_known_factor(factor: float) -> None:
    random = np.random.default_rng(0)
    honest = random.normal(size=(20_000, 3)) * 1.5
    labels = (softmax(honest, axis=1).cumsum(1) > random.random((20_000, 1))).argmax(1)
    temperature = fit_temperature(honest * factor, labels)
    assert temperature == pytest.approx(factor, rel=0.05)
    figures = measure(honest * factor, labels, CLASSES, temperature=temperature)
    assert figures["ece_calibrated"] < 0.02
    assert factor == 1.0 or figures["ece"] > 3 * figures["ece_calibrated"]


@pytest.mark.parametrize("count", [1, 5, 20])
def test_a_few_right_answers_make_no_answer_certain(count: int) -> None:
    logits = np.tile([[1.0, 0.0]], (count, 1))  # 73% sure
    temperature = fit_temperature(logits, np.zeros(count, dtype=int))
    assert temperature > 0.2 and softmax(logits / temperature, axis=1).max() < 0.99


def test_a_temperature_changes_no_answer() -> None:
    plain, tempered = (measure(LOGITS, LABELS, CLASSES, temperature=t) for t in (1.0, 2.5))
    assert plain["ece"] == tempered["ece"]
    assert {k: v for k, v in plain.items() if k != "ece_calibrated"} == {
        k: v for k, v in tempered.items() if k != "ece_calibrated"
    }


def test_unsure_below_the_confidence_that_is_wrong_half_of_the_time() -> None:
    confidence = np.array([0.55] * 10 + [0.65] * 10 + [0.95] * 10)
    right = np.array([True] * 3 + [False] * 7 + [True] * 6 + [False] * 4 + [True] * 10)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    # 30% are right at 0.55 and 60% at 0.65: the line between them passes a half at 0.617.
    assert unsure_threshold(probabilities, np.where(right, 0, 1)) == pytest.approx(0.62)
    assert unsure_threshold(probabilities, np.zeros(30, dtype=int)) == 0.0
