"""Small models, pictures, films and a running app for the app's tests."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from demo.examples import write_examples
from demo.library import Library
from tests.saved_models import save_untrained_comparison, train_small
from zoo.comparison import Comparer
from zoo.data.drawn import draw_face


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two small networks and a comparison model over one of them."""
    folder = tmp_path_factory.mktemp("models")
    train_small(folder / "small")
    train_small(folder / "smaller", widths=(4, 8), seed=1, epochs=1)
    save_untrained_comparison(folder / "pairs", folder / "small")
    return folder


@pytest.fixture(scope="session")
def library(models: Path) -> Library:
    return Library.open(models)


@pytest.fixture(scope="session")
def comparer(models: Path) -> Comparer:
    return Comparer.load(models / "pairs")


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_examples(tmp_path_factory.mktemp("examples"))


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    return skimage.data.astronaut()


def write_film(path: Path, *, seconds: float, rate: int = 10, size: int = 320) -> Path:
    """A film of one drawn person who smiles; the codec is one that OpenCV always has."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), rate, (size, size))
    assert writer.isOpened()
    frames = [
        cv2.cvtColor(draw_face("happy", seed=7, intensity=intensity, size=size), cv2.COLOR_GRAY2BGR)
        for intensity in (0.0, 0.5, 1.0)
    ]
    for number in range(round(seconds * rate)):
        writer.write(frames[number * len(frames) // max(1, round(seconds * rate))])
    writer.release()
    return path


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("films") / "smile.avi", seconds=4)


@contextmanager
def running(*options: str) -> Iterator[str]:
    """The address of an app that runs in a process of its own, as `python -m demo` with these options."""
    command = [sys.executable, "-m", "demo", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            assert address.startswith("http"), "the app did not start"
            yield address
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)


@pytest.fixture(scope="session")
def address(models: Path) -> Iterator[str]:
    """Where a real app listens, for the whole session."""
    with running("--models", str(models)) as address:
        yield address
