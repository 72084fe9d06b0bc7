"""`python -m zoo.compare A.jpg B.jpg [C.jpg]`: same expression or not; of three faces, the odd one out."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.command import run_command
from zoo.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

    from zoo.comparison import Comparison

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Compare the largest face of each picture; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m zoo.compare", description=__doc__)
    parser.add_argument("pictures", nargs="+", metavar="PICTURE", type=Path, help="two or three pictures")
    parser.add_argument("--model", metavar="NAME_OR_DIR", help="comparison model (default: best-compare)")
    parser.add_argument("--models", type=Path, metavar="DIR", help="a folder of further saved models")
    parser.add_argument("--cropped", action="store_true", help="each picture is one face already")
    parser.add_argument("--json", action="store_true", help="print JSON instead of words")
    options = parser.parse_args(argv)
    if len(options.pictures) not in (2, 3):
        raise ConfigError(f"{len(options.pictures)} pictures were given; required: two or three")

    import numpy as np

    from zoo.comparison import Comparer

    comparer = Comparer.load(options.model, extra=options.models)
    faces = np.stack([_face(picture, cropped=options.cropped) for picture in options.pictures])
    result = comparer.compare(faces)
    names = [str(picture) for picture in options.pictures]
    if options.json:
        print(json.dumps(_values(result, names, comparer.classes), indent=1))
    else:
        print("\n".join(_words(result, names)))
    return 0


def _face(picture: Path, *, cropped: bool) -> np.ndarray:
    """The largest face of a picture, uint8 (48, 48); the whole picture, with a warning, if it has none."""
    from zoo.console import stderr
    from zoo.faces import crop_face, find_faces, whole_image
    from zoo.pictures import read_image

    image = read_image(picture, name=str(picture))
    if cropped:
        return whole_image(image)
    faces = find_faces(image)
    if not faces:
        stderr().print(
            f"{picture}: no face found; the whole picture is taken", style="yellow", soft_wrap=True
        )
        return whole_image(image)
    return crop_face(image, max(faces, key=lambda face: face.box[2] * face.box[3]))


def _words(result: Comparison, names: Sequence[str]) -> list[str]:
    lines = []
    if result.odd_one_out is not None and result.odd_probabilities is not None:
        chance = result.odd_probabilities[result.odd_one_out]
        lines.append(f"odd one out: {names[result.odd_one_out]} ({chance:.1%})")
    elif result.odd_probabilities is not None:
        lines.append("odd one out: none, as no pair is more alike than the others")
    else:
        verdict = "same expression" if result.same else "different expressions"
        lines.append(f"{verdict}: {result.probability:.1%} sure that they are the same")
    width = max(map(len, names))
    for place, name in enumerate(names):
        chance = float(result.probabilities[place].max())
        lines.append(f"  {name:<{width}}  {result.expressions[place]} ({chance:.1%})")
    lines.append("distances (0 for a face and itself, 2 at most):")
    for first in range(len(names)):
        for second in range(first + 1, len(names)):
            lines.append(f"  {names[first]} – {names[second]}: {result.distances[first, second]:.3f}")
    return lines


def _values(result: Comparison, names: Sequence[str], classes: Sequence[str]) -> dict[str, object]:
    odd = result.odd_one_out
    return {
        "same": result.same,
        "probability_same": result.probability,
        "odd_one_out": None if odd is None else names[odd],
        "odd_probabilities": result.odd_probabilities,
        "distances": result.distances.tolist(),
        "faces": [
            {
                "picture": name,
                "expression": result.expressions[place],
                "probabilities": dict(zip(classes, result.probabilities[place].tolist(), strict=True)),
            }
            for place, name in enumerate(names)
        ],
    }


if __name__ == "__main__":
    run_command(main)
