"""A study in words, tables and pictures; knows nothing of how it was run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.study import Study
    from rich.console import Console

    from search.study import Places
    from zoo.card import Card

__all__ = ["print_summary", "write_pictures"]


def write_pictures(study: Study, folder: Path) -> list[Path]:
    """Draw the study's pictures as PNG files into a folder; returns their paths."""
    return []


def print_summary(
    console: Console,
    study: Study,
    cards: Sequence[Card],
    models: Path,
    places: Places,
    pictures: Sequence[Path],
) -> None:
    """Print the best trials, the saved networks, the pictures and the commands that come next."""
    from rich.table import Table

    from search.export import top_trials

    table = Table(title=f"Best trials of {study.study_name}")
    for column in (
        "trial",
        "accuracy",
        "macro F1",
        "parameters",
        "multiply–accumulates",
        "seconds",
        "widths",
    ):
        table.add_column(column, justify="right")
    for trial in top_trials(study, 10):
        attributes = trial.user_attrs
        value = trial.value if trial.value is not None else trial.intermediate_values[trial.last_step or 0]
        table.add_row(
            str(trial.number),
            f"{value:.4f}",
            f"{attributes.get('macro_f1', float('nan')):.4f}",
            f"{attributes['parameters']:,}",
            f"{attributes['macs']:,}",
            f"{attributes.get('seconds', float('nan')):.0f}",
            "–".join(map(str, attributes["config"]["widths"])),
        )
    console.print(table)
    for card in cards:
        low, high = card.metrics[card.validation]["accuracy_interval"]
        console.print(
            f"{models / card.name}: {card.validation} accuracy {card.accuracy:.4f} ({low:.4f}–{high:.4f}), "
            f"{card.parameters:,} parameters, {card.seconds:.0f} s"
        )
    console.print("\nNext:")
    console.print(f"  python -m search.dashboard {places.name}")
    console.print("  python -m demo")
