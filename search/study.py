"""Studies in their storage: creating, resuming and loading them; knows nothing of workers."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
from optuna.storages import RDBStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from search.recovery import FINISHED, NETWORK, REASON, SKIPPED, WORKER, reclaim, remove_orphans, requeue_lost
from search.settings import StudySettings
from search.space import SearchSpace
from search.storage import Patience, Places, StudyError, open_storage, quiet_optuna, storage_errors
from zoo.data.dataset import USAGES, FaceDataset, Split

__all__ = [
    "FINISHED",
    "HOME",
    "REASON",
    "SETTINGS",
    "SKIPPED",
    "SPLIT",
    "WORKER",
    "Places",
    "StudyError",
    "create_study",
    "find_settings",
    "finished_trials",
    "load_study",
    "quiet_optuna",
    "settings_of",
    "split_of",
]

SETTINGS, SPLIT, HOME = "settings", "split", "home"
_CREATION_SECONDS = 20


def create_study(places: Places, settings: StudySettings, split: Split) -> Study:
    """Create a study, or resume the one of that name.

    A new study gets its settings, its split and its starting points. The trials of dead workers of this
    machine are queued again at once; those of other machines when their heartbeat has been silent long
    enough.

    Raises:
        StudyError: a study of that name exists with other settings or isn't of `search.run`, or the storage
            can't be reached.
    """
    with storage_errors(places):
        storage = open_storage(places, create=True, patience=Patience(seconds=5))
        return _create(storage, places, settings, split)


def _create(storage: RDBStorage, places: Places, settings: StudySettings, split: Split) -> Study:
    try:
        study = optuna.create_study(study_name=places.name, storage=storage, direction="maximize")
        _set_up(study, settings, split)
    except optuna.exceptions.DuplicatedStudyError:
        study = optuna.load_study(study_name=places.name, storage=storage)
        limit = time.monotonic() + _CREATION_SECONDS
        while SETTINGS not in study.user_attrs:
            _check_maker(study, places)
            if time.monotonic() >= limit:
                _set_up(study, settings, split)
                break
            time.sleep(1)  # another machine is setting it up
    differences = settings.differences(settings_of(study))
    if differences:
        raise StudyError(
            f"study {places.name!r} exists with other settings: {'; '.join(differences)}; "
            "required: the same settings, or another name with --study"
        )
    reclaim(study, study.get_trials(deepcopy=False))
    requeue_lost(study)
    remove_orphans(study, places.checkpoints)
    return study


def _check_maker(study: Study, places: Places) -> None:
    """See that a study without settings is one that `search.run` has begun to set up.

    Raises:
        StudyError: another program made it.
    """
    # Trials first: those of ours are queued when the study has its split.
    trials = study.get_trials(deepcopy=False)
    ours = study.directions == [StudyDirection.MAXIMIZE] and (not trials or SPLIT in study.user_attrs)
    if not ours:
        raise StudyError(
            f"study {places.name!r} is in {places.shown} already, and search.run didn't make it; required: "
            "another name with --study"
        )


def _set_up(study: Study, settings: StudySettings, split: Split) -> None:
    """Give a new study all that belongs to it, the settings last: with them it is complete."""
    from zoo.data import split_to_json

    study.set_metric_names(["validation accuracy"])
    study.set_user_attr(SPLIT, split_to_json(split))
    study.set_user_attr(HOME, socket.gethostname())
    queued = [
        (trial.system_attrs.get("fixed_params"), trial.user_attrs.get(NETWORK))
        for trial in study.get_trials(deepcopy=False)
    ]
    for params, attributes in SearchSpace.of(settings, len(split.train)).starting_points():
        if (params, attributes.get(NETWORK)) not in queued:
            study.enqueue_trial(params, user_attrs=attributes)
    study.set_user_attr(SETTINGS, settings.to_json())


def split_of(study: Study, dataset: FaceDataset) -> Split:
    """The study's split of its data.

    The stored rows are those of the file that the study began with. Another one may have PrivateTest rows
    more or fewer, or elsewhere, as they aren't in the fingerprint; where the rows are others, the split is
    made again.

    Raises:
        DataError: the stored split is damaged.
        StudyError: the data are others, or the split isn't made again as it was.
    """
    from zoo.data import make_split, split_from_json

    fingerprint = settings_of(study).fingerprint
    if dataset.fingerprint != fingerprint:
        raise StudyError(
            f"data {dataset.name} has fingerprint {dataset.fingerprint}; required: {fingerprint}, as study "
            f"{study.study_name!r} was made with"
        )
    stored = split_from_json(study.user_attrs[SPLIT])
    rows = np.concatenate([stored.train, stored.validation])
    fits = rows.max() < len(dataset) and not (dataset.usage[rows] == USAGES.index("PrivateTest")).any()
    if fits and stored.kind == "random":
        return stored
    split = make_split(dataset, kind=stored.kind, seed=stored.seed)
    if fits:
        return replace(split, train=stored.train, validation=stored.validation)
    found, required = ((len(each.train), len(each.validation)) for each in (split, stored))
    if found != required:
        raise StudyError(
            f"{found} faces of {dataset.name} train and select; required: {required}, as study "
            f"{study.study_name!r} was made with"
        )
    return split


def load_study(
    places: Places, *, sampler: Any = None, pruner: Any = None, storage: RDBStorage | None = None
) -> Study:
    """An existing study.

    Args:
        storage: as `open_storage` opened it for these places; None opens it.

    Raises:
        StudyError: there is no such study; the message lists those that exist.
    """
    opened = storage or open_storage(places)
    try:
        return optuna.load_study(study_name=places.name, storage=opened, sampler=sampler, pruner=pruner)
    except KeyError:
        names = ", ".join(optuna.get_all_study_names(opened)) or "none"
        raise StudyError(f"study {places.name!r} is not in {places.shown}; there are: {names}") from None


def find_settings(places: Places) -> StudySettings | None:
    """The settings that the study of that name was created with; None where there is none yet.

    Raises:
        StudyError: the storage can't be reached.
    """
    path = places.sqlite_file()
    if path is not None and not path.is_file():
        return None
    with storage_errors(places):
        storage = open_storage(places, patience=Patience(seconds=5))
        try:
            study = optuna.load_study(study_name=places.name, storage=storage)
            return settings_of(study) if SETTINGS in study.user_attrs else None
        except KeyError:
            return None
        finally:
            # A connection that lies idle would keep `settle` from its work.
            storage.remove_session()
            storage.engine.dispose()


def settings_of(study: Study) -> StudySettings:
    """The settings that a study was created with.

    Raises:
        StudyError: the study wasn't made by `search.run`.
    """
    values = study.user_attrs.get(SETTINGS)
    if values is None:
        raise StudyError(f"study {study.study_name!r} has no settings; required: one that search.run made")
    try:
        return StudySettings.from_json(values)
    except (KeyError, TypeError, ValueError):
        raise StudyError(
            f"study {study.study_name!r} has other settings than search.run's; required: one that it made"
        ) from None


def finished_trials(study: Study) -> list[FrozenTrial]:
    """The trials that count towards the total, in order."""
    return study.get_trials(deepcopy=False, states=FINISHED)
