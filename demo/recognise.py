"""A picture → its faces with their expressions; knows nothing of pages, drawing or Gradio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import ImageError
from zoo.faces import Face, crop_face, find_faces, whole_image
from zoo.pictures import read_image
from zoo.predictor import Predictor

__all__ = [
    "SMALLEST_PICTURE",
    "Answer",
    "Reading",
    "answers_of",
    "answers_to_json",
    "largest",
    "open_picture",
    "percent",
    "recognise",
    "require_kept",
]

SMALLEST_PICTURE = 16  # pixels of the shorter side; a face smaller than this shows no expression


def percent(value: float) -> str:
    """A share as people read it: 0 to 100% without false precision at the ends."""
    if 0 < value < 0.01:
        return "<1%"
    return ">99%" if 0.995 <= value < 1 else f"{value:.0%}"


@dataclass(frozen=True)
class Reading:
    """What a network says of one face, without the face: all that is kept where thousands are read.

    Attributes:
        number: 1 for the leftmost face of the picture.
        box: x, y, width, height in pixels of the picture; None when the whole picture was taken as the face.
        probabilities: calibrated, by class.
        unsure: the best probability is below the card's threshold.
    """

    number: int
    box: tuple[int, int, int, int] | None
    probabilities: dict[str, float]
    unsure: bool

    @property
    def expression(self) -> str:
        """The likeliest class."""
        return max(self.probabilities, key=lambda name: self.probabilities[name])

    @property
    def probability(self) -> float:
        """The likeliest class's probability."""
        return self.probabilities[self.expression]

    @property
    def label(self) -> str:
        """A few words: the expression with its percentage, or that it is unsure."""
        return f"{'unsure: ' if self.unsure else ''}{self.expression} {percent(self.probability)}"


@dataclass(frozen=True)
class Answer(Reading):
    """A reading together with its face.

    Attributes:
        crop: uint8 (48, 48): what the network saw.
    """

    crop: np.ndarray

    @property
    def reading(self) -> Reading:
        """The answer without its crop."""
        return Reading(self.number, self.box, self.probabilities, self.unsure)


def require_kept(path: Path) -> None:
    """See that a file which a visitor sent is still there.

    Raises:
        ImageError: it was deleted, as all are some minutes after they were sent.
    """
    if not path.is_file():
        raise ImageError(f"{path.name}: is no longer kept (three minutes); choose it again.")


def open_picture(source: object) -> np.ndarray:
    """What a visitor sent → RGB uint8 (H, W, 3).

    Raises:
        ImageError: there is nothing, or nothing that can be recognised; the message is for the visitor.
    """
    if source is None:
        raise ImageError("There is no picture yet: upload one, paste one or take one.")
    if isinstance(source, str):
        source = Path(source)
    if isinstance(source, Path):
        require_kept(source)
    name = source.name if isinstance(source, Path) else "the picture"
    image = read_image(source, name=name)  # type: ignore[arg-type]
    height, width = image.shape[:2]
    if min(height, width) < SMALLEST_PICTURE:
        raise ImageError(
            f"{name}: {width} × {height} pixels are too few; at least {SMALLEST_PICTURE} × {SMALLEST_PICTURE}"
        )
    return image


def recognise(
    image: np.ndarray,
    predictor: Predictor,
    *,
    whole: bool = False,
    sizes: tuple[int, ...] | None = None,
) -> tuple[Answer, ...]:
    """Find the faces of a picture and say what each looks like.

    Args:
        image: uint8 (H, W, 3), RGB.
        whole: the picture is one face; none is looked for.
        sizes: longer sides at which faces are looked for; None is the detector's own choice.

    Returns:
        From left to right; empty when there is no face.
    """
    if whole:
        return answers_of(predictor, [whole_image(image)], [None])
    faces = find_faces(image) if sizes is None else find_faces(image, sizes=sizes)
    return answers_of(predictor, [crop_face(image, face) for face in faces], [face.box for face in faces])


def answers_of(
    predictor: Predictor, crops: Sequence[np.ndarray], boxes: Sequence[tuple[int, int, int, int] | None]
) -> tuple[Answer, ...]:
    """The answers to crops, uint8 (48, 48) each, that were found in `boxes`."""
    if not crops:
        return ()
    rows = predictor.probabilities(np.stack(crops)).tolist()
    unsure_below = predictor.card.unsure_below
    return tuple(
        Answer(number, box, dict(zip(predictor.classes, row, strict=True)), max(row) < unsure_below, crop)
        for number, (box, crop, row) in enumerate(zip(boxes, crops, rows, strict=True), start=1)
    )


def largest(faces: Sequence[Face]) -> Face:
    """The face with the largest box: the person whom a picture of several is about."""
    return max(faces, key=lambda face: face.box[2] * face.box[3])


def answers_to_json(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """Plain values of the answers, without their crops."""
    return [
        {
            "face": answer.number,
            "box": list(answer.box) if answer.box else None,
            "expression": answer.expression,
            "probability": round(answer.probability, 4),
            "unsure": answer.unsure,
            "probabilities": {name: round(value, 4) for name, value in answer.probabilities.items()},
        }
        for answer in answers
    ]
