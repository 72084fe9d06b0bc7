"""What becomes of trials whose worker died or was stopped; knows nothing of what a trial does."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import time
import uuid
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import psutil
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.storage import HEARTBEAT_SECONDS, heartbeat_silences

__all__ = [
    "FINISHED",
    "give_up",
    "is_doubled",
    "is_poison",
    "queue_again",
    "reason_of",
    "reclaim",
    "remove_orphans",
    "requeue_lost",
    "worker_identity",
]

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
"""States that count towards a study's total; failed trials are run again."""

REASON, WORKER, SKIPPED = "reason", "worker", "skipped"
NETWORK = "network"
"""User attribute of an enqueued trial that names a published network instead of sampling one."""
START = "start"
"""User attribute of an enqueued trial that is a point of the space: what it is called."""
CONTINUES = "continues"
"""User attribute: number of the trial that this one goes on from."""
CRASHES = "crashes"
"""User attribute: how many trials in a row that this one goes on from took their worker with them."""
PROPOSAL = "proposal"

INTERRUPTED, SURPLUS, DOUBLED = "interrupted", "surplus", "doubled"
LOST, FULL = "the database was lost", "the disk is full"
ERROR = "error: "
"""Reasons of failed trials, the last with what the program's fault was. Without one the worker died."""

_MAX_RETRIES = 2
_DIED = "its worker died"
_POISON = f"its worker died {('twice', 'three times')[_MAX_RETRIES - 1]}; it isn't run again"
# A trial names its worker before anything else; one that has not done so by then never will.
_NAMELESS_SECONDS = 180
# Longer than a worker waits for a lost database: when it is back, nobody is taken for dead who only waited.
_GRACE_SECONDS = 180
# Of a worker of a machine of this name that isn't known to be this one since its start: it may have been
# this one before, whose trials are to wait no longer than is needed to tell.
_NAMESAKE_SECONDS = 3 * HEARTBEAT_SECONDS
_ABANDONED_FILE_SECONDS = 3600


def worker_identity() -> dict[str, Any]:
    """Names this process so that no later process can be mistaken for it."""
    return {
        "host": socket.gethostname(),
        "space": _process_space(),
        "boot": _boot(),
        "pid": os.getpid(),
        "began": _began(psutil.Process()),
    }


def reason_of(trial: FrozenTrial) -> str:
    """Why a trial was pruned or failed, in words; empty for another."""
    if trial.state not in (TrialState.PRUNED, TrialState.FAIL):
        return ""
    if is_poison(trial):
        return _POISON
    return str(trial.user_attrs.get(REASON, _DIED if trial.state == TrialState.FAIL else "pruned"))


def is_poison(trial: FrozenTrial) -> bool:
    """Whether a trial took its worker with it as often as it may."""
    return (
        trial.state == TrialState.FAIL and REASON not in trial.user_attrs and _crashes(trial) > _MAX_RETRIES
    )


def _crashes(trial: FrozenTrial) -> int:
    """How often in a row the trial's workers died, this time included, without an epoch gained in between."""
    gained = (trial.last_step or 0) >= trial.user_attrs.get("first_epoch", math.inf)
    return (0 if gained else trial.user_attrs.get(CRASHES, 0)) + (REASON not in trial.user_attrs)


def reclaim(study: Study, trials: Sequence[FrozenTrial]) -> bool:
    """Fail the running trials of dead processes, and queue them again; returns whether there were any.

    A process of this machine is looked for; it is dead also on one of the same name with another start, once
    its heartbeat is silent for a minute, and elsewhere after three.

    Args:
        trials: of the study, read a moment ago.
    """
    found, silences = False, heartbeat_silences(study)
    for trial in trials:
        dead = trial.state == TrialState.RUNNING and _dead(trial, silences.get(trial._trial_id))
        if dead and _fail(study, trial.number):
            # Read again: it may have recorded more since.
            queue_again(study, study.get_trials(deepcopy=False)[trial.number])
            found = True
    return found


def give_up(trial: optuna.Trial, reason: str) -> None:
    """Fail this process's own trial for a reason outside of it, and queue it again."""
    try:
        trial.set_user_attr(REASON, reason)
    except optuna.exceptions.UpdateFinishedTrialError:
        return
    if _fail(trial.study, trial.number):
        queue_again(trial.study, trial.study.get_trials(deepcopy=False)[trial.number])


def queue_again(study: Study, trial: FrozenTrial) -> None:
    """Queue a failed trial with the same parameters, or note on the study that it's skipped.

    A trial that failed without a reason took its worker with it; the third time without an epoch gained in
    between it is skipped. Whoever runs it finds the checkpoint of the same proposal. Nothing that the failed
    trial has recorded is copied. To queue a trial twice does no harm, see `is_doubled`.
    """
    crashes = _crashes(trial)
    if crashes > _MAX_RETRIES:
        poison = (other for other in study.get_trials(deepcopy=False) if is_poison(other))
        study.set_user_attr(SKIPPED, {str(other.number): _POISON for other in poison})
        return
    params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    kept = {name: trial.user_attrs[name] for name in (NETWORK, START) if name in trial.user_attrs}
    if params or kept:
        attributes = {**kept, CONTINUES: trial.number, **({CRASHES: crashes} if crashes else {})}
        study.enqueue_trial(params, user_attrs=attributes)


def is_doubled(trial: FrozenTrial | optuna.Trial, trials: Sequence[FrozenTrial]) -> bool:
    """Whether an earlier trial goes on from the same trial: two processes had found it dead at once."""
    origin = trial.user_attrs.get(CONTINUES)
    return origin is not None and any(
        other.number < trial.number and other.user_attrs.get(CONTINUES) == origin for other in trials
    )


def requeue_lost(study: Study) -> None:
    """Queue the failed trials whose process died before it could do so."""
    trials = study.get_trials(deepcopy=False)
    continued = {trial.user_attrs.get(CONTINUES) for trial in trials}
    for trial in trials:
        reason = trial.user_attrs.get(REASON, "")
        final = is_poison(trial) or reason == DOUBLED or reason.startswith(ERROR)
        if trial.state == TrialState.FAIL and not final and trial.number not in continued:
            queue_again(study, trial)


def remove_orphans(study: Study, checkpoints: Path) -> None:
    """Remove the checkpoints in a folder that no running or waiting trial of the study will go on from.

    Those of trials that it doesn't know are another study's of its name, in another storage.
    """
    trials = study.get_trials(deepcopy=False)
    live = set()
    for trial in trials:
        if not trial.state.is_finished():
            # It proposes the same as the trial that it goes on from, as soon as it has sampled.
            while PROPOSAL not in trial.user_attrs and CONTINUES in trial.user_attrs:
                trial = trials[trial.user_attrs[CONTINUES]]
            live.add(trial.user_attrs.get(PROPOSAL))
    over = {trial.user_attrs.get(PROPOSAL) for trial in trials} - live
    for path in checkpoints.glob("*"):
        with contextlib.suppress(FileNotFoundError):  # another process has removed it, or moved it into place
            # A temporary file may be another machine's, which is writing it.
            old = path.suffix == ".tmp" and time.time() - path.stat().st_mtime > _ABANDONED_FILE_SECONDS
            if old or (path.suffix == ".pt" and path.stem in over):
                path.unlink()


def _fail(study: Study, number: int) -> bool:
    """Fail a running trial; False if another process was faster."""
    try:
        study.tell(number, state=TrialState.FAIL)
    except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
        return False
    return True


def _dead(trial: FrozenTrial, silence: float | None) -> bool:
    """Whether a running trial's worker is dead.

    Args:
        silence: seconds since its last heartbeat; None without any.
    """
    silent = silence is not None and silence > _GRACE_SECONDS
    worker = trial.user_attrs.get(WORKER)
    if worker is None:
        begun = trial.datetime_start
        return silent or (begun is not None and (datetime.now() - begun).total_seconds() > _NAMELESS_SECONDS)
    if worker["host"] != socket.gethostname() or worker.get("space", "") not in ("", _process_space()):
        return silent
    boot = worker.get("boot", "")
    if boot != _boot():
        if silence is not None:
            return silence > _NAMESAKE_SECONDS
        if boot:
            return True
    # However silent: a suspended machine's worker is alive, and one whose clock was set.
    try:
        process = psutil.Process(worker["pid"])
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        return abs(_began(process) - worker.get("began", _began(process))) > 2
    except psutil.NoSuchProcess:
        return True


def _began(process: psutil.Process) -> float:
    """Seconds that tell a process from a later one of its number, to whatever the clock is set meanwhile.

    Linux counts from the boot, and psutil adds the boot's time, which moves with the clock.
    """
    boot = psutil.boot_time() if psutil.LINUX else 0.0
    return process.create_time() - boot


def _boot() -> str:
    """Names the time since the machine was last started or, where the system doesn't, the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"node {uuid.getnode():x}"


def _process_space() -> str:
    """Tells containers apart that have the same host name: equal numbers are equal processes within one."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
