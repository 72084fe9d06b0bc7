"""Two or three pictures → same expression or not, or the odd one out; knows no page layout."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from demo.draw import colour_of, data_address
from demo.markup import message, table
from demo.recognise import largest, open_picture, percent
from zoo.comparison import Comparer, Comparison
from zoo.comparison_model import DEFAULT_COMPARISON, available_comparisons
from zoo.errors import ImageError, WeightsError, ZooError
from zoo.faces import crop_face, find_faces, whole_image

__all__ = ["Compared", "compare_pictures", "comparison_to_json", "comparison_page", "default_comparer"]

_PLACES = ("first", "second", "third")


@dataclass(frozen=True)
class Compared:
    """A comparison and the faces it was made of.

    Attributes:
        network: name of the comparison model.
        crops: uint8 (48, 48), one a picture.
        whole: whether the whole picture was taken as the face, because none was found in it.
        classes: what the columns of `result.probabilities` mean.
    """

    network: str
    crops: tuple[np.ndarray, ...]
    whole: tuple[bool, ...]
    result: Comparison
    classes: tuple[str, ...]


def default_comparer(extra: Path | None = None) -> Comparer | None:
    """The comparison model of the shipped one's name, from the last place that has it, else any other.

    One that can't be used is left out and logged; None if no other is there.

    Args:
        extra: a folder of further models, beside the shipped ones and `models/`.
    """
    models = available_comparisons(extra)
    for name in sorted(models, key=lambda name: name != DEFAULT_COMPARISON):
        try:
            return Comparer.load(models[name])
        except ZooError as error:
            logging.getLogger(__name__).warning("left out: %s", error)
    return None


def compare_pictures(comparer: Comparer | None, sources: Sequence[object]) -> Compared:
    """Compare the largest faces of two or three pictures.

    Args:
        sources: what `open_picture` takes; a third one that is None is left out.

    Raises:
        ImageError: the first or second is missing, or one can't be read; the message says which.
        WeightsError: there is no comparer.
    """
    if comparer is None:
        raise WeightsError("No comparison model is installed; python -m zoo.train_pairs makes one.")
    if len(sources) == 3 and sources[2] is None:
        sources = sources[:2]
    if any(source is None for source in sources):
        raise ImageError("Choose a first and a second picture; a third one is optional.")
    crops, whole = [], []
    for place, source in zip(_PLACES, sources, strict=False):
        try:
            image = open_picture(source)
        except ZooError as error:
            raise ImageError(f"the {place} picture: {error}") from error
        faces = find_faces(image)
        crops.append(crop_face(image, largest(faces)) if faces else whole_image(image))
        whole.append(not faces)
    result = comparer.compare(np.stack(crops))
    return Compared(comparer.card.name, tuple(crops), tuple(whole), result, comparer.classes)


def comparison_to_json(compared: Compared) -> dict[str, Any]:
    """Plain values of a comparison."""
    result = compared.result
    odd = result.odd_one_out
    return {
        "network": compared.network,
        "same": result.same,
        "probability_same": None if result.same is None else round(float(result.probability), 4),
        "odd_one_out": None if odd is None else odd + 1,
        "odd_probabilities": None
        if result.odd_probabilities is None
        else [round(float(value), 4) for value in result.odd_probabilities],
        "distances": np.round(np.asarray(result.distances, float), 4).tolist(),
        "faces": [
            {
                "expression": expression,
                "face_found": not whole,
                "probabilities": {
                    name: round(float(value), 4) for name, value in zip(compared.classes, row, strict=True)
                },
            }
            for expression, whole, row in zip(
                result.expressions, compared.whole, result.probabilities, strict=True
            )
        ],
    }


def comparison_page(compared: Compared) -> str:
    """The verdict in words, the faces side by side, and their distances."""
    result = compared.result
    if result.odd_probabilities is not None:
        verdict = _odd_verdict(result.odd_one_out, result.odd_probabilities)
    else:
        verdict = message(
            "The same expression" if result.same else "Different expressions",
            f"Probability of the same expression: {percent(result.probability)}.",
            kind="good" if abs(result.probability - 0.5) > 0.15 else "unsure",
        )
    faces = "".join(
        f'<figure class="{"odd" if index == result.odd_one_out else "even"}"'
        f' style="--tone:{colour_of(name)}">'
        f'<img src="{data_address(crop)}" width="144" height="144" alt="the {_PLACES[index]} face, cropped">'
        f"<figcaption><strong>{name}</strong> {percent(float(np.max(row)))}"
        f"{'<br>no face found: the whole picture' if whole else ''}</figcaption></figure>"
        for index, (crop, name, row, whole) in enumerate(
            zip(compared.crops, result.expressions, result.probabilities, compared.whole, strict=True)
        )
    )
    distances = np.asarray(result.distances, float)
    pairs = [(i, j) for i in range(len(distances)) for j in range(i + 1, len(distances))]
    rows = [(f"{_PLACES[i]} and {_PLACES[j]}", f"{distances[i, j]:.2f}") for i, j in pairs]
    caption = f"Distances between the faces as {compared.network} measures them: smaller is more alike"
    measured = table(("faces", "distance"), rows, caption=caption)
    return f'{verdict}<div class="side-by-side">{faces}</div>{measured}'


def _odd_verdict(odd: int | None, probabilities: Sequence[float]) -> str:
    if odd is None:
        return message(
            "None is the odd one out", "No two of the faces are closer than others.", kind="unsure"
        )
    return message(
        f"The {_PLACES[odd]} face is the odd one out",
        f"With a probability of {percent(probabilities[odd])}; the other two look more alike.",
        kind="good" if probabilities[odd] >= 0.5 else "unsure",
    )
