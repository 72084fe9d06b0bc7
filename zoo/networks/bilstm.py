"""A bidirectional LSTM that reads a face row by row, as published; knows no convolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from zoo.data.dataset import FACE_SIZE
from zoo.networks.blocks import ACTIVATIONS, initialise
from zoo.networks.config import Cost, NetworkConfig, require, require_choice

__all__ = ["BiLstmConfig", "BiLstmNetwork", "count_bilstm"]


@dataclass(frozen=True)
class BiLstmConfig(NetworkConfig):
    """Image rows as time steps → LSTM layers in both directions → one hidden linear layer → classes.

    Attributes:
        width: of each direction's state.
        layers: LSTM layers; the last one hands on each direction's final state.
        linear: width of the hidden linear layer.
        activation: of that layer, one of `ACTIVATIONS`.
        dropout: probability of dropping an input of the linear layers.
    """

    family: ClassVar[str] = "bilstm"

    width: int = 64
    layers: int = 2
    linear: int = 64
    activation: str = "relu"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("width", "layers", "linear"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        require_choice("activation", self.activation, tuple(ACTIVATIONS))
        require(0 <= self.dropout < 1, "dropout", self.dropout, "at least 0 and below 1")


class BiLstmNetwork(nn.Module):
    """The network of a `BiLstmConfig`: float (N, channels, 48, 48) → logits (N, classes)."""

    def __init__(self, config: BiLstmConfig) -> None:
        super().__init__()
        self.config = config
        self.recurrent = nn.LSTM(
            len(config.channels) * FACE_SIZE,
            config.width,
            num_layers=config.layers,
            batch_first=True,
            bidirectional=True,
        )
        self.hidden = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(2 * config.width, config.linear),
            ACTIVATIONS[config.activation](),
            nn.Dropout(config.dropout),
        )
        initialise(self, config.activation)
        self.classifier = nn.Linear(config.linear, config.classes)

    def features(self, images: Tensor) -> Tensor:
        """The input of the last linear layer: float (N, channels, 48, 48) → (N, D)."""
        rows = images.transpose(1, 2).flatten(2)
        _, (states, _) = self.recurrent(rows)
        features: Tensor = self.hidden(torch.cat([states[-2], states[-1]], dim=1))
        return features

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(images))
        return logits


def count_bilstm(config: BiLstmConfig) -> Cost:
    """Exact cost of the network of a config, from the config alone."""
    parameters = macs = 0
    inputs = len(config.channels) * FACE_SIZE
    for _ in range(config.layers):
        weights = 2 * 4 * config.width * (inputs + config.width)
        # torch keeps two biases a gate, one of the input and one of the state.
        parameters += weights + 2 * 2 * 4 * config.width
        macs += weights * FACE_SIZE
        inputs = 2 * config.width
    widths = (inputs, config.linear, config.classes)
    products = sum(first * second for first, second in zip(widths[:-1], widths[1:], strict=True))
    return Cost(parameters + products + sum(widths[1:]), macs + products)
