"""A study's pictures as interactive plotly figures, for its page in the dashboard and its HTML report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from search.analysis import basis_of, importances, pareto_front, rank_correlations, sampled, savings
from search.findings import duration, said_basis
from search.table import StudyTable, words_of
from search.views import (
    COLOURS,
    WITHOUT_PAUSES,
    axis_of,
    best_so_far,
    hours_worked,
    lanes,
    shown_parameters,
    survivors,
    thin,
)
from zoo.training.pictures import BLUE, GRAY, GRID, INK, ORANGE

__all__ = ["FIGURES", "pareto", "ranks", "time_by_outcome"]

_MOST_POINTS, _MOST_LINES = 2000, 300
_SHADES = [[0, "#f0cfae"], [0.5, "#6aa6d6"], [1, "#0d3d6b"]]


def history(table: StudyTable) -> go.Figure | None:
    """Accuracy by trial, with the best so far."""
    rows = thin(table.learned, _MOST_POINTS)
    if not len(rows):
        return None
    figure = _figure("Accuracy by trial", "trial", "validation accuracy", percent=True)
    for outcome in ("pruned", "complete"):
        part = rows[rows.outcome == outcome]
        figure.add_scattergl(
            x=_list(part.index), y=_list(part.accuracy), mode="markers", name=outcome, text=_hover(part),
            marker={"color": COLOURS[outcome], "size": 7, "opacity": 0.75}, hoverinfo="text",
        )  # fmt: skip
    known = table.learned[table.learned.network.notna()]
    if len(known):
        figure.add_scattergl(
            x=_list(known.index), y=_list(known.accuracy), mode="markers", name="starting point",
            marker={"color": INK, "size": 12, "symbol": "circle-open"}, text=_hover(known), hoverinfo="text",
        )  # fmt: skip
    best = best_so_far(table)
    if len(best):
        figure.add_scatter(
            x=_list(best.index), y=_list(best), mode="lines", name="best so far", hoverinfo="skip",
            line={"shape": "hv", "color": INK, "width": 1.5},
        )  # fmt: skip
    return figure


def importance(table: StudyTable) -> go.Figure | None:
    """PED-ANOVA's shares."""
    basis = basis_of(table) if len(table.learned) else None
    shares = importances(table, basis) if basis is not None else {}
    if basis is None or not shares:
        return None
    shown = list(shares.items())[:16][::-1]
    said = said_basis(sampled(table, basis), "sampled trial")
    figure = _figure(f"Importance for accuracy {said}", "share of the importance", "")
    figure.add_bar(
        x=[round(share, 4) for _, share in shown], y=[words_of(name) for name, _ in shown], orientation="h",
        text=[f"{share:.0%}" for _, share in shown], textposition="outside", marker={"color": BLUE},
        hoverinfo="skip", cliponaxis=False,
    )  # fmt: skip
    figure.update_layout(height=120 + 24 * len(shown), showlegend=False)
    return figure.update_xaxes(tickformat=".0%").update_yaxes(automargin=True)


def pareto(table: StudyTable, most: int = _MOST_POINTS) -> go.Figure | None:
    """Accuracy against multiply–accumulates, with the Pareto front."""
    rows = table.complete.dropna(subset=["macs"])
    if not len(rows):
        return None
    front, some = rows.loc[pareto_front(table)], thin(rows, most)
    figure = _figure("Accuracy against cost", "multiply–accumulates", "validation accuracy", percent=True)
    figure.add_scatter(
        x=_list(some.macs), y=_list(some.accuracy), mode="markers", name="complete", text=_hover(some),
        marker={"color": BLUE, "size": 7, "opacity": 0.6}, hoverinfo="text",
    )  # fmt: skip
    figure.add_scatter(
        x=_list(front.macs), y=_list(front.accuracy), mode="lines+markers", name="Pareto front",
        line={"shape": "hv", "color": ORANGE, "width": 1.5}, marker={"color": ORANGE, "size": 9},
        text=_hover(front), hoverinfo="text",
    )  # fmt: skip
    known = rows[rows.network.notna()]
    if len(known):
        figure.add_scatter(
            x=_list(known.macs), y=_list(known.accuracy), mode="markers+text", name="starting point",
            marker={"color": INK, "size": 13, "symbol": "circle-open"}, text=_list(known.network),
            textposition="bottom center", textfont={"size": 10}, hoverinfo="skip", cliponaxis=False,
        )  # fmt: skip
    if table.settings.max_macs:
        figure.add_vline(table.settings.max_macs, line={"color": GRAY, "dash": "dash", "width": 1})
    return figure.update_xaxes(type="log", tickformat=".2s", dtick="D2")


def pruning(table: StudyTable) -> go.Figure | None:
    """Trials still training in each epoch, and those that had been stopped."""
    saved = savings(table)
    if not saved.started:
        return None
    counts = survivors(table)
    title = f"Stopping early saved {saved.share:.0%} of {saved.possible:,} epochs, about "
    title += duration(saved.seconds)
    figure = _figure(title, "epoch", "trials")
    gone = saved.started - counts.sum(axis=1)
    for name, values, colour in (
        ("trained, trial complete", counts.complete, COLOURS["complete"]),
        ("trained, pruned later", counts.pruned, COLOURS["pruned"]),
        ("saved", gone, GRID),
    ):
        figure.add_bar(x=_list(counts.index), y=_list(values), name=name, marker={"color": colour})
    return figure.update_layout(barmode="stack", bargap=0)


def curves(table: StudyTable) -> go.Figure | None:
    """Accuracy by epoch of each trained trial."""
    rows = thin(table.learned, _MOST_LINES)
    if not len(rows) or table.best is None:
        return None
    figure = _figure("Learning curves", "epoch", "validation accuracy", percent=True)
    parts = [(outcome, rows.index[rows.outcome == outcome]) for outcome in ("pruned", "complete")]
    for name, numbers in (*parts, (f"best, trial {table.best.number}", [table.best.number])):
        best = name.startswith("best")
        x: list[Any] = []
        y: list[Any] = []
        for number in numbers:
            known = table.curves.loc[number].dropna()
            # A missing value between them parts the lines of one trace.
            x += [*_list(known.index), None]
            y += [*_list(known), None]
        figure.add_scattergl(
            x=x, y=y, name=name, mode="lines+markers" if best or table.settings.epochs == 1 else "lines",
            line={"color": INK if best else COLOURS[name], "width": 2.5 if best else 1},
            opacity=1 if best else 0.5, hoverinfo="skip",
        )  # fmt: skip
    return figure


def parallel(table: StudyTable) -> go.Figure | None:
    """The most important parameters and accuracy, a line a trial; axes can be brushed."""
    basis = basis_of(table) if len(table.learned) else None
    names = shown_parameters(table, basis, 8, common=True) if basis is not None else []
    if basis is None or len(names) < 2:
        return None
    axis = [axis_of(table, name) for name in names]
    frame = pd.DataFrame({a.name: a.places for a in axis}).dropna()
    frame = thin(frame.join(basis.accuracy.rename("accuracy"), how="inner"), _MOST_LINES)
    if not len(frame):
        return None
    dimensions: list[dict[str, Any]] = [
        {"label": a.name, "values": _list(frame[a.name]), "range": [0, 1], "tickvals": list(a.ticks),
         "ticktext": list(a.labels)} for a in axis
    ]  # fmt: skip
    dimensions.append({"label": "accuracy", "values": _list(frame.accuracy), "tickformat": ".1%"})
    figure = _figure(f"Parallel coordinates, accuracy {said_basis(basis)}", "", "")
    figure.add_parcoords(
        dimensions=dimensions, labelfont={"size": 12},
        line={"color": _list(frame.accuracy), "colorscale": _SHADES},
    )  # fmt: skip
    return figure.update_layout(margin={"l": 70, "r": 50, "t": 110, "b": 30})


def slices(table: StudyTable) -> go.Figure | None:
    """Accuracy by each of the most important parameters."""
    basis = basis_of(table) if len(table.learned) else None
    names = shown_parameters(table, basis, 9) if basis is not None else []
    if basis is None or not names:
        return None
    axis = [axis_of(table, name) for name in names]
    rows = -(-len(axis) // 3)
    figure = make_subplots(
        rows, min(3, len(axis)), shared_yaxes=True, subplot_titles=[a.name for a in axis],
        horizontal_spacing=0.03, vertical_spacing=0.35 / rows,
    )  # fmt: skip
    _style(figure, f"Accuracy {said_basis(basis)} by parameter")
    random = np.random.default_rng(0)
    for place, a in enumerate(axis):
        frame = pd.DataFrame({"place": a.places}).join(basis.accuracy.rename("accuracy"), how="inner")
        frame = thin(frame, _MOST_POINTS // 4)
        # A little aside, so that trials with the same choice can be told apart.
        few = frame.place.nunique() <= max(len(a.ticks), 8)
        width = 0.25 / max(1, len(a.ticks) - 1) if few else 0.0
        aside = random.uniform(-width, width, len(frame))
        where: dict[str, Any] = {"row": place // 3 + 1, "col": place % 3 + 1}
        figure.add_scattergl(
            x=_list(frame.place + aside), y=_list(frame.accuracy), mode="markers", **where,
            text=[f"trial {number}: {value:.1%}" for number, value in frame.accuracy.items()],
            marker={"color": BLUE, "size": 5, "opacity": 0.5}, hoverinfo="text",
        )  # fmt: skip
        figure.update_xaxes(
            tickvals=list(a.ticks), ticktext=list(a.labels), range=[-0.2, 1.2], zeroline=False, **where
        )
    figure.update_layout(showlegend=False, height=120 + 230 * rows)
    return figure.update_yaxes(tickformat=".0%", gridcolor=GRID)


def ranks(table: StudyTable) -> go.Figure | None:
    """How well the order after each epoch agrees with the final one."""
    correlations = rank_correlations(table)
    if len(correlations) < 2:
        return None
    complete = len(table.complete)
    figure = _figure(f"Rank correlation with the end, {complete} complete trials", "epoch", "Spearman's ρ")
    figure.add_scatter(
        x=_list(correlations.index), y=_list(correlations), mode="lines+markers", line={"color": BLUE}
    )
    figure.update_yaxes(range=[min(0.0, float(correlations.min())) - 0.03, 1.03])
    return figure.update_layout(showlegend=False)


def time_by_outcome(table: StudyTable) -> go.Figure | None:
    """Hours of work by what became of the trials."""
    spent = table.rows.dropna(subset=["seconds"]).groupby("outcome").seconds.agg(["sum", "count"])
    if not len(spent):
        return None
    shown = [outcome for outcome in COLOURS if outcome in spent.index][::-1]
    total = duration(float(spent["sum"].sum()))
    figure = _figure(f"Time by outcome of the trial: {total} in all", "hours of work", "")
    figure.add_bar(
        x=[round(spent["sum"][outcome] / 3600, 4) for outcome in shown], y=shown, orientation="h",
        text=[f"{duration(spent['sum'][outcome])}, {spent['count'][outcome]:,} trials" for outcome in shown],
        marker={"color": [COLOURS[outcome] for outcome in shown]}, textposition="auto", hoverinfo="skip",
        insidetextfont={"color": "white"},
    )  # fmt: skip
    return figure.update_layout(showlegend=False).update_yaxes(automargin=True)


def timeline(table: StudyTable) -> go.Figure | None:
    """When each trial ran, those at once above each other; of very many, the longest."""
    rows = table.rows.dropna(subset=["started", "ended"])
    if not len(rows):
        return None
    lane = lanes(rows)
    some = rows.loc[rows.seconds.nlargest(_MOST_POINTS).index]
    shown = "" if len(some) == len(rows) else f", the longest {len(some):,} of them drawn"
    hours, pauses = hours_worked(rows)
    shown += f", {WITHOUT_PAUSES}" if pauses else ""
    figure = _figure(f"Timeline of {len(rows):,} trials{shown}", "hours", "trials at once")
    for outcome, colour in COLOURS.items():
        part = some[some.outcome == outcome]
        if len(part):
            figure.add_bar(
                base=_list(hours[part.index]), y=_list(lane[part.index]),
                x=_list(part.seconds / 3600), orientation="h", name=outcome,
                marker={"color": colour, "line": {"width": 0}}, text=_hover(part), hoverinfo="text",
                textposition="none",
            )  # fmt: skip
    for hour in pauses:
        figure.add_vline(hour, line={"color": GRAY, "dash": "dash", "width": 1})
    figure.update_layout(barmode="overlay", height=240 + 24 * min(20, int(lane.max()) + 1))
    return figure.update_yaxes(showticklabels=False)


def _figure(title: str, x: str, y: str, *, percent: bool = False) -> go.Figure:
    figure = go.Figure()
    _style(figure, title)
    figure.update_xaxes(title=x, gridcolor=GRID, zeroline=False)
    return figure.update_yaxes(title=y, gridcolor=GRID, zeroline=False, tickformat=".0%" if percent else None)


def _style(figure: go.Figure, title: str) -> None:
    """Plotly's own template would be seven kilobytes in each figure."""
    figure.update_layout(
        template=None, height=420,
        title={"text": title, "font_size": 15, "x": 0.01, "y": 1, "yanchor": "top", "pad_t": 12},
        font={"family": "system-ui, sans-serif", "size": 12, "color": INK}, hovermode="closest",
        margin={"l": 60, "r": 20, "t": 80, "b": 50}, paper_bgcolor="white", plot_bgcolor="white",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )  # fmt: skip


def _hover(rows: pd.DataFrame) -> list[str]:
    texts = []
    for number, row in rows.iterrows():
        parts = [f"<b>trial {number}</b>", str(row.outcome)]
        if row.accuracy == row.accuracy:
            parts.append(f"{row.accuracy:.2%} after epoch {row.epochs:.0f}")
        if row.macs == row.macs:
            parts.append(f"{row.macs:,.0f} multiply–accumulates, {row.parameters:,.0f} parameters")
        parts += [str(text) for text in (row.network, row.worker) if isinstance(text, str)]
        texts.append("<br>".join(parts))
    return texts


def _list(values: Any) -> list[Any]:
    """Rounded plain values, which are a third as long as JSON."""
    return [round(value, 4) if isinstance(value, float) else value for value in values.tolist()]


FIGURES: dict[str, Callable[[StudyTable], go.Figure | None]] = {
    "history": history,
    "importance": importance,
    "pareto": pareto,
    "savings": pruning,
    "curves": curves,
    "parallel": parallel,
    "slices": slices,
    "ranks": ranks,
    "timeline": timeline,
}
"""Figures by the names of the same pictures in `search.pictures`; None where there is nothing to draw."""
