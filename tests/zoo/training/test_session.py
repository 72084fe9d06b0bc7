"""A config becomes a saved model with its pictures, within a deadline, and is refused memory politely."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.zoo.training.tiny import CONFIG, CPU, RECIPE, tiny_dataset, tiny_split
from zoo.card import Card
from zoo.data.dataset import Split
from zoo.errors import DeviceError
from zoo.models import load_model
from zoo.networks import count
from zoo.networks.fully_connected import FullyConnectedConfig
from zoo.predictor import Predictor
from zoo.training import session
from zoo.training.evaluate import measure
from zoo.training.loop import EpochResult, Trainer
from zoo.training.session import train_and_save

DATASET = tiny_dataset()
SPLIT = tiny_split(DATASET)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Card, list[EpochResult], list[float]]:
    folder = tmp_path_factory.mktemp("models") / "stripes"
    results: list[EpochResult] = []
    steps: list[float] = []
    card = train_and_save(
        CONFIG,
        RECIPE,
        DATASET,
        SPLIT,
        folder,
        device=CPU,
        checkpoint=folder.with_name("stripes.checkpoint"),
        on_epoch=lambda result, planned, left: results.append(result),
        on_step=steps.append,
        note="Stripes.",
        study="a study",
        trial=3,
    )
    return folder, card, results, steps


def test_everything_is_written_and_the_checkpoint_removed(saved: tuple[Path, Card, list, list]) -> None:
    folder, card, results, steps = saved
    assert sorted(path.name for path in folder.iterdir()) == [
        "card.json",
        "confusion.png",
        "curves.png",
        "per_class.csv",
        "reliability.png",
        "weights.safetensors",
    ]
    assert [path.name for path in folder.parent.iterdir()] == ["stripes"]
    assert [result.epoch for result in results] == [1, 2, 3, 4]
    assert steps == sorted(steps) and len(steps) == 12 and steps[-1] == 4.0


def test_the_card_says_what_was_done(saved: tuple[Path, Card, list, list]) -> None:
    folder, card, results, _ = saved
    assert Card.load(folder / "card.json") == card
    assert (card.name, card.note, card.study, card.trial) == ("stripes", "Stripes.", "a study", 3)
    assert card.config == CONFIG.to_json() and card.recipe == RECIPE.to_json()
    assert (card.parameters, card.macs) == count(CONFIG)
    assert card.classes == DATASET.classes and card.validation == "PublicTest"
    assert card.epoch == max(results, key=lambda result: result.accuracy).epoch
    assert card.seconds == pytest.approx(sum(result.seconds for result in results), abs=0.1)
    assert card.data == {
        "name": "tiny stripes",
        "drawn": False,
        "fingerprint": DATASET.fingerprint,
        "split": {
            "kind": "official",
            "seed": 0,
            "rows": {"Training": 96, "PublicTest": 48, "PrivateTest": 30},
            "digest": DATASET.digest(SPLIT.validation),
        },
        "soft_labels": False,
    }


def test_metrics_are_those_of_the_saved_network(saved: tuple[Path, Card, list, list]) -> None:
    folder, card, _, _ = saved
    predictor = Predictor(*load_model(folder))
    for part, rows in (
        ("Training", SPLIT.train),
        ("PublicTest", SPLIT.validation),
        ("PrivateTest", SPLIT.test),
    ):
        logits = predictor.logits(DATASET.faces[rows])
        expected = measure(logits, DATASET.labels[rows], DATASET.classes, temperature=card.temperature)
        assert card.metrics[part] == expected
    assert card.accuracy == card.metrics["PublicTest"]["accuracy"]


def test_the_table_has_every_part_and_class(saved: tuple[Path, Card, list, list]) -> None:
    folder, card, _, _ = saved
    table = pd.read_csv(folder / "per_class.csv")
    assert list(table.columns) == ["part", "class", "precision", "recall", "f1", "support"]
    assert len(table) == 9
    row = table.set_index(["part", "class"]).loc[("PublicTest", "columns")]
    assert row["recall"] == pytest.approx(
        card.metrics["PublicTest"]["per_class"]["columns"]["recall"], abs=1e-4
    )


def test_an_interrupted_run_is_gone_on_with(tmp_path: Path, saved: tuple[Path, Card, list, list]) -> None:
    checkpoint = tmp_path / "run.checkpoint"
    list(islice(Trainer(CONFIG, RECIPE, DATASET, SPLIT, device=CPU, checkpoint=checkpoint).epochs(), 2))
    results: list[EpochResult] = []
    card = train_and_save(
        CONFIG,
        RECIPE,
        DATASET,
        SPLIT,
        tmp_path / "stripes",
        device=CPU,
        checkpoint=checkpoint,
        on_epoch=lambda result, planned, left: results.append(result),
    )
    assert [result.epoch for result in results] == [3, 4]
    assert card.weights_sha256 == saved[1].weights_sha256
    assert not checkpoint.exists()


def test_without_test_rows_there_is_no_test_figure(tmp_path: Path) -> None:
    dataset = tiny_dataset(96, 48, 0)
    recipe = replace(RECIPE, epochs=1)
    card = train_and_save(CONFIG, recipe, dataset, tiny_split(dataset), tmp_path / "stripes", device=CPU)
    assert list(card.metrics) == ["Training", "PublicTest"]


def test_a_real_deadline_shortens_the_schedule(tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=100_000)
    begun = time.monotonic()
    card = train_and_save(
        CONFIG, recipe, DATASET, SPLIT, tmp_path / "stripes", device=CPU, deadline=begun + 6.0
    )
    assert 1 <= len(card.history) < 2_000 and len(card.history) <= card.recipe["epochs"] < 100_000
    assert card.epoch == max(card.history, key=lambda entry: entry["accuracy"])["epoch"]


def test_a_deadline_that_has_passed_still_leaves_a_network(tmp_path: Path) -> None:
    card = train_and_save(
        CONFIG, RECIPE, DATASET, SPLIT, tmp_path / "stripes", device=CPU, deadline=time.monotonic()
    )
    assert len(card.history) == 1 and (tmp_path / "stripes" / "weights.safetensors").is_file()


class _Time:
    """A clock that a test sets."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("left", "planned"),
    [
        (1_000.0, 40),  # all fit
        (4.0 + 10 * 10.0 + 0.4 * 10.0, 12),  # the two that are done and ten more
        (4.0 + 10 * 10.0 + 0.3 * 10.0, 11),
        (9.0, 2),  # none any more
    ],
)
def test_epochs_that_fit_are_planned_by_the_time_of_the_last(
    left: float, planned: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = _Time()
    monkeypatch.setattr(session, "time", clock)
    trainer = Trainer(CONFIG, replace(RECIPE, epochs=40), DATASET, SPLIT, device=CPU)
    trainer.history = [
        EpochResult(epoch, 0.1, 1.0, 0.5, 1.0, 0.5, 0.5, seconds) for epoch, seconds in ((1, 8.0), (2, 12.0))
    ]
    clock.now = 100.0
    session._Clock(100.0 + left, 40, 0.4).plan(trainer)
    assert trainer.recipe.epochs == planned


def test_time_that_turns_up_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Time()
    monkeypatch.setattr(session, "time", clock)
    trainer = Trainer(CONFIG, replace(RECIPE, epochs=40), DATASET, SPLIT, device=CPU)
    guard = session._Clock(108.0, 40, 0.4)
    planned = []
    for epoch, (now, seconds) in enumerate([(20.0, 20.0), (24.0, 4.0), (28.0, 4.0), (32.0, 4.0)], start=1):
        clock.now = now
        trainer.history.append(EpochResult(epoch, 0.1, 1.0, 0.5, 1.0, 0.5, 0.5, seconds))
        guard.plan(trainer)
        planned.append(trainer.recipe.epochs)
    assert planned == [4, 8, 10, 21]
    guard._most = 15
    guard.plan(trainer)
    assert trainer.recipe.epochs == 15


def test_larger_faces_are_reckoned_with(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Time()
    monkeypatch.setattr(session, "time", clock)
    recipe = replace(RECIPE, epochs=10, start_resolution=24, full_resolution_from=0.6)
    trainer = Trainer(CONFIG, recipe, DATASET, SPLIT, device=CPU)
    assert trainer.seconds_left() == 0.0, "nothing is known yet"
    guard = session._Clock(None, 10, 0.4)
    guard.plan(trainer)
    assert guard._enlarged == pytest.approx(4.0)
    for epoch, size in ((1, 24), (2, 24)):
        trainer.history.append(EpochResult(epoch, 0.1, 1.0, 0.5, 1.0, 0.5, 0.5, 9.0, size))
    assert trainer.epoch_seconds() == pytest.approx(36.0)
    assert trainer.seconds_left() == pytest.approx(2 * 16.0 + 2 * 25.0 + 4 * 36.0)
    trainer.history.append(EpochResult(3, 0.1, 1.0, 0.5, 1.0, 0.5, 0.5, 12.0, 32))
    a_pixel = (12.0 - 9.0) / (32**2 - 24**2)
    larger, largest = 12.0 + a_pixel * (40**2 - 32**2), 12.0 + a_pixel * (48**2 - 32**2)
    assert trainer.seconds_left() == pytest.approx(12.0 + 2 * larger + 4 * largest)
    guard = session._Clock(4.0 + 0.4 * largest + 12.0 + 2 * larger + 4 * largest + 0.1, 10, 0.4)
    guard.plan(trainer)
    assert trainer.recipe.epochs == 10
    clock.now = 0.2
    guard.plan(trainer)
    assert trainer.recipe.epochs == 9
    clock.now = 10.2
    trainer.plan(1000)
    assert trainer.resolution(3) == 32, "faces don't grow smaller again"
    trainer.history.append(EpochResult(4, 0.1, 1.0, 0.5, 1.0, 0.5, 0.5, 20.0, 48))
    assert trainer.seconds_left() == pytest.approx(996 * 20.0)


def test_measuring_many_faces_is_reckoned_with() -> None:
    fer2013 = Split("official", 0, np.arange(28_709), np.arange(3_589), np.arange(3_589))
    assert session._measuring_epochs(fer2013, 28_672) == pytest.approx(0.4, abs=0.005)
    few = replace(fer2013, train=np.arange(700), test=np.arange(24_000))
    assert session._measuring_epochs(few, 640) == pytest.approx((700 + 3_589 + 24_000) / (640 + 3_589 / 3))
    recipe = replace(RECIPE, balance="undersample", balance_strength=1.0, batch_size=8)
    rare = tiny_dataset().select(np.flatnonzero((DATASET.labels != 0) | (np.arange(len(DATASET)) % 7 == 0)))
    trained = Trainer(CONFIG, recipe, rare, tiny_split(rare), device=CPU).faces_an_epoch
    assert 0 < trained < len(tiny_split(rare).train) - 8


def test_an_epoch_is_cut_while_there_is_time_to_save(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Time()
    monkeypatch.setattr(session, "time", clock)
    guard = session._Clock(50.0, 9, 0.4)
    clock.now = 9.0  # the first step, a hundredth, took 9 seconds: an epoch doesn't take 900
    assert not guard.ends_epoch(0.01)
    clock.now = 28.6  # 0.49 of an epoch in 19.6 seconds: saving takes 4 seconds and 0.4 epochs, 16 seconds
    assert not guard.ends_epoch(0.5)
    clock.now = 31.0
    assert guard.ends_epoch(0.56)
    assert not session._Clock(None, 9, 0.4).ends_epoch(0.5)


def test_an_epoch_is_cut_by_what_earlier_ones_took(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Time()
    monkeypatch.setattr(session, "time", clock)
    trainer = Trainer(CONFIG, replace(RECIPE, epochs=40), DATASET, SPLIT, device=CPU)
    guard = session._Clock(50.0, 40, 0.4)
    guard.plan(trainer)
    clock.now = 1.0
    assert not guard.ends_epoch(0.5)
    trainer.history.append(EpochResult(1, 0.1, 1.0, 0.5, 1.0, 0.5, 0.5, 20.0))
    guard.plan(trainer)
    clock.now = 37.0  # whatever the steps take, saving takes 4 + 0.4 × 20 seconds
    assert not guard.ends_epoch(0.01)
    clock.now = 38.1
    assert guard.ends_epoch(0.9)


def test_the_time_of_a_first_step_does_not_end_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Time()
    monkeypatch.setattr(session, "time", clock)
    steps = 0

    def on_step(done: float) -> None:
        nonlocal steps
        clock.now += 0.1 if steps else 5.0
        steps += 1

    recipe = replace(RECIPE, epochs=1, batch_size=8)
    card = train_and_save(
        CONFIG, recipe, DATASET, SPLIT, tmp_path / "stripes", device=CPU, on_step=on_step, deadline=30.0
    )
    assert steps == 12 and len(card.history) == 1


def test_a_network_that_does_not_fit_the_memory_is_an_error_of_the_device(tmp_path: Path) -> None:
    config = FullyConnectedConfig(classes=3, linear=(2**40,))
    with pytest.raises(DeviceError, match="cpu is out of memory with batches of 32; required: a smaller"):
        train_and_save(config, RECIPE, DATASET, SPLIT, tmp_path / "huge", device=CPU)
