"""A labelled set of faces and its split, as plain arrays; knows nothing of files or networks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from zoo.errors import DataError

__all__ = ["FACE_SIZE", "USAGES", "FaceDataset", "Split"]

FACE_SIZE = 48
USAGES = ("Training", "PublicTest", "PrivateTest")

# Of FER2013 without its PrivateTest rows: digest of labels and usages, mean gray value, and fingerprint.
_FER2013_LABELS, _FER2013_MEAN, _FER2013 = "74c2be1d5ebb2cb0", 129.42, "a1b0e58d22c1048d"


@dataclass(frozen=True)
class FaceDataset:
    """Faces with labels, in the order of their source.

    Attributes:
        name: what people are shown, such as `fer2013.csv` or `drawn faces`.
        classes: class names; `labels` index into them.
        faces: uint8 (N, 48, 48), 0–255, C-contiguous; may be a read-only memory map.
        labels: int64 (N,).
        usage: int8 (N,), an index into `USAGES`, or -1 where the source names none.
        votes: float32 (N, classes), rows summing to 1: soft labels from several annotators, or None.
        notes: sentences that a run tells its user, such as what is used instead of a missing usage.
        drawn: the faces are drawn by the program, so figures on them say nothing about real faces.
    """

    name: str
    classes: tuple[str, ...]
    faces: np.ndarray
    labels: np.ndarray
    usage: np.ndarray
    votes: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    drawn: bool = False

    def __post_init__(self) -> None:
        count = len(self.faces)
        if self.faces.dtype != np.uint8 or self.faces.shape[1:] != (FACE_SIZE, FACE_SIZE):
            raise DataError(
                f"{self.name}: faces are {self.faces.dtype} {self.faces.shape}, not uint8 (N, 48, 48)"
            )
        if len(self.labels) != count or len(self.usage) != count:
            raise DataError(
                f"{self.name}: {count} faces, {len(self.labels)} labels and {len(self.usage)} usages differ"
            )
        if self.votes is not None and self.votes.shape != (count, len(self.classes)):
            raise DataError(f"{self.name}: votes are {self.votes.shape}, not {(count, len(self.classes))}")

    def __len__(self) -> int:
        return len(self.faces)

    def rows(self, usage: str) -> np.ndarray:
        """Row indices of one usage, int64, in source order.

        Raises:
            DataError: `usage` is not one of `USAGES`.
        """
        if usage not in USAGES:
            raise DataError(f"usage {usage!r} is unknown; known are {', '.join(USAGES)}")
        return np.flatnonzero(self.usage == USAGES.index(usage))

    def select(self, rows: np.ndarray) -> FaceDataset:
        """The data set of these rows alone, in the order given."""
        return replace(
            self,
            faces=self.faces[rows],
            labels=self.labels[rows],
            usage=self.usage[rows],
            votes=None if self.votes is None else self.votes[rows],
        )

    def distinct(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of these rows show the same face, pixel by pixel.

        Returns:
            int64 (D,): places in `rows` where each of the D different faces comes first; int64 (N,): for each
            row its face, an index into the first array.
        """
        pixels = np.ascontiguousarray(self.faces[rows]).reshape(len(rows), -1)
        whole = pixels.view(np.dtype((np.void, pixels.shape[1]))).ravel()
        _, first, face = np.unique(whole, return_index=True, return_inverse=True)
        return first, face.ravel()

    def digest(self, rows: np.ndarray) -> str:
        """16 hexadecimal digits of the SHA-256 over the faces of these rows, in the order given."""
        return _digest(self.faces[rows])

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of the SHA-256 over faces, labels, usage and votes.

        Rows of usage PrivateTest are left out, as they train and select nothing. FER2013 goes round with some
        pixels changed by JPEG: its labels, their order and its mean tell it, and such files have one
        fingerprint.
        """
        rows = np.flatnonzero(self.usage != USAGES.index("PrivateTest"))
        faces = self.faces if len(rows) == len(self) else self.faces[rows]
        labels, usage = self.labels[rows], self.usage[rows].astype("i1")
        known = self.votes is None and _digest(labels.astype("i1"), usage) == _FER2013_LABELS
        if known and abs(float(faces.mean()) - _FER2013_MEAN) < 0.1:
            return _FER2013
        votes = [] if self.votes is None else [self.votes[rows].astype("<f4")]
        return _digest(faces, labels.astype("<i8"), usage, *votes)


@dataclass(frozen=True)
class Split:
    """Which rows of a data set train, select and test.

    Attributes:
        kind: `official` (the source's own usages) or `random` (stratified, by `seed`).
        seed: of the random part; also where an official split had to carve validation rows out of training.
        train, validation, test: int64 row indices; `test` may be empty.
        names: what the three parts are called in reports, such as `("Training", "PublicTest", "PrivateTest")`
            or `("Training 90%", "Training 10%", "PrivateTest")`.
        notes: what is used instead of a missing usage, one sentence each.
    """

    kind: str
    seed: int
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    names: tuple[str, str, str] = USAGES
    notes: tuple[str, ...] = ()


def _digest(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]
