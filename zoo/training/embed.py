"""Faces → what a comparison network makes of them, batch by batch; knows no labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from zoo.data.batches import evaluation_batches
from zoo.data.channels import Preprocess
from zoo.networks.comparison import ComparisonNetwork
from zoo.training.device import autocast, full_precision

__all__ = ["backbone_features", "embed_faces"]

_EVALUATION_BATCH = 128


def embed_faces(
    network: ComparisonNetwork,
    faces: np.ndarray,
    preprocess: Preprocess,
    *,
    device: torch.device,
    batch_size: int = _EVALUATION_BATCH,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Describe faces in evaluation mode, in float32.

    Args:
        faces: uint8 (N, 48, 48), N at least 1.

    Returns:
        embeddings float32 (N, E), and expression logits float32 (N, classes) or None.
    """
    network.eval()
    embeddings, logits = [], []
    with torch.inference_mode(), full_precision(device):
        for images in evaluation_batches(faces, preprocess, batch_size=batch_size, device=device):
            embedding, answer = network.describe(images)
            embeddings.append(embedding.float())
            if answer is not None:
                logits.append(answer.float())
    named = torch.cat(logits).cpu().numpy() if logits else None
    return torch.cat(embeddings).cpu().numpy(), named


def backbone_features(
    network: ComparisonNetwork,
    faces: np.ndarray,
    preprocess: Preprocess,
    device: torch.device,
    precision: torch.dtype,
    on_batch: Callable[[int], None] | None = None,
) -> Tensor:
    """The backbone's features of faces uint8 (N, 48, 48), in evaluation mode: float32 (N, D), on the CPU.

    Args:
        on_batch: called after each batch with the number of its faces.
    """
    network.eval()
    parts = []
    with torch.inference_mode(), autocast(device, precision):
        batches = evaluation_batches(faces, preprocess, batch_size=_EVALUATION_BATCH, device=device)
        for images in batches:
            parts.append(network.features(images).float().cpu())
            if on_batch:
                on_batch(len(images))
    return torch.cat(parts)
