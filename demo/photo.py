"""The Photo room: a picture and one or two networks → labelled picture, words, faces; knows no layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demo.draw import annotate
from demo.library import Library
from demo.markup import answer_card, message, sentence
from demo.recognise import Answer, answers_of, open_picture, recognise
from demo.saliency import saliency
from zoo.faces import MOST_FACES

__all__ = ["Photo", "explain", "face_choices", "look", "summary"]


@dataclass(frozen=True)
class Photo:
    """What is kept of a visitor's picture while it is shown: small crops and numbers, not the picture.

    Attributes:
        networks: one or two names.
        answers: those networks' answers to the same faces, a tuple a network.
        source: where the picture came from, to tell it from another.
    """

    networks: tuple[str, ...]
    answers: tuple[tuple[Answer, ...], ...]
    source: str = ""

    @property
    def faces(self) -> int:
        """How many there are."""
        return len(self.answers[0])

    @property
    def whole(self) -> bool:
        """The whole picture was taken as the face."""
        return bool(self.answers[0]) and self.answers[0][0].box is None


def look(
    library: Library, source: object, networks: Sequence[str | None], *, whole: bool = False
) -> tuple[np.ndarray, Photo]:
    """Find the faces of a picture and ask one or two networks about them.

    Args:
        source: what `open_picture` takes.
        networks: names; None and repetitions are left out, but the first None is the default network.
        whole: take the whole picture as the face.

    Returns:
        The labelled picture, uint8 (H, W, 3), and what is known of its faces.

    Raises:
        ImageError: the picture can't be read.
        WeightsError: a network is unknown.
    """
    image = open_picture(source)
    first, *others = [networks[0] or library.default, *(name for name in networks[1:] if name)]
    names = (first, *(name for name in others if name != first))
    answers = [recognise(image, library.predictor(first), whole=whole)]
    crops, boxes = [answer.crop for answer in answers[0]], [answer.box for answer in answers[0]]
    answers += [answers_of(library.predictor(name), crops, boxes) for name in names[1:]]
    return annotate(image, answers[0]), Photo(names, tuple(answers), str(source))


def summary(photo: Photo) -> str:
    """What was found, in words."""
    answers = photo.answers[0]
    if not answers:
        advice = (
            "Try a picture in which the face is larger, well lit and turned to the camera."
            " If the picture is a face already, cut close, take the whole picture as the face."
        )
        return message("No face found", advice, kind="none")
    if len(answers) == 1:
        return message(*sentence(answers[0]), kind="unsure" if answers[0].unsure else "good")
    words = ", ".join(f"{answer.number} {answer.label}" for answer in answers)
    more = f" or more, of which the {MOST_FACES} surest are read" if len(answers) >= MOST_FACES else ""
    return message(f"{len(answers)} faces{more}, from left to right", f"{words}.", kind="good")


def face_choices(photo: Photo) -> list[tuple[str, int]]:
    """A label and an index for each face, for a menu."""
    return [(f"{answer.number} · {answer.label}", index) for index, answer in enumerate(photo.answers[0])]


def explain(library: Library, photo: Photo | None, index: int | None) -> str:
    """One face as each network sees it, with what the answer rests on.

    Args:
        index: of the face, from 0; one that isn't there gives an empty page.
    """
    if photo is None or index is None or not 0 <= index < photo.faces:
        return ""
    cards = ""
    for name, answers in zip(photo.networks, photo.answers, strict=True):
        answer = answers[index]
        heat = saliency(library.predictor(name), answer.crop, answer.expression)
        cards += answer_card(answer, network=name, heat=heat)
    return f'<div class="answers">{cards}</div>'
