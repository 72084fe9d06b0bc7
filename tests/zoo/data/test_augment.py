"""Each variation of a face moves what it should by as much as it says, and nothing else."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from zoo.data.augment import Augmentation, augment

OFF: dict[str, Any] = {"flip": False, "rotate": 0.0, "shift": 0.0, "scale": 0.0, "shear": 0.0, "erase": 0.0}


def _augmented(faces: Tensor, seed: int = 0, flipped: Tensor | None = None, **changes: Any) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return augment(faces, Augmentation(**{**OFF, **changes}), flipped=flipped, generator=generator)


def _draws(count: int, seed: int = 0) -> Tensor:
    """The random numbers that a call with this seed uses."""
    return torch.rand((10, count), generator=torch.Generator().manual_seed(seed))


def _noise(count: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(9)
    return torch.randint(0, 256, (count, 48, 48), dtype=torch.uint8, generator=generator)


def _spot(across: float, down: float, count: int = 64) -> Tensor:
    """Faces with one soft bright spot, at so many pixels from the centre."""
    line = torch.arange(48) - 23.5
    squared = (line[None, :] - across) ** 2 + (line[:, None] - down) ** 2
    return (255 * torch.exp(-squared / 8)).round().to(torch.uint8).expand(count, 48, 48)


def _centres(images: Tensor) -> tuple[Tensor, Tensor]:
    """Where the brightness lies, in pixels from the centre: across and down, (N,) each."""
    line, total = torch.arange(48) - 23.5, images.sum(dim=(1, 2))
    return (images.sum(dim=1) * line).sum(1) / total, (images.sum(dim=2) * line).sum(1) / total


def test_nothing_switched_on_changes_nothing() -> None:
    faces = _noise()
    assert torch.equal(_augmented(faces), faces.float())
    assert torch.equal(_augmented(faces, rotate=90.0, shift=0.5, erase=1.0, strength=0.0), faces.float())


def test_a_warp_by_nothing_keeps_every_pixel() -> None:
    # The smallest warp there is takes the way through the grid.
    torch.testing.assert_close(_augmented(_noise(), shift=1e-12), _noise().float(), atol=0.02, rtol=0)


@pytest.mark.parametrize("changes", [{}, {"shift": 1e-12}], ids=["by turning", "in the grid"])
def test_only_the_chosen_faces_are_mirrored(changes: dict[str, Any]) -> None:
    faces = _noise()
    images = _augmented(faces, flipped=torch.tensor([True, False, True]), **changes)
    expected = torch.stack([faces[0].flip(1), faces[1], faces[2].flip(1)]).float()
    torch.testing.assert_close(images, expected, atol=0.02, rtol=0)


def test_shifts_by_as_much_as_was_drawn() -> None:
    across, down = _centres(_augmented(_spot(0, 0), shift=0.2))
    signed = 2 * _draws(64)[:6] - 1
    torch.testing.assert_close(across, -signed[4] * 0.2 * 48, atol=0.05, rtol=0)
    torch.testing.assert_close(down, -signed[5] * 0.2 * 48, atol=0.05, rtol=0)
    assert across.abs().max() <= 0.2 * 48 + 0.05 and across.abs().max() > 0.15 * 48


def test_rotates_around_the_centre() -> None:
    across, down = _centres(_augmented(_spot(12, 0), rotate=40.0))
    angle = torch.atan2(down, across)
    expected = -torch.deg2rad((2 * _draws(64)[0] - 1) * 40)
    torch.testing.assert_close(angle, expected, atol=0.01, rtol=0)
    torch.testing.assert_close(torch.hypot(across, down), torch.full((64,), 12.0), atol=0.1, rtol=0)


def test_scales_from_the_centre() -> None:
    across, down = _centres(_augmented(_spot(8, -6), scale=0.5))
    drawn = 1 + (2 * _draws(64)[2:4] - 1).mean(0) * 0.5
    torch.testing.assert_close(across, 8 * drawn, atol=0.15, rtol=0)
    torch.testing.assert_close(down, -6 * drawn, atol=0.15, rtol=0)
    assert drawn.min() < 0.8 and drawn.max() > 1.2


def test_shears_sideways() -> None:
    across, down = _centres(_augmented(_spot(0, 10), shear=30.0))
    slant = torch.tan(torch.deg2rad((2 * _draws(64)[1] - 1) * 30))
    torch.testing.assert_close(across, -10 * slant, atol=0.15, rtol=0)
    torch.testing.assert_close(down, torch.full((64,), 10.0), atol=0.1, rtol=0)


def test_strength_multiplies() -> None:
    twice, doubled = (
        _augmented(_noise(), rotate=a, shift=b, strength=s) for a, b, s in ((10, 0.1, 2.0), (20, 0.2, 1.0))
    )
    torch.testing.assert_close(twice, doubled, atol=1e-3, rtol=0)


def test_the_border_is_repeated_where_the_face_moves_away() -> None:
    flat = torch.full((32, 48, 48), 77, dtype=torch.uint8)
    images = _augmented(flat, rotate=90.0, shift=0.5, scale=0.5, shear=30.0, strength=1.5)
    torch.testing.assert_close(images, flat.float(), atol=1e-3, rtol=0)


def test_erases_one_square_of_the_mean() -> None:
    faces = _noise(40)
    images = _augmented(faces, erase=1.0)
    draws = _draws(40)
    for face, image, number in zip(faces.float(), images, range(40), strict=True):
        changed = image != face
        rows, columns = changed.any(1).nonzero().flatten(), changed.any(0).nonzero().flatten()
        side = float(6 + 14 * draws[6, number])
        for places in (rows, columns):
            assert math.floor(side) <= len(places) <= math.ceil(side)
            assert len(places) == int(places[-1] - places[0]) + 1
        inside = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        torch.testing.assert_close(inside, face.mean().expand_as(inside), atol=1e-3, rtol=0)


def test_erases_as_many_faces_as_asked() -> None:
    faces = _noise(400)
    share = (_augmented(faces, erase=0.3) != faces.float()).any(dim=2).any(dim=1).float().mean()
    assert share == pytest.approx(0.3, abs=0.06)


def test_is_a_function_of_its_generator() -> None:
    options = {"rotate": 10.0, "shift": 0.1, "erase": 0.5}
    first, again, other = (_augmented(_noise(), seed, **options) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_gives_what_networks_take() -> None:
    faces = _noise()
    kept = faces.clone()
    images = _augmented(faces, rotate=10.0, shift=0.1, scale=0.1, shear=5.0, erase=0.5)
    assert images.shape == (3, 48, 48) and images.dtype == torch.float32
    assert images.min() >= 0 and images.max() <= 255.01
    assert torch.equal(faces, kept)
