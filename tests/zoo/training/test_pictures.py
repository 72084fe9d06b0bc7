"""Pictures are written whole, in colours, by any thread, without matplotlib's global state."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.training.confusion import confusion_picture
from zoo.training.evaluate import measure
from zoo.training.pair_pictures import save_roc
from zoo.training.pictures import BLUES, learning_curves, learning_curves_in_frame, reliability_diagram

HISTORY = [
    {
        "epoch": epoch,
        "learning_rate": 0.1,
        "train_loss": 2 / epoch,
        "train_accuracy": 1 - 0.7 / epoch,
        "loss": 1.8 / epoch,
        "accuracy": 0.9 - 0.5 / epoch,
        "macro_f1": 0.8 - 0.5 / epoch,
        "seconds": 1.0,
    }
    for epoch in range(1, 9)
]
GROWN = [
    {**entry, "resolution": 32 if entry["epoch"] < 4 else 40 if entry["epoch"] < 6 else 48}
    for entry in HISTORY
]
BINS = [
    {"share": 0.4, "confidence": 0.5, "accuracy": 0.3},
    {"share": 0.6, "confidence": 0.9, "accuracy": 0.7},
]
CLASSES = ("left", "middle", "right")


def _metrics(classes: tuple[str, ...] = CLASSES, seed: int = 0) -> dict[str, object]:
    random = np.random.default_rng(seed)
    logits, labels = random.normal(size=(80, len(classes))), random.integers(0, len(classes) - 1, 80)
    return measure(logits, labels, classes)  # the last class is absent


DRAW: dict[str, Callable[[Path], None]] = {
    "curves": lambda path: learning_curves(HISTORY, path),
    "growing faces": lambda path: learning_curves(GROWN, path),
    "one epoch": lambda path: learning_curves(HISTORY[:1], path),
    "frame": lambda path: learning_curves_in_frame(HISTORY[:3], path, epochs=8, classes=7),
    "frame of one epoch": lambda path: learning_curves_in_frame(HISTORY[:1], path, epochs=1, classes=2),
    "confusion": lambda path: confusion_picture(_metrics(), CLASSES, path, part="PublicTest"),
    "two classes": lambda path: confusion_picture(_metrics(("a", "b")), ("a", "b"), path),
    "reliability": lambda path: reliability_diagram(BINS, BINS[:1], path, part="PublicTest"),
}


@pytest.mark.parametrize("name", DRAW)
def test_a_small_whole_picture_is_written(name: str, tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "picture.png"
    DRAW[name](path)
    assert [file.name for file in path.parent.iterdir()] == ["picture.png"]
    assert path.stat().st_size < 60_000
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert min(pixels.shape[:2]) > 350 and len(np.unique(pixels.reshape(-1, 3), axis=0)) > 10


def test_a_frame_keeps_nothing_of_the_curves_before(tmp_path: Path) -> None:
    for name, epochs in (("first", 2), ("other", 8), ("again", 2)):
        learning_curves_in_frame(HISTORY[:epochs], tmp_path / f"{name}.png", epochs=8, classes=7)
    first, other, again = ((tmp_path / f"{name}.png").read_bytes() for name in ("first", "other", "again"))
    assert first == again != other


def test_curves_in_one_frame_have_one_scale(tmp_path: Path) -> None:
    def coloured(history: list[dict[str, float]], name: str) -> np.ndarray:
        learning_curves_in_frame(history, tmp_path / name, epochs=8, classes=7)
        with Image.open(tmp_path / name) as image:
            pixels = np.asarray(image.convert("RGB")).astype(int)
        return pixels.max(axis=2) - pixels.min(axis=2) > 90

    # What the shorter run draws, the longer one draws in the same places.
    short, whole = coloured(HISTORY[:4], "short.png"), coloured(HISTORY, "whole.png")
    left = np.s_[:, :450]
    assert short[left].sum() > 200
    assert (short[left] & whole[left]).sum() > 0.9 * short[left].sum()


def test_a_confusion_matrix_has_the_colours_of_its_shares(tmp_path: Path) -> None:
    metrics = _metrics() | {"confusion": [[10, 0, 0], [5, 5, 0], [0, 0, 0]]}
    confusion_picture(metrics, CLASSES, tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    blues = {}
    for shade in (1.0, 0.5):
        near = abs(pixels - np.rint(np.array(BLUES(shade)[:3]) * 255)).max(axis=2) < 8
        blues[shade] = int(near.sum())
    # One cell is full, two are half full, six are white as the page is.
    cell = (400 // 3) ** 2
    assert 0.8 * cell < blues[1.0] < cell and 1.7 * cell < blues[0.5] < 2 * cell
    assert (pixels[0, 0] == 255).all()


@pytest.mark.parametrize("names", [("a", "b"), ("happily surprised", "fearfully disgusted", "sad")])
def test_nothing_of_a_confusion_matrix_is_cut_off(names: tuple[str, ...], tmp_path: Path) -> None:
    confusion_picture(_metrics(names), names, tmp_path / "picture.png", part="PublicTest")
    with Image.open(tmp_path / "picture.png") as image:
        pixels = np.asarray(image.convert("L"))
    edges = np.concatenate(
        [pixels[:4].ravel(), pixels[-4:].ravel(), pixels[:, :4].ravel(), pixels[:, -4:].ravel()]
    )
    assert edges.min() == 255


def test_threads_draw_at_once_what_one_draws_alone(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    confusion_picture(_metrics(seed=5), CLASSES, tmp_path / "alone.png")
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda path: confusion_picture(_metrics(seed=5), CLASSES, path), paths))
    assert {path.read_bytes() for path in paths} == {(tmp_path / "alone.png").read_bytes()}


def test_pyplot_is_never_imported() -> None:
    code = "import sys, zoo.training.pictures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_long_name_leaves_room_for_the_curves(tmp_path: Path) -> None:
    same = np.arange(40) % 2 == 0
    scores = {f"/{'a/' * 100}{name} (baseline)": same + np.linspace(0, 1, 40) for name in ("one", "two")}
    save_roc(tmp_path / "roc.png", scores, same)  # matplotlib warns of axes without a size, which fails
    assert (tmp_path / "roc.png").is_file()
