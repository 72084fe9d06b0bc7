"""ResNets (He et al., 2016, arXiv:1512.03385) for small gray faces, as torchvision builds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from zoo.networks.config import Cost, NetworkConfig, require
from zoo.networks.cost import count_by_running

__all__ = ["ResNetConfig", "ResNetNetwork", "average_colours", "count_resnet"]

DEPTHS = (18, 34, 50, 101)


@dataclass(frozen=True)
class ResNetConfig(NetworkConfig):
    """Added 3×3 convolution → ResNet on one channel → global average pooling → linear layers.

    Attributes:
        depth: 18, 34, 50 or 101.
        linear: widths of the hidden linear layers, a ReLU and dropout behind each.
        dropout: probability of dropping an output of a hidden linear layer.
    """

    family: ClassVar[str] = "resnet"

    depth: int = 101
    linear: tuple[int, ...] = (512,)
    dropout: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.depth in DEPTHS, "depth", self.depth, "one of " + ", ".join(map(str, DEPTHS)))
        require(all(width >= 1 for width in self.linear), "linear", self.linear, "at least 1 each")
        require(0 <= self.dropout < 1, "dropout", self.dropout, "at least 0 and below 1")


class ResNetNetwork(nn.Module):
    """The network of a `ResNetConfig`: float (N, channels, 48, 48) → logits (N, classes)."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        from torchvision import models

        self.config = config
        # Residual branches that begin as nothing, arXiv:1706.02677: 101 layers learn sooner from scratch.
        self.body = models.get_model(f"resnet{config.depth}", weights=None, zero_init_residual=True)
        self.body.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(self.body.conv1.weight, mode="fan_out", nonlinearity="relu")
        width = self.body.fc.in_features
        self.body.fc = nn.Identity()
        # Begins as the mean of the input channels, so that weights trained on other images see an image.
        self.added = nn.Conv2d(len(config.channels), 1, 3, padding=1)
        with torch.no_grad():
            self.added.weight.zero_()
            self.added.weight[:, :, 1, 1] = 1 / len(config.channels)
            self.added.bias.zero_()  # type: ignore[union-attr]
        self.hidden = nn.Sequential()
        for outputs in config.linear:
            self.hidden.extend([nn.Linear(width, outputs), nn.ReLU(), nn.Dropout(config.dropout)])
            width = outputs
        self.classifier = nn.Linear(width, config.classes)

    def features(self, images: Tensor) -> Tensor:
        """The input of the last linear layer: float (N, channels, 48, 48) → (N, D)."""
        features: Tensor = self.hidden(self.body(self.added(images)))
        return features

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(images))
        return logits

    def load_imagenet(self, weights: dict[str, Tensor]) -> None:
        """Take over torchvision's ImageNet weights of the same depth; the linear layers stay as they are.

        Args:
            weights: as torchvision's `get_state_dict` gives them.
        """
        taken: dict[str, Any] = {name: value for name, value in weights.items() if not name.startswith("fc.")}
        taken["conv1.weight"] = average_colours(taken["conv1.weight"])
        self.body.load_state_dict(taken)


def average_colours(weight: Tensor) -> Tensor:
    """A first convolution for gray images: the mean over its colour channels, (O, 3, H, W) → (O, 1, H, W)."""
    return weight.mean(dim=1, keepdim=True)


def count_resnet(config: ResNetConfig) -> Cost:
    """Exact cost of the network of a config."""
    return count_by_running(ResNetNetwork, config)
