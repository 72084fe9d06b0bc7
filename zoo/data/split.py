"""Decides which rows of a data set train, select and test; knows nothing of files or training."""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Any

import numpy as np

from zoo.data.dataset import USAGES, FaceDataset, Split
from zoo.errors import ConfigError, DataError

__all__ = ["SPLIT_KINDS", "make_split", "split_from_json", "split_to_json"]

SPLIT_KINDS = ("official", "random")
_CARVED = 0.1  # of Training, where the source has no validation rows


def make_split(
    dataset: FaceDataset,
    *,
    kind: str = "official",
    seed: int = 0,
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
) -> Split:
    """Split a data set, and say what is used where the source lacks a usage.

    `official` trains on Training, validates on PublicTest and tests on PrivateTest. Without PublicTest a
    tenth of Training validates; without PrivateTest the test part is empty; without any usage the split is
    random.
    `random` is stratified by class and drawn from the Training rows alone where the source names usages, so
    that rows meant for testing never train. Identical faces stay in one part. Faces of one gray value
    throughout never train.

    Args:
        kind: one of `SPLIT_KINDS`.
        seed: of whatever is drawn at random, at least 0.
        fractions: train, validation and test shares of a random split; they sum to 1, and test may be 0.

    Returns:
        Sorted, disjoint rows.

    Raises:
        ConfigError: an unknown kind, a negative seed, or impossible fractions.
        DataError: there are no Training rows, or a class has too few.
    """
    if kind not in SPLIT_KINDS:
        raise ConfigError(f"split is {kind!r}; required: one of {', '.join(SPLIT_KINDS)}")
    if seed < 0:
        raise ConfigError(f"split seed is {seed}; required: 0 or more")
    if len(fractions) != 3 or min(fractions) < 0 or min(fractions[:2]) == 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ConfigError(
            f"split fractions are {fractions}; required: train and validation above 0, test 0 or more, sum 1"
        )
    notes = []
    usages = [dataset.rows(usage) for usage in USAGES]
    named = any(len(rows) for rows in usages)
    trainable, public, private = usages if named else [np.arange(len(dataset)), *usages[1:]]
    if not len(trainable):
        raise DataError(f"{dataset.name}: has no rows of usage Training; required: rows to train on")
    flat = _flat_rows(dataset, trainable)
    if len(flat):
        notes.append(f"{len(flat)} faces are one gray value throughout and don't train")
    names = USAGES
    if kind == "random" or not named:
        if kind == "official":
            notes.append(
                f"{dataset.name} names no usages: a stratified random split is used instead (seed {seed})"
            )
        elif len(public) or len(private):
            notes.append("the random split is drawn from Training; the source's own test rows stay out of it")
        kind = "random"
        train, validation, test = _stratified(dataset, trainable, fractions, seed)
        source = "Training" if named else "random"
        names = _shares(source, fractions)
    elif len(public):
        train, validation, test = trainable, public, private
    else:
        notes.append(
            f"{dataset.name} has no PublicTest rows: a stratified tenth of Training validates (seed {seed})"
        )
        shares = (1 - _CARVED, _CARVED, 0.0)
        train, validation, _ = _stratified(dataset, trainable, shares, seed)
        test = private
        names = (f"Training {1 - _CARVED:.0%}", f"Training {_CARVED:.0%}", "PrivateTest")
    if not len(test) and kind == "official":
        notes.append(f"{dataset.name} has no PrivateTest rows: there is no test part")
    train = np.setdiff1d(train, flat)
    counts = np.bincount(dataset.labels[train], minlength=len(dataset.classes))
    if not counts.all():
        name = dataset.classes[int(np.argmin(counts))]
        raise DataError(f"{dataset.name}: class {name!r} has 0 rows to train on; required: at least 1")
    return Split(kind, seed, train, validation, test, names, tuple(notes))


def split_to_json(split: Split) -> dict[str, Any]:
    """The split as JSON values; the rows are compressed (about 12 kB for a random split of FER2013)."""
    return {
        "kind": split.kind,
        "seed": split.seed,
        "names": list(split.names),
        "notes": list(split.notes),
        "train": _packed(split.train),
        "validation": _packed(split.validation),
        "test": _packed(split.test),
    }


def split_from_json(value: dict[str, Any]) -> Split:
    """The split that `split_to_json` made `value` of.

    Raises:
        DataError: `value` is no such split.
    """
    try:
        first, second, third = (str(name) for name in value["names"])
        return Split(
            kind=str(value["kind"]),
            seed=int(value["seed"]),
            train=_unpacked(value["train"]),
            validation=_unpacked(value["validation"]),
            test=_unpacked(value["test"]),
            names=(first, second, third),
            notes=tuple(str(note) for note in value["notes"]),
        )
    except (KeyError, TypeError, AttributeError, ValueError, zlib.error, binascii.Error) as error:
        raise DataError(f"the stored split is damaged ({error!r}); required: what a run stored") from error


def _flat_rows(dataset: FaceDataset, rows: np.ndarray) -> np.ndarray:
    pixels = dataset.faces.reshape(len(dataset), -1)
    return rows[(pixels.max(axis=1) == pixels.min(axis=1))[rows]]


def _stratified(
    dataset: FaceDataset, rows: np.ndarray, fractions: tuple[float, float, float], seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sorted rows of three parts, each with its share of every class, and at least one row where it has any.

    A face that occurs more than once counts once, under the label of its first row.
    """
    first, group = dataset.distinct(rows)
    labels = dataset.labels[rows][first]
    needed = sum(fraction > 0 for fraction in fractions)
    part = np.zeros(len(first), np.int8)
    for label, name in enumerate(dataset.classes):
        members = np.flatnonzero(labels == label)
        if len(members) < needed:
            raise DataError(
                f"{dataset.name}: class {name!r} has {len(members)} different faces to split; "
                f"required: at least {needed}, one for each part"
            )
        order = np.random.default_rng([seed, label]).permutation(members[np.argsort(first[members])])
        sizes = [max(1, round(len(members) * fraction)) if fraction else 0 for fraction in fractions[1:]]
        part[order[: sizes[0]]] = 1
        part[order[sizes[0] : sum(sizes)]] = 2
    parts = part[group]
    return rows[parts == 0], rows[parts == 1], rows[parts == 2]


def _shares(source: str, fractions: tuple[float, float, float]) -> tuple[str, str, str]:
    """Names of the three parts, which differ where their shares don't: figures are kept by name."""
    first, second, third = (f"{source} {fraction:.0%}" for fraction in fractions)
    return first, f"{second} validation", f"{third} test"


def _packed(rows: np.ndarray) -> str:
    steps = np.diff(rows, prepend=0).astype("<i4")
    text = base64.b64encode(zlib.compress(steps.tobytes(), 9)).decode()
    # The dashboard shows a stored split: without spaces to break its lines, the page grows as wide as it.
    return " ".join(text[start : start + 60] for start in range(0, len(text), 60))


def _unpacked(text: str) -> np.ndarray:
    steps = np.frombuffer(zlib.decompress(base64.b64decode(text.replace(" ", ""), validate=True)), "<i4")
    return np.cumsum(steps, dtype=np.int64)
