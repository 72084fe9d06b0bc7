"""The real command line on drawn faces: a whole run, interruptions of every kind, and a deadline."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

import cv2
import optuna
import psutil
import pytest
from optuna.trial import FrozenTrial, TrialState

from search import run
from search.recovery import FINISHED, reason_of
from search.run import _parser, _search_and_export
from search.storage import Places
from search.study import create_study, finished_trials, quiet_optuna
from tests.search.faces import await_trial, command, read_trials, start, write_faces
from tests.search.synthetic import settings, synthetic_trial
from zoo.data import make_split
from zoo.data.drawn import draw_face, drawn_dataset
from zoo.errors import ZooError

STORAGE = "studies/s/study.db"
QUICK = ["--max-macs", "10M", "--workers", "1", "--study", "s", "--device", "cpu"]


def assert_exact(trials: Sequence[FrozenTrial], total: int) -> list[FrozenTrial]:
    """Exactly so many trials are finished, none lost, none doubled; returns those that were continued."""
    finished = [trial for trial in trials if trial.state in FINISHED]
    assert len(finished) == total, Counter(trial.state.name for trial in trials)
    assert not [trial for trial in trials if trial.state == TrialState.RUNNING]
    trained = [t.user_attrs["proposal"] for t in finished if "duplicate_of" not in t.user_attrs]
    assert len(set(trained)) == len(trained)
    continued = []
    for trial in trials:
        sampled = trial.params or trial.system_attrs.get("fixed_params")
        if trial.state != TrialState.FAIL or not sampled or reason_of(trial) == "doubled":
            continue
        (successor,) = [other for other in trials if other.user_attrs.get("continues") == trial.number]
        continued.append(successor)
        if trial.intermediate_values and "first_epoch" in successor.user_attrs:
            # Every epoch that was reported had been saved: at most the one that was running is lost.
            assert successor.user_attrs["first_epoch"] > max(trial.intermediate_values)
    return continued


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_faces(tmp_path_factory.mktemp("data") / "faces.csv")


@pytest.mark.slow
def test_from_three_trials_to_a_prediction(data: Path, tmp_path: Path) -> None:
    run = ["--data", data, *QUICK, "--trials", "3", "--epochs", "2", "--export", "1", "--final-epochs", "2"]
    status, output, errors = command("search.run", run, tmp_path)
    assert status == 0, errors
    assert "study s: 0 of 3 trials done" in errors and "Traceback" not in errors and "Warning" not in errors
    assert len(re.findall(r"^trial \d+: ", errors, re.MULTILINE)) == 3
    # A single file again that is complete by itself.
    assert [path.name for path in (tmp_path / "studies/s").glob("study.db*")] == ["study.db"]
    assert (tmp_path / STORAGE).read_bytes()[18:20] == b"\x01\x01"
    assert_exact(read_trials(f"sqlite:///{tmp_path / STORAGE}", "s"), 3)
    (model,) = (tmp_path / "models").iterdir()
    assert model.name in output and not list((tmp_path / "studies/s/checkpoints").glob("*"))
    picture = cv2.resize(draw_face("happy", seed=1, size=96), (192, 192))
    cv2.imwrite(str(tmp_path / "face.png"), picture)
    status, output, errors = command("zoo.predict", [model, "face.png"], tmp_path)
    assert status == 0 and "face.png" in output, errors

    # Asked for less than there is, it runs nothing and exports what it exported.
    run[run.index("--trials") + 1] = "2"
    status, output, errors = command("search.run", run, tmp_path)
    assert status == 0 and "3 of 2 trials done" in errors and model.name in output, errors
    # In full again, from the first network: another recipe is another training.
    taught = ["s", "--epochs", "1", "--data", data, "--set", f"teacher={model}", "--set", "label_smoothing=0"]
    status, output, errors = command("search.export", taught, tmp_path)
    assert status == 0 and "epoch 1 of 1" in errors, errors
    recipe = json.loads(Path(f"{model}-2", "card.json").read_text())["recipe"]
    assert json.loads((model / "card.json").read_text())["recipe"]["teacher"] == ""
    assert recipe["teacher"] == str(model) and recipe["epochs"] == 1
    status, output, errors = command("search.export", [*taught, "--set", "epoch=3"], tmp_path)
    assert status == 2 and "epoch" in errors and "Traceback" not in errors
    status, output, errors = command("search.run", [*run, "--seed", "9"], tmp_path)
    assert status == 2 and "seed 9 instead of 0" in errors and "Traceback" not in errors
    # What isn't said is as the study has it.
    status, output, errors = command(
        "search.run", ["--data", data, "--study", "s", "--trials", "2", "--export", "0"], tmp_path
    )
    assert status == 0 and "2 epochs a trial" in errors, errors
    for program, arguments, said in (
        ("search.run", ["--data", data, "--study", "t", "--max-macs", "30"], "the limits leave no network"),
        ("search.run", ["--data", data, "--study", "t", "--seed", "-1"], "seed is -1"),
        ("search.run", ["--data", data, "--study", "t", "--models", "face.png/x"], "no folder can be made"),
        ("search.run", ["--data", data, "--storage", "sqlite:///face.png/x.db"], "no folder can be made"),
        ("search.run", ["--data", data, "--storage", "sqlite:///face.png"], "can't be opened"),
        ("search.export", ["s", "--top", "0"], "--top is 0"),
        ("search.report", ["s", "--out", "face.png"], "no folder can be made"),
        ("search.dashboard", ["s", "--port", "99999"], "--port is 99999"),
    ):
        status, output, errors = command(program, arguments, tmp_path)
        assert status == 2 and said in errors and "Traceback" not in errors, errors
    assert not (tmp_path / "studies/t").exists()


@pytest.fixture
def search_and_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], optuna.Study]:
    """Runs what comes after the search, on a study of one complete trial; returns the study."""
    quiet_optuna()
    monkeypatch.chdir(tmp_path)
    places, dataset = Places.of("s"), drawn_dataset(20, 10, 10)
    split = make_split(dataset)
    study = create_study(places, settings(), split)
    study.add_trial(synthetic_trial(0, kind="complete"))
    options = _parser().parse_args(["--trials", "1"])

    def call() -> optuna.Study:
        _search_and_export(options, places, settings(), dataset, split, time.time(), None)
        return study

    return call


def test_the_best_networks_are_trained_also_where_the_studys_pictures_cant_be_kept(
    search_and_export: Callable[[], optuna.Study],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    export = mock.Mock(return_value=[])
    monkeypatch.setattr("search.export.export_trials", export)
    full = OSError(errno.ENOSPC, "No space left on device", "history.png")
    monkeypatch.setattr("search.report.write_pictures", mock.Mock(side_effect=full))
    study = search_and_export()
    assert export.call_args.args[1] == finished_trials(study)
    told = capsys.readouterr()
    assert "note: the study's pictures can't be kept ([Errno 28] No space left on device: 'hi" in told.err
    assert "Pictures in" not in told.out


def test_what_the_search_found_is_told_also_where_the_best_networks_cant_be_trained(
    search_and_export: Callable[[], optuna.Study],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("search.report.write_pictures", mock.Mock(return_value=[]))
    monkeypatch.setattr("search.export.export_trials", mock.Mock(side_effect=ZooError("a worker died")))
    with pytest.raises(ZooError, match="a worker died"):
        search_and_export()
    told = capsys.readouterr().out
    assert "Best trials of s" in told and "Saved networks" not in told


def test_a_models_folder_that_cant_be_written_is_told_before_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.study.find_settings", lambda places: None)
    monkeypatch.setattr(run, "_search_and_export", mock.Mock(side_effect=AssertionError))
    refused = mock.Mock(side_effect=PermissionError(errno.EACCES, "Permission denied"))
    monkeypatch.setattr("tempfile.TemporaryFile", refused)
    said = f"--models {tmp_path}: nothing can be written there .*required: a folder that can be written"
    with pytest.raises(ZooError, match=said):
        run.main(["--models", str(tmp_path), "--device", "cpu"])


def kill_in_mid_trial(process: subprocess.Popen[str], storage: str, *, after: int = -1) -> FrozenTrial:
    """`kill -9` the worker of a trial that has reported an epoch and still runs; returns the trial."""
    while True:

        def runs(trial: FrozenTrial) -> bool:
            begun = trial.state == TrialState.RUNNING and len(trial.intermediate_values) > 0
            return begun and trial.number > after

        worker = await_trial(process, storage, "s", runs).user_attrs["worker"]["pid"]
        # Stopped first, so that it is certain what it was doing.
        os.kill(worker, signal.SIGSTOP)
        stopped = [
            trial
            for trial in read_trials(storage, "s")
            if runs(trial) and trial.user_attrs["worker"]["pid"] == worker
        ]
        os.kill(worker, signal.SIGKILL if stopped else signal.SIGCONT)
        if stopped:
            return stopped[0]


@pytest.mark.slow
def test_nothing_is_lost_by_ctrl_c_and_kill_9(tmp_path: Path) -> None:
    """A worker killed, the run interrupted, the parent killed: exactly as many trials as asked for."""
    data = write_faces(tmp_path / "faces.csv", training=600, public=100, private=50)
    storage = f"sqlite:///{tmp_path / STORAGE}"
    run = ["--data", data, *QUICK, "--trials", "5", "--epochs", "6", "--pruner", "none", "--export", "0"]

    process = start("search.run", run, tmp_path)
    killed = [kill_in_mid_trial(process, storage)]
    interrupted = await_trial(
        process,
        storage,
        "s",
        lambda t: (
            t.number > killed[0].number and t.state == TrialState.RUNNING and bool(t.intermediate_values)
        ),
    )
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does: to parent and workers
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130, errors
    assert "stopped; everything finished is kept. To go on:" in errors and "Traceback" not in errors
    assert f"python -m search.run --data {data}" in errors
    assert [t for t in read_trials(storage, "s") if t.state == TrialState.RUNNING] == []

    process = start("search.run", run, tmp_path)
    second = await_trial(
        process,
        storage,
        "s",
        lambda t: (
            t.number > interrupted.number and t.state == TrialState.RUNNING and bool(t.intermediate_values)
        ),
    )
    worker = psutil.Process(second.user_attrs["worker"]["pid"])
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    worker.wait(timeout=120)  # no worker outlives its parent

    status, _, errors = command("search.run", run, tmp_path)
    assert status == 0 and "Traceback" not in errors, errors
    trials = read_trials(storage, "s")
    continued = assert_exact(trials, 5)
    resumed = [
        t for t in continued if t.user_attrs.get("first_epoch", 0) > 1 and t.state == TrialState.COMPLETE
    ]
    assert len(resumed) >= 2
    by_killed = next(t for t in trials if t.user_attrs.get("continues") == killed[0].number)
    assert by_killed.user_attrs["crashes"] == 1 and by_killed.user_attrs["first_epoch"] > 1
    assert reason_of(trials[killed[0].number]) == "its worker died"
    assert not list((tmp_path / "studies/s/checkpoints").glob("*"))


@pytest.mark.slow
def test_a_run_with_a_deadline_ends_within_it(data: Path, tmp_path: Path) -> None:
    started = time.monotonic()
    arguments = ["--data", data, *QUICK, "--trials", "1000", "--timeout", "60s"]
    status, output, errors = command("search.run", arguments, tmp_path)
    assert status == 0, errors
    assert time.monotonic() - started < 60
    assert list((tmp_path / "models").iterdir()), errors


def test_a_password_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "_search_and_export", stop)
    monkeypatch.setattr("search.study.find_settings", lambda places: None)
    for given in (["--storage", "postgresql://me:secret@db/x"], ["--storage=postgresql://me:secret@db/x"]):
        assert run.main([*given, "--export", "0"]) == 130
        told = capsys.readouterr().err
        assert "me:***@db/x" in told and "secret" not in told


def test_a_refused_command_leaves_the_storage_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("studies/fer2013-30m/study.db")
    path.parent.mkdir(parents=True)
    shutil.copy(Path(run.__file__).parents[1] / path, path)
    before = path.read_bytes()
    with pytest.raises(ZooError):
        run.main(["--study", "fer2013-30m", "--epochs", "3"])
    assert path.read_bytes()[18:20] == before[18:20] == b"\x01\x01"  # no write-ahead log
