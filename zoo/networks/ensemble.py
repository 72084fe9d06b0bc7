"""Several networks that answer as one; knows no files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from zoo.networks.config import NetworkConfig, require

__all__ = ["EnsembleConfig", "EnsembleNetwork"]


@dataclass(frozen=True)
class EnsembleConfig(NetworkConfig):
    """An ensemble of saved models. It has no weights of its own.

    Attributes:
        members: their names, at least two, or one with `flip`.
        digests: of their weights files, one a member.
        flip: the mirror image of a face is asked, too.
    """

    family: ClassVar[str] = "ensemble"

    members: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    flip: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(len(self.members) + self.flip >= 2, "members", self.members, "at least 2, or 1 with flip")
        require(
            len(self.digests) == len(self.members),
            "digests",
            self.digests,
            f"{len(self.members)}, one a member",
        )


class EnsembleNetwork(nn.Module):
    """Gray faces, float (N, 1, 48, 48), 0–1 → logits (N, classes): the log of the members' mean probability.

    Args:
        members: network, preprocessing and temperature of each.
        flip: the mean is over each face and its mirror image.
    """

    def __init__(self, members: Sequence[tuple[nn.Module, nn.Module, float]], *, flip: bool) -> None:
        super().__init__()
        self.networks = nn.ModuleList(network for network, _, _ in members)
        self.preprocessing = nn.ModuleList(preprocess for _, preprocess, _ in members)
        self.temperatures = [temperature for _, _, temperature in members]
        self.flip = flip

    def forward(self, images: Tensor) -> Tensor:
        faces = images[:, 0] * 255
        views = [faces, faces.flip(2)] if self.flip else [faces]
        answers = [
            torch.log_softmax(network(preprocess(view)) / temperature, dim=1)
            for view in views
            for network, preprocess, temperature in zip(
                self.networks, self.preprocessing, self.temperatures, strict=True
            )
        ]
        return torch.stack(answers).logsumexp(dim=0) - math.log(len(answers))
