"""A study's report as HTML and Markdown: puts sentences, tables and pictures together; computes none."""

from __future__ import annotations

import base64
import contextlib
import datetime
import html
import sys
from collections.abc import Sequence
from pathlib import Path

from optuna.artifacts import download_artifact, get_all_artifact_meta
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial

from search.analysis import basis_of, effects, importances, sampled
from search.export import top_trials
from search.figures import FIGURES
from search.findings import findings, said_basis, said_effect
from search.page import commands
from search.pictures import PICTURES, draw
from search.storage import Places, make_folder
from search.stores import artifacts_of, stores_together
from search.table import StudyTable, words_of
from zoo.errors import first_line
from zoo.output import whole_file

__all__ = ["best_rows", "write_report"]

_TOLD_TRIALS = 15
_TITLES = {
    "history": "History",
    "importance": "Importance",
    "pareto": "Accuracy against cost",
    "savings": "What stopping early saved",
    "curves": "Learning curves",
    "parallel": "Parallel coordinates",
    "slices": "Slices",
    "ranks": "Early and late",
    "timeline": "Timeline",
}
_ABOUT_EFFECTS = (
    "Importance is PED-ANOVA's share; p is by Spearman's or Kruskal and Wallis's test, adjusted for the "
    "number of parameters. The sampler prefers what did well, so parameters vary together: an effect is no "
    "experiment."
)
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #22262b; background: #f6f7f9; margin: 0; }
main { max-width: 1080px; margin: 0 auto; padding: 16px; }
h1 { margin: 16px 0 0; } h2 { margin: 0 0 8px; font-size: 20px; }
section { background: white; border: 1px solid #e4e7eb; border-radius: 8px; padding: 16px; margin: 16px 0; }
.muted { color: #5c646e; } .wide { overflow-x: auto; } img { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: 4px 10px; text-align: right; border-bottom: 1px solid #e4e7eb; vertical-align: top; }
td { white-space: nowrap; } th { vertical-align: bottom; } .words { text-align: left; }
td.words:nth-child(4) { white-space: normal; min-width: 320px; }
h3 { margin: 24px 0 0; font-size: 16px; } li { margin: 4px 0; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f6f7f9; padding: 10px; font-size: 13px; }
#parallel { min-width: 900px; } #slices { min-width: 720px; }
"""
# Columns of words, by their places; the others are numbers.
_BEST_WORDS, _PARAMETER_WORDS = (0, 7, 9), (0, 3)


def best_rows(table: StudyTable, trials: Sequence[FrozenTrial]) -> tuple[list[str], list[list[str]]]:
    """Headings and one row of text for each of these trials, whose configs and figures it shows."""
    headings = ["trial", "accuracy", "95% interval", "macro F1", "parameters", "multiply–accumulates"]
    headings += ["seconds", "widths", "inceptions", "from"]
    rows = []
    for trial in trials:
        row, attributes = table.rows.loc[trial.number], trial.user_attrs
        interval = attributes.get("metrics", {}).get("accuracy_interval")
        if interval is None:
            interval = f"after epoch {row.epochs:.0f}"
        else:
            interval = "–".join(f"{bound:.4f}" for bound in interval)
        # Of training: a trial that went on from a checkpoint began earlier than its row says.
        seconds = attributes.get("seconds", row.seconds)
        rows.append(
            [
                str(trial.number),
                f"{row.accuracy:.4f}",
                interval,
                f"{row.macro_f1:.4f}" if row.macro_f1 == row.macro_f1 else "",
                f"{row.parameters:,.0f}",
                f"{row.macs:,.0f}",
                f"{seconds:.0f}" if seconds == seconds else "",
                "–".join(map(str, attributes["config"]["widths"])),
                str(attributes["config"].get("inceptions", 0)),
                row.network if isinstance(row.network, str) else "search",
            ]
        )
    return headings, rows


def write_report(study: Study, storage: BaseStorage, places: Places, folder: Path) -> list[Path]:
    """Write `report.html`, which needs no other file and no network, and `report.md` with its PNG files.

    Works on a study of any size, without trials, too.

    Args:
        storage: of the study, for the best trial's own pictures.
        folder: is made if need be.

    Returns:
        The paths of everything written.
    """
    make_folder(folder)
    table = StudyTable.of(study)
    pictures = draw(table, folder, list(PICTURES))
    of_best = _pictures_of_best(study, storage, places, table, folder)
    said = findings(table)
    best = best_rows(table, top_trials(table, _TOLD_TRIALS))
    parameters = _effect_rows(table)
    markdown, page = folder / "report.md", folder / "report.html"
    with whole_file(markdown) as file:
        file.write(_markdown(table, places, said, best, parameters, pictures, of_best))
    with whole_file(page) as file:
        file.write(_html(table, places, said, best, parameters, of_best))
    return [page, markdown, *pictures, *of_best]


def _effect_rows(table: StudyTable) -> tuple[list[str], list[list[str]]]:
    """Headings, and a row for each parameter: name, importance, trials, effect."""
    if not len(table.learned):
        return [], []
    basis = sampled(table, basis_of(table))
    shares = importances(table, basis)
    said = {name: f"{share:.1%}" for name, share in shares.items()}
    rows = [
        [words_of(e.parameter), said.get(e.parameter, "–"), f"{e.trials:,}", said_effect(e)]
        for e in sorted(effects(table, basis), key=lambda e: -shares.get(e.parameter, 0.0))
    ]
    importance = f"importance ({len(basis.accuracy):,} sampled trials)"
    median = f"median accuracy {said_basis(basis, 'sampled trial')}"
    return ["parameter", importance, "trials", median], rows


def _pictures_of_best(
    study: Study, storage: BaseStorage, places: Places, table: StudyTable, folder: Path
) -> list[Path]:
    """Fetch the best trial's learning curves and confusion matrix; a note says why they can't be had."""
    kept = get_all_artifact_meta(table.best, storage=storage) if table.best is not None else []
    pictures = [meta for meta in kept if meta.filename in ("curves.png", "confusion.png")]
    if not pictures:
        return []
    paths = []
    try:
        store = stores_together([artifacts_of(study, places)])
        if store is None:
            return []
        for meta in pictures:
            path = folder / f"best_{meta.filename}"
            path.unlink(missing_ok=True)
            with contextlib.suppress(ArtifactNotFound):
                download_artifact(artifact_store=store, artifact_id=meta.artifact_id, file_path=str(path))
                paths.append(path)
    except Exception as error:  # of whatever kind a bucket's client raises
        print(f"note: the best trial's own pictures can't be had ({first_line(error)})", file=sys.stderr)
    return sorted(paths)


def _lead(table: StudyTable) -> str:
    settings = table.settings
    limit = f"at most {settings.max_macs:,} multiply–accumulates, " if settings.max_macs else ""
    return (
        f"{settings.data}, {len(settings.classes)} classes, {limit}{settings.epochs} epochs a trial, "
        f"pruner {settings.pruner}; as of {datetime.datetime.now():%Y-%m-%d %H:%M}"
    )


def _markdown(
    table: StudyTable,
    places: Places,
    said: Sequence[str],
    best: tuple[list[str], list[list[str]]],
    parameters: tuple[list[str], list[list[str]]],
    pictures: Sequence[Path],
    of_best: Sequence[Path],
) -> str:
    parts = [f"# Study {table.name}", _lead(table), "## In words"]
    parts.append("\n".join(f"- {sentence}" for sentence in said))
    if best[1]:
        parts += ["## Best trials", _markdown_table(*best, _BEST_WORDS)]
    for path in of_best:
        parts.append(f"![best trial, {path.stem.removeprefix('best_')}]({path.name})")
    for path in pictures:
        parts += [f"## {_TITLES[path.stem]}", f"![{_TITLES[path.stem]}]({path.name})"]
    if parameters[1]:
        parts += ["## Parameters", _markdown_table(*parameters, _PARAMETER_WORDS), _ABOUT_EFFECTS]
    parts += ["## Commands", "```\n" + "\n".join(commands(table, places)) + "\n```"]
    return "\n\n".join(parts) + "\n"


def _markdown_table(headings: list[str], rows: list[list[str]], words: Sequence[int]) -> str:
    lines = [headings, [":--" if place in words else "--:" for place in range(len(headings))], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _html(
    table: StudyTable,
    places: Places,
    said: Sequence[str],
    best: tuple[list[str], list[list[str]]],
    parameters: tuple[list[str], list[list[str]]],
    of_best: Sequence[Path],
) -> str:
    from plotly.offline import get_plotlyjs

    title = html.escape(f"Study {table.name}")
    items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in said)
    sections = [_section("In words", f"<ul>{items}</ul>")]
    if best[1]:
        images = "".join(
            f'<img alt="{html.escape(path.stem)}" src="data:image/png;base64,'
            f'{base64.b64encode(path.read_bytes()).decode()}">'
            for path in of_best
        )
        if images and table.best is not None:
            images = f"<h3>Trial {table.best.number}</h3>{images}"
        sections.append(_section("Best trials", _html_table(*best, _BEST_WORDS) + images))
    for name, figure_of in FIGURES.items():
        figure = figure_of(table)
        if figure is not None:
            heading = figure.layout.title.text
            # Plotly breaks no lines: the title is the section's, and the legend makes itself room.
            figure.update_layout(title=None, margin_t=70 if name == "parallel" else 30)
            config = {"displaylogo": False, "responsive": True}
            drawn = figure.to_html(full_html=False, include_plotlyjs=False, config=config, div_id=name)
            sections.append(_section(heading, f'<div class="wide">{drawn}</div>'))
    if parameters[1]:
        about = f'<p class="muted">{html.escape(_ABOUT_EFFECTS)}</p>'
        sections.append(_section("Parameters", _html_table(*parameters, _PARAMETER_WORDS) + about))
    shown = html.escape("\n".join(commands(table, places)))
    sections.append(_section("Commands", f"<pre>{shown}</pre>"))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style><script>{get_plotlyjs()}</script></head>"
        f'<body><main><h1>{title}</h1><p class="muted">{html.escape(_lead(table))}</p>'
        f"{''.join(sections)}</main></body></html>\n"
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{html.escape(title)}</h2>{body}</section>"


def _html_table(headings: list[str], rows: list[list[str]], words: Sequence[int]) -> str:
    def row(tag: str, cells: list[str]) -> str:
        classes = [' class="words"' if place in words else "" for place in range(len(cells))]
        filled = zip(classes, cells, strict=True)
        return f"<tr>{''.join(f'<{tag}{kind}>{html.escape(cell)}</{tag}>' for kind, cell in filled)}</tr>"

    body = "".join(row("td", cells) for cells in rows)
    head = row("th", headings)
    return f'<div class="wide"><table><thead>{head}</thead><tbody>{body}</tbody></table></div>'
