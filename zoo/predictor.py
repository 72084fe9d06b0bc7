"""Faces → logits, probabilities and features of a saved network: the one path that evaluation and app
share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.special import softmax
from torch import nn

from zoo.card import Card
from zoo.data.channels import Preprocess
from zoo.errors import ConfigError
from zoo.models import is_ensemble, load_model, resolve
from zoo.training.answers import answers
from zoo.training.device import full_precision

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["VIEWS_TTA", "Predictor", "count_faces"]

_SHIFTS = ((0, 0), (0, 2), (0, -2), (2, 0), (-2, 0))
VIEWS_TTA = 2 * len(_SHIFTS)


class Predictor:
    """A network with its card, ready for faces. Computes in float32.

    Attributes:
        card, classes, network, preprocess: as saved.
        session: of ONNX Runtime with an export of this model (`zoo.export_onnx`), which computes
            `probabilities` where it is set.
        advance: told after every batch of the network how many faces it had.
    """

    session: InferenceSession | None = None
    advance: Callable[[int], object] | None = None

    def __init__(self, network: nn.Module, card: Card, *, device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)
        self.card, self.classes = card, card.classes
        self.network = network.eval().to(  # type: ignore[call-overload]
            device=self.device, memory_format=torch.channels_last
        )
        self.preprocess = Preprocess(card.channels, card.mean, card.std).to(self.device)

    @classmethod
    def load(
        cls, name_or_folder: str | Path, *, device: str | torch.device = "cpu", extra: Path | None = None
    ) -> Predictor:
        """The predictor of a saved model, by name or by folder.

        Raises:
            WeightsError: there is no such model, or it was altered.
        """
        return cls(*load_model(resolve(name_or_folder, extra=extra)), device=device)

    def logits(self, faces: np.ndarray, *, tta: bool = False, batch_size: int | None = None) -> np.ndarray:
        """What the network answers.

        Args:
            faces: uint8 (N, 48, 48); N may be 0.
            tta: mean over the face, four shifts by two pixels, and the mirror images of all five.

        Returns:
            float32 (N, classes).
        """
        if not tta:
            return self._run(self.network, len(self.classes), faces, batch_size)
        views = [_shifted(faces, *shift) for shift in _SHIFTS]
        every = [self.logits(view, batch_size=batch_size) for v in views for view in (v, v[:, :, ::-1])]
        return np.stack(every).mean(axis=0, dtype=np.float32)

    def probabilities(self, faces: np.ndarray, *, tta: bool = False) -> np.ndarray:
        """Calibrated probabilities, float32 (N, classes), of faces uint8 (N, 48, 48)."""
        session = self.session
        if session is not None and not tta:
            return np.asarray(session.run(None, {"faces": faces})[0])
        return softmax(self.logits(faces, tta=tta) / self.card.temperature, axis=1)

    def features(self, faces: np.ndarray, *, batch_size: int | None = None) -> np.ndarray:
        """The input of the network's last linear layer, float32 (N, D), of faces uint8 (N, 48, 48).

        N may be 0.

        Raises:
            ConfigError: the model is an ensemble.
        """
        if is_ensemble(self.card):
            raise ConfigError(
                f"model {self.card.name!r} is an ensemble, which has no features; required: one network, "
                f"such as {', '.join(self.card.config['members'])}"
            )
        classifier = self.network.classifier
        assert isinstance(classifier, nn.Linear)
        return self._run(self.network.features, classifier.in_features, faces, batch_size)

    def _run(self, function: object, width: int, faces: np.ndarray, batch_size: int | None) -> np.ndarray:
        assert callable(function)
        if not len(faces):
            return np.zeros((0, width), dtype=np.float32)
        with torch.inference_mode(), full_precision(self.device):
            parts = answers(function, faces, self.preprocess, batch_size=batch_size, advance=self.advance)
        return torch.cat(parts).float().cpu().numpy()


def count_faces(
    predictors: Iterable[Predictor], total: int, on_faces: Callable[[int, int], object] | None
) -> None:
    """Have `on_faces` told after every batch how many faces some predictors have answered, and of how many.

    A view of a face counts as a face.
    """
    if on_faces is None:
        return
    done = 0

    def advance(faces: int) -> None:
        nonlocal done
        done += faces
        on_faces(done, total)

    for predictor in predictors:
        predictor.advance = advance


def _shifted(faces: np.ndarray, down: int, across: int) -> np.ndarray:
    """Faces moved by whole pixels; the border is repeated."""
    padded = np.pad(faces, ((0, 0), (2, 2), (2, 2)), mode="edge")
    return padded[:, 2 - down : 50 - down, 2 - across : 50 - across]
