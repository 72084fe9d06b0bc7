"""Webcam frames → tracked, smoothed answers and an overlay for the running picture; knows no page."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from html import escape

import numpy as np

from demo.charts import timeline
from demo.draw import colour_of, ink_on
from demo.markup import bars, message
from demo.recognise import Answer, recognise
from zoo.predictor import Predictor

__all__ = ["LiveView", "Track", "frame_overlay", "live_panel", "watch"]

_DETECTION = (320,)  # one small size: 10 ms a frame; faces down to a tenth of the picture's width are found
_MEMORY = 20.0  # seconds that the timeline shows
_HALF_LIFE = 0.4  # seconds after which a past frame counts half
_PATIENCE = 0.5  # seconds that an unseen face is remembered


@dataclass
class Track:
    """One face followed over frames.

    Attributes:
        answer: of the last frame in which it was seen, its probabilities smoothed over time.
        seen: when, in seconds.
    """

    answer: Answer
    seen: float


@dataclass
class LiveView:
    """What one visitor's stream remembers; bounded, and dropped with the visit.

    Attributes:
        tracks: faces seen of late.
        history: time and smoothed probabilities of the largest face, None where there was none.
        frames: times of the last frames, for the rate.
    """

    tracks: list[Track] = field(default_factory=list)
    history: deque[tuple[float, dict[str, float] | None]] = field(default_factory=lambda: deque(maxlen=400))
    frames: deque[float] = field(default_factory=lambda: deque(maxlen=20))

    @property
    def rate(self) -> float:
        """Frames a second over the last frames; 0 before the second one."""
        span = self.frames[-1] - self.frames[0] if len(self.frames) > 1 else 0.0
        return (len(self.frames) - 1) / span if span > 0 else 0.0


def watch(
    view: LiveView, frame: np.ndarray, predictor: Predictor, *, now: float | None = None
) -> tuple[Answer, ...]:
    """Take one frame in.

    Args:
        frame: uint8 (H, W, 3), RGB.
        now: seconds of a steady clock; the clock itself by default.

    Returns:
        The frame's faces, their probabilities smoothed along each face's track.
    """
    now = time.monotonic() if now is None else now
    view.frames.append(now)
    recent = [track for track in view.tracks if now - track.seen <= _PATIENCE]
    tracks, answers = [], []
    for answer in recognise(frame, predictor, sizes=_DETECTION):
        match = max(recent, key=lambda track: _overlap(track.answer.box, answer.box), default=None)
        if match is not None and _overlap(match.answer.box, answer.box) > 0.3:
            recent.remove(match)
            answer = _smoothed(answer, match.answer, now - match.seen, predictor.card.unsure_below)
        answers.append(answer)
        tracks.append(Track(answer, now))
    view.tracks = tracks + recent
    shown = max(answers, key=_area, default=None)
    view.history.append((now, shown.probabilities if shown else None))
    while view.history and now - view.history[0][0] > _MEMORY:
        view.history.popleft()
    return tuple(answers)


def _smoothed(answer: Answer, past: Answer, elapsed: float, unsure_below: float) -> Answer:
    if past.probabilities.keys() != answer.probabilities.keys():  # another network was chosen meanwhile
        return answer
    keep = 0.5 ** (elapsed / _HALF_LIFE)
    mixed = {
        name: keep * past.probabilities[name] + (1 - keep) * value
        for name, value in answer.probabilities.items()
    }
    return Answer(answer.number, answer.box, mixed, max(mixed.values()) < unsure_below, answer.crop)


def _overlap(first: tuple[int, int, int, int] | None, second: tuple[int, int, int, int] | None) -> float:
    """Intersection over union of two boxes."""
    assert first is not None and second is not None
    across = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    down = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    shared = max(0, across) * max(0, down)
    return shared / (first[2] * first[3] + second[2] * second[3] - shared)


def _area(answer: Answer) -> int:
    return answer.box[2] * answer.box[3] if answer.box else 0


def frame_overlay(answers: tuple[Answer, ...], shape: tuple[int, ...]) -> str:
    """Boxes and labels as an SVG of the frame's size, to lie over the running picture.

    Only this text goes back to the browser, no picture: nothing is encoded, and no file is written.
    """
    height, width = shape[:2]
    marks = ""
    for answer in answers:
        assert answer.box is not None
        x, y, wide, high = answer.box
        tone, size = colour_of(answer.expression), width / 32
        over = y - 0.7 * size if y > 1.8 * size else y + high + 1.4 * size
        marks += (
            f'<rect x="{x}" y="{y}" width="{wide}" height="{high}" rx="{size / 2:.0f}" stroke="{tone}"'
            f' stroke-width="{width / 200:.1f}"/>'
            f'<text x="{x}" y="{over:.0f}" font-size="{size:.0f}" fill="{ink_on(tone)}"'
            f' stroke="{tone}" stroke-width="{0.8 * size:.1f}">{escape(answer.label)}</text>'
        )
    box = f'viewBox="0 0 {width} {height}" preserveAspectRatio="xMidYMid meet"'
    return f'<svg {box} aria-hidden="true">{marks}</svg>'


def live_panel(view: LiveView, answers: tuple[Answer, ...]) -> str:
    """The largest face's words, bars and timeline, and the frame rate."""
    rate = f"{view.rate:.0f} frames a second" if view.rate else "starting"
    if answers:
        best = max(answers, key=_area)
        head = message(best.label, rate, kind="unsure" if best.unsure else "good", announced=False)
        head += bars(best.probabilities, caption="Probabilities, smoothed over time")
    else:
        head = message("No face in view", rate, kind="none", announced=False)
    names = next((seen for _, seen in reversed(view.history) if seen), None)
    if names is None:
        return head
    first = view.history[0][0]
    times = [moment - first for moment, _ in view.history]
    series = {
        name: [seen.get(name, float("nan")) if seen else float("nan") for _, seen in view.history]
        for name in names
    }
    return head + timeline(times, series, label="Probabilities of the last 20 seconds", wide=420)
