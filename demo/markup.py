"""Answers → fragments of HTML that follow the page's light or dark theme; knows no network and no Gradio.

Every text that comes from a file or a visitor is escaped here.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from demo.draw import colour_of, data_address, overlay
from demo.recognise import Answer, percent

__all__ = ["answer_card", "bars", "csv_link", "message", "sentence", "table"]


def message(title: str, text: str = "", *, kind: str = "plain", announced: bool = True) -> str:
    """A box with a title and a text, plain text both.

    Args:
        kind: plain, good, unsure or none.
        announced: screen readers read it when it changes; not for what changes many times a second.
    """
    body = f"<p>{escape(text)}</p>" if text else ""
    role = ' role="status"' if announced else ""
    return f'<div class="message {escape(kind)}"{role}><strong>{escape(title)}</strong>{body}</div>'


def sentence(answer: Answer) -> tuple[str, str]:
    """A title and a line for one answer, in plain words."""
    ranked = sorted(answer.probabilities.items(), key=lambda item: -item[1])
    (first, best), (second, next_best) = ranked[:2]
    if answer.unsure:
        return "Unsure", f"Perhaps {first} ({percent(best)}), perhaps {second} ({percent(next_best)})."
    return f"Looks {_adjective(first)}", f"{percent(best)}; next comes {second} with {percent(next_best)}."


def _adjective(expression: str) -> str:
    return {"fear": "afraid", "disgust": "disgusted", "surprise": "surprised"}.get(expression, expression)


def bars(values: Mapping[str, float], *, caption: str) -> str:
    """A table of shares as bars, in the order given; `caption` is read to those who can't see it."""
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        f'<td class="track"><span style="width:{value:.1%};background:{colour_of(name)}"></span></td>'
        f'<td class="number">{percent(value)}</td></tr>'
        for name, value in values.items()
    )
    return f'<table class="bars"><caption>{escape(caption)}</caption><tbody>{rows}</tbody></table>'


def answer_card(answer: Answer, *, network: str, heat: np.ndarray | None = None) -> str:
    """One face as one network sees it: crop, what the answer rests on, words and bars."""
    title, line = sentence(answer)
    pictures = _figure(
        data_address(answer.crop), "what the network sees", "the face in gray, 48 by 48 pixels"
    )
    if heat is not None:
        about = f"bright where hiding it costs “{answer.expression}” most"
        warm = data_address(overlay(answer.crop, heat), kind="jpeg")
        pictures += _figure(warm, about, f"the face, {about}")
    tone = colour_of(answer.expression)
    return (
        f'<article class="answer{" unsure" if answer.unsure else ""}" style="--tone:{tone}">'
        f'<header><p class="network">{escape(network)}</p><h3>{escape(title)}</h3>'
        f"<p>{escape(line)}</p></header>"
        f'<div class="crops">{pictures}</div>'
        f"{bars(answer.probabilities, caption=f'Probabilities by {network}')}</article>"
    )


def _figure(address: str, caption: str, alternative: str) -> str:
    return (
        f'<figure><img src="{address}" alt="{escape(alternative)}" width="144" height="144">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def table(
    headings: Sequence[str], rows: Sequence[Sequence[object]], *, caption: str, marked: int | None = None
) -> str:
    """A table that scrolls sideways when the page is narrow; numbers are set right; one row may be marked."""

    def numeric(cell: object) -> str:
        return " class=number" if isinstance(cell, int | float) or _is_number(str(cell)) else ""

    first = rows[0] if rows else [""] * len(headings)
    head = "".join(
        f'<th scope="col"{numeric(cell)}>{escape(heading)}</th>'
        for heading, cell in zip(headings, first, strict=True)
    )
    body = "".join(
        f"<tr{' class=marked' if index == marked else ''}>"
        + "".join(f"<td{numeric(cell)}>{escape(str(cell))}</td>" for cell in row)
        + "</tr>"
        for index, row in enumerate(rows)
    )
    return (
        '<div class="scroll" tabindex="0"><table class="plain">'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _is_number(cell: str) -> bool:
    """A number, share or interval, or none; but not a file's name that begins with a date."""
    return re.fullmatch(r"−|[<>]?\d[\d.,]*(–\d[\d.,]*)?%?( [kMG])?", cell) is not None


def csv_link(text: str, name: str) -> str:
    """A link that saves a CSV text; it holds the text itself, so no file is left on the server."""
    packed = base64.b64encode(text.encode("utf-8-sig")).decode()
    return (
        f'<a class="download" download="{escape(name)}" href="data:text/csv;base64,{packed}">Save as CSV</a>'
    )
