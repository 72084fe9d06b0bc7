"""Small random data in FER2013's layouts, for tests; no real face is needed."""

from pathlib import Path

import numpy as np

from zoo.data.dataset import USAGES

__all__ = ["HEADER", "pixel_text", "random_faces", "row", "write_csv"]

HEADER = "emotion,pixels,Usage"


def random_faces(count: int, seed: int = 0) -> np.ndarray:
    """uint8 (count, 48, 48) with all of 0–255."""
    return np.random.default_rng(seed).integers(0, 256, (count, 48, 48), dtype=np.uint8)


def pixel_text(face: np.ndarray) -> str:
    return " ".join(map(str, face.ravel()))


def row(label: object = 0, pixels: str | None = None, usage: str = "Training") -> str:
    return f"{label},{pixel_text(random_faces(1)[0]) if pixels is None else pixels},{usage}"


def write_csv(path: Path, counts: tuple[int, int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A CSV with so many rows of each usage, classes in turn; returns its faces and labels."""
    faces = random_faces(sum(counts), seed)
    labels = np.arange(len(faces)) % 7
    usages = np.repeat(USAGES, counts)
    rows = [row(*values) for values in zip(labels, map(pixel_text, faces), usages, strict=True)]
    path.write_text("\n".join([HEADER, *rows, ""]))
    return faces, labels
