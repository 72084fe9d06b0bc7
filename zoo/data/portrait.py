"""Paints a batch of gray faces from action units and a random identity; knows nothing of expressions."""

from __future__ import annotations

import math

import numpy as np

from zoo.data.canvas import Draws, Plane, ellipse, glow, ripple, segment, window

__all__ = ["ACTION_UNITS", "JAW", "PART", "PRESS", "paint_portrait"]

# Facial action units by their numbers in the Facial Action Coding System, and the index of each.
ACTION_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 15, 17, 20, 23, 25, 26)
INNER_UP, OUTER_UP, BROW_DOWN, LID_UP, CHEEK, SQUINT, NOSE, LIP_UP = range(8)
SMILE, FROWN, CHIN, STRETCH, PRESS, PART, JAW = range(8, 15)


def _frame(draws: Draws, size: int, wild: float) -> tuple[Plane, np.ndarray]:
    """An empty picture whose coordinates carry the pose, and the features' own horizontal coordinate."""
    steps = ((np.arange(size) + 0.5) / size * 2.0 - 1.0).astype(np.float32)
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
    plane = Plane(np.zeros_like(x), x, y, np.float32(2.0 / size) / scale)
    # Features sit on a round head: turning moves the middle of the face more than its rim.
    round_x = np.clip(1.0 - (x / 0.85) ** 2, 0.0, 1.0)
    round_y = np.clip(1.0 - y**2, 0.0, 1.0)
    plane.y = y - pitch * 0.5 * round_y * round_x
    return plane, x - yaw * 0.5 * round_x


def _paint_head(plane: Plane, features: np.ndarray, draws: Draws, jaw: np.ndarray) -> dict[str, np.ndarray]:
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
        spot = ellipse(x - place_x, y - place_y, draws.uniform(0.2, 0.7), draws.uniform(0.2, 0.9))
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
    strands = ripple(fan * draws.uniform(6.0, 9.0)) + ripple(fan * 14.3)
    locks = hair * (0.82 + 0.3 * strands) + 0.14 * glow(x - 0.3 * light_x, y + 0.86, 0.6, 0.28)
    behind = np.maximum(head - volume, y - 0.1)
    fallen = np.maximum(np.maximum(abs(x) - wide - volume * 0.9, -0.1 - y), y - draws.uniform(0.4, 1.5))
    behind = np.where(long_hair > 0.0, np.minimum(behind, fallen), behind)
    plane.paint(locks, plane.cover(behind) * (1.0 - bald))
    neck = np.maximum(abs(x) - wide * draws.uniform(0.5, 0.72), -y)
    plane.paint(skin * 0.68, plane.cover(neck))
    shirt = ellipse(x, y - 1.75, 1.3, draws.uniform(0.5, 0.72))
    plane.paint(draws.uniform(0.05, 0.95), plane.cover(shirt))
    for side in (-1.0, 1.0):
        ear = ellipse(x - side * wide * 1.0, y + 0.02, 0.1, 0.2)
        plane.paint(skin * 0.86, plane.cover(ear) * (1.0 - long_hair))
        plane.shade(0.35 * glow(x - side * wide * 1.04, y + 0.02, 0.06, 0.13) * (1.0 - long_hair))

    # A head is nearly a sphere: Lambert's law on its normal gives cheeks, temples and chin their shade.
    depth = np.sqrt(np.clip(1.0 - radius**2, 0.02, 1.0))
    length = np.sqrt(light_x**2 + light_y**2 + 0.8)
    lambert = np.clip((light_x * ratio_x + light_y * ratio_y + 0.9 * depth) / length, 0.0, 1.0)
    face = plane.cover(head)
    plane.paint(skin * (ambient + (1.12 - ambient) * lambert), face)

    beard = draws.chance(0.24) * (1.0 - long_hair) * draws.uniform(0.25, 0.95)
    edge = draws.uniform(0.3, 0.5)
    low = np.maximum(head - 0.02, edge - 0.5 * np.minimum(flat_x**2, 1.0) - y)
    mouth_gap = ellipse(features, y - 0.42, 0.27, 0.16)
    share = plane.cover(np.maximum(low, -mouth_gap), 0.14) * beard
    plane.paint(np.minimum(hair, skin * 0.6) * (0.85 + 0.3 * strands), share)

    line = -draws.uniform(0.48, 0.82) + draws.uniform(-0.25, 0.25) * features
    line = line + draws.uniform(-0.3, 1.2) * features**2
    fringe = np.maximum(head - volume, y - line)
    plane.shade(0.3 * plane.cover(np.maximum(head, fringe - 0.05), 0.08) * (1.0 - bald))
    plane.paint(locks, plane.cover(fringe, 0.02) * (1.0 - bald))
    return {"skin": skin, "hair": hair, "light": light_x, "face": face, "beard": beard}


def _paint_forehead(plane: Plane, look: dict[str, np.ndarray], unit: tuple[np.ndarray, ...]) -> None:
    """Lines of raised and knitted brows."""
    x, y = plane.x, plane.y - look["eye_y"]
    knit = np.clip(unit[BROW_DOWN], 0.0, 1.0) * look["lines"]
    for side in (-1.0, 1.0):
        furrow = segment(x, y, (side * 0.045, -0.26), (side * 0.06, -0.12))
        plane.shade(0.6 * knit * plane.cover(furrow - 0.008, 0.015))
    raised = np.clip(0.5 * unit[INNER_UP] + 0.5 * unit[OUTER_UP] - 0.15, 0.0, 1.0) * look["lines"]
    for height in (-0.42, -0.5):
        wave = np.maximum(abs(y - height - 0.25 * x**2) - 0.006, abs(x) - 0.3)
        plane.shade(0.5 * raised * look["face"] * plane.cover(wave, 0.012))


def _paint_eye(plane: Plane, side: float, look: dict[str, np.ndarray], unit: tuple[np.ndarray, ...]) -> None:
    """One eye with its brow; `side` is -1 for the left of the picture. u points outward, v down."""
    u, v = side * plane.x - look["eye_x"], plane.y - look["eye_y"]
    skin, cover = look["skin"], plane.cover
    half = look["eye_half"]
    arch = np.clip(1.0 - (u / half) ** 2, -1.5, 1.0)
    opened = 1.0 + 0.75 * unit[LID_UP] - 0.3 * unit[SQUINT] - 0.24 * unit[BROW_DOWN] - 0.3 * unit[NOSE]
    opened = np.maximum(opened - 0.22 * unit[CHEEK] + look["lids"], 0.06) * (1.0 - 0.94 * look["closed"])
    upper = look["eye_open"] * opened
    lower = 0.6 * look["eye_open"] * np.maximum(1.0 - 0.65 * unit[CHEEK] - 0.45 * unit[SQUINT], 0.1)
    lower = lower * (1.0 - 0.6 * look["closed"])
    # Sadness and fear lift the inner end of the lid, anger lowers it.
    droop = look["eye_tilt"] + 0.28 * unit[INNER_UP] - 0.3 * unit[BROW_DOWN]
    lid = v + upper * arch - np.clip(droop * u, -0.06, 0.06)
    floor = v - lower * arch

    plane.shade(0.26 * look["socket"] * glow(u + 0.03, v + 0.02, half * 1.7, 0.2))
    plane.shade(0.3 * unit[BROW_DOWN] * glow(u + half * 0.9, v + 0.08, 0.12, 0.13))
    bag = (0.1 + 0.3 * unit[CHEEK] + 0.25 * unit[SQUINT]) * look["lines"]
    plane.shade(bag * cover(np.maximum(abs(floor - 0.045) - 0.006, abs(u) - half * 0.9), 0.02))
    ball = np.maximum(np.maximum(-lid, floor), abs(u) - half * 1.02)
    inside = cover(ball)
    plane.paint(np.clip(skin + 0.3, 0.62, 0.97), inside)
    gaze_u, gaze_v = u - side * look["gaze_x"], v + look["eye_open"] * 0.2 - look["gaze_y"]
    from_iris = np.sqrt(gaze_u**2 + gaze_v**2)
    plane.paint(look["iris"], inside * cover(from_iris - look["iris_size"]))
    plane.paint(0.02, inside * cover(from_iris - look["iris_size"] * 0.5))
    glint = ellipse(side * gaze_u + 0.022, gaze_v + 0.03, 0.019, 0.019)
    plane.paint(1.0, inside * cover(glint))
    plane.shade(0.4 * inside * cover(lid - 0.03, 0.03))
    within = abs(u) - half * 1.08
    plane.paint(skin * 0.1, 0.92 * cover(np.maximum(abs(lid) - look["lashes"], within)))
    plane.paint(skin * 0.35, 0.5 * cover(np.maximum(abs(floor) - 0.007, within)))
    crease = abs(lid + 0.05 + 0.02 * unit[LID_UP]) - 0.006
    plane.shade(0.35 * look["lines"] * cover(np.maximum(crease, within), 0.012))

    along = np.clip((u + 0.04 * unit[BROW_DOWN] + 0.01) / look["brow_half"], -1.4, 1.4)
    inner = look["brow_inner"] + 0.13 * unit[INNER_UP] - 0.15 * unit[BROW_DOWN] - 0.05 * unit[NOSE]
    outer = look["brow_outer"] + 0.13 * unit[OUTER_UP] - 0.03 * unit[BROW_DOWN] - 0.03 * unit[INNER_UP]
    rise = look["brow_arch"] + 0.03 * unit[OUTER_UP] - 0.02 * unit[BROW_DOWN]
    height = look["brow_y"] + inner * (0.5 - 0.5 * along) + outer * (0.5 + 0.5 * along)
    # A brow never falls below the lid.
    height = np.maximum(height + rise * (1.0 - along**2), upper * 0.75 + 0.03)
    thick = look["brow_thick"] * (1.05 - 0.45 * np.clip(along, -0.6, 1.0)) * (1.0 - 0.6 * (along**2) ** 2)
    stroke = np.maximum(abs(v + height) - thick, (abs(along) - 1.0) * look["brow_half"])
    plane.paint(np.minimum(look["brow_tone"], skin * 0.75), 0.92 * cover(stroke, 0.015))


def _paint_muzzle(plane: Plane, look: dict[str, np.ndarray], unit: tuple[np.ndarray, ...]) -> None:
    """Nose, cheeks, folds, mouth and chin."""
    x, y, cover, skin, lines = plane.x, plane.y, plane.cover, look["skin"], look["lines"]
    tip = look["nose_y"] - 0.035 * unit[NOSE] - 0.01 * unit[LIP_UP]
    wing = look["nose_half"] * (1.0 + 0.22 * unit[NOSE] + 0.1 * unit[SMILE])
    shadow_side = np.where(look["light"] > 0.0, np.float32(-1.0), np.float32(1.0))
    bridge = segment(x, y, (shadow_side * 0.05, -0.2), (shadow_side * wing * 0.8, tip - 0.03))
    plane.shade(0.24 * look["socket"] * cover(bridge - 0.012, 0.06))
    plane.shade(-0.16 * glow(x + shadow_side * 0.012, y - tip + 0.12, 0.05, 0.26))
    plane.shade(-0.14 * glow(x, y - tip + 0.02, 0.075, 0.08))
    plane.shade(0.3 * glow(x, y - tip - 0.08, wing * 1.3, 0.07))
    for side in (-1.0, 1.0):
        u = side * x
        alar = abs(ellipse(u - wing * 0.72, y - tip - 0.01, wing * 0.42, 0.058)) - 0.008
        plane.shade(0.4 * cover(np.maximum(alar, wing * 0.75 - u), 0.015))
        nostril = ellipse(u - wing * 0.48, y - tip - 0.045, 0.034, 0.02 + 0.01 * unit[NOSE])
        plane.paint(skin * 0.18, 0.85 * cover(nostril, 0.01))
        lift = np.maximum(unit[CHEEK], 0.7 * unit[SMILE])
        plane.shade(-0.2 * lift * glow(u - 0.35, y - 0.14, 0.2, 0.14))
        plane.shade(0.2 * lift * lines * glow(u - 0.37, y - 0.29, 0.2, 0.08))
        fold = look["fold"] + 0.5 * unit[SMILE] + 0.5 * unit[LIP_UP] + 0.35 * unit[NOSE] + 0.25 * unit[FROWN]
        start = (wing + 0.02, tip - 0.02)
        middle = (wing + 0.1 + 0.06 * unit[SMILE], tip + 0.1)
        end = (look["mouth_half"] + 0.06 + 0.08 * unit[SMILE] + 0.02 * unit[FROWN], look["mouth_y"] - 0.02)
        crease = np.minimum(segment(x * side, y, start, middle), segment(x * side, y, middle, end))
        plane.shade(0.42 * np.minimum(fold, 1.1) * cover(crease - 0.008, 0.025))
    for height in (-0.2, -0.12, -0.04):
        wrinkle = np.maximum(abs(y - height - 1.5 * x**2) - 0.008, abs(x) - 0.1)
        plane.shade(0.55 * np.minimum(unit[NOSE], 1.0) * cover(wrinkle, 0.012))

    half = look["mouth_half"] * (
        1.0
        + 0.26 * unit[SMILE]
        + 0.24 * unit[STRETCH]
        - 0.26 * unit[JAW]
        - 0.1 * unit[PRESS]
        - 0.05 * unit[CHIN]
    )
    along = np.clip(x / half, -1.3, 1.3)
    square = along**2
    arch = np.clip(1.0 - square, 0.0, 1.0)
    curve = look["mouth_curve"] + 0.13 * unit[SMILE] - 0.12 * unit[FROWN] - 0.03 * unit[STRETCH]
    v = y - look["mouth_y"] + curve * (square - 0.45) + look["mouth_skew"] * along + 0.03 * unit[CHIN]
    v = v + 0.04 * unit[NOSE] * (1.0 - 0.5 * square)
    # A dropped jaw rounds the mouth, a stretched or raised lip squares it.
    full = np.sqrt(arch) * 0.55 + arch * 0.45
    flat = np.clip(1.0 - square * square, 0.0, 1.0)
    parted = np.maximum(unit[PART] - 0.3 * unit[PRESS], 0.0)
    gap_up = (
        0.004
        + (0.022 * parted + 0.04 * unit[JAW]) * full
        + 0.05 * unit[LIP_UP] * flat * np.minimum(parted * 2.0, 1.0)
    )
    gap_down = 0.004 + (0.045 * parted + 0.17 * unit[JAW]) * full + 0.03 * unit[STRETCH] * flat * parted
    thin = np.maximum(1.0 - 0.65 * unit[PRESS] - 0.2 * unit[SMILE] - 0.15 * unit[STRETCH], 0.2)
    bow = 1.0 - 0.25 * np.clip(1.0 - abs(along) * 5.0, 0.0, 1.0)
    lip_up = look["lip_up"] * thin * arch * bow * (1.0 - 0.2 * unit[LIP_UP])
    lip_down = look["lip_down"] * thin * (np.sqrt(arch) * 0.5 + arch * 0.5)
    ends = (abs(along) - 1.0) * half
    lips = np.maximum(np.maximum(-gap_up - lip_up - v, v - gap_down - lip_down), ends)
    lip_share = cover(lips)
    plane.paint(skin * look["lip_tone"], lip_share)
    plane.shade(-0.22 * lip_share * glow(x, v - gap_down - lip_down * 0.5, half * 0.5, 0.03))
    inner = np.maximum(np.maximum(-gap_up - v, v - gap_down), ends)
    inside = cover(inner)
    plane.paint(0.06, inside * np.clip(0.85 + parted, 0.0, 1.0))
    plane.paint(
        skin * 0.45, inside * cover(ellipse(x, v - gap_down, half * 0.6, 0.06)) * np.minimum(unit[JAW], 1.0)
    )
    bite = look["teeth"] * np.clip(parted * 2.0 - 0.25 * unit[JAW], 0.0, 1.0)
    plane.paint(0.93, bite * inside * cover(np.maximum(inner + 0.008, v + gap_up - 0.055), 0.01))
    bared = np.clip(unit[STRETCH] + 0.9 * unit[BROW_DOWN] - 0.5, 0.0, 1.0) * np.clip(
        parted * 1.5 - 0.3, 0.0, 1.0
    )
    plane.paint(0.85, bared * inside * cover(np.maximum(inner + 0.008, gap_down - 0.045 - v), 0.01))
    for side in (-1.0, 1.0):
        dimple = ellipse(side * x - half - 0.01, v, 0.03, 0.035)
        plane.shade((0.25 + 0.2 * unit[SMILE] + 0.25 * unit[FROWN]) * lines * cover(dimple, 0.04))
    jut = gap_down + lip_down
    plane.shade((0.24 + 0.2 * unit[CHIN]) * glow(x, v - jut - 0.055, half * 0.8, 0.055))
    plane.shade(-0.1 * glow(x, y - look["mouth_y"] - 0.28 - 0.09 * unit[JAW], 0.2, 0.1))
    plane.shade(0.2 * np.minimum(unit[CHIN], 1.0) * glow(x, y - look["mouth_y"] - 0.22, 0.12, 0.05))
    moustache = np.maximum(ellipse(x, y - look["mouth_y"] + 0.1, half * 1.05, 0.07), -(y - tip - 0.05))
    plane.paint(
        np.minimum(look["hair"], skin * 0.6), look["moustache"] * cover(np.maximum(moustache, -lips), 0.03)
    )


def _paint_glasses(plane: Plane, look: dict[str, np.ndarray], draws: Draws, wild: float) -> None:
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


def _occlude(plane: Plane, look: dict[str, np.ndarray], draws: Draws, wild: float) -> None:
    """A lock of hair, a hand, or the edge of something in front of some faces."""
    x, y = plane.x, plane.y
    side = np.where(draws.uniform() < 0.5, -1.0, 1.0).astype(np.float32)
    lock_y = draws.uniform(-0.2, 0.3)
    lock = segment(x, y, (side * 0.1, -1.1), (side * draws.uniform(0.3, 0.6), lock_y))
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
        capsule = segment(x, y, (from_x, from_y + shift), (to_x + side * abs(shift), to_y + shift))
        plane.paint(tone * 0.5, shown * plane.cover(capsule - 0.088, 0.02))
        plane.paint(tone, shown * plane.cover(capsule - 0.072, 0.03))
    shown = draws.chance(0.09) * wild
    slope, cut = draws.uniform(-1.0, 1.0), draws.uniform(0.3, 0.65)
    flat = abs(slope) < 0.5
    edge = np.where(flat, cut + slope * 0.4 * x - y, cut + slope * 0.2 * y - side * x)
    plane.paint(draws.uniform(0.05, 0.9), shown * plane.cover(edge))


def paint_portrait(draws: Draws, units: np.ndarray, size: int, wild: float) -> Plane:
    """Paint one face per row of `units`.

    Args:
        draws: the random numbers of the identities; every face uses the same count of them.
        units: float32 (B, 15), strength of each of `ACTION_UNITS`, 0 (at rest) to about 1.35.
        size: pixels of a side.
        wild: 1 for the poses, hands and closed eyes of snapshots, 0 for a nearly frontal portrait.

    Returns:
        The painted plane: tones about 0–1 and upright coordinates, float32 (B, size, size).
    """
    unit = tuple(units[:, index, None, None] for index in range(len(ACTION_UNITS)))
    plane, features = _frame(draws, size, max(wild, 0.25))
    straight = plane.x
    look = _paint_head(plane, features, draws, unit[JAW])
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
    for place_x, place_y, reach in ((0.0, 0.33, 0.68), (-0.3, -0.3, 0.46), (0.3, -0.3, 0.46)):
        part, where = window(plane, place_x, place_y, reach)
        if place_x:
            _paint_eye(part, math.copysign(1.0, place_x), look, unit)
        else:
            _paint_muzzle(part, look, unit)
        plane.tone[where] = part.tone
    _paint_glasses(plane, look, draws, wild)
    _occlude(plane, look, draws, wild)
    plane.x = straight
    return plane
