"""What the search itself costs: 1,000 trials whose training takes no time, through everything else there is.

python -m tests.benchmarks.search_overhead --trials 1000
"""

from __future__ import annotations

import argparse
import contextlib
import math
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import psutil
import torch
from optuna.artifacts import FileSystemArtifactStore

from search.objective import Objective
from search.sampler import make_pruner, make_sampler
from search.space import SearchSpace
from search.storage import Patience, Places, open_storage
from search.study import create_study, load_study, quiet_optuna
from search.worker import Worker
from tests.benchmarks.measure import Figure
from tests.search.postgres import PostgresServer, find_postgres
from tests.search.synthetic import settings
from zoo.command import run_command
from zoo.console import stderr, stdout
from zoo.data import make_split
from zoo.data.drawn import drawn_dataset
from zoo.networks import NetworkConfig
from zoo.training.loop import EpochResult
from zoo.training.recipe import Recipe

__all__ = ["measure", "soak"]

_EPOCHS = 12
_TRIALS = 1000
_WINDOW = 50


class _Untrained:
    """Stands in for the trainer: accuracies by a formula, reported as often as a trainer's."""

    seconds = 1.0

    def __init__(self, config: Any, recipe: Recipe, dataset: Any, split: Any, **options: Any) -> None:
        self.config: NetworkConfig = config
        self.recipe = recipe
        self.history: list[EpochResult] = []
        self._answers = len(split.validation), len(dataset.classes)
        luck = np.random.default_rng(abs(hash(str(config))) % 2**32).normal(0, 0.02)
        self._best = (
            0.5 + 0.1 * (config.norm == "batch") - 0.02 * abs(math.log(recipe.batch_size / 128)) + luck
        )

    def epochs(self, *, on_step: Callable[[int, int], bool]) -> Iterator[EpochResult]:
        for epoch in range(1, self.recipe.epochs + 1):
            on_step(1, 1)
            accuracy = self._best * (1 - math.exp(-epoch / 4))
            self.history.append(EpochResult(epoch, 0.1, 1.0, accuracy, 1.0, accuracy, accuracy, 1.0))
            yield self.history[-1]

    def validation_logits(self) -> np.ndarray:
        return np.random.default_rng(0).normal(size=self._answers).astype(np.float32)


def soak(storage_url: str, folder: Path, trials: int) -> tuple[list[float], list[float]]:
    """Run trials in this process as one worker does.

    Args:
        storage_url: of an empty database.

    Returns:
        Seconds of each finished trial, and the resident memory after it in MiB.
    """
    quiet_optuna()
    torch.set_num_threads(1)
    dataset = drawn_dataset(70, 70, 70)
    split = make_split(dataset)
    study_settings = settings(epochs=_EPOCHS)
    places = Places("soak", storage_url, folder)
    create_study(places, study_settings, split)
    storage = open_storage(places, patience=Patience(60))
    sampler = make_sampler(0, 0, 0, space=SearchSpace.of(study_settings, len(split.train)))
    study = load_study(places, sampler=sampler, pruner=make_pruner(study_settings), storage=storage)
    places.artifacts.mkdir(exist_ok=True)
    objective = Objective(
        study_settings,
        dataset,
        split,
        total=trials,
        device=torch.device("cpu"),
        checkpoints=places.checkpoints,
        artifacts=FileSystemArtifactStore(places.artifacts),
    )
    worker = Worker(study, storage, objective, trials, threading.Event(), torch.device("cpu"))
    seconds, memory = [], []
    process = psutil.Process()
    with mock.patch("search.objective.Trainer", _Untrained):
        while True:
            started = time.perf_counter()
            if not worker.turn():
                return seconds, memory
            seconds.append(time.perf_counter() - started)
            memory.append(process.memory_info().rss / 2**20)
            if len(seconds) % 100 == 0:
                mean = sum(seconds[-_WINDOW:]) / _WINDOW
                stderr().print(f"trial {len(seconds)}: {mean:.3f} s a trial, {memory[-1]:.0f} MiB")


@contextlib.contextmanager
def _storages() -> Iterator[list[tuple[str, str, Path]]]:
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        found = []
        for kind in ("SQLite", "PostgreSQL"):
            folder = Path(temporary) / kind
            folder.mkdir()
            if kind == "SQLite":
                found.append((kind, f"sqlite:///{folder / 'study.db'}", folder))
            elif programs := find_postgres():
                server = stack.enter_context(PostgresServer(programs))
                found.append((kind, server.url, folder))
        yield found


def measure(data: Path | None, trials: int = _TRIALS) -> list[Figure]:
    """Seconds a trial and memory, early and late, on each storage that this machine has."""
    figures = []
    early, late = min(100, trials // 2), trials
    with _storages() as storages:
        for kind, url, folder in storages:
            seconds, memory = soak(url, folder, trials)
            window = min(_WINDOW, early)
            first = sum(seconds[early - window : early]) / window
            last = sum(seconds[late - window : late]) / window
            growth = memory[late - 1] - memory[early - 1]
            figures += [
                Figure.at_most(f"{kind}: the search's own time at trial {early}", first, "s", 0.3),
                Figure.at_most(f"{kind}: the search's own time at trial {late}", last, "s", 0.3),
                Figure.at_most(f"{kind}: growth of it", last / first, "×", 2.0),
                Figure.at_most(
                    f"{kind}: growth of memory", growth, "MiB", 100, f"to {memory[late - 1]:.0f} MiB"
                ),
            ]
    return figures


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; returns 0 whatever the figures are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=_TRIALS)
    for figure in measure(None, parser.parse_args(argv).trials):
        reached = "reached" if figure.reached else "MISSED"
        stdout().print(f"{figure.measure}: {figure.value:.3f} {figure.unit} ({figure.target}: {reached})")
    return 0


if __name__ == "__main__":
    run_command(main)
