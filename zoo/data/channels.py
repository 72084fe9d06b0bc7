"""Faces → what a network sees: gray, sobel and contrast channels, normalised; knows nothing of data sets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from zoo.networks.config import CHANNELS, require_choice

__all__ = ["Preprocess", "channel_statistics", "stack_channels"]

_CONTRAST_WINDOW = 9
_STACKED = 64  # faces at once, whose channels fit a core's caches


def stack_channels(images: Tensor, channels: tuple[str, ...]) -> Tensor:
    """The chosen channels of gray images.

    `sobel` is the length of the gradient of the 3×3 Sobel pair, clipped at 4, a step from black to white;
    `contrast` stretches each pixel between the darkest and brightest of its 9×9 neighbourhood.

    Args:
        images: float (N, 48, 48), 0–1.
        channels: names out of `CHANNELS`.

    Returns:
        float (N, len(channels), 48, 48), 0–1.
    """
    gray = images.unsqueeze(1)
    made = {"gray": lambda: gray, "sobel": lambda: _sobel(gray), "contrast": lambda: _contrast(gray)}
    for channel in channels:
        require_choice("channel", channel, CHANNELS)
    return torch.cat([made[channel]() for channel in channels], dim=1) if channels != ("gray",) else gray


def _sobel(gray: Tensor) -> Tensor:
    padded = nn.functional.pad(gray, (1, 1, 1, 1), mode="replicate")
    # Summed in this order, mirror images have the same last bits.
    smooth = (padded[..., :-2, :] + padded[..., 2:, :]) + 2 * padded[..., 1:-1, :]
    across = smooth[..., 2:] - smooth[..., :-2]
    smooth = (padded[..., :-2] + padded[..., 2:]) + 2 * padded[..., 1:-1]
    down = smooth[..., 2:, :] - smooth[..., :-2, :]
    return ((across.square() + down.square()).sqrt() / 4).clamp(max=1)


def _contrast(gray: Tensor) -> Tensor:
    brightest = _slide(gray, torch.maximum, -torch.inf)
    darkest = _slide(gray, torch.minimum, torch.inf)
    # Flat neighbourhoods (range under 1/255) have no contrast to stretch: they become 0, not noise.
    return (gray - darkest) / (brightest - darkest).clamp(min=1 / 255)


def _slide(images: Tensor, extreme: Callable[[Tensor, Tensor], Tensor], outside: float) -> Tensor:
    """The extreme of each pixel's neighbourhood, by doubling windows; max_pool2d compares 81 pixels."""
    pad = _CONTRAST_WINDOW // 2
    images = nn.functional.pad(images, (pad,) * 4, value=outside)
    for axis in (2, 3):
        width = 1
        while width < _CONTRAST_WINDOW:
            step = min(width, _CONTRAST_WINDOW - width)
            rest = images.shape[axis] - step
            images = extreme(images.narrow(axis, 0, rest), images.narrow(axis, step, rest))
            width += step
    return images


class Preprocess(nn.Module):
    """Gray faces, uint8 or float (N, 48, 48), 0–255 → float32 (N, channels, 48, 48), normalised.

    Args:
        channels: names out of `CHANNELS`.
        mean, std: one value a channel, on the 0–1 scale.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, channels: tuple[str, ...], mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.channels = channels
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, faces: Tensor) -> Tensor:
        stacked = stack_channels(faces.float() / 255, self.channels)
        return (stacked - self.mean) / self.std

    def faces(self, images: Tensor) -> Tensor:
        """The gray faces that these images were made of, float (N, 48, 48), 0–255; `gray` is a channel."""
        gray = self.channels.index("gray")
        return (images[:, gray] * self.std[:, gray] + self.mean[:, gray]) * 255


def channel_statistics(
    faces: np.ndarray, channels: tuple[str, ...], *, rows: np.ndarray | None = None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel on the 0–1 scale, from some 4,096 evenly spaced faces.

    Args:
        faces: uint8 (N, 48, 48).
        rows: int64 (M,), those of the faces that count; None takes all.
    """
    rows = np.arange(len(faces)) if rows is None else rows
    sample = rows[:: max(1, len(rows) // 4096)]
    sums, squares = torch.zeros((2, len(channels)), dtype=torch.float64)
    for start in range(0, len(sample), _STACKED):
        chunk = torch.from_numpy(faces[sample[start : start + _STACKED]])
        stacked = stack_channels(chunk.float() / 255, channels).double()
        sums += stacked.sum(dim=(0, 2, 3))
        squares += stacked.square().sum(dim=(0, 2, 3))
    pixels = len(sample) * faces[0].size
    mean = sums / pixels
    std = ((squares - pixels * mean.square()) / (pixels - 1)).clamp(min=1e-6).sqrt()
    return tuple(round(v, 6) for v in mean.tolist()), tuple(round(v, 6) for v in std.tolist())
