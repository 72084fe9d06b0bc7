"""Where a study is kept: its places, and a database opened for many workers; knows nothing of trials."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
import sqlalchemy.exc
import sqlalchemy.orm
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import StudySystemAttributeModel, TrialHeartbeatModel, TrialModel
from optuna.study import Study
from optuna.trial import TrialState

from zoo.errors import ZooError, first_line

__all__ = [
    "STORAGE_ERRORS",
    "Patience",
    "Places",
    "StudyError",
    "check_writable",
    "heartbeat_silences",
    "is_full",
    "is_lost",
    "lost_reason",
    "make_folder",
    "open_storage",
    "quiet_optuna",
    "settle",
    "storage_errors",
    "system_attribute",
    "transaction",
]

STORAGE_ERRORS = (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError)
"""What reading from or writing to a storage may raise; see `is_lost`."""

HEARTBEAT_SECONDS = 20
PATIENCE_SECONDS = 120.0
"""That a lost database is waited for."""
_CONNECT = {
    "sqlite": {"timeout": 60},
    # A machine that vanishes without a word is noticed after about a minute, not after two hours.
    "postgresql": {
        "connect_timeout": 10,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 60_000,
    },
}


def quiet_optuna() -> None:
    """For a process of ours: only errors are logged, and nothing is said of the experimental parts we
    chose."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


class StudyError(ZooError):
    """A study does not exist, can't be reached, or was made with other settings."""


@dataclass(frozen=True)
class Places:
    """Where a study keeps what.

    Attributes:
        name: of the study.
        storage: URL of the database.
        folder: artifacts, checkpoints and the report lie below it.
    """

    name: str
    storage: str
    folder: Path

    @classmethod
    def of(cls, name: str, storage: str | None = None) -> Places:
        """The places of a study: `studies/NAME/`, with its SQLite file in it unless `storage` says otherwise.

        Raises:
            StudyError: the name can't name a folder, or the storage is no URL of a database.
        """
        if not re.fullmatch(r"\w[\w.-]{0,99}", name):
            raise StudyError(
                f"study name {name!r} is not possible; required: at most 100 letters, digits, '_', '-' and "
                "'.', the first a letter or digit"
            )
        folder = Path("studies") / name
        places = cls(name, storage or f"sqlite:///{folder / 'study.db'}", folder)
        places.sqlite_file()
        return places

    @property
    def checkpoints(self) -> Path:
        """Folder of the running trials' checkpoints."""
        return self.folder / "checkpoints"

    @property
    def artifacts(self) -> Path:
        """Folder of the artifact store."""
        return self.folder / "artifacts"

    @property
    def shown(self) -> str:
        """The storage's URL without its password, for messages."""
        return sqlalchemy.make_url(self.storage).render_as_string(hide_password=True)

    def sqlite_file(self) -> Path | None:
        """The file of a SQLite storage, None for a database server.

        Raises:
            StudyError: the storage is no URL of a database that several processes can share.
        """
        try:
            url = sqlalchemy.make_url(self.storage)
        except (sqlalchemy.exc.ArgumentError, ValueError):  # of its port
            raise StudyError(
                f"storage {_masked(self.storage)!r} is no URL of a database; required: such as "
                "sqlite:///study.db or postgresql://USER:PASSWORD@HOST/DATABASE"
            ) from None
        if url.get_backend_name() != "sqlite":
            return None
        if not url.database or url.database == ":memory:":
            raise StudyError(f"storage {self.storage} is in memory; required: a file, as workers share it")
        return Path(url.database)


@dataclass
class Patience:
    """How long a worker waits for a database that is gone, before it gives up.

    Attributes:
        seconds: to wait from the first failure.
        stopping: asked while waiting; a true answer ends the patience.
    """

    seconds: float
    stopping: Callable[[], bool] = lambda: False
    _since: float | None = field(default=None, init=False)

    def lasts(self) -> bool:
        """Note a failure and wait a second; returns whether to try again."""
        self._since = self._since or time.monotonic()
        if self.stopping() or self.over:
            return False
        time.sleep(1)
        return True

    @property
    def over(self) -> bool:
        """Whether failures have gone on for longer than that."""
        return self._since is not None and time.monotonic() - self._since > self.seconds

    def restore(self) -> None:
        """Note a success."""
        self._since = None


def _masked(text: str) -> str:
    """Without what may be a password, of a text that is no URL."""
    return re.sub(r":(?!//).*@", ":***@", text)


def open_storage(places: Places, *, create: bool = False, patience: Patience | None = None) -> RDBStorage:
    """The study's storage.

    Args:
        create: make a SQLite file that doesn't exist.
        patience: of a worker: connections that fail are tried again, now and later. Without it, failures are
            told at once.

    Raises:
        StudyError: the database can't be reached, is damaged or of another version of Optuna, or is a
            SQLite file that doesn't exist and isn't to be made.
    """
    path = places.sqlite_file()
    if path is not None:
        if create:
            make_folder(path.parent)
        elif not path.is_file():
            raise StudyError(f"{path}: no study storage there; required: {_existing()}")
    backend = sqlalchemy.make_url(places.storage).get_backend_name()
    arguments: dict[str, Any] = {"pool_pre_ping": True, "connect_args": _CONNECT.get(backend, {})}
    if path is not None and create:
        # A connection that lies idle would keep `settle` from its work.
        arguments = {"poolclass": sqlalchemy.NullPool, "connect_args": _CONNECT["sqlite"]}
    while True:
        try:
            # Optuna takes the URL for a template of its own.
            template = places.storage.replace("{", "{{").replace("}", "}}")
            storage = RDBStorage(template, engine_kwargs=arguments)
            break
        except STORAGE_ERRORS as error:
            if _is_damaged(error):
                raise _damaged(places, error) from None
            # Two first runs at once may both make the tables; the second finds them at its next try.
            if patience is None or not patience.lasts():
                raise StudyError(f"storage {places.shown} can't be opened: {lost_reason(error)}") from None
        except (ImportError, RuntimeError, ValueError) as error:
            # A RuntimeError says that an older or newer Optuna has made the tables.
            raise StudyError(f"storage {places.shown} can't be opened: {lost_reason(error)}") from None
    storage.scoped_session = sqlalchemy.orm.scoped_session(
        sqlalchemy.orm.sessionmaker(bind=storage.engine, class_=_Session)
    )
    if path is None and patience is not None:
        _reconnect(storage.engine, patience)
    if path is not None and (create or patience is not None):
        _share_sqlite(storage.engine)
    return storage


@contextlib.contextmanager
def transaction(study: Study) -> Iterator[None]:
    """Write what is recorded within as one transaction; a trial's parameters and figures are some fifty.

    Only on a storage that `open_storage` has opened; on any other each is written by itself, as Optuna does.
    SQLite is locked meanwhile: nothing may be computed within.
    """
    session = _session(study)
    if session is None or session.held:
        yield
        return
    session.held = True
    try:
        yield
        session.held = False
        session.commit()
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise optuna.exceptions.StorageInternalError(f"the transaction failed: {error}") from error
    finally:
        session.held = False
        session.close()


def system_attribute(study: Study, name: str) -> Any:
    """One system attribute of a study, or None; Optuna reads them all, and all trials' notes are among them.

    Only on a storage that `open_storage` has opened is it read alone.
    """
    session = _session(study)
    if session is None:
        return study._storage.get_study_system_attrs(study._study_id).get(name)
    with contextlib.closing(session):
        query = session.query(StudySystemAttributeModel.value_json)
        value = query.filter_by(study_id=study._study_id, key=name).scalar()
        return None if value is None else json.loads(value)


def heartbeat_silences(study: Study) -> dict[int, float]:
    """Seconds since the last heartbeat of each running trial that has any, by its id in the database.

    Told by the database's clock; only on a storage that `open_storage` has opened are there any.
    """
    session = _session(study)
    if session is None:
        return {}
    with contextlib.closing(session):
        now = session.execute(sqlalchemy.select(sqlalchemy.func.now())).scalar_one().replace(tzinfo=None)
        query = session.query(TrialHeartbeatModel.trial_id, TrialHeartbeatModel.heartbeat).join(TrialModel)
        running = query.filter_by(study_id=study._study_id, state=TrialState.RUNNING)
        return {trial_id: (now - beat).total_seconds() for trial_id, beat in running}


def _session(study: Study) -> _Session | None:
    sessions = getattr(getattr(study._storage, "_backend", None), "scoped_session", None)
    session = sessions() if sessions is not None else None
    return session if isinstance(session, _Session) else None


class _Session(sqlalchemy.orm.Session):
    """A session whose commits can be held back.

    Attributes:
        held: whether commits and closings wait for the end of a `transaction`.
    """

    held = False

    def commit(self) -> None:
        if not self.held:
            super().commit()

    def close(self) -> None:
        if not self.held:
            super().close()
        else:
            # Optuna writes attributes past the session: what it has read is to be read again.
            self.flush()
            self.expire_all()


def _reconnect(engine: sqlalchemy.Engine, patience: Patience) -> None:
    """Wait for a database server that restarts: trials go on as if nothing had happened."""

    @sqlalchemy.event.listens_for(engine, "do_connect")
    def connect(dialect: Any, record: Any, arguments: Any, options: Any) -> Any:
        while True:
            try:
                connection = dialect.connect(*arguments, **options)
            except dialect.loaded_dbapi.Error:
                if not patience.lasts():
                    raise
            else:
                patience.restore()
                return connection


def _share_sqlite(engine: sqlalchemy.Engine) -> None:
    """Begin every SQLite transaction with the write lock, as SQLite has no SELECT FOR UPDATE.

    Without it, 4 processes that emptied a queue of 60 trials took 11 of them twice. The write-ahead log makes
    commits cheap; only a power cut can lose its last transactions, and then the trials are run again.
    """

    @sqlalchemy.event.listens_for(engine, "connect")
    def connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    @sqlalchemy.event.listens_for(engine, "begin")
    def begin(connection: sqlalchemy.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    # Connections from before don't know the above.
    engine.dispose()


def make_folder(path: Path, option: str = "") -> None:
    """Make a folder that a person asked for, where there is none.

    Args:
        option: by which it was asked for, for the message.

    Raises:
        StudyError: it can't be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        named = f"{option} {path}".strip()
        raise StudyError(f"{named}: no folder can be made there ({error.strerror})") from None


def check_writable(folder: Path, option: str) -> None:
    """See that files can be written in a folder before hours are spent on them.

    Args:
        option: by which it was asked for, for the message.

    Raises:
        StudyError: none can.
    """
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StudyError(
            f"{option} {folder}: nothing can be written there ({error.strerror}); required: a folder that "
            "can be written"
        ) from None


def settle(places: Places) -> None:
    """Make a SQLite storage a single file again, which can be copied and read where nothing can be written.

    While someone else has it open, it stays as it is.
    """
    path = places.sqlite_file()
    if path is None or not path.is_file():
        return
    with (
        contextlib.suppress(sqlite3.DatabaseError),
        contextlib.closing(sqlite3.connect(path, timeout=2)) as connection,
    ):
        connection.execute("PRAGMA journal_mode=DELETE")


@contextlib.contextmanager
def storage_errors(places: Places) -> Iterator[None]:
    """Tell a lost or damaged database in one line.

    Raises:
        StudyError: a database error occurred within.
    """
    try:
        yield
    except STORAGE_ERRORS as error:
        if _is_damaged(error):
            raise _damaged(places, error) from None
        if not is_lost(error):
            raise
        raise StudyError(
            f"storage {places.shown} is lost ({lost_reason(error)}); what is finished is kept: run the same "
            "command again when it is back"
        ) from None


def is_lost(error: BaseException) -> bool:
    """Whether an error says that the database is gone or busy, rather than that it was asked for nonsense."""
    lost = (
        sqlalchemy.exc.OperationalError,
        sqlalchemy.exc.InterfaceError,
        sqlalchemy.exc.PendingRollbackError,
        sqlalchemy.exc.TimeoutError,
    )
    return isinstance(_cause(error), lost)


def _is_damaged(error: BaseException) -> bool:
    said = getattr(_cause(error), "orig", None)
    # Its lowest byte is the code, the others say more of it.
    return getattr(said, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CORRUPT


def _cause(error: BaseException) -> BaseException | None:
    return error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error


def _damaged(places: Places, error: BaseException) -> StudyError:
    path = places.sqlite_file()
    return StudyError(
        f"{path}: the study's storage is damaged ({lost_reason(error)}); required: a copy of it, or what "
        f"`sqlite3 {path} .recover` can still read"
    )


def lost_reason(error: BaseException) -> str:
    """The first line of what a database said, without SQLAlchemy's additions."""
    cause = error.__cause__ or error
    said = getattr(cause, "orig", None) or cause
    return first_line(said)


def is_full(error: BaseException) -> bool:
    """Whether a database's disk is full."""
    words = ("disk is full", "no space left on device")
    return is_lost(error) and any(word in lost_reason(error).lower() for word in words)


def _existing() -> str:
    names = sorted(path.parent.name for path in Path("studies").glob("*/study.db"))
    return "one of the studies here: " + ", ".join(names) if names else "a study that search.run has made"
