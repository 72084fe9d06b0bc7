"""The dashboard command: which study it opens, what it serves, and what it says when it can't."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.artifacts import upload_artifact

from search.dashboard import main, recent_studies
from search.storage import StudyError
from search.stores import artifact_store
from tests.search.synthetic import synthetic_study

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _make(name: str, *, age: float = 0.0) -> None:
    folder = Path("studies") / name
    folder.mkdir(parents=True)
    storage = f"sqlite:///{folder / 'study.db'}"
    study = synthetic_study(2, name=name, storage=storage, kinds=("enqueued", "complete"))
    store = artifact_store(folder / "artifacts")
    (folder / "picture.txt").write_text(f"of {name}")
    upload_artifact(artifact_store=store, file_path=str(folder / "picture.txt"), study_or_trial=study)
    (folder / "picture.txt").unlink()
    database = folder / "study.db"
    os.utime(database, (database.stat().st_atime, database.stat().st_mtime - age))


@contextlib.contextmanager
def _served(*arguments: str) -> Iterator[str]:
    """Run the command on a free port; yields the address that it prints."""
    command = [sys.executable, "-m", "search.dashboard", "--port", "0", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            yield re.match(r"http://\S+", line)[0]  # type: ignore[index]
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0


def _get(address: str, path: str) -> bytes:
    root = "/".join(address.split("/")[:3])
    with urllib.request.urlopen(root + path, timeout=60) as answer:
        return bytes(answer.read())


def test_without_a_study_the_one_changed_last_is_served_with_its_artifacts(home: Path) -> None:
    _make("older", age=100)
    _make("newer")
    assert recent_studies() == ["newer", "older"]
    before = sorted(home.rglob("*"))
    with _served() as address:
        assert address.endswith("/dashboard/studies/1")
        detail = json.loads(_get(address, "/api/studies/1?after=0"))
        assert detail["name"] == "newer"
        assert len(detail["trials"]) == 2
        identity = detail["artifacts"][0]["artifact_id"]
        assert _get(address, f"/artifacts/1/{identity}") == b"of newer"
    assert sorted(home.rglob("*")) == before


def test_a_picture_of_another_machine_is_answered_in_a_sentence(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _make("faces")
    (picture,) = (home / "studies/faces/artifacts").iterdir()
    picture.unlink()
    with _served("faces") as address:
        with pytest.raises(urllib.error.HTTPError) as raised:
            _get(address, f"/artifacts/1/{picture.name}")
        with raised.value as answer:
            assert answer.code == 404
            assert answer.read().startswith(b"This file isn't here: it lies in studies/STUDY/artifacts of ")
    assert "Traceback" not in capfd.readouterr().err


def test_a_bucket_that_cant_be_reached_is_told_and_the_study_served(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    _make("faces")
    study = optuna.load_study(study_name="faces", storage="sqlite:///studies/faces/study.db")
    study.set_user_attr("artifacts", "s3://bucket")
    for name, value in {
        "ENDPOINT_URL": "http://127.0.0.1:9",
        "MAX_ATTEMPTS": "1",
        "ACCESS_KEY_ID": "key",
        "SECRET_ACCESS_KEY": "secret",
        "DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with _served() as address:
        assert json.loads(_get(address, "/api/studies/1?after=0"))["name"] == "faces"
    told = capfd.readouterr().err
    assert told.startswith("note: artifacts s3://bucket") and "the dashboard goes on without them" in told


def test_a_storage_of_several_studies_serves_their_list_and_all_artifacts(home: Path) -> None:
    storage = f"sqlite:///{home}/shared.db"
    for name in ("first", "second"):
        study = synthetic_study(1, name=name, storage=storage)
        study.set_user_attr("artifacts", str(home / name))
        store = artifact_store(home / name)
        (home / "text").write_text(name)
        upload_artifact(artifact_store=store, file_path=str(home / "text"), study_or_trial=study)
    with _served("--storage", storage) as address:
        assert address.endswith("/dashboard")
        for number, name in ((1, "first"), (2, "second")):
            identity = json.loads(_get(address, f"/api/studies/{number}?after=0"))["artifacts"][0][
                "artifact_id"
            ]
            assert _get(address, f"/artifacts/{number}/{identity}") == name.encode()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "studies/: there is no study yet"),
        (["nosuch"], r"studies/nosuch/study\.db: no study storage there"),
        (["--storage", "sqlite:///nosuch.db"], r"nosuch\.db: no study storage there"),
        (["--storage", "nonsense"], "'nonsense' is no URL of a database"),
    ],
)
def test_a_missing_study_is_an_error_and_makes_no_file(
    home: Path, arguments: list[str], message: str
) -> None:
    with pytest.raises(StudyError, match=message):
        main(arguments)
    assert list(home.rglob("*")) == []


def test_a_missing_study_lists_those_that_exist(home: Path) -> None:
    _make("faces")
    with pytest.raises(StudyError, match="one of the studies here: faces"):
        main(["nosuch"])
    with pytest.raises(StudyError, match="'nosuch' is not in .*; there are: faces"):
        main(["nosuch", "--storage", "sqlite:///studies/faces/study.db"])


def test_an_address_may_be_of_the_newer_kind(home: Path) -> None:
    _make("s")
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        with pytest.raises(StudyError, match="::1:8080 can't be listened on"):
            main(["s", "--host", "::1"])
        return
    with _served("s", "--host", "::1") as address:
        assert address.startswith("http://[::1]:") and b"Optuna" in _get(address, "/dashboard")


def test_a_port_in_use_is_named(home: Path) -> None:
    _make("faces")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StudyError, match=f"port {port} of 127.0.0.1 is in use; required: a free one"):
            main(["faces", "--port", str(port)])


def test_another_host_than_this_machine_is_warned_of(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StudyError):
        main(["nosuch", "--host", "0.0.0.0"])
    assert "whoever reaches 0.0.0.0 can read, change and delete" in capsys.readouterr().err.replace("\n", " ")
