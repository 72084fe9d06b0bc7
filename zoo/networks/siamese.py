"""The two published comparison networks, over frozen ImageNet networks, and the registry of all kinds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from zoo.errors import ConfigError, WeightsError
from zoo.networks.comparison import ComparisonConfig, ComparisonNetwork, EmbeddingConfig
from zoo.networks.config import Cost, require, require_choice

__all__ = ["SIAMESE", "SiameseConfig", "SiameseNetwork", "comparison_from_json", "load_imagenet_weights"]

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_WIDTHS = {"resnet18": 512, "mobilenet_v3_large": 960}
# Multiply–accumulates at 224 pixels, as torchvision states them for its weights.
_MACS = {"resnet18": 1_814_000_000, "mobilenet_v3_large": 217_000_000}


@dataclass(frozen=True)
class SiameseConfig(ComparisonConfig):
    """Two branches that share one frozen network, and a head over both results side by side.

    Attributes:
        network: `resnet18` or `mobilenet_v3_large`, as torchvision builds them, without their last layers.
        hidden: width of the head's only hidden layer.
        pixels: faces are enlarged to this height and width.
    """

    family: ClassVar[str] = "siamese"

    network: str
    hidden: int = 256
    pixels: int = 224

    def __post_init__(self) -> None:
        require_choice("network", self.network, tuple(_WIDTHS))
        require(self.hidden >= 1, "hidden", self.hidden, "at least 1")
        require(self.pixels >= 32, "pixels", self.pixels, "at least 32")

    def to_json(self) -> dict[str, Any]:
        return {"family": self.family, "network": self.network, "hidden": self.hidden, "pixels": self.pixels}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> SiameseConfig:
        """The config that `to_json` described."""
        return cls(values["network"], values["hidden"], values["pixels"])

    def build(self) -> SiameseNetwork:
        return SiameseNetwork(self)

    def cost(self) -> Cost:
        parameters = sum(parameter.numel() for parameter in self.build().parameters())
        head = 2 * _WIDTHS[self.network] * self.hidden + self.hidden
        return Cost(parameters, 2 * int(_MACS[self.network] * (self.pixels / 224) ** 2) + head)


class SiameseNetwork(ComparisonNetwork):
    """The network of a `SiameseConfig`: both faces' features, concatenated → 256 ReLU → 1.

    As published, its answer depends on which face comes first, and it names no expressions.
    """

    mean: Tensor
    std: Tensor
    channels = ("gray",)

    def __init__(self, config: SiameseConfig) -> None:
        super().__init__()
        from torchvision import models

        self.config = config
        self.backbone: nn.Module
        if config.network == "resnet18":
            self.backbone = models.resnet18(weights=None)
            self.backbone.fc = nn.Identity()
        else:
            self.backbone = models.mobilenet_v3_large(weights=None)
            self.backbone.classifier = nn.Identity()
        width = _WIDTHS[config.network]
        self.head = nn.Sequential(nn.Linear(2 * width, config.hidden), nn.ReLU(), nn.Linear(config.hidden, 1))
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def features(self, images: Tensor) -> Tensor:
        """Gray faces, float (N, 1, 48, 48), 0–1 → (N, D)."""
        size = (self.config.pixels, self.config.pixels)
        large = nn.functional.interpolate(images, size=size, mode="bilinear", align_corners=False)
        features: Tensor = self.backbone((large - self.mean) / self.std)
        return features.float()

    def embed(self, features: Tensor) -> Tensor:
        return features

    def classify(self, features: Tensor) -> None:
        return None

    def compare(self, first: Tensor, second: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.cat([first, second], dim=1))
        return logits.squeeze(1)


SIAMESE: dict[str, SiameseConfig] = {
    "siamese_resnet18": SiameseConfig("resnet18"),
    "siamese_mobilenet_v3": SiameseConfig("mobilenet_v3_large"),
}
"""The published comparison networks by name."""

_FAMILIES: dict[str, Callable[[dict[str, Any]], ComparisonConfig]] = {
    EmbeddingConfig.family: EmbeddingConfig.from_json,
    SiameseConfig.family: SiameseConfig.from_json,
}


def comparison_from_json(values: dict[str, Any]) -> ComparisonConfig:
    """The config that `to_json` of any comparison network described.

    Raises:
        ConfigError: the family is unknown, a field is missing, or a value is one that it cannot have.
    """
    family = values.get("family")
    if family not in _FAMILIES:
        raise ConfigError(f"comparison family {family!r} is unknown; known are {', '.join(_FAMILIES)}")
    try:
        return _FAMILIES[family](values)
    except KeyError as error:
        raise ConfigError(f"{family} config has no {error.args[0]!r}") from None


def load_imagenet_weights(network: SiameseNetwork) -> None:
    """Put torchvision's ImageNet weights into the backbone, downloading them where they aren't kept yet.

    Files of older releases don't count the batches that a norm has seen, which nothing here depends on.

    Raises:
        WeightsError: they can't be downloaded, or lack a weight of the backbone.
    """
    from torchvision import models

    chosen = {
        "resnet18": models.ResNet18_Weights.IMAGENET1K_V1,
        "mobilenet_v3_large": models.MobileNet_V3_Large_Weights.IMAGENET1K_V2,
    }[network.config.network]
    try:
        weights = chosen.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"ImageNet weights of {network.config.network} cannot be had from {chosen.url}: {error}"
        ) from None
    kept = network.backbone.state_dict()
    lacking = [name for name in kept.keys() - weights if not name.endswith("num_batches_tracked")]
    if lacking:
        raise WeightsError(f"{chosen.url}: the ImageNet weights lack {', '.join(sorted(lacking))}")
    network.backbone.load_state_dict({name: weights.get(name, value) for name, value in kept.items()})
