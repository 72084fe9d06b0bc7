import datetime
import json
import math
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

import optuna
import psutil
import pytest
import sqlalchemy
from optuna.trial import FrozenTrial, TrialState

from search import recovery
from search.recovery import (
    CONTINUES,
    CRASHES,
    NETWORK,
    PROPOSAL,
    REASON,
    SKIPPED,
    give_up,
    is_doubled,
    is_poison,
    queue_again,
    reason_of,
    reclaim,
    remove_orphans,
    requeue_lost,
    worker_identity,
)
from search.storage import (
    Patience,
    Places,
    heartbeat_silences,
    is_lost,
    lost_reason,
    open_storage,
    transaction,
)
from search.study import quiet_optuna


@pytest.fixture
def study(tmp_path: Path) -> optuna.Study:
    quiet_optuna()
    places = Places("s", f"sqlite:///{tmp_path}/study.db", tmp_path)
    return optuna.create_study(
        study_name="s", storage=open_storage(places, create=True), direction="maximize"
    )


def begin(study: optuna.Study, **attributes: Any) -> optuna.Trial:
    """A running trial that has sampled x and recorded the attributes."""
    trial = study.ask()
    for name, value in attributes.items():
        trial.set_user_attr(name, value)
    trial.suggest_float("x", 0, 1)
    return trial


def frozen(study: optuna.Study, number: int) -> FrozenTrial:
    return study.get_trials()[number]


def states(study: optuna.Study) -> list[str]:
    return [trial.state.name for trial in study.get_trials()]


def identity(**changes: Any) -> dict[str, Any]:
    return {**worker_identity(), **changes}


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_dead_workers_trial_is_queued_with_its_parameters_and_nothing_else(study: optuna.Study) -> None:
    worker = identity(pid=dead_process())
    trial = begin(study, worker=worker, network="plain", proposal="a", first_epoch=3, curve=[1])
    trial.report(0.5, 1)
    assert reclaim(study, study.get_trials())
    assert states(study) == ["FAIL", "WAITING"]
    assert frozen(study, 1).user_attrs == {NETWORK: "plain", CONTINUES: 0, CRASHES: 1}
    assert frozen(study, 1).intermediate_values == {}
    again = study.ask()
    assert again.number == 1 and again.suggest_float("x", 0, 1) == trial.params["x"]
    assert not reclaim(study, study.get_trials(states=(TrialState.FAIL,)))


def test_a_process_that_is_dead_but_not_yet_reaped_is_dead(study: optuna.Study) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    begin(study, worker=identity(pid=child.pid, began=recovery._began(psutil.Process(child.pid))))
    assert not reclaim(study, study.get_trials())
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert reclaim(study, study.get_trials())
    child.wait()


@pytest.mark.parametrize(
    ("changes", "dead"),
    [
        ({}, False),
        ({"began": -86400.0}, True),  # another process has its number now
        ({"boot": "an earlier one"}, True),
        ({"host": "elsewhere", "pid": 2**22 + 1}, False),
        ({"space": "another container's", "pid": 2**22 + 1}, False),
        ({"pid": 2**22 + 1}, True),
    ],
)
def test_only_the_dead_of_this_machine_are_reclaimed(
    study: optuna.Study, changes: dict[str, Any], dead: bool
) -> None:
    begin(study, worker=identity(**changes))
    assert reclaim(study, study.get_trials()) == dead
    assert states(study) == (["FAIL", "WAITING"] if dead else ["RUNNING"])


@pytest.mark.skipif(not psutil.LINUX, reason="elsewhere a process keeps the time at which it began")
def test_a_clock_that_is_set_kills_nobody(study: optuna.Study, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(study, worker=worker_identity())
    boot, create_time = psutil.boot_time(), psutil.Process.create_time
    monkeypatch.setattr(psutil, "boot_time", lambda: boot + 3600)
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: create_time(process) + 3600)
    assert not reclaim(study, study.get_trials())


def test_a_trial_that_never_named_its_worker_is_dead_after_a_while(study: optuna.Study) -> None:
    begin(study)
    assert not reclaim(study, study.get_trials())
    (trial,) = study.get_trials()
    assert trial.datetime_start is not None
    trial.datetime_start -= datetime.timedelta(minutes=10)
    assert reclaim(study, [trial])
    assert states(study) == ["FAIL", "WAITING"]


def test_a_trial_that_kills_three_workers_is_skipped(study: optuna.Study) -> None:
    study.enqueue_trial({"x": 0.25}, user_attrs={NETWORK: "plain"})
    for crashes in range(3):
        trial = begin(study, worker=identity(pid=2**22 + 1))
        assert trial.params == {"x": 0.25} and trial.user_attrs.get(CRASHES, 0) == crashes
        reclaim(study, study.get_trials())
    assert states(study) == ["FAIL"] * 3
    reasons = [reason_of(trial) for trial in study.get_trials()]
    assert reasons == ["its worker died"] * 2 + ["its worker died three times; it isn't run again"]
    assert study.user_attrs[SKIPPED] == {"2": reasons[2]}
    assert [is_poison(trial) for trial in study.get_trials()] == [False, False, True]
    requeue_lost(study)
    assert states(study) == ["FAIL"] * 3


def test_a_trial_that_gains_epochs_between_deaths_is_never_skipped(study: optuna.Study) -> None:
    study.enqueue_trial({"x": 0.25})
    for life in range(5):
        trial = begin(study, worker=identity(pid=2**22 + 1), first_epoch=life + 1)
        trial.report(0.5, life + 1)
        reclaim(study, study.get_trials())
    assert states(study) == ["FAIL"] * 5 + ["WAITING"]
    assert frozen(study, 5).user_attrs == {CONTINUES: 4, CRASHES: 1}
    assert not any(is_poison(trial) for trial in study.get_trials())


def test_an_interruption_is_no_crash(study: optuna.Study) -> None:
    for _ in range(5):
        give_up(begin(study, worker=worker_identity()), "interrupted")
    assert states(study) == ["FAIL"] * 5 + ["WAITING"]
    assert frozen(study, 5).user_attrs == {CONTINUES: 4}
    assert reason_of(frozen(study, 4)) == "interrupted"


def test_crashes_before_an_interruption_still_count(study: optuna.Study) -> None:
    begin(study, worker=identity(pid=2**22 + 1))
    reclaim(study, study.get_trials())
    give_up(begin(study), "interrupted")
    assert frozen(study, 2).user_attrs == {CONTINUES: 1, CRASHES: 1}


def test_giving_up_a_trial_that_others_took_changes_nothing(study: optuna.Study) -> None:
    trial = begin(study)
    study.tell(trial.number, 0.5)
    give_up(trial, "interrupted")
    assert states(study) == ["COMPLETE"]


def test_a_trial_that_had_sampled_nothing_is_not_queued(study: optuna.Study) -> None:
    trial = study.ask()
    give_up(trial, "interrupted")
    assert states(study) == ["FAIL"]


@pytest.mark.parametrize(
    ("reason", "queued"),
    [
        ("interrupted", True),
        (None, True),
        ("surplus", True),
        ("doubled", False),
        ("error: KeyError: 1", False),
    ],
)
def test_what_a_dying_process_failed_but_did_not_queue_is_queued_once(
    study: optuna.Study, reason: str | None, queued: bool
) -> None:
    trial = begin(study, **({REASON: reason} if reason else {}))
    study.tell(trial, state=TrialState.FAIL)
    for _ in range(2):
        requeue_lost(study)
    assert states(study) == ["FAIL"] + ["WAITING"] * queued


def test_of_two_that_go_on_from_the_same_trial_the_first_counts(study: optuna.Study) -> None:
    give_up(begin(study), "interrupted")
    queue_again(study, frozen(study, 0))
    trials = study.get_trials()
    assert [is_doubled(trial, trials) for trial in trials] == [False, False, True]


def test_checkpoints_that_nobody_goes_on_from_are_removed(study: optuna.Study, tmp_path: Path) -> None:
    give_up(begin(study, **{PROPOSAL: "a" * 16}), "interrupted")
    study.ask()  # goes on from it, and has not yet sampled
    begin(study, **{PROPOSAL: "b" * 16})
    study.tell(begin(study, **{PROPOSAL: "c" * 16}), 0.5)
    give_up(begin(study, **{PROPOSAL: "d" * 16}), "interrupted")
    # A checkpoint of a trial that isn't known, e, is that of another study.
    for name in (*(letter * 16 + ".pt" for letter in "abcde"), "export.pt", "old.pt.1.tmp", "new.pt.2.tmp"):
        (tmp_path / name).touch()
    os.utime(tmp_path / "old.pt.1.tmp", (0, 0))
    assert states(study) == ["FAIL", "RUNNING", "RUNNING", "COMPLETE", "FAIL", "WAITING"]
    remove_orphans(study, tmp_path)
    left = {path.name for path in tmp_path.iterdir()} - {"study.db"}
    assert left == {*(letter * 16 + ".pt" for letter in "abde"), "export.pt", "new.pt.2.tmp"}


def test_a_checkpoint_outlives_continuations_that_never_proposed(study: optuna.Study, tmp_path: Path) -> None:
    (tmp_path / ("a" * 16 + ".pt")).touch()
    give_up(begin(study, **{PROPOSAL: "a" * 16}), "interrupted")
    for number in (1, 2):
        give_up(study.ask(), "interrupted")
        assert frozen(study, number + 1).user_attrs[CONTINUES] == number
    remove_orphans(study, tmp_path)
    assert list(tmp_path.glob("*.pt"))


def beat(study: optuna.Study, trial: optuna.Trial, seconds_ago: float) -> None:
    """Record a heartbeat as if it were so old."""
    storage = study._storage._backend  # type: ignore[attr-defined]
    storage.record_heartbeat(trial._trial_id)
    then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds_ago)
    with storage.engine.begin() as connection:
        said = sqlalchemy.text("UPDATE trial_heartbeats SET heartbeat = :then WHERE trial_id = :id")
        connection.execute(said, {"then": f"{then:%Y-%m-%d %H:%M:%S}", "id": trial._trial_id})


@pytest.mark.parametrize(
    ("changes", "longest"),
    [
        ({"host": "elsewhere", "pid": 2**22 + 1}, 180),
        ({"space": "another container's", "pid": 2**22 + 1}, 180),
        # This machine before its last start, or another of its name.
        ({"boot": "another"}, 60),
        ({"boot": ""}, 60),
        # Its process is seen to live: the machine was suspended, or its clock set.
        ({}, math.inf),
    ],
)
def test_a_worker_that_isnt_seen_is_dead_when_its_heartbeat_is_silent(
    study: optuna.Study, changes: dict[str, Any], longest: float
) -> None:
    trial = begin(study, worker=identity(**changes))
    for silence in (0, 50, 170, 10_000):
        dead = silence > longest
        beat(study, trial, silence)
        assert reclaim(study, study.get_trials()) == dead
        if dead:
            break
    assert states(study) == (["FAIL", "WAITING"] if dead else ["RUNNING"])
    assert not dead or frozen(study, 1).user_attrs == {CONTINUES: 0, CRASHES: 1}


def test_a_dead_process_of_this_machine_isnt_waited_for(study: optuna.Study) -> None:
    beat(study, begin(study, worker=identity(pid=2**22 + 1)), 0)
    assert reclaim(study, study.get_trials())


def test_heartbeats_of_finished_trials_and_other_studies_arent_told(study: optuna.Study) -> None:
    other = optuna.create_study(study_name="t", storage=study._storage)
    trials = [begin(each) for each in (study, study, other)]
    for trial in trials:
        beat(study, trial, 30)
    study.tell(trials[0], 0.5)
    assert heartbeat_silences(study) == {trials[1]._trial_id: pytest.approx(30, abs=10)}
    assert heartbeat_silences(optuna.create_study()) == {}


def test_machines_of_a_system_without_boot_ids_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", mock.Mock(side_effect=FileNotFoundError))
    boots = []
    for node in (1, 2):
        monkeypatch.setattr("uuid.getnode", lambda node=node: node)
        boots.append(worker_identity()["boot"])
    assert all(boots) and boots[0] != boots[1]


def _take_all(places: Places, taken: Any) -> None:
    quiet_optuna()
    study = optuna.load_study(study_name="s", storage=open_storage(places, patience=Patience(60)))
    numbers = []
    while study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        trial = study.ask()
        numbers.append((trial.number, trial.suggest_float("x", 0, 1)))
        study.tell(trial, 0.0)
    taken.put(numbers)


def test_workers_that_empty_a_queue_at_once_take_each_trial_once(study: optuna.Study, tmp_path: Path) -> None:
    for x in range(20):
        study.enqueue_trial({"x": x / 20})
    context = multiprocessing.get_context("spawn")
    taken = context.Queue()
    places = Places("s", f"sqlite:///{tmp_path}/study.db", tmp_path)
    workers = [context.Process(target=_take_all, args=(places, taken)) for _ in range(3)]
    for worker in workers:
        worker.start()
    counts = Counter(number for _ in workers for number, _ in taken.get(timeout=300))
    for worker in workers:
        worker.join()
    assert set(counts.values()) == {1} and set(range(20)) <= set(counts)


def test_identities_survive_json_and_name_the_machine() -> None:
    me = worker_identity()
    assert json.loads(json.dumps(me)) == me
    assert me["host"] == socket.gethostname() and me["pid"] == os.getpid()


def test_a_transaction_is_seen_as_a_whole_or_not_at_all(study: optuna.Study, tmp_path: Path) -> None:
    def recorded() -> dict[str, Any]:
        places = Places("s", f"sqlite:///{tmp_path}/study.db", tmp_path)
        return optuna.load_study(study_name="s", storage=open_storage(places)).trials[0].user_attrs

    trial = study.ask()
    with transaction(study):
        trial.suggest_int("x", 1, 1)
        trial.set_user_attr("a", 1)
        with transaction(study):  # of a caller's caller: the outermost counts
            trial.set_user_attr("b", 2)
        assert recorded() == {}
        # What is written is read at once by the one who wrote it.
        assert study.trials[0].user_attrs == {"a": 1, "b": 2} and study.trials[0].params == {"x": 1}
    assert recorded() == {"a": 1, "b": 2}
    with pytest.raises(ZeroDivisionError), transaction(study):
        trial.set_user_attr("c", 3)
        raise ZeroDivisionError
    assert recorded() == {"a": 1, "b": 2}
    trial.set_user_attr("d", 4)
    assert recorded() == {"a": 1, "b": 2, "d": 4}


def test_a_transaction_that_fails_is_a_lost_database(study: optuna.Study) -> None:
    trial = study.ask()
    lost = sqlalchemy.exc.OperationalError("COMMIT", {}, Exception("server closed the connection"))
    with (
        mock.patch("sqlalchemy.orm.Session.commit", side_effect=lost),
        pytest.raises(optuna.exceptions.StorageInternalError) as caught,
        transaction(study),
    ):
        trial.set_user_attr("a", 1)
    assert is_lost(caught.value) and "server closed" in lost_reason(caught.value)
    trial.set_user_attr("b", 2)
    assert study.trials[0].user_attrs == {"b": 2}
