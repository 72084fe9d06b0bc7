"""Progress and words on stderr, results on stdout; the only place that knows how a terminal is drawn."""

from __future__ import annotations

from typing import Any

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
    return _plain(stderr=True)


def stdout() -> Console:
    """Where results go; as wide as their tables when piped, so that no column is cut."""
    console = _plain()
    return console if console.is_terminal else _plain(width=200)


def _plain(**options: Any) -> Console:
    """Prints words as they are: names of files and classes may look like markup."""
    return Console(highlight=False, markup=False, emoji=False, **options)


def progress_bar(console: Console) -> Progress:
    """A bar with counts, time gone and time left; silent where stderr is no terminal."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[status]}", markup=False),
        console=console,
        disable=not console.is_terminal,
    )
