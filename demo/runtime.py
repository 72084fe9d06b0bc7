"""ONNX Runtime beside PyTorch: each network is run by the one that is faster; knows no pictures, no pages."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import importlib.metadata
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime

from zoo.data.cache import cache_folder
from zoo.data.dataset import FACE_SIZE
from zoo.models import CARD
from zoo.predictor import Predictor

__all__ = ["export_to_cache", "milliseconds", "use_faster"]

_RUNS = 7
_TOLERANCE = 1e-3
_PACKAGES = ("expression-search", "torch", "onnx", "onnxruntime", "onnxscript")
_log = logging.getLogger(__name__)


def use_faster(predictor: Predictor, folder: Path) -> bool:
    """Let ONNX Runtime compute the probabilities if it is faster and the model's export is in the cache.

    An export that can't be read, or that answers otherwise, is removed.

    Args:
        folder: of the model.

    Returns:
        Whether the export is in the cache.
    """
    path = _cached(folder)
    if not path.is_file():
        return False
    options = onnxruntime.SessionOptions()
    # Visitors are answered side by side: threads of one answer would only take the others' cores.
    options.intra_op_num_threads = 1
    faces = np.random.default_rng(0).integers(0, 256, (2, FACE_SIZE, FACE_SIZE), dtype=np.uint8)
    predictor.session = None
    expected, before = predictor.probabilities(faces), milliseconds(predictor)
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        difference = float(np.abs(session.run(None, {"faces": faces})[0] - expected).max())
        if not difference <= _TOLERANCE:
            raise ValueError(f"its answers differ by {difference:.2g}")
    except Exception as error:  # onnxruntime's have no common class
        _log.warning("%s is made again: %s", path, error)
        path.unlink(missing_ok=True)
        return False
    predictor.session = session
    if milliseconds(predictor) > before:
        predictor.session = None
    return True


def export_to_cache(folder: Path) -> bool:
    """Export a model to the cache, in a process of its own that yields to all others; takes seconds.

    Returns:
        Whether it could be exported; the reason why not is logged.
    """
    path = _cached(folder)
    with contextlib.suppress(OSError):  # the export says what is wrong with the place
        path.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "zoo.export_onnx", str(folder), "--out", str(path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        atexit.register(process.kill)
        if hasattr(os, "setpriority"):
            os.setpriority(os.PRIO_PROCESS, process.pid, 10)
        said = process.communicate()[1]
        atexit.unregister(process.kill)
    if process.returncode:
        lines = said.strip().splitlines()
        _log.warning("PyTorch goes on to run %s: %s", folder.name, lines[-1] if lines else "no export")
        return False
    for old in path.parent.glob(f"{path.stem.rsplit('-', 1)[0]}-*.onnx"):
        if old != path:
            old.unlink(missing_ok=True)
    return True


def milliseconds(predictor: Predictor) -> float:
    """For one face on this machine, the shortest of seven: others may be computing, too."""
    face = np.zeros((1, FACE_SIZE, FACE_SIZE), np.uint8)
    predictor.probabilities(face)
    times = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        predictor.probabilities(face)
        times.append(time.perf_counter() - start)
    return min(times) * 1000


def _cached(folder: Path) -> Path:
    """Where a model's export lies: it is made again when the model moves, or what makes it changes."""
    place = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
    # The card has the digest of the weights.
    state = hashlib.sha256((folder / CARD).read_bytes())
    state.update(repr([_version(name) for name in _PACKAGES]).encode())
    return cache_folder() / f"{folder.name}-{place}-{state.hexdigest()[:16]}.onnx"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # run from its folder, not installed
        return ""
