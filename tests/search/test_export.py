"""Final trainings: where their models go, and what becomes of those that fail."""

from __future__ import annotations

import io
import queue
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from rich.console import Console

from search.export import ExportTask, _final_recipe, _folder, _train_trial, export_trials
from search.settings import StudySettings
from search.space import SearchSpace
from search.storage import Places
from search.study import StudyError, create_study, load_study, quiet_optuna, split_of
from tests.search.synthetic import settings
from tests.search.test_objective import SMALLEST
from zoo.card import Card
from zoo.data import make_split
from zoo.data.dataset import USAGES
from zoo.data.drawn import drawn_dataset
from zoo.models import CARD, reserved
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


def test_a_training_that_diverges_is_told_and_not_resumed(
    task: ExportTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(self: Trainer, number: int, on_step: Any) -> Any:
        self._save()
        raise DivergedError("the training loss is nan in epoch 1")

    monkeypatch.setattr(Trainer, "_train", diverge)
    _train_trial(task)
    assert task.progress.get_nowait() == (task.trial, 0, 0, "the training loss is nan in epoch 1")
    assert not list(task.places.checkpoints.glob("*")) and not task.folder.exists()
