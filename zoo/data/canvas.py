"""Batches of gray pictures and soft-edged shapes to paint on them; knows nothing of what they depict.

Pixels take only IEEE additions, multiplications, divisions and square roots in float32, so that every machine
draws the same bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["Draws", "Plane", "ellipse", "glow", "ripple", "segment", "window"]


class Draws:
    """Uniform numbers of a batch of faces, one column after the other, each as float32 (B, 1, 1)."""

    def __init__(self, numbers: np.ndarray) -> None:
        self._numbers = numbers
        self._next = 0

    def uniform(self, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        column = self._numbers[:, self._next, None, None]
        self._next += 1
        return (low + (high - low) * column).astype(np.float32)

    def bell(self, middle: float, reach: float) -> np.ndarray:
        """`middle` plus or minus `reach`, most often near the middle."""
        return middle + (self.uniform(-reach, reach) + self.uniform(-reach, reach)) * np.float32(0.5)

    def chance(self, probability: float) -> np.ndarray:
        """1 with this probability, else 0."""
        return (self.uniform() < probability).astype(np.float32)


@dataclass
class Plane:
    """Pixels being painted: tones and face coordinates (right and down, -1 to 1) of each, all (B, H, W)."""

    tone: np.ndarray
    x: np.ndarray
    y: np.ndarray
    pixel: np.ndarray  # width of a pixel in face units, (B, 1, 1)

    def cover(self, distance: np.ndarray, softness: float | np.ndarray = 0.0) -> np.ndarray:
        """Share of each pixel inside a shape, from its signed distance; `softness` widens the edge."""
        return np.clip(0.5 - distance / (self.pixel + softness), 0.0, 1.0)

    def paint(self, tone: np.ndarray | float, share: np.ndarray) -> None:
        self.tone += share * (tone - self.tone)

    def shade(self, share: np.ndarray) -> None:
        """Darken by a share of the tone, or brighten where it is negative."""
        self.tone *= 1.0 - share


def ellipse(x: np.ndarray, y: np.ndarray, wide: np.ndarray | float, high: np.ndarray | float) -> np.ndarray:
    """Approximate signed distance to an ellipse at the origin."""
    return (np.sqrt((x / wide) ** 2 + (y / high) ** 2) - 1.0) * np.minimum(wide, high)


def segment(x: np.ndarray, y: np.ndarray, start: tuple, end: tuple) -> np.ndarray:
    """Distance to the segment between two points, whose coordinates are numbers or (B, 1, 1)."""
    along_x, along_y = end[0] - start[0], end[1] - start[1]
    share = ((x - start[0]) * along_x + (y - start[1]) * along_y) / (along_x**2 + along_y**2 + 1e-6)
    share = np.clip(share, 0.0, 1.0)
    return np.sqrt((x - start[0] - share * along_x) ** 2 + (y - start[1] - share * along_y) ** 2)


def ripple(phase: np.ndarray) -> np.ndarray:
    """A triangle wave of period 1 between 0 and 0.5."""
    return abs(phase - np.floor(phase) - 0.5)


def glow(x: np.ndarray, y: np.ndarray, wide: np.ndarray | float, high: np.ndarray | float) -> np.ndarray:
    """A soft spot: 1 at the origin, falling smoothly to 0 at the ellipse."""
    fall = np.clip(1.0 - (x / wide) ** 2 - (y / high) ** 2, 0.0, 1.0)
    return fall * fall


def window(plane: Plane, x: float, y: float, reach: float) -> tuple[Plane, tuple]:
    """The pixels around one feature, so that its many strokes cost a fraction of the picture."""
    size = plane.tone.shape[1]
    side = math.ceil(reach * size)
    step = max(1, size // 24)
    near = (plane.x[:, ::step, ::step] - x) ** 2 + (plane.y[:, ::step, ::step] - y) ** 2
    row, column = np.divmod(near.reshape(len(near), -1).argmin(1), near.shape[2])
    starts = [np.clip(middle * step + step // 2 - side // 2, 0, size - side) for middle in (row, column)]
    faces = np.arange(len(near))[:, None, None]
    rows = starts[0][:, None, None] + np.arange(side)[None, :, None]
    columns = starts[1][:, None, None] + np.arange(side)[None, None, :]
    where = (faces, rows, columns)
    return Plane(plane.tone[where], plane.x[where], plane.y[where], plane.pixel), where
