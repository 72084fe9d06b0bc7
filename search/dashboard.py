"""`python -m search.dashboard [STUDY]`: review a study in optuna-dashboard, with its artifacts."""

from __future__ import annotations

import argparse
import errno
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, BinaryIO
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from zoo.command import run_command

if TYPE_CHECKING:
    from optuna.artifacts._protocol import ArtifactStore

    from search.storage import Places

__all__ = ["main", "recent_studies", "serve"]

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_ELSEWHERE = "This file isn't here: it lies in studies/STUDY/artifacts of the machine that made it.\n"


class _Server(ThreadingMixIn, WSGIServer):
    """One thread a request: a trial's page asks for all its pictures at once."""

    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *values: object) -> None:
        """A line for every picture is more than a person wants to read."""


@dataclass(frozen=True)
class _Answering:
    """A store whose missing artifacts are answered with status 404, for which the dashboard has no answer."""

    inner: ArtifactStore

    def open_reader(self, artifact_id: str) -> BinaryIO:
        from bottle import HTTPResponse
        from optuna.artifacts.exceptions import ArtifactNotFound

        try:
            return self.inner.open_reader(artifact_id)
        except ArtifactNotFound:
            raise HTTPResponse(_ELSEWHERE, 404, {"Content-Type": "text/plain; charset=utf-8"}) from None

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        self.inner.write(artifact_id, content_body)

    def remove(self, artifact_id: str) -> None:
        self.inner.remove(artifact_id)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until interrupted; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m search.dashboard", description=__doc__)
    parser.add_argument("study", nargs="?", help="name (default: the only one, or the one changed last)")
    parser.add_argument("--storage", metavar="URL", help="default: sqlite:///studies/STUDY/study.db")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one (default: 8080)")
    options = parser.parse_args(argv)

    from search.storage import Places, StudyError, quiet_optuna
    from zoo.console import stderr

    quiet_optuna()
    console = stderr()
    name = options.study
    if name is None and options.storage is None:
        names = recent_studies()
        if not names:
            raise StudyError("studies/: there is no study yet; required: one that search.run has made")
        name = names[0]
        if len(names) > 1:
            console.print(f"of {len(names)} studies the one changed last; others: {', '.join(names[1:])}")
    if options.host not in _LOOPBACK:
        console.print(
            f"note: whoever reaches {options.host} can read, change and delete the studies: the dashboard "
            "asks for no password",
            style="yellow",
            soft_wrap=True,
        )
    if name is None:
        places = Places("", options.storage, Path("studies"))
        places.sqlite_file()
    else:
        places = Places.of(name, options.storage)
    serve(places, host=options.host, port=options.port)
    return 0


def recent_studies() -> list[str]:
    """Names of the studies below `studies/`, the one changed last first."""
    paths = Path("studies").glob("*/study.db")
    return [path.parent.name for path in sorted(paths, key=lambda path: -path.stat().st_mtime)]


def serve(places: Places, *, host: str, port: int) -> None:
    """Print the address and serve until interrupted. Makes no files.

    Args:
        places: with an empty name, the whole storage is shown, or its only study.

    Raises:
        StudyError: there is no such study, or the address can't be listened on.
    """
    import optuna
    from optuna_dashboard import wsgi

    from search.storage import Places, StudyError, open_storage, storage_errors
    from search.stores import artifacts_of, stores_together

    if not 0 <= port <= 65535:
        raise StudyError(f"--port is {port}; required: 0 to 65535")
    with storage_errors(places):
        storage = open_storage(places)
        names = optuna.get_all_study_names(storage)
        if not names:
            raise StudyError(f"{places.shown} holds no study; required: one that search.run has made")
        if places.name not in ("", *names):
            raise StudyError(f"study {places.name!r} is not in {places.shown}; there are: {', '.join(names)}")
        shown = places.name or (names[0] if len(names) == 1 else None)
        urls = {
            name: artifacts_of(
                optuna.load_study(study_name=name, storage=storage),
                Places(name, places.storage, Path("studies") / name),
            )
            for name in names
        }
    # The shown study's store comes first, as uploads from the browser go there; a bucket of another study
    # that can't be reached is no reason not to show this one.
    others = [url for url in urls.values() if shown is None or not url.startswith("s3://")]
    store = stores_together(
        [*([urls[shown]] if shown else []), *others],
        told=lambda reason: print(f"note: {reason}; the dashboard goes on without them", file=sys.stderr),
    )
    application = wsgi(storage, artifact_store=None if store is None else _Answering(store))
    kind = _Server6 if ":" in host else _Server
    try:
        server = make_server(host, port, application, server_class=kind, handler_class=_Handler)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise StudyError(f"{host}:{port} can't be listened on ({error.strerror})") from None
        raise StudyError(f"port {port} of {host} is in use; required: a free one, with --port") from None
    page = "" if shown is None else f"/studies/{storage.get_study_id_from_name(shown)}"
    shown_host = f"[{host}]" if ":" in host else host
    print(f"http://{shown_host}:{server.server_port}/dashboard{page}  (Ctrl-C ends)", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


if __name__ == "__main__":
    run_command(main)
