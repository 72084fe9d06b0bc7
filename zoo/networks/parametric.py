"""The parametric family: stages of convolutions, inception modules, linear layers, described by one config.

The search samples this family, and most published networks are points of it. Four faults that a published
ancestor had are left out on purpose: its inception modules sat in a plain list and never trained, had no
activation inside, lost the border in their pooling branch, and a softmax and a last ReLU stood before the
cross-entropy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from zoo.data.dataset import FACE_SIZE
from zoo.networks.blocks import ACTIVATIONS, MONOTONE, POOLINGS, Inception, conv_block, initialise
from zoo.networks.config import Cost, NetworkConfig, require, require_choice

__all__ = ["ParametricConfig", "ParametricNetwork", "count_parametric"]


@dataclass(frozen=True)
class ParametricConfig(NetworkConfig):
    """A network of the parametric family; layer order as in the attributes.

    Attributes:
        widths: output channels of each stage, 1 to 5 stages.
        repeats: 3×3 convolutions of each stage; the first changes the width.
        padding: 1 keeps the size, 0 loses a border of one pixel a convolution.
        bias: convolutions have a bias (redundant right before a batch norm).
        norm: `batch` or `none`; also in inception modules.
        activation: one of `ACTIVATIONS`.
        activation_first: activation before the norm instead of after it.
        residual: blocks that keep the width add their input.
        conv_dropout: probability of dropping a channel.
        dropout_after: `block` drops after every convolution block, `stage` once after each stage's pool.
        pooling: `max`, `average` or `min`, 2×2, stride 2, after each stage.
        last_pool: the last stage is pooled, too.
        inceptions: modules after the last stage; from the second on they have a skip connection.
        inception_multiplier: times the module's widths.
        head: `flatten` or `average` (global average pooling).
        linear: widths of the hidden linear layers, each (norm and) activation and dropout behind it.
        head_norm: `batch` or `none`, in the hidden linear layers.
        head_dropout: probability of dropping an input of the linear layers: behind each hidden layer, or
            before the only one.
        final_softmax: end in softmax before a loss that applies softmax again. Kept for one published
            network: the loss then can't fall below 1.165 for 7 classes and gradients shrink, so training
            is slower.
    """

    family: ClassVar[str] = "parametric"

    widths: tuple[int, ...] = (32, 64, 128, 256)
    repeats: tuple[int, ...] = (1, 2, 2, 2)
    padding: int = 1
    bias: bool = False
    norm: str = "batch"
    activation: str = "relu"
    activation_first: bool = False
    residual: bool = False
    conv_dropout: float = 0.0
    dropout_after: str = "block"
    pooling: str = "max"
    last_pool: bool = False
    inceptions: int = 0
    inception_multiplier: int = 1
    head: str = "average"
    linear: tuple[int, ...] = ()
    head_norm: str = "none"
    head_dropout: float = 0.0
    final_softmax: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(1 <= len(self.widths) <= 5, "widths", self.widths, "1 to 5 stages")
        require(all(width >= 1 for width in self.widths), "widths", self.widths, "at least 1 each")
        require(
            len(self.repeats) == len(self.widths) and all(count >= 1 for count in self.repeats),
            "repeats",
            self.repeats,
            f"{len(self.widths)} counts, one a stage, at least 1 each",
        )
        require(self.padding in (0, 1), "padding", self.padding, "0 or 1")
        for name in ("norm", "head_norm"):
            require_choice(name, getattr(self, name), ("batch", "none"))
        require_choice("activation", self.activation, tuple(ACTIVATIONS))
        require_choice("dropout_after", self.dropout_after, ("block", "stage"))
        require_choice("pooling", self.pooling, tuple(POOLINGS))
        require_choice("head", self.head, ("average", "flatten"))
        for name in ("conv_dropout", "head_dropout"):
            require(0 <= getattr(self, name) < 1, name, getattr(self, name), "at least 0 and below 1")
        require(self.inceptions >= 0, "inceptions", self.inceptions, "at least 0")
        multiplier = self.inception_multiplier
        require(multiplier >= 1, "inception_multiplier", multiplier, "at least 1")
        require(all(width >= 1 for width in self.linear), "linear", self.linear, "at least 1 each")
        require(self.final_size >= 1, "repeats", self.repeats, "stages that leave at least 1×1 of 48×48")

    @property
    def final_size(self) -> int:
        """Height and width after the stages; 0 or less where the image is used up before."""
        size = FACE_SIZE
        for stage, count in enumerate(self.repeats):
            size -= 2 * (1 - self.padding) * count
            if stage < len(self.repeats) - 1 or self.last_pool:
                size //= 2
        return size

    @property
    def final_width(self) -> int:
        """Channels that reach the head."""
        return Inception.WIDTH * self.inception_multiplier if self.inceptions else self.widths[-1]

    @property
    def linear_widths(self) -> tuple[int, ...]:
        """Inputs of the first linear layer, then the outputs of every one."""
        pixels = self.final_size**2 if self.head == "flatten" else 1
        return (self.final_width * pixels, *self.linear, self.classes)


class _Stage(nn.Module):
    """Blocks of one width, then the pool: float (N, C, H, W) → (N, width, H', W')."""

    def __init__(
        self, config: ParametricConfig, channels: int, width: int, repeats: int, *, pooled: bool
    ) -> None:
        super().__init__()
        norm = config.norm == "batch"
        self.blocks = nn.ModuleList(
            conv_block(
                channels if number == 0 else width,
                width,
                padding=config.padding,
                bias=config.bias,
                norm=norm,
                activation=config.activation,
                activation_first=config.activation_first,
                dropout=config.conv_dropout if config.dropout_after == "block" else 0.0,
            )
            for number in range(repeats)
        )
        self.after = nn.Sequential()
        if pooled:
            self.after.append(POOLINGS[config.pooling]())
        if config.dropout_after == "stage" and config.conv_dropout:
            self.after.append(nn.Dropout2d(config.conv_dropout))
        # Only the first block changes the width, and valid convolutions change the size.
        self._adds = [config.residual and number > 0 and config.padding == 1 for number in range(repeats)]
        # The largest of the activations is the activation of the largest, and that takes a quarter of them:
        # emotionnet trains 1.1 times as fast on a CPU.
        self._pools_early = (
            pooled
            and config.pooling in ("max", "min")
            and config.activation in MONOTONE
            and not (config.activation_first and norm)
            and not self._adds[-1]
        )
        self._activation = 1 + norm

    def forward(self, images: Tensor) -> Tensor:
        for block, adds in zip(self.blocks[:-1], self._adds[:-1], strict=True):
            output = block(images)
            images = images + output if adds else output
        last = self.blocks[-1]
        assert isinstance(last, nn.Sequential)
        if self._pools_early:
            for layer in (
                *last[: self._activation],
                self.after[0],
                *last[self._activation :],
                *self.after[1:],
            ):
                images = layer(images)
            return images
        output = last(images)
        pooled: Tensor = self.after(images + output if self._adds[-1] else output)
        return pooled


class ParametricNetwork(nn.Module):
    """The network of a `ParametricConfig`: float (N, channels, 48, 48) → logits (N, classes)."""

    def __init__(self, config: ParametricConfig) -> None:
        super().__init__()
        self.config = config
        norm = config.norm == "batch"
        self.stages = nn.ModuleList()
        channels = len(config.channels)
        for stage, (width, repeats) in enumerate(zip(config.widths, config.repeats, strict=True)):
            pooled = stage < len(config.widths) - 1 or config.last_pool
            self.stages.append(_Stage(config, channels, width, repeats, pooled=pooled))
            channels = width
        self.inceptions = nn.Sequential()
        for number in range(config.inceptions):
            self.inceptions.append(
                Inception(
                    channels,
                    config.inception_multiplier,
                    bias=config.bias,
                    norm=norm,
                    activation=config.activation,
                    skip=number > 0,
                )
            )
            channels = config.final_width
        self.pool = nn.AdaptiveAvgPool2d(1) if config.head == "average" else nn.Identity()
        self.hidden = nn.Sequential()
        widths = config.linear_widths
        for inputs, outputs in zip(widths[:-2], widths[1:-1], strict=True):
            self.hidden.append(nn.Linear(inputs, outputs))
            tail: list[nn.Module] = [nn.BatchNorm1d(outputs)] if config.head_norm == "batch" else []
            active = ACTIVATIONS[config.activation]()
            self.hidden.extend([active, *tail] if config.activation_first else [*tail, active])
            self.hidden.append(nn.Dropout(config.head_dropout))
        if not config.linear:
            self.hidden.append(nn.Dropout(config.head_dropout))
        initialise(self, config.activation)
        self.classifier = nn.Linear(widths[-2], config.classes)

    def features(self, images: Tensor) -> Tensor:
        """The input of the last linear layer: float (N, channels, 48, 48) → (N, D)."""
        for stage in self.stages:
            images = stage(images)
        return self.hidden(self.pool(self.inceptions(images)).flatten(1))

    def forward(self, images: Tensor) -> Tensor:
        logits = self.classifier(self.features(images))
        return logits.softmax(dim=1) if self.config.final_softmax else logits


def count_parametric(config: ParametricConfig) -> Cost:
    """Exact cost of the network of a config, from the config alone."""
    parameters = macs = 0
    for layer_parameters, layer_macs in _layer_costs(config):
        parameters += layer_parameters
        macs += layer_macs
    return Cost(parameters, macs)


def _layer_costs(config: ParametricConfig) -> Iterator[Cost]:
    norm = config.norm == "batch"

    def conv(inputs: int, outputs: int, kernel: int, size: int) -> Cost:
        weights = inputs * outputs * kernel**2
        return Cost(weights + outputs * (config.bias + 2 * norm), weights * size**2)

    size, channels = FACE_SIZE, len(config.channels)
    for stage, (width, repeats) in enumerate(zip(config.widths, config.repeats, strict=True)):
        for _ in range(repeats):
            size -= 2 * (1 - config.padding)
            yield conv(channels, width, 3, size)
            channels = width
        if stage < len(config.widths) - 1 or config.last_pool:
            size //= 2
    times = config.inception_multiplier
    for _ in range(config.inceptions):
        yield conv(channels, 64 * times, 1, size)
        yield conv(channels, 96 * times, 1, size)
        yield conv(96 * times, 128 * times, 3, size)
        yield conv(channels, 16 * times, 1, size)
        yield conv(16 * times, 32 * times, 5, size)
        yield conv(channels, 32 * times, 1, size)
        channels = config.final_width
    widths = config.linear_widths
    for number, (inputs, outputs) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
        hidden_norm = config.head_norm == "batch" and number < len(widths) - 2
        yield Cost(inputs * outputs + outputs * (1 + 2 * hidden_norm), inputs * outputs)
