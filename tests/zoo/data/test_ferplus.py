"""FER+ votes: the join, the soft labels, what is dropped, and what doesn't fit."""

from pathlib import Path

import numpy as np
import pytest

from tests.zoo.data.small_fer2013 import random_faces
from zoo.data.dataset import USAGES, FaceDataset
from zoo.data.emotions import EMOTIONS
from zoo.data.ferplus import apply_ferplus
from zoo.errors import DataError

HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
ORDER = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear")  # of the columns


def _dataset(labels: list[int], usage: list[int]) -> FaceDataset:
    return FaceDataset(
        "small", EMOTIONS, random_faces(len(labels)), np.array(labels), np.array(usage, np.int8)
    )


def _line(usage: str, votes: list[int], name: str = "fer0.png") -> str:
    return ",".join([usage, name, *map(str, votes)])


def _sure(label: int) -> list[int]:
    """Eight taggers for one of the seven, two for unknown."""
    votes = [0] * 10
    votes[ORDER.index(EMOTIONS[label])] = 8
    votes[8] = 2
    return votes


def _write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join([HEADER, *lines, ""]))
    return path


@pytest.mark.parametrize(
    "column, label", [(column, EMOTIONS.index(name)) for column, name in enumerate(ORDER)]
)
def test_every_column_finds_its_class(tmp_path: Path, column: int, label: int) -> None:
    votes = [0] * 10
    votes[column] = 10
    dataset = apply_ferplus(_dataset([0], [0]), _write(tmp_path / "p.csv", [_line("Training", votes)]))
    assert dataset.votes is not None
    assert dataset.votes.tolist() == np.eye(7)[[label]].tolist()
    assert dataset.votes.dtype == np.float32


@pytest.mark.parametrize(
    "votes, expected",
    [
        ([5, 0, 0, 5, 0, 0, 0, 0, 0, 0], {"neutral": 0.5, "sad": 0.5}),
        ([1, 0, 0, 3, 0, 0, 0, 4, 2, 0], {"neutral": 0.25, "sad": 0.75}),  # contempt and unknown leave
        ([0, 0, 0, 0, 0, 0, 0, 6, 4, 0], {"happy": 1.0}),  # nothing is left: the label
        ([0, 4, 0, 0, 0, 0, 1, 0, 0, 5], {"happy": 0.8, "fear": 0.2}),  # half of no-face is no majority
    ],
)
def test_soft_labels(tmp_path: Path, votes: list[int], expected: dict[str, float]) -> None:
    path = _write(tmp_path / "p.csv", [_line("Training", votes)])
    result = apply_ferplus(_dataset([EMOTIONS.index("happy")], [0]), path)
    assert result.votes is not None
    assert result.votes[0] == pytest.approx([expected.get(name, 0.0) for name in EMOTIONS])


def test_no_face_leaves_training_alone(tmp_path: Path) -> None:
    no_face = [0, 0, 0, 0, 0, 0, 0, 0, 4, 6]
    lines = [
        _line("Training", _sure(1)),
        _line("Training", no_face),
        _line("Training", _sure(2), name=""),
        _line("PublicTest", no_face),
    ]
    dataset = _dataset([1, 1, 2, 3], [0, 0, 0, 1])
    result = apply_ferplus(dataset, _write(tmp_path / "p.csv", lines))
    assert np.array_equal(result.faces, dataset.faces[[0, 3]])
    assert result.votes is not None
    assert result.votes.argmax(axis=1).tolist() == [1, 3]
    assert "2 rows that show no face" in result.notes[-1]


def test_joined_by_order_within_each_usage(tmp_path: Path) -> None:
    # The data set's usages lie in other places than the votes'; PrivateTest is withheld from the data set.
    dataset = _dataset([0, 1, 2, 3], [1, 0, 1, 0])
    lines = [
        *[_line("Training", _sure(label)) for label in (1, 3)],
        *[_line("PrivateTest", _sure(6))] * 3,
        *[_line("PublicTest", _sure(label)) for label in (0, 2)],
    ]
    result = apply_ferplus(dataset, _write(tmp_path / "p.csv", lines))
    assert result.votes is not None
    assert result.votes.argmax(axis=1).tolist() == [0, 1, 2, 3]


def test_usage_that_the_votes_lack_keeps_its_labels(tmp_path: Path) -> None:
    path = _write(tmp_path / "p.csv", [_line("Training", _sure(5))])
    result = apply_ferplus(_dataset([1, 4], [0, 2]), path)
    assert result.votes is not None
    assert result.votes.argmax(axis=1).tolist() == [5, 4]
    assert "1 of 2 rows" in result.notes[0]


def test_without_usages_every_row_must_have_votes(tmp_path: Path) -> None:
    path = _write(tmp_path / "p.csv", [_line("Training", _sure(5)), _line("PublicTest", _sure(6))])
    result = apply_ferplus(_dataset([1, 4], [-1, -1]), path)
    assert result.votes is not None
    assert result.votes.argmax(axis=1).tolist() == [5, 6]
    with pytest.raises(DataError, match=r"has 2 rows; required: 3"):
        apply_ferplus(_dataset([1, 4, 4], [-1, -1, -1]), path)


def _agreeing(count: int, share: float) -> tuple[FaceDataset, list[str]]:
    labels = [index % 7 for index in range(count)]
    tagged = [label if index % 100 < share * 100 else (label + 1) % 7 for index, label in enumerate(labels)]
    return _dataset(labels, [0] * count), [_line("Training", _sure(label)) for label in tagged]


@pytest.mark.parametrize("share, fits", [(0.72, True), (0.6, True), (0.5, False), (0.2, False)])
def test_agreement_with_the_labels(tmp_path: Path, share: float, fits: bool) -> None:
    dataset, lines = _agreeing(600, share)
    path = _write(tmp_path / "p.csv", lines)
    if fits:
        assert len(apply_ferplus(dataset, path)) == 600
    else:
        with pytest.raises(DataError, match=f"share {share:.0%} of the labels of small .*required: 55%"):
            apply_ferplus(dataset, path)


def test_a_shift_at_the_end_is_found(tmp_path: Path) -> None:
    dataset, lines = _agreeing(2000, 0.72)
    path = _write(tmp_path / "p.csv", lines[:1700] + lines[1701:] + lines[1700:1701])
    with pytest.raises(DataError, match=r"in rows 1,601 to 1,800; .*don't correspond"):
        apply_ferplus(dataset, path)


GOOD = _line("Training", _sure(0))
BAD = {
    "empty": ("", ["line 1", "'Usage' is missing"]),
    "no column": (HEADER.replace("contempt,", "") + "\n", ["line 1", "'contempt' is missing"]),
    "no rows": (HEADER + "\n", ["no rows"]),
    "unknown usage": (
        f"{HEADER}\n{GOOD}\n{GOOD.replace('Training', 'Test')}\n",
        ["line 3", "Usage is 'Test'"],
    ),
    "no number": (f"{HEADER}\n{GOOD[:-1]}x\n", ["line 2", "NF is 'x'", "0 or more"]),
    "negative": (f"{HEADER}\n{GOOD[:-1]}-1\n", ["line 2", "NF is '-1'", "0 or more"]),
    "cut": (f"{HEADER}\n{GOOD}\n{GOOD[:20]}", ["line 3", "of 12 columns"]),
    "too few rows": (f"{HEADER}\n{GOOD}\n", ["has 1 Training rows", "required: 2"]),
    "too many rows": (f"{HEADER}\n" + f"{GOOD}\n" * 3, ["has 3 Training rows", "required: 2"]),
    "another usage": (f"{HEADER}\n{GOOD.replace('Training', 'PublicTest')}\n", ["shares no usage"]),
    "picture": (b"\x89PNG\r\n\x1a\n\xff", ["no CSV text"]),
}


@pytest.mark.parametrize("content, parts", BAD.values(), ids=BAD)
def test_bad_votes_are_named(tmp_path: Path, content: str | bytes, parts: list[str]) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError) as caught:
        apply_ferplus(_dataset([0, 1], [USAGES.index("Training")] * 2), path)
    message = str(caught.value)
    for part in [str(path), "required", *parts]:
        assert part in message
    assert "\n" not in message


def test_missing_votes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file.*required: FER"):
        apply_ferplus(_dataset([0], [0]), tmp_path / "none.csv")


def test_own_classes_have_no_votes(tmp_path: Path) -> None:
    dataset = FaceDataset("own", ("a", "b"), random_faces(2), np.array([0, 1]), np.zeros(2, np.int8))
    with pytest.raises(DataError, match="classes a, b; required: angry"):
        apply_ferplus(dataset, _write(tmp_path / "p.csv", [GOOD, GOOD]))
