"""Cards of the saved models → scoreboard, plot and the chosen model's page; knows no pictures."""

from __future__ import annotations

from html import escape
from typing import Any

from demo.charts import Point, pareto_chart
from demo.library import Entry, Library, in_figures
from demo.markup import bars, table

__all__ = ["board", "model_page", "models_to_json"]

_RECALL = "Share of the faces that annotators gave this label and the network, too (recall)"


def board(library: Library, chosen: str) -> str:
    """Accuracy against cost, and a table of all models, the chosen one marked."""
    points, rows = [], []
    for entry in library.entries.values():
        score = _score(entry)
        low, high = score["accuracy_interval"]
        place = max(1, entry.card.macs), score["accuracy"], low, high
        points.append(Point(entry.name, *place, entry.comparable))
        rows.append(
            (
                entry.name,
                f"{score['accuracy']:.1%}",
                f"{low * 100:.1f}–{high:.1%}",
                f"{score['balanced_accuracy']:.1%}",
                f"{score['macro_f1']:.2f}",
                _amount(entry.card.parameters),
                _amount(entry.card.macs),
                in_figures(entry.milliseconds),
                _measured_on(entry).removesuffix(".csv"),
            )
        )
    headings = (
        "network", "accuracy", "95% interval", "balanced", "macro F1", "weights", "mult–adds", "ms a face",
        "measured on",
    )  # fmt: skip
    names = list(library.entries)
    marked = names.index(chosen) if chosen in names else None
    apart = not all(entry.comparable for entry in library.entries.values())
    caption = (
        f"All networks, the most accurate first{', those measured on other faces last' if apart else ''}; "
        "milliseconds are of this machine"
    )
    return pareto_chart(points, chosen=chosen) + table(headings, rows, caption=caption, marked=marked)


def model_page(entry: Entry) -> str:
    """One model: its card in words, recall by class, confusion matrix."""
    card, score = entry.card, _score(entry)
    drawn = (
        "<p class=warning>It learned from drawn faces, so its answers about photographs mean little.</p>"
        if card.data.get("drawn")
        else ""
    )
    facts = {
        "accuracy": f"{score['accuracy']:.1%} on {_measured_on(entry)}, {score['faces']} faces",
        "right among its two best guesses": f"{score['top2']:.1%}",
        "weights": _amount(card.parameters),
        "multiply–accumulates a face": _amount(card.macs),
        "calibration error": f"{score['ece']:.1%} as trained, {score['ece_calibrated']:.1%} as shown",
        "called unsure below": f"{card.unsure_below:.0%}",
        "trained": f"{f'{card.epoch} epochs kept of {len(card.history)}, ' if card.history else ''}"
        f"{card.seconds / 60:.0f} minutes{f' on {card.device}' if card.device else ''}",
    }
    if card.study:
        facts["found by"] = f"study {card.study}, trial {card.trial}"
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    note = f"<p>{escape(card.note)}</p>" if card.note else ""
    recalls = {name: row["recall"] for name, row in score["per_class"].items()}
    return (
        f'<section class="model"><div><h3>{escape(entry.name)}</h3>{note}{drawn}<dl>{listed}</dl>'
        f"<h4>Intended use</h4><p>{escape(card.intended_use)}</p>"
        f"<h4>Limits</h4><p>{escape(card.limits)}</p></div>"
        f"<div><h4>How well each expression is found</h4>{bars(recalls, caption=_RECALL)}"
        f"<h4>What is taken for what</h4>{_confusion(card.classes, score['confusion'])}</div></section>"
    )


def _confusion(classes: tuple[str, ...], counts: list[list[int]]) -> str:
    """The confusion matrix: shares of each row as tone and number, counts in the tooltip."""
    head = "".join(f'<th scope="col"><span>{escape(name)}</span></th>' for name in classes)
    body = ""
    for name, row in zip(classes, counts, strict=True):
        total = max(1, sum(row))
        cells = "".join(
            f'<td style="--share:{count / total:.3f}"'
            f' title="{count} of {total}: {escape(name)} taken for {escape(other)}">{count / total:.0%}</td>'
            for other, count in zip(classes, row, strict=True)
        )
        body += f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>'
    return (
        '<div class="scroll" tabindex="0"><table class="confusion">'
        "<caption>Rows are what annotators said, columns what the network answers</caption>"
        f"<thead><tr><td></td>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def models_to_json(library: Library) -> list[dict[str, Any]]:
    """Plain values of the scoreboard."""
    return [
        {
            "name": entry.name,
            "accuracy": round(entry.card.accuracy, 4),
            "accuracy_interval": [round(value, 4) for value in _score(entry)["accuracy_interval"]],
            "measured_on": _measured_on(entry),
            "parameters": entry.card.parameters,
            "macs": entry.card.macs,
            "milliseconds": round(entry.milliseconds, 2),
            "classes": list(entry.card.classes),
            "unsure_below": entry.card.unsure_below,
        }
        for entry in library.entries.values()
    ]


def _score(entry: Entry) -> dict[str, Any]:
    return entry.card.metrics[entry.card.validation]


def _measured_on(entry: Entry) -> str:
    name = entry.card.data.get("name", "")
    return f"{entry.card.validation} of {name}" if name else entry.card.validation


def _amount(value: float) -> str:
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}"
    return f"{value:.0f}"
