"""Faces drawn by the program with seven expressions, the default data set; knows nothing of photographs or files.

An expression is a vector of facial action units (Ekman and Friesen, Facial Action Coding System, 1978), drawn over a
random identity, pose and light. What makes the set hard is what makes real faces hard: mild and mixed expressions,
resting faces that look like something, occlusion and bad pictures. No label is flipped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from zoo.data.dataset import FACE_SIZE, USAGES, FaceDataset
from zoo.data.emotions import EMOTIONS
from zoo.errors import DataError

__all__ = ["draw_face", "draw_faces", "drawn_dataset"]

# Facial action units by their numbers in the Facial Action Coding System.
_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 15, 17, 20, 23, 25, 26)
_INNER_UP, _OUTER_UP, _BROW_DOWN, _LID_UP, _CHEEK, _SQUINT, _NOSE, _LIP_UP = range(8)
_SMILE, _FROWN, _CHIN, _STRETCH, _PRESS, _PART, _JAW = range(8, 15)
# Strength of each unit at full intensity, in the order of `_UNITS`; after the prototypes of EMFACS
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
_TABLE = np.array([[_PROTOTYPES[name].get(unit, 0.0) for unit in _UNITS] for name in EMOTIONS], np.float32)
# Unbalanced as photographs are, but no class is so rare that its score becomes noise in a small set.
_FREQUENCIES = np.cumsum([0.14, 0.10, 0.14, 0.19, 0.15, 0.13, 0.15])
_DRAWS = 192  # uniform numbers that a face may use; more than it does, so that a new one moves no other
_BATCH = 64  # faces drawn at once: their 0.6 MB planes stay in the processor's cache
_FACE_SPAN = 2.0  # the frame spans -1 to 1 in both directions


class _Draws:
    """Uniform numbers of a batch of faces, one column after the other, each as float32 (B, 1, 1)."""

    def __init__(self, numbers: np.ndarray) -> None:
        self._numbers = numbers
        self._next = 0

    def uniform(self, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        column = self._numbers[:, self._next, None, None]
        self._next += 1
        return (low + (high - low) * column).astype(np.float32)

    def bell(self, middle: float, reach: float) -> np.ndarray:
        """`middle` plus or minus `reach`, most often near the middle."""
        return middle + (self.uniform(-reach, reach) + self.uniform(-reach, reach)) * np.float32(0.5)

    def chance(self, probability: float) -> np.ndarray:
        """1 with this probability, else 0."""
        return (self.uniform() < probability).astype(np.float32)


@dataclass
class _Plane:
    """Pixels being painted: tones and the face coordinates (right and down, -1 to 1) of each, all (B, H, W)."""

    tone: np.ndarray
    x: np.ndarray
    y: np.ndarray
    pixel: np.ndarray  # width of a pixel in face units, (B, 1, 1)

    def cover(self, distance: np.ndarray, softness: float | np.ndarray = 0.0) -> np.ndarray:
        """Share of each pixel inside a shape, from its signed distance; `softness` widens the edge."""
        return np.clip(0.5 - distance / (self.pixel + softness), 0.0, 1.0)

    def paint(self, tone: np.ndarray | float, share: np.ndarray) -> None:
        self.tone += share * (tone - self.tone)

    def shade(self, share: np.ndarray) -> None:
        """Darken by a share of the tone, or brighten where it is negative."""
        self.tone *= 1.0 - share


def _ellipse(x: np.ndarray, y: np.ndarray, wide: np.ndarray | float, high: np.ndarray | float) -> np.ndarray:
    """Approximate signed distance to an ellipse at the origin."""
    return (np.sqrt((x / wide) ** 2 + (y / high) ** 2) - 1.0) * np.minimum(wide, high)


def _segment(x: np.ndarray, y: np.ndarray, start: tuple, end: tuple) -> np.ndarray:
    """Distance to the segment between two points, whose coordinates are numbers or (B, 1, 1)."""
    along_x, along_y = end[0] - start[0], end[1] - start[1]
    share = ((x - start[0]) * along_x + (y - start[1]) * along_y) / (along_x**2 + along_y**2 + 1e-6)
    share = np.clip(share, 0.0, 1.0)
    return np.sqrt((x - start[0] - share * along_x) ** 2 + (y - start[1] - share * along_y) ** 2)


def _glow(x: np.ndarray, y: np.ndarray, wide: np.ndarray | float, high: np.ndarray | float) -> np.ndarray:
    """A soft spot: 1 at the origin, falling smoothly to 0 at the ellipse."""
    fall = np.clip(1.0 - (x / wide) ** 2 - (y / high) ** 2, 0.0, 1.0)
    return fall * fall


def _action_units(draws: _Draws, labels: np.ndarray, intensity: float | None) -> np.ndarray:
    """Strength of each action unit, float32 (B, 15); a given intensity draws the plain expression."""
    count = len(labels)
    strength = draws.uniform().reshape(count, 1)
    other = (draws.uniform() * len(EMOTIONS)).astype(np.int64).reshape(count)
    blended = (draws.chance(0.25) * draws.uniform(0.1, 0.4)).reshape(count, 1)
    emphasis = np.concatenate([draws.uniform().reshape(count, 1) for _ in _UNITS], axis=1)
    stray = np.concatenate([draws.uniform().reshape(count, 1) for _ in _UNITS], axis=1)
    variant = draws.uniform().reshape(count)
    if intensity is not None:
        units = _TABLE[labels] * np.float32(intensity) * (0.85 + 0.3 * emphasis)
    else:
        strength = 0.5 + 0.75 * strength
        units = _TABLE[labels] * (1.0 - blended) * strength + _TABLE[other] * blended * 0.8
        units *= 0.6 + 0.75 * emphasis
        units += 0.35 * np.clip(stray - 0.8, 0.0, 1.0) / 0.2 * stray
    # The same expression with the mouth open: a shout, a laugh, a sob; others stay closed.
    scale = 1.0 if intensity is None else np.float32(min(intensity, 1.0))
    angry, happy = labels == EMOTIONS.index("angry"), labels == EMOTIONS.index("happy")
    shout, laugh = angry & (variant < 0.3), happy & (variant < 0.35)
    units[shout, _PART] += 0.8 * scale
    units[shout, _JAW] += 0.3 * scale
    units[shout, _PRESS] *= 0.2
    units[laugh, _PART] += 0.4 * scale
    units[laugh, _JAW] += 0.35 * scale
    return np.clip(units, 0.0, 1.35).astype(np.float32)


def _frame(draws: _Draws, size: int, wild: float) -> tuple[_Plane, np.ndarray]:
    """An empty picture whose coordinates carry the pose, and the features' own horizontal coordinate."""
    steps = ((np.arange(size) + 0.5) / size * _FACE_SPAN - 1.0).astype(np.float32)
    angle = draws.bell(0.0, 0.26 * wild)
    scale = draws.bell(1.03, 0.13 * wild)
    stretch = draws.bell(1.0, 0.12 * wild)
    right, down = draws.bell(0.0, 0.13 * wild), draws.bell(0.0, 0.11 * wild)
    yaw = draws.bell(0.0, 0.42 * wild)
    pitch = draws.bell(0.0, 0.14 * wild)
    cosine = np.cos(angle.astype(np.float64)).astype(np.float32) / scale
    sine = np.sin(angle.astype(np.float64)).astype(np.float32) / scale
    across, along = steps[None, None, :] - right, steps[None, :, None] - down
    x = (cosine * across + sine * along) * stretch
    y = cosine * along - sine * across
    plane = _Plane(np.zeros_like(x), x, y, np.float32(_FACE_SPAN / size) / scale)
    # Features sit on a round head: turning moves the middle of the face more than its rim.
    round_x = np.clip(1.0 - (x / 0.85) ** 2, 0.0, 1.0)
    round_y = np.clip(1.0 - y**2, 0.0, 1.0)
    plane.y = y - pitch * 0.5 * round_y * round_x
    return plane, x - yaw * 0.5 * round_x


def _window(plane: _Plane, x: float, y: float, reach: float) -> tuple[_Plane, tuple]:
    """The pixels around one feature, so that its many strokes cost a fraction of the picture."""
    size = plane.tone.shape[1]
    side = math.ceil(reach * size)
    step = max(1, size // 16)
    near = (plane.x[:, ::step, ::step] - x) ** 2 + (plane.y[:, ::step, ::step] - y) ** 2
    row, column = np.divmod(near.reshape(len(near), -1).argmin(1), near.shape[2])
    starts = [np.clip(middle * step + step // 2 - side // 2, 0, size - side) for middle in (row, column)]
    faces = np.arange(len(near))[:, None, None]
    rows = starts[0][:, None, None] + np.arange(side)[None, :, None]
    columns = starts[1][:, None, None] + np.arange(side)[None, None, :]
    where = (faces, rows, columns)
    return _Plane(plane.tone[where], plane.x[where], plane.y[where], plane.pixel), where


def _paint_head(plane: _Plane, features: np.ndarray, draws: _Draws, jaw: np.ndarray) -> dict[str, np.ndarray]:
    """Background, hair, neck, ears and shaded skin; returns the tones that other features need."""
    x, y = plane.x, plane.y
    skin = draws.bell(0.66, 0.26)
    hair = draws.uniform(0.04, 0.62) * draws.uniform(0.4, 1.0)
    hair = np.where(abs(hair - skin) < 0.12, hair * 0.5, hair)
    near, far = draws.uniform(0.05, 0.95), draws.uniform(0.05, 0.95)
    slope_x, slope_y = draws.uniform(-0.5, 0.5), draws.uniform(-0.5, 0.5)
    plane.tone += near + (far - near) * np.clip(0.5 + slope_x * x + slope_y * y, 0.0, 1.0)
    for _ in range(2):
        place_x, place_y = draws.uniform(-1.2, 1.2), draws.uniform(-1.2, 1.2)
        spot = _ellipse(x - place_x, y - place_y, draws.uniform(0.2, 0.7), draws.uniform(0.2, 0.9))
        plane.paint(draws.uniform(0.05, 0.95), plane.cover(spot, 0.08) * draws.uniform(0.0, 0.5))

    light_x, light_y, ambient = draws.bell(0.0, 1.1), draws.uniform(-0.75, 0.15), draws.uniform(0.35, 0.75)
    wide = draws.bell(0.69, 0.1)
    crown, chin = draws.bell(1.0, 0.08), draws.bell(0.9, 0.08) + 0.09 * jaw
    taper, square = draws.uniform(0.05, 0.34), draws.uniform(0.0, 0.6)
    high = np.where(y < 0.0, crown, chin)
    ratio_y = y / high
    ratio_x = x / (wide * (1.0 - taper * np.clip(ratio_y, 0.0, 1.0) ** 2))
    flat_x, flat_y = ratio_x**2, ratio_y**2
    radius = np.sqrt(flat_x + flat_y)
    radius += square * (np.sqrt(np.sqrt(flat_x**2 + flat_y**2)) - radius)
    head = (radius - 1.0) * wide

    volume = draws.uniform(0.03, 0.2)
    bald = draws.chance(0.12)
    long_hair = draws.chance(0.42) * (1.0 - bald)
    # Strands fan out from the crown; two spacings keep them from looking knitted.
    fan = features / (1.35 + 0.5 * y + draws.uniform(-0.2, 0.3) * features) + draws.uniform(-0.15, 0.15) * y
    strands = abs(np.mod(fan * draws.uniform(6.0, 9.0), 1.0) - 0.5) + abs(np.mod(fan * 14.3, 1.0) - 0.5)
    locks = hair * (0.82 + 0.3 * strands) + 0.14 * _glow(x - 0.3 * light_x, y + 0.86, 0.6, 0.28)
    behind = np.maximum(head - volume, y - 0.1)
    fallen = np.maximum(np.maximum(abs(x) - wide - volume * 0.9, -0.1 - y), y - draws.uniform(0.4, 1.5))
    behind = np.where(long_hair > 0.0, np.minimum(behind, fallen), behind)
    plane.paint(locks, plane.cover(behind) * (1.0 - bald))
    neck = np.maximum(abs(x) - wide * draws.uniform(0.5, 0.72), -y)
    plane.paint(skin * 0.68, plane.cover(neck))
    shirt = _ellipse(x, y - 1.75, 1.3, draws.uniform(0.5, 0.72))
    plane.paint(draws.uniform(0.05, 0.95), plane.cover(shirt))
    for side in (-1.0, 1.0):
        ear = _ellipse(x - side * wide * 1.0, y + 0.02, 0.1, 0.2)
        plane.paint(skin * 0.86, plane.cover(ear) * (1.0 - long_hair))
        plane.shade(0.35 * _glow(x - side * wide * 1.04, y + 0.02, 0.06, 0.13) * (1.0 - long_hair))

    # A head is nearly a sphere: Lambert's law on its normal gives cheeks, temples and chin their shade.
    depth = np.sqrt(np.clip(1.0 - radius**2, 0.02, 1.0))
    length = np.sqrt(light_x**2 + light_y**2 + 0.8)
    lambert = np.clip((light_x * ratio_x + light_y * ratio_y + 0.9 * depth) / length, 0.0, 1.0)
    face = plane.cover(head)
    plane.paint(skin * (ambient + (1.12 - ambient) * lambert), face)

    beard = draws.chance(0.24) * (1.0 - long_hair) * draws.uniform(0.25, 0.95)
    edge = draws.uniform(0.2, 0.42)
    low = np.maximum(head - 0.02, edge - 0.75 * flat_x * wide - y)
    mouth_gap = _ellipse(features, y - 0.42, 0.27, 0.16)
    share = plane.cover(np.maximum(low, -mouth_gap), 0.14) * beard
    plane.paint(hair * (0.85 + 0.4 * strands), share)

    line = -draws.uniform(0.48, 0.82) + draws.uniform(-0.25, 0.25) * features
    line = line + draws.uniform(-0.3, 1.2) * features**2
    fringe = np.maximum(head - volume, y - line)
    plane.shade(0.3 * plane.cover(np.maximum(head, fringe - 0.05), 0.08) * (1.0 - bald))
    plane.paint(locks, plane.cover(fringe, 0.02) * (1.0 - bald))
    return {"skin": skin, "hair": hair, "light": light_x, "face": face, "beard": beard}


def _paint_eye(plane: _Plane, side: float, look: dict[str, np.ndarray], unit: tuple[np.ndarray, ...]) -> None:
    """One eye with its brow; `side` is -1 for the left of the picture. u points outward, v down."""
    u, v = side * plane.x - look["eye_x"], plane.y - look["eye_y"]
    skin, cover = look["skin"], plane.cover
    half = look["eye_half"]
    arch = np.clip(1.0 - (u / half) ** 2, -1.5, 1.0)
    opened = 1.0 + 0.75 * unit[_LID_UP] - 0.3 * unit[_SQUINT] - 0.24 * unit[_BROW_DOWN] - 0.3 * unit[_NOSE]
    opened = np.maximum(opened - 0.22 * unit[_CHEEK] + look["lids"], 0.06) * (1.0 - 0.94 * look["closed"])
    upper = look["eye_open"] * opened
    lower = 0.6 * look["eye_open"] * np.maximum(1.0 - 0.65 * unit[_CHEEK] - 0.45 * unit[_SQUINT], 0.1)
    lower = lower * (1.0 - 0.6 * look["closed"])
    # Sadness and fear lift the inner end of the lid, anger lowers it.
    droop = look["eye_tilt"] + 0.28 * unit[_INNER_UP] - 0.3 * unit[_BROW_DOWN]
    lid = v + upper * arch - np.clip(droop * u, -0.06, 0.06)
    floor = v - lower * arch

    plane.shade(0.26 * look["socket"] * _glow(u + 0.03, v + 0.02, half * 1.7, 0.2))
    plane.shade(0.3 * unit[_BROW_DOWN] * _glow(u + half * 0.9, v + 0.08, 0.12, 0.13))
    bag = (0.1 + 0.3 * unit[_CHEEK] + 0.25 * unit[_SQUINT]) * look["lines"]
    plane.shade(bag * cover(np.maximum(abs(floor - 0.045) - 0.006, abs(u) - half * 0.9), 0.02))
    ball = np.maximum(np.maximum(-lid, floor), abs(u) - half * 1.02)
    inside = cover(ball)
    plane.paint(np.clip(skin + 0.3, 0.62, 0.97), inside)
    gaze_u, gaze_v = u - side * look["gaze_x"], v + look["eye_open"] * 0.2 - look["gaze_y"]
    from_iris = np.sqrt(gaze_u**2 + gaze_v**2)
    plane.paint(look["iris"], inside * cover(from_iris - look["iris_size"]))
    plane.paint(0.02, inside * cover(from_iris - look["iris_size"] * 0.5))
    glint = _ellipse(side * gaze_u + 0.022, gaze_v + 0.03, 0.019, 0.019)
    plane.paint(1.0, inside * cover(glint))
    plane.shade(0.4 * inside * cover(lid - 0.03, 0.03))
    within = abs(u) - half * 1.08
    plane.paint(skin * 0.1, 0.92 * cover(np.maximum(abs(lid) - look["lashes"], within)))
    plane.paint(skin * 0.35, 0.5 * cover(np.maximum(abs(floor) - 0.007, within)))
    crease = abs(lid + 0.05 + 0.02 * unit[_LID_UP]) - 0.006
    plane.shade(0.35 * look["lines"] * cover(np.maximum(crease, within), 0.012))

    along = np.clip((u + 0.04 * unit[_BROW_DOWN] + 0.01) / look["brow_half"], -1.4, 1.4)
    inner = look["brow_inner"] + 0.13 * unit[_INNER_UP] - 0.15 * unit[_BROW_DOWN] - 0.05 * unit[_NOSE]
    outer = look["brow_outer"] + 0.13 * unit[_OUTER_UP] - 0.03 * unit[_BROW_DOWN] - 0.03 * unit[_INNER_UP]
    rise = look["brow_arch"] + 0.03 * unit[_OUTER_UP] - 0.02 * unit[_BROW_DOWN]
    height = look["brow_y"] + inner * (0.5 - 0.5 * along) + outer * (0.5 + 0.5 * along)
    # A brow never falls below the lid.
    height = np.maximum(height + rise * (1.0 - along**2), upper * 0.75 + 0.03)
    thick = look["brow_thick"] * (1.05 - 0.45 * np.clip(along, -0.6, 1.0))
    stroke = np.maximum(abs(v + height) - thick, (abs(along) - 1.0) * look["brow_half"])
    plane.paint(np.minimum(look["brow_tone"], skin * 0.75), 0.92 * cover(stroke, 0.015))


def _paint_muzzle(plane: _Plane, look: dict[str, np.ndarray], unit: tuple[np.ndarray, ...]) -> None:
    """Nose, cheeks, folds, mouth and chin."""
    x, y, cover, skin, lines = plane.x, plane.y, plane.cover, look["skin"], look["lines"]
    tip = look["nose_y"] - 0.035 * unit[_NOSE] - 0.01 * unit[_LIP_UP]
    wing = look["nose_half"] * (1.0 + 0.22 * unit[_NOSE] + 0.1 * unit[_SMILE])
    shadow_side = np.where(look["light"] > 0.0, np.float32(-1.0), np.float32(1.0))
    bridge = _segment(x, y, (shadow_side * 0.05, -0.2), (shadow_side * wing * 0.8, tip - 0.03))
    plane.shade(0.24 * look["socket"] * cover(bridge - 0.012, 0.06))
    plane.shade(-0.16 * _glow(x + shadow_side * 0.012, y - tip + 0.12, 0.05, 0.26))
    plane.shade(-0.14 * _glow(x, y - tip + 0.02, 0.075, 0.08))
    plane.shade(0.3 * _glow(x, y - tip - 0.08, wing * 1.3, 0.07))
    for side in (-1.0, 1.0):
        u = side * x
        alar = abs(_ellipse(u - wing * 0.72, y - tip - 0.01, wing * 0.42, 0.058)) - 0.008
        plane.shade(0.4 * cover(np.maximum(alar, wing * 0.75 - u), 0.015))
        nostril = _ellipse(u - wing * 0.48, y - tip - 0.045, 0.034, 0.02 + 0.01 * unit[_NOSE])
        plane.paint(skin * 0.18, 0.85 * cover(nostril, 0.01))
        lift = np.maximum(unit[_CHEEK], 0.7 * unit[_SMILE])
        plane.shade(-0.2 * lift * _glow(u - 0.35, y - 0.14, 0.2, 0.14))
        plane.shade(0.2 * lift * lines * _glow(u - 0.37, y - 0.29, 0.2, 0.08))
        fold = (
            look["fold"] + 0.5 * unit[_SMILE] + 0.5 * unit[_LIP_UP] + 0.35 * unit[_NOSE] + 0.25 * unit[_FROWN]
        )
        start = (wing + 0.02, tip - 0.02)
        middle = (wing + 0.1 + 0.06 * unit[_SMILE], tip + 0.1)
        end = (look["mouth_half"] + 0.06 + 0.08 * unit[_SMILE] + 0.02 * unit[_FROWN], look["mouth_y"] - 0.02)
        crease = np.minimum(_segment(x * side, y, start, middle), _segment(x * side, y, middle, end))
        plane.shade(0.42 * np.minimum(fold, 1.1) * cover(crease - 0.008, 0.025))
    for height in (-0.2, -0.12, -0.04):
        wrinkle = np.maximum(abs(y - height - 1.5 * x**2) - 0.008, abs(x) - 0.1)
        plane.shade(0.55 * np.minimum(unit[_NOSE], 1.0) * cover(wrinkle, 0.012))

    half = look["mouth_half"] * (
        1.0
        + 0.26 * unit[_SMILE]
        + 0.24 * unit[_STRETCH]
        - 0.26 * unit[_JAW]
        - 0.1 * unit[_PRESS]
        - 0.05 * unit[_CHIN]
    )
    along = np.clip(x / half, -1.3, 1.3)
    square = along**2
    arch = np.clip(1.0 - square, 0.0, 1.0)
    curve = look["mouth_curve"] + 0.13 * unit[_SMILE] - 0.12 * unit[_FROWN] - 0.03 * unit[_STRETCH]
    v = y - look["mouth_y"] + curve * (square - 0.45) + look["mouth_skew"] * along + 0.03 * unit[_CHIN]
    v = v + 0.04 * unit[_NOSE] * (1.0 - 0.5 * square)
    # A dropped jaw rounds the mouth, a stretched or raised lip squares it.
    full = np.sqrt(arch) * 0.55 + arch * 0.45
    flat = np.clip(1.0 - square * square, 0.0, 1.0)
    parted = np.maximum(unit[_PART] - 0.3 * unit[_PRESS], 0.0)
    gap_up = (
        0.004
        + (0.022 * parted + 0.04 * unit[_JAW]) * full
        + 0.05 * unit[_LIP_UP] * flat * np.minimum(parted * 2.0, 1.0)
    )
    gap_down = 0.004 + (0.045 * parted + 0.17 * unit[_JAW]) * full + 0.03 * unit[_STRETCH] * flat * parted
    thin = np.maximum(1.0 - 0.65 * unit[_PRESS] - 0.2 * unit[_SMILE] - 0.15 * unit[_STRETCH], 0.2)
    bow = 1.0 - 0.25 * np.clip(1.0 - abs(along) * 5.0, 0.0, 1.0)
    lip_up = look["lip_up"] * thin * arch * bow * (1.0 - 0.2 * unit[_LIP_UP])
    lip_down = look["lip_down"] * thin * (np.sqrt(arch) * 0.5 + arch * 0.5)
    ends = (abs(along) - 1.0) * half
    lips = np.maximum(np.maximum(-gap_up - lip_up - v, v - gap_down - lip_down), ends)
    lip_share = cover(lips)
    plane.paint(skin * look["lip_tone"], lip_share)
    plane.shade(-0.22 * lip_share * _glow(x, v - gap_down - lip_down * 0.5, half * 0.5, 0.03))
    inner = np.maximum(np.maximum(-gap_up - v, v - gap_down), ends)
    inside = cover(inner)
    plane.paint(0.06, inside * np.clip(0.85 + parted, 0.0, 1.0))
    plane.paint(
        skin * 0.45, inside * cover(_ellipse(x, v - gap_down, half * 0.6, 0.06)) * np.minimum(unit[_JAW], 1.0)
    )
    bite = look["teeth"] * np.clip(parted * 2.0 - 0.25 * unit[_JAW], 0.0, 1.0)
    plane.paint(0.93, bite * inside * cover(np.maximum(inner + 0.008, v + gap_up - 0.055), 0.01))
    bared = np.clip(unit[_STRETCH] + 0.9 * unit[_BROW_DOWN] - 0.5, 0.0, 1.0) * np.clip(
        parted * 1.5 - 0.3, 0.0, 1.0
    )
    plane.paint(0.85, bared * inside * cover(np.maximum(inner + 0.008, gap_down - 0.045 - v), 0.01))
    for side in (-1.0, 1.0):
        dimple = _ellipse(side * x - half - 0.01, v, 0.03, 0.035)
        plane.shade((0.25 + 0.2 * unit[_SMILE] + 0.25 * unit[_FROWN]) * lines * cover(dimple, 0.04))
    jut = gap_down + lip_down
    plane.shade((0.24 + 0.2 * unit[_CHIN]) * _glow(x, v - jut - 0.055, half * 0.8, 0.055))
    plane.shade(-0.1 * _glow(x, y - look["mouth_y"] - 0.28 - 0.09 * unit[_JAW], 0.2, 0.1))
    plane.shade(0.2 * np.minimum(unit[_CHIN], 1.0) * _glow(x, y - look["mouth_y"] - 0.22, 0.12, 0.05))
    moustache = np.maximum(_ellipse(x, y - look["mouth_y"] + 0.1, half * 1.05, 0.07), -(y - tip - 0.05))
    plane.paint(look["hair"] * 1.05, look["moustache"] * cover(np.maximum(moustache, -lips), 0.03))


def _paint_forehead(plane: _Plane, look: dict[str, np.ndarray], unit: tuple[np.ndarray, ...]) -> None:
    """Lines of raised and knitted brows."""
    x, y = plane.x, plane.y - look["eye_y"]
    knit = np.clip(unit[_BROW_DOWN], 0.0, 1.0) * look["lines"]
    for side in (-1.0, 1.0):
        furrow = _segment(x, y, (side * 0.045, -0.26), (side * 0.06, -0.12))
        plane.shade(0.6 * knit * plane.cover(furrow - 0.008, 0.015))
    raised = np.clip(0.5 * unit[_INNER_UP] + 0.5 * unit[_OUTER_UP] - 0.15, 0.0, 1.0) * look["lines"]
    for height in (-0.42, -0.5):
        wave = np.maximum(abs(y - height - 0.25 * x**2) - 0.006, abs(x) - 0.3)
        plane.shade(0.5 * raised * look["face"] * plane.cover(wave, 0.012))


def _paint_glasses(plane: _Plane, look: dict[str, np.ndarray], draws: _Draws, wild: float) -> None:
    """Glasses on some faces, dark ones on a few."""
    worn = draws.chance(0.17)
    dark = worn * draws.chance(0.14 * wild) * 0.9
    wide, high, square = draws.uniform(0.19, 0.24), draws.uniform(0.13, 0.19), draws.uniform(0.0, 1.0)
    tone, thick = draws.uniform(0.03, 0.4), draws.uniform(0.006, 0.018)
    y = plane.y - look["eye_y"] - 0.03
    edge = abs(y + 0.04) - thick
    frame = np.maximum(edge, abs(plane.x) - np.maximum(look["eye_x"] - wide, 0.0))
    for side in (-1.0, 1.0):
        u = (side * plane.x - look["eye_x"]) / wide
        flat_u, flat_v = u**2, (y / high) ** 2
        radius = np.sqrt(flat_u + flat_v)
        radius += square * (np.sqrt(np.sqrt(flat_u**2 + flat_v**2)) - radius)
        lens = (radius - 1.0) * high
        plane.paint(tone * 0.5, dark * plane.cover(lens))
        plane.shade(-0.1 * worn * plane.cover(np.maximum(lens, abs(u + y * 3.0) - 0.2)))
        frame = np.minimum(frame, abs(lens) - thick)
        frame = np.minimum(frame, np.maximum(edge, (1.0 - u) * wide))
    plane.paint(tone, worn * look["face"] * plane.cover(frame))


def _occlude(plane: _Plane, look: dict[str, np.ndarray], draws: _Draws, wild: float) -> None:
    """A lock of hair, a hand, or the edge of something in front of some faces."""
    x, y = plane.x, plane.y
    side = np.where(draws.uniform() < 0.5, -1.0, 1.0).astype(np.float32)
    lock_y = draws.uniform(-0.2, 0.3)
    lock = _segment(x, y, (side * 0.1, -1.1), (side * draws.uniform(0.3, 0.6), lock_y))
    shown = draws.chance(0.08) * wild
    plane.paint(
        look["hair"],
        shown * plane.cover(lock - draws.uniform(0.1, 0.2) * np.clip(lock_y - y, 0.0, 1.0), 0.03),
    )
    # Fingers: three capsules side by side from the rim towards the mouth, chin or cheek.
    shown = draws.chance(0.12) * wild
    to_x, to_y = draws.uniform(-0.1, 0.35) * side, draws.uniform(0.0, 0.8)
    from_x, from_y = side * draws.uniform(0.7, 1.1), to_y + draws.uniform(-0.1, 0.7)
    tone = look["skin"] * draws.uniform(0.75, 1.1)
    for finger in (0.3, 0.15, 0.0):
        shift = np.float32(finger) - 0.15
        capsule = _segment(x, y, (from_x, from_y + shift), (to_x + side * abs(shift), to_y + shift))
        plane.paint(tone * 0.5, shown * plane.cover(capsule - 0.088, 0.02))
        plane.paint(tone, shown * plane.cover(capsule - 0.072, 0.03))
    shown = draws.chance(0.09) * wild
    slope, cut = draws.uniform(-1.0, 1.0), draws.uniform(0.3, 0.65)
    flat = abs(slope) < 0.5
    edge = np.where(flat, cut + slope * 0.4 * x - y, cut + slope * 0.2 * y - side * x)
    plane.paint(draws.uniform(0.05, 0.9), shown * plane.cover(edge))


def _photograph(
    tone: np.ndarray, x: np.ndarray, y: np.ndarray, draws: _Draws, grain: np.ndarray, wild: float
) -> np.ndarray:
    """Uneven light, exposure, contrast, blur and noise; returns uint8 (B, S, S)."""
    slope_x, slope_y = draws.bell(0.0, 0.8 * wild), draws.bell(0.0, 0.4 * wild)
    tone = tone * np.clip(1.0 + slope_x * x + slope_y * y, 0.25, 1.7)
    dim = draws.chance(0.15) * wild
    contrast = draws.uniform(0.75, 1.25) * (1.0 - 0.45 * dim)
    middle = draws.bell(0.5, 0.22 * wild)
    tone = (tone - 0.5) * contrast + middle
    blur = draws.uniform() * draws.uniform(0.2, 1.9) * wild
    for step in range(3):
        share = np.clip(blur - step, 0.0, 1.0)
        for axis in (1, 2):
            before, after = np.roll(tone, 1, axis), np.roll(tone, -1, axis)
            tone = tone + share * (0.25 * (before + after) - 0.5 * tone)
    noise = draws.uniform() * draws.uniform(0.01, 0.13) * draws.uniform(0.3, 1.0) * wild
    tone = tone + noise * grain
    return np.floor(np.clip(tone, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def _draw(
    numbers: np.ndarray, grain: np.ndarray, labels: np.ndarray, size: int, intensity: float | None
) -> np.ndarray:
    """A batch of faces, uint8 (B, size, size); a given intensity draws a plain portrait."""
    draws = _Draws(numbers)
    wild = 1.0 if intensity is None else 0.0
    units = _action_units(draws, labels, intensity)
    unit = tuple(units[:, index, None, None] for index in range(len(_UNITS)))
    plane, features = _frame(draws, size, wild if wild else 0.25)
    straight = plane.x
    look = _paint_head(plane, features, draws, unit[_JAW])
    eye_half = draws.bell(0.16, 0.03)
    look |= {
        "eye_x": draws.bell(0.305, 0.04),
        "eye_y": draws.bell(-0.16, 0.05),
        "eye_half": eye_half,
        "eye_open": eye_half * draws.uniform(0.36, 0.56),
        "eye_tilt": draws.bell(-0.05, 0.14),
        "lids": draws.bell(0.0, 0.3),
        "closed": draws.chance(0.06 * wild) * draws.uniform(0.5, 1.0),
        "gaze_x": draws.bell(0.0, 0.05),
        "gaze_y": draws.bell(0.0, 0.02),
        "iris": draws.uniform(0.08, 0.42),
        "iris_size": eye_half * draws.uniform(0.42, 0.54),
        "lashes": draws.uniform(0.009, 0.022),
        "socket": draws.uniform(0.3, 1.3),
        "lines": draws.uniform(0.25, 1.1),
        "brow_half": draws.bell(0.2, 0.04),
        "brow_inner": draws.bell(0.0, 0.05),
        "brow_outer": draws.bell(-0.01, 0.04),
        "brow_arch": draws.uniform(0.0, 0.05),
        "brow_y": draws.bell(0.2, 0.045),
        "brow_thick": draws.uniform(0.016, 0.045),
        "brow_tone": look["hair"] * 0.7,
        "nose_y": draws.bell(0.2, 0.06),
        "nose_half": draws.bell(0.125, 0.035),
        "fold": draws.uniform(0.0, 0.3),
        "mouth_y": draws.bell(0.49, 0.05),
        "mouth_half": draws.bell(0.26, 0.05),
        "mouth_curve": draws.bell(0.0, 0.04),
        "mouth_skew": draws.bell(0.0, 0.035 * (0.3 + 0.7 * wild)),
        "lip_up": draws.uniform(0.02, 0.055),
        "lip_down": draws.uniform(0.03, 0.075),
        "lip_tone": draws.uniform(0.55, 0.85),
        "teeth": draws.uniform(0.55, 1.0),
        "moustache": look["beard"] * draws.chance(0.7),
    }
    plane.x = features
    _paint_forehead(plane, look, unit)
    for place_x, place_y, reach in ((0.0, 0.33, 0.68), (-0.3, -0.24, 0.44), (0.3, -0.24, 0.44)):
        part, where = _window(plane, place_x, place_y, reach)
        if place_x:
            _paint_eye(part, math.copysign(1.0, place_x), look, unit)
        else:
            _paint_muzzle(part, look, unit)
        plane.tone[where] = part.tone
    _paint_glasses(plane, look, draws, wild)
    _occlude(plane, look, draws, wild)
    return _photograph(plane.tone, straight, plane.y, draws, grain, wild)


def _stream(*words: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))


def _draw_many(count: int, seed: int, part: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` faces of one part of a set: each part has its own random numbers."""
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


def draw_faces(count: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw faces with their expressions; the first N faces of a seed are the same whatever the count.

    Returns:
        Faces, uint8 (count, 48, 48), 0–255, and labels, int64 (count,), indices into `EMOTIONS`.

    Raises:
        DataError: `count` or `seed` is negative.
    """
    return _draw_many(count, seed, 0)


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
        DataError: `expression` is unknown, `seed` negative, `intensity` outside 0–1.5 or `size` outside 16–2048.
    """
    if expression not in EMOTIONS:
        raise DataError(f"expression {expression!r} is unknown; known are {', '.join(EMOTIONS)}")
    if seed < 0 or not 0.0 <= intensity <= 1.5 or not 16 <= size <= 2048:
        raise DataError(
            f"drawn face: seed {seed}, intensity {intensity} and size {size} must be at least 0, 0–1.5 and 16–2048"
        )
    numbers = _stream(seed, 0, 2).random((1, _DRAWS))
    labels = np.array([EMOTIONS.index(expression)])
    return _draw(numbers, np.zeros((1, size, size), np.float32), labels, size, float(intensity))[0]


def drawn_dataset(
    training: int = 2800, public: int = 700, private: int = 700, *, seed: int = 0
) -> FaceDataset:
    """The default data set: three usages, each drawn from its own random numbers.

    Raises:
        DataError: a count or `seed` is negative.
    """
    counts = (training, public, private)
    drawn = [_draw_many(count, seed, 1 + part) for part, count in enumerate(counts)]
    return FaceDataset(
        name="drawn faces",
        classes=EMOTIONS,
        faces=np.concatenate([faces for faces, _ in drawn]),
        labels=np.concatenate([labels for _, labels in drawn]),
        usage=np.repeat(np.arange(len(USAGES), dtype=np.int8), counts),
        notes=(
            "THESE FACES ARE DRAWN BY THE PROGRAM: figures on them say nothing about real faces; for those, get FER2013 "
            "(https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge) "
            "and pass its CSV with --data.",
        ),
        drawn=True,
    )
