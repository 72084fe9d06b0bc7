"""`python -m zoo.export_onnx NAME`: write a saved model as one ONNX file, faces in, probabilities out."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.command import run_command
from zoo.errors import WeightsError
from zoo.output import require_writable, whole_file

if TYPE_CHECKING:
    from torch import nn

    from zoo.predictor import Predictor

__all__ = ["export_onnx", "main"]

_OPSET = 18
# Largest difference of a probability that sums in another order may make.
_TOLERANCE = 1e-4


def main(argv: Sequence[str] | None = None) -> int:
    """Export; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m zoo.export_onnx", description=__doc__)
    parser.add_argument("model", help="name or folder of a saved model")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: NAME.onnx in the current folder")
    options = parser.parse_args(argv)

    from zoo.console import stderr, stdout
    from zoo.predictor import Predictor

    predictor = Predictor.load(options.model)
    path = options.out or Path(f"{predictor.card.name}.onnx")
    with stderr().status(f"exporting {predictor.card.name}"):
        difference = export_onnx(predictor, path)
    stdout().print(
        f"{path}: uint8 faces (N, 48, 48) → probabilities (N, {len(predictor.classes)}) of "
        f"{', '.join(predictor.classes)}; at most {difference:.1e} from PyTorch's",
        soft_wrap=True,
    )
    return 0


def export_onnx(predictor: Predictor, path: Path) -> float:
    """Write a model with its preprocessing and temperature inside the graph, and check it in onnxruntime.

    Input `faces`: uint8 (N, 48, 48), 0–255, any N. Output `probabilities`: float32 (N, classes), calibrated.
    The file's metadata has `classes` (JSON) and the model's `name`.

    Args:
        predictor: on the CPU.
        path: of the file; written whole or not at all.

    Returns:
        The largest difference to PyTorch's probabilities over the faces tried.

    Raises:
        ConfigError: the file can't be written.
        WeightsError: onnxruntime's answers differ from PyTorch's.
    """
    import numpy as np
    import onnx
    import onnxruntime
    import torch

    require_writable(path)
    example = torch.zeros((2, 48, 48), dtype=torch.uint8)
    with _quiet():
        program = torch.onnx.export(
            _graph(predictor).eval(),
            (example,),
            input_names=["faces"],
            output_names=["probabilities"],
            opset_version=_OPSET,
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("N")},),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for key, value in (("name", predictor.card.name), ("classes", json.dumps(predictor.classes))):
        model.metadata_props.append(onnx.StringStringEntryProto(key=key, value=value))
    written = model.SerializeToString()

    session = onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    difference = 0.0
    for count in (1, 2, 17):
        faces = random.integers(0, 256, (count, 48, 48), dtype=np.uint8)
        faces[0, :24] = 128  # a flat half, where the contrast channel divides by almost nothing
        answers = session.run(["probabilities"], {"faces": faces})[0]
        difference = max(difference, float(np.abs(answers - predictor.probabilities(faces)).max()))
    if not difference <= _TOLERANCE:
        raise WeightsError(
            f"{path}: onnxruntime's probabilities differ by {difference:.2g} from PyTorch's; "
            f"required: at most {_TOLERANCE}"
        )
    with whole_file(path, "wb") as file:
        file.write(written)
    return difference


def _graph(predictor: Predictor) -> nn.Module:
    import torch
    from torch import Tensor, nn

    class Graph(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.preprocess, self.network = predictor.preprocess, predictor.network

        def forward(self, faces: Tensor) -> Tensor:
            logits = self.network(self.preprocess(faces))
            return torch.softmax(logits / predictor.card.temperature, dim=1)

    return Graph()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of its own deprecations and prints its progress: nothing that a user can act on."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


if __name__ == "__main__":
    run_command(main)
