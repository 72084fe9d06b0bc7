"""Networks that say whether two faces show the same expression: the interface, and ours over any backbone."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from zoo.networks import ParametricConfig, build, config_from_json, count
from zoo.networks.config import Cost, NetworkConfig, require

__all__ = ["ComparisonConfig", "ComparisonNetwork", "EmbeddingConfig", "EmbeddingNetwork"]

# How much of Bayes' correction for rare classes is made; the squared distance at which two points stop to
# coincide; and what keeps the logit of a sure agreement finite.
_PRIOR, _COINCIDENCE, _FLOOR = 0.5, 0.01, 0.01


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
        hidden: width of the layer between the features and the embedding; 0 for none.
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

    A face becomes a point of the unit sphere, made of its features and the square roots of its expressions'
    probabilities, and beside it the probabilities themselves. The distance of two faces is that of their
    points. Two faces are as likely to show the same expression as their probabilities agree, p · q; that and
    the distance give the logit of *same*.

    p · q alone would call an unsure face unlike itself. So the part of a face that p leaves open,
    1 - |p|², counts as its own: it agrees with that of another face as far as the two points coincide. That
    is the inner product of unit vectors, so no pair is more alike than a face and itself. The answer for
    (A, B) is the answer for (B, A). Points and probabilities are those of the mean over a face and its mirror
    image, so a mirrored face is the same face.

    Attributes:
        class_bias: added to the expressions' logits before they are probabilities, (classes,); see
            `know_training`.
        temperature: the logits are divided by it, ().
    """

    class_bias: Tensor
    temperature: Tensor

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
        self.log_scale = nn.Parameter(torch.tensor(-1.0))
        # Half of the pairs are the same, not one in so many classes.
        self.offset = nn.Parameter(torch.tensor(math.log(max(config.backbone.classes - 1, 1))))
        self.register_buffer("class_bias", torch.zeros(config.backbone.classes))
        self.register_buffer("temperature", torch.ones(()))

    def know_training(self, shares: Tensor, temperature: float = 1.0) -> None:
        """Tell how the backbone was trained, as pairs are drawn of all classes alike.

        Rare classes gain half of what Bayes' rule would give them, since training balances classes in part
        and labels err. On a network of 67% accuracy the area under the curve of p · q went from 0.833 to
        0.846; the whole correction gave 0.833 again.

        Args:
            shares: of the classes among the training faces, (classes,); 0 where there is none.
            temperature: of the backbone's logits.
        """
        self.class_bias.copy_(-_PRIOR * shares.clamp(min=1e-3).log())
        self.temperature.fill_(temperature)

    def features(self, images: Tensor) -> Tensor:
        features = self.backbone.features(images)  # type: ignore[operator]
        return features.float()

    def classify(self, features: Tensor) -> Tensor:
        """The backbone's own answer, to which its temperature was fitted: (N, D) → (N, classes)."""
        logits: Tensor = self.backbone.classifier(features)  # type: ignore[operator]
        config = self.config.backbone
        ends_in_softmax = isinstance(config, ParametricConfig) and config.final_softmax
        return logits.softmax(dim=1) if ends_in_softmax else logits

    def _probabilities(self, logits: Tensor) -> Tensor:
        return (logits.float() / self.temperature + self.class_bias).softmax(dim=1)

    def _project(self, features: Tensor, logits: Tensor) -> Tensor:
        roots = self._probabilities(logits).clamp(min=1e-6).sqrt()
        projected: Tensor = self.project(torch.cat([features, roots], dim=1))
        return projected

    def _join(self, projected: Tensor, logits: Tensor) -> Tensor:
        point = nn.functional.normalize(projected, dim=1)
        return torch.cat([point, self._probabilities(logits)], dim=1)

    def embed(self, features: Tensor) -> Tensor:
        """Points and probabilities side by side: (N, D) → (N, size + classes)."""
        logits = self.classify(features)
        return self._join(self._project(features, logits), logits)

    def distance(self, first: Tensor, second: Tensor) -> Tensor:
        """Squared distance of points of the unit sphere, 0–4."""
        size = self.config.size
        return (first[:, :size] - second[:, :size]).square().sum(dim=1)

    def compare(self, first: Tensor, second: Tensor) -> Tensor:
        distance = self.distance(first, second)
        p, q = first[:, self.config.size :], second[:, self.config.size :]
        own, other = ((1 - part.square().sum(dim=1)).clamp(min=0).sqrt() for part in (p, q))
        # One minus the agreement, written so that it is exactly 0 for a face and itself.
        apart = ((p - q).square().sum(dim=1) + (own - other).square()) / 2
        apart = apart - own * other * torch.expm1(-distance / _COINCIDENCE)
        agreement = torch.log((1 - apart).clamp(min=0) + _FLOOR) - torch.log(apart + _FLOOR)
        return self.offset + agreement - self.log_scale.exp() * distance

    def describe(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings and expression logits, each the mean over the faces and their mirror images."""
        features, mirrored = self.features(images), self.features(images.flip(3))
        named, mirror_named = self.classify(features), self.classify(mirrored)
        both = self._project(features, named) + self._project(mirrored, mirror_named)
        logits = (named + mirror_named) / 2
        return self._join(both, logits), logits
