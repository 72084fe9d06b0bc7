"""Random flips, affine warps and erased squares of a whole batch at once, on its device; pure functions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.data.dataset import FACE_SIZE
from zoo.networks.config import require, require_types

__all__ = ["Augmentation", "augment"]


@dataclass(frozen=True)
class Augmentation:
    """How far faces are varied while training; the defaults are what served FER2013 well.

    Attributes:
        flip: mirror every face in every other epoch, half of them in each (Jordan, 2024, arXiv:2404.00498).
        rotate: largest angle, degrees.
        shift: largest shift, a fraction of the side, each way.
        scale: largest zoom in or out, a fraction.
        shear: largest shear angle, degrees.
        erase: share of faces that lose a random square of 6 to 20 pixels.
        strength: multiplies rotate, shift, scale, shear and erase; 0 leaves only the flip.
    """

    flip: bool = True
    rotate: float = 10.0
    shift: float = 0.1
    scale: float = 0.12
    shear: float = 0.0
    erase: float = 0.5
    strength: float = 1.0

    def __post_init__(self) -> None:
        require_types(self)
        for name, limit in (("rotate", 180), ("shift", 0.5), ("scale", 0.9), ("shear", 45), ("erase", 1)):
            value = getattr(self, name)
            require(0 <= value <= limit, name, value, f"0 to {limit}")
        require(0 <= self.strength <= 3, "strength", self.strength, "0 to 3")

    @property
    def warps(self) -> bool:
        """Whether any affine warp is left to do."""
        return self.strength > 0 and max(self.rotate, self.shift, self.scale, self.shear) > 0


def augment(
    faces: Tensor, augmentation: Augmentation, *, flipped: Tensor | None, generator: torch.Generator
) -> Tensor:
    """Vary a batch of faces.

    Flip, rotation, shift, zoom and shear are one affine grid, so that each pixel is interpolated once. What
    is moved in from outside repeats the border.

    Args:
        faces: uint8 (N, 48, 48).
        flipped: bool (N,), which faces to mirror; None mirrors none.
        generator: on the device of `faces`.

    Returns:
        float32 (N, 48, 48), 0–255.
    """
    count, device = len(faces), faces.device
    images = faces.float()
    strength = augmentation.strength
    # One draw for all, from one generator: the same numbers whatever is switched on.
    random = torch.rand((10, count), generator=generator, device=device)
    if augmentation.warps:
        signed = 2 * random[:6] - 1
        angle = torch.deg2rad(signed[0] * augmentation.rotate * strength)
        slant = torch.tan(torch.deg2rad(signed[1] * augmentation.shear * strength))
        zoom = 1 / (1 + signed[2:4].mean(0) * min(augmentation.scale * strength, 0.9))
        mirror = torch.ones_like(angle) if flipped is None else 1 - 2 * flipped.float()
        cos, sin = angle.cos() * zoom, angle.sin() * zoom
        shift = 2 * signed[4:6] * augmentation.shift * strength
        # Built by broadcasting: affine_grid's matrix product took twice as long as the interpolation itself.
        line = (torch.arange(FACE_SIZE, device=device) * 2 + 1) / FACE_SIZE - 1

        def source(x_factor: Tensor, y_factor: Tensor, offset: Tensor) -> Tensor:
            across = x_factor[:, None, None] * line
            return across + (y_factor[:, None] * line + offset[:, None])[:, :, None]

        grid = torch.stack(
            [
                source(cos * mirror, slant * cos - sin, shift[0]),
                source(sin * mirror, slant * sin + cos, shift[1]),
            ],
            dim=3,
        )
        images = nn.functional.grid_sample(
            images.unsqueeze(1), grid, mode="bilinear", padding_mode="border", align_corners=False
        ).squeeze(1)
    elif flipped is not None:
        images = torch.where(flipped.view(-1, 1, 1), images.flip(2), images)
    if augmentation.erase * strength > 0:
        side = 6 + 14 * random[6]
        left, top = random[7] * (FACE_SIZE - side), random[8] * (FACE_SIZE - side)
        chosen = random[9] < augmentation.erase * strength
        pixel = torch.arange(FACE_SIZE, device=device)
        across = (pixel >= left[:, None]) & (pixel < (left + side)[:, None])
        down = (pixel >= top[:, None]) & (pixel < (top + side)[:, None]) & chosen[:, None]
        mean = images.mean(dim=(1, 2), keepdim=True)
        images = torch.where(down[:, :, None] & across[:, None, :], mean, images)
    return images
