"""A film or many pictures → answers over time or by file, step by step; knows no page layout.

Both are generators, so that whoever shows them can report progress and stop after any step.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import cv2
import numpy as np

from demo.charts import timeline
from demo.draw import colour_of, data_address, thumbnail
from demo.markup import csv_link, message, table
from demo.recognise import Reading, open_picture, percent, recognise, require_kept
from zoo.errors import ImageError
from zoo.pictures import MAX_PIXELS
from zoo.predictor import Predictor

__all__ = [
    "MAX_FILES",
    "MAX_SECONDS",
    "Film",
    "batch_csv",
    "batch_page",
    "film_csv",
    "film_page",
    "read_many",
    "watch_film",
]

MAX_SECONDS = 300.0
MAX_FILES = 500
_WORK_SECONDS = 600.0  # a film may hold any number of frames in its first minutes
_STEP = 0.5  # seconds between the frames that are looked at
_PASSED_OVER = 100  # frames between two chances to stop
_DETECTION = (320, 800)
_ROWS_SHOWN = 200

# What films begin with. A play list renamed to film.mp4 would make FFmpeg open other files and addresses.
_FILM_STARTS = (b"\x1aE\xdf\xa3", b"RIFF", b"OggS", b"\0\0\1\xba", b"\0\0\1\xb3", b"FLV", b"G@", b"GIF8")
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")


@dataclass(frozen=True)
class _KeyFrame:
    seconds: float
    expression: str
    probability: float
    picture: np.ndarray


@dataclass
class Film:
    """What has been seen of a film so far.

    Attributes:
        name: of the file.
        seconds: length of the whole film, as its header says; NaN where it says nothing.
        watched: seconds from the start that have been looked at.
        moments: time and faces of each frame looked at, the largest face first; without their crops, which
            would be most of the memory.
        cut: it took so long that the rest was left out.
    """

    name: str
    seconds: float
    watched: float = 0.0
    moments: list[tuple[float, tuple[Reading, ...]]] = field(default_factory=list)
    cut: bool = False
    _best: dict[str, _KeyFrame] = field(default_factory=dict)

    @property
    def progress(self) -> float:
        """Share of what will be looked at, 0–1."""
        length = min(self.seconds, MAX_SECONDS) if self.seconds > 0 else MAX_SECONDS
        return min(1.0, self.watched / length)

    @property
    def key_frames(self) -> list[_KeyFrame]:
        """The clearest frame of each expression that the largest face showed, in order of time."""
        return sorted(self._best.values(), key=lambda frame: frame.seconds)


def watch_film(path: str | Path | None, predictor: Predictor) -> Iterator[Film]:
    """Look at two frames a second of the first five minutes.

    Yields:
        The same `Film` after each frame looked at, and now and then between two of them; memory grows by
        some hundred bytes a face.

    Raises:
        ImageError: there is no film, or it is none that can be decoded, or it has no frames.
    """
    if path is None:
        raise ImageError("There is no film yet: upload one.")
    path = Path(path)
    require_kept(path)
    _require_film(path)
    # FFmpeg alone: other backends would take a name with a % for a series of pictures.
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise ImageError(f"{path.name}: is no film that can be decoded (MP4, WebM, AVI, MKV, MOV)")
        wide, high = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if wide * high > MAX_PIXELS / 4:
            raise ImageError(f"{path.name}: frames of {wide:.0f} × {high:.0f} are larger than allowed")
        film = Film(path.name, _length(capture))
        ends = time.monotonic() + _WORK_SECONDS
        for seconds, frame in _sampled(capture):
            film.watched = seconds
            if frame is not None:
                answers = recognise(frame, predictor, sizes=_DETECTION)
                readings = tuple(sorted((answer.reading for answer in answers), key=_area, reverse=True))
                film.moments.append((seconds, readings))
                _keep_best(film, seconds, frame, readings)
            yield film
            if time.monotonic() > ends:
                film.cut = True
                break
        if not film.moments:
            raise ImageError(f"{path.name}: holds no frames that can be decoded")
        end = min(film.watched + _STEP, MAX_SECONDS)
        film.watched = max(film.watched, min(film.seconds, end)) if film.seconds > 0 else film.watched
        yield film
    finally:
        capture.release()


def _require_film(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise ImageError(f"{path.name}: cannot be read ({error.strerror})") from error
    if not start:
        raise ImageError(f"{path.name}: is empty")
    if start[4:8] not in _MP4_BOXES and not start.startswith(_FILM_STARTS):
        raise ImageError(f"{path.name}: is no film that can be decoded (MP4, WebM, AVI, MKV, MOV)")


def _length(capture: cv2.VideoCapture) -> float:
    rate, frames = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    return frames / rate if rate > 0 and frames > 0 else math.nan


def _sampled(capture: cv2.VideoCapture) -> Iterator[tuple[float, np.ndarray | None]]:
    """Seconds and RGB frame, every half second up to the limit; None after many frames passed over.

    The time is the frame's own, as the rate may vary and some headers name one of 1000; where a film gives
    its frames no times, they follow each other by the rate.
    """
    rate = capture.get(cv2.CAP_PROP_FPS)
    rate = rate if 1 <= rate <= 240 else 25.0
    due, seconds = 0.0, -1 / rate
    for number in itertools.count(1):
        if not capture.grab():
            return
        own = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        seconds = own if own > seconds and seconds >= 0 else seconds + 1 / rate
        if seconds > MAX_SECONDS:
            return
        if seconds + 1e-6 < due:
            if number % _PASSED_OVER == 0:
                yield seconds, None
            continue
        due = seconds + _STEP
        done, frame = capture.retrieve()
        if done and frame is not None and frame.size:
            yield seconds, cv2.cvtColor(thumbnail(frame, 1280), cv2.COLOR_BGR2RGB)


def _area(reading: Reading) -> int:
    return reading.box[2] * reading.box[3] if reading.box else 0


def _keep_best(film: Film, seconds: float, frame: np.ndarray, readings: tuple[Reading, ...]) -> None:
    if not readings or readings[0].unsure:
        return
    first = readings[0]
    known = film._best.get(first.expression)
    if known is None or first.probability > known.probability:
        picture = thumbnail(frame, 240)
        film._best[first.expression] = _KeyFrame(seconds, first.expression, first.probability, picture)


def film_page(film: Film, network: str) -> str:
    """The film's timeline as a network read it, its key frames, and a link to the answers as CSV."""
    seen = sum(bool(readings) for _, readings in film.moments)
    told = (
        f"A face is in {seen} of {len(film.moments)} frames looked at, {film.watched:.0f} s of {film.name}."
    )
    if film.seconds > MAX_SECONDS:
        told += f" Only the first {MAX_SECONDS / 60:.0f} of {film.seconds / 60:.0f} minutes are looked at."
    if film.cut:
        told += " The rest would have taken too long."
    if not seen:
        return message("No face found", told, kind="none")
    names = next(readings[0].probabilities for _, readings in film.moments if readings)
    series = {
        name: [readings[0].probabilities[name] if readings else math.nan for _, readings in film.moments]
        for name in names
    }
    times = [seconds for seconds, _ in film.moments]
    strip = "".join(
        f'<figure style="--tone:{colour_of(frame.expression)}">'
        f'<img src="{data_address(frame.picture, kind="jpeg")}" alt="frame at {frame.seconds:.1f} seconds">'
        f"<figcaption><strong>{escape(frame.expression)}</strong> {percent(frame.probability)}"
        f" at {frame.seconds:.1f} s</figcaption></figure>"
        for frame in film.key_frames
    )
    page = message(f"The largest face over time, by {network}", told, kind="good")
    page += timeline(times, series, label="Probabilities of the largest face over the film", wide=480)
    page += f'<h3>Clearest moments</h3><div class="strip">{strip}</div>' if strip else ""
    return page + csv_link(film_csv(film), f"{Path(film.name).stem}-{network}.csv")


def film_csv(film: Film) -> str:
    """One row a face of each frame looked at; face 1 is the largest."""
    classes = next((tuple(readings[0].probabilities) for _, readings in film.moments if readings), ())
    rows = [
        (f"{seconds:.2f}", number, *_cells(reading), _note(reading))
        for seconds, readings in film.moments
        for number, reading in enumerate(readings, start=1)
    ]
    return _csv_text(("seconds", "face", *_HEADINGS, *classes, "note"), rows)


@dataclass(frozen=True)
class _Read:
    """One picture of many: its faces, or what is wrong with it."""

    name: str
    readings: tuple[Reading, ...] = ()
    error: str = ""


def read_many(paths: Sequence[str | Path] | None, predictor: Predictor) -> Iterator[tuple[int, list[_Read]]]:
    """Recognise picture after picture; one that can't be read is a row that says why.

    Yields:
        How many there are, and what has been read so far, after each picture.

    Raises:
        ImageError: there are none, or more than 500.
    """
    if not paths:
        raise ImageError("There are no pictures yet: upload some.")
    if len(paths) > MAX_FILES:
        raise ImageError(f"{len(paths)} pictures are more than the {MAX_FILES} allowed at once")
    read: list[_Read] = []
    for path in map(Path, paths):
        try:
            answers = recognise(open_picture(path), predictor)
            read.append(_Read(path.name, tuple(answer.reading for answer in answers)))
        except ImageError as error:
            read.append(_Read(path.name, error=str(error).removeprefix(f"{path.name}: ")))
        yield len(paths), read


def batch_page(read: Sequence[_Read], network: str) -> str:
    """A table of the faces as a network read them, and a link to the answers as CSV."""
    faces = sum(len(entry.readings) for entry in read)
    broken = sum(bool(entry.error) for entry in read)
    title = f"{_count(faces, 'face')} in {_count(len(read), 'picture')}, read by {network}"
    told = f"{_count(broken, 'file')} could not be read; the table says why." if broken else ""
    rows: list[tuple[object, ...]] = []
    for entry in read:
        if entry.error:
            rows.append((entry.name, "", "not read", "", entry.error))
        elif not entry.readings:
            rows.append((entry.name, "", "no face", "", ""))
        for reading in entry.readings:
            share = percent(reading.probability)
            rows.append((entry.name, reading.number, reading.expression, share, _note(reading)))
    headings = ("file", "face", "expression", "probability", "note")
    caption = "Faces by picture"
    if len(rows) > _ROWS_SHOWN:
        caption += f" (the first {_ROWS_SHOWN} of {len(rows)} rows; the CSV has all)"
    page = message(title, told, kind="unsure" if broken else "good")
    page += table(headings, rows[:_ROWS_SHOWN], caption=caption)
    return page + csv_link(batch_csv(read), f"expressions-{network}.csv")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def batch_csv(read: Sequence[_Read]) -> str:
    """One row a face; a picture without a face, or one that can't be read, is a row, too."""
    classes = next((tuple(entry.readings[0].probabilities) for entry in read if entry.readings), ())
    rows: list[tuple[object, ...]] = []
    for entry in read:
        for reading in entry.readings:
            rows.append((entry.name, reading.number, *_cells(reading), _note(reading)))
        if not entry.readings:
            blank = ("",) * (len(_HEADINGS) + len(classes))
            rows.append((entry.name, 0, *blank, entry.error or "no face"))
    return _csv_text(("file", "face", *_HEADINGS, *classes, "note"), rows)


_HEADINGS = ("x", "y", "width", "height", "expression", "probability")


def _cells(reading: Reading) -> tuple[object, ...]:
    box = reading.box or ("",) * 4
    numbers = (f"{value:.4f}" for value in reading.probabilities.values())
    return (*box, reading.expression, f"{reading.probability:.4f}", *numbers)


def _note(reading: Reading) -> str:
    return "unsure" if reading.unsure else ""


def _csv_text(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(headings)
    for row in rows:
        # A file name that begins like a formula would be run by a spreadsheet.
        writer.writerow([f"'{cell}" if str(cell)[:1] in ("=", "+", "-", "@") else cell for cell in row])
    return text.getvalue()
