"""`python -m zoo.predict`: expressions of the faces in picture files, as a table or CSV; can't train."""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.command import run_command
from zoo.errors import ConfigError, ImageError
from zoo.output import require_writable, whole_file

if TYPE_CHECKING:
    import numpy as np

    from zoo.predictor import Predictor

__all__ = ["Row", "main", "picture_files", "predict_files"]

_AT_ONCE = 128  # crops that are collected before the network sees them: one call costs less than 128


@dataclass(frozen=True)
class Row:
    """One face of one picture, or a picture without a face.

    Attributes:
        file: as it was named, or found in a folder.
        face: 1 for the leftmost; 0 where no face was found.
        box: x, y, width, height in pixels; None for a crop taken as it is, and where no face was found.
        probabilities: calibrated, one a class; empty where no face was found.
    """

    file: Path
    face: int
    box: tuple[int, int, int, int] | None
    probabilities: tuple[float, ...]


def picture_files(sources: Iterable[Path]) -> Iterator[Path]:
    """The files named, and every picture below the folders named, in the order of their names."""
    from zoo.data.folders import is_hidden
    from zoo.pictures import PICTURE_SUFFIXES

    for source in sources:
        if source.is_dir():
            inside = (path for path in source.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
            shown = (path for path in inside if not any(map(is_hidden, path.relative_to(source).parts)))
            yield from sorted(path for path in shown if path.is_file())
        else:
            yield source


def predict_files(
    predictor: Predictor, files: Iterable[Path], *, cropped: bool = False
) -> Iterator[Row | tuple[Path, ImageError]]:
    """Recognise the faces of each file; memory doesn't grow with their number.

    Args:
        cropped: each picture is one face already, so none is looked for.

    Yields:
        Rows in the order of the files; for an unreadable file the file and its error.
    """
    from zoo.faces import crop_face, find_faces, whole_image
    from zoo.pictures import read_image

    waiting: list[Row | tuple[Path, ImageError]] = []
    crops: list[np.ndarray] = []
    for file in files:
        try:
            image = read_image(file, name=str(file))
            if cropped:
                waiting.append(Row(file, 1, None, ()))
                crops.append(whole_image(image))
            else:
                faces = find_faces(image)
                if not faces:
                    waiting.append(Row(file, 0, None, ()))
                for number, face in enumerate(faces, start=1):
                    waiting.append(Row(file, number, face.box, ()))
                    crops.append(crop_face(image, face))
        except ImageError as error:
            waiting.append((file, error))
        if len(waiting) >= _AT_ONCE:
            yield from _filled(predictor, waiting, crops)
            waiting, crops = [], []
    yield from _filled(predictor, waiting, crops)


def _filled(
    predictor: Predictor, waiting: list[Row | tuple[Path, ImageError]], crops: list[np.ndarray]
) -> Iterator[Row | tuple[Path, ImageError]]:
    import numpy as np

    answers = iter(predictor.probabilities(np.stack(crops)).tolist() if crops else ())
    for row in waiting:
        if isinstance(row, Row) and row.face:
            row = Row(row.file, row.face, row.box, tuple(next(answers)))
        yield row


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run it; 1 if any file was unreadable."""
    parser = argparse.ArgumentParser(prog="python -m zoo.predict", description=__doc__)
    parser.add_argument("model", metavar="NAME_OR_DIR", help="a saved model: its name or its folder")
    parser.add_argument("sources", metavar="IMAGE_OR_FOLDER", nargs="+", type=Path, help="pictures")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a CSV file instead of a table")
    parser.add_argument("--cropped", action="store_true", help="each picture is one face already")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto (default: cpu)")
    parser.add_argument("--models", type=Path, metavar="DIR", help="a folder of further saved models")
    options = parser.parse_args(argv)

    if options.csv:
        require_writable(options.csv)

    from zoo.predictor import Predictor
    from zoo.training.device import pick_device

    predictor = Predictor.load(options.model, device=pick_device(options.device), extra=options.models)
    files = list(picture_files(options.sources))
    if not files:
        raise ConfigError(f"{', '.join(map(str, options.sources))}: there is no picture in it")
    failed: list[tuple[Path, ImageError]] = []
    results = predict_files(predictor, files, cropped=options.cropped)
    rows = _passing_over(_with_progress(results, len(files)), failed)
    if options.csv:
        faces = _write_csv(options.csv, rows, predictor.classes)
        read = len(files) - len(failed)
        print(f"{options.csv}: {faces:,} faces in {read:,} pictures", file=sys.stderr)
    else:
        _print_table(rows, predictor.classes, predictor.card.unsure_below)
    if failed:
        print(f"{len(failed)} of {len(files)} files could not be read", file=sys.stderr)
    return 1 if failed else 0


def _passing_over(
    results: Iterable[Row | tuple[Path, ImageError]], failed: list[tuple[Path, ImageError]]
) -> Iterator[Row]:
    for result in results:
        if isinstance(result, Row):
            yield result
        else:
            failed.append(result)
            print(f"passed over: {result[1]}", file=sys.stderr)


def _with_progress(
    results: Iterable[Row | tuple[Path, ImageError]], files: int
) -> Iterator[Row | tuple[Path, ImageError]]:
    from zoo.console import progress_bar, stderr

    with progress_bar(stderr()) as bar:
        task = bar.add_task("pictures", total=files, status="")
        for result in results:
            yield result
            # The first row of a picture stands for it.
            bar.advance(task, 0 if isinstance(result, Row) and result.face > 1 else 1)


def _write_csv(path: Path, rows: Iterable[Row], classes: tuple[str, ...]) -> int:
    """Write all rows; returns how many faces they are."""
    faces = 0
    # A file's name need not be UTF-8; it is written as its folder has it.
    with whole_file(path, newline="", errors="surrogateescape") as file:
        writer = csv.writer(file)
        box = ("x", "y", "width", "height")
        writer.writerow(("file", "face", *box, "expression", "probability", *classes))
        for row in rows:
            place = row.box or ("",) * 4
            numbers = [f"{value:.4f}" for value in row.probabilities] or [""] * len(classes)
            writer.writerow((row.file, row.face, *place, *_answer(row, classes), *numbers))
            faces += row.face > 0
    return faces


def _print_table(rows: Iterable[Row], classes: tuple[str, ...], unsure_below: float) -> None:
    from rich.measure import Measurement
    from rich.table import Table

    from zoo.console import stdout

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("file", no_wrap=True)
    for name in ("face", "x, y, width, height"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("expression", no_wrap=True)
    for name in ("probability", *classes):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        place = ", ".join(map(str, row.box or ()))
        name, probability = _answer(row, classes)
        if row.probabilities and max(row.probabilities) < unsure_below:
            name += " (unsure)"
        numbers = (f"{value:.2f}" for value in row.probabilities)
        table.add_row(_readable(row.file), str(row.face or ""), place, name, probability, *numbers)
    console = stdout()
    # A row stays one line for the next program in the pipe, and in a terminal that is too narrow for it.
    wide = console.options.update(width=10_000)
    console.width = max(console.width, Measurement.get(console, wide, table).maximum)
    console.print(table)


def _readable(file: Path) -> str:
    """A file's name, whose bytes need not be UTF-8."""
    return os.fsencode(file).decode("utf-8", "replace")


def _answer(row: Row, classes: tuple[str, ...]) -> tuple[str, str]:
    if not row.probabilities:
        return "no face", ""
    best = max(row.probabilities)
    return classes[row.probabilities.index(best)], f"{best:.4f}"


if __name__ == "__main__":
    run_command(main)
