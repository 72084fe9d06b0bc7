"""Final trainings: where their models go, and what becomes of those that fail."""

from __future__ import annotations

import copy
import io
import queue
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import optuna
import pytest
import torch
from rich.console import Console

from search.export import ExportTask, _checkpoint, _final_recipe, _folder, _train_trial, export_trials
from search.settings import StudySettings
from search.space import SearchSpace
from search.storage import Patience, Places, open_storage
from search.study import StudyError, create_study, load_study, quiet_optuna, split_of
from tests.search.synthetic import settings
from tests.search.test_objective import SMALLEST
from zoo.card import Card
from zoo.data import make_split
from zoo.data.dataset import USAGES
from zoo.data.drawn import drawn_dataset
from zoo.models import CARD, reserved
from zoo.networks import config_from_json
from zoo.training.loop import DivergedError, Trainer

DATASET = drawn_dataset(64, 32, 16)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExportTask:
    """Of a study of one trial, trained for no epoch."""
    quiet_optuna()
    monkeypatch.setattr("zoo.data.load_dataset", lambda *arguments, **options: DATASET)
    split = make_split(DATASET)
    places = Places("s", f"sqlite:///{tmp_path}/study.db", tmp_path)
    study = create_study(places, _settings(), split)
    proposal = SearchSpace.of(_settings(), 64).suggest(optuna.trial.FixedTrial(SMALLEST))
    attributes = {"config": proposal.config.to_json(), "recipe": proposal.recipe.to_json()}
    study.add_trial(optuna.trial.create_trial(value=0.5, user_attrs=attributes))
    trial = study.get_trials()[-1]
    recipe = _final_recipe(trial, 1, [])
    folder = tmp_path / "models" / f"s-trial{trial.number}"
    return ExportTask(
        places, trial.number, recipe.to_json(), folder, None, None, "cpu", 1, None, queue.Queue()
    )


def _settings() -> StudySettings:
    return settings(fingerprint=DATASET.fingerprint, drawn=True, split_kind=make_split(DATASET).kind)


def _where(
    task: ExportTask, epochs: int = 1, seconds: float | None = None, **changes: Any
) -> AbstractContextManager[Path | None]:
    trial = load_study(task.places).get_trials()[task.trial]
    recipe, changed = _final_recipe(trial, epochs, []), replace(_settings(), **changes)
    return _folder(task.places, task.folder.parent, trial, recipe, changed, seconds)


def _name(task: ExportTask, *arguments: Any, **options: Any) -> str:
    with _where(task, *arguments, **options) as folder:
        assert folder is not None
        return folder.name


def test_a_model_is_neither_trained_twice_nor_overwritten_by_another(task: ExportTask) -> None:
    assert _name(task) == task.folder.name
    _train_trial(task)
    assert Card.load(task.folder / CARD).recipe["epochs"] == 1
    trial, done, planned, words = task.progress.get_nowait()
    assert (trial, done, planned) == (task.trial, 1, 1) and words.startswith("accuracy 0.")
    assert _name(task) == task.folder.name
    other = f"{task.folder.name}-2"
    assert _name(task, epochs=2) == other
    # A time limit may have shortened the schedule that the card tells.
    replace(Card.load(task.folder / CARD), seconds=60.0).save(task.folder / CARD)
    assert _name(task, epochs=2, seconds=119) == task.folder.name
    assert _name(task, epochs=2, seconds=121) == other
    assert _name(task, seconds=121) == task.folder.name
    assert _name(task, split_seed=5, seconds=60) == other
    assert _name(task, fingerprint="another") == _name(task, split_seed=5) == other


@pytest.mark.parametrize("kind", ["official", "random"])
def test_a_study_goes_on_with_data_that_have_other_private_rows(tmp_path: Path, kind: str) -> None:
    quiet_optuna()
    # The private rows lie among the others, and the study began without them.
    order = np.random.default_rng(0).permutation(len(DATASET))
    whole = replace(
        DATASET, faces=DATASET.faces[order], labels=DATASET.labels[order], usage=DATASET.usage[order]
    )
    kept = whole.usage != USAGES.index("PrivateTest")
    part = replace(whole, faces=whole.faces[kept], labels=whole.labels[kept], usage=whole.usage[kept])
    assert part.fingerprint == whole.fingerprint
    places = Places("s", f"sqlite:///{tmp_path}/study.db", tmp_path)
    settings = replace(_settings(), fingerprint=whole.fingerprint, split_kind=kind)
    study = create_study(places, settings, make_split(part, kind=kind, seed=3))
    here, there = split_of(study, part), split_of(study, whole)
    for name in ("train", "validation"):
        one, other = part.faces[getattr(here, name)], whole.faces[getattr(there, name)]
        assert np.array_equal(one, other)
    assert len(there.test) > len(here.test) if kind == "official" else len(there.test) == len(here.test)
    with pytest.raises(
        StudyError, match=f"data {part.name} has fingerprint .*; required: {whole.fingerprint}"
    ):
        split_of(study, replace(part, labels=part.labels[::-1]))


def test_a_folder_in_which_another_process_trains_is_left_to_it(task: ExportTask) -> None:
    with reserved(task.folder):
        assert _name(task) == f"{task.folder.name}-2"
    assert _name(task) == task.folder.name and not [*task.folder.parent.iterdir()]


def test_what_another_process_trains_by_the_same_recipe_is_left_to_it(task: ExportTask) -> None:
    (trial,) = load_study(task.places).get_trials()[task.trial :]
    console = Console(file=io.StringIO(), width=200)

    def export() -> list[Card]:
        return export_trials(
            task.places,
            [trial],
            _settings(),
            data=None,
            ferplus=None,
            device="cpu",
            workers=1,
            epochs=1,
            deadline=None,
            models=task.folder.parent,
            console=console,
        )

    with _where(task) as folder:
        assert folder == task.folder
        assert _name(task, epochs=2) == f"{task.folder.name}-2"
        assert export() == []
        said = f"note: trial {task.trial} is left to another process that is training it in full"
        assert console.file.getvalue().splitlines() == [said]  # type: ignore[attr-defined]
        _train_trial(task)
        assert [card.name for card in export()] == [task.folder.name]


def test_a_checkpoint_is_of_its_data_and_one_of_another_run_is_begun_anew(task: ExportTask) -> None:
    (trial,) = load_study(task.places).get_trials()[task.trial :]
    recipe = _final_recipe(trial, 1, [])
    checkpoint = _checkpoint(task.places, trial, recipe, DATASET.fingerprint)
    assert checkpoint != _checkpoint(task.places, trial, recipe, "another")
    config, split = config_from_json(trial.user_attrs["config"]), make_split(DATASET, kind="random", seed=1)
    next(Trainer(config, recipe, DATASET, split, device=torch.device("cpu"), checkpoint=checkpoint).epochs())
    _train_trial(task)
    assert (task.folder / CARD).is_file() and not checkpoint.exists()


def test_a_final_training_waits_for_a_database_server(
    task: ExportTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, patiences = open_storage(task.places), []

    def opened(places: Places, *, patience: Patience | None = None) -> Any:
        patiences.append(patience)
        return storage

    train = mock.Mock()
    monkeypatch.setattr("search.storage.open_storage", opened)
    monkeypatch.setattr("zoo.training.session.train_and_save", train)
    _train_trial(task)
    server = Places("s", "postgresql://user@db.example/faces", task.places.folder)
    _train_trial(replace(task, places=server))
    assert train.call_count == 2 and patiences[0] is None
    assert patiences[1] is not None and patiences[1].seconds == 120


def test_models_that_are_saved_take_no_share_of_time_and_workers(
    task: ExportTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = load_study(task.places).get_trials()[task.trial :]
    trials = [copy.copy(first) for _ in range(5)]
    for number, trial in enumerate(trials):
        trial.number = number
    cards = [task.folder.parent / str(number) / CARD for number in range(5)]
    for number in (0, 1, 3):
        cards[number].parent.mkdir(parents=True)
        cards[number].touch()
    crews: list[list[ExportTask]] = []

    class Crew:
        def __init__(self, target: Any, tasks: list[ExportTask], *, most_deaths: int) -> None:
            crews.append(tasks)

        def watch(self) -> Iterator[None]:
            for each in crews[-1]:
                each.folder.mkdir()
                (each.folder / CARD).touch()
            yield

        def stop(self) -> None:
            pass

    @contextmanager
    def folder(places: Places, models: Path, trial: optuna.trial.FrozenTrial, *more: Any) -> Iterator[Path]:
        yield models / str(trial.number)

    monkeypatch.setattr("search.export._folder", folder)
    monkeypatch.setattr("search.processes.Crew", Crew)
    monkeypatch.setattr(Card, "load", lambda path: path)
    deadline = time.time() + 1000
    saved = export_trials(
        task.places,
        trials,
        _settings(),
        data=None,
        ferplus=None,
        device="cpu",
        workers=2,
        epochs=1,
        deadline=deadline,
        models=task.folder.parent,
        console=Console(file=io.StringIO()),
    )
    assert saved == cards
    assert [[each.trial for each in tasks] for tasks in crews] == [[2, 4]]
    assert [each.deadline for each in crews[0]] == pytest.approx([deadline] * 2)


def test_a_training_that_diverges_is_told_and_not_resumed(
    task: ExportTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(self: Trainer, *arguments: Any) -> Any:
        self._save()
        raise DivergedError("the training loss is nan in epoch 1")

    monkeypatch.setattr(Trainer, "_train", diverge)
    _train_trial(task)
    assert task.progress.get_nowait() == (task.trial, 0, 0, "the training loss is nan in epoch 1")
    assert not list(task.places.checkpoints.glob("*")) and not task.folder.exists()
