"""One worker process: runs trials of a study until it has them all; knows nothing of the other workers."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import optuna
import sqlalchemy.exc
from optuna.trial import TrialState

from search.settings import StudySettings
from search.study import FINISHED, Places, StudyError, load_study, quiet_optuna, reclaim, settings_of
from zoo.errors import ZooError

__all__ = ["EXIT_ERROR", "WorkerTask", "guard", "make_pruner", "make_sampler", "work"]

EXIT_ERROR = 2
_STORAGE_PATIENCE_SECONDS = 120
_STORAGE_ERRORS = (
    optuna.exceptions.StorageInternalError,
    sqlalchemy.exc.OperationalError,
    sqlalchemy.exc.InterfaceError,
)


@dataclass(frozen=True)
class WorkerTask:
    """What a worker is told, picklable.

    Attributes:
        number: of the worker, from 0.
        total: trials that the study is to have.
        data, ferplus: paths as given on the command line, or None.
        device: name for `pick_device`.
        threads: of torch on a CPU.
        deadline: `time.time()` by which trials end, or None.
    """

    number: int
    places: Places
    total: int
    data: Path | None
    ferplus: Path | None
    device: str
    threads: int
    deadline: float | None


def make_sampler(seed: int, worker: int, trials: int) -> optuna.samplers.BaseSampler:
    """TPE over jointly sampled groups, seeded so that no two workers and no two sittings repeat each other.

    Args:
        trials: that the study holds already. With one seed for all, a resumed study repeats its random
            points.
    """
    seed = (seed * 1009 + worker) * 100_003 + trials
    return optuna.samplers.TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed)


def make_pruner(settings: StudySettings) -> optuna.pruners.BasePruner:
    """The study's pruner over epochs.

    `halving` is asynchronous successive halving (Li et al., 2020, arXiv:1810.05934): the first rung comes
    after a sixth of the epochs, and a third of the trials goes on from each rung. `median` stops a trial
    below the median of the earlier ones at the same epoch, after a quarter of the epochs and 5 trials.
    """
    if settings.pruner == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(
            min_resource=max(1, settings.epochs // 6), reduction_factor=3, min_early_stopping_rate=0
        )
    if settings.pruner == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=max(1, settings.epochs // 4))
    return optuna.pruners.NopPruner()


def work(task: WorkerTask) -> None:
    """Run trials until the study has its total or the deadline is near; the target of a worker process.

    Exits with status 0 when done, 130 when told to stop, and `EXIT_ERROR` after printing one line when a
    person has to act.
    """
    guard(lambda: _work(task))


def guard(function: Callable[[], None]) -> None:
    """Run the body of a child process: errors a person can mend end it in one line, a dead parent ends it,
    too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    _follow_parent()
    try:
        function()
    except KeyboardInterrupt:
        sys.exit(130)
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(EXIT_ERROR)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"error: the disk is full ({error.filename}); free some space and run again", file=sys.stderr)
        sys.exit(EXIT_ERROR)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _follow_parent() -> None:
    """Stop as if told to when the parent dies, even by `kill -9`, so that no worker is left behind."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _work(task: WorkerTask) -> None:
    import torch

    from search.artifacts import artifact_store
    from search.objective import Objective, SurplusTrialError, TrialInterruptedError
    from zoo.data import load_dataset, split_from_json
    from zoo.training.device import pick_device

    quiet_optuna()
    torch.set_num_threads(task.threads)
    device = pick_device(task.device)
    dataset = load_dataset(task.data, ferplus=task.ferplus)
    study = load_study(task.places)
    settings = settings_of(study)
    if dataset.fingerprint != settings.fingerprint:
        raise StudyError(
            f"data {dataset.name} has fingerprint {dataset.fingerprint}; required: {settings.fingerprint}, "
            f"as study {task.places.name!r} was made with"
        )
    objective = Objective(
        settings,
        dataset,
        split_from_json(study.user_attrs["split"]),
        total=task.total,
        device=device,
        checkpoints=task.places.checkpoints,
        artifacts=artifact_store(task.places.artifacts),
        deadline=task.deadline,
    )
    sampler = make_sampler(settings.seed, task.number, len(study.get_trials(deepcopy=False)))
    study = load_study(task.places, sampler=sampler, pruner=make_pruner(settings))
    lost_since: float | None = None
    while task.deadline is None or time.time() < task.deadline:
        try:
            trials = study.get_trials(deepcopy=False)
            finished = sum(trial.state in FINISHED for trial in trials)
            running = sum(trial.state == TrialState.RUNNING for trial in trials)
            lost_since = None
            if finished >= task.total:
                return
            if finished + running >= task.total:
                # The rest is running elsewhere; stay to take over if its worker dies.
                reclaim(study)
                optuna.storages.fail_stale_trials(study)
                time.sleep(1)
                continue
            study.optimize(objective, n_trials=1, catch=(SurplusTrialError,))
        except TrialInterruptedError:
            return
        except _STORAGE_ERRORS as error:
            lost_since = lost_since or time.time()
            if time.time() - lost_since > _STORAGE_PATIENCE_SECONDS:
                reason = str(error.__cause__ or error).strip().splitlines()[0]
                raise StudyError(
                    f"storage {task.places.storage} is lost ({reason}); what is finished is kept: "
                    "run the same command again when it is back"
                ) from None
            time.sleep(2)
