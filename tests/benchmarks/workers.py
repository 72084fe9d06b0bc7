"""Trials an hour of two workers over one, on the same trials; minutes long."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna

from search.recovery import NETWORK
from search.study import quiet_optuna
from tests.benchmarks.measure import Figure

__all__ = ["measure"]

_TRIALS = 14


def measure(data: Path | None) -> list[Figure]:
    """Ratio of the wall times of a study of 14 short trials without pruning, start-up included.

    The first study's trials are the second's queue. One worker trains with as many threads as there are
    cores.
    """
    quiet_optuna()
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        for workers in (1, 2):
            if workers == 2:
                _queue_again(folder)
            command = [sys.executable, "-m", "search.run", "--trials", str(_TRIALS), "--pruner", "none"]
            command += ["--epochs", "1", "--export", "0", "--max-macs", "20M", "--workers", str(workers)]
            command += ["--storage", _storage(folder, workers), "--study", f"workers-{workers}"]
            command += ["--data", str(data.resolve())] if data else []
            environment = {**os.environ, "PYTHONPATH": os.getcwd()}
            started = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, cwd=folder, env=environment)
            seconds[workers] = time.perf_counter() - started
    detail = f"{seconds[1]:.0f} s with one worker, {seconds[2]:.0f} s with two"
    return [Figure.at_least("trials an hour, 2 workers over 1", seconds[1] / seconds[2], "×", 1.4, detail)]


def _storage(folder: str, workers: int) -> str:
    return f"sqlite:///{folder}/workers-{workers}.db"


def _queue_again(folder: str) -> None:
    """Make the second study, with the first one's attributes and its trials as its queue."""
    first = optuna.load_study(study_name="workers-1", storage=_storage(folder, 1))
    second = optuna.create_study(study_name="workers-2", storage=_storage(folder, 2), direction="maximize")
    # Without its settings it would be waited for, as if another machine were setting it up.
    for name, value in first.user_attrs.items():
        second.set_user_attr(name, value)
    for trial in first.trials:
        known = {NETWORK: trial.user_attrs[NETWORK]} if NETWORK in trial.user_attrs else None
        second.enqueue_trial(trial.system_attrs.get("fixed_params", trial.params), user_attrs=known)
