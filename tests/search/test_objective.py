"""One trial in this process, trained in earnest on a few drawn faces unless a test needs an accident."""

from __future__ import annotations

import dataclasses
import errno
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy.exc
import torch
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta
from optuna.trial import FrozenTrial, TrialState

from search.objective import Objective, SurplusTrialError, TrialInterruptedError
from search.recovery import is_poison, reason_of
from search.settings import StudySettings
from search.space import SearchSpace
from search.storage import Places, open_storage
from search.study import quiet_optuna
from search.worker import Worker
from tests.search.synthetic import settings
from tests.search.test_space import SMALLEST as SMALLEST_OF_MANY
from zoo.data import make_split
from zoo.data.dataset import FaceDataset, Split
from zoo.data.drawn import drawn_dataset
from zoo.networks import count, named
from zoo.training.loop import DivergedError, Trainer

EPOCHS = 3
SMALLEST = {**SMALLEST_OF_MANY, "batch_size": 16}  # the one size for so few faces
ALL_ARTIFACTS = {"curves.png", "confusion.png", "config.json", "per_class.csv"}


@pytest.fixture(scope="module")
def faces() -> tuple[FaceDataset, Split]:
    dataset = drawn_dataset(64, 32, 16)
    return dataset, make_split(dataset)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    quiet_optuna()
    yield
    torch.set_num_threads(threads)


class Bench:
    """A study in a temporary folder with a worker that runs one trial at a time."""

    def __init__(self, folder: Path, faces: tuple[FaceDataset, Split], **changes: Any) -> None:
        self.folder, self.stop = folder, threading.Event()
        places = Places("s", f"sqlite:///{folder}/study.db", folder)
        storage = open_storage(places, create=True)
        self.study = optuna.create_study(
            study_name="s",
            storage=storage,
            direction="maximize",
            sampler=optuna.samplers.RandomSampler(seed=0),
            pruner=changes.pop("pruner", optuna.pruners.NopPruner()),
        )
        options = {"total": 9, "should_stop": self.stop.is_set, **changes}
        self.settings: StudySettings = options.pop("settings", settings(epochs=EPOCHS))
        artifacts = folder / "artifacts"
        artifacts.mkdir(exist_ok=True)
        self.objective = Objective(
            self.settings,
            *faces,
            device=torch.device("cpu"),
            checkpoints=folder / "checkpoints",
            artifacts=FileSystemArtifactStore(artifacts),
            **options,
        )
        cpu = torch.device("cpu")
        self.worker = Worker(self.study, storage, self.objective, options["total"], self.stop, cpu)

    def run(self, attributes: dict[str, Any] | None = None, **changes: Any) -> FrozenTrial:
        """Run the smallest network, or one with changed parameters; returns the trial."""
        before = len(self.study.get_trials())
        self.study.enqueue_trial({**SMALLEST, **changes}, user_attrs=attributes)
        self.worker.turn()
        return self.study.get_trials()[before]

    def checkpoints(self) -> list[Path]:
        return list((self.folder / "checkpoints").glob("*"))


def artifacts_of(bench: Bench) -> list[set[str]]:
    """Names of each trial's artifacts."""
    trials = bench.study.get_trials()
    storage = bench.study._storage
    return [{meta.filename for meta in get_all_artifact_meta(trial, storage=storage)} for trial in trials]


@pytest.fixture
def bench(tmp_path: Path, faces: tuple[FaceDataset, Split]) -> Bench:
    return Bench(tmp_path, faces)


def test_a_trial_records_all_that_is_asked_of_it(bench: Bench) -> None:
    trial = bench.run()
    assert trial.state == TrialState.COMPLETE and reason_of(trial) == ""
    attributes = trial.user_attrs
    assert list(trial.intermediate_values) == [1, 2, 3]
    assert trial.value == trial.intermediate_values[3] == attributes["metrics"]["accuracy"]
    assert [point["epoch"] for point in attributes["curve"]] == [1, 2, 3]
    assert attributes["first_epoch"] == 1 and attributes["seconds"] > 0
    assert attributes["recipe"]["seed"] == 0 and attributes["config"]["widths"] == [8, 8, 8]
    assert attributes["macs"] > 0 and attributes["parameters"] > 0 and attributes["worker"]["pid"] > 0
    assert 0 <= attributes["macro_f1"] <= 1
    assert bench.checkpoints() == []
    assert artifacts_of(bench) == [ALL_ARTIFACTS]


def test_a_network_over_a_limit_is_pruned_by_counting(
    tmp_path: Path, faces: tuple[FaceDataset, Split], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("search.objective.Trainer")
    limited = settings(epochs=EPOCHS, max_macs=100_000, max_parameters=10**9)
    bench = Bench(tmp_path, faces, settings=limited)
    trial = bench.run()
    macs = trial.user_attrs["macs"]
    assert artifacts_of(bench) == [{"config.json"}]
    assert trial.state == TrialState.PRUNED and trial.value is None
    assert reason_of(trial) == f"over the limit: macs {macs:,}"
    assert trial.constraints["macs over the limit"] == pytest.approx(macs / 1e5 - 1)
    assert trial.constraints["parameters over the limit"] < 0


def test_an_enqueued_network_is_trained_as_published(bench: Bench) -> None:
    trial = bench.run({"network": "simple_conv"})
    config = named("simple_conv", classes=7)
    assert trial.user_attrs["config"] == config.to_json() and trial.user_attrs["macs"] == count(config).macs


def test_a_configuration_is_not_trained_twice(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first = bench.run()
    monkeypatch.delattr("search.objective.Trainer")
    again = bench.run()
    assert again.state == TrialState.COMPLETE and again.value == first.value
    assert again.user_attrs["duplicate_of"] == 0 and again.user_attrs["curve"] == first.user_attrs["curve"]
    assert artifacts_of(bench) == [ALL_ARTIFACTS, ALL_ARTIFACTS]


def fingerprint(bench: Bench, **changes: Any) -> str:
    """Of what `bench.run` with the same changes proposes."""
    trial = optuna.trial.FixedTrial({**SMALLEST, **changes})
    return SearchSpace.of(bench.settings, 64).suggest(trial).fingerprint


@pytest.mark.parametrize("state", [TrialState.RUNNING, TrialState.PRUNED, TrialState.FAIL])
def test_a_configuration_of_an_unsuccessful_trial_is_not_tried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, state: TrialState
) -> None:
    monkeypatch.delattr("search.objective.Trainer")
    other = bench.study.ask()
    other.set_user_attr("proposal", fingerprint(bench))
    other.set_user_attr("crashes", 2)
    if state != TrialState.RUNNING:
        bench.study.tell(other, state=state)
    assert is_poison(bench.study.get_trials()[0]) == (state == TrialState.FAIL)
    trial = bench.run()
    assert trial.state == TrialState.PRUNED and reason_of(trial) == "the same as trial 0"


def test_the_trial_after_the_last_is_surplus_and_its_place_is_kept(
    tmp_path: Path, faces: tuple[FaceDataset, Split]
) -> None:
    bench = Bench(tmp_path, faces, total=1)
    bench.study.enqueue_trial(SMALLEST)
    bench.study.enqueue_trial({**SMALLEST, "weight_decay": 1e-3})
    first, second = bench.study.ask(), bench.study.ask()
    with pytest.raises(SurplusTrialError):
        bench.objective(second)
    assert bench.objective(first) > 0


def test_a_surplus_trial_is_queued_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.objective, "_total", 0)
    trial = bench.run()
    assert trial.state == TrialState.FAIL and reason_of(trial) == "surplus"
    queued = bench.study.get_trials()[-1]
    assert queued.state == TrialState.WAITING and queued.system_attrs["fixed_params"] == SMALLEST


def test_of_two_continuations_the_second_is_dropped(bench: Bench) -> None:
    first, second = bench.run({"continues": 7}), bench.run({"continues": 7})
    assert first.state == TrialState.COMPLETE
    assert second.state == TrialState.FAIL and reason_of(second) == "doubled"
    assert len(bench.study.get_trials()) == 2


def stop_after(bench: Bench, epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the worker told to stop when this epoch is reported."""
    report = bench.objective._report

    def told(trial: optuna.Trial, result: Any) -> bool:
        if result.epoch == epoch:
            bench.stop.set()
        return report(trial, result)

    monkeypatch.setattr(bench.objective, "_report", told)


def test_an_interrupted_trial_goes_on_from_its_last_epoch(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(bench, 2, patch)
        interrupted = bench.run()
    assert interrupted.state == TrialState.FAIL and reason_of(interrupted) == "interrupted"
    assert list(interrupted.intermediate_values) == [1, 2] and len(bench.checkpoints()) == 1

    # Another worker had the same proposal while it ran, and dropped it.
    attributes = {"proposal": interrupted.user_attrs["proposal"], "duplicate_of": 0}
    bench.study.add_trial(optuna.trial.create_trial(state=TrialState.PRUNED, user_attrs=attributes))

    bench.stop.clear()
    assert bench.worker.turn()
    trial = bench.study.get_trials()[1]
    assert trial.state == TrialState.COMPLETE and trial.user_attrs["continues"] == 0
    assert trial.user_attrs["first_epoch"] == 3 and list(trial.intermediate_values) == [1, 2, 3]
    assert trial.intermediate_values[2] == interrupted.intermediate_values[2]
    assert "reason" not in trial.user_attrs and "duplicate_of" not in trial.user_attrs
    assert bench.checkpoints() == []


@pytest.mark.parametrize(("deadline", "epochs"), [(0.0, []), (1e12, [1, 2, 3])])
def test_the_deadline_interrupts_between_steps(
    tmp_path: Path, faces: tuple[FaceDataset, Split], deadline: float, epochs: list[int]
) -> None:
    trial = Bench(tmp_path, faces, deadline=deadline).run()
    assert list(trial.intermediate_values) == epochs
    assert trial.state == (TrialState.COMPLETE if epochs else TrialState.FAIL)


def test_an_epoch_that_would_overrun_the_deadline_is_not_begun(bench: Bench) -> None:
    bench.objective._deadline = time.time() + 100
    assert bench.objective._check(expected=10) is False
    with pytest.raises(TrialInterruptedError):
        bench.objective._check(expected=200)


def test_a_resumed_trial_has_reported_what_it_reported_before(
    tmp_path: Path, faces: tuple[FaceDataset, Split], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, faces)
    with monkeypatch.context() as patch:
        stop_after(bench, 2, patch)
        interrupted = bench.run()
    bench.stop.clear()
    bench.worker.turn()
    trial = bench.study.get_trials()[1]
    assert trial.user_attrs["first_epoch"] == 3
    assert interrupted.intermediate_values.items() < trial.intermediate_values.items()


def test_an_unpromising_trial_is_pruned_with_its_figures(
    tmp_path: Path, faces: tuple[FaceDataset, Split]
) -> None:
    bench = Bench(tmp_path, faces, pruner=optuna.pruners.ThresholdPruner(lower=0.99, n_warmup_steps=2))
    trial = bench.run()
    accuracy = trial.intermediate_values[2]
    assert trial.state == TrialState.PRUNED and reason_of(trial) == f"accuracy {accuracy:.3f} after epoch 2"
    assert trial.user_attrs["metrics"]["accuracy"] == accuracy
    assert artifacts_of(bench) == [ALL_ARTIFACTS]


def test_after_the_last_epoch_nothing_is_left_to_prune(
    tmp_path: Path, faces: tuple[FaceDataset, Split]
) -> None:
    pruner = optuna.pruners.ThresholdPruner(lower=0.99)
    trial = Bench(tmp_path, faces, settings=settings(epochs=1), pruner=pruner).run()
    assert trial.state == TrialState.COMPLETE and trial.value == trial.intermediate_values[1]


@pytest.mark.parametrize(
    ("pruner", "planned", "epochs"), [("halving", 5, 4), ("halving", 4, 4), ("none", 5, 5)]
)
def test_a_network_that_never_leaves_the_most_frequent_class_is_pruned(
    tmp_path: Path, faces: tuple[FaceDataset, Split], pruner: str, planned: int, epochs: int
) -> None:
    changed = dataclasses.replace(settings(epochs=planned), pruner=pruner)
    bench = Bench(tmp_path, faces, settings=changed)
    # So slow that it stands still.
    trial = bench.run(optimizer="adam", adam_learning_rate=2e-4, norm="none", conv_dropout=0.2)
    assert len(trial.intermediate_values) == epochs
    assert trial.state == (TrialState.COMPLETE if epochs == planned else TrialState.PRUNED)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            DivergedError("the training loss is nan in epoch 1"),
            "diverged: the training loss is nan in epoch 1",
        ),
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory on cpu"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "out of memory on cpu"),
        (MemoryError(), "out of memory on cpu"),
    ],
)
def test_an_accident_prunes_the_trial_and_the_next_one_runs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def fail(self: Trainer, *arguments: Any) -> Any:
        raise error

    monkeypatch.setattr(Trainer, "_train", fail)
    trial = bench.run()
    assert trial.state == TrialState.PRUNED and reason_of(trial) == reason
    assert bench.checkpoints() == []
    monkeypatch.undo()
    assert bench.run(weight_decay=1e-3).state == TrialState.COMPLETE


def test_an_absurd_learning_rate_diverges_in_earnest(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.space._LEARNING_RATES", {"sgd": (0.01, 1e10)})
    trial = bench.run(norm="none", head="flatten", sgd_learning_rate=1e9)
    assert trial.state == TrialState.PRUNED
    assert reason_of(trial).startswith("diverged: the training loss is ")


def test_any_other_fault_stops_the_worker_with_the_trial_recorded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Trainer, *arguments: Any) -> Any:
        raise KeyError("nonsense")

    monkeypatch.setattr(Trainer, "_train", fail)
    with pytest.raises(KeyError):
        bench.run()
    (trial,) = bench.study.get_trials()
    assert trial.state == TrialState.FAIL and reason_of(trial) == "error: KeyError: 'nonsense'"


def test_a_full_disk_is_not_the_trials_fault(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fail)
        with pytest.raises(OSError, match="No space left"):
            bench.run()
    failed, queued = bench.study.get_trials()
    assert failed.state == TrialState.FAIL and reason_of(failed) == "the disk is full"
    assert queued.state == TrialState.WAITING and queued.user_attrs == {"continues": 0}


def test_a_trial_counts_without_its_pictures(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: Any) -> None:
        raise ConnectionError("the bucket can't be reached")

    monkeypatch.setattr("search.artifacts.upload_trial", fail)
    trial = bench.run()
    assert trial.state == TrialState.COMPLETE and trial.value is not None
    assert trial.user_attrs["pictures_missing"] == "the bucket can't be reached"
    assert "trial 0: its pictures can't be kept" in capsys.readouterr().err


def test_a_death_before_a_pruned_trials_pictures_are_kept_is_a_crash(
    tmp_path: Path, faces: tuple[FaceDataset, Split], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, reasons = Bench(tmp_path, faces, settings=settings(epochs=EPOCHS, max_macs=100_000)), []

    def upload(trial: optuna.Trial, classes: tuple[str, ...], store: Any, reason: str) -> None:
        reasons.append((reason, trial.user_attrs.get("reason")))

    monkeypatch.setattr("search.artifacts.upload_trial", upload)
    trial = bench.run()
    assert reasons == [(trial.user_attrs["reason"], None)] and reason_of(trial).startswith("over the limit")


def test_a_checkpoint_of_other_data_is_not_gone_on_from(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = drawn_dataset(70, 32, 16, seed=9)
    other = Bench(bench.folder / "other", (dataset, make_split(dataset)))
    monkeypatch.setattr(other.objective, "_checkpoints", bench.folder / "checkpoints")
    stop_after(other, 2, monkeypatch)
    assert other.run().state == TrialState.FAIL and len(bench.checkpoints()) == 1
    trial = bench.run()
    assert trial.state == TrialState.COMPLETE and trial.user_attrs["first_epoch"] == 1


def test_a_worker_that_was_taken_for_dead_leaves_the_trial_to_the_others(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = bench.objective._report

    def taken(trial: optuna.Trial, result: Any) -> bool:
        if result.epoch == 2:
            bench.study.tell(trial.number, state=TrialState.FAIL)
        return report(trial, result)

    monkeypatch.setattr(bench.objective, "_report", taken)
    trial = bench.run()
    assert trial.state == TrialState.FAIL and len(bench.checkpoints()) == 1
    assert len(bench.study.get_trials()) == 1


def test_a_trial_that_a_lost_database_cut_off_is_queued_when_it_is_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(trial: optuna.Trial, result: Any) -> bool:
        error = optuna.exceptions.StorageInternalError()
        error.__cause__ = sqlalchemy.exc.OperationalError("INSERT", {}, Exception("gone"))
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(bench.objective, "_report", fail)
        with pytest.raises(optuna.exceptions.StorageInternalError):
            bench.run()
    assert [t.state.name for t in bench.study.get_trials()] == ["RUNNING"]
    assert bench.worker.turn()
    failed, again = bench.study.get_trials()
    assert reason_of(failed) == "the database was lost" and again.state == TrialState.COMPLETE
    assert again.user_attrs["first_epoch"] == 2 and "crashes" not in again.user_attrs


def test_a_worker_is_done_when_the_study_has_its_total(
    tmp_path: Path, faces: tuple[FaceDataset, Split]
) -> None:
    bench = Bench(tmp_path, faces, total=1)
    assert bench.run().state == TrialState.COMPLETE
    assert not bench.worker.turn()
    assert len(bench.study.get_trials()) == 1
