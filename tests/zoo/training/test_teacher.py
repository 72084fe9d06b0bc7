"""A network learns from saved models what its labels don't tell it, and never from faces that select it."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.zoo.training.tiny import CONFIG, CPU, RECIPE, tiny_dataset, tiny_split
from zoo.data.channels import Preprocess
from zoo.data.dataset import FaceDataset, Split
from zoo.errors import ConfigError, WeightsError
from zoo.predictor import Predictor
from zoo.training.fit import save_trained
from zoo.training.loop import EpochResult, Trainer
from zoo.training.recipe import Recipe
from zoo.training.teacher import Teacher

DATASET = tiny_dataset()
SPLIT = tiny_split(DATASET)


def save(folder: Path, recipe: Recipe, dataset: FaceDataset = DATASET, split: Split = SPLIT) -> Path:
    trainer = Trainer(CONFIG, recipe, dataset, split, device=CPU)
    list(trainer.epochs())
    save_trained(folder, trainer, dataset, split)
    return folder


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("teachers") / "learned", replace(RECIPE, epochs=12))


def make(names: str, *, split: Split = SPLIT, classes: tuple[str, ...] = DATASET.classes) -> Teacher:
    dataset = replace(DATASET, classes=classes)
    return Teacher(names, dataset, split, device=CPU, precision=torch.float32)


def test_teachers_answer_in_turn_as_the_saved_models_do(teacher: Path, tmp_path: Path) -> None:
    other = save(tmp_path / "other", replace(RECIPE, epochs=1, seed=1))
    faces = DATASET.faces[:9]
    expected = [Predictor.load(folder).probabilities(faces) for folder in (teacher, other)]
    teachers = make(f"{teacher}+{other}")
    for turn in range(4):
        answers = teachers.probabilities(torch.from_numpy(faces).float(), turn)
        np.testing.assert_allclose(answers.numpy(), expected[turn % 2], atol=1e-5)


def test_teachers_take_turns_over_all_epochs(teacher: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[int] = []
    answer = Teacher.probabilities

    def counted(self: Teacher, faces: torch.Tensor, turn: int) -> torch.Tensor:
        turns.append(turn)
        return answer(self, faces, turn)

    monkeypatch.setattr(Teacher, "probabilities", counted)
    recipe = replace(RECIPE, epochs=2, teacher=f"{teacher}+{teacher}")
    list(Trainer(CONFIG, recipe, DATASET, SPLIT, device=CPU).epochs())
    assert turns == [*range(6)]  # three batches an epoch


def test_faces_come_back_from_their_images() -> None:
    faces = torch.from_numpy(DATASET.faces[:5]).float()
    preprocess = Preprocess(("sobel", "gray"), (0.3, 0.5), (0.1, 0.2))
    torch.testing.assert_close(preprocess.faces(preprocess(faces)), faces, atol=1e-3, rtol=0)


def test_a_network_learns_what_only_its_teacher_knows(teacher: Path) -> None:
    labels = DATASET.labels.copy()
    labels[SPLIT.train] = 1
    blind = replace(DATASET, labels=labels)  # all that it may learn from is called plain

    def accuracy(share: float) -> float:
        recipe = replace(RECIPE, epochs=12, label_smoothing=0.0, teacher=str(teacher), teacher_share=share)
        trainer = Trainer(CONFIG, recipe, blind, SPLIT, device=CPU)
        return list(trainer.epochs())[-1].accuracy

    assert accuracy(0.0) < 0.2 and accuracy(1.0) > 0.8


def test_a_share_of_nothing_changes_nothing(teacher: Path) -> None:
    def history(recipe: Recipe) -> list[EpochResult]:
        results = Trainer(CONFIG, replace(recipe, epochs=2), DATASET, SPLIT, device=CPU).epochs()
        return [dataclasses.replace(result, seconds=0.0) for result in results]

    taught = replace(RECIPE, teacher=str(teacher), teacher_share=0.0)
    assert history(taught) == history(RECIPE)


def test_votes_reach_a_network_through_its_teacher(teacher: Path, tmp_path: Path) -> None:
    votes = np.eye(3, dtype=np.float32)[DATASET.labels]
    voted = save(
        tmp_path / "voted", replace(RECIPE, epochs=1, soft_labels=True), replace(DATASET, votes=votes)
    )
    for names, told in ((str(teacher), False), (f"{teacher}+{voted}", True)):
        trainer = Trainer(CONFIG, replace(RECIPE, teacher=names), DATASET, SPLIT, device=CPU)
        assert trainer.soft_labels is told


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("a", "b", "c")}, "knows rows, plain, columns; required: a, b, c"),
        (
            {"split": replace(SPLIT, kind="random", seed=3, validation=SPLIT.test)},
            "with --split random --split-seed 3",
        ),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(
    teacher: Path, changes: dict[str, tuple[str, ...]], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make(str(teacher), **changes)  # type: ignore[arg-type]


def test_a_teacher_that_does_not_exist_is_refused(teacher: Path) -> None:
    with pytest.raises(WeightsError, match="model 'nobody' is not a saved model"):
        make(f"{teacher}+nobody")


def test_a_network_without_gray_cannot_be_taught(teacher: Path) -> None:
    config = replace(CONFIG, channels=("sobel",))
    with pytest.raises(ConfigError, match="required with a teacher: gray"):
        Trainer(config, replace(RECIPE, teacher=str(teacher)), DATASET, SPLIT, device=CPU)
