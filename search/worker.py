"""One worker process: runs trials of a study until it has them all; knows nothing of the other workers."""

from __future__ import annotations

import contextlib
import gc
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import TrialState

from search.child import guard
from search.recovery import (
    ERROR,
    FINISHED,
    FULL,
    INTERRUPTED,
    LOST,
    REASON,
    SURPLUS,
    WORKER,
    give_up,
    queue_again,
    reclaim,
    worker_identity,
)
from search.sampler import make_pruner, make_sampler
from search.space import SearchSpace
from search.storage import (
    HEARTBEAT_SECONDS,
    PATIENCE_SECONDS,
    STORAGE_ERRORS,
    Patience,
    Places,
    StudyError,
    is_full,
    is_lost,
    lost_reason,
    open_storage,
    storage_errors,
)
from search.study import HOME, load_study, quiet_optuna, settings_of, split_of
from zoo.errors import disk_is_full, first_line

if TYPE_CHECKING:
    import torch

    from search.objective import Objective

__all__ = ["Worker", "WorkerTask", "work"]


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
        patience: seconds that a lost database is waited for.
    """

    number: int
    places: Places
    total: int
    data: Path | None
    ferplus: Path | None
    device: str
    threads: int
    deadline: float | None
    patience: float = PATIENCE_SECONDS


def work(task: WorkerTask, errors: Connection | None = None) -> None:
    """Run trials until the study has its total or the deadline is near; the target of a worker process.

    Exits with status 0 when done, 130 when told to stop, and 2 when a person has to act.

    Args:
        errors: where the reason of an early end is sent; None prints it.
    """
    stop = threading.Event()

    def body() -> None:
        with storage_errors(task.places):
            _work(task, stop)

    guard(body, errors, on_stop=stop.set)
    if stop.is_set():
        sys.exit(130)


def _work(task: WorkerTask, stop: threading.Event) -> None:
    import torch

    from search.objective import Objective
    from search.stores import artifacts_of, later_store
    from zoo.data import load_dataset
    from zoo.training.device import pick_device

    quiet_optuna()
    torch.set_num_threads(task.threads)
    device = pick_device(task.device)
    dataset = load_dataset(task.data, ferplus=task.ferplus)
    connections, turns = (Patience(task.patience, stop.is_set) for _ in range(2))
    storage = open_storage(task.places, patience=connections)
    study = load_study(task.places, storage=storage)
    settings = settings_of(study)
    split = split_of(study, dataset)
    objective = Objective(
        settings,
        dataset,
        split,
        total=task.total,
        device=device,
        checkpoints=task.places.checkpoints,
        artifacts=later_store(artifacts_of(study, task.places)),
        deadline=task.deadline,
        should_stop=stop.is_set,
    )
    study.pruner = make_pruner(settings)
    here = socket.gethostname()
    host = "" if study.user_attrs.get(HOME, here) == here else here
    study.sampler = make_sampler(
        settings.seed,
        task.number,
        len(study.get_trials(deepcopy=False)),
        host,
        space=SearchSpace.of(settings, len(split.train)),
    )
    worker = Worker(study, storage, objective, task.total, stop, device)
    while not stop.is_set() and (task.deadline is None or time.time() < task.deadline):
        try:
            if not worker.turn():
                return
            turns.restore()
        except STORAGE_ERRORS as error:
            if not is_lost(error):
                raise
            reason = lost_reason(error)
            if is_full(error):
                raise StudyError(
                    f"the disk of storage {task.places.shown} is full ({reason}); free some space and run "
                    "the same command again"
                ) from None
            if connections.over or not turns.lasts():
                if stop.is_set():
                    return
                raise


class Worker:
    """Takes one trial after the other; what a lost database leaves undone is done when it is back."""

    def __init__(
        self,
        study: Study,
        storage: RDBStorage,
        objective: Objective,
        total: int,
        stop: threading.Event,
        device: torch.device,
    ) -> None:
        self._study, self._storage, self._objective = study, storage, objective
        self._total, self._stop, self._device = total, stop, device
        self._left: optuna.Trial | None = None

    def turn(self) -> bool:
        """Run a trial if one is missing, else wait a second; False when the worker is done.

        Raises:
            StorageInternalError: the database is lost; the next turn takes up from there.
        """
        from zoo.training.device import free_memory

        try:
            return self._turn()
        finally:
            free_memory(self._device)
            # What is left stays, the trials above all: collections, of which pictures cause many, needn't
            # look at it again.
            gc.freeze()

    def _turn(self) -> bool:
        if self._left is not None:
            give_up(self._left, LOST)
            self._left = None
        trials = self._study.get_trials(deepcopy=False)
        if reclaim(self._study, trials):
            trials = self._study.get_trials(deepcopy=False)
        finished = sum(trial.state in FINISHED for trial in trials)
        if finished >= self._total:
            return False
        running = sum(trial.state == TrialState.RUNNING for trial in trials)
        if finished + running >= self._total:
            # The rest is running elsewhere; stay to take over if its worker dies.
            self._stop.wait(1)
            return True
        return self._run(self._study.ask())

    def _run(self, trial: optuna.Trial) -> bool:
        """Run a trial and store its outcome; False when it was interrupted."""
        from search.objective import SurplusTrialError, TrialInterruptedError

        self._left = trial
        state, value = TrialState.COMPLETE, None
        try:
            with _heartbeat(self._storage, trial._trial_id):
                trial.set_user_attr(WORKER, worker_identity())
                value = self._objective(trial)
        except optuna.TrialPruned:
            state = TrialState.PRUNED
        except TrialInterruptedError:
            give_up(trial, INTERRUPTED)
            self._left = None
            return False
        except SurplusTrialError:
            state = TrialState.FAIL
        except optuna.exceptions.UpdateFinishedTrialError:
            # Taken for dead while it stood still: it goes on elsewhere.
            self._left = None
            return True
        except STORAGE_ERRORS:
            raise
        except Exception as error:
            if disk_is_full(error):
                give_up(trial, FULL)
                raise
            trial.set_user_attr(REASON, f"{ERROR}{type(error).__name__}: {first_line(error)}")
            self._study.tell(trial, state=TrialState.FAIL)
            raise
        self._tell(trial, state, value)
        self._left = None
        return True

    def _tell(self, trial: optuna.Trial, state: TrialState, value: float | None) -> None:
        try:
            self._study.tell(trial, value, state)
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
            if self._study.get_trials(deepcopy=False)[trial.number].state == TrialState.RUNNING:
                raise
            return
        if trial.user_attrs.get(REASON) == SURPLUS:
            queue_again(self._study, self._study.get_trials(deepcopy=False)[trial.number])
        self._objective.forget()


@contextlib.contextmanager
def _heartbeat(storage: RDBStorage, trial_id: int) -> Iterator[None]:
    """Record the trial's heartbeat meanwhile; one that a lost database misses is made up for by the next."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.is_set():
            with contextlib.suppress(*STORAGE_ERRORS):
                storage.record_heartbeat(trial_id)
            ended.wait(HEARTBEAT_SECONDS)
        storage.remove_session()

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=1)
