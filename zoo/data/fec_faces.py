"""Cuts the faces of Google's comparison set out of downloaded pictures and loads them; knows no networks."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from PIL import Image

from zoo.data.dataset import FACE_SIZE
from zoo.data.fec import FecTriplets, image_name
from zoo.data.fec_download import found_images
from zoo.errors import DataError
from zoo.output import moved_into_place
from zoo.pictures import DECODING_ERRORS, upright

__all__ = ["Crop", "crop_face", "crop_faces", "load_fec_faces"]

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Crop:
    """What became of the faces of one picture.

    Attributes:
        url: the picture's address.
        faces: how many of its faces are there now.
        reason: why the others are not; empty where all are.
    """

    url: str
    faces: int
    reason: str = ""


def crop_face(picture: Image.Image, box: Box) -> np.ndarray:
    """One face, uint8 (48, 48), gray.

    The box is widened to a square about its centre, so that faces keep their proportions, and shifted, or at
    last made smaller, to lie in the picture. Turn the picture upright first: boxes mean what a viewer shows.

    Args:
        picture: the whole picture, upright.
        box: left, right, top, bottom as fractions of its width and height.
    """
    left, right, top, bottom = box
    left, right = max(left, 0.0) * picture.width, min(right, 1.0) * picture.width
    top, bottom = max(top, 0.0) * picture.height, min(bottom, 1.0) * picture.height
    side = min(max(right - left, bottom - top, 1.0), picture.width, picture.height)
    x = min(max((left + right - side) / 2, 0), picture.width - side)
    y = min(max((top + bottom - side) / 2, 0), picture.height - side)
    face = picture.convert("L").resize(
        (FACE_SIZE, FACE_SIZE), Image.Resampling.LANCZOS, box=(x, y, x + side, y + side)
    )
    return np.asarray(face)


def crop_faces(
    triplets: FecTriplets, images: Path, crops: Path, *, processes: int | None = None
) -> Generator[Crop]:
    """Cut every face whose picture lies in `images` into `crops/NAME.png`; yield picture by picture.

    Pictures are opened once each, in `processes` processes (None: one a core); crops that exist are kept.
    Pictures that were not downloaded are passed over.
    """
    crops.mkdir(parents=True, exist_ok=True)
    pictures = found_images(images)
    have = {path.stem for path in crops.glob("*.png")}
    faces = sorted((url, name, box) for name, (url, box) in triplets.crops().items())
    tasks = []
    for url, group in groupby(faces, key=lambda face: face[0]):
        wanted = tuple((name, box) for _, name, box in group)
        missing = tuple((name, box) for name, box in wanted if name not in have)
        path = pictures.get(image_name(url))
        if not missing:
            yield Crop(url, len(wanted))
        elif path is not None:
            tasks.append((url, path, missing, crops, len(wanted) - len(missing)))
    if not tasks:
        return
    # Spawned, not forked: the caller may run threads, such as the one that draws a progress bar.
    context = multiprocessing.get_context("spawn")
    workers = min(processes or os.cpu_count() or 1, len(tasks))
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(_crop_picture, tasks, chunksize=max(1, min(32, len(tasks) // (4 * workers))))


def load_fec_faces(triplets: FecTriplets, crops: Path) -> tuple[np.ndarray, np.ndarray]:
    """Load the crops.

    Returns:
        Faces uint8 (F, 48, 48), and int64 (N, 3) indices into them, -1 where a triplet's face is missing.

    Raises:
        DataError: no crop is there, or one is not a 48x48 picture.
    """
    names = triplets.crop_names()
    index = {name: number for number, name in enumerate(sorted({path.stem for path in crops.glob("*.png")}))}
    wanted = [name for name in dict.fromkeys(names.ravel().tolist()) if name in index]
    if not wanted:
        raise DataError(f"{crops}: holds no face of {triplets.name}; download and crop them first")
    faces = np.empty((len(wanted), FACE_SIZE, FACE_SIZE), dtype=np.uint8)
    for number, name in enumerate(wanted):
        path = crops / f"{name}.png"
        try:
            with Image.open(path, formats=("PNG",)) as picture:
                face = np.asarray(picture.convert("L"))
        except OSError as error:
            raise DataError(f"{path}: cannot be read as PNG: {error}") from None
        if face.shape != (FACE_SIZE, FACE_SIZE):
            raise DataError(
                f"{path}: is {face.shape[1]}x{face.shape[0]}; {FACE_SIZE}x{FACE_SIZE} is required"
            )
        faces[number] = face
    position = {name: number for number, name in enumerate(wanted)}
    rows = [position.get(name, -1) for name in names.ravel().tolist()]
    return faces, np.array(rows, dtype=np.int64).reshape(-1, 3)


def _crop_picture(task: tuple[str, Path, tuple[tuple[str, Box], ...], Path, int]) -> Crop:
    url, path, faces, folder, present = task
    done = present
    try:
        with Image.open(path) as file:
            picture = upright(file).convert("L")
        for name, box in faces:
            with moved_into_place(folder / f"{name}.png") as part:
                Image.fromarray(crop_face(picture, box)).save(part, format="PNG")
            done += 1
    except (*DECODING_ERRORS, Image.DecompressionBombError) as error:
        return Crop(url, done, f"{type(error).__name__}: {error}")
    return Crop(url, done)
