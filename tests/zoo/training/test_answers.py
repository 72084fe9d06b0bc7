"""Answers to many faces come in order, in batches that a device has memory for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zoo.data.channels import Preprocess
from zoo.training.answers import answers

PLAIN = Preprocess(("gray",), (0.0,), (1 / 255,))  # float 0–255, as the faces are
FACES = np.repeat(np.arange(150, dtype=np.uint8), 48 * 48).reshape(150, 48, 48)


class _Small:
    """A network on a device that has memory for so many faces."""

    def __init__(self, most: int) -> None:
        self.most, self.batches = most, list[int]()

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(images))
        if len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return images[:, 0, 0, 0]


@pytest.mark.parametrize(
    ("most", "size", "batches"),
    [
        (64, None, [64, 64, 22]),
        (40, None, [64, *[32] * 4, 22]),
        (1, 3, [3, *[1] * 150]),
        (100, 120, [120, 60, 60, 30]),
    ],
)
def test_batches_are_halved_until_they_fit(most: int, size: int | None, batches: list[int]) -> None:
    network = _Small(most)
    parts = answers(network, FACES, PLAIN, batch_size=size)
    assert torch.cat(parts).round().tolist() == list(range(150))
    assert network.batches == batches


def test_a_later_batch_that_does_not_fit_repeats_no_face() -> None:
    network = _Small(64)

    def fuller(images: torch.Tensor) -> torch.Tensor:
        network.most = 64 if len(network.batches) < 1 else 20
        return network(images)

    assert torch.cat(answers(fuller, FACES, PLAIN)).round().tolist() == list(range(150))
    assert network.batches == [64, 64, 32, *[16] * 5, 6]


def test_memory_for_no_face_is_an_error() -> None:
    network = _Small(0)
    with pytest.raises(torch.OutOfMemoryError):
        answers(network, FACES, PLAIN)
    assert network.batches == [64, 32, 16, 8, 4, 2, 1]


def test_other_errors_are_not_tried_again() -> None:
    calls = []

    def broken(images: torch.Tensor) -> torch.Tensor:
        calls.append(len(images))
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        answers(broken, FACES, PLAIN)
    assert calls == [64]
