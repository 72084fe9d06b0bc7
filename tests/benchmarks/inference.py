"""Inference of every shipped network at batch 1 and 256, PyTorch beside ONNX Runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from tests.benchmarks.measure import Figure, interleaved_ratio
from zoo.export_onnx import export_onnx
from zoo.models import SHIPPED, available
from zoo.predictor import Predictor

__all__ = ["measure"]


def measure(data: Path | None) -> list[Figure]:
    """Milliseconds a face and images a second on one thread, and how much faster ONNX Runtime is."""
    torch.set_num_threads(1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    generator = np.random.default_rng(0)
    figures = []
    for name, folder in available().items():
        if folder.parent != SHIPPED:
            continue
        predictor = Predictor.load(name)
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / "model.onnx"
            export_onnx(predictor, path)
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            name_in = session.get_inputs()[0].name
            for batch in (1, 256):
                faces = generator.integers(0, 256, (batch, 48, 48), dtype=np.uint8)
                run_onnx = partial(_repeat, partial(session.run, None, {name_in: faces}), batch)
                run_torch = partial(_repeat, partial(predictor.probabilities, faces), batch)
                ratio, fast, slow = interleaved_ratio(run_onnx, run_torch)
                detail = f"ONNX Runtime {1000 / fast:.2f} ms a face, PyTorch {1000 / slow:.2f} ms"
                measured = f"ONNX Runtime over PyTorch, {name}, batch {batch}"
                figures.append(Figure(measured, ratio, "×", detail=detail))
    return figures


def _repeat(function: Callable[[], object], batch: int) -> float:
    """Call until 64 faces at least are through; returns how many."""
    times = max(1, 64 // batch)
    for _ in range(times):
        function()
    return float(times * batch)
