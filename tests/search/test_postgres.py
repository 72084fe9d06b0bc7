"""Four workers on one study in a real PostgreSQL: two are killed, and the database is restarted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.trial import FrozenTrial, TrialState

from search.processes import Crew
from search.recovery import FINISHED, reason_of
from search.storage import Places, StudyError
from search.worker import WorkerTask, work
from tests.search.faces import await_trial, command, read_trials, start, write_faces
from tests.search.postgres import PostgresServer, find_postgres
from tests.search.test_run import QUICK, assert_exact, kill_in_mid_trial

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

TRIALS = 8


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    pytest.importorskip(
        "psycopg", reason="psycopg is not installed: pip install 'expression-search[postgres]'"
    )
    programs = find_postgres()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with PostgresServer(programs) as server:
        yield server


def test_four_workers_lose_nothing_to_kills_and_a_restart(server: PostgresServer, tmp_path: Path) -> None:
    data = write_faces(tmp_path / "faces.csv", training=400, public=100, private=50)
    options = ["--trials", str(TRIALS), "--epochs", "6", "--pruner", "none", "--export", "0"]
    run = ["--data", data, *QUICK, *options, "--workers", "4", "--storage", server.url]
    process = start("search.run", run, tmp_path)
    killed = [kill_in_mid_trial(process, server.url)]
    killed.append(kill_in_mid_trial(process, server.url, after=killed[0].number))

    def runs(trial: FrozenTrial) -> bool:
        return trial.state == TrialState.RUNNING and bool(trial.intermediate_values)

    await_trial(process, server.url, "s", runs)
    server.stop()
    time.sleep(3)
    server.start()
    _, errors = process.communicate(timeout=900)
    assert process.returncode == 0 and "Traceback" not in errors, errors

    trials = read_trials(server.url, "s")
    assert_exact(trials, TRIALS)
    for trial in killed:
        assert reason_of(trials[trial.number]) == "its worker died"
        (successor,) = [other for other in trials if other.user_attrs.get("continues") == trial.number]
        assert successor.user_attrs["crashes"] == 1
        assert successor.user_attrs["first_epoch"] > max(trial.intermediate_values) >= 1

    # Another sitting finds everything done.
    status, _, errors = command("search.run", run, tmp_path)
    assert status == 0 and f"{TRIALS} of {TRIALS} trials done" in errors, errors
    assert len(read_trials(server.url, "s")) == len(trials)


def test_a_database_that_stays_away_ends_the_run_and_the_study_resumes(
    server: PostgresServer, tmp_path: Path
) -> None:
    data = write_faces(tmp_path / "faces.csv")
    run = [
        "--data",
        data,
        *QUICK,
        "--epochs",
        "2",
        "--pruner",
        "none",
        "--export",
        "0",
        "--storage",
        server.url,
    ]
    assert command("search.run", [*run, "--trials", "1"], tmp_path)[0] == 0
    places = Places("s", server.url, tmp_path / "studies" / "s")
    # Far more trials than there is time for, so that the worker is sure to be at work.
    task = WorkerTask(0, places, 1000, data, None, "cpu", 1, None, patience=3)
    crew = Crew(work, [task])
    try:
        with pytest.raises(StudyError, match="is lost .* run the same command again when it is back"):
            for _ in crew.watch():
                if len(read_trials(server.url, "s")) > 3:
                    server.stop()
    finally:
        crew.stop()
    server.start()
    done = sum(trial.state in FINISHED for trial in read_trials(server.url, "s"))
    status, _, errors = command("search.run", [*run, "--trials", str(done + 2)], tmp_path)
    assert status == 0, errors
    assert_exact(read_trials(server.url, "s"), done + 2)
