"""Lines over time and points on scales, as SVG that takes its tones from the page; knows no network.

The plots are plain SVG and not a plotting component's: the live one is redrawn ten times a second, and none
of them may load a script or wait for one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from demo.draw import colour_of
from zoo.pareto import pareto_front

__all__ = ["Point", "pareto_chart", "timeline"]

_WIDE, _HIGH = 720, 220  # SVG units; text is 13 of them
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 18, 14, 32
_LETTER = 7.6  # width of a letter of a name, on average


def timeline(
    times: Sequence[float], values: Mapping[str, Sequence[float]], *, label: str, wide: int = _WIDE
) -> str:
    """Probabilities over seconds, one line an expression, with a legend.

    Args:
        times: seconds, rising; values: by expression, as many as `times`, 0–1; NaN where no face was seen.
        label: what a screen reader says of the plot.
        wide: of the drawing, which is scaled to its place; a small one has larger text.
    """
    start, end = (times[0], times[-1]) if times else (0.0, 1.0)
    span = max(end - start, 1e-9)

    def across(time: float) -> float:
        return _LEFT + (time - start) / span * (wide - _LEFT - _RIGHT)

    lines = "".join(
        f'<path d="{_path([across(time) for time in times], series)}" stroke="{colour_of(name)}"/>'
        for name, series in values.items()
    )
    marks = _share_marks(wide)
    for time in np.linspace(start, end, 5 if wide > 500 else 3):
        marks += f'<text x="{across(time):.0f}" y="{_HIGH - 10}" text-anchor="middle">{_clock(time)}</text>'
    legend = "".join(
        f'<li><span style="background:{colour_of(name)}"></span>{escape(name)}</li>' for name in values
    )
    return (
        f'<figure class="chart"><svg viewBox="0 0 {wide} {_HIGH}" role="img" aria-label="{escape(label)}">'
        f'{marks}<g class="lines">{lines}</g></svg><ul class="legend">{legend}</ul></figure>'
    )


def _path(places: Sequence[float], series: Sequence[float]) -> str:
    """SVG path commands; a gap where a value is NaN."""
    commands, pen_down = [], False
    for x, value in zip(places, series, strict=True):
        if math.isnan(value):
            pen_down = False
            continue
        y = _HIGH - _BOTTOM - value * (_HIGH - _TOP - _BOTTOM)
        commands.append(f"{'L' if pen_down else 'M'}{x:.1f} {y:.1f}")
        pen_down = True
    return "".join(commands)


def _share_marks(wide: int) -> str:
    marks = ""
    for share in (0.0, 0.5, 1.0):
        y = _HIGH - _BOTTOM - share * (_HIGH - _TOP - _BOTTOM)
        marks += f'<line class="grid" x1="{_LEFT}" x2="{wide - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        marks += f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{share:.0%}</text>'
    return marks


def _clock(seconds: float) -> str:
    whole = int(max(0, seconds))
    return f"{whole // 60}:{whole % 60:02}"


@dataclass(frozen=True)
class Point:
    """One model on the plot of accuracy against cost.

    Attributes:
        name: shown beside it.
        cost: multiply–accumulates of one face, above 0.
        accuracy: with the ends of its 95% interval, 0–1.
        comparable: whether it was measured on the same faces as the others.
    """

    name: str
    cost: float
    accuracy: float
    low: float
    high: float
    comparable: bool = True


def pareto_chart(points: Sequence[Point], *, chosen: str) -> str:
    """Accuracy against cost on a logarithmic scale; a line joins the models that no other beats in both."""
    if not points:
        return ""
    high = 340
    lowest = math.floor(math.log10(min(point.cost for point in points)))
    highest = max(lowest + 1, math.ceil(math.log10(max(point.cost for point in points))))
    bottom = math.floor(min(point.low for point in points) * 20) / 20
    top = max(bottom + 0.05, math.ceil(max(point.high for point in points) * 20) / 20)

    def across(cost: float) -> float:
        return _LEFT + (math.log10(cost) - lowest) / (highest - lowest) * (_WIDE - _LEFT - _RIGHT)

    def down(accuracy: float) -> float:
        return high - 46 - (accuracy - bottom) / (top - bottom) * (high - 46 - _TOP)

    marks = ""
    for step in np.arange(bottom, top + 1e-9, 0.05 if top - bottom <= 0.4 else 0.1):
        y = down(float(step))
        marks += f'<line class="grid" x1="{_LEFT}" x2="{_WIDE - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        marks += f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{step:.0%}</text>'
    for power in range(lowest, highest + 1):
        x = across(10.0**power)
        marks += f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{high - 46}"/>'
        marks += f'<text x="{x:.1f}" y="{high - 28}" text-anchor="middle">{_amount(10.0**power)}</text>'
    middle = (_LEFT + _WIDE - _RIGHT) / 2
    marks += (
        f'<text x="{middle}" y="{high - 8}" text-anchor="middle">multiply–accumulates for one face</text>'
    )
    front = _front(points)
    path = "".join(
        f"{'L' if index else 'M'}{across(point.cost):.1f} {down(point.accuracy):.1f}"
        for index, point in enumerate(front)
    )
    centres = [(across(point.cost), down(point.accuracy)) for point in points]
    labels = _labels([point.name for point in points], centres)
    body = f'<path class="front" d="{path}"/>' + "".join(
        _dot(point, centre, label, down, best=point in front, chosen=point.name == chosen)
        for point, centre, label in zip(points, centres, labels, strict=True)
    )
    told = ", ".join(f"{point.name} {point.accuracy:.1%}" for point in points)
    return (
        f'<figure class="chart pareto"><svg viewBox="0 0 {_WIDE} {high}" role="img"'
        f' aria-label="Accuracy against cost: {escape(told)}">{marks}{body}</svg></figure>'
    )


def _labels(names: Sequence[str], centres: Sequence[tuple[float, float]]) -> list[tuple[float, float, str]]:
    """Where each dot's name begins or ends: beside its dot, clear of dots and of the names before it.

    Returns:
        x, y of the baseline, and the text's anchor; of the places that are clear, the first that is nearer
        to its own dot than to others, else the first; where none is clear, the same of all.
    """
    taken: list[tuple[float, ...]] = [(x - 6, y - 6, x + 6, y + 6) for x, y in centres]
    places = []
    for name, (x, y) in zip(names, centres, strict=True):
        tried: list[tuple[bool, bool, int, tuple[float, float, str], tuple[float, ...]]] = []
        for dy in (16, -8, 4, 30, -22, 44, -36):
            for dx, anchor in ((11, "start"), (-11, "end")):
                left = x + dx - (_LETTER * len(name) if anchor == "end" else 0)
                box: tuple[float, ...] = (left, y + dy - 11, left + _LETTER * len(name), y + dy + 3)
                inside = box[0] > _LEFT and box[2] < _WIDE and box[1] > 0
                free = not any(
                    box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]
                    for other in taken
                )
                own = _distance(box, (x, y))
                astray = any(_distance(box, centre) < own for centre in centres)
                tried.append((not (inside and free), astray, len(tried), (x + dx, y + dy, anchor), box))
        *_, place, box = min(tried)
        taken.append(box)
        places.append(place)
    return places


def _distance(box: tuple[float, ...], dot: tuple[float, float]) -> float:
    """From a name's box to the middle of a dot."""
    across = max(box[0] - dot[0], 0, dot[0] - box[2])
    return math.hypot(across, max(box[1] - dot[1], 0, dot[1] - box[3]))


def _dot(
    point: Point,
    centre: tuple[float, float],
    label: tuple[float, float, str],
    down: object,
    *,
    best: bool,
    chosen: bool,
) -> str:
    assert callable(down)
    x, y = centre
    kind = " ".join(["dot", *(["best"] if best else []), *(["chosen"] if chosen else [])])
    told = f"{point.name}: {point.accuracy:.1%} ({point.low:.1%} to {point.high:.1%})"
    beside = abs(label[1] - 4 - y) <= 12  # the baseline is 4 below a text's middle
    leader = f'<line class="leader" x1="{x:.1f}" y1="{y:.1f}" x2="{label[0]:.1f}" y2="{label[1] - 4:.1f}"/>'
    return (
        f'<g class="{kind}"><title>{escape(told)}</title>'
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{down(point.low):.1f}" y2="{down(point.high):.1f}"/>'
        f"{'' if beside else leader}"
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{7 if chosen else 5}"/>'
        f'<text x="{label[0]:.1f}" y="{label[1]:.1f}" text-anchor="{label[2]}">'
        f"{escape(point.name)}</text></g>"
    )


def _front(points: Sequence[Point]) -> list[Point]:
    """The comparable points that no cheaper one equals in accuracy, from the cheapest on."""
    comparable = [point for point in points if point.comparable]
    front = pareto_front([point.cost for point in comparable], [point.accuracy for point in comparable])
    return [comparable[place] for place in front]


def _amount(value: float) -> str:
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.0f} {unit}"
    return f"{value:.0f}"
