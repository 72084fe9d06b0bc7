"""Finds the data set that a command was asked for and has it read; knows no layout itself."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import DataError

if TYPE_CHECKING:
    from zoo.data.dataset import FaceDataset

__all__ = ["DATA_VARIABLE", "add_data_arguments", "load_dataset"]

DATA_VARIABLE = "FER2013"
_USUAL_FILE = Path("data/fer2013.csv")
_KAGGLE_FILES = ("fer2013.csv", "icml_face_data.csv")


def add_data_arguments(
    parser: argparse.ArgumentParser,
    *,
    split: bool = True,
    split_of_models: bool = False,
    votes: str = "as soft labels; rows that are no face don't train",
) -> None:
    """Add --data, --ferplus, --split and --split-seed.

    The parsed values are `data: Path | None`, `ferplus: Path | None`, `split: str` and `split_seed: int`.

    Args:
        split: with the two options of that name.
        split_of_models: the command takes the split that its models were trained with; `split` and
            `split_seed` are None where they aren't given.
        votes: what the command does with FER+ votes.
    """
    kind, seed = (None, None) if split_of_models else ("official", 0)
    default = "that of the models, if these are their data; else %s" if split_of_models else "%s"
    group = parser.add_argument_group("data")
    group.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="fer2013.csv, icml_face_data.csv, or a folder of class folders, with train/ and test/ or "
        f"without; default: ${DATA_VARIABLE}, then {_USUAL_FILE}, then drawn faces",
    )
    group.add_argument(
        "--ferplus",
        type=Path,
        metavar="CSV",
        help=f"FER+ votes (fer2013new.csv) {votes}",
    )
    if not split:
        return
    group.add_argument(
        "--split",
        choices=("official", "random"),
        default=kind,
        help=f"the source's own usages, or a stratified random split (default: {default % 'official'})",
    )
    group.add_argument(
        "--split-seed",
        type=int,
        default=seed,
        metavar="N",
        help=f"seed of what a split draws (default: {default % '0'})",
    )


def load_dataset(path: Path | None = None, *, ferplus: Path | None = None) -> FaceDataset:
    """Read a data set of whatever layout.

    Args:
        path: a FER2013 CSV or a folder; None takes the environment variable `FER2013`, else
            `data/fer2013.csv`, else faces drawn by the program, with a note that says so loudly.
        ferplus: FER+ votes to join to a FER2013 CSV.

    Raises:
        DataError: one line that names file or path, row, value and what is required.
    """
    origin = ""
    if path is None and (value := os.environ.get(DATA_VARIABLE)):
        path, origin = Path(value), f" (from the environment variable {DATA_VARIABLE})"
    if path is None and _USUAL_FILE.is_file():
        path = _USUAL_FILE
    if path is None:
        if ferplus is not None:
            raise _no_ferplus(ferplus, "drawn faces")
        from zoo.data.drawn import drawn_dataset

        return drawn_dataset()
    path = path.expanduser()
    if not path.exists():
        raise DataError(
            f"{path}: no such file or folder{origin}; required: a FER2013 CSV or a folder of class folders"
        )
    if path.is_dir():
        path = next((path / name for name in _KAGGLE_FILES if (path / name).is_file()), path)
    if path.is_dir():
        if ferplus is not None:
            raise _no_ferplus(ferplus, str(path))
        from zoo.data.folders import load_folders

        return load_folders(path)
    from zoo.data.fer2013 import load_fer2013

    dataset = load_fer2013(path)
    if ferplus is None:
        return dataset
    from zoo.data.ferplus import apply_ferplus

    return apply_ferplus(dataset, ferplus.expanduser())


def _no_ferplus(ferplus: Path, found: str) -> DataError:
    return DataError(
        f"{ferplus}: FER+ votes belong to the rows of FER2013's CSV and don't fit {found}; "
        "required: --data fer2013.csv"
    )
