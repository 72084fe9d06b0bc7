"""How long a command takes to say what it can do, and that it imports no torch for it."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks.measure import Figure

__all__ = ["measure"]

_COMMANDS = ("search.run", "demo")


def measure(data: Path | None) -> list[Figure]:
    """Median seconds of five `--help` runs of each command."""
    figures = []
    for command in _COMMANDS:
        seconds = []
        for _ in range(5):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-m", command, "--help"], check=True, capture_output=True)
            seconds.append(time.perf_counter() - started)
        name = f"python -m {command} --help"
        figures.append(Figure.at_most(name, statistics.median(seconds), "s", 1.0))
    return figures
