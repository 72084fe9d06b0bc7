"""The networks of `zoo.list` as one picture, accuracy against cost; reads no card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, NullFormatter, PercentFormatter
from matplotlib.transforms import Bbox

from zoo.errors import DataError
from zoo.networks.siamese import SIAMESE
from zoo.pareto import pareto_front
from zoo.training.pictures import BLUE, GRAY, GRID, INK, ORANGE, new_figure, save_figure

__all__ = ["draw_networks"]

# Of a label's nearer side from its point, in pixels; the first that is free is taken.
_PLACES = [
    (reach * right, reach * up)
    for reach in (8, 12, 17, 24, 32, 42, 54)
    for right, up in ((0, 1), (-1, 0), (1, 0), (0, -1), (-1, 1), (1, -1), (1, 1), (-1, -1))
]


def draw_networks(networks: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw accuracy against multiply–accumulates: what was measured here, with intervals, and published.

    Of networks that were measured on different faces, those of the most common ones are drawn. Networks that
    compare pairs are left out.

    Args:
        networks: entries of `zoo.list.list_networks`.
        path: of the PNG, 1100×620 pixels.

    Raises:
        DataError: no network was measured.
    """
    told = [network for network in networks if network["name"] not in SIAMESE]
    faces = Counter(_faces(network) for network in told if network["ours"]).most_common(1)
    if not faces:
        raise DataError("no saved network has figures; required: one at least")
    measured = [network for network in told if network["ours"] and _faces(network) == faces[0][0]]
    figure = new_figure(11, 6.2)
    axes = figure.subplots()
    axes.set_xscale("log")
    places = pareto_front(
        [network["macs"] for network in measured], [network["ours"]["accuracy"] for network in measured]
    )
    front = [measured[place] for place in places]
    axes.step(
        [network["macs"] for network in front],
        [network["ours"]["accuracy"] for network in front],
        where="post",
        color=ORANGE,
        linewidth=1,
        alpha=0.4,
        zorder=1,
    )
    for published, colour, label in (
        (True, BLUE, "published network, trained here"),
        (False, ORANGE, "ours, searched or made by hand"),
    ):
        some = [network for network in measured if bool(network["published"]) == published]
        accuracy = np.array([network["ours"]["accuracy"] for network in some])
        intervals = np.array([network["ours"]["accuracy_interval"] for network in some]).reshape(-1, 2)
        cost = [network["macs"] for network in some]
        axes.errorbar(
            cost,
            accuracy,
            yerr=abs(intervals.T - accuracy),
            fmt="none",
            ecolor=colour,
            alpha=0.35,
            linewidth=1,
        )
        axes.scatter(cost, accuracy, s=42, color=colour, linewidth=0, label=label, zorder=3)
    for comparable, face, label in (
        (True, GRAY, "as published, on the same faces"),
        (False, "white", "as published, on others"),
    ):
        some = [network for network in told if (network["published"] or {}).get("comparable") is comparable]
        axes.scatter(
            [network["macs"] for network in some],
            [network["published"]["accuracy"] for network in some],
            s=30,
            marker="D",
            facecolor=face,
            edgecolor=GRAY,
            linewidth=1,
            label=label,
            zorder=2,
        )
    axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    part, data = faces[0][0]
    axes.set(xlabel="multiply–accumulates of a face", ylabel=f"accuracy on {part} of {data} (95% interval)")
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    axes.margins(x=0.06, y=0.06)
    figure.legend(frameon=False, ncols=4, loc="outside lower center")
    _label(axes, measured, told)
    save_figure(figure, path)


def _faces(network: dict[str, Any]) -> tuple[str, str]:
    return network["ours"]["part"], network["ours"]["data"]


def _label(axes: Axes, measured: Sequence[dict[str, Any]], told: Sequence[dict[str, Any]]) -> None:
    """Names beside the points of measured networks, and of those that have a published figure alone."""
    points = {network["name"]: (network["macs"], network["ours"]["accuracy"]) for network in measured}
    published = {
        network["name"]: (network["macs"], network["published"]["accuracy"])
        for network in told
        if network["published"]
    }
    axes.figure.canvas.draw()  # puts the axes in place
    taken = [
        Bbox.from_bounds(x - 5, y - 5, 10, 10)
        for x, y in axes.transData.transform([*points.values(), *published.values()])
    ]
    # The dearest first: they stand closest together.
    for name, point in sorted((published | points).items(), key=lambda item: -item[1][1]):
        shown = axes.annotate(
            name, point, (0, 0), textcoords="offset points", fontsize=8, color=INK, ha="center", va="center"
        )
        size = shown.get_window_extent()
        for right, up in _PLACES:
            right += np.sign(right) * size.width / 2
            up += np.sign(up) * size.height / 2
            box = size.translated(right, up).padded(2)
            if not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)
        shown.set_position((right * 72 / axes.figure.dpi, up * 72 / axes.figure.dpi))
