"""Reads Kaggle's `fer2013.csv` and `icml_face_data.csv`, checking every value; knows nothing of splits."""

from __future__ import annotations

import csv
import reprlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path
from typing import BinaryIO

import numpy as np

from zoo.data.cache import cached_bytes
from zoo.data.dataset import FACE_SIZE, USAGES, FaceDataset
from zoo.data.emotions import EMOTIONS
from zoo.errors import DataError

__all__ = ["load_fer2013", "parse_fer2013"]

_FORMAT = 1  # of the cached bytes; raise it when their layout or the checks change
_PIXELS = FACE_SIZE * FACE_SIZE
_LONGEST_LINE = 65_536  # bytes; the longest row of valid pixels has about 9,300
_BLOCK = 1 << 18  # bytes parsed at once, about 32 rows: they and the masks over them fit a second-level cache
_THREADS = 4  # numpy releases the interpreter's lock in nine tenths of a block's time
_NO_LABEL = 255
_NO_USAGE = 255  # -1 as uint8
_LABELS = {str(label).encode(): label for label in range(len(EMOTIONS))}
_USAGES = {usage.encode(): index for index, usage in enumerate(USAGES)}


def load_fer2013(path: Path) -> FaceDataset:
    """The data set of a FER2013 CSV, from the cache when the same file was read before.

    Args:
        path: a CSV whose header names `emotion` (0–6), `pixels` (2,304 values 0–255, separated by spaces)
            and optionally `Usage`, in any order and case, with or without spaces around the names.

    Returns:
        Faces, labels and usages in file order; faces are a read-only memory map. Usages are -1 where the
        file has no such column.

    Raises:
        DataError: the file is missing, no such CSV, or has a bad row; the message names file, line and value.
    """
    try:
        state = path.stat()
        stored = cached_bytes(path, (_FORMAT, state.st_size, state.st_mtime_ns), lambda: parse_fer2013(path))
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror or error}; required: a readable FER2013 CSV file"
        ) from error
    count = len(stored) // (_PIXELS + 2)
    faces, labels, usage = np.split(stored, [count * _PIXELS, count * (_PIXELS + 1)])
    return FaceDataset(
        name=path.name,
        classes=EMOTIONS,
        faces=faces.reshape(count, FACE_SIZE, FACE_SIZE),
        labels=labels.astype(np.int64),
        usage=usage.astype(np.int8),
    )


def parse_fer2013(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read a FER2013 CSV without the cache.

    Returns:
        faces uint8 (N, 2304), labels uint8 (N,), usages (N,): indices into `USAGES` as int8 seen as uint8,
        so -1, which stands for a file without that column, is 255.

    Raises:
        DataError: as `load_fer2013`.
        OSError: the file can't be opened.
    """
    parts: list[_Rows] = []
    # Freed at once, untouched: after it glibc keeps freed memory of this size for reuse, and the temporary
    # arrays of each block cost no page faults (227,000 of them, half of the time, in the full file).
    np.empty(1 << 24, np.uint8)
    with path.open("rb") as file, ThreadPoolExecutor(_THREADS) as pool:
        columns = _read_header(path, file.readline(_LONGEST_LINE))
        number = 2
        blocks = _blocks(file)
        while group := list(islice(blocks, 4 * _THREADS)):
            for block, rows in zip(group, pool.map(_parse_block, group, repeat(columns)), strict=True):
                if rows is None:
                    rows = _parse_lines(path, number, block, columns)
                    number += block.count(b"\n")
                else:
                    number += len(rows.labels)
                parts.append(rows)
    if not sum(len(part.labels) for part in parts):
        raise DataError(f"{path}: no rows after the header; required: at least one row of {_PIXELS:,} pixels")
    return (
        np.concatenate([part.faces for part in parts]),
        np.frombuffer(b"".join(part.labels for part in parts), np.uint8),
        np.frombuffer(b"".join(part.usages for part in parts), np.uint8),
    )


@dataclass(frozen=True)
class _Columns:
    emotion: int
    pixels: int
    usage: int | None
    count: int


@dataclass(frozen=True)
class _Rows:
    faces: np.ndarray  # uint8 (R, 2304)
    labels: bytes  # R of them
    usages: bytes  # R of them, 255 for none


def _read_header(path: Path, line: bytes) -> _Columns:
    if not line:
        raise DataError(f"{path}: the file is empty; required: a CSV with columns emotion, pixels and Usage")
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise DataError(
            f"{path}: line 1 begins with bytes {line[:8].hex(' ')}, which is no UTF-8 text; "
            "required: a CSV file (unpacked, in UTF-8) with columns emotion, pixels and Usage"
        )
    text = text.rstrip("\r\n")
    if "\r" in text:
        raise DataError(f"{path}: lines end with a carriage return alone; required: LF or CR LF line breaks")
    names = [name.strip().casefold() for name in next(csv.reader([text]), [])]
    for required in ("emotion", "pixels"):
        if required not in names:
            raise DataError(
                f"{path}: line 1: column {required!r} is missing, the line is {_short(text.strip())}; "
                "required: columns emotion, pixels and optionally Usage"
            )
    for name in ("emotion", "pixels", "usage"):
        if names.count(name) > 1:
            raise DataError(f"{path}: line 1: column {name!r} stands there twice; required: once")
    usage = names.index("usage") if "usage" in names else None
    return _Columns(names.index("emotion"), names.index("pixels"), usage, len(names))


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block if block.endswith(b"\n") else block + file.readline(_LONGEST_LINE)


def _parse_block(block: bytes, columns: _Columns) -> _Rows | None:
    """The rows of whole lines, at once, or None when they are anything but plain valid rows.

    Byte operations over a whole block take about 15 µs a row; `np.fromstring` row by row takes 40.
    """
    codes = np.frombuffer(block, np.uint8)
    separators = np.flatnonzero((codes == ord(",")) | (codes == ord("\n")))
    if not block.endswith(b"\n") or len(separators) % columns.count:
        return None
    stops = separators.reshape(-1, columns.count)
    if (codes[stops] != np.frombuffer(b"," * (columns.count - 1) + b"\n", np.uint8)).any():
        return None
    # Field k of row r lies between edges[r, k] and edges[r, k + 1].
    edges = np.column_stack([np.concatenate([[-1], stops[:-1, -1]]), stops])
    fields = edges.tolist()
    labels = [_LABELS.get(_field(block, row, columns.emotion), _NO_LABEL) for row in fields]
    usages = [_NO_USAGE] * len(fields)
    if columns.usage is not None:
        usages = [_USAGES.get(_field(block, row, columns.usage), _NO_USAGE) for row in fields]
    if _NO_LABEL in labels or (columns.usage is not None and _NO_USAGE in usages):
        return None
    spans = [(row[columns.pixels] + 1, row[columns.pixels + 1]) for row in fields]
    # The last field of a line with a Windows line break ends one byte earlier.
    spans = [(start, stop - block.endswith(b"\r", start, stop)) for start, stop in spans]
    faces = _parse_pixels(block, spans)
    if faces is None:
        return None
    return _Rows(faces, bytes(labels), bytes(usages))


def _field(block: bytes, edges: list[int], column: int) -> bytes:
    return block[edges[column] + 1 : edges[column + 1]].strip()


def _parse_pixels(block: bytes, spans: list[tuple[int, int]]) -> np.ndarray | None:
    """uint8 (R, 2304) of the bytes within the spans, or None when one isn't 2,304 values 0–255."""
    text = bytearray(b"   " + block + b" ")  # so that the shifts by one to three bytes below stay inside
    last = 0
    for start, stop in [*spans, (len(block), len(block))]:
        text[last + 3 : start + 3] = b" " * (start - last)  # what isn't pixels
        last = stop
    codes = np.frombuffer(text, np.uint8)
    values = codes - np.uint8(ord("0"))  # anything but a digit wraps to 10 or more
    digit = values < 10
    if np.count_nonzero(digit) + np.count_nonzero(codes == ord(" ")) != len(codes):
        return None
    if (digit[3:-1] & digit[2:-2] & digit[1:-3] & digit[:-4]).any():
        return None  # four digits in a row
    ends = np.flatnonzero(digit[3:-1] > digit[4:])  # the last digit of every number
    if len(ends) != len(spans) * _PIXELS:
        return None
    bounds = np.array(spans)
    firsts, lasts = ends[::_PIXELS], ends[_PIXELS - 1 :: _PIXELS]
    if (firsts < bounds[:, 0]).any() or (lasts >= bounds[:, 1]).any():
        return None  # the numbers are as many as they should be, but not in every row
    values *= digit
    hundreds = (values[1:-3] * digit[2:-2]).take(ends)
    pixels = (values[3:-1] + values[2:-2] * np.uint8(10)).take(ends)  # up to here 99 at most
    if (hundreds > 2).any() or ((hundreds == 2) & (pixels > 55)).any():
        return None
    return (pixels + hundreds * np.uint8(100)).reshape(len(spans), _PIXELS)


def _parse_lines(path: Path, number: int, block: bytes, columns: _Columns) -> _Rows:
    """The rows of a block line by line, quoted fields and blank lines too, to name the value at fault."""
    faces: list[np.ndarray] = []
    labels = bytearray()
    usages = bytearray()
    for line_number, line in enumerate(block.splitlines(keepends=True), start=number):
        if not line.strip():
            continue
        place = f"{path}: line {line_number}"
        cut = "" if line.endswith(b"\n") else " (the file ends inside this row: it is truncated)"
        if len(line) > _LONGEST_LINE:
            raise DataError(
                f"{place}: the line has {len(line):,} bytes or more; required: {_LONGEST_LINE:,} at most, "
                f"a row of {_PIXELS:,} pixels"
            )
        fields = next(csv.reader([line.decode("utf-8", "replace").rstrip("\r\n")]))
        if len(fields) != columns.count:
            raise DataError(
                f"{place}: the row has {len(fields)} of {columns.count} columns{cut}; "
                "required: as many as the header names"
            )
        emotion = fields[columns.emotion].strip()
        label = _LABELS.get(emotion.encode())
        if label is None:
            raise DataError(
                f"{place}: emotion is {_short(emotion)}{cut}; "
                f"required: 0 to {len(EMOTIONS) - 1} ({', '.join(EMOTIONS)})"
            )
        usage = _NO_USAGE
        if columns.usage is not None:
            name = fields[columns.usage].strip()
            usage = _USAGES.get(name.encode(), _NO_USAGE)
            if usage == _NO_USAGE:
                raise DataError(
                    f"{place}: Usage is {_short(name)}{cut}; required: one of {', '.join(USAGES)}"
                )
        faces.append(_parse_row(place, fields[columns.pixels], cut))
        labels.append(label)
        usages.append(usage)
    return _Rows(np.array(faces, np.uint8).reshape(-1, _PIXELS), bytes(labels), bytes(usages))


def _parse_row(place: str, text: str, cut: str) -> np.ndarray:
    tokens = text.split()
    for index, token in enumerate(tokens, start=1):
        if not (token.isascii() and token.isdigit() and len(token) < 20 and int(token) <= 255):
            raise DataError(
                f"{place}: pixel {index:,} is {_short(token)}{cut}; required: a whole number from 0 to 255"
            )
    if len(tokens) != _PIXELS:
        raise DataError(
            f"{place}: the row has {len(tokens):,} pixels{cut}; "
            f"required: {_PIXELS:,} ({FACE_SIZE}×{FACE_SIZE})"
        )
    return np.array([int(token) for token in tokens], np.uint8)


def _short(value: str) -> str:
    return reprlib.repr(value)
