"""Two or three face crops → same or different, or the odd one out; knows nothing of pictures or training."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from scipy.special import expit, softmax
from torch import Tensor

from zoo.comparison_model import ComparisonCard, load_comparison, resolve_comparison
from zoo.data.channels import Preprocess
from zoo.data.dataset import FACE_SIZE
from zoo.errors import ConfigError, WeightsError
from zoo.networks.comparison import ComparisonNetwork

__all__ = ["Comparer", "Comparison", "compare_faces"]


@dataclass(frozen=True)
class Comparison:
    """How two or three faces compare.

    Attributes:
        same: the verdict on two faces, or on three of which none is the odd one; else None.
        probability: that the faces show the same expression, 0–1, calibrated for pairs of which half do. Of
            three faces, that the two most alike do.
        expressions: each face's most probable expression.
        probabilities: float32 (n, classes), calibrated, rows summing to 1.
        distances: float32 (n, n), 0–2, between the faces' embeddings on the unit sphere; symmetric, with
            zeros in the diagonal.
        odd_one_out: which of three faces is least like the others, 0–2; None for two faces, or if no pair
            is closer than the others.
        odd_probabilities: of each of three faces to be the odd one; None for two.
    """

    same: bool | None
    probability: float
    expressions: tuple[str, ...]
    probabilities: np.ndarray
    distances: np.ndarray
    odd_one_out: int | None
    odd_probabilities: tuple[float, ...] | None


class Comparer:
    """A comparison network with its card, ready for faces. Computes on the CPU, in float32.

    Every face goes through the network alone, and its mirror image after it, so the answer depends neither
    on the order of the faces nor on which way they look, to the last bit.

    Attributes:
        card, classes, network: as saved.
    """

    def __init__(self, network: ComparisonNetwork, card: ComparisonCard) -> None:
        if not card.classes:
            raise WeightsError(
                f"model {card.name!r} names no expressions; required: one that zoo.train_pairs made of a "
                "saved model, or trained with labels (zoo.evaluate_pairs measures any)"
            )
        self.network, self.card, self.classes = network.eval(), card, card.classes
        self._preprocess = Preprocess(network.channels, card.mean, card.std)

    @classmethod
    def load(cls, name_or_dir: str | Path | None = None, *, extra: Path | None = None) -> Comparer:
        """The comparer of a saved model, by name or folder; None is the one that is shipped.

        Args:
            extra: a folder of further saved models.

        Raises:
            WeightsError: there is no such model, or it was altered.
        """
        return cls(*load_comparison(resolve_comparison(name_or_dir, extra=extra)))

    def compare(self, faces: np.ndarray) -> Comparison:
        """Compare two or three faces.

        Args:
            faces: uint8 (2, 48, 48) or (3, 48, 48).

        Raises:
            ConfigError: they are something else.
        """
        if faces.dtype != np.uint8 or faces.shape not in (
            (2, FACE_SIZE, FACE_SIZE),
            (3, FACE_SIZE, FACE_SIZE),
        ):
            raise ConfigError(
                f"faces are {faces.dtype} {faces.shape}; required: uint8 (2, 48, 48) or (3, 48, 48)"
            )
        with torch.inference_mode():
            described = [self._describe(face) for face in faces]
            embeddings = torch.cat([embedding for embedding, _ in described])
            first, second = _PAIRS[len(faces)]
            squares = self.network.distance(embeddings[first], embeddings[second])
            logits = self.network.compare(embeddings[first], embeddings[second])
        named = np.concatenate([logits.numpy() for _, logits in described])
        probabilities = softmax(named / self.card.temperature, axis=1)
        distances = np.zeros((len(faces), len(faces)), dtype=np.float32)
        distances[first, second] = distances[second, first] = squares.sqrt().numpy()
        sureness = expit(self.card.slope * logits.double().numpy() + self.card.offset)
        odd, odd_probabilities = (
            self._odd_one_out(squares.double().numpy()) if len(faces) == 3 else (None, None)
        )
        return Comparison(
            same=bool(sureness.min() >= 0.5) if odd is None else None,
            probability=float(sureness.max()),
            expressions=tuple(self.classes[place] for place in probabilities.argmax(axis=1)),
            probabilities=probabilities,
            distances=distances,
            odd_one_out=odd,
            odd_probabilities=odd_probabilities,
        )

    def _describe(self, face: np.ndarray) -> tuple[Tensor, Tensor]:
        image = self._preprocess(torch.from_numpy(face.copy())[None])
        embedding, logits = self.network.describe(image)
        assert logits is not None
        return embedding, logits

    def _odd_one_out(self, squares: np.ndarray) -> tuple[int | None, tuple[float, ...]]:
        """Entry k of `squares` belongs to the pair without face k."""
        scale = self.card.odd_scale if self.card.odd_scale is not None else 1.0
        probabilities = softmax(-scale * squares)
        alone = int((squares == squares.min()).sum()) == 1
        return int(squares.argmin()) if alone else None, tuple(probabilities.tolist())


_PAIRS = {2: ([0], [1]), 3: ([1, 0, 0], [2, 2, 1])}


def compare_faces(
    faces: np.ndarray, *, model: str | Path | None = None, extra: Path | None = None
) -> Comparison:
    """Compare two or three faces, uint8 (2 or 3, 48, 48), by a saved model, which is loaded once.

    Args:
        model: name or folder; None is the model that is shipped.
        extra: a folder of further saved models.

    Raises:
        ConfigError, WeightsError: as `Comparer` does.
    """
    return _loaded(model, extra).compare(faces)


@lru_cache(maxsize=4)
def _loaded(model: str | Path | None, extra: Path | None) -> Comparer:
    return Comparer.load(model, extra=extra)
