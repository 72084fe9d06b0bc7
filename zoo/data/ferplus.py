"""Joins the FER+ votes (ten taggers a face) to FER2013's rows as soft labels; knows nothing of pixels."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from zoo.data.dataset import USAGES, FaceDataset
from zoo.data.emotions import EMOTIONS
from zoo.errors import DataError

__all__ = ["apply_ferplus"]

# FER+'s names of the seven, in the order of EMOTIONS; its other columns are contempt, unknown and NF.
_EXPRESSIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
_VOTES = (*_EXPRESSIONS, "contempt", "unknown", "NF")
_COLUMNS = ("Usage", "Image name", *_VOTES)
_SURE = 6  # of ten taggers
_LEAST_AGREEMENT = 0.55  # of FER2013's labels where the taggers are sure: 0.72 when aligned, 0.2 when not
_ROWS_CHECKED = 200  # at once: shifted stretches are found too; chance leaves aligned ones above 0.6
_FEWEST_CHECKED = 50  # rows; the agreement of fewer says too little


@dataclass(frozen=True)
class _Table:
    usage: np.ndarray  # int8 (M,), indices into USAGES
    named: np.ndarray  # bool (M,), the row has an image name
    votes: np.ndarray  # int64 (M, 10), in the order of _VOTES


def apply_ferplus(dataset: FaceDataset, path: Path) -> FaceDataset:
    """Add the votes of FER+'s `fer2013new.csv` to FER2013's rows, and drop training rows that are no face.

    Rows are joined by their order within each usage (FER+'s image names skip rows), so either file may lack
    a usage. Votes for contempt, unknown and no-face leave the distribution; a row without any other vote, or
    of a usage that the votes lack, gets its own label. PublicTest and PrivateTest keep all rows, so that
    figures on them can be compared with those of others; parts drawn at random lack what was dropped.

    Args:
        dataset: FER2013 in its official order, with `EMOTIONS` as classes.
        path: https://github.com/microsoft/FERPlus, Barsoum et al. 2016, arXiv:1608.01041.

    Returns:
        The data set with `votes` float32 (N, 7), each row summing to 1, and a note of what was dropped.

    Raises:
        DataError: the file can't be read, has a bad row, or doesn't fit the data set's rows.
    """
    if dataset.classes != EMOTIONS:
        raise DataError(
            f"{path}: the votes are for FER2013, and {dataset.name} has classes "
            f"{', '.join(dataset.classes)}; required: {', '.join(EMOTIONS)}"
        )
    table = _read(path)
    rows, table_rows = _join(dataset, table, path)
    counts = table.votes[table_rows]
    expressions = counts[:, : len(EMOTIONS)]
    _check_agreement(dataset, rows, expressions, path)

    votes = np.eye(len(EMOTIONS), dtype=np.float32)[dataset.labels]
    totals = expressions.sum(axis=1, keepdims=True)
    voted = totals[:, 0] > 0
    votes[rows[voted]] = expressions[voted] / totals[voted]

    no_face = (counts[:, _VOTES.index("NF")] * 2 > counts.sum(axis=1)) | ~table.named[table_rows]
    trains = (dataset.usage[rows] == USAGES.index("Training")) | (dataset.usage[rows] < 0)
    dropped = rows[no_face & trains]
    notes = [f"FER+ has votes for {len(rows):,} of {len(dataset):,} rows"]
    if len(dropped):
        notes.append(f"{len(dropped):,} rows that show no face, as FER+ says, were dropped from training")
    with_votes = replace(dataset, votes=votes, notes=(*dataset.notes, *notes))
    return with_votes.select(np.setdiff1d(np.arange(len(dataset)), dropped))


def _read(path: Path) -> _Table:
    usages: list[int] = []
    named: list[bool] = []
    votes: list[list[int]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            for column in _COLUMNS:
                if column not in header:
                    raise DataError(
                        f"{path}: line 1: column {column!r} is missing; "
                        f"required: FER+'s columns {', '.join(_COLUMNS)}"
                    )
            places = [header.index(column) for column in _COLUMNS]
            for row in reader:
                if not any(row):
                    continue
                where = f"{path}: line {reader.line_num}"
                if len(row) != len(header):
                    raise DataError(
                        f"{where}: the row has {len(row)} of {len(header)} columns; required: all"
                    )
                usage, name, *counts = (row[place].strip() for place in places)
                if usage not in USAGES:
                    raise DataError(f"{where}: Usage is {usage!r}; required: one of {', '.join(USAGES)}")
                for column, count in zip(_VOTES, counts, strict=True):
                    if not (count.isascii() and count.isdigit() and len(count) < 5):
                        raise DataError(
                            f"{where}: {column} is {count!r}; required: a number of votes, 0 or more"
                        )
                usages.append(USAGES.index(usage))
                named.append(bool(name))
                votes.append([int(count) for count in counts])
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; required: FER+'s fer2013new.csv") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: no CSV text ({error}); required: FER+'s fer2013new.csv") from error
    if not votes:
        raise DataError(f"{path}: no rows after the header; required: one row of votes a face")
    return _Table(np.array(usages, np.int8), np.array(named), np.array(votes, np.int64))


def _join(dataset: FaceDataset, table: _Table, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the data set and the table's row for each."""
    if (dataset.usage < 0).all():
        if len(dataset) != len(table.votes):
            raise _does_not_fit(path, dataset, "", len(table.votes), len(dataset))
        return np.arange(len(dataset)), np.arange(len(dataset))
    rows: list[np.ndarray] = []
    table_rows: list[np.ndarray] = []
    for index, usage in enumerate(USAGES):
        own, votes = dataset.rows(usage), np.flatnonzero(table.usage == index)
        if not len(own) or not len(votes):
            continue
        if len(own) != len(votes):
            raise _does_not_fit(path, dataset, f"{usage} ", len(votes), len(own))
        rows.append(own)
        table_rows.append(votes)
    if not rows:
        raise DataError(f"{path}: shares no usage with {dataset.name}; required: the votes of its rows")
    return np.concatenate(rows), np.concatenate(table_rows)


def _does_not_fit(path: Path, dataset: FaceDataset, usage: str, found: int, required: int) -> DataError:
    return DataError(
        f"{path}: has {found:,} {usage}rows; required: {required:,}, as {dataset.name} has, in the same order"
    )


def _check_agreement(dataset: FaceDataset, rows: np.ndarray, expressions: np.ndarray, path: Path) -> None:
    sure = np.flatnonzero(expressions.max(axis=1, initial=0) >= _SURE)
    if len(sure) < _FEWEST_CHECKED:
        return
    agrees = expressions[sure].argmax(axis=1) == dataset.labels[rows[sure]]
    for stretch in np.array_split(np.arange(len(sure)), max(1, len(sure) // _ROWS_CHECKED)):
        share = agrees[stretch].mean()
        if share < _LEAST_AGREEMENT:
            first, last = rows[sure[stretch[[0, -1]]]] + 1
            raise DataError(
                f"{path}: where {_SURE} of 10 taggers agree they share {share:.0%} of the labels of "
                f"{dataset.name} in rows {first:,} to {last:,}; required: {_LEAST_AGREEMENT:.0%} at least "
                "(72% is usual): the rows of the two files don't correspond"
            )
