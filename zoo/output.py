"""A file to write: whole or not at all, and a command's refused before the work, not after it."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from zoo.errors import ConfigError

__all__ = ["moved_into_place", "require_writable", "whole_file"]


def require_writable(path: Path) -> None:
    """See before the work that a file can be made there.

    Raises:
        ConfigError: it is a folder, or its folder doesn't exist.
    """
    if path.is_dir():
        raise ConfigError(f"{path}: cannot be written; required: a file, which this folder isn't")
    if not path.resolve().parent.is_dir():
        raise ConfigError(f"{path}: cannot be written; required: a folder that exists")


@contextlib.contextmanager
def moved_into_place(path: Path) -> Iterator[Path]:
    """Where to write what becomes `path` when all is written; an earlier file stays if that fails.

    Errors of the system that name no file, such as that of a full disk, name `path` afterwards.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_file(path: Path, mode: str = "w", **options: Any) -> Iterator[IO[Any]]:
    """A command's file to write, moved into place when whole.

    What can't be replaced, such as a device or a pipe, is written to as it is. A link stays one.

    Args:
        mode, options: as `open` takes them; text is UTF-8.

    Raises:
        ConfigError: the file can't be written; but a closed pipe is told as such.
    """
    if "b" not in mode:
        options = {"encoding": "utf-8", **options}
    try:
        if path.exists() and not path.is_file():
            with path.open(mode, **options) as file:
                yield file
        else:
            with moved_into_place(path.resolve()) as temporary, temporary.open(mode, **options) as file:
                yield file
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror or error})") from None
