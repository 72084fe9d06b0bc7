"""Faces drawn by the program with seven expressions, the default data set; knows nothing of photographs.

An expression is a vector of facial action units (Ekman and Friesen, Facial Action Coding System, 1978), drawn
over a random identity, pose and light. What makes the set hard is what makes real faces hard: mild and mixed
expressions, resting faces that look like something, occlusion and bad pictures. No label is flipped.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from zoo.data.cache import cached_bytes
from zoo.data.canvas import Draws, Plane
from zoo.data.dataset import FACE_SIZE, USAGES, FaceDataset
from zoo.data.emotions import EMOTIONS
from zoo.data.portrait import ACTION_UNITS, JAW, PART, PRESS, paint_portrait
from zoo.errors import DataError

__all__ = ["DRAWN_NOTE", "draw_face", "draw_faces", "drawn_dataset"]

DRAWN_NOTE = (
    "NO DATA SET WAS GIVEN: these faces are DRAWN by the program, and figures on them say nothing about real "
    "faces. FER2013 is at https://www.kaggle.com/datasets/msambare/fer2013 (folders) and "
    "https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge "
    "(fer2013.csv); pass it with --data PATH, or set the environment variable FER2013"
)

_CODE = ("drawn.py", "canvas.py", "portrait.py")

# Strength of each unit at full intensity, in the order of `ACTION_UNITS`; after the prototypes of EMFACS
# (happiness 6+12, sadness 1+4+15, surprise 1+2+5+26, fear 1+2+4+5+7+20+26, anger 4+5+7+23, disgust 9+15+16).
_PROTOTYPES = {
    "angry": {4: 1.0, 5: 0.45, 7: 0.6, 10: 0.15, 17: 0.3, 23: 0.9, 15: 0.25},
    "disgust": {4: 0.5, 6: 0.35, 7: 0.5, 9: 1.0, 10: 1.0, 15: 0.45, 17: 0.3, 25: 0.35},
    "fear": {1: 1.0, 2: 0.5, 4: 0.55, 5: 0.9, 20: 0.9, 25: 0.7, 26: 0.35},
    "happy": {6: 0.9, 12: 1.0, 25: 0.5},
    "sad": {1: 0.9, 4: 0.45, 7: 0.2, 15: 1.0, 17: 0.6},
    "surprise": {1: 0.9, 2: 1.0, 5: 0.9, 25: 0.6, 26: 0.9},
    "neutral": {},
}
_TABLE = np.array(
    [[_PROTOTYPES[name].get(unit, 0.0) for unit in ACTION_UNITS] for name in EMOTIONS], np.float32
)
# Unbalanced as photographs are, but no class is so rare that its score becomes noise in a small set.
_FREQUENCIES = np.cumsum([0.14, 0.10, 0.14, 0.19, 0.15, 0.13, 0.15])
# How far light, exposure, blur and noise go. Poses are what a linear model fails at (0.42 from 1,000 faces);
# with light as bad as it can be (1), networks need a thousand steps before they learn anything.
_BAD_PICTURES = 0.3
_DRAWS = 192  # uniform numbers that a face may use; more than it does, so that a new one moves no other
_BATCH = 64  # faces drawn at once: their 0.6 MB planes stay in the processor's cache


def _action_units(draws: Draws, labels: np.ndarray, intensity: float | None) -> np.ndarray:
    """Strength of each action unit, float32 (B, 15); a given intensity draws the plain expression."""
    count = len(labels)
    strength = draws.uniform().reshape(count, 1)
    other = (draws.uniform() * len(EMOTIONS)).astype(np.int64).reshape(count)
    blended = (draws.chance(0.25) * draws.uniform(0.1, 0.4)).reshape(count, 1)
    emphasis = np.concatenate([draws.uniform().reshape(count, 1) for _ in ACTION_UNITS], axis=1)
    stray = np.concatenate([draws.uniform().reshape(count, 1) for _ in ACTION_UNITS], axis=1)
    variant = draws.uniform().reshape(count)
    if intensity is not None:
        units = _TABLE[labels] * np.float32(intensity) * (0.85 + 0.3 * emphasis)
    else:
        strength = 0.65 + 0.95 * strength
        units = _TABLE[labels] * (1.0 - blended) * strength + _TABLE[other] * blended * 0.8
        units *= 0.6 + 0.75 * emphasis
        units += 0.35 * np.clip(stray - 0.8, 0.0, 1.0) / 0.2 * stray
    # The same expression with the mouth open: a shout, a laugh.
    scale = 1.0 if intensity is None else np.float32(min(intensity, 1.0))
    angry, happy = labels == EMOTIONS.index("angry"), labels == EMOTIONS.index("happy")
    shout, laugh = angry & (variant < 0.3), happy & (variant < 0.35)
    units[shout, PART] += 0.8 * scale
    units[shout, JAW] += 0.3 * scale
    units[shout, PRESS] *= 0.2
    units[laugh, PART] += 0.4 * scale
    units[laugh, JAW] += 0.35 * scale
    return np.clip(units, 0.0, 1.35).astype(np.float32)


def _photograph(plane: Plane, draws: Draws, grain: np.ndarray, bad: float) -> np.ndarray:
    """Uneven light, exposure, contrast, blur and noise, each as `bad` as 0 to 1; returns uint8 (B, S, S)."""
    slope_x, slope_y = draws.bell(0.0, 0.8 * bad), draws.bell(0.0, 0.4 * bad)
    tone = plane.tone * np.clip(1.0 + slope_x * plane.x + slope_y * plane.y, 0.25, 1.7)
    dim = draws.chance(0.15) * bad
    contrast = draws.uniform(0.75, 1.25) * (1.0 - 0.45 * dim)
    middle = draws.bell(0.5, 0.22 * bad)
    tone = (tone - 0.5) * contrast + middle
    size = tone.shape[1]
    blur = draws.uniform() * draws.uniform(0.2, 1.9) * bad
    for step in range(3):
        share = np.clip(blur - step, 0.0, 1.0)
        for axis in (1, 2):
            # The frame's own edge goes on outside it.
            before, after = np.arange(-1, size - 1).clip(0), np.arange(1, size + 1).clip(max=size - 1)
            around = tone.take(before, axis) + tone.take(after, axis)
            tone = tone + share * (0.25 * around - 0.5 * tone)
    noise = draws.uniform() * draws.uniform(0.01, 0.13) * draws.uniform(0.3, 1.0) * bad
    tone = tone + noise * grain
    return np.floor(np.clip(tone, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def _draw(
    numbers: np.ndarray, grain: np.ndarray, labels: np.ndarray, size: int, intensity: float | None
) -> np.ndarray:
    """A batch of faces, uint8 (B, size, size); a given intensity draws a plain portrait."""
    draws = Draws(numbers)
    wild, bad = (1.0, _BAD_PICTURES) if intensity is None else (0.0, 0.0)
    units = _action_units(draws, labels, intensity)
    return _photograph(paint_portrait(draws, units, size, wild), draws, grain, bad)


def _stream(*words: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))


def draw_faces(count: int, *, seed: int, part: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw faces with their expressions; the first N faces of a seed are the same whatever the count.

    Args:
        part: of a set; each has its own random numbers.

    Returns:
        Faces, uint8 (count, 48, 48), 0–255, and labels, int64 (count,), indices into `EMOTIONS`.

    Raises:
        DataError: `count` or `seed` is negative.
    """
    if count < 0 or seed < 0:
        raise DataError(f"drawn faces: count {count} and seed {seed} must not be negative")
    shapes, grains = _stream(seed, part, 0), _stream(seed, part, 1)
    faces = np.empty((count, FACE_SIZE, FACE_SIZE), np.uint8)
    labels = np.empty(count, np.int64)
    for start in range(0, count, _BATCH):
        rows = slice(start, min(start + _BATCH, count))
        # Uniform numbers alone: NumPy keeps their stream from version to version.
        numbers = shapes.random((rows.stop - start, _DRAWS + 1))
        grain = grains.random((rows.stop - start, FACE_SIZE, FACE_SIZE), dtype=np.float32) * 2.0 - 1.0
        labels[rows] = np.searchsorted(_FREQUENCIES[:-1], numbers[:, 0], side="right")
        faces[rows] = _draw(numbers[:, 1:], grain, labels[rows], FACE_SIZE, None)
    return faces, labels


def draw_face(expression: str, *, seed: int, intensity: float = 1.0, size: int = FACE_SIZE) -> np.ndarray:
    """Draw one plain portrait: a pure expression, nearly frontal, without noise, blur or occlusion.

    Args:
        expression: one of `EMOTIONS`.
        seed: of the identity; the same seed is the same person in every expression.
        intensity: 0 (at rest) to 1 (full), and a little beyond.
        size: pixels of a side, at least 16; shapes are drawn at this size, not enlarged.

    Returns:
        uint8 (size, size), 0–255.

    Raises:
        DataError: `expression` is unknown, `seed` negative, `intensity` not 0–1.5 or `size` not 16–2048.
    """
    if expression not in EMOTIONS:
        raise DataError(f"expression {expression!r} is unknown; known are {', '.join(EMOTIONS)}")
    if seed < 0 or not 0.0 <= intensity <= 1.5 or not 16 <= size <= 2048:
        raise DataError(
            f"drawn face: seed {seed}, intensity {intensity} and size {size} must be at least 0, "
            "between 0 and 1.5, and between 16 and 2048"
        )
    numbers = _stream(seed, 0, 2).random((1, _DRAWS))
    labels = np.array([EMOTIONS.index(expression)])
    return _draw(numbers, np.zeros((1, size, size), np.float32), labels, size, float(intensity))[0]


def drawn_dataset(
    training: int = 2000, public: int = 500, private: int = 500, *, seed: int = 0
) -> FaceDataset:
    """The default data set: three usages, each drawn from its own random numbers.

    Drawing takes 3 to 4 seconds, so the faces are kept in the cache folder until the drawing code changes.

    Raises:
        DataError: a count or `seed` is negative.
    """
    counts = (training, public, private)
    if min(*counts, seed) < 0:
        raise DataError(f"drawn faces: counts {counts} and seed {seed} must not be negative")

    def build() -> list[np.ndarray]:
        parts = [draw_faces(count, seed=seed, part=part) for part, count in enumerate(counts, start=1)]
        return [
            *(faces.reshape(-1) for faces, _ in parts),
            *(labels.astype(np.uint8) for _, labels in parts),
        ]

    code = Path(__file__)
    identity = [zlib.crc32(code.with_name(name).read_bytes()) for name in _CODE]
    joined = cached_bytes(code, (*counts, seed, *identity), build)
    pixels = sum(counts) * FACE_SIZE**2
    return FaceDataset(
        name="drawn faces",
        classes=EMOTIONS,
        faces=joined[:pixels].reshape(-1, FACE_SIZE, FACE_SIZE),
        labels=joined[pixels:].astype(np.int64),
        usage=np.repeat(np.arange(len(USAGES), dtype=np.int8), counts),
        notes=(DRAWN_NOTE,),
        drawn=True,
    )
