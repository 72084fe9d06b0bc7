"""Reading `fer2013.csv` against pandas with one conversion a row, and the second start from the cache."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd

from tests.benchmarks.measure import Figure, interleaved_ratio
from zoo.data import load_dataset
from zoo.data.drawn import draw_faces
from zoo.data.fer2013 import parse_fer2013

__all__ = ["measure"]


def measure(data: Path | None) -> list[Figure]:
    """Ratio of speed and seconds of a second start; on a drawn CSV of 4,000 rows where none is given."""
    with tempfile.TemporaryDirectory() as folder:
        path = data or _write_csv(Path(folder) / "drawn.csv")

        def ours() -> float:
            return float(len(parse_fer2013(path)[0]))

        def usual() -> float:
            table = pd.read_csv(path)
            pixels = np.stack([np.array(text.split(" "), dtype=np.uint8) for text in table["pixels"]])
            return float(len(pixels))

        ratio, fast, slow = interleaved_ratio(ours, usual, rounds=3)
        with mock.patch.dict(os.environ, {"EXPRESSION_SEARCH_CACHE": folder}):
            load_dataset(path)
            started = time.perf_counter()
            load_dataset(path)
            second = time.perf_counter() - started
    detail = f"{fast:,.0f} against {slow:,.0f} rows/s"
    return [
        Figure.at_least("reading the CSV over pandas and a conversion a row", ratio, "×", 3.0, detail),
        Figure.at_most("second start, from the cache", second, "s", 0.5),
    ]


def _write_csv(path: Path) -> Path:
    faces, labels = draw_faces(4000, seed=0)
    usages = ["Training"] * 3000 + ["PublicTest"] * 500 + ["PrivateTest"] * 500
    pixels = [" ".join(map(str, face.ravel())) for face in faces]
    pd.DataFrame({"emotion": labels, "pixels": pixels, "Usage": usages}).to_csv(path, index=False)
    return path
