"""The channels that a network sees, against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from zoo.data.channels import Preprocess, channel_statistics, stack_channels
from zoo.errors import ConfigError


def _faces(count: int = 2) -> torch.Tensor:
    return torch.rand((count, 48, 48), generator=torch.Generator().manual_seed(3))


def test_an_edge_has_the_gradient_of_its_step() -> None:
    image = torch.zeros(1, 48, 48)
    image[:, :, 24:] = 0.5
    sobel = stack_channels(image, ("sobel",))[0, 0]
    assert sobel[10, 22:26].tolist() == [0.0, 0.5, 0.5, 0.0]
    assert torch.equal(sobel, stack_channels(image.transpose(1, 2), ("sobel",))[0, 0].T)


def test_sobel_is_that_of_scipy() -> None:
    faces = _faces()
    for face, answer in zip(faces.numpy(), stack_channels(faces, ("sobel",))[:, 0].numpy(), strict=True):
        across, down = (ndimage.sobel(face, axis=axis, mode="nearest") for axis in (0, 1))
        np.testing.assert_allclose(answer, np.minimum(np.hypot(across, down) / 4, 1), atol=1e-5)


@pytest.mark.parametrize("axis", [1, 2])
def test_mirror_images_have_mirrored_channels_to_the_last_bit(axis: int) -> None:
    faces = torch.from_numpy(np.random.default_rng(3).integers(0, 256, (40, 48, 48), np.uint8)) / 255
    channels = ("gray", "sobel", "contrast")
    mirrored = stack_channels(faces.flip(axis), channels)
    assert torch.equal(mirrored.flip(axis + 1), stack_channels(faces, channels))


def test_contrast_stretches_between_darkest_and_brightest_nearby() -> None:
    faces = _faces()
    for face, answer in zip(faces.numpy(), stack_channels(faces, ("contrast",))[:, 0].numpy(), strict=True):
        low, high = (
            filter_(face, size=9, mode="nearest")
            for filter_ in (ndimage.minimum_filter, ndimage.maximum_filter)
        )
        np.testing.assert_allclose(answer, (face - low) / (high - low), atol=1e-5)


def test_flat_faces_have_no_contrast() -> None:
    assert stack_channels(torch.full((1, 48, 48), 0.7), ("contrast",)).abs().max() == 0


def test_channels_come_in_the_order_asked_for_and_in_range() -> None:
    faces = _faces()
    stacked = stack_channels(faces, ("contrast", "gray", "sobel"))
    assert stacked.shape == (2, 3, 48, 48) and stacked.min() >= 0 and stacked.max() <= 1
    assert torch.equal(stacked[:, 1], faces)
    for place, channel in enumerate(("contrast", "gray", "sobel")):
        assert torch.equal(stacked[:, place], stack_channels(faces, (channel,))[:, 0])
    with pytest.raises(ConfigError, match="channel is 'red'.*gray, sobel, contrast"):
        stack_channels(faces, ("red",))


@pytest.mark.parametrize("count", [3, 4096, 8000, 12_000])
def test_statistics_are_of_faces_from_everywhere(count: int) -> None:
    faces = np.zeros((count, 48, 48), np.uint8)
    faces[count // 2 :] = 200
    (mean,), _ = channel_statistics(faces, ("gray",))
    assert mean == pytest.approx(200 / 255 * (count - count // 2) / count, abs=1e-3)


def test_statistics_are_those_of_the_rows_computed_at_once() -> None:
    faces = np.random.default_rng(0).integers(0, 256, (150, 48, 48), dtype=np.uint8)
    channels, rows = ("gray", "sobel", "contrast"), np.arange(149, 0, -2)
    mean, std = channel_statistics(faces, channels, rows=rows)
    stacked = stack_channels(torch.from_numpy(faces[rows]) / 255, channels).double()
    assert mean == pytest.approx(stacked.mean(dim=(0, 2, 3)).tolist(), abs=1e-6)
    assert std == pytest.approx(stacked.std(dim=(0, 2, 3)).tolist(), abs=1e-6)


def test_statistics_stack_few_faces_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stacked = []

    def counted(images: torch.Tensor, chosen: tuple[str, ...]) -> torch.Tensor:
        stacked.append(len(images))
        return stack_channels(images, chosen)

    monkeypatch.setattr("zoo.data.channels.stack_channels", counted)
    channel_statistics(np.ones((8191, 48, 48), np.uint8), ("gray",))
    assert sum(stacked) == 8191 and max(stacked) <= 64


def test_statistics_normalise() -> None:
    faces = np.random.default_rng(0).integers(0, 256, (50, 48, 48), dtype=np.uint8)
    channels = ("gray", "sobel")
    mean, std = channel_statistics(faces, channels)
    assert mean[0] == pytest.approx(faces.mean() / 255, abs=1e-4)
    assert std[0] == pytest.approx(faces.std() / 255, abs=1e-4)
    images = Preprocess(channels, mean, std)(torch.from_numpy(faces))
    assert images.shape == (50, 2, 48, 48) and images.dtype == torch.float32
    torch.testing.assert_close(images.mean(dim=(0, 2, 3)), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(images.std(dim=(0, 2, 3)), torch.ones(2), atol=1e-3, rtol=0)


def test_one_gray_value_throughout_has_a_finite_normalisation() -> None:
    mean, std = channel_statistics(np.full((3, 48, 48), 9, dtype=np.uint8), ("gray", "sobel", "contrast"))
    assert min(std) > 0
    assert Preprocess(("gray",), mean[:1], std[:1])(torch.full((1, 48, 48), 9)).isfinite().all()


def test_bytes_and_floats_are_the_same_faces() -> None:
    preprocess = Preprocess(("gray",), (0.5,), (0.25,))
    faces = torch.tensor([[[0, 255]]], dtype=torch.uint8)
    assert preprocess(faces).flatten().tolist() == [-2.0, 2.0]
    assert torch.equal(preprocess(faces), preprocess(faces.float()))
