"""A small FER2013-format CSV of drawn faces, and the real command line run on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial

from search.storage import Places, open_storage
from search.study import load_study, quiet_optuna
from zoo.data.drawn import draw_faces

__all__ = ["await_trial", "command", "read_trials", "start", "write_faces"]

_ROOT = Path(__file__).resolve().parents[2]


def write_faces(path: Path, *, training: int = 300, public: int = 60, private: int = 60) -> Path:
    """Write drawn faces as FER2013's CSV; returns the path."""
    usages = ["Training"] * training + ["PublicTest"] * public + ["PrivateTest"] * private
    faces, labels = draw_faces(len(usages), seed=3)
    with path.open("w", encoding="utf-8") as file:
        file.write("emotion,pixels,Usage\n")
        for face, label, usage in zip(faces, labels, usages, strict=True):
            file.write(f"{label},{' '.join(map(str, face.ravel()))},{usage}\n")
    return path


def start(module: str, arguments: Sequence[str | Path], folder: Path) -> subprocess.Popen[str]:
    """Start `python -m module` in a folder, in a process group of its own as a terminal would."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(_ROOT),
        "OMP_NUM_THREADS": "1",
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    environment.pop("FER2013", None)
    # Tests in the background of a script ignore Ctrl-C, and what they start would do so, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def command(module: str, arguments: Sequence[str | Path], folder: Path) -> tuple[int, str, str]:
    """Run `python -m module` to its end; returns status, stdout and stderr."""
    process = start(module, arguments, folder)
    output, errors = process.communicate()
    return process.returncode, output, errors


def read_trials(storage: str, name: str) -> list[FrozenTrial]:
    """All trials of a study, or none while it doesn't exist yet."""
    quiet_optuna()
    opened = None
    try:
        opened = open_storage(Places(name, storage, Path()))
        return load_study(Places(name, storage, Path()), storage=opened).get_trials()
    except Exception:
        return []
    finally:
        if opened is not None:
            opened.remove_session()
            opened.engine.dispose()


def await_trial(
    process: subprocess.Popen[str],
    storage: str,
    name: str,
    wanted: Callable[[FrozenTrial], bool],
    *,
    seconds: float = 300,
) -> FrozenTrial:
    """Wait until the study that a process runs has a trial as wanted; returns it."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        for trial in read_trials(storage, name):
            if wanted(trial):
                return trial
        if process.poll() is not None:
            raise AssertionError(f"ended with {process.returncode}: {process.communicate()[1]}")
        time.sleep(0.1)
    process.kill()
    raise AssertionError(f"no such trial within {seconds} s: {process.communicate()[1]}")


optuna.logging.set_verbosity(optuna.logging.ERROR)
