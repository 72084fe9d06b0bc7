"""Every test reads and writes a cache folder of its own, and no data set of the machine."""

from pathlib import Path

import pytest

from zoo.data.cache import CACHE_VARIABLE
from zoo.data.load import DATA_VARIABLE


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    return folder
