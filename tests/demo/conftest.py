"""Small models, pictures, films and a running app for the app's tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data

from demo.examples import write_examples
from demo.library import Library
from tests.demo.running import running, write_film
from tests.saved_models import save_untrained_comparison, train_small
from zoo.comparison import Comparer
from zoo.comparison_model import load_comparison, save_comparison
from zoo.data.cache import CACHE_VARIABLE


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Exports of models that are gone tomorrow don't go to the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


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
def unusable(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Path:
    """A comparison model that names no expressions, as some that zoo.train_pairs makes."""
    folder = tmp_path_factory.mktemp("unusable") / "zebra"
    network, card = load_comparison(models / "pairs")
    save_comparison(folder, network, replace(card, name="zebra", classes=()))
    return folder


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_examples(tmp_path_factory.mktemp("examples"))


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    return skimage.data.astronaut()


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("films") / "smile.avi", seconds=4)


@pytest.fixture(scope="session")
def address(models: Path) -> Iterator[str]:
    """Where a real app listens, for the whole session."""
    with running("--models", str(models), "--comparison", "pairs", "--max-file-size", "20 MB") as address:
        yield address
