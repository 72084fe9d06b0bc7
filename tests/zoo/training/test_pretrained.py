"""What a saved model has seen, told from its card."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.zoo.training.tiny import tiny_dataset, tiny_split
from zoo.training.pretrained import learned_apart

DATASET = tiny_dataset()
PUBLIC = tiny_split(DATASET)
CARVED = replace(PUBLIC, names=("Training 90%", "Training 10%", "PrivateTest"))
RANDOM = replace(PUBLIC, kind="random", names=("train", "validation", "test"))
FER2013 = replace(PUBLIC, validation=np.arange(3589))
SELECTING = DATASET.digest(PUBLIC.validation)
OURS, THEIRS = (DATASET.name, DATASET.fingerprint), ("others.csv", "f" * 16)


def seen(
    data: tuple[str, str],
    kind: str,
    part: str,
    seed: int = 0,
    before: dict[str, Any] | None = None,
    faces: int = 3,
    members: tuple[dict[str, Any], ...] = (),
    trained: int = 9,
    **more: str,
) -> dict[str, Any]:
    split = {"kind": kind, "seed": seed, "rows": {"train": trained, part: faces, "test": 3}, **more}
    begun = {"pretrained": {"model": "first", "data": before}} if before else {}
    joined = {"members": [*members]} if members else {}
    return {"name": data[0], "fingerprint": data[1], "split": split, **begun, **joined}


HERE = seen(OURS, "random", "validation")
TUNED = seen(OURS, "random", "validation", before=seen(THEIRS, "random", "validation"))
SPOILED = seen(OURS, "random", "validation", before=seen(OURS, "random", "validation", 7))


@pytest.mark.parametrize(
    ("data", "split", "apart"),
    [
        (seen(OURS, "official", "PublicTest"), PUBLIC, True),
        (seen(OURS, "official", "PublicTest", seed=7), PUBLIC, True),
        (seen(THEIRS, "official", "PublicTest"), PUBLIC, None),
        (seen((OURS[0], THEIRS[1]), "official", "PublicTest"), PUBLIC, False),
        (seen(THEIRS, "official", "PublicTest", faces=3589), FER2013, True),
        (seen(THEIRS, "official", "PublicTest", faces=3588), FER2013, None),
        (seen(THEIRS, "official", "PublicTest", faces=3589, trained=28_709), FER2013, True),
        (seen(THEIRS, "official", "PublicTest", faces=3589, trained=28_709 + 3_589), FER2013, None),
        (seen(OURS, "official", "Training 10%"), CARVED, True),
        (seen(OURS, "official", "Training 10%", seed=7), CARVED, False),
        (seen(THEIRS, "official", "Training 10%"), CARVED, None),
        (seen(THEIRS, "official", "Training 10%"), PUBLIC, None),
        (seen((OURS[0], THEIRS[1]), "official", "Training 10%"), CARVED, False),
        (seen(OURS, "random", "validation"), RANDOM, True),
        (seen(OURS, "random", "validation", seed=7), RANDOM, False),
        (seen(OURS, "random", "validation", digest=SELECTING), RANDOM, True),
        (seen(OURS, "random", "validation", digest="0" * 16), RANDOM, False),
        (seen(THEIRS, "official", "PublicTest", digest=SELECTING), PUBLIC, True),
        (seen((OURS[0], THEIRS[1]), "random", "validation"), RANDOM, False),
        (seen(OURS, "random", "validation"), PUBLIC, False),
        (seen(THEIRS, "random", "validation"), RANDOM, None),
        (seen(THEIRS, "random", "validation", before=seen(OURS, "random", "validation", 7)), RANDOM, False),
        (seen(OURS, "random", "validation", before=seen(THEIRS, "random", "validation")), RANDOM, None),
        (seen(OURS, "random", "validation", before=seen(OURS, "random", "validation")), RANDOM, True),
        (seen(OURS, "random", "validation", members=(HERE, HERE)), RANDOM, True),
        (seen(OURS, "random", "validation", members=(HERE, TUNED)), RANDOM, None),
        (seen(OURS, "random", "validation", members=(TUNED, SPOILED)), RANDOM, False),
    ],
)
def test_a_model_has_learned_apart_from_what_selects_here(
    data: dict[str, Any], split: Any, apart: bool | None
) -> None:
    assert learned_apart(data, DATASET, split) is apart
