"""Draws pairs and triplets of faces by seed from labels and votes; knows nothing of networks."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass

import numpy as np

from zoo.data.dataset import FaceDataset
from zoo.data.fec import TRIPLET_TYPES, FecTriplets
from zoo.errors import DataError

__all__ = [
    "MARGIN",
    "Pairs",
    "Triplets",
    "fec_pairs",
    "fec_triplets",
    "hold_out",
    "make_pairs",
    "make_triplets",
]

MARGIN = 0.2
"""Two of ten annotators: how much farther the odd face of a drawn triplet is, at least."""

_TRIES = 400


@dataclass(frozen=True)
class Pairs:
    """Two faces each, as rows of a data set.

    Attributes:
        first, second: int64 (P,), row indices.
        same: bool (P,), whether both show the same expression.
    """

    first: np.ndarray
    second: np.ndarray
    same: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that differ for different pairs, or the same pairs in another order."""
        return _fingerprint(self.first, self.second, self.same)


@dataclass(frozen=True)
class Triplets:
    """Three faces each, as rows of a data set: a similar pair and the odd one.

    Attributes:
        first, second: int64 (T,), the similar pair.
        odd: int64 (T,), the third face.
        kind: int8 (T,), index into `zoo.data.fec.TRIPLET_TYPES`.
    """

    first: np.ndarray
    second: np.ndarray
    odd: np.ndarray
    kind: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that differ for different triplets, or the same ones in another order."""
        return _fingerprint(self.first, self.second, self.odd, self.kind)


def hold_out(
    dataset: FaceDataset, rows: np.ndarray, share: float, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Part rows, int64 (N,), at random into those that train and those that don't.

    Identical faces stay together, where the first of them goes.

    Args:
        share: about how much is held out, above 0 and below 1; exactly so where all faces differ.

    Returns:
        int64 rows to train with and rows held out, each in the order of `rows`.
    """
    first, group = dataset.distinct(rows)
    held = np.zeros(len(rows), dtype=bool)
    held[np.random.RandomState(seed).permutation(len(rows))[: round(share * len(rows))]] = True
    held = held[first[group]]
    return rows[~held], rows[held]


def make_pairs(dataset: FaceDataset, rows: np.ndarray, *, count: int, seed: int) -> Pairs:
    """Draw pairs: half of one emotion, half of two, with each emotion, and each two emotions, equally likely.

    Only labels and the seed decide, so everybody who has the same labels gets the same pairs. No pair comes
    twice, in either order, unless its emotions have too few faces for that.

    Args:
        rows: int64 (N,), the rows to draw from, such as those of one usage.
        count: how many pairs; where it is odd, one more is different.

    Raises:
        DataError: fewer than two emotions have two faces.
    """
    groups = [rows[dataset.labels[rows] == label] for label in range(len(dataset.classes))]
    usable = [label for label, group in enumerate(groups) if len(group) >= 2]
    if len(usable) < 2:
        raise DataError(f"{dataset.name}: {len(usable)} classes have two faces; pairs need two such classes")
    if count < 0:
        raise DataError(f"count {count}: 0 or more pairs are required")
    # RandomState's numbers never change between NumPy releases; those of default_rng may.
    random = np.random.RandomState(seed)
    two = [(a, b) for a in usable for b in usable if a != b]
    kinds = [(label, label) for label in _dealt(usable, count // 2, random)]
    kinds += [two[number] for number in _dealt(list(range(len(two))), count - count // 2, random)]
    seen: set[tuple[int, int]] = set()
    taken: Counter[tuple[int, int]] = Counter()
    first, second = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    for place, (one, other) in enumerate(kinds):
        sizes = len(groups[one]), len(groups[other])
        kind = min(one, other), max(one, other)
        exhausted = taken[kind] >= (sizes[0] * (sizes[0] - 1) // 2 if one == other else sizes[0] * sizes[1])
        while True:
            a = int(groups[one][random.randint(sizes[0])])
            b = int(groups[other][random.randint(sizes[1])])
            if a != b and (exhausted or (min(a, b), max(a, b)) not in seen):
                break
        seen.add((min(a, b), max(a, b)))
        taken[kind] += 1
        first[place], second[place] = a, b
    same = np.arange(count) < count // 2
    order = random.permutation(count)
    return Pairs(first[order], second[order], same[order])


def make_triplets(
    dataset: FaceDataset, rows: np.ndarray, *, count: int, seed: int, margin: float = MARGIN
) -> Triplets:
    """Draw triplets whose similar pair the annotators' votes decide: a third of each type.

    A face's expression is its row of votes; the distance of two faces is the share of annotators who would
    have to vote differently (half the sum of the absolute differences). A triplet is kept where the closest
    pair is closer than both other pairs by at least `margin`. Its type counts the emotions that most votes
    of the three faces go to. Types are filled in turn; emotions are equally likely before the margin is
    applied. No triplet comes twice.

    Faces without votes, or with a tie for their first emotion, are left out.

    Args:
        rows: int64 (N,), the rows to draw from, such as those of one usage.
        count: how many triplets.
        margin: 0–1.

    Raises:
        DataError: the data set has no votes, or too few faces meet the margin.
    """
    if dataset.votes is None:
        raise DataError(f"{dataset.name} has no annotators' votes; triplets need them (--ferplus CSV)")
    votes = dataset.votes[rows].astype(np.float64)
    top = votes.max(axis=1, keepdims=True)
    sound = np.isfinite(votes).all(axis=1) & (top[:, 0] > 0) & ((votes == top).sum(axis=1) == 1)
    rows, votes = rows[sound], votes[sound]
    dominant = votes.argmax(axis=1)
    groups = [np.flatnonzero(dominant == label) for label in range(len(dataset.classes))]
    usable = np.array([label for label, group in enumerate(groups) if len(group) >= 3], dtype=np.int64)
    if len(usable) < 3:
        raise DataError(
            f"{dataset.name}: {len(usable)} emotions lead the votes of three faces; triplets need three such"
        )
    random = np.random.RandomState(seed)
    kept: list[tuple[np.ndarray, int]] = []
    seen: set[tuple[int, ...]] = set()
    sizes = [count // 3 + (number < count % 3) for number in range(3)]
    for kind, size in enumerate(sizes):
        taken = 0
        for _ in range(_TRIES):
            if taken == size:
                break
            faces = _draw_triplets(groups, usable, kind, random)
            for triplet in _with_margin(faces, votes, margin):
                key = tuple(sorted(triplet.tolist()))
                if taken < size and key not in seen:
                    seen.add(key)
                    kept.append((triplet, kind))
                    taken += 1
        if taken < size:
            raise DataError(
                f"{dataset.name}: only {taken} triplets of the {TRIPLET_TYPES[kind]}-class type were found "
                f"with a margin of {margin}; {size} are required"
            )
    order = random.permutation(count)
    members = rows[np.array([triplet for triplet, _ in kept], dtype=np.int64).reshape(-1, 3)][order]
    kinds = np.array([kind for _, kind in kept], dtype=np.int8)[order]
    return Triplets(members[:, 0], members[:, 1], members[:, 2], kinds)


def fec_pairs(triplets: FecTriplets, faces: np.ndarray) -> Pairs:
    """Faces 1 and 2 of every triplet that is decided and whose two faces are there.

    Args:
        faces: int64 (N, 3), indices of each triplet's faces, -1 where one is missing.
    """
    chosen = (triplets.odd >= 0) & (faces[:, :2] >= 0).all(axis=1)
    return Pairs(faces[chosen, 0], faces[chosen, 1], triplets.same_pairs()[chosen])


def fec_triplets(triplets: FecTriplets, faces: np.ndarray) -> Triplets:
    """Every triplet that is decided and whose three faces are there.

    Args:
        faces: int64 (N, 3), indices of each triplet's faces, -1 where one is missing.
    """
    chosen = np.flatnonzero((triplets.odd >= 0) & (faces >= 0).all(axis=1))
    odd = triplets.odd[chosen].astype(np.int64)
    first, second = faces[chosen, (odd + 1) % 3], faces[chosen, (odd + 2) % 3]
    return Triplets(first, second, faces[chosen, odd], triplets.kind[chosen])


def _dealt(values: list[int], count: int, random: np.random.RandomState) -> list[int]:
    """`count` of the values, each equally often give or take one; which come once more is drawn."""
    whole, rest = divmod(count, len(values))
    return values * whole + [values[place] for place in random.permutation(len(values))[:rest]]


def _draw_triplets(
    groups: list[np.ndarray], usable: np.ndarray, kind: int, random: np.random.RandomState
) -> np.ndarray:
    """Candidates of one type, as positions: int64 (512, 3)."""
    sizes = np.array([len(group) for group in groups])
    # A random order of the emotions for each candidate; its faces take the first one, two or three of them.
    labels = usable[random.random_sample((512, len(usable))).argsort(axis=1, kind="stable")]
    labels = labels[:, np.minimum(np.arange(3), kind)]
    places = (random.random_sample((512, 3)) * sizes[labels]).astype(np.int64)
    members, starts = np.concatenate(groups), np.cumsum(sizes) - sizes
    return members[starts[labels] + places]


def _with_margin(faces: np.ndarray, votes: np.ndarray, margin: float) -> np.ndarray:
    """The triplets that meet the margin, their similar pair first: int64 (M, 3) out of (N, 3)."""
    expressions = votes[faces]
    # Column k holds the distance between the two faces other than face k.
    apart = [
        np.abs(expressions[:, (k + 1) % 3] - expressions[:, (k + 2) % 3]).sum(axis=1) / 2 for k in range(3)
    ]
    distances = np.stack(apart, axis=1)
    odd = distances.argmin(axis=1)
    ordered = np.sort(distances, axis=1)
    distinct = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 0] != faces[:, 2])
    # Votes are tenths and their like in float32: without the slack, rounding would decide at exactly 0.2.
    kept = np.flatnonzero(distinct & (ordered[:, 1] - ordered[:, 0] >= margin - 1e-6))
    places = np.stack([(odd + 1) % 3, (odd + 2) % 3, odd], axis=1)
    return np.take_along_axis(faces, places, axis=1)[kept]


def _fingerprint(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.astype("<i8").tobytes())
    return digest.hexdigest()[:16]
