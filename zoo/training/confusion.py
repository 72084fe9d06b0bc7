"""The confusion matrix as a picture. Every trial of a search gets one, and Pillow draws it in a tenth of
matplotlib's time."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

from zoo.training.pictures import BLUES, GRAY, INK, save_image

__all__ = ["confusion_picture"]

# Pixels: of a cell at least, and of the whole matrix at least.
_CELL, _SIDE = 66, 400
_EDGE, _GAP = 16, 8
_TITLE = 34


def confusion_picture(
    metrics: dict[str, Any], classes: tuple[str, ...], path: Path, *, part: str = ""
) -> None:
    """Draw a confusion matrix: colour is the share of the row, each cell says share and count.

    Args:
        metrics: as `zoo.training.evaluate.measure` returns them.
        classes: names in the order of `metrics["confusion"]`.
        path: of the PNG; the matrix has 400×400 pixels at least, and a cell 66×66.
        part: which faces these are, for the title, such as `PublicTest`.
    """
    counts = np.asarray(metrics["confusion"], dtype=float)
    totals = counts.sum(axis=1)
    shares = counts / np.maximum(totals[:, None], 1)
    title = (
        f"{part or 'Accuracy'} {metrics['accuracy']:.1%}, balanced {metrics['balanced_accuracy']:.1%} "
        f"({metrics['faces']:,} faces)"
    )
    rows = [f"{name}\n{total:,.0f} faces" for name, total in zip(classes, totals, strict=True)]
    text, small, heading = _font(13), _font(10), _font(15)
    widest = max(text.getlength(name) for name in classes)
    cell = max(_CELL, _SIDE // len(classes))
    upright = widest > cell - 4
    side = cell * len(classes)
    left = _EDGE + 20 + round(max(text.getlength(line) for row in rows for line in row.split("\n"))) + _GAP
    below = _GAP + (round(widest) if upright else 16) + _GAP + 20
    width = max(left + side + _EDGE, 2 * _EDGE + round(heading.getlength(title)))
    image = Image.new("RGB", (width, _TITLE + side + below + _EDGE), "white")
    draw = ImageDraw.Draw(image)
    for row, column in np.ndindex(*shares.shape):
        x, y, share = left + column * cell, _TITLE + row * cell, shares[row, column]
        draw.rectangle((x, y, x + cell - 2, y + cell - 2), fill=_shade(round(share * 100)))
        colour = "white" if share > 0.5 else INK if counts[row, column] else GRAY
        middle = x + cell // 2 - 1
        draw.text((middle, y + cell // 2 - 8), f"{share:.0%}", colour, text, anchor="mm")
        draw.text((middle, y + cell // 2 + 13), f"{counts[row, column]:,.0f}", colour, small, anchor="mm")
    for number, (name, label) in enumerate(zip(classes, rows, strict=True)):
        middle = number * cell + cell // 2 - 1
        draw.multiline_text((left - _GAP, _TITLE + middle), label, INK, text, anchor="rm", align="right")
        if upright:
            _write_upwards(image, name, text, left + middle, _TITLE + side + _GAP)
        else:
            draw.text((left + middle, _TITLE + side + _GAP + 13), name, INK, text, anchor="ms")
    _write_upwards(image, "label", text, _EDGE, _TITLE + side // 2, centred=True)
    draw.text((left + side // 2, image.height - _EDGE), "answer", INK, text, anchor="mb")
    draw.text((min(left, width - _EDGE - round(heading.getlength(title))), 8), title, INK, heading)
    save_image(image, path)


def _write_upwards(
    image: Image.Image,
    text: str,
    font: ImageFont.FreeTypeFont,
    x: int,
    y: int,
    *,
    centred: bool = False,
) -> None:
    """Write from bottom to top, the text's middle at `x`, its end (or its middle) at `y`."""
    long, high = round(font.getlength(text)) + 2, round(font.size * 1.5)
    line = Image.new("RGB", (long, high), "white")
    ImageDraw.Draw(line).text((long, high // 2), text, INK, font, anchor="rm")
    turned = line.rotate(90, expand=True)
    image.paste(turned, (x - high // 2, y - long // 2 if centred else y))


@cache
def _font(pixels: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(findfont("DejaVu Sans"), pixels)


@cache
def _shade(percent: int) -> tuple[int, int, int]:
    red, green, blue, _ = BLUES(percent / 100, bytes=True)
    return int(red), int(green), int(blue)
