"""Progress and words on stderr, results on stdout; the only place that knows how a terminal is drawn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

__all__ = ["face_bar", "progress_bar", "stderr", "stdout"]


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


class _TimeLeft(TimeRemainingColumn):
    """By the speed so far, or up to `ends` of the task, on the clock of `time.monotonic()`."""

    def render(self, task: Task) -> Text:
        ends = task.fields.get("ends")
        if ends is None:
            return super().render(task)
        left = timedelta(seconds=max(0, round(ends - time.monotonic())))
        return Text(str(left), style="progress.remaining")


def progress_bar(console: Console) -> Progress:
    """A bar with counts, time gone and time left; silent where stderr is no terminal."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        _TimeLeft(),
        TextColumn("{task.fields[status]}", markup=False),
        console=console,
        disable=not console.is_terminal,
    )


@contextmanager
def face_bar(description: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr for as long as faces are answered; yields what is to be told how many of how many."""
    with progress_bar(stderr()) as bar:
        task = bar.add_task(description, total=None, status="faces")
        yield lambda done, total: bar.update(task, completed=done, total=total)
