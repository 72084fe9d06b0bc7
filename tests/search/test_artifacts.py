"""Artifact stores by URL, in folders and in an S3-compatible server, and what a trial uploads."""

from __future__ import annotations

import csv
import io
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from unittest import mock

import numpy as np
import optuna
import pytest
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta, upload_artifact
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna_dashboard import get_note, save_note
from optuna_dashboard._note import note_ver_key
from PIL import Image

from search.artifacts import upload_trial
from search.storage import Places, StudyError, open_storage, quiet_optuna
from search.stores import (
    artifact_store,
    artifacts_of,
    artifacts_url,
    keep_artifacts,
    later_store,
    stores_together,
)
from tests.search.synthetic import synthetic_study
from zoo.data.emotions import EMOTIONS

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    """Address of an S3 server in this process."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of an empty bucket that boto3 finds by its environment variables."""
    import boto3

    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="pictures")
    for found in client.list_objects_v2(Bucket="pictures").get("Contents", []):
        client.delete_object(Bucket="pictures", Key=found["Key"])
    return "pictures"


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        ("/mnt/shared/a b", "/mnt/shared/a b"),
        ("file:///mnt/shared/a%20b", "/mnt/shared/a b"),
        ("file://localhost/mnt", "/mnt"),
        ("s3://bucket/faces/", "s3://bucket/faces"),
        ("s3://bucket", "s3://bucket"),
    ],
)
def test_places_are_understood(given: str, understood: str) -> None:
    assert artifacts_url(given) == understood


def test_a_relative_folder_is_kept_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert artifacts_url("pictures") == str(tmp_path / "pictures")


@pytest.mark.parametrize("given", ["https://host/x", "gs://bucket/x", "s3://", "s3:///x", "file://host/x"])
def test_other_places_are_refused(given: str) -> None:
    with pytest.raises(StudyError, match="required: a folder, file:///folder or s3://bucket/prefix"):
        artifacts_url(given)


def test_a_folder_keeps_artifacts(tmp_path: Path) -> None:
    store = artifact_store(tmp_path / "new" / "folder")
    store.write("a", io.BytesIO(b"content"))
    assert (tmp_path / "new" / "folder" / "a").read_bytes() == b"content"
    with store.open_reader("a") as reader:
        assert reader.read() == b"content"


def test_a_folder_that_cant_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StudyError, match=r"artifacts .*file/below: no folder can be made"):
        artifact_store(tmp_path / "file" / "below")


@pytest.mark.slow
def test_a_bucket_keeps_artifacts_below_its_prefix(bucket: str) -> None:
    import boto3

    store = artifact_store(f"s3://{bucket}/deep/prefix")
    store.write("a", io.BytesIO(b"content"))
    listed = boto3.client("s3").list_objects_v2(Bucket=bucket)["Contents"]
    assert [found["Key"] for found in listed] == ["deep/prefix/a"]
    assert store.open_reader("a").read() == b"content"
    store.remove("a")
    with pytest.raises(ArtifactNotFound):
        store.open_reader("a")
    bare = artifact_store(f"s3://{bucket}")
    bare.write("b", io.BytesIO(b"bare"))
    assert bare.open_reader("b").read() == b"bare"


@pytest.mark.slow
def test_a_missing_bucket_and_a_missing_server_are_named(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StudyError, match=r"s3://nosuch/x: the bucket can't be used .*404"):
        artifact_store("s3://nosuch/x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StudyError, match=r"s3://pictures: the store can't be reached"):
        artifact_store("s3://pictures")


def test_without_boto3_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(StudyError, match=r"pip install 'expression-search\[s3\]'"):
        artifact_store("s3://bucket")


def test_a_study_remembers_its_place(tmp_path: Path) -> None:
    study = synthetic_study(0, kinds=())
    places = Places.of("faces")
    keep_artifacts(study, places, None)
    assert artifacts_of(study, places) == "studies/faces/artifacts"
    keep_artifacts(study, places, str(tmp_path / "shared"))
    keep_artifacts(study, places, f"file://{tmp_path}/shared")
    keep_artifacts(study, places, None)
    assert artifacts_of(study, places) == str(tmp_path / "shared")
    with pytest.raises(StudyError, match=r"keeps its artifacts in .*shared, not in .*other"):
        keep_artifacts(study, places, str(tmp_path / "other"))


def test_a_study_with_trials_keeps_its_artifacts_where_they_are(tmp_path: Path) -> None:
    study, places = synthetic_study(1), Places.of("faces")
    own = str(Path("studies/faces/artifacts").absolute())
    with pytest.raises(StudyError, match=f"keeps its artifacts in {own}, not in"):
        keep_artifacts(study, places, str(tmp_path))
    for same in (own, "studies/faces/artifacts", f"file://{own}"):
        keep_artifacts(study, places, same)
    assert artifacts_of(study, places) == "studies/faces/artifacts"


def test_several_stores_read_as_one(tmp_path: Path) -> None:
    first, second, missing = (tmp_path / name for name in ("first", "second", "missing"))
    artifact_store(second).write("b", io.BytesIO(b"two"))
    artifact_store(first).write("a", io.BytesIO(b"one"))
    store = stores_together([str(first), str(second), str(missing)])
    assert store is not None and not missing.exists()
    for name, content in (("a", b"one"), ("b", b"two")):
        with store.open_reader(name) as reader:
            assert reader.read() == content
    with pytest.raises(ArtifactNotFound, match="none of 2 stores"):
        store.open_reader("c")
    store.write("d", io.BytesIO(b"new"))
    assert (first / "d").exists()
    store.remove("b")
    assert not (second / "b").exists()
    assert stores_together([str(missing)]) is None


def test_a_store_that_cant_be_had_is_told_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    told: list[str] = []
    store = stores_together(["s3://bucket", str(tmp_path)], told.append)
    assert store is not None and len(told) == 1 and "s3://bucket need boto3" in told[0]
    with pytest.raises(StudyError, match="need boto3"):
        store.write("a", io.BytesIO(b"content"))
    assert not (tmp_path / "a").exists()
    assert stores_together(["s3://bucket"], told.append) is None
    with pytest.raises(StudyError, match="need boto3"):
        stores_together(["s3://bucket", str(tmp_path)])


def test_a_trial_uploads_its_pictures_config_and_table(tmp_path: Path) -> None:
    metrics = _metrics()
    trial = _trial(curve=_curve(2), metrics=metrics)
    upload_trial(trial, EMOTIONS, artifact_store(tmp_path), "accuracy 0.164 after epoch 2")
    kept = {meta.filename: meta.artifact_id for meta in get_all_artifact_meta(trial)}
    assert set(kept) == {"curves.png", "confusion.png", "config.json", "per_class.csv"}
    for name in ("curves.png", "confusion.png"):
        with Image.open(tmp_path / kept[name]) as picture:
            assert picture.width <= 900  # what a trial's page has room for
    described = json.loads((tmp_path / kept["config.json"]).read_text())
    assert described == {"config": {"widths": [4]}, "recipe": {"epochs": 2}}
    rows = list(csv.DictReader((tmp_path / kept["per_class.csv"]).read_text().splitlines()))
    assert [row["class"] for row in rows] == list(EMOTIONS)
    note = get_note(trial)
    assert f"**{metrics['accuracy']:.4f}**" in note and "after epoch 2" in note
    assert "Pruned: accuracy 0.164" in note
    assert all(f"/{kept[name]})" in note for name in ("curves.png", "confusion.png"))


def test_an_untrained_trial_uploads_its_config(tmp_path: Path) -> None:
    trial = _trial()
    upload_trial(trial, EMOTIONS, artifact_store(tmp_path), "over the limit: macs 20,000")
    assert [meta.filename for meta in get_all_artifact_meta(trial)] == ["config.json"]
    assert "Pruned: over the limit: macs 20,000" in get_note(trial)


def test_a_diverged_trial_uploads_its_curves(tmp_path: Path) -> None:
    trial = _trial(curve=_curve(1))
    upload_trial(trial, EMOTIONS, artifact_store(tmp_path), "diverged")
    assert {meta.filename for meta in get_all_artifact_meta(trial)} == {"config.json", "curves.png"}


def test_what_a_person_wrote_on_a_running_trial_stays_below_its_note(tmp_path: Path) -> None:
    quiet_optuna()
    places = Places("s", f"sqlite:///{tmp_path}/study.db", tmp_path)
    study = optuna.create_study(study_name="s", storage=open_storage(places, create=True))
    alone, noted, other = (_trial(study) for _ in range(3))
    longest = "Look at this one. " * 300  # kept in three pieces
    save_note(noted, longest)
    save_note(noted, f"{longest}Again.")
    for trial in (alone, noted, other):
        upload_trial(trial, EMOTIONS, artifact_store(tmp_path))
    assert get_note(alone) == get_note(other)
    assert get_note(noted) == f"{get_note(alone)}\n{longest}Again."
    # The dashboard refuses a note with another number than the next.
    attributes = study._storage.get_study_system_attrs(study._study_id)
    assert [attributes[note_ver_key(trial._trial_id)] for trial in (alone, noted)] == [1, 3]


@pytest.mark.slow
def test_artifacts_in_a_bucket_are_listed_with_the_study(bucket: str, tmp_path: Path) -> None:
    study = synthetic_study(0, kinds=())
    keep_artifacts(study, Places.of("faces"), f"s3://{bucket}/faces/")
    store = artifact_store(artifacts_of(study, Places.of("faces")))
    path = tmp_path / "note.txt"
    path.write_text("content")
    identity = upload_artifact(artifact_store=store, file_path=str(path), study_or_trial=study)
    together = stores_together([artifacts_of(study, Places.of("faces"))])
    assert together is not None and together.open_reader(identity).read() == b"content"


def _trial(study: optuna.Study | None = None, **more: Any) -> optuna.Trial:
    trial = (study or optuna.create_study()).ask()
    attributes = {"parameters": 1000, "macs": 20_000, "config": {"widths": [4]}, "recipe": {"epochs": 2}}
    for name, value in {**attributes, **more}.items():
        trial.set_user_attr(name, value)
    return trial


def _curve(epochs: int) -> list[dict[str, float]]:
    point = {"train_loss": 1.5, "train_accuracy": 0.4, "loss": 1.6, "accuracy": 0.35, "macro_f1": 0.3}
    return [{"epoch": epoch, **point, "seconds": 2.0} for epoch in range(1, epochs + 1)]


def _metrics() -> dict[str, Any]:
    from zoo.training.evaluate import measure

    labels = np.arange(35) % len(EMOTIONS)
    logits = np.random.default_rng(0).normal(size=(35, len(EMOTIONS))).astype(np.float32)
    return measure(logits, labels, EMOTIONS)


def test_a_store_that_is_away_is_no_reason_not_to_begin(tmp_path: Path) -> None:
    store = later_store(str(tmp_path / "made"))
    store.write("a", io.BytesIO(b"one"))
    assert (tmp_path / "made" / "a").read_bytes() == b"one"
    (tmp_path / "file").touch()
    later = later_store(str(tmp_path / "file" / "below"))
    with pytest.raises(StudyError, match="below"):
        later.write("a", io.BytesIO(b"one"))


def test_a_store_is_reached_once_and_after_a_failure_left_alone_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails, opened, now = False, [], [1000.0]

    class Store(FileSystemArtifactStore):
        def write(self, artifact_id: str, content_body: BinaryIO) -> None:
            if fails:
                raise TimeoutError("no answer")
            super().write(artifact_id, content_body)

    def opens(url: str) -> Store:
        opened.append(url)
        return Store(tmp_path)

    monkeypatch.setattr("search.stores.artifact_store", opens)
    monkeypatch.setattr("search.stores.time.monotonic", lambda: now[0])
    store = later_store("s3://pictures")
    for name in "ab":
        store.write(name, io.BytesIO(b"one"))
    assert opened == ["s3://pictures"]
    fails = True
    with pytest.raises(TimeoutError):
        store.write("c", io.BytesIO(b"one"))
    fails = False
    now[0] += 299
    with pytest.raises(StudyError, match=r"artifacts s3://pictures failed 299 s ago \(no answer\)"):
        store.write("d", io.BytesIO(b"one"))
    now[0] += 2
    store.write("e", io.BytesIO(b"one"))
    assert {path.name for path in tmp_path.iterdir()} == set("abe") and len(opened) == 2


def test_a_server_that_does_not_answer_is_waited_for_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("boto3")
    client = mock.Mock()
    monkeypatch.setattr("boto3.client", client)
    artifact_store("s3://pictures")
    config = client.call_args.kwargs["config"]
    assert (config.connect_timeout, config.read_timeout) == (5, 20)
    assert config.retries["total_max_attempts"] == 2


def test_an_endpoint_that_is_no_address_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "minio:9000")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with pytest.raises(StudyError, match="can't be reached .*minio:9000"):
        artifact_store("s3://pictures")
