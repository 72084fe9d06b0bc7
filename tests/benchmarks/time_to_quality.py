"""What one command finds in an hour, from nothing; an hour long."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.measure import Figure
from zoo.card import Card
from zoo.models import CARD

__all__ = ["measure"]


def measure(data: Path | None) -> list[Figure]:
    """Validation accuracy of the network that `search.run --timeout 60m` exports, and the minutes it took."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "search.run", "--timeout", "60m", "--workers", "2"]
        command += ["--study", "hour"]
        command += ["--data", str(data.resolve())] if data else []
        started = time.perf_counter()
        # The study lies in the temporary folder; the project is found if it isn't installed, too.
        environment = {**os.environ, "PYTHONPATH": os.getcwd()}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder, env=environment)
        minutes = (time.perf_counter() - started) / 60
        card = Card.load(next(Path(folder, "models").glob(f"*/{CARD}")))
    low, high = card.metrics[card.validation]["accuracy_interval"]
    detail = f"{card.name}, 95% interval {low:.4f}–{high:.4f}, {card.macs:,} multiply–accumulates"
    return [
        Figure.at_least(f"{card.validation} accuracy after 60 minutes", card.accuracy, "", 0.655, detail),
        Figure.at_most("minutes of the whole command", minutes, "min", 60.0),
    ]
