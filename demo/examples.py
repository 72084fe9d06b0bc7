"""Pictures to try the app with, from packages that are installed anyway; knows no page and no network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from zoo.data.drawn import draw_face
from zoo.pictures import read_image

__all__ = ["write_examples"]


def write_examples(folder: Path) -> dict[str, Path]:
    """Write the examples into a folder as JPEG files; returns them by what they show."""
    files = {}
    for name, image in _pictures():
        files[name] = folder / f"{name}.jpg"
        Image.fromarray(image).save(files[name], quality=90)
    return files


def _pictures() -> Iterator[tuple[str, np.ndarray]]:
    import matplotlib.cbook
    import skimage.data

    astronaut = skimage.data.astronaut()  # Eileen Collins, NASA, public domain
    # Grace Hopper, United States Navy, public domain
    hopper = read_image(Path(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))
    yield "astronaut", astronaut
    yield "admiral", hopper
    high = 480
    sized = [
        cv2.resize(image, (image.shape[1] * high // image.shape[0], high)) for image in (astronaut, hopper)
    ]
    yield "two people", np.hstack(sized)
    for expression, person in (("happy", 4), ("surprise", 9), ("angry", 4)):
        drawn = draw_face(expression, seed=person, size=320)
        yield f"drawn {expression}", cv2.cvtColor(drawn, cv2.COLOR_GRAY2RGB)
