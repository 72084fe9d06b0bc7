"""Studies in their storage: opening, creating, resuming, and what becomes of trials whose worker died."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import psutil
import sqlalchemy.exc
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.settings import StudySettings
from search.space import Limits, starting_points
from zoo.data.dataset import Split
from zoo.errors import ZooError

__all__ = [
    "FINISHED",
    "Places",
    "StudyError",
    "create_study",
    "finished_trials",
    "load_study",
    "quiet_optuna",
    "reclaim",
    "settings_of",
    "worker_identity",
]

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
"""States that count towards a study's total; failed trials are run again."""

REASON, WORKER, SETTINGS, SPLIT, SKIPPED = "reason", "worker", "settings", "split", "skipped"

_HEARTBEAT_SECONDS = 20
_MAX_RETRIES = 2


def quiet_optuna() -> None:
    """For a process of ours: only errors are logged, and nothing is said of the experimental parts we
    chose."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


class StudyError(ZooError):
    """A study does not exist, can't be reached, or was made with other settings."""


@dataclass(frozen=True)
class Places:
    """Where a study keeps what.

    Attributes:
        name: of the study.
        storage: URL of the database.
        folder: artifacts, checkpoints and the report lie below it.
    """

    name: str
    storage: str
    folder: Path

    @classmethod
    def of(cls, name: str, storage: str | None = None) -> Places:
        """The places of a study: `studies/NAME/`, with its SQLite file in it unless `storage` says
        otherwise."""
        folder = Path("studies") / name
        return cls(name, storage or f"sqlite:///{folder / 'study.db'}", folder)

    @property
    def checkpoints(self) -> Path:
        """Folder of the running trials' checkpoints."""
        return self.folder / "checkpoints"

    @property
    def artifacts(self) -> Path:
        """Folder of the artifact store."""
        return self.folder / "artifacts"


def open_storage(places: Places, *, create: bool = False) -> RDBStorage:
    """The study's storage, with heartbeat and retry of stale trials.

    Raises:
        StudyError: the database can't be reached, or is a SQLite file that doesn't exist and isn't to be
            made.
    """
    arguments: dict[str, Any] = {"pool_pre_ping": True}
    if places.storage.startswith("sqlite"):
        path = Path(places.storage.partition("///")[2])
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
        elif not path.is_file():
            raise StudyError(f"{path}: no study storage there; required: {_existing()}")
        arguments["connect_args"] = {"timeout": 60}
    try:
        return RDBStorage(
            places.storage,
            engine_kwargs=arguments,
            heartbeat_interval=_HEARTBEAT_SECONDS,
            grace_period=3 * _HEARTBEAT_SECONDS,
            heartbeat_stale_trial_callback=_retry,
        )
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise StudyError(f"storage {places.storage} can't be opened: {reason}") from None


def create_study(places: Places, settings: StudySettings, split: Split) -> Study:
    """Create a study, or resume the one of that name.

    A new study gets its settings, its split and its starting points. The trials of dead workers of this
    machine are queued again at once; those of other machines when their heartbeat has been silent long
    enough.

    Raises:
        StudyError: a study of that name exists with other settings.
    """
    from zoo.data import split_to_json

    storage = open_storage(places, create=True)
    study = optuna.create_study(
        study_name=places.name, storage=storage, direction="maximize", load_if_exists=True
    )
    stored = study.user_attrs.get(SETTINGS)
    if stored is None:
        study.set_metric_names(["validation accuracy"])
        study.set_user_attr(SPLIT, split_to_json(split))
        for params, attributes in starting_points(_limits(settings), len(settings.classes)):
            study.enqueue_trial(params, user_attrs=attributes)
        study.set_user_attr(SETTINGS, settings.to_json())
    else:
        differences = settings.differences(StudySettings.from_json(stored))
        if differences:
            raise StudyError(
                f"study {places.name!r} exists with other settings: {'; '.join(differences)}; "
                "required: the same settings, or another name with --study"
            )
    reclaim(study)
    return study


def load_study(places: Places, *, sampler: Any = None, pruner: Any = None) -> Study:
    """An existing study.

    Raises:
        StudyError: there is no such study; the message lists those that exist.
    """
    storage = open_storage(places)
    try:
        return optuna.load_study(study_name=places.name, storage=storage, sampler=sampler, pruner=pruner)
    except KeyError:
        names = ", ".join(optuna.get_all_study_names(storage)) or "none"
        raise StudyError(f"study {places.name!r} is not in {places.storage}; there are: {names}") from None


def settings_of(study: Study) -> StudySettings:
    """The settings that a study was created with.

    Raises:
        StudyError: the study wasn't made by `search.run`.
    """
    values = study.user_attrs.get(SETTINGS)
    if values is None:
        raise StudyError(f"study {study.study_name!r} has no settings; required: one that search.run made")
    return StudySettings.from_json(values)


def finished_trials(study: Study) -> list[FrozenTrial]:
    """The trials that count towards the total, in order."""
    return study.get_trials(deepcopy=False, states=FINISHED)


def worker_identity() -> dict[str, Any]:
    """Names this process so that no later process can be mistaken for it."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": psutil.Process().create_time()}


def reclaim(study: Study) -> list[int]:
    """Fail and queue again the running trials whose worker on this machine is dead; returns their numbers."""
    numbers = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        worker = trial.user_attrs.get(WORKER)
        if worker is not None and _dead(worker):
            study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
            _retry(study, trial)
            numbers.append(trial.number)
    return numbers


def _limits(settings: StudySettings) -> Limits:
    return Limits(settings.max_macs, settings.max_parameters)


def _dead(worker: dict[str, Any]) -> bool:
    if worker["host"] != socket.gethostname():
        return False
    try:
        return abs(psutil.Process(worker["pid"]).create_time() - worker["started"]) > 1
    except psutil.NoSuchProcess:
        return True


def _retry(study: Study, trial: FrozenTrial) -> None:
    """Queue a trial whose worker died once more, at most twice; then note it on the study as skipped."""
    before = len(study.get_trials(deepcopy=False))
    RetryHeartbeatStaleTrialCallback(max_retry=_MAX_RETRIES)(study, trial)
    if len(study.get_trials(deepcopy=False)) == before:
        skipped = {**study.user_attrs.get(SKIPPED, {}), str(trial.number): "its worker died three times"}
        study.set_user_attr(SKIPPED, skipped)


def _existing() -> str:
    names = sorted(path.parent.name for path in Path("studies").glob("*/study.db"))
    return "one of the studies here: " + ", ".join(names) if names else "a study that search.run has made"


def describe(trials: Iterable[FrozenTrial]) -> dict[str, int]:
    """How many trials are in each state, by name."""
    counts = dict.fromkeys(("complete", "pruned", "running", "waiting", "fail"), 0)
    for trial in trials:
        counts[trial.state.name.lower()] += 1
    return counts
