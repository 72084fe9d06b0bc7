"""Progress and words on stderr, results on stdout; the only place that knows how a terminal is drawn."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["progress_bar", "stderr", "stdout"]


def stderr() -> Console:
    """Where progress and notes go."""
    return Console(stderr=True, highlight=False)


def stdout() -> Console:
    """Where results go; as wide as their tables when piped, so that no column is cut."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=200)


def progress_bar(console: Console) -> Progress:
    """A bar with counts, time gone and time left; silent where stderr is no terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[status]}"),
        console=console,
        disable=not console.is_terminal,
    )
