"""Where a study's artifacts lie: a folder or an S3-compatible bucket; knows nothing of what they are."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from optuna.artifacts import Boto3ArtifactStore, FileSystemArtifactStore
from optuna.artifacts._protocol import ArtifactStore
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.study import Study

from search.recovery import FINISHED
from search.storage import Places, StudyError, make_folder
from zoo.errors import first_line

__all__ = [
    "artifact_store",
    "artifacts_of",
    "artifacts_url",
    "keep_artifacts",
    "later_store",
    "stores_together",
]

ARTIFACTS = "artifacts"
"""User attribute of a study whose artifacts don't lie in its own folder."""

_PAUSE_SECONDS = 300
_FORMS = "a folder, file:///folder or s3://bucket/prefix"


def artifacts_url(place: str) -> str:
    """A folder's absolute path, or an `s3://` URL without a slash at its end.

    Raises:
        StudyError: it is neither.
    """
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", place)
    if scheme is None:
        return str(Path(place).expanduser().resolve())
    parts = urlsplit(place)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path:
        return str(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        return place.rstrip("/")
    raise StudyError(f"artifacts {place!r} is no place that artifacts can go to; required: {_FORMS}")


def artifact_store(url: str | Path) -> ArtifactStore:
    """The store at a place that `artifacts_url` returned; a folder is made if need be.

    Credentials, region and the endpoint of a store that isn't Amazon's come from boto3's environment
    variables (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_ENDPOINT_URL`) or its configuration files.

    Raises:
        StudyError: the folder can't be made, boto3 isn't installed, or the bucket can't be reached.
    """
    if not str(url).startswith("s3://"):
        make_folder(Path(url), "artifacts")
        return FileSystemArtifactStore(base_path=Path(url))
    bucket, _, prefix = str(url).removeprefix("s3://").partition("/")
    return _Prefixed(Boto3ArtifactStore(bucket, _client(str(url), bucket)), f"{prefix}/" if prefix else "")


def keep_artifacts(study: Study, places: Places, place: str | None) -> None:
    """Note with the study where its artifacts go, for its workers, its dashboard and its report.

    Args:
        place: as a person gives it, see `artifacts_url`; None leaves it as it is.

    Raises:
        StudyError: the study has artifacts elsewhere already.
    """
    if place is None:
        return
    wanted, kept = artifacts_url(place), study.user_attrs.get(ARTIFACTS)
    if kept is None and study.get_trials(deepcopy=False, states=FINISHED):
        kept = artifacts_url(str(places.artifacts))
    if kept == wanted:
        return
    if kept is not None:
        raise StudyError(
            f"study {study.study_name!r} keeps its artifacts in {kept}, not in {wanted}; "
            "required: the same place, or no --artifacts"
        )
    artifact_store(wanted)
    study.set_user_attr(ARTIFACTS, wanted)


def artifacts_of(study: Study, places: Places) -> str:
    """Where the study's artifacts lie: as `keep_artifacts` noted, or below the study's folder."""
    return str(study.user_attrs.get(ARTIFACTS, places.artifacts))


def later_store(url: str) -> ArtifactStore:
    """The store at a place, looked for when something is written: one that is away may come back.

    After a failure it is left alone for five minutes, and to write raises a `StudyError` at once.
    """
    return _Later(url)


def stores_together(urls: Sequence[str], told: Callable[[str], None] | None = None) -> ArtifactStore | None:
    """One store that reads from all these places, and writes to the first; None without any that exists.

    To write where the first can't be had raises a `StudyError`.

    Args:
        told: called with why a store can't be had, which is then left out.

    Raises:
        StudyError: a store can't be had, and nobody is to be `told`.
    """
    stores = []
    for url in dict.fromkeys(urls):
        try:
            if url.startswith("s3://") or Path(url).is_dir():
                stores.append(artifact_store(url))
        except StudyError as error:
            if told is None:
                raise
            told(str(error))
    return _Together(tuple(stores), urls[0]) if stores else None


@dataclass(frozen=True)
class _Prefixed:
    inner: ArtifactStore
    prefix: str

    def open_reader(self, artifact_id: str) -> BinaryIO:
        return self.inner.open_reader(self.prefix + artifact_id)

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        self.inner.write(self.prefix + artifact_id, content_body)

    def remove(self, artifact_id: str) -> None:
        self.inner.remove(self.prefix + artifact_id)


class _Later:
    def __init__(self, url: str) -> None:
        self._url = url
        self._store: ArtifactStore | None = None
        self._failed: tuple[float, str] | None = None

    def open_reader(self, artifact_id: str) -> BinaryIO:
        return artifact_store(self._url).open_reader(artifact_id)

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        if self._failed is not None:
            then, said = self._failed
            ago = time.monotonic() - then
            if ago < _PAUSE_SECONDS:
                raise StudyError(f"artifacts {self._url} failed {ago:.0f} s ago ({said})")
        try:
            self._store = self._store or artifact_store(self._url)
            self._store.write(artifact_id, content_body)
            self._failed = None
        except Exception as error:
            self._store, self._failed = None, (time.monotonic(), first_line(error))
            raise

    def remove(self, artifact_id: str) -> None:
        artifact_store(self._url).remove(artifact_id)


@dataclass(frozen=True)
class _Together:
    stores: tuple[ArtifactStore, ...]
    first: str

    def open_reader(self, artifact_id: str) -> BinaryIO:
        for store in self.stores:
            try:
                return store.open_reader(artifact_id)
            except ArtifactNotFound:
                continue
        raise ArtifactNotFound(f"artifact {artifact_id} is in none of {len(self.stores)} stores")

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        artifact_store(self.first).write(artifact_id, content_body)

    def remove(self, artifact_id: str) -> None:
        for store in self.stores:
            try:
                store.remove(artifact_id)
            except ArtifactNotFound:
                continue


def _client(url: str, bucket: str) -> Any:
    """A client of S3 that has reached the bucket."""
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise StudyError(
            f"artifacts {url} need boto3, which isn't installed; required: "
            "pip install 'expression-search[s3]'"
        ) from None
    try:
        # A server that takes connections and answers nothing would hold up every trial for minutes.
        patience = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 2})
        client = boto3.client("s3", config=patience)
        client.head_bucket(Bucket=bucket)
    except ClientError as error:
        # Whoever may write objects need not be allowed to look at the bucket.
        if error.response["Error"]["Code"] != "403":
            raise StudyError(f"artifacts {url}: the bucket can't be used ({error})") from None
    except (BotoCoreError, ValueError) as error:  # an endpoint that is no address is a ValueError
        raise StudyError(f"artifacts {url}: the store can't be reached ({error})") from None
    return client
