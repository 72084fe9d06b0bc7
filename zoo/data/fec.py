"""Reads the table of Google's facial expression comparison set; knows nothing of networks or downloads."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoo.errors import DataError

if TYPE_CHECKING:
    import pandas

__all__ = ["TRIPLET_TYPES", "FecTriplets", "crop_name", "image_name", "read_fec"]

TRIPLET_TYPES = ("one", "two", "three")
"""How many expression classes the three faces of a triplet come from; the index is what arrays hold."""

_TYPE_NAMES = {f"{name.upper()}_CLASS_TRIPLET": index for index, name in enumerate(TRIPLET_TYPES)}
_FACE_COLUMNS = 5
_TYPE_COLUMN = 3 * _FACE_COLUMNS
_ANNOTATORS = 6
_COLUMNS = _TYPE_COLUMN + 1 + 2 * _ANNOTATORS


@dataclass(frozen=True)
class FecTriplets:
    """Rows of the set: three faces each, and which of them the annotators call the odd one.

    Attributes:
        name: file name, for messages.
        rows: int64 (N,), line numbers in the file, from 1.
        urls: object (N, 3) of str, where each face's picture is.
        boxes: float64 (N, 3, 4): left, right, top, bottom as fractions of the picture's width and height.
        kind: int8 (N,), index into `TRIPLET_TYPES`.
        votes: int8 (N, 3), how many annotators call face 1, 2, 3 the odd one.
        odd: int8 (N,), 0–2: the face that more annotators name than any other; -1 where they tie.

    Source: https://research.google/resources/datasets/google-facial-expression/ and Vemulapalli and Agarwala,
    "A Compact Embedding for Facial Expression Similarity", CVPR 2019.
    """

    name: str
    rows: np.ndarray
    urls: np.ndarray
    boxes: np.ndarray
    kind: np.ndarray
    votes: np.ndarray
    odd: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, chosen: np.ndarray) -> FecTriplets:
        """These rows alone; `chosen` is a mask (N,) or row indices."""
        fields = ("rows", "urls", "boxes", "kind", "votes", "odd")
        return replace(self, **{field: getattr(self, field)[chosen] for field in fields})

    def same_pairs(self) -> np.ndarray:
        """The pair form: bool (N,), whether faces 1 and 2 are alike, which is when face 3 is the odd one.

        Rows with a tie count as False.
        """
        return self.odd == 2

    def addresses(self) -> tuple[str, ...]:
        """Every picture's URL once, in order of appearance."""
        return tuple(dict.fromkeys(self.urls.ravel().tolist()))

    def crops(self) -> dict[str, tuple[str, tuple[float, float, float, float]]]:
        """Every face once, in order of appearance: crop name → (URL, box)."""
        faces = zip(self.urls.ravel().tolist(), map(tuple, self.boxes.reshape(-1, 4).tolist()), strict=True)
        return {crop_name(url, box): (url, box) for url, box in faces}

    def crop_names(self) -> np.ndarray:
        """Names of the crops, object (N, 3) of str."""
        names = [
            crop_name(url, tuple(box))
            for url, box in zip(self.urls.ravel().tolist(), self.boxes.reshape(-1, 4).tolist(), strict=True)
        ]
        return np.array(names, dtype=object).reshape(-1, 3)


def image_name(url: str) -> str:
    """File name, without ending, of the picture at `url`; 32 hexadecimal digits can't leave a folder."""
    return hashlib.sha256(url.encode()).hexdigest()[:32]


def crop_name(url: str, box: tuple[float, ...]) -> str:
    """File name, without ending, of one face of one picture: 32 hexadecimal digits."""
    return hashlib.sha256(f"{url} {' '.join(map(repr, box))}".encode()).hexdigest()[:32]


def read_fec(path: Path) -> FecTriplets:
    """Read `faceexp-comparison-data-{train,test}-public.csv`: no header, one triplet a line.

    A line holds three times (URL, left, right, top, bottom), the triplet's type, and one to six times
    (annotator, annotation); an annotation 1, 2 or 3 is the odd face. Lines may end early or in empty cells.

    Raises:
        DataError: naming file, line, value and what is required.
    """
    table = _read_table(Path(path))
    name = Path(path).name
    rows = np.asarray(table.index, dtype=np.int64) + 1
    urls = np.empty((len(table), 3), dtype=object)
    boxes = np.empty((len(table), 3, 4))
    for face in range(3):
        start = face * _FACE_COLUMNS
        urls[:, face] = table[start].to_numpy(dtype=object)
        boxes[:, face] = _numbers(table.loc[:, start + 1 : start + 4])
    _check_faces(name, rows, table, urls, boxes)

    kinds = table[_TYPE_COLUMN].map(_TYPE_NAMES)
    _refuse(
        name,
        rows,
        kinds.isna().to_numpy(),
        lambda row: f"triplet type {table[_TYPE_COLUMN].iloc[row]!r} is not one of {', '.join(_TYPE_NAMES)}",
    )
    votes = _count_votes(name, rows, table)
    most = votes.max(axis=1)
    odd = np.where((votes == most[:, None]).sum(axis=1) == 1, votes.argmax(axis=1), -1)
    return FecTriplets(
        name=name,
        rows=rows,
        urls=urls,
        boxes=boxes,
        kind=kinds.to_numpy(dtype=np.int8),
        votes=votes.astype(np.int8),
        odd=odd.astype(np.int8),
    )


def _read_table(path: Path) -> pandas.DataFrame:
    """Every cell as stripped text; the index is the line number from 0; blank lines are left out."""
    import pandas

    try:
        # Without `index_col=False` pandas takes the first cells of long rows for an index; with it, it cuts
        # them and warns, so one column more than is allowed stands ready to catch them.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pandas.errors.ParserWarning)
            table = pandas.read_csv(
                path,
                header=None,
                names=list(range(_COLUMNS + 1)),
                index_col=False,
                dtype=str,
                keep_default_na=False,
                skip_blank_lines=False,
            )
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text: {error}") from None
    except pandas.errors.EmptyDataError:
        raise DataError(f"{path}: is empty; a triplet a line is required") from None
    except pandas.errors.ParserError as error:
        if long_line := re.search(r"Expected \d+ fields in line (\d+)", str(error)):
            raise DataError(f"{path.name} row {long_line[1]}: has more than {_COLUMNS} columns") from None
        raise DataError(f"{path}: is no CSV: {str(error).strip()}") from None
    table = table.fillna("").apply(lambda column: column.str.strip())
    table = table[(table != "").any(axis=1)]
    long = np.flatnonzero(table[_COLUMNS] != "")
    if len(long):
        raise DataError(f"{path.name} row {table.index[long[0]] + 1}: has more than {_COLUMNS} columns")
    if table.empty:
        raise DataError(f"{path}: is empty; a triplet a line is required")
    return table


def _numbers(cells: pandas.DataFrame) -> np.ndarray:
    """float64 of the same shape; NaN where a cell is no number."""
    import pandas

    return cells.apply(pandas.to_numeric, errors="coerce").to_numpy(dtype=np.float64)


def _check_faces(
    name: str, rows: np.ndarray, table: pandas.DataFrame, urls: np.ndarray, boxes: np.ndarray
) -> None:
    for face in range(3):
        start = face * _FACE_COLUMNS

        def address(row: int, face: int = face) -> str:
            return f"face {face + 1}: {urls[row, face]!r} does not start with http:// or https://"

        def box(row: int, face: int = face, start: int = start) -> str:
            cells = ", ".join(table.iloc[row, start + 1 : start + 5])
            return f"face {face + 1}: box {cells} is not left < right, top < bottom in fractions 0 to 1"

        web = table[start].str.lower().str.startswith(("http://", "https://"))
        _refuse(name, rows, ~web.to_numpy(dtype=bool), address)
        # A box may leave the picture a little (a face cut by its border); it must still meet it.
        left, right, top, bottom = boxes[:, face].T
        inside = (left < 1) & (top < 1) & (right > 0) & (bottom > 0)
        sound = np.isfinite(boxes[:, face]).all(axis=1) & (left < right) & (top < bottom) & inside
        _refuse(name, rows, ~sound, box)


def _count_votes(name: str, rows: np.ndarray, table: pandas.DataFrame) -> np.ndarray:
    """int64 (N, 3): annotations 1, 2 and 3 of every row."""
    columns = [_TYPE_COLUMN + 2 + 2 * annotator for annotator in range(_ANNOTATORS)]
    cells = table[columns].to_numpy(dtype=object)
    known: np.ndarray = np.isin(cells, ("1", "2", "3", ""))
    _refuse(
        name,
        rows,
        np.asarray(~known.all(axis=1)),
        lambda row: f"annotation {cells[row][~known[row]][0]!r} is not 1, 2 or 3",
    )
    votes: np.ndarray = np.stack([(cells == str(face)).sum(axis=1) for face in (1, 2, 3)], axis=1)
    _refuse(
        name,
        rows,
        np.asarray(votes.sum(axis=1) == 0),
        lambda row: "has no annotation; one to six are required",
    )
    return votes


def _refuse(name: str, rows: np.ndarray, wrong: np.ndarray, describe: Callable[[int], str]) -> None:
    """Raise a `DataError` about the first row that `wrong` marks."""
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise DataError(f"{name} row {rows[first]}: {describe(first)}")
