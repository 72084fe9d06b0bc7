"""A training run's state on disk, written so that it is whole or absent; knows nothing of what it holds."""

from __future__ import annotations

import io
import logging
import zipfile
from pathlib import Path
from typing import Any

import torch

from zoo.errors import first_line
from zoo.output import moved_into_place
from zoo.training.device import is_out_of_memory

__all__ = ["checkpoint_beside", "load_checkpoint", "save_checkpoint"]

_log = logging.getLogger(__name__)


def checkpoint_beside(folder: Path) -> Path:
    """Where the state of the training of a model is kept until it is saved as `folder`."""
    return folder.with_name(f"{folder.name}.checkpoint")


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values, moved into place when whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # torch tells a full disk as an internal fault of its own, a plain write as what it is.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    with moved_into_place(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """What `save_checkpoint` wrote, on the CPU, or None where there is no readable checkpoint.

    Only tensors and plain values are read; a file with any other object in it counts as unreadable, as does
    an altered one. A line of the log says so.

    Raises:
        RuntimeError, MemoryError: there is no memory for it.
    """
    try:
        content = io.BytesIO(path.read_bytes())
    except FileNotFoundError:
        return None
    try:
        # torch writes checksums, but doesn't look at them.
        with zipfile.ZipFile(content) as archive:
            if altered := archive.testzip():
                raise zipfile.BadZipFile(f"{altered} is altered")
        content.seek(0)
        return torch.load(content, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file leads to
        if is_out_of_memory(error):
            raise
        _log.warning("%s: unreadable, begun anew: %s", path, first_line(error))
        return None
