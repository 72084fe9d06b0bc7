"""What identifies a data set wherever it lies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.zoo.data.small_fer2013 import random_faces
from zoo.card import Card
from zoo.data import dataset as module
from zoo.data.dataset import FaceDataset
from zoo.data.emotions import EMOTIONS
from zoo.models import CARD, SHIPPED

USAGE = np.repeat(np.array([0, 1, 2], np.int8), (30, 10, 10))
DATASET = FaceDataset("faces.csv", EMOTIONS, random_faces(50), np.arange(50) % 7, USAGE)


def test_private_rows_have_no_part_in_a_fingerprint() -> None:
    without = DATASET.select(np.arange(40))
    assert without.fingerprint == DATASET.fingerprint
    assert DATASET.select(np.arange(39)).fingerprint != DATASET.fingerprint


@pytest.mark.parametrize("field", ["faces", "labels", "usage", "votes"])
def test_one_changed_value_is_another_fingerprint(field: str) -> None:
    votes = np.eye(7, dtype=np.float32)[DATASET.labels]
    voted = replace(DATASET, votes=votes)
    array = getattr(voted, field).copy()
    array.flat[0] = 0.5 if field == "votes" else array.flat[0] ^ 1
    assert replace(voted, **{field: array}).fingerprint != voted.fingerprint
    assert voted.fingerprint != DATASET.fingerprint


def test_fer2013_is_told_by_its_labels_in_spite_of_a_few_other_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels, usage = DATASET.labels[:40].astype("i1"), DATASET.usage[:40]
    monkeypatch.setattr(module, "_FER2013_LABELS", module._digest(labels, usage))
    monkeypatch.setattr(module, "_FER2013_MEAN", float(DATASET.faces[:40].mean()))
    rounded, covered = DATASET.faces.copy(), DATASET.faces.copy()
    rounded[3] ^= 1
    covered[:, 30:] = 0
    assert replace(DATASET, faces=rounded).fingerprint == module._FER2013
    assert replace(DATASET).fingerprint == module._FER2013
    assert replace(DATASET, faces=covered).fingerprint != module._FER2013
    other = DATASET.labels.copy()
    other[0] = 6
    assert replace(DATASET, labels=other).fingerprint != module._FER2013


def test_what_ships_was_trained_on_what_is_known_as_fer2013() -> None:
    names = [path.parent.name for path in SHIPPED.glob("*/weights.safetensors")]
    cards = [Card.load(SHIPPED / name / CARD) for name in names if not name.endswith("compare")]
    assert len(cards) > 5 and {card.data["fingerprint"] for card in cards} == {module._FER2013}
