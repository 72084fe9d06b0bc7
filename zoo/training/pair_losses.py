"""Losses over the faces of one batch: every pair of them, or triplets of them; pure functions of tensors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = [
    "CONTRAST_MARGIN",
    "ONE_CLASS_MARGIN",
    "TRIPLET_MARGIN",
    "all_pairs",
    "contrastive_loss",
    "pair_loss",
    "triplet_loss",
    "vote_triplets",
]

TRIPLET_MARGIN, ONE_CLASS_MARGIN = 0.2, 0.1
"""How much farther the odd face should be, in squared distance: of Vemulapalli and Agarwala, CVPR 2019."""

CONTRAST_MARGIN = 1.0
"""Distance beyond which different faces are far enough (Hadsell, Chopra and LeCun, CVPR 2006)."""


def all_pairs(labels: Tensor, classes: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Every pair of a batch, weighted as if pairs were drawn balanced.

    Half of the weight is on pairs of one class and half on pairs of two; within each half all classes, and
    all two classes, that occur weigh alike. So whatever a batch holds, the loss aims at balanced pairs.

    Args:
        labels: int64 (N,).

    Returns:
        first, second: int64 (P,), places in the batch; same: bool (P,); weight: float32 (P,).
    """
    first, second = torch.triu_indices(len(labels), len(labels), 1, device=labels.device)
    low = torch.minimum(labels[first], labels[second])
    high = torch.maximum(labels[first], labels[second])
    same = low == high
    kind = low * classes + high
    counts = torch.bincount(kind, minlength=classes * classes)
    kinds = (counts > 0).view(classes, classes)
    alike = kinds.diagonal().sum()
    share = torch.where(same, 0.5 / alike.clamp(min=1), 0.5 / (kinds.sum() - alike).clamp(min=1))
    return first, second, same, share / counts[kind]


def pair_loss(logits: Tensor, same: Tensor, weight: Tensor | None = None) -> Tensor:
    """Binary cross-entropy, nats: of logits (P,) and same (P,); the mean, or the sum with `weight` (P,)."""
    if weight is None:
        return nn.functional.binary_cross_entropy_with_logits(logits, same.float())
    losses = nn.functional.binary_cross_entropy_with_logits(logits, same.float(), reduction="none")
    return (weight * losses).sum()


def contrastive_loss(distances: Tensor, same: Tensor, weight: Tensor | None = None) -> Tensor:
    """Squared distance of same pairs, squared shortfall from the margin of different ones.

    Args:
        distances: squared, (P,).
        same: bool (P,).
        weight: (P,), summing to 1; None weighs all alike.
    """
    # The square root has no gradient at 0, where equal embeddings are.
    apart = distances.clamp(min=1e-8).sqrt()
    losses = torch.where(same, distances, (CONTRAST_MARGIN - apart).clamp(min=0).square())
    return losses.mean() if weight is None else (weight * losses).sum()


def vote_triplets(votes: Tensor, *, margin: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random triplets of a batch whose similar pair the votes decide, as `zoo.data.pairs.make_triplets` does.

    Args:
        votes: float (N, classes), rows summing to 1.
        margin: how much closer the similar pair is than both others, in shares of votes.
        generator: on the CPU.

    Returns:
        places int64 (3, T), the similar pair first; kind int64 (T,), emotions minus one.
    """
    places = torch.randint(len(votes), (3, 8 * len(votes)), generator=generator).to(votes.device)
    faces = votes[places]
    near = [(faces[(odd + 1) % 3] - faces[(odd + 2) % 3]).abs().sum(1) / 2 for odd in range(3)]
    distances, odd = torch.stack(near).sort(dim=0)
    a, b, c = places
    distinct = (a != b) & (b != c) & (a != c)
    kept = distinct & (distances[1] - distances[0] >= margin - 1e-6)
    order = torch.stack([(odd[0] + 1) % 3, (odd[0] + 2) % 3, odd[0]])
    top = faces.argmax(2).sort(dim=0).values
    kind = (top[1:] != top[:-1]).sum(0)
    return places.gather(0, order)[:, kept], kind[kept]


def triplet_loss(near: Tensor, far: Tensor, farther: Tensor, kind: Tensor) -> Tensor:
    """Two hinges a triplet, averaged within each type and then over the types that occur.

    Args:
        near: squared distance of the similar pair, (T,).
        far, farther: squared distances of its two faces from the odd one, (T,).
        kind: int64 (T,), 0 for triplets of one class, whose margin is smaller.
    """
    margin = torch.where(kind == 0, ONE_CLASS_MARGIN, TRIPLET_MARGIN)
    losses = (near - far + margin).clamp(min=0) + (near - farther + margin).clamp(min=0)
    counts = torch.bincount(kind, minlength=3)
    return (losses / counts[kind]).sum() / (counts > 0).sum().clamp(min=1)
