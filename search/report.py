"""`python -m search.report STUDY --out DIR`: a study in words, tables and pictures, as HTML and Markdown."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.command import run_command

if TYPE_CHECKING:
    from optuna.study import Study
    from rich.console import Console

    from search.storage import Places
    from zoo.card import Card

__all__ = ["main", "print_summary", "write_pictures"]

_PICTURES = ("history", "importance", "pareto", "savings", "curves")
_TOLD_TRIALS = 10


def write_pictures(study: Study, folder: Path) -> list[Path]:
    """Draw the study's main pictures as PNG files into a folder; returns the paths of those drawn.

    They are history, importance, accuracy against multiply–accumulates, what stopping early saved, and
    learning curves; without trials for it, a picture is left out.
    """
    from search.pictures import draw
    from search.table import StudyTable

    return draw(StudyTable.of(study), folder, _PICTURES)


def print_summary(
    console: Console,
    study: Study,
    cards: Sequence[Card],
    models: Path,
    places: Places,
    pictures: Sequence[Path],
    data: str,
) -> None:
    """Print the best trials, where they come from, saved networks, pictures and the commands that come next.

    Args:
        cards: of the networks that were trained in full, saved below `models`.
        data: see `search.page.data_options`.
    """
    from rich.table import Table

    from search.document import best_rows
    from search.export import top_trials
    from search.findings import findings
    from search.page import next_commands
    from search.table import StudyTable

    table = StudyTable.of(study)
    headings, rows = best_rows(table, top_trials(table, _TOLD_TRIALS))
    printed = Table(title=f"Best trials of {study.study_name}")
    for heading in headings:
        printed.add_column(heading, justify="left" if heading == "from" else "right")
    for row in rows:
        printed.add_row(*row)
    if rows:
        console.print(printed)
    for sentence in findings(table):
        console.print(f"• {sentence}", soft_wrap=True)
    if cards:
        console.print("\nSaved networks:")
    for card in cards:
        low, high = card.metrics[card.validation]["accuracy_interval"]
        console.print(
            f"  {models / card.name}: {card.validation} accuracy {card.accuracy:.4f} ({low:.4f}–{high:.4f}), "
            f"{card.parameters:,} parameters, {card.macs:,} multiply–accumulates, {card.seconds:.0f} s",
            soft_wrap=True,
        )
    if pictures:
        names = ", ".join(path.name for path in pictures)
        console.print(f"\nPictures in {pictures[0].parent}: {names}", soft_wrap=True)
    console.print("\nNext:")
    for line in next_commands(table, places, data, [models / card.name for card in cards]):
        console.print(f"  {line}", soft_wrap=True, markup=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the report; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m search.report", description=__doc__)
    parser.add_argument("study", help="name of the study")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to (default: studies/STUDY/report)")
    parser.add_argument("--storage", metavar="URL", help="default: sqlite:///studies/STUDY/study.db")
    options = parser.parse_args(argv)

    from search.document import write_report
    from search.storage import Places, open_storage, storage_errors
    from search.study import load_study, quiet_optuna

    quiet_optuna()
    places = Places.of(options.study, options.storage)
    with storage_errors(places):
        storage = open_storage(places)
        study = load_study(places, storage=storage)
        for path in write_report(study, storage, places, options.out or places.folder / "report"):
            print(path)
    return 0


if __name__ == "__main__":
    run_command(main)
