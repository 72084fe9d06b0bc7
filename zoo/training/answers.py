"""Faces → what a network answers, in batches that fit the device; knows no card and no labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from zoo.data.batches import evaluation_batch_size, evaluation_batches
from zoo.data.channels import Preprocess
from zoo.training.device import free_memory, is_out_of_memory

__all__ = ["answers"]


def answers(
    function: Callable[[Tensor], Tensor],
    faces: np.ndarray,
    preprocess: Preprocess,
    *,
    batch_size: int | None = None,
    advance: Callable[[int], object] | None = None,
) -> list[Tensor]:
    """What a function makes of all faces in order, batch by batch.

    Where the device has too little memory for a batch, that one and the rest are passed in halves.

    Args:
        function: of images as `evaluation_batches` gives them.
        faces: uint8 (N, 48, 48).
        preprocess: on the device.
        batch_size: None picks what suits the device.
        advance: told after every batch how many faces it had.

    Raises:
        RuntimeError: there is too little memory for one face.
    """
    device = preprocess.mean.device
    size, done = batch_size or evaluation_batch_size(device), 0
    parts: list[Tensor] = []
    while True:
        try:
            for images in evaluation_batches(faces[done:], preprocess, device=device, batch_size=size):
                parts.append(function(images))
                done += len(images)
                if advance:
                    advance(len(images))
            return parts
        except RuntimeError as error:
            if size == 1 or not is_out_of_memory(error):
                raise
        # Not before the error is gone, which keeps what the network had computed.
        size //= 2
        free_memory(device)
