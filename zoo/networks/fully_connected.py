"""Linear layers over the pixels: the simplest published network; knows no convolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from zoo.data.dataset import FACE_SIZE
from zoo.networks.blocks import ACTIVATIONS, initialise
from zoo.networks.config import Cost, NetworkConfig, require, require_choice

__all__ = ["FullyConnectedConfig", "FullyConnectedNetwork", "count_fully_connected"]


@dataclass(frozen=True)
class FullyConnectedConfig(NetworkConfig):
    """Flatten → hidden linear layers with their activations → classes.

    Attributes:
        linear: widths of the hidden layers, at least one.
        activation: one of `ACTIVATIONS`.
        dropout: probability of dropping an output of a hidden layer.
    """

    family: ClassVar[str] = "fully_connected"

    linear: tuple[int, ...] = (128, 64, 32)
    activation: str = "relu"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            len(self.linear) > 0 and all(width >= 1 for width in self.linear),
            "linear",
            self.linear,
            "at least one width, at least 1 each",
        )
        require_choice("activation", self.activation, tuple(ACTIVATIONS))
        require(0 <= self.dropout < 1, "dropout", self.dropout, "at least 0 and below 1")


class FullyConnectedNetwork(nn.Module):
    """The network of a `FullyConnectedConfig`: float (N, channels, 48, 48) → logits (N, classes)."""

    def __init__(self, config: FullyConnectedConfig) -> None:
        super().__init__()
        self.config = config
        self.hidden = nn.Sequential()
        inputs = len(config.channels) * FACE_SIZE**2
        for outputs in config.linear:
            self.hidden.append(nn.Linear(inputs, outputs))
            self.hidden.append(ACTIVATIONS[config.activation]())
            self.hidden.append(nn.Dropout(config.dropout))
            inputs = outputs
        initialise(self, config.activation)
        self.classifier = nn.Linear(inputs, config.classes)

    def features(self, images: Tensor) -> Tensor:
        """The input of the last linear layer: float (N, channels, 48, 48) → (N, D)."""
        features: Tensor = self.hidden(images.flatten(1))
        return features

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(images))
        return logits


def count_fully_connected(config: FullyConnectedConfig) -> Cost:
    """Exact cost of the network of a config, from the config alone."""
    widths = (len(config.channels) * FACE_SIZE**2, *config.linear, config.classes)
    macs = sum(inputs * outputs for inputs, outputs in zip(widths[:-1], widths[1:], strict=True))
    return Cost(macs + sum(widths[1:]), macs)
