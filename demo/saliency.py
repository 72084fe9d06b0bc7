"""Which parts of a face an answer rests on, by hiding them one after the other; knows no particular network.

Hiding is chosen over gradients: it means the same for every family in the zoo, also for those without
convolutions, and needs no faith, for each value is a change of the very probability that is shown.
"""

from __future__ import annotations

import cv2
import numpy as np

from zoo.data.dataset import FACE_SIZE
from zoo.predictor import Predictor

__all__ = ["saliency"]

_PATCH = 12
_POSITIONS = np.linspace(0, FACE_SIZE - _PATCH, 9).round().astype(int)


def saliency(predictor: Predictor, crop: np.ndarray, expression: str) -> np.ndarray:
    """How much of an expression's probability is lost where a part of the face is hidden.

    A patch of 12 × 12 pixels, blurred beyond recognition and with soft edges, moves over 9 × 9 places
    (occlusion, after Zeiler and Fergus, 2014, arXiv:1311.2901).

    Args:
        crop: uint8 (48, 48).
        expression: one of the predictor's classes.

    Returns:
        float32 (48, 48), 0–1: 1 where hiding costs the expression most; all zero when hiding costs nothing.
    """
    index = predictor.classes.index(expression)
    hidden, masks = _hidden(crop)
    probabilities = predictor.probabilities(np.concatenate([crop[None], hidden]))[:, index]
    losses = np.maximum(probabilities[0] - probabilities[1:], 0)
    covered = masks.sum(axis=0)
    heat = np.tensordot(losses, masks, axes=1) / np.maximum(covered, 1e-6)
    peak = float(heat.max())
    return (heat / peak if peak > 1e-4 else np.zeros_like(heat)).astype(np.float32)


def _hidden(crop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Copies of a face with one part hidden each, uint8 (81, 48, 48), and where, float32 (81, 48, 48)."""
    face = crop.astype(np.float32)
    # Replacing a part by its surroundings' tone keeps the copy a plausible face; a gray square would not.
    blurred = cv2.GaussianBlur(face, (0, 0), 8, borderType=cv2.BORDER_REPLICATE)
    masks = []
    for top in _POSITIONS:
        for left in _POSITIONS:
            mask = np.zeros((FACE_SIZE, FACE_SIZE), np.float32)
            mask[top : top + _PATCH, left : left + _PATCH] = 1
            masks.append(cv2.GaussianBlur(mask, (0, 0), 1.5, borderType=cv2.BORDER_REPLICATE))
    soft = np.stack(masks)
    return np.rint(face + soft * (blurred - face)).astype(np.uint8), soft
