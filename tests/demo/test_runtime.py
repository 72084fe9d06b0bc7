"""Exports for ONNX Runtime: made once, used where right and faster, thrown away where wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from demo import runtime
from demo.library import Library
from zoo.data.cache import CACHE_VARIABLE
from zoo.predictor import Predictor

FACES = np.random.default_rng(1).integers(0, 256, (3, 48, 48), dtype=np.uint8)


@pytest.fixture(scope="module")
def exports(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with the exports of both small models."""
    folder = tmp_path_factory.mktemp("exports")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(folder))
        assert runtime.export_to_cache(models / "small") and runtime.export_to_cache(models / "smaller")
    return folder


@pytest.fixture
def filled(exports: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    shutil.copytree(exports, folder)
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    return folder


def export_of(cache: Path, name: str) -> Path:
    (path,) = cache.glob(f"{name}-*.onnx")
    return path


def test_an_export_answers_as_pytorch_does(
    filled: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor.load(models / "small")
    expected = predictor.probabilities(FACES)
    times = iter((2.0, 1.0))
    monkeypatch.setattr(runtime, "milliseconds", lambda predictor: next(times))
    assert runtime.use_faster(predictor, models / "small")
    assert predictor.session is not None
    np.testing.assert_allclose(predictor.probabilities(FACES), expected, atol=1e-5)
    assert predictor.probabilities(FACES[:0]).shape == (0, 7)
    mirrored = predictor.probabilities(FACES, tta=True)
    predictor.session = None
    np.testing.assert_array_equal(predictor.probabilities(FACES, tta=True), mirrored)


def test_the_slower_one_is_not_used(filled: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor.load(models / "small")
    times = iter((1.0, 2.0))
    monkeypatch.setattr(runtime, "milliseconds", lambda predictor: next(times))
    assert runtime.use_faster(predictor, models / "small")
    assert predictor.session is None


@pytest.mark.parametrize("wrong", ["cut short", "another model's"])
def test_a_wrong_export_is_removed(wrong: str, filled: Path, models: Path) -> None:
    path = export_of(filled, "small")
    other = export_of(filled, "smaller").read_bytes()
    path.write_bytes(path.read_bytes()[:2000] if wrong == "cut short" else other)
    predictor = Predictor.load(models / "small")
    assert not runtime.use_faster(predictor, models / "small")
    assert predictor.session is None and not path.exists()


def test_the_library_exports_what_the_cache_lacks(
    filled: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demo.library.available", lambda extra: {"small": models / "small"})
    export_of(filled, "small").unlink()
    library = Library.open(models)
    assert not library.entries["small"].exported
    library.accelerate().join()
    assert library.entries["small"].exported and export_of(filled, "small").is_file()
    # The next start finds it, and has nothing to do.
    monkeypatch.setattr("demo.library.export_to_cache", lambda folder: pytest.fail("exported twice"))
    again = Library.open(models)
    assert again.entries["small"].exported
    again.accelerate().join()


def test_a_model_that_cannot_be_exported_stays_with_pytorch(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    folder = tmp_path / "altered"
    shutil.copytree(models / "small", folder)
    (folder / "weights.safetensors").write_bytes(b"nothing")
    assert not runtime.export_to_cache(folder)
    assert "PyTorch goes on to run altered" in caplog.text
    monkeypatch.setenv(CACHE_VARIABLE, str(folder / "card.json" / "cache"))
    assert not runtime.export_to_cache(models / "small")
    assert "PyTorch goes on to run small" in caplog.text and "cannot be written" in caplog.text
    assert not list(tmp_path.glob("*.onnx"))
