"""Crews of real processes with simple tasks, and what they tell of their ends."""

from __future__ import annotations

import errno
import os
import re
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace

import joblib
import psutil
import pytest

from search import memory, processes
from search.child import guard
from search.processes import Crew, plan_devices, plan_workers
from search.storage import StudyError


def _run(task: str, errors: Connection | None = None) -> None:
    guard(lambda: _obey(task), errors)


def _obey(task: str) -> None:
    word, _, rest = task.partition(" ")
    if word == "lives":
        # Dies by SIGKILL while there is a life left in the folder.
        lives = sorted(Path(rest).iterdir())
        if lives:
            lives[0].unlink()
            os.kill(os.getpid(), signal.SIGKILL)
    elif word == "wrong":
        raise StudyError("the study is wrong")
    elif word == "full":
        raise OSError(errno.ENOSPC, "No space left on device", "/x.pt")
    elif word == "fault":
        raise KeyError("nonsense")
    elif word == "sleep":
        Path(rest).write_text(str(os.getpid()))
        time.sleep(600)


def _wait_for(path: Path) -> int:
    limit = time.monotonic() + 120
    while time.monotonic() < limit:
        if path.exists() and path.read_text():
            return int(path.read_text())
        time.sleep(0.05)
    raise AssertionError(f"{path} did not appear")


def run(*tasks: str) -> None:
    crew = Crew(_run, tasks)
    try:
        for _ in crew.watch():
            pass
    finally:
        crew.stop()


def test_a_process_that_is_killed_is_replaced(tmp_path: Path) -> None:
    for life in "ab":
        (tmp_path / life).touch()
    run(f"lives {tmp_path}", "nothing")
    assert not list(tmp_path.iterdir())


def test_processes_that_keep_dying_end_the_crew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.processes._MOST_DEATHS", 2)
    for life in "abc":
        (tmp_path / life).touch()
    said = "2 workers died within 5 minutes, the last by signal 9; .* required: fewer --workers if .*memory"
    with pytest.raises(StudyError, match=said):
        run(f"lives {tmp_path}")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("wrong", "^the study is wrong$"),
        ("full", r"^the disk is full \(/x.pt\); free some space and run the same command again$"),
    ],
)
def test_an_error_that_a_person_can_mend_is_told_once(
    task: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StudyError, match=message):
        run(task)
    assert capfd.readouterr().err == ""


def test_a_faults_traceback_is_shown_once(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StudyError, match="a worker failed with the traceback above"):
        run("fault", "nothing")
    errors = capfd.readouterr().err
    assert len(re.findall("Traceback", errors)) == 1 and "KeyError: 'nonsense'" in errors


def test_stopping_ends_all_processes(tmp_path: Path) -> None:
    crew = Crew(_run, [f"sleep {tmp_path}/{name}" for name in "ab"])
    numbers = [_wait_for(tmp_path / name) for name in "ab"]
    crew.stop(patience=60)
    assert not any(psutil.pid_exists(number) for number in numbers)


def test_a_process_that_ignores_the_end_is_killed(tmp_path: Path) -> None:
    crew = Crew(_run, [f"sleep {tmp_path}/a"])
    number = _wait_for(tmp_path / "a")
    os.kill(number, signal.SIGSTOP)
    started = time.monotonic()
    crew.stop(patience=0.5)
    assert not psutil.pid_exists(number) and time.monotonic() - started < 30


def test_without_a_connection_the_reason_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    def act() -> None:
        raise StudyError("the study is wrong")

    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    try:
        with pytest.raises(SystemExit) as ended:
            guard(act)
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), handlers, strict=True):
            signal.signal(number, handler)
    assert ended.value.code == 2 and capsys.readouterr().err == "the study is wrong\n"


@pytest.mark.parametrize(("workers", "number"), [("1", 1), ("3", 3), ("auto", None)])
def test_workers_are_planned(workers: str, number: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "free_memory", lambda: 10**12)
    assert plan_workers(workers, "cpu") == (number or joblib.cpu_count())


@pytest.mark.parametrize("workers", ["0", "-1", "two", "", "1.5"])
def test_other_numbers_of_workers_are_refused(workers: str) -> None:
    with pytest.raises(StudyError, match="required: auto or a number of at least 1"):
        plan_workers(workers, "cpu")


def test_cores_are_shared_out_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(processes, "free_memory", lambda: 10**12)
    assert plan_devices("cpu", 3) == [("cpu", 2)] * 3
    assert plan_devices("cpu", 20) == [("cpu", 1)] * 20
    assert plan_workers("auto", "cpu") == 8


@pytest.mark.parametrize(("gigabytes", "workers"), [(0.5, 1), (5.0, 4), (100.0, 8)])
def test_there_are_no_more_workers_than_fit_in_memory(
    gigabytes: float, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_cores", lambda: 8)
    monkeypatch.setattr(processes, "free_memory", lambda: int(gigabytes * 1e9))
    assert plan_workers("auto", "cpu") == workers


_V1 = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
_V2 = "memory.max", "memory.current", "inactive_file"


@pytest.mark.parametrize(
    ("own", "names", "limits", "left"),
    [
        ("0::/job/step", _V2, {"job/step": "9000", "job": "5000", "": "max"}, 4100),
        ("0::/job/step", _V2, {"job/step": "max", "job": "max"}, 100_000),
        ("0::/job/step", _V2, {"job/step": "999999"}, 100_000),
        # Of a container: its path is the machine's, its group is the root.
        ("0::/docker/1", _V2, {"": "3000"}, 2100),
        ("1:name=systemd:/x\n4:cpu,memory:/job", _V1, {"memory/job": "3000", "memory": str(2**63)}, 2100),
        ("4:cpu:/job", _V1, {"memory/job": "3000"}, 100_000),
    ],
)
def test_a_containers_or_jobs_limit_counts_as_memory(
    own: str,
    names: tuple[str, str, str],
    limits: dict[str, str],
    left: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit, taken, inactive = names
    for group, value in limits.items():
        folder = tmp_path / "groups" / group
        folder.mkdir(parents=True, exist_ok=True)
        (folder / limit).write_text(f"{value}\n")
        (folder / taken).write_text("1000\n")
        (folder / "memory.stat").write_text(f"anon 900\n{inactive} 100\n")
    (tmp_path / "own").write_text(f"{own}\n")
    monkeypatch.setattr(memory, "_OWN", tmp_path / "own")
    monkeypatch.setattr(memory, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=100_000))
    assert memory.free_memory() == left


def test_gpus_are_shared_out_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert [name for name, _ in plan_devices("auto", 3)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert [name for name, _ in plan_devices("cuda:1", 2)] == ["cuda:1", "cuda:1"]
    assert plan_workers("auto", "auto") == 2 and plan_workers("auto", "cuda:1") == 1


def test_a_process_that_keeps_dying_is_given_up(tmp_path: Path) -> None:
    for life in range(3):
        (tmp_path / str(life)).touch()
    crew = Crew(_run, [f"lives {tmp_path}"], most_deaths=2)
    said = "died 2 times, the last by signal 9; .* required: fewer --workers if .*memory"
    with pytest.raises(StudyError, match=said):
        for _ in crew.watch():
            pass
    crew.stop()
    assert len(list(tmp_path.iterdir())) == 1
