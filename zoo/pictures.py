"""Picture files, bytes and arrays of every kind to RGB pixels, within limits; knows nothing of faces."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from PIL import ExifTags, Image

from zoo.errors import ImageError

__all__ = ["DECODING_ERRORS", "MAX_FILE_BYTES", "MAX_PIXELS", "PICTURE_SUFFIXES", "read_image", "upright"]

MAX_PIXELS = 64_000_000
MAX_FILE_BYTES = 200_000_000
_STRIP_PIXELS = 2_000_000
PICTURE_SUFFIXES = (
    ".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".mpo", ".pgm", ".png", ".ppm", ".tif", ".tiff",
    ".webp",
)  # fmt: skip

# Pillow opens some forty formats; the others run interpreters (EPS), are containers, or are not photographs.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")

# By the EXIF orientation of the camera.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# What Pillow's decoders raise on damaged files, found by flipping and cutting bytes of each format.
DECODING_ERRORS = (
    OSError, SyntaxError, ValueError, RuntimeError, EOFError, OverflowError, TypeError, IndexError,
    MemoryError, struct.error, zlib.error,
)  # fmt: skip


def read_image(
    source: Path | str | bytes | Image.Image | np.ndarray, *, name: str | None = None
) -> np.ndarray:
    """Decode a picture from wherever it comes.

    Orientation tags are obeyed, transparency is laid on white, an animation gives its first frame, and gray,
    CMYK, palette and 16-bit pictures become 8-bit RGB.

    Args:
        source: a file, its bytes, a Pillow image, or an array: uint8 0–255, uint16 0–65535, or float (0–1
            when nothing in it exceeds 1, else 0–255 and cut there if it ends at 256), of shape (H, W),
            (H, W, 1), (H, W, 3) or (H, W, 4).
        name: what errors call the picture; by default the file's name.

    Returns:
        uint8 (H, W, 3), RGB, 0–255, C-contiguous.

    Raises:
        ImageError: it is missing, no picture, damaged, or declares more than `MAX_PIXELS` pixels.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, name or "the array")
    if isinstance(source, Image.Image):
        return _decode(source, name or "the picture")
    if isinstance(source, bytes):
        return _open(io.BytesIO(source), source[:512], name or "the picture")
    if not isinstance(source, Path | str):
        raise ImageError(f"{name or 'the picture'}: got {type(source).__name__}, not a picture")
    path = Path(source)
    name = name or path.name
    try:
        if not path.is_file():
            raise ImageError(f"{name}: {'is not a file' if path.exists() else 'there is no such file'}")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ImageError(f"{name}: is larger than {MAX_FILE_BYTES // 1_000_000} MB")
        with path.open("rb") as file:
            start = file.read(512)
            file.seek(0)
            return _open(file, start, name)
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise ImageError(f"{name}: cannot be read ({_reason(error)})") from error


def _open(file: IO[bytes], start: bytes, name: str) -> np.ndarray:
    if not start:
        raise ImageError(f"{name}: is empty")
    Image.init()  # Pillow registers only five formats by itself, and `formats` may name registered ones alone
    try:
        with Image.open(file, formats=_FORMATS) as image:
            return _decode(image, name)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            f"{name}: has more than the {MAX_PIXELS // 1_000_000} million pixels allowed"
        ) from error
    except Image.UnidentifiedImageError as error:
        raise ImageError(f"{name}: is {_guess(start)}") from error
    except DECODING_ERRORS as error:
        raise ImageError(f"{name}: is damaged or cut short ({_reason(error)})") from error


def _decode(image: Image.Image, name: str) -> np.ndarray:
    # The header alone is read until here; the size is refused before any pixel is decoded.
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(
            f"{name}: {image.width} × {image.height} pixels are more than"
            f" the {MAX_PIXELS // 1_000_000} million allowed"
        )
    if image.width * image.height == 0:
        raise ImageError(f"{name}: has no pixels")
    try:
        image.load()
        image = upright(image)
        if image.mode.startswith("I") or image.mode == "F":
            # Files of 16 bits with the values of 8 are common.
            return _from_array(np.asarray(image), name, wide=False)
        return _on_white(image)
    except DECODING_ERRORS as error:
        raise ImageError(f"{name}: is damaged or cut short ({_reason(error)})") from error


def upright(image: Image.Image) -> Image.Image:
    """The picture as its camera was held; the rest of its metadata, which may be damaged, isn't looked at."""
    turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return image if turn is None else image.transpose(turn)


def _on_white(image: Image.Image) -> np.ndarray:
    """RGB pixels, converted strip by strip: a copy of a whole picture takes up to 256 MB."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        part = (0, top, image.width, min(image.height, top + rows))
        strip = image if rows >= image.height else image.crop(part)
        if image.has_transparency_data:
            strip = strip.convert("RGBA")
            strip = Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip)
        pixels[top : top + rows] = np.asarray(strip.convert("RGB"))
    return pixels


def _from_array(array: np.ndarray, name: str, *, wide: bool = True) -> np.ndarray:
    """See `read_image`; not `wide`, 16 bits are told by a value above 255 only."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise ImageError(f"{name}: has the shape {array.shape}, not (height, width) or (height, width, 3)")
    if array.size == 0:
        raise ImageError(f"{name}: has no pixels")
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise ImageError(f"{name}: has more than the {MAX_PIXELS // 1_000_000} million pixels allowed")
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    if array.dtype.kind not in "uif":
        raise ImageError(f"{name}: holds {array.dtype}, not numbers from 0 to 255")
    if array.dtype != np.uint8:
        wide = wide and array.dtype.kind == "u" and array.dtype.itemsize == 2
        real = array.dtype.kind == "f"
        array = array.astype(np.float32)
        if not np.isfinite(array).all():
            raise ImageError(f"{name}: holds values that are not finite numbers")
        low, high = float(array.min()), float(array.max())
        if low < 0 or high > 65535:
            array -= low
            array /= max(high - low, 1e-6)
            array *= 255
        elif wide or high > (256 if real else 255):
            array /= 257
        elif high <= 1:
            array *= 255
        array = np.rint(np.minimum(array, 255, out=array), out=array).astype(np.uint8)
    if array.ndim == 2:
        return cv2.cvtColor(np.ascontiguousarray(array), cv2.COLOR_GRAY2RGB)
    if array.shape[2] == 4:
        alpha = array[:, :, 3:].astype(np.uint16)
        array = ((array[:, :, :3] * alpha + 255 * (255 - alpha)) // 255).astype(np.uint8)
    return np.ascontiguousarray(array)


def _reason(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:120] or type(error).__name__


def _guess(start: bytes) -> str:
    """Say what a file that Pillow doesn't know looks like, in words that tell what to do."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in text:
        return "an SVG drawing; a photograph (JPEG, PNG, WebP) is needed"
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "a web page, not a picture"
    if start[4:8] == b"ftyp" and start[8:12] in (b"heic", b"heix", b"mif1", b"hevc"):
        return "a HEIC picture; save it as JPEG first"
    if start[4:8] == b"ftyp" or start.startswith((b"\x1aE\xdf\xa3", b"RIFF")):
        return "a film or a sound, not a picture"
    return "no picture that can be read here (JPEG, PNG, WebP, AVIF, GIF, BMP, TIFF, PPM)"
