"""What sampler and pruner are worth: four small studies of the same space and faces, with three seeds.

python -m tests.benchmarks.search_quality --picture search_quality.png

The studies are ours; ours without pruning; random search with our pruner; and Optuna's defaults, which are
independent TPE and the median pruner. None begins with published networks, and all stop networks that are
over the limit. What pruning saves and loses is told by the study without it, whose curves the pruner is
shown as they come: between two studies chance would make a larger difference. (That a study also stops
networks of one answer has no part in this.) About 50 minutes of one core.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
import torch
from optuna.artifacts import FileSystemArtifactStore
from optuna.trial import TrialState
from scipy import stats

from search.objective import Objective
from search.sampler import make_pruner, make_sampler
from search.space import SearchSpace
from search.study import quiet_optuna
from tests.benchmarks.measure import Figure
from tests.search.synthetic import settings
from zoo.command import run_command
from zoo.console import progress_bar, stderr, stdout
from zoo.data import make_split
from zoo.data.drawn import drawn_dataset
from zoo.training.pictures import BLUE, GRAY, GREEN, GRID, ORANGE, new_figure, save_figure

__all__ = ["measure", "run_study"]

_ARMS = {
    "ours": BLUE,
    "ours, no pruning": GREEN,
    "random, our pruner": ORANGE,
    "Optuna's defaults": GRAY,
}
_SEEDS = (0, 1, 2)
_EPOCHS = 12  # of a trial on FER2013, by default


@dataclass(frozen=True)
class _Size:
    """How much is run: faces to train and to select on, limit, trained trials, epochs to compare at."""

    training: int = 1000
    validation: int = 600
    macs: int = 4_000_000
    trials: int = 30
    epochs: int = 240


@dataclass(frozen=True)
class _Run:
    """A study: arm, seed, and the curve of every trial that was trained, in the order of their starts."""

    arm: str
    seed: int
    curves: list[list[float]]

    def best_after(self, epochs: int) -> float:
        """The best accuracy of a trained-to-the-end trial within so many epochs of the whole study."""
        best, spent = 0.0, 0
        for curve in self.curves:
            spent += len(curve)
            if spent > epochs:
                break
            if len(curve) == _EPOCHS:
                best = max(best, curve[-1])
        return best


def run_study(arm: str, seed: int, size: _Size) -> _Run:
    """Run one study in this process, on one thread: so many trained trials without pruning, else epochs."""
    quiet_optuna()
    torch.set_num_threads(1)
    dataset = drawn_dataset(size.training, size.validation, 7)
    split = make_split(dataset)
    study_settings = settings(
        epochs=_EPOCHS,
        max_macs=size.macs,
        pruner="none" if arm == "ours, no pruning" else "halving",
        seed=seed,
    )
    samplers = {
        "random, our pruner": optuna.samplers.RandomSampler(seed),
        "Optuna's defaults": optuna.samplers.TPESampler(seed=seed),
    }
    pruner = optuna.pruners.MedianPruner() if arm == "Optuna's defaults" else make_pruner(study_settings)
    with tempfile.TemporaryDirectory() as folder:
        study = optuna.create_study(
            storage=f"sqlite:///{folder}/study.db",
            direction="maximize",
            sampler=samplers.get(
                arm, make_sampler(seed, 0, 0, space=SearchSpace.of(study_settings, len(split.train)))
            ),
            pruner=pruner,
        )
        objective = Objective(
            study_settings,
            dataset,
            split,
            total=100_000,
            device=torch.device("cpu"),
            checkpoints=Path(folder),
            artifacts=FileSystemArtifactStore(folder),
        )

        def stop_when_done(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
            objective.forget()
            curves = _curves(study)
            whole = study_settings.pruner == "none"
            if len(curves) >= size.trials if whole else sum(map(len, curves)) >= size.epochs:
                study.stop()

        study.optimize(objective, callbacks=[stop_when_done])
        return _Run(arm, seed, _curves(study))


def _curves(study: optuna.Study) -> list[list[float]]:
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return [list(trial.intermediate_values.values()) for trial in trials if trial.intermediate_values]


def _task(task: tuple[str, int, _Size]) -> _Run:
    return run_study(*task)


def _run_all(size: _Size, workers: int) -> list[_Run]:
    tasks = [(arm, seed, size) for seed in _SEEDS for arm in _ARMS]
    runs = []
    with multiprocessing.get_context("spawn").Pool(workers) as pool, progress_bar(stderr()) as progress:
        task = progress.add_task("studies", total=len(tasks), status="")
        for run in pool.imap_unordered(_task, tasks):
            runs.append(run)
            progress.advance(task)
    return runs


def _pruned(curves: list[list[float]]) -> list[list[float]]:
    """What our pruner leaves of the curves of trials that ran one after the other."""
    study = optuna.create_study(direction="maximize", pruner=make_pruner(settings(epochs=_EPOCHS)))
    left = []
    for curve in curves:
        trial = study.ask()
        for epoch, accuracy in enumerate(curve, start=1):
            trial.report(accuracy, epoch)
            if trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
                break
        else:
            study.tell(trial, curve[-1])
        left.append(curve[:epoch])
    return left


def _figures(runs: list[_Run], size: _Size) -> list[Figure]:
    found = {(run.arm, run.seed): run for run in runs}
    shares, losses, ranks, numbers = [], [], [], []
    for seed in _SEEDS:
        whole = found["ours, no pruning", seed].curves
        pruned = _pruned(whole)
        shares.append(sum(map(len, pruned)) / (len(pruned) * _EPOCHS))
        best = [max(c[-1] for c in curves if len(c) == _EPOCHS) for curves in (whole, pruned)]
        losses.append(best[0] - best[1])
        rung = -(-_EPOCHS // 12)
        ended = [curve for curve in whole if len(curve) == _EPOCHS]
        ranks.append(float(stats.spearmanr([c[rung - 1] for c in ended], [c[-1] for c in ended]).statistic))
        numbers.append(str(len(ended)))
    best_after = {
        arm: [found[arm, seed].best_after(size.epochs) for seed in _SEEDS]
        for arm in _ARMS
        if arm != "ours, no pruning"
    }
    means = {arm: statistics.mean(values) for arm, values in best_after.items()}
    each = "; ".join(f"{arm} {' '.join(f'{v:.3f}' for v in values)}" for arm, values in best_after.items())
    return [
        Figure.at_most(
            f"epochs trained with pruning, of {size.trials} trials × {_EPOCHS}",
            statistics.mean(shares),
            "",
            0.35,
            f"seeds: {' '.join(f'{share:.2f}' for share in shares)}",
        ),
        Figure.at_most(
            "best accuracy lost by pruning",
            statistics.mean(losses) * 100,
            "points",
            0.5,
            f"seeds: {' '.join(f'{loss * 100:.1f}' for loss in losses)}",
        ),
        *(
            Figure.at_least(
                f"best accuracy after {size.epochs} epochs in all: ours over {arm}",
                (means["ours"] - means[arm]) * 100,
                "points",
                0.0,
                each,
            )
            for arm in ("random, our pruner", "Optuna's defaults")
        ),
        Figure.at_least(
            f"rank correlation of epochs {rung} and {_EPOCHS}, without pruning",
            statistics.mean(ranks),
            "",
            0.6,
            f"seeds: {' '.join(f'{rank:.2f}' for rank in ranks)}; {', '.join(numbers)} trials",
        ),
    ]


def _draw(runs: list[_Run], size: _Size, path: Path) -> None:
    figure = new_figure(9, 4.6)
    axes = figure.subplots()
    epochs = np.arange(0, size.epochs + 1, _EPOCHS // 2)
    for arm, colour in _ARMS.items():
        curves = np.array([[run.best_after(int(e)) for e in epochs] for run in runs if run.arm == arm])
        axes.plot(epochs, curves.mean(axis=0), color=colour, label=arm, linewidth=2)
        axes.fill_between(epochs, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.12, lw=0)
    axes.set(xlabel="epochs trained in all", ylabel="best accuracy of a finished trial, 0 before")
    axes.set_title(f"Mean and range of {len(_SEEDS)} seeds, drawn faces")
    axes.grid(color=GRID)
    axes.legend(frameon=False, loc="lower right")
    save_figure(figure, path)


def measure(data: Path | None, picture: Path | None = None, workers: int = 2) -> list[Figure]:
    """Epochs that pruning saves, best accuracy against other searches, rank correlation of the first rung.

    Always on drawn faces: a study without pruning takes too long on real ones.
    """
    quiet_optuna()
    size = _Size()
    runs = _run_all(size, workers)
    if picture:
        _draw(runs, size, picture)
    return _figures(runs, size)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; returns 0 whatever the figures are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--picture", type=Path, help="PNG of the best accuracies against epochs")
    parser.add_argument("--workers", type=int, default=2, help="studies at once (default: 2)")
    options = parser.parse_args(argv)
    for figure in measure(None, options.picture, options.workers):
        reached = "reached" if figure.reached else "MISSED"
        stdout().print(
            f"{figure.measure}: {figure.value:.3f} {figure.unit} ({figure.target}: {reached}) {figure.detail}"
        )
    return 0


if __name__ == "__main__":
    run_command(main)
