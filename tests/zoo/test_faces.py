"""Pictures of every kind become pixels or a message, and faces are found and framed as in FER2013."""

import io
import struct
import subprocess
import sys
import threading
import zlib

import cv2
import matplotlib.cbook
import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageOps

from zoo.errors import ImageError
from zoo.faces import Face, crop_face, find_faces, whole_image
from zoo.pictures import MAX_PIXELS, read_image

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow warns before it refuses


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return skimage.data.astronaut()


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that declares a size and holds almost nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


RED_LEFT = Image.new("RGB", (40, 20), "blue")
RED_LEFT.paste("red", (0, 0, 20, 20))


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def test_every_format_gives_rgb(astronaut: np.ndarray) -> None:
    picture = Image.fromarray(astronaut)
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "MPO"):
        image = read_image(saved(picture, kind))
        assert image.dtype == np.uint8 and image.shape == (512, 512, 3), kind
        assert np.abs(image.astype(int) - astronaut).mean() < 12, kind


@pytest.mark.parametrize(
    ("orientation", "top_left"), [(1, "red"), (3, "blue"), (6, "red"), (8, "blue"), (2, "blue")]
)
def test_orientation_is_obeyed(orientation: int, top_left: str) -> None:
    image = read_image(saved(RED_LEFT, "JPEG", exif=exif(orientation), quality=95))
    assert image.shape == ((40, 20, 3) if orientation > 4 else (20, 40, 3))
    assert int(np.argmax(image[2, 2])) == (0 if top_left == "red" else 2)


def test_a_turned_picture_may_have_odd_metadata() -> None:
    turned = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)
    resolution = struct.pack(">HHI4s", 0x011A, 2, 3, b"72")  # a word in the place of a fraction
    tags = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", 2) + turned + resolution + bytes(4)
    content = saved(RED_LEFT, "JPEG", exif=tags, quality=95)
    with pytest.raises((TypeError, struct.error, ValueError)), Image.open(io.BytesIO(content)) as picture:
        ImageOps.exif_transpose(picture)
    assert read_image(content).shape == (40, 20, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_as_pillow_does(orientation: int) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 40, 3), np.uint8))
    content = saved(picture, "PNG", exif=exif(orientation))
    with Image.open(io.BytesIO(content)) as known:
        assert np.array_equal(read_image(content), np.asarray(ImageOps.exif_transpose(known)))


def test_transparency_lies_on_white() -> None:
    picture = Image.new("RGBA", (10, 10), (255, 0, 0, 0))
    assert (read_image(saved(picture, "PNG")) == 255).all()
    assert (read_image(np.array(picture)) == 255).all()
    palette = Image.new("P", (10, 10), 0)
    assert (read_image(saved(palette, "PNG", transparency=0)) == 255).all()


def test_sixteen_bits_become_eight() -> None:
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    image = read_image(saved(Image.fromarray(ramp), "PNG"))
    assert image.min() == 0 and image.max() == 255
    assert np.array_equal(image, read_image(ramp))


@pytest.mark.parametrize(
    ("values", "expected"),
    [(np.full((4, 4), 200, np.uint16), 200), (np.full((4, 4), 200, np.int32), 200)]
    + [(np.full((4, 4), 40_000, kind), 156) for kind in (np.uint16, np.int32, np.float32)],
)
def test_files_of_more_than_eight_bits(values: np.ndarray, expected: int) -> None:
    image = Image.fromarray(values)
    assert (read_image(image) == expected).all() and (read_image(saved(image, "TIFF")) == expected).all()


def test_cmyk_and_gray() -> None:
    cmyk = read_image(saved(RED_LEFT.convert("CMYK"), "JPEG", quality=95))
    assert cmyk[10, 5, 0] > 200 and cmyk[10, 5, 2] < 60
    gray = read_image(saved(RED_LEFT.convert("L"), "PNG"))
    assert gray.shape == (20, 40, 3) and np.ptp(gray, axis=2).max() == 0


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "blue")]
    for kind in ("GIF", "WEBP", "PNG"):
        image = read_image(saved(frames[0], kind, save_all=True, append_images=frames[1:]))
        assert image.shape == (16, 16, 3) and image[8, 8].argmax() == 0, kind


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.full((4, 4), 7, np.uint8), 7),
        (np.full((4, 4, 1), 7, np.uint8), 7),
        (np.full((4, 4, 3), 0.5, np.float32), 128),
        (np.full((4, 4, 3), 200.0), 200),
        (np.full((4, 4), True), 255),
        (np.full((4, 4), 40_000, np.int64), 156),
        (np.full((4, 4), 40_000, np.float32), 156),
        (np.full((4, 4), 40_000, np.uint16), 156),
        (np.full((4, 4), 200, np.uint16), 1),
        (np.full((4, 4), 200, ">u2"), 1),
        (np.full((4, 4), 1, np.uint16), 0),
        (np.full((4, 4, 3), 255.3), 255),
        (np.full((4, 4, 3), 255.9, np.float32), 255),
    ],
)
def test_arrays(array: np.ndarray, expected: int) -> None:
    image = read_image(array)
    assert image.shape == (4, 4, 3) and (image == expected).all()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (b"", "is empty"),
        (b"nothing of the kind", "no picture that can be read"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG drawing"),
        (b'<?xml version="1.0"?>\n<svg/>', "SVG drawing"),
        (b"\n<!DOCTYPE html><html></html>", "web page"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "film"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture that can be read"),
        (saved(RED_LEFT, "JPEG")[:-200], "damaged or cut short"),
        (saved(RED_LEFT, "PNG")[:60], "damaged or cut short"),
        (png_header(20_000, 20_000), "64 million"),
        (png_header(9_000, 9_000), "64 million"),
        (png_header(12_000, 10_000), "64 million"),
        (np.full((4, 4, 3), np.nan), "not finite"),
        (np.full((4, 4, 3), np.inf, np.float32), "not finite"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (np.zeros((4, 4, 2), np.uint8), "shape (4, 4, 2)"),
        (np.zeros(4, np.uint8), "shape (4,)"),
        (np.full((4, 4), "a"), "not numbers"),
        (np.full((4, 4), None), "not numbers"),
        (None, "got NoneType"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
@pytest.mark.filterwarnings("ignore")
def test_refusals(source: object, said: str) -> None:
    with pytest.raises(ImageError) as refusal:
        read_image(source, name="shot.png")  # type: ignore[arg-type]
    assert str(refusal.value).startswith("shot.png: ") and said in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_bomb_is_refused_by_its_header() -> None:
    """A real gray PNG of 8,100 × 8,100 pixels is small as a file and 66 MB as pixels."""
    import tracemalloc

    bomb = saved(Image.new("L", (8_100, 8_100)), "PNG")
    assert len(bomb) < 200_000 and MAX_PIXELS < 8_100**2
    tracemalloc.start()
    try:
        with pytest.raises(ImageError, match="64 million"):
            read_image(bomb)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("mode", ["LA", "RGBA", "RGB", "I;16"])
def test_a_large_picture_takes_little_more_memory_than_its_pixels(mode: str, tmp_path) -> None:
    """Pillow keeps up to four bytes a pixel, the answer three."""
    path = tmp_path / "plain.png"
    Image.new(mode, (4000, 4000)).save(path, compress_level=1)
    code = f"""
import re
from pathlib import Path
from zoo.pictures import read_image
memory = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
before = memory()
read_image({str(path)!r})
print((memory() - before) / 4000**2)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < 11


def test_files(tmp_path) -> None:
    path = tmp_path / "portrait.jpg"
    path.write_bytes(saved(RED_LEFT, "JPEG"))
    assert read_image(path).shape == (20, 40, 3)
    assert read_image(str(path)).shape == (20, 40, 3)
    with pytest.raises(ImageError, match="absent.png: there is no such file"):
        read_image(tmp_path / "absent.png")
    with pytest.raises(ImageError, match="is not a file"):
        read_image(tmp_path)
    with pytest.raises(ImageError):
        read_image("a\0b.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF"])
@pytest.mark.filterwarnings("ignore")
def test_damaged_bytes_never_raise_anything_else(kind: str) -> None:
    whole = saved(RED_LEFT.resize((64, 64)), kind)
    draw = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole)
        for place in draw.integers(0, len(whole), 6):
            damaged[place] = draw.integers(256)
        try:
            assert read_image(bytes(damaged[: draw.integers(1, len(whole))])).dtype == np.uint8
        except ImageError:
            refused += 1
    assert refused > 10


def centre(face: Face) -> tuple[float, float]:
    x, y, width, height = face.box
    return x + width / 2, y + height / 2


def test_portraits(astronaut: np.ndarray) -> None:
    (face,) = find_faces(astronaut)
    assert face.score > 0.9 and np.hypot(*np.subtract(centre(face), (224, 118))) < 12
    hopper = read_image(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    (face,) = find_faces(hopper)
    assert np.hypot(*np.subtract(centre(face), (268, 226))) < 20


@pytest.mark.parametrize("size", [48, 100, 400, 1500, 2400])
def test_small_and_large_faces(astronaut: np.ndarray, size: int) -> None:
    head = astronaut[40:200, 145:305]
    canvas = np.full((max(400, size + 40), max(600, size + 40), 3), 120, np.uint8)
    canvas[20 : 20 + size, 20 : 20 + size] = cv2.resize(head, (size, size), interpolation=cv2.INTER_AREA)
    (face,) = find_faces(canvas)
    assert np.abs(np.subtract(centre(face), 20 + size * 0.49)).max() < size * 0.1


def test_a_crowd_is_found_from_left_to_right_up_to_the_limit(astronaut: np.ndarray) -> None:
    head = cv2.resize(astronaut[20:240, 115:335], (120, 120), interpolation=cv2.INTER_AREA)
    crowd = np.tile(head, (6, 10, 1))
    faces = find_faces(crowd)
    assert len(faces) == 50
    assert len(find_faces(crowd, limit=100)) == 60
    assert [face.box[0] for face in faces] == sorted(face.box[0] for face in faces)


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (8, 8), (1, 4000), (4000, 1), (300, 300), (50, 2000)])
def test_no_face_is_an_empty_answer(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    assert find_faces(noise) == ()
    assert whole_image(noise).shape == (48, 48)


def test_boxes_lie_inside_of_the_picture(astronaut: np.ndarray) -> None:
    for top, left in ((70, 180), (90, 195), (60, 230)):
        part = np.ascontiguousarray(astronaut[top : top + 90, left : left + 90])
        for face in find_faces(part, min_score=0.3):
            x, y, width, height = face.box
            assert x >= 0 and y >= 0 and x + width <= 90 and y + height <= 90
            assert crop_face(part, face).shape == (48, 48)


def test_the_crop_frames_a_face_as_fer2013_does(astronaut: np.ndarray) -> None:
    """In FER2013 the middle of the eyes lies at 24, 18 (±3) and that of the mouth at 24, 36 (±3)."""
    (face,) = find_faces(astronaut)
    x, y, side = face.frame
    landmarks = (face.landmarks - (x - side / 2, y - side / 2)) * 48 / side
    assert np.abs(landmarks[:2].mean(0) - (24, 18)).max() < 4
    assert np.abs(landmarks[3:].mean(0) - (24, 36)).max() < 4
    crop = crop_face(astronaut, face)
    assert crop.dtype == np.uint8 and crop.shape == (48, 48) and crop.std() > 20


def test_a_crop_of_a_square_frame_is_the_square() -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    face = Face((0, 0, 48, 48), 1.0, np.zeros((5, 2), np.float32), (23.5, 23.5, 48.0))
    assert np.array_equal(crop_face(image, face), cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    assert np.array_equal(crop_face(image, face), whole_image(image))


def test_a_crop_of_a_very_wide_picture_is_that_of_its_part() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 200, 3), np.uint8)
    wide = np.full((60, 40_000, 3), 90, np.uint8)
    wide[:, -200:] = noise
    for x, y, side in ((100.3, 30.0, 40.0), (195.0, 10.4, 70.0), (300.0, -50.0, 20.0)):
        near = Face((0, 0, 9, 9), 1.0, np.zeros((5, 2), np.float32), (x, y, side))
        far = Face((0, 0, 9, 9), 1.0, near.landmarks, (x + 39_800, y, side))
        assert np.array_equal(crop_face(wide, far), crop_face(noise, near))


def test_threads_agree(astronaut: np.ndarray) -> None:
    pictures = [np.ascontiguousarray(np.roll(astronaut, shift, axis=1)) for shift in (0, 40, 80, 120)]
    alone = [find_faces(picture)[0].box for picture in pictures]
    answers: list[list[tuple[int, ...]]] = [[] for _ in pictures]

    def work(index: int) -> None:
        for _ in range(8):
            answers[index].append(find_faces(pictures[index])[0].box)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(pictures))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [[box] * 8 for box in alone]


def test_wrong_arrays_are_named() -> None:
    with pytest.raises(ImageError, match="not uint8"):
        find_faces(np.zeros((40, 40), np.uint8))
    with pytest.raises(ImageError, match="not uint8"):
        whole_image(np.zeros((40, 40, 3), np.float32))
