"""The layers that the networks are built from; knows nothing of configs."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

__all__ = [
    "ACTIVATIONS",
    "Conv2d",
    "ELU",
    "MONOTONE",
    "POOLINGS",
    "SELU",
    "Inception",
    "MinPool2d",
    "conv_block",
    "initialise",
]


class MinPool2d(nn.Module):
    """The smallest value of each 2×2 window, stride 2: float (N, C, H, W) → (N, C, H // 2, W // 2)."""

    def forward(self, images: Tensor) -> Tensor:
        return -nn.functional.max_pool2d(-images, 2)


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d` of one group, fast on few input channels in bfloat16.

    The kernels for one channel are poor. On one core of a CPU 128 faces → 32 channels take 18 to 35 ms
    forward and back, and 7 ms with a second channel of zeros. A GPU's matrix units want channels by eights.
    The numbers are the same but for ties in rounding.
    """

    def forward(self, images: Tensor) -> Tensor:
        kind = images.device.type
        missing = _FAST_CHANNELS.get(kind, 1) - images.shape[1]
        if missing <= 0 or not torch.is_autocast_enabled(kind):
            return super().forward(images)
        zeros, dtype = (0, 0, 0, 0, 0, missing), torch.get_autocast_dtype(kind)
        images = nn.functional.pad(images.to(dtype), zeros).contiguous(memory_format=torch.channels_last)
        weight = nn.functional.pad(self.weight.to(dtype), zeros)
        return nn.functional.conv2d(images, weight, self.bias, self.stride, self.padding, self.dilation)


# Input channels below which zeros are added.
_FAST_CHANNELS = {"cpu": 2, "cuda": 8}


class ELU(nn.ELU):
    """`torch.nn.ELU`, trained fast in bfloat16 on a CPU."""

    def forward(self, images: Tensor) -> Tensor:
        return _trained_elu(images, 1.0, 1.0) if _is_slow(self, images) else super().forward(images)


class SELU(nn.SELU):
    """`torch.nn.SELU`, trained fast in bfloat16 on a CPU."""

    # Klambauer et al., 2017, arXiv:1706.02515
    _ALPHA, _SCALE = 1.6732632423543772, 1.0507009873554805

    def forward(self, images: Tensor) -> Tensor:
        if _is_slow(self, images):
            return _trained_elu(images, self._ALPHA, self._SCALE)
        return super().forward(images)


def _is_slow(module: nn.Module, images: Tensor) -> bool:
    return module.training and images.dtype == torch.bfloat16 and images.device.type == "cpu"


class _TrainedELU(torch.autograd.Function):
    """scale · x above 0, scale · alpha · (exp(x) - 1) below, without `expm1`, which has no vector form.

    2.4 M bfloat16 values take 3 ms forward, and 25 ms with torch's own, on one core. exp(x) - 1 is as exact
    as bfloat16 numbers near 1 are.
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor, alpha: float, scale: float) -> Tensor:
        below = images.clamp(max=0).exp_().sub_(1).mul_(alpha * scale)
        answers = below.add_(images.clamp(min=0), alpha=scale)
        ctx.save_for_backward(answers)
        ctx.alpha, ctx.scale = alpha, scale
        return answers

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (answers,) = ctx.saved_tensors
        return torch.ops.aten.elu_backward(gradients[0], ctx.alpha, ctx.scale, 1.0, True, answers), None, None


def _trained_elu(images: Tensor, alpha: float, scale: float) -> Tensor:
    answers: Tensor = _TrainedELU.apply(images, alpha, scale)
    return answers


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": ELU,
    "selu": SELU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
}

# Activations that never fall as their input rises.
MONOTONE = ("relu", "leaky_relu", "elu", "selu")

POOLINGS: dict[str, Callable[[], nn.Module]] = {
    "max": lambda: nn.MaxPool2d(2),
    "average": lambda: nn.AvgPool2d(2),
    "min": MinPool2d,
}


def conv_block(
    channels_in: int,
    channels_out: int,
    *,
    kernel: int = 3,
    padding: int = 1,
    stride: int = 1,
    bias: bool,
    norm: bool,
    activation: str,
    activation_first: bool = False,
    dropout: float = 0.0,
) -> nn.Sequential:
    """Convolution → (batch norm) → activation → (channel dropout), float (N, C, H, W).

    `activation_first` puts the activation before the batch norm, as some published networks do.
    """
    layers: list[nn.Module] = [
        Conv2d(channels_in, channels_out, kernel, stride=stride, padding=padding, bias=bias)
    ]
    tail = [nn.BatchNorm2d(channels_out)] if norm else []
    active = ACTIVATIONS[activation]()
    layers += [active, *tail] if activation_first else [*tail, active]
    if dropout:
        layers.append(nn.Dropout2d(dropout))
    return nn.Sequential(*layers)


class Inception(nn.Module):
    """Four branches side by side: (N, C, H, W) → (N, 256 × multiplier, H, W).

    1×1 → 64; 1×1 96 then 3×3 → 128; 1×1 16 then 5×5 → 32; 3×3 max-pool then 1×1 → 32, all widths times the
    multiplier (Szegedy et al., 2015, arXiv:1409.4842, module 3a). Every convolution has its activation, and
    the pooling branch keeps its border, so that all branches have the size of the input. With `skip` the
    input, which must have the output's width, is added.
    """

    WIDTH = 256

    def __init__(
        self, channels_in: int, multiplier: int, *, bias: bool, norm: bool, activation: str, skip: bool
    ) -> None:
        super().__init__()

        def block(channels: int, width: int, kernel: int) -> nn.Sequential:
            return conv_block(
                channels,
                width * multiplier,
                kernel=kernel,
                padding=kernel // 2,
                bias=bias,
                norm=norm,
                activation=activation,
            )

        self.branches = nn.ModuleList(
            [
                block(channels_in, 64, 1),
                nn.Sequential(block(channels_in, 96, 1), block(96 * multiplier, 128, 3)),
                nn.Sequential(block(channels_in, 16, 1), block(16 * multiplier, 32, 5)),
                nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), block(channels_in, 32, 1)),
            ]
        )
        self.skip = skip

    def forward(self, images: Tensor) -> Tensor:
        joined = torch.cat([branch(images) for branch in self.branches], dim=1)
        return images + joined if self.skip else joined


def initialise(network: nn.Module, activation: str) -> None:
    """He-normal weights for convolutions and linear layers, zero biases; LeCun-normal for SELU."""
    nonlinearity: Literal["linear", "relu"] = "linear" if activation == "selu" else "relu"
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity=nonlinearity)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
