"""The array files: hit, miss, damage, and two processes at once."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.zoo.data.small_fer2013 import write_csv
from zoo.data import fer2013
from zoo.data.cache import cache_folder, cached_bytes
from zoo.data.fer2013 import load_fer2013


class _Builder:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> list[np.ndarray]:
        self.calls += 1
        return [np.arange(200, dtype=np.uint8).reshape(2, 100), np.array([7], np.uint8)]


EXPECTED = [*range(200), 7]


@pytest.mark.parametrize(
    "identities, calls",
    [([(1,), (1,)], 1), ([(1,), (2,)], 2), ([(1, "a"), (1, "b")], 2), ([(1,), (2,), (1,)], 3)],
)
def test_built_once_for_each_identity(
    tmp_path: Path, identities: list[tuple[object, ...]], calls: int, cache_of_its_own: Path
) -> None:
    build = _Builder()
    for identity in identities:
        assert cached_bytes(tmp_path / "x.csv", identity, build).tolist() == EXPECTED
    assert build.calls == calls
    assert len(list(cache_of_its_own.iterdir())) == 1  # earlier identities of the source are gone


def test_sources_of_one_name_do_not_mix(tmp_path: Path, cache_of_its_own: Path) -> None:
    build = _Builder()
    for folder in ("a", "b"):
        cached_bytes(tmp_path / folder / "x.csv", (1,), build)
    assert (build.calls, len(list(cache_of_its_own.iterdir()))) == (2, 2)


def test_read_only_memory_map(tmp_path: Path) -> None:
    for _ in range(2):
        stored = cached_bytes(tmp_path / "x.csv", (1,), _Builder())
        assert not stored.flags.writeable
        base: object = stored
        while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
            base = base.base
        assert isinstance(base, np.memmap)


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "text", "other array"])
def test_damaged_file_is_built_anew(
    tmp_path: Path, damage: str, cache_of_its_own: Path, caplog: pytest.LogCaptureFixture
) -> None:
    build = _Builder()
    cached_bytes(tmp_path / "x.csv", (1,), build)
    (file,) = cache_of_its_own.iterdir()
    content = file.read_bytes()
    damaged = bytearray(content)
    damaged[150] ^= 1
    bad = {"empty": b"", "cut": content[:-9], "flipped": bytes(damaged), "text": b"not an array " * 20}
    if damage == "other array":
        np.save(file, np.zeros(3))
    else:
        file.write_bytes(bad[damage])
    with caplog.at_level(logging.WARNING):
        assert cached_bytes(tmp_path / "x.csv", (1,), build).tolist() == EXPECTED
    assert build.calls == 2 and "built anew" in caplog.text
    assert file.read_bytes() == content


def test_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EXPRESSION_SEARCH_CACHE", str(tmp_path / "file" / "cache"))
    with caplog.at_level(logging.WARNING):
        assert cached_bytes(tmp_path / "x.csv", (1,), _Builder()).tolist() == EXPECTED
    assert "not kept" in caplog.text


def test_failed_build_leaves_nothing(tmp_path: Path, cache_of_its_own: Path) -> None:
    def fail() -> list[np.ndarray]:
        raise ValueError("bad row")

    with pytest.raises(ValueError, match="bad row"):
        cached_bytes(tmp_path / "x.csv", (1,), fail)
    assert not list(cache_of_its_own.iterdir())


def test_default_folder_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXPRESSION_SEARCH_CACHE")
    assert cache_folder().name == "expression-search"


def test_csv_is_parsed_once_and_again_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fer2013.csv"
    first, _ = write_csv(path, (7, 0, 0))
    parsed: list[Path] = []
    parse = fer2013.parse_fer2013

    def parse_and_note(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        parsed.append(path)
        return parse(path)

    monkeypatch.setattr(fer2013, "parse_fer2013", parse_and_note)
    for _ in range(2):
        assert np.array_equal(load_fer2013(path).faces, first)
    assert len(parsed) == 1
    second, _ = write_csv(path, (7, 0, 0), seed=1)
    state = path.stat()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert np.array_equal(load_fer2013(path).faces, second)
    assert len(parsed) == 2


def test_two_processes_at_once(tmp_path: Path, cache_of_its_own: Path) -> None:
    path = tmp_path / "fer2013.csv"
    faces, _ = write_csv(path, (300, 0, 0))
    program = (
        "import sys; from pathlib import Path; from zoo.data.fer2013 import load_fer2013\n"
        "sys.stdin.readline(); dataset = load_fer2013(Path(sys.argv[1]))\n"
        "print(int(dataset.faces.sum(dtype=int)), len(dataset))"
    )
    command = [sys.executable, "-c", program, str(path)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    for process in processes:  # they have started: let all go at once
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    results = [process.communicate(timeout=60)[0].split() for process in processes]
    assert results == [[str(faces.sum(dtype=int)), "300"]] * 3
    assert [file.suffix for file in cache_of_its_own.iterdir()] == [".npy"]
