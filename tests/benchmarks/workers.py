"""Trials an hour of two workers over one, on the same trials; minutes long."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.measure import Figure

__all__ = ["measure"]

_TRIALS = 8


def measure(data: Path | None) -> list[Figure]:
    """Ratio of the wall times of a study of 8 trials without pruning, start-up included."""
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        for workers in (1, 2):
            command = [sys.executable, "-m", "search.run", "--trials", str(_TRIALS), "--pruner", "none"]
            command += ["--epochs", "2", "--export", "0", "--max-macs", "20M", "--workers", str(workers)]
            command += [
                "--storage",
                f"sqlite:///{folder}/workers-{workers}.db",
                "--study",
                f"workers-{workers}",
            ]
            command += ["--data", str(data)] if data else []
            started = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds[workers] = time.perf_counter() - started
    detail = f"{seconds[1]:.0f} s with one worker, {seconds[2]:.0f} s with two"
    return [Figure.at_least("trials an hour, 2 workers over 1", seconds[1] / seconds[2], "×", 1.4, detail)]
