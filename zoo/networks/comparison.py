"""Networks that say whether two faces show the same expression: the interface, and ours over any backbone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from zoo.networks import build, config_from_json, count
from zoo.networks.config import Cost, NetworkConfig, require

__all__ = ["ComparisonConfig", "ComparisonNetwork", "EmbeddingConfig", "EmbeddingNetwork"]


class ComparisonConfig(ABC):
    """Base of the configs of comparison networks: a config describes its network completely."""

    family: ClassVar[str]

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Plain values that `zoo.networks.siamese.comparison_from_json` turns back into an equal config."""

    @abstractmethod
    def build(self) -> ComparisonNetwork:
        """The network, freshly initialised from torch's global random state, on the CPU."""

    @abstractmethod
    def cost(self) -> Cost:
        """Parameters, and multiply–accumulates of comparing two 48×48 faces."""


class ComparisonNetwork(nn.Module, ABC):
    """Faces → features → embeddings; two embeddings → the logit of *same expression*.

    Attributes:
        channels: what the network sees of a face, names out of `zoo.networks.config.CHANNELS`.
        backbone: the part that may be frozen: everything before the features.
    """

    channels: tuple[str, ...]
    backbone: nn.Module

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """What the backbone makes of faces: float (N, channels, 48, 48) → (N, D)."""

    @abstractmethod
    def embed(self, features: Tensor) -> Tensor:
        """Embeddings for `compare`: (N, D) → (N, E)."""

    @abstractmethod
    def compare(self, first: Tensor, second: Tensor) -> Tensor:
        """Logits of *same*, higher for more alike: embeddings (P, E), (P, E) → (P,)."""

    def distance(self, first: Tensor, second: Tensor) -> Tensor:
        """How unlike two faces are, the same in both orders: embeddings (P, E), (P, E) → (P,).

        Where a network has no distance of its own, minus its mean logit of *same*.
        """
        return -(self.compare(first, second) + self.compare(second, first)) / 2

    @abstractmethod
    def classify(self, features: Tensor) -> Tensor | None:
        """Logits of the expressions, (N, D) → (N, classes); None where the network names none."""

    def describe(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Embeddings and expression logits of faces as they are used once trained."""
        features = self.features(images)
        return self.embed(features), self.classify(features)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Logits of *same* for two batches of faces, float (P, channels, 48, 48) each."""
        return self.compare(self.describe(first)[0], self.describe(second)[0])


@dataclass(frozen=True)
class EmbeddingConfig(ComparisonConfig):
    """Any network of the zoo, turned into a unit-length embedding.

    Attributes:
        backbone: the network whose features are embedded and whose classifier names the expressions.
        size: length of the embedding. FECNet's was 16 (arXiv:1811.11283).
        hidden: width of the layer between the features and the embedding; 0 for none. On the features of a
            network of 57% accuracy, 128 raised the area under the curve of pairs from 0.758 to 0.764.
    """

    family: ClassVar[str] = "embedding"

    backbone: NetworkConfig
    size: int = 64
    hidden: int = 128

    def __post_init__(self) -> None:
        require(self.size >= 2, "size", self.size, "at least 2")
        require(self.hidden >= 0, "hidden", self.hidden, "at least 0")

    def to_json(self) -> dict[str, Any]:
        backbone = self.backbone.to_json()
        return {"family": self.family, "backbone": backbone, "size": self.size, "hidden": self.hidden}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> EmbeddingConfig:
        """The config that `to_json` described."""
        return cls(config_from_json(values["backbone"]), values["size"], values["hidden"])

    def build(self) -> EmbeddingNetwork:
        return EmbeddingNetwork(self)

    def cost(self) -> Cost:
        backbone = count(self.backbone)
        project = self.build().project
        weights = sum(weight.numel() for weight in project.parameters() if weight.ndim == 2)
        parameters = sum(weight.numel() for weight in project.parameters())
        # Two faces, each with its mirror image.
        return Cost(backbone.parameters + parameters + 2, 4 * (backbone.macs + weights))


class EmbeddingNetwork(ComparisonNetwork):
    """The network of an `EmbeddingConfig`.

    A face's embedding sees the features and the square roots of the expressions' probabilities, whose dot
    product is the Bhattacharyya coefficient. The logit of *same* falls with the squared distance of two
    embeddings, which are points of the unit sphere. So the answer for (A, B) is the answer for (B, A), and
    no pair is more alike than a face and itself. The embedding is the mean over a face and its mirror image
    before it is scaled to length one, so a mirrored face is the same face.
    """

    def __init__(self, config: EmbeddingConfig) -> None:
        super().__init__()
        self.config = config
        self.channels = config.backbone.channels
        self.backbone = build(config.backbone)
        classifier = self.backbone.classifier
        assert isinstance(classifier, nn.Linear)
        width = classifier.in_features + config.backbone.classes
        hidden = [nn.Linear(width, config.hidden), nn.ReLU()] if config.hidden else []
        self.project = nn.Sequential(*hidden, nn.Linear(config.hidden or width, config.size, bias=False))
        # The start: alike faces 88% sure to be the same, unrelated ones (a right angle) 27%.
        self.log_scale = nn.Parameter(torch.tensor(0.4))
        self.offset = nn.Parameter(torch.tensor(2.0))

    def features(self, images: Tensor) -> Tensor:
        features = self.backbone.features(images)  # type: ignore[operator]
        return features.float()

    def classify(self, features: Tensor) -> Tensor:
        logits: Tensor = self.backbone.classifier(features)  # type: ignore[operator]
        return logits

    def _project(self, features: Tensor) -> Tensor:
        roots = self.classify(features).softmax(dim=1).clamp(min=1e-6).sqrt()
        projected: Tensor = self.project(torch.cat([features, roots], dim=1))
        return projected

    def embed(self, features: Tensor) -> Tensor:
        return nn.functional.normalize(self._project(features), dim=1)

    def distance(self, first: Tensor, second: Tensor) -> Tensor:
        """Squared distance of points of the unit sphere, 0–4."""
        return (first - second).square().sum(dim=1)

    def compare(self, first: Tensor, second: Tensor) -> Tensor:
        return self.offset - self.log_scale.exp() * self.distance(first, second)

    def describe(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings and expression logits, each the mean over the faces and their mirror images."""
        features, mirrored = self.features(images), self.features(images.flip(3))
        both = self._project(features) + self._project(mirrored)
        logits = (self.classify(features) + self.classify(mirrored)) / 2
        return nn.functional.normalize(both, dim=1), logits
