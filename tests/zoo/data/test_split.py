"""Splits: official and random, with usages missing, and their way through JSON."""

import json

import numpy as np
import pytest

from tests.zoo.data.small_fer2013 import random_faces
from zoo.data.dataset import FaceDataset, Split
from zoo.data.split import make_split, split_from_json, split_to_json
from zoo.errors import ConfigError, DataError

CLASSES = ("a", "b", "c")


def _dataset(training: int = 0, public: int = 0, private: int = 0, unnamed: int = 0) -> FaceDataset:
    counts = (training, public, private, unnamed)
    usage = np.repeat(np.array([0, 1, 2, -1], np.int8), counts)
    order = np.random.default_rng(1).permutation(len(usage))  # usages needn't lie in blocks
    return FaceDataset(
        name="small",
        classes=CLASSES,
        faces=random_faces(len(usage)),
        labels=np.arange(len(usage))[order] % 3,
        usage=usage[order],
    )


def _rows(split: Split) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return split.train, split.validation, split.test


PARTS = {
    "all": ((60, 30, 30), (60, 30, 30), ("Training", "PublicTest", "PrivateTest"), []),
    "no PrivateTest": (
        (60, 30, 0),
        (60, 30, 0),
        ("Training", "PublicTest", "PrivateTest"),
        ["no PrivateTest"],
    ),
    "no PublicTest": (
        (60, 0, 30),
        (54, 6, 30),
        ("Training 90%", "Training 10%", "PrivateTest"),
        ["no PublicTest"],
    ),
    "Training alone": (
        (60, 0, 0),
        (54, 6, 0),
        ("Training 90%", "Training 10%", "PrivateTest"),
        ["no PublicTest", "no PrivateTest"],
    ),
    "no usage": (
        (0, 0, 0, 60),
        (48, 6, 6),
        ("random 80%", "random 10% validation", "random 10% test"),
        ["names no usages"],
    ),
}


@pytest.mark.parametrize("counts, sizes, names, notes", PARTS.values(), ids=PARTS)
def test_official(
    counts: tuple[int, ...], sizes: tuple[int, ...], names: tuple[str, ...], notes: list[str]
) -> None:
    dataset = _dataset(*counts)
    split = make_split(dataset)
    assert (tuple(map(len, _rows(split))), split.names, len(split.notes)) == (sizes, names, len(notes))
    assert split.kind == ("random" if len(counts) == 4 else "official")
    for note, part in zip(split.notes, notes, strict=True):
        assert part in note
    joined = np.concatenate(_rows(split))
    assert len(set(joined.tolist())) == len(joined) == len(dataset)
    assert all((np.diff(rows) > 0).all() and rows.dtype == np.int64 for rows in _rows(split))
    if len(counts) == 3:
        assert set(dataset.usage[split.train]) == {0}
        assert set(dataset.usage[split.test]) <= {2}


@pytest.mark.parametrize("counts", [(90, 40, 40), (90, 40, 0), (90, 0, 40), (90, 0, 0), (0, 0, 0, 90)])
@pytest.mark.parametrize("seed", [0, 7])
def test_random_never_takes_test_rows(counts: tuple[int, ...], seed: int) -> None:
    dataset = _dataset(*counts)
    split = make_split(dataset, kind="random", seed=seed)
    joined = np.concatenate(_rows(split))
    assert set(dataset.usage[joined]) == {0 if counts[0] else -1}
    assert tuple(map(len, _rows(split))) == (72, 9, 9)
    for rows in _rows(split):
        counted = np.bincount(dataset.labels[rows])
        assert counted.min() >= counted.max() - 3
    assert any("stay out of it" in note for note in split.notes) == bool(sum(counts[1:3]))


def test_seed_decides() -> None:
    dataset = _dataset(unnamed=90)
    first, again, other = (make_split(dataset, kind="random", seed=seed) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(_rows(first), _rows(again), strict=True))
    assert not np.array_equal(first.test, other.test)


def test_fractions() -> None:
    split = make_split(_dataset(unnamed=60), kind="random", fractions=(0.5, 0.5, 0.0))
    assert (tuple(map(len, _rows(split))), split.names[0]) == ((30, 30, 0), "random 50%")


def test_identical_faces_stay_together() -> None:
    dataset = _dataset(unnamed=90)
    faces = np.concatenate([dataset.faces, dataset.faces])
    doubled = FaceDataset("doubled", CLASSES, faces, np.tile(dataset.labels, 2), np.tile(dataset.usage, 2))
    split = make_split(doubled, kind="random")
    for rows in _rows(split):
        assert set(rows % 90) == set(rows[rows < 90])
    assert len(np.concatenate(_rows(split))) == 180


@pytest.mark.parametrize("counts, removed", [((60, 30, 0), True), ((0, 0, 0, 60), True)])
def test_flat_faces_never_train(counts: tuple[int, ...], removed: bool) -> None:
    dataset = _dataset(*counts)
    faces = dataset.faces.copy()
    faces[::2] = 77
    flat = FaceDataset("flat", CLASSES, faces, dataset.labels, dataset.usage)
    split = make_split(flat)
    assert not (split.train % 2 == 0).any()
    assert any("one gray value" in note for note in split.notes) is removed
    if counts[1]:
        assert len(split.validation) == counts[1]  # figures on it stay comparable


@pytest.mark.parametrize(
    "counts, missing, kind, parts",
    [
        ((60, 30, 0), 60, "official", ["'b'", "0 rows", "at least 1"]),
        ((60, 0, 0), 59, "official", ["'b'", "1 different faces", "at least 2"]),
        ((0, 0, 0, 60), 58, "official", ["'b'", "2 different faces", "at least 3"]),
        ((60, 0, 0), 58, "random", ["'b'", "2 different faces", "at least 3"]),
    ],
)
def test_class_with_too_few_rows_is_named(
    counts: tuple[int, ...], missing: int, kind: str, parts: list[str]
) -> None:
    dataset = _dataset(*counts)
    labels = np.zeros(len(dataset), np.int64)
    labels[: len(labels) // 2] = 2
    trainable = np.flatnonzero(dataset.usage <= 0)
    labels[trainable[missing:]] = 1
    few = FaceDataset("few", CLASSES, dataset.faces, labels, dataset.usage)
    with pytest.raises(DataError) as caught:
        make_split(few, kind=kind)
    for part in ["few", "required", *parts]:
        assert part in str(caught.value)


@pytest.mark.parametrize("kind", ["official", "random"])
def test_test_rows_alone_cannot_train(kind: str) -> None:
    with pytest.raises(DataError, match="no rows of usage Training; required"):
        make_split(_dataset(public=30, private=30), kind=kind)


@pytest.mark.parametrize(
    "options, part",
    [
        ({"kind": "leave-one-out"}, "'leave-one-out'; required: one of official, random"),
        ({"seed": -1}, "-1; required: 0 or more"),
        ({"fractions": (0.8, 0.1, 0.2)}, "sum 1"),
        ({"fractions": (1.0, 0.0, 0.0)}, "above 0"),
        ({"fractions": (1.1, 0.1, -0.2)}, "0 or more"),
    ],
)
def test_impossible_options(options: dict[str, object], part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_split(_dataset(60), **options)  # type: ignore[arg-type]
    assert part in str(caught.value)


@pytest.mark.parametrize("kind", ["official", "random"])
def test_through_json(kind: str) -> None:
    split = make_split(_dataset(90, 0, 20), kind=kind, seed=5)
    back = split_from_json(json.loads(json.dumps(split_to_json(split))))
    for name in ("kind", "seed", "names", "notes"):
        assert getattr(back, name) == getattr(split, name)
    for rows, expected in zip(_rows(back), _rows(split), strict=True):
        assert rows.dtype == np.int64
        assert np.array_equal(rows, expected)


def test_a_large_random_split_stays_small() -> None:
    rows = np.random.default_rng(0).permutation(35_887)
    split = Split("random", 0, np.sort(rows[7_000:]), np.sort(rows[:3_500]), np.sort(rows[3_500:7_000]))
    assert len(json.dumps(split_to_json(split))) < 20_000


@pytest.mark.parametrize(
    "change", [{"train": "?"}, {"train": None}, {"train": "AAAA"}, {"names": ["one"]}, {"seed": "x"}]
)
def test_damaged_json(change: dict[str, object]) -> None:
    value = split_to_json(make_split(_dataset(30))) | change
    with pytest.raises(DataError, match="stored split is damaged"):
        split_from_json(value)
