"""Rows of a data set that lives whole on the device → augmented, normalised batches; no loader processes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from zoo.data.augment import Augmentation, augment
from zoo.data.balance import epoch_rows, epoch_size
from zoo.data.channels import Preprocess
from zoo.data.dataset import FaceDataset

__all__ = ["TrainingBatches", "evaluation_batch_size", "evaluation_batches"]


class TrainingBatches:
    """Augmented batches of the training rows, the same for the same seed and epoch.

    The faces stay on the device as uint8; a batch is gathered, augmented and normalised there. Nothing waits
    for the device. On a CPU they stay where the data set has them, so that processes which map the same cache
    file share its pages. The last, smaller batch of an epoch is left out, as its batch-norm statistics would
    be off; its rows differ every epoch.

    Args:
        dataset: where the faces come from.
        rows: int64 (N,), the training rows.
        preprocess: on `device`.
        soft_labels: use the data set's votes as targets where it has them.
    """

    def __init__(
        self,
        dataset: FaceDataset,
        rows: np.ndarray,
        preprocess: Preprocess,
        augmentation: Augmentation,
        *,
        batch_size: int,
        balance: str,
        balance_strength: float,
        soft_labels: bool,
        seed: int,
        device: torch.device,
    ) -> None:
        self._labels = dataset.labels[rows]
        self._preprocess = preprocess
        self._augmentation = augmentation
        self._balance, self._strength = balance, balance_strength
        self._seed, self._device = seed, device
        if device.type == "cpu":
            self._faces = _as_tensor(dataset.faces)
            self._places = torch.from_numpy(rows)
        else:
            self._faces = torch.from_numpy(np.array(dataset.faces[rows])).to(device)
            self._places = torch.arange(len(rows), device=device)
        if soft_labels and dataset.votes is not None:
            targets = torch.from_numpy(dataset.votes[rows])
        else:
            targets = torch.eye(len(dataset.classes))[torch.from_numpy(self._labels)]
        self._targets = targets.to(device)
        size = epoch_size(self._labels, balance, balance_strength)
        self.batch_size = min(batch_size, size)
        self.count = size // self.batch_size
        flips = torch.Generator().manual_seed(seed)
        self._flips = torch.randint(0, 2, (len(rows),), generator=flips).to(device)

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of one epoch.

        Yields:
            images: float32 (B, C, 48, 48), channels last; targets: float32 (B, classes), rows summing to 1.
        """
        order = torch.Generator().manual_seed(_mix(self._seed, number))
        rows = epoch_rows(self._labels, self._balance, self._strength, order).to(self._device)
        generator = torch.Generator(self._device).manual_seed(_mix(self._seed, number) + 1)
        for start in range(0, self.count * self.batch_size, self.batch_size):
            chosen = rows[start : start + self.batch_size]
            flipped = (self._flips[chosen] + number) % 2 == 1 if self._augmentation.flip else None
            faces = augment(
                self._faces[self._places[chosen]], self._augmentation, flipped=flipped, generator=generator
            )
            images = self._preprocess(faces).contiguous(memory_format=torch.channels_last)
            yield images, self._targets[chosen]


def _as_tensor(faces: np.ndarray) -> Tensor:
    """The same memory as a tensor; torch warns of read-only arrays, but nothing here writes to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(faces)


def _mix(seed: int, epoch: int) -> int:
    """One number for a seed and an epoch, different for different ones."""
    return (seed * 1_000_003 + epoch) * 2 % (1 << 62)


def evaluation_batch_size(device: torch.device) -> int:
    """How many faces at once suit a device."""
    # A batch has to fit a core's caches: on one core a network of 5.6 M multiply–accumulates answered
    # 4,700 faces a second in batches of 64, 2,000 in batches of 256; one of 44 M, 720 and 590.
    return 64 if device.type == "cpu" else 1024


def evaluation_batches(
    faces: np.ndarray, preprocess: Preprocess, *, device: torch.device, batch_size: int | None = None
) -> Iterator[Tensor]:
    """All faces in order, without augmentation.

    Args:
        faces: uint8 (N, 48, 48).
        batch_size: None picks what suits the device.

    Yields:
        images: float32 (B, C, 48, 48), channels last.
    """
    batch_size = batch_size or evaluation_batch_size(device)
    for start in range(0, len(faces), batch_size):
        chunk = torch.from_numpy(np.array(faces[start : start + batch_size])).to(device)
        yield preprocess(chunk).contiguous(memory_format=torch.channels_last)
