"""Pairs and triplets: balance, the same index for the same seed, and what is refused."""

import dataclasses

import numpy as np
import pytest

from zoo.data.dataset import FaceDataset
from zoo.data.emotions import EMOTIONS
from zoo.data.fec import FecTriplets
from zoo.data.pairs import MARGIN, Pairs, fec_pairs, fec_triplets, hold_out, make_pairs, make_triplets
from zoo.errors import DataError

SHARES = (0.14, 0.02, 0.14, 0.25, 0.17, 0.11, 0.17)


@pytest.fixture(scope="module")
def dataset():
    """2,000 rows as unbalanced as FER2013, with ten votes each; the last 500 are PublicTest."""
    random = np.random.RandomState(5)
    labels = random.choice(7, size=2000, p=SHARES).astype(np.int64)
    leaning = np.eye(7)[labels] * 0.6 + 0.4 / 7
    votes = np.stack([random.multinomial(10, row) for row in leaning]).astype(np.float32) / 10
    usage = (np.arange(2000) >= 1500).astype(np.int8)
    faces = np.zeros((2000, 48, 48), dtype=np.uint8)
    return FaceDataset("made", EMOTIONS, faces, labels, usage, votes=votes)


def vote_distance(dataset, one, other):
    return np.abs(dataset.votes[one] - dataset.votes[other]).sum(axis=1) / 2


@pytest.mark.parametrize(
    ("count", "seed", "golden"),
    [
        (1000, 0, "035513df338d3199"),
        (1000, 1, "7fb40e40662e5f40"),
        (1001, 0, "c18241d341e2917c"),
        (0, 0, "e3b0c44298fc1c14"),
    ],
)
def test_everybody_gets_the_same_pairs(dataset, count, seed, golden):
    pairs = make_pairs(dataset, dataset.rows("PublicTest"), count=count, seed=seed)
    assert len(pairs) == count
    assert pairs.fingerprint == golden


@pytest.mark.parametrize(
    ("count", "seed", "golden"), [(600, 0, "3abc777a152bba97"), (601, 1, "ff9a5e1e0b8f8fff")]
)
def test_everybody_gets_the_same_triplets(dataset, count, seed, golden):
    triplets = make_triplets(dataset, dataset.rows("PublicTest"), count=count, seed=seed)
    assert len(triplets) == count
    assert triplets.fingerprint == golden


def test_pairs_are_balanced(dataset):
    rows = dataset.rows("Training")
    pairs = make_pairs(dataset, rows, count=4200, seed=3)
    one, other = dataset.labels[pairs.first], dataset.labels[pairs.second]
    assert np.array_equal(pairs.same, one == other)
    assert pairs.same.sum() == 2100
    assert np.bincount(one[pairs.same]).tolist() == [300] * 7
    table = np.zeros((7, 7), dtype=int)
    np.add.at(table, (one[~pairs.same], other[~pairs.same]), 1)
    assert table.diagonal().tolist() == [0] * 7
    assert set(table[~np.eye(7, dtype=bool)]) == {50}
    assert np.isin(pairs.first, rows).all() and np.isin(pairs.second, rows).all()
    assert (pairs.first != pairs.second).all()


def test_no_pair_comes_twice(dataset):
    pairs = make_pairs(dataset, dataset.rows("Training"), count=3000, seed=3)
    both = np.sort(np.stack([pairs.first, pairs.second], axis=1), axis=1)
    # The 30 faces of disgust have fewer pairs among themselves than a seventh of the same half asks for.
    rare = (dataset.labels[both] == EMOTIONS.index("disgust")).all(axis=1)
    assert len(np.unique(both[~rare], axis=0)) == (~rare).sum()


def test_pairs_do_not_depend_on_pixels(dataset):
    other = dataclasses.replace(dataset, faces=dataset.faces + 9)
    rows = dataset.rows("PublicTest")
    one = make_pairs(dataset, rows, count=100, seed=0)
    assert one.fingerprint == make_pairs(other, rows, count=100, seed=0).fingerprint


def test_triplets_keep_their_margin_and_type(dataset):
    rows = dataset.rows("PublicTest")
    triplets = make_triplets(dataset, rows, count=900, seed=2)
    assert np.bincount(triplets.kind).tolist() == [300, 300, 300]
    members = np.stack([triplets.first, triplets.second, triplets.odd], axis=1)
    assert np.isin(members, rows).all()
    assert len(np.unique(np.sort(members, axis=1), axis=0)) == 900
    near = vote_distance(dataset, triplets.first, triplets.second)
    far = vote_distance(dataset, triplets.first, triplets.odd)
    farther = vote_distance(dataset, triplets.second, triplets.odd)
    assert (np.minimum(far, farther) - near).min() >= MARGIN - 1e-5
    emotions = [len(set(row)) for row in dataset.votes[members].argmax(axis=2).tolist()]
    assert np.array_equal(np.array(emotions) - 1, triplets.kind)


def test_a_wider_margin_leaves_clearer_triplets(dataset):
    triplets = make_triplets(dataset, dataset.rows("Training"), count=30, seed=2, margin=0.4)
    near = vote_distance(dataset, triplets.first, triplets.second)
    far = vote_distance(dataset, triplets.first, triplets.odd)
    assert (far - near).min() >= 0.4 - 1e-5


def test_faces_without_votes_are_left_out(dataset):
    votes = dataset.votes.copy()
    votes[:500] = np.nan
    votes[500:1000] = 0
    votes[1000:1200] = 1 / 7
    gaps = dataclasses.replace(dataset, votes=votes)
    triplets = make_triplets(gaps, dataset.rows("Training"), count=60, seed=0)
    assert min(triplets.first.min(), triplets.second.min(), triplets.odd.min()) >= 1200


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda data: make_pairs(data, data.rows("PrivateTest"), count=2, seed=0),
            "0 classes have two faces",
        ),
        (lambda data: make_pairs(data, np.flatnonzero(data.labels == 3), count=2, seed=0), "1 classes"),
        (lambda data: make_pairs(data, data.rows("Training"), count=-1, seed=0), "count -1"),
        (
            lambda data: make_triplets(
                dataclasses.replace(data, votes=None), data.rows("Training"), count=3, seed=0
            ),
            "--ferplus",
        ),
        (lambda data: make_triplets(data, np.flatnonzero(data.labels == 3), count=3, seed=0), "three such"),
        (
            lambda data: make_triplets(data, data.rows("Training"), count=30, seed=0, margin=0.95),
            "only 0 triplets of the one-class type",
        ),
    ],
)
def test_what_cannot_be_drawn_is_said(dataset, change, words):
    with pytest.raises(DataError, match=words):
        change(dataset)


def test_identical_faces_are_held_out_together(dataset):
    faces = np.zeros((2000, 48, 48), dtype=np.uint8)
    faces[:, 0, 0], faces[:, 0, 1] = divmod(np.random.RandomState(1).randint(1000, size=2000), 256)
    twins = dataclasses.replace(dataset, faces=faces)
    rows = twins.rows("Training")
    train, held = hold_out(twins, rows, 0.1, seed=3)
    assert np.array_equal(np.sort(np.concatenate([train, held])), rows)
    assert 110 <= len(held) <= 190
    different = {face.tobytes() for face in faces[rows]}
    assert len(different) < 900
    assert not {face.tobytes() for face in faces[held]} & {face.tobytes() for face in faces[train]}
    again, other = hold_out(twins, rows, 0.1, seed=3)[1], hold_out(twins, rows, 0.1, seed=4)[1]
    assert np.array_equal(held, again) and not np.array_equal(held, other)
    apart = dataclasses.replace(
        dataset, faces=np.random.RandomState(2).randint(256, size=(2000, 48, 48)).astype(np.uint8)
    )
    assert len(hold_out(apart, rows, 0.1, seed=3)[1]) == 150


def test_fec_rows_with_missing_faces_or_ties_are_left_out():
    count = 5
    table = FecTriplets(
        name="made",
        rows=np.arange(1, count + 1),
        urls=np.full((count, 3), "http://a", dtype=object),
        boxes=np.zeros((count, 3, 4)),
        kind=np.array([0, 1, 2, 0, 1], dtype=np.int8),
        votes=np.zeros((count, 3), dtype=np.int8),
        odd=np.array([2, 0, 1, -1, 2], dtype=np.int8),
    )
    faces = np.array([[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 4, 8], [1, 5, -1]])
    pairs = fec_pairs(table, faces)
    assert isinstance(pairs, Pairs)
    assert (pairs.first.tolist(), pairs.second.tolist()) == ([0, 3, 6, 1], [1, 4, 7, 5])
    assert pairs.same.tolist() == [True, False, False, True]
    triplets = fec_triplets(table, faces)
    assert triplets.odd.tolist() == [2, 3, 7]
    assert sorted(zip(triplets.first.tolist(), triplets.second.tolist(), strict=True)) == [
        (0, 1),
        (4, 5),
        (8, 6),
    ]
    assert triplets.kind.tolist() == [0, 1, 2]
