"""Faces and answers → pixels: boxes on pictures, crops, overlays, data addresses; knows no network."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from demo.recognise import Answer

__all__ = ["annotate", "colour_of", "data_address", "ink_on", "overlay", "thumbnail"]

# Seven tones that stay apart for common colour blindness too; words always stand beside them.
_COLOURS = {
    "angry": "#d6455d",
    "disgust": "#5f9e4f",
    "fear": "#8660c4",
    "happy": "#e8a317",
    "sad": "#3b82c4",
    "surprise": "#13a89e",
    "neutral": "#7d8899",
}
_OTHER_COLOURS = ("#c2577e", "#4a7fb5", "#a1812d", "#4f9488", "#9064a8", "#a66a4b")
_LONGEST_SHOWN = 1600


def colour_of(expression: str) -> str:
    """An expression's tone, `#rrggbb`; the same one everywhere in the app."""
    return _COLOURS.get(expression) or _OTHER_COLOURS[sum(expression.encode()) % len(_OTHER_COLOURS)]


def annotate(image: np.ndarray, answers: Sequence[Answer]) -> np.ndarray:
    """A copy of a picture, at most 1600 pixels long, with each face boxed and labelled.

    Args:
        image: uint8 (H, W, 3), RGB, 0–255.

    Returns:
        uint8 (H', W', 3), RGB.
    """
    scale = min(1.0, _LONGEST_SHOWN / max(image.shape[:2]))
    if scale < 1:
        image = thumbnail(image, _LONGEST_SHOWN)
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    unit = max(picture.size) / 640
    for answer in answers:
        if answer.box is None:
            continue
        x, y, width, height = (value * scale for value in answer.box)
        colour = colour_of(answer.expression)
        line = max(2, round(2.5 * unit))
        corner = min(width, height) / 8
        pen.rounded_rectangle((x, y, x + width, y + height), corner, outline=colour, width=line)
        # In a crowd, labels shrink with the faces so that they don't cover each other.
        size = max(10.0, min(17 * unit, max(width / 4, 0 if len(answers) > 8 else 13 * unit)))
        font = ImageFont.load_default(size)
        words = f"{answer.number} {answer.label}" if len(answers) > 1 else answer.label
        left, top, right, bottom = pen.textbbox((0, 0), words, font=font)
        pad = max(2.0, size / 4)
        wide, high = right - left + 2 * pad, bottom - top + 2 * pad
        start = min(max(0.0, x), max(0.0, picture.width - wide))
        over = y - high - line if y - high - line >= 0 else min(y + height + line, picture.height - high)
        pen.rounded_rectangle((start, over, start + wide, over + high), pad, fill=colour)
        pen.text((start + pad - left, over + pad - top), words, fill=ink_on(colour), font=font)
    return np.asarray(picture)


def overlay(crop: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A face with heat laid over it.

    Args:
        crop: uint8 (48, 48).
        heat: float (48, 48), 0–1.

    Returns:
        uint8 (192, 192, 3), RGB.
    """
    large = cv2.cvtColor(cv2.resize(crop, (192, 192), interpolation=cv2.INTER_CUBIC), cv2.COLOR_GRAY2RGB)
    warmth = np.clip(cv2.resize(heat, (192, 192), interpolation=cv2.INTER_CUBIC), 0, 1)
    coloured = cv2.applyColorMap(np.rint(warmth * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1]
    share = (0.75 * warmth**0.7)[:, :, None]
    return np.rint(large * (1 - share) + coloured * share).astype(np.uint8)


def thumbnail(image: np.ndarray, longest: int) -> np.ndarray:
    """A copy whose longer side is at most so many pixels."""
    scale = min(1.0, longest / max(image.shape[:2]))
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def data_address(image: np.ndarray, *, kind: str = "png") -> str:
    """A picture as a `data:` address, so that showing it leaves no file on the server.

    Args:
        image: uint8 (H, W) gray or (H, W, 3) RGB.
        kind: `png` or `jpeg`.
    """
    pixels = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    encoded = cv2.imencode(f".{kind}", pixels)[1]
    return f"data:image/{kind};base64,{base64.b64encode(encoded.tobytes()).decode()}"


def ink_on(colour: str) -> str:
    """Black or white, whichever stands out more on `#rrggbb`; by WCAG 2 at least 4.5 to 1."""
    shares = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    light = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return "black" if light @ (0.2126, 0.7152, 0.0722) > 0.179 else "white"
