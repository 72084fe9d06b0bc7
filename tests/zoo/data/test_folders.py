"""Class folders: layouts, names, every kind of picture, and what can be wrong with them."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.zoo.data.small_fer2013 import random_faces
from zoo.data import folders
from zoo.data.emotions import EMOTIONS
from zoo.data.folders import load_folders, read_face
from zoo.errors import DataError
from zoo.faces import whole_image
from zoo.pictures import PICTURE_SUFFIXES


def _fill(
    root: Path, parts: tuple[str, ...], classes: tuple[str, ...], count: int = 2
) -> dict[str, np.ndarray]:
    """Folders of random faces as PNG; relative path → face."""
    written = {}
    for part in parts:
        for name in classes:
            folder = root / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                path = folder / f"{index}.png"
                face = random_faces(1, seed=zlib.crc32(str(path.relative_to(root)).encode()))[0]
                Image.fromarray(face).save(path)
                written[str(path.relative_to(root))] = face
    return written


@pytest.mark.parametrize(
    "names",
    [
        EMOTIONS,
        ("Angry", "DISGUST", "Fear", "Happy", "Sad", "Surprise", "Neutral"),
        ("anger", "disgusted", "fearful", "happiness", "sadness", "surprised", "neutral"),
        tuple("0123456"),
    ],
)
@pytest.mark.parametrize(
    "parts, usages",
    [
        (("",), [-1]),
        (("train",), [0]),
        (("train", "test"), [0, 2]),
        (("Train", "Validation", "Test"), [0, 1, 2]),
        (("train", "val", "test"), [0, 1, 2]),
        (("test",), [2]),
    ],
)
def test_the_seven_in_every_layout(
    tmp_path: Path, names: tuple[str, ...], parts: tuple[str, ...], usages: list[int]
) -> None:
    written = _fill(tmp_path, parts, names, count=1)
    dataset = load_folders(tmp_path)
    assert dataset.classes == EMOTIONS
    assert dataset.labels.tolist() == list(range(7)) * len(parts)
    assert dataset.usage.tolist() == [usage for usage in usages for _ in range(7)]
    expected = [written[str(Path(part) / name / "0.png")] for part in parts for name in names]
    assert np.array_equal(dataset.faces, expected)


@pytest.mark.parametrize(
    "names, classes",
    [
        (("bored", "asleep", "awake"), ("asleep", "awake", "bored")),
        (("Sad", "happiness"), ("happy", "sad")),  # some of the seven, in their order
        (("happy", "contempt"), ("contempt", "happy")),
        (("0", "1"), ("0", "1")),  # two numbers aren't the seven labels
    ],
)
def test_own_classes(tmp_path: Path, names: tuple[str, ...], classes: tuple[str, ...]) -> None:
    _fill(tmp_path, ("train", "test"), names)
    dataset = load_folders(tmp_path)
    assert dataset.classes == classes
    assert np.bincount(dataset.labels).tolist() == [4] * len(classes)


def test_hidden_files_are_passed_over_and_others_are_told(tmp_path: Path) -> None:
    _fill(tmp_path, ("train",), ("a", "b"))
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / ".cache").mkdir()
    (tmp_path / "more").mkdir()
    (tmp_path / "readme.txt").write_text("")
    (tmp_path / "train/a/.DS_Store").write_text("")
    (tmp_path / "train/a/._0.png").write_text("")
    assert not any("among the pictures" in note for note in load_folders(tmp_path).notes)
    (tmp_path / "train/a/Thumbs.db").write_text("")
    (tmp_path / "train/b/deeper").mkdir()
    dataset = load_folders(tmp_path)
    assert len(dataset) == 4
    assert any("2 files or folders among the pictures" in note for note in dataset.notes)
    assert any("passed over: more" in note for note in dataset.notes)
    assert any("train/ is Training" in note for note in dataset.notes)


def test_second_start_reads_no_picture_and_a_new_picture_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(tmp_path, ("",), ("a", "b"))
    first = load_folders(tmp_path)
    read: list[Path] = []

    def read_and_note(path: Path) -> np.ndarray:
        read.append(path)
        return read_face(path)

    monkeypatch.setattr(folders, "read_face", read_and_note)
    assert np.array_equal(load_folders(tmp_path).faces, first.faces)
    assert not read
    Image.fromarray(random_faces(1, seed=5)[0]).save(tmp_path / "b" / "9.png")
    assert len(load_folders(tmp_path)) == 5
    assert len(read) == 5


GRADIENT = (
    np.add.outer(np.arange(48), np.arange(48)).astype(np.uint8) * 2
)  # 0–188; no picture equals its turns


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def _large(array: np.ndarray) -> Image.Image:
    return Image.fromarray(array.repeat(5, axis=0).repeat(5, axis=1))


def _with_alpha() -> Image.Image:
    alpha = np.where(np.arange(48) < 24, 255, 0).astype(np.uint8)[None].repeat(48, axis=0)
    return Image.merge("LA", (Image.fromarray(GRADIENT), Image.fromarray(alpha)))


HALF_WHITE = np.where(np.arange(48) < 24, GRADIENT, 255)
TURNED = np.arange(48 * 48).reshape(48, 48) % 251
PICTURES: dict[str, tuple[Image.Image, dict[str, Any], np.ndarray, int]] = {
    "gray.png": (Image.fromarray(GRADIENT), {}, GRADIENT, 0),
    "large.png": (_large(GRADIENT), {}, GRADIENT, 0),
    "colour.bmp": (Image.fromarray(GRADIENT).convert("RGB"), {}, GRADIENT, 0),
    "gray.jpg": (Image.fromarray(GRADIENT), {"quality": 95}, GRADIENT, 3),
    "cmyk.jpeg": (Image.fromarray(GRADIENT).convert("RGB").convert("CMYK"), {"quality": 95}, GRADIENT, 4),
    "colour.webp": (Image.fromarray(GRADIENT).convert("RGB"), {"lossless": True}, GRADIENT, 1),
    "palette.png": (Image.fromarray(GRADIENT).convert("P"), {}, GRADIENT, 0),
    "alpha.png": (_with_alpha(), {}, HALF_WHITE, 0),
    "alpha_colour.webp": (_with_alpha().convert("RGBA"), {"lossless": True}, HALF_WHITE, 1),
    "transparent_value.png": (
        Image.fromarray(GRADIENT),
        {"transparency": 0},
        np.where(GRADIENT, GRADIENT, 255),
        0,
    ),
    "sixteen_bits.png": (Image.fromarray(GRADIENT.astype(np.uint16) * 257), {}, GRADIENT, 0),
    "sixteen_bits.tif": (Image.fromarray(GRADIENT.astype(np.uint16) * 257), {}, GRADIENT, 0),
    "one_bit.PNG": (Image.fromarray(GRADIENT > 90), {}, np.where(GRADIENT > 90, 255, 0), 0),
    "exif.png": (Image.fromarray(TURNED.astype(np.uint8)), {"exif": _exif(6)}, np.rot90(TURNED, -1), 0),
    "exif.jpg": (_large(GRADIENT), {"exif": _exif(3), "quality": 95}, np.rot90(GRADIENT, 2), 3),
}


@pytest.mark.parametrize("name", PICTURES)
def test_every_kind_of_picture(tmp_path: Path, name: str) -> None:
    image, options, expected, tolerance = PICTURES[name]
    image.save(tmp_path / name, **options)
    face = read_face(tmp_path / name)
    assert (face.shape, face.dtype) == ((48, 48), np.uint8)
    assert np.abs(face.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize("shape", [(32, 32), (48, 48), (96, 300), (300, 96), (131, 97)])
def test_a_picture_becomes_the_face_that_it_is_in_predictions(tmp_path: Path, shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(3).integers(0, 256, (*shape, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "x.png")
    assert np.array_equal(read_face(tmp_path / "x.png"), whole_image(picture))


def test_every_picture_that_is_predicted_is_read(tmp_path: Path) -> None:
    kinds = {".jfif": "JPEG", ".mpo": "MPO", ".pgm": "PPM"}
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for suffix in PICTURE_SUFFIXES:
            Image.fromarray(GRADIENT).save(tmp_path / name / f"x{suffix}", kinds.get(suffix))
    dataset = load_folders(tmp_path)
    assert len(dataset) == 2 * len(PICTURE_SUFFIXES) and dataset.notes == ()
    assert np.abs(dataset.faces.astype(int) - GRADIENT).max() <= 4


@pytest.mark.parametrize("size", [(1, 1), (20, 30), (47, 500), (97, 131), (48, 49)])
def test_any_size(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, (200, 200, 200)).save(tmp_path / "x.png")
    assert np.array_equal(read_face(tmp_path / "x.png"), np.full((48, 48), 200))


def _png_of(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


def _whole_jpeg(folder: Path) -> bytes:
    _large(random_faces(1)[0]).save(folder / "whole.jpg")
    return (folder / "whole.jpg").read_bytes()


BAD_PICTURES = {
    "empty": (lambda folder: b"", "is empty"),
    "text": (lambda folder: b"this is no picture", "no picture that can be read here"),
    "nothing but a name": (lambda folder: b"GIF89a" + bytes(40), "no picture that can be read here"),
    "cut": (lambda folder: _whole_jpeg(folder)[:3000], "is damaged or cut short"),
    "no pixels in it": (lambda folder: _png_of(48, 48), "is damaged or cut short"),
    "huge": (lambda folder: _png_of(9_000, 9_000), "9000 × 9000 pixels"),
    "bomb": (lambda folder: _png_of(60_000, 60_000), "64 million pixels"),
}


@pytest.mark.parametrize("content, part", BAD_PICTURES.values(), ids=BAD_PICTURES)
def test_bad_picture_is_named(tmp_path: Path, content, part: str, cache_of_its_own: Path) -> None:  # type: ignore[no-untyped-def]
    root = tmp_path / "set"
    _fill(root, ("train",), ("a", "b"))
    path = root / "train" / "b" / "1.png"
    path.write_bytes(content(tmp_path))
    with pytest.raises(DataError) as caught:
        load_folders(root)
    message = str(caught.value)
    assert str(path) in message and part in message and "required" in message and "\n" not in message
    assert not list(cache_of_its_own.iterdir())


def _touch(*paths: str):  # type: ignore[no-untyped-def]
    def make(root: Path) -> None:
        for name in paths:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            if not name.endswith("/"):
                Image.new("L", (48, 48)).save(root / name)
            else:
                (root / name).mkdir()

    return make


BAD_FOLDERS = {
    "nothing": (_touch(), "", ["holds no folders", "class"]),
    "pictures without classes": (_touch("a.png"), "", ["holds no folders"]),
    "train without classes": (_touch("train/a.png"), "train", ["holds no folders"]),
    "one class": (_touch("happy/a.png"), "", ["one class 'happy'", "at least two"]),
    "empty class": (_touch("happy/a.png", "sad/"), "sad", ["the class is empty", "at least one picture"]),
    "missing in test": (
        _touch("train/a/1.png", "train/b/1.png", "test/a/1.png"),
        "test",
        ["no folder for class 'b'", "a, b"],
    ),
    "missing in train": (
        _touch("train/sad/1.png", "test/sad/1.png", "test/happy/1.png"),
        "train",
        ["no folder for class 'happy'"],
    ),
    "names differ": (
        _touch("train/a/1.png", "train/b/1.png", "test/a/1.png", "test/c/1.png"),
        "train",
        ["no folder for class 'c'"],
    ),
    "class twice": (
        _touch("sad/1.png", "Sadness/1.png", "happy/1.png"),
        "sad",
        ["'sad'", "one folder a class"],
    ),
    "part twice": (_touch("val/a/1.png", "valid/a/1.png"), "valid", ["PublicTest", "one of them"]),
}


@pytest.mark.parametrize("make, place, parts", BAD_FOLDERS.values(), ids=BAD_FOLDERS)
def test_bad_folders_are_named(tmp_path: Path, make, place: str, parts: list[str]) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path)
    with pytest.raises(DataError) as caught:
        load_folders(tmp_path)
    message = str(caught.value)
    for part in [str(tmp_path / place), "required", *parts]:
        assert part in message


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder; required"):
        load_folders(tmp_path / "none")
