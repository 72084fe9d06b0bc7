"""Keeps what took long to read as one array file in the user's cache folder; knows nothing of faces."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from zoo.output import moved_into_place

__all__ = ["CACHE_VARIABLE", "cache_folder", "cached_bytes"]

CACHE_VARIABLE = "EXPRESSION_SEARCH_CACHE"

_log = logging.getLogger(__name__)
_CHECKSUM_BYTES = 4


def cache_folder() -> Path:
    """Where array files lie: `EXPRESSION_SEARCH_CACHE`, else the user's cache folder; it may not exist."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("expression-search", appauthor=False)


def cached_bytes(
    source: Path, identity: Sequence[object], build: Callable[[], Sequence[np.ndarray]]
) -> np.ndarray:
    """The bytes that `build` makes of `source`, from the cache when it has them.

    Processes that build at once each write a file of their own and move it into place, so a reader sees a
    whole file or none. A file that is cut short or altered fails its checksum and is built anew. When the
    cache folder can't be written, the bytes are returned from memory.

    Args:
        source: the file or folder that is read; array files of its earlier identities are removed.
        identity: what changes when the source or the layout of the bytes changes (size, time, version).
        build: returns uint8 arrays, which are joined in their order.

    Returns:
        uint8 (B,), read-only; a memory map that processes share, where the cache could be written.
    """
    place = hashlib.sha256(str(source.resolve()).encode()).hexdigest()[:12]
    state = hashlib.sha256(repr(tuple(identity)).encode()).hexdigest()[:16]
    prefix = f"{re.sub(r'[^A-Za-z0-9_-]+', '-', source.stem) or 'data'}-{place}"
    file = cache_folder() / f"{prefix}-{state}.npy"
    if (found := _read(file)) is not None:
        return found
    joined = _with_checksum(build())
    try:
        _write(file, joined)
        for old in file.parent.glob(f"{prefix}-*.npy"):
            if old != file:
                old.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("%s: not kept for the next start: %s", file, error.strerror or error)
    else:
        if (found := _read(file)) is not None:
            return found
    joined.flags.writeable = False
    return joined[:-_CHECKSUM_BYTES]


def _with_checksum(arrays: Sequence[np.ndarray]) -> np.ndarray:
    parts = [np.ascontiguousarray(array).reshape(-1) for array in arrays]
    checksum = 0
    for part in parts:
        checksum = zlib.crc32(part.data, checksum)
    return np.concatenate([*parts, _checksum_bytes(checksum)])


def _checksum_bytes(checksum: int) -> np.ndarray:
    return np.frombuffer(checksum.to_bytes(_CHECKSUM_BYTES, "little"), np.uint8)


def _read(file: Path) -> np.ndarray | None:
    try:
        # asarray: a plain view, since operations on a memmap subclass are slower and return memmaps.
        stored = np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        _log.warning("%s: unreadable, built anew: %s", file, error)
        return None
    if stored.dtype == np.uint8 and stored.ndim == 1 and len(stored) >= _CHECKSUM_BYTES:
        payload, checksum = stored[:-_CHECKSUM_BYTES], stored[-_CHECKSUM_BYTES:]
        if np.array_equal(_checksum_bytes(zlib.crc32(payload.data)), checksum):
            return payload
    _log.warning("%s: altered, built anew", file)
    return None


def _write(file: Path, array: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with moved_into_place(file) as temporary, temporary.open("wb") as opened:
        np.save(opened, array)
