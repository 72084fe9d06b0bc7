"""`python -m demo`: serve the app; it parses options and leaves the rest to the app."""

from __future__ import annotations

import argparse
import atexit
import contextlib
import logging
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.command import run_command
from zoo.errors import ConfigError

__all__ = ["main", "read_accounts", "serve"]


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line, serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m demo", description="Serve the app to browsers.")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this machine only)"
    )
    parser.add_argument("--port", type=int, default=7860, help="0 takes a free one (default: 7860)")
    parser.add_argument("--models", type=Path, metavar="DIR", help="a folder of further saved models")
    parser.add_argument(
        "--comparison",
        metavar="NAME_OR_DIR",
        help="model of the Compare tab (default: best-compare, one under models/ first)",
    )
    parser.add_argument("--share", action="store_true", help="open a public address through gradio.live")
    parser.add_argument("--auth-file", type=Path, metavar="FILE", help="lines of NAME:PASSWORD who may enter")
    parser.add_argument(
        "--max-file-size", default="100mb", metavar="SIZE", help="of one file (default: 100mb)"
    )
    parser.add_argument("--ssl-certfile", type=Path, metavar="FILE", help="serve https with this certificate")
    parser.add_argument("--ssl-keyfile", type=Path, metavar="FILE", help="and this key")
    parser.add_argument(
        "--mcp", action="store_true", help="offer the endpoints as tools of a MCP server, too"
    )
    options = parser.parse_args(argv)

    if not 0 <= options.port <= 65535:
        raise ConfigError(f"--port {options.port}: required is a number from 0 to 65535")
    size = re.fullmatch(r"(\d+) ?([kmg]?b)", options.max_file_size, re.IGNORECASE)
    if size is None:
        raise ConfigError(f"--max-file-size {options.max_file_size}: required is a size such as 20mb")
    if options.mcp and options.auth_file:
        raise ConfigError("--mcp with --auth-file: no tool would work, as it has no account; required: one")
    _require_certificate(options.ssl_certfile, options.ssl_keyfile)
    accounts = read_accounts(options.auth_file) if options.auth_file else None
    blocks, address = serve(
        host=options.host,
        port=options.port,
        models=options.models,
        comparison=options.comparison,
        share=options.share,
        accounts=accounts,
        max_file_size=f"{size[1]} {size[2].upper()}",
        certificate=(options.ssl_certfile, options.ssl_keyfile),
        mcp=options.mcp,
    )
    print(address, flush=True)
    blocks.block_thread()
    return 0


def read_accounts(path: Path) -> list[tuple[str, str]]:
    """Names and passwords of a file with one `NAME:PASSWORD` a line; empty lines and `#` lines are left out.

    Raises:
        ConfigError: the file can't be read, a line has no colon, or there is no account.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--auth-file {path}: cannot be read ({error})") from error
    accounts = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, password = line.strip().partition(":")
        if not (name and colon and password):
            raise ConfigError(f"--auth-file {path}, line {number}: required is NAME:PASSWORD")
        accounts.append((name, password))
    if not accounts:
        raise ConfigError(f"--auth-file {path}: holds no account; required are lines of NAME:PASSWORD")
    return accounts


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    models: Path | None = None,
    comparison: str | None = None,
    share: bool = False,
    accounts: list[tuple[str, str]] | None = None,
    max_file_size: str = "100 MB",
    certificate: tuple[Path | None, Path | None] = (None, None),
    mcp: bool = False,
) -> tuple[Any, str]:
    """Start the app in threads of its own.

    Args:
        port: 0 takes a free one.
        max_file_size: number and unit with a space between, as the page says it.
        comparison: name or folder of the model that compares; None is the default one.

    Returns:
        Gradio's `Blocks`, whose `close()` ends it, and its local address.

    Raises:
        ConfigError: the port is taken, or `mcp` is asked for and not installed.
        WeightsError: no saved model can be used, or not the one named to compare.
    """
    # Uploads go to a folder of this run, readable by this user alone, that is gone when the run ends.
    folder = Path(tempfile.mkdtemp(prefix="expression-zoo-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "uploads")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    if mcp:
        _require_mcp()

    import cv2
    import torch
    from fastapi.responses import JSONResponse
    from fastapi.routing import APIRoute

    from demo.app import build, limits, look_and_feel
    from demo.compare import default_comparer
    from demo.examples import write_examples
    from demo.library import Library
    from zoo.comparison import Comparer

    # Several visitors are answered side by side; threads below each answer would only wait for one another.
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    library = Library.open(models)
    (folder / "examples").mkdir()
    comparer = Comparer.load(comparison, extra=models) if comparison else default_comparer(models)
    # A tool is told of a picture by its address; a visitor of the page uploads it.
    shown = write_examples(folder / "examples")
    blocks = build(library, comparer, shown, largest=max_file_size, fetch=mcp, shared=share)

    def healthz() -> JSONResponse:
        return JSONResponse({"status": "ok", "models": len(library.entries)})

    limited = limits()
    limited["app_kwargs"]["routes"].append(APIRoute("/healthz", healthz))
    try:
        with contextlib.redirect_stdout(sys.stderr):  # Gradio announces some of what it starts
            _, address, public = blocks.launch(
                server_name=host,
                server_port=port or _free_port(host),
                share=share,
                auth=accounts,
                max_file_size=max_file_size,
                ssl_certfile=str(certificate[0]) if certificate[0] else None,
                ssl_keyfile=str(certificate[1]) if certificate[1] else None,
                ssl_verify=certificate[0] is None,  # Gradio asks itself for its page; nobody vouches for it
                mcp_server=mcp,
                prevent_thread_lock=True,
                quiet=True,
                footer_links=["api"],
                run_history=False,
                enable_monitoring=False,
                ssr_mode=False,
                **limited,
                **look_and_feel(),
            )
    except OSError as error:
        raise ConfigError(f"--host {host} --port {port}: cannot be listened on ({error})") from error
    library.accelerate()
    return blocks, public or address


def _require_certificate(certificate: Path | None, key: Path | None) -> None:
    """Refuse a certificate or key that a server could not start with.

    Raises:
        ConfigError: one is there without the other, is no file, or they are no certificate and its key.
    """
    import ssl

    for option, path in (("--ssl-certfile", certificate), ("--ssl-keyfile", key)):
        if path is not None and not path.is_file():
            raise ConfigError(f"{option} {path}: there is no such file")
    if certificate is None and key is None:
        return
    if certificate is None or key is None:
        raise ConfigError("--ssl-certfile and --ssl-keyfile: one was given; required: both or none")
    try:
        # With a password no one is asked for one at the terminal: an encrypted key is refused.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"--ssl-certfile {certificate} --ssl-keyfile {key}: cannot be used ({error}); required: "
            "a certificate and its unencrypted key, in PEM format"
        ) from error


def _free_port(host: str) -> int:
    import socket

    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _require_mcp() -> None:
    import importlib.util

    if importlib.util.find_spec("mcp") is None:
        raise ConfigError("--mcp needs an extra; required: pip install 'expression-search[mcp]'")


if __name__ == "__main__":
    run_command(main)
