"""A file that a command writes: refused before the work, not after it, and written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from zoo.errors import ConfigError

__all__ = ["require_writable", "whole_file"]


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
def whole_file(path: Path, mode: str = "w", **options: Any) -> Iterator[IO[Any]]:
    """A file to write, which takes its place when all is written; an earlier file stays if that fails.

    Args:
        mode, options: as `open` takes them; text is UTF-8.

    Raises:
        ConfigError: the file can't be written.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    if "b" not in mode:
        options = {"encoding": "utf-8", **options}
    try:
        with temporary.open(mode, **options) as file:
            yield file
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        temporary.unlink(missing_ok=True)
