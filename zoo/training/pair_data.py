"""What a comparison network is trained for and with; trains nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zoo.data.augment import Augmentation
from zoo.data.dataset import FaceDataset
from zoo.data.pairs import Pairs, Triplets
from zoo.errors import ConfigError
from zoo.networks.config import require, require_choice

__all__ = ["LOSSES", "Objective", "PairData", "check_objective", "flips_at_most"]

LOSSES = ("pair", "contrastive", "triplet", "both")


@dataclass(frozen=True)
class Objective:
    """What a comparison network is trained for.

    Attributes:
        loss: `pair` (binary cross-entropy), `contrastive`, `triplet` (two hinges) or `both` (pair, triplet).
        classification: weight of the cross-entropy of the labels; 0 where they aren't trained with, as with
            a frozen backbone, with lists, or where the network names no expressions.
        frozen: the backbone stays as it is; its features are computed once, of `views` variations of a face.
        views: the first is the face itself, the others are augmented; where augmentation only flips, the
            second is its mirror image, and there is no third.
    """

    loss: str = "both"
    classification: float = 1.0
    frozen: bool = False
    views: int = 4

    def __post_init__(self) -> None:
        require_choice("loss", self.loss, LOSSES)
        require(self.classification >= 0, "classification", self.classification, "at least 0")
        require(self.views >= 1, "views", self.views, "at least 1")


@dataclass(frozen=True)
class PairData:
    """What a comparison network is trained with and selected by.

    Attributes:
        dataset: the faces; its votes decide the triplets of a batch.
        train: int64 (N,), the rows to train with.
        held_out: other pairs, which select the epoch; of other rows, but for Google's set, where a face is
            in many triplets.
        held_out_triplets: likewise; they select it where nothing but triplets is trained with.
        pairs, triplets: lists to train with; where both are None, every batch is a set of faces that are all
            compared with each other.
    """

    dataset: FaceDataset
    train: np.ndarray
    held_out: Pairs
    pairs: Pairs | None = None
    triplets: Triplets | None = None
    held_out_triplets: Triplets | None = None

    @property
    def held_out_rows(self) -> np.ndarray:
        """The rows of the held-out pairs and triplets, in order: int64 (M,)."""
        members = [self.held_out.first, self.held_out.second]
        if self.held_out_triplets is not None:
            three = self.held_out_triplets
            members += [three.first, three.second, three.odd]
        return np.unique(np.concatenate(members))

    @property
    def listed(self) -> bool:
        """Whether lists rather than sets of faces are trained with."""
        return self.pairs is not None or self.triplets is not None

    @property
    def epoch_size(self) -> int:
        """How many faces an epoch passes over; where there are lists, entries of the longer one."""
        if not self.listed:
            return len(self.train)
        return max(len(entries) for entries in (self.pairs, self.triplets) if entries is not None)

    @property
    def seen(self) -> np.ndarray:
        """The rows that training meets, in order: int64 (M,); where there are lists, those in them."""
        if not self.listed:
            return np.unique(self.train)
        members = [] if self.pairs is None else [self.pairs.first, self.pairs.second]
        if self.triplets is not None:
            members += [self.triplets.first, self.triplets.second, self.triplets.odd]
        return np.unique(np.concatenate(members))


def flips_at_most(augmentation: Augmentation) -> bool:
    """Whether an augmentation mirrors faces, or does nothing, and so gives two views of a face at most."""
    return not augmentation.warps and not augmentation.erase * augmentation.strength


def check_objective(objective: Objective, data: PairData, batch_size: int) -> None:
    """See that the data, and the batches, have what the loss needs.

    Raises:
        ConfigError: there are no votes, the lists are not those of the loss, or a batch has too few faces.
    """
    fewest = 3 if objective.loss in ("triplet", "both") else 2
    if not data.listed and batch_size < fewest:
        raise ConfigError(
            f"batch_size is {batch_size}; required: at least {fewest} for the loss {objective.loss}, which "
            "compares the faces of a batch"
        )
    if data.listed:
        wanted = {"pair": data.pairs, "contrastive": data.pairs, "triplet": data.triplets}
        given = data.pairs if objective.loss == "both" and data.triplets is not None else None
        require(
            wanted.get(objective.loss, given) is not None, "loss", objective.loss, "one that the lists suit"
        )
    elif objective.loss in ("triplet", "both") and data.dataset.votes is None:
        raise ConfigError(
            f"loss {objective.loss!r} needs annotators' votes, which {data.dataset.name} has none of; "
            "required: --ferplus CSV, or the loss pair or contrastive"
        )
