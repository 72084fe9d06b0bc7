"""How much memory processes may still take, here and within a container's or a job's limit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

__all__ = ["free_memory"]

_OWN = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")
# Of a control group, by its version: where it lies, its limit and what of it is taken.
_VERSIONS = (
    ("", "memory.max", "memory.current"),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
)


def free_memory() -> int:
    """Bytes that are free: of the machine, or of the control groups of this process where they leave less."""
    return min([psutil.virtual_memory().available, *_left_in_groups()])


def _left_in_groups() -> Iterator[int]:
    """What is left of each limit on the control group of this process and on those around it.

    A container sees its own group as the root, though its path may be that on the machine.
    """
    try:
        lines = _OWN.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for folder, limit, taken in _VERSIONS:
            if folder in controllers.split(","):
                own = Path(path.lstrip("/"))
                for group in (own, *own.parents):
                    yield from _left(_GROUPS / folder / group, limit, taken)


def _left(group: Path, limit: str, taken: str) -> Iterator[int]:
    """What is left of a group's limit, if it has one; pages of files that nobody uses are given back."""
    try:
        left = int((group / limit).read_text()) - int((group / taken).read_text())
        said = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # of no limit it says "max"
        return
    yield left + int(said.get("total_inactive_file", said.get("inactive_file", 0)))
