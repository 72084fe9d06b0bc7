"""Batches have every face that they should, the same for the same seed, and mirror each face every other
epoch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from tests.zoo.training.tiny import CPU, tiny_dataset
from zoo.data.augment import Augmentation
from zoo.data.batches import TrainingBatches, evaluation_batches
from zoo.data.channels import Preprocess
from zoo.data.dataset import FaceDataset

DATASET = tiny_dataset()
PLAIN = Preprocess(("gray",), (0.0,), (1 / 255,))  # float 0–255, as the faces are
QUIET = Augmentation(flip=False, strength=0.0)


def _batches(
    augmentation: Augmentation = QUIET, dataset: FaceDataset = DATASET, **changes: Any
) -> TrainingBatches:
    options = {
        "batch_size": 20,
        "balance": "none",
        "balance_strength": 1.0,
        "soft_labels": False,
        "seed": 0,
        "device": CPU,
    }
    return TrainingBatches(dataset, dataset.rows("Training"), PLAIN, augmentation, **{**options, **changes})


def _all(batches: TrainingBatches, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
    images, targets = zip(*batches.epoch(epoch), strict=True)
    return torch.cat(images), torch.cat(targets)


def _rows(images: torch.Tensor) -> list[int]:
    """Which face of the data set each image is, or -1."""
    known = {face.tobytes(): row for row, face in enumerate(DATASET.faces)}
    return [known.get(image.round().byte().numpy().tobytes(), -1) for image in images[:, 0]]


def test_an_epoch_visits_each_row_once_but_for_the_last_small_batch() -> None:
    batches = _batches()
    assert batches.count == 4  # 96 rows in batches of 20 leave out 16
    images, targets = _all(batches, 0)
    rows = _rows(images)
    assert images.shape == (80, 1, 48, 48) and len(set(rows)) == 80
    assert set(rows) <= set(DATASET.rows("Training").tolist())
    assert targets.argmax(1).tolist() == DATASET.labels[rows].tolist()
    assert set(_rows(_all(batches, 1)[0])) != set(rows)


def test_a_batch_larger_than_the_data_is_all_of_it() -> None:
    batches = _batches(batch_size=1000)
    assert (batches.count, batches.batch_size) == (1, 96)


def test_epochs_follow_from_seed_and_number_alone() -> None:
    augmentation = Augmentation()
    first, again = _batches(augmentation), _batches(augmentation)
    _all(again, 0)
    assert torch.equal(_all(first, 3)[0], _all(again, 3)[0])
    assert not torch.equal(_all(first, 3)[0], _all(first, 4)[0])
    assert not torch.equal(_all(first, 3)[0], _all(_batches(augmentation, seed=1), 3)[0])


def test_every_face_is_mirrored_in_every_other_epoch() -> None:
    batches = _batches(replace(QUIET, flip=True), batch_size=96)
    straight = []
    for epoch in range(3):
        straight.append({row for row in _rows(_all(batches, epoch)[0]) if row >= 0})
    assert straight[0] == straight[2] and straight[0].isdisjoint(straight[1])
    assert straight[0] | straight[1] == set(DATASET.rows("Training").tolist())
    assert 30 < len(straight[0]) < 66


def test_images_are_channels_last() -> None:
    batches = TrainingBatches(
        DATASET,
        DATASET.rows("Training"),
        Preprocess(("gray", "sobel"), (0.5, 0.5), (0.2, 0.2)),
        QUIET,
        batch_size=8,
        balance="none",
        balance_strength=1.0,
        soft_labels=False,
        seed=0,
        device=CPU,
    )
    images, _ = next(batches.epoch(0))
    assert images.shape == (8, 2, 48, 48) and images.is_contiguous(memory_format=torch.channels_last)


def test_votes_are_targets_only_when_asked_for() -> None:
    votes = np.random.default_rng(0).dirichlet((1, 1, 1), len(DATASET)).astype(np.float32)
    dataset = replace(DATASET, votes=votes)
    images, targets = _all(_batches(dataset=dataset, soft_labels=True), 0)
    assert np.array_equal(targets.numpy(), votes[_rows(images)])
    assert set(_all(_batches(dataset=dataset), 0)[1].unique().tolist()) == {0.0, 1.0}


def test_a_read_only_memory_map_serves() -> None:
    faces = DATASET.faces.copy()
    faces.flags.writeable = False
    images, _ = _all(_batches(Augmentation(), replace(DATASET, faces=faces)), 0)
    assert torch.equal(images, _all(_batches(Augmentation()), 0)[0])


def test_evaluation_keeps_the_order() -> None:
    for size in (7, None):
        parts = list(evaluation_batches(DATASET.faces, PLAIN, device=CPU, batch_size=size))
        assert _rows(torch.cat(parts)) == list(range(len(DATASET)))
    assert len(parts) == 3  # 174 faces, 64 at a time on a CPU
    assert list(evaluation_batches(DATASET.faces[:0], PLAIN, device=CPU)) == []
