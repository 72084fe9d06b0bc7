"""Class balance, against counts worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zoo.data.balance import BALANCES, class_weights, epoch_rows, epoch_size

LABELS = np.array([0] * 16 + [1] * 4 + [3] * 1)  # nobody has class 2


def _visits(balance: str, strength: float, seed: int = 0) -> np.ndarray:
    rows = epoch_rows(LABELS, balance, strength, torch.Generator().manual_seed(seed))
    return np.bincount(rows.numpy(), minlength=len(LABELS))


@pytest.mark.parametrize(
    ("balance", "strength", "expected"),
    [
        ("none", 1.0, [16, 4, 0, 1]),
        ("weighted", 1.0, [16, 4, 0, 1]),
        ("oversample", 0.0, [16, 4, 0, 1]),
        ("oversample", 0.5, [16, 8, 0, 4]),
        ("oversample", 1.0, [16, 16, 0, 16]),
        ("undersample", 0.5, [4, 2, 0, 1]),
        ("undersample", 1.0, [1, 1, 0, 1]),
    ],
)
def test_rows_of_each_class(balance: str, strength: float, expected: list[int]) -> None:
    visits = _visits(balance, strength)
    assert np.bincount(LABELS, weights=visits, minlength=4).tolist() == expected
    assert epoch_size(LABELS, balance, strength) == sum(expected)
    for label in (0, 1, 3):
        within = visits[label == LABELS]
        assert within.max() - within.min() <= 1


@pytest.mark.parametrize("balance", BALANCES)
def test_the_order_is_random_and_follows_the_seed(balance: str) -> None:
    first, again, other = (
        epoch_rows(LABELS, balance, 0.5, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first, first.sort().values)


def test_undersampling_takes_other_rows_each_time() -> None:
    seen = sum(_visits("undersample", 1.0, seed) for seed in range(60))
    assert (seen[LABELS == 0] > 0).sum() > 12


def test_weights_by_hand() -> None:
    # Frequencies 16/21, 4/21, 1/21: at full strength all classes weigh alike over the rows, 7 a class.
    expected = torch.tensor([7 / 16, 7 / 4, 0, 7])
    torch.testing.assert_close(class_weights(LABELS, 4, 1.0), expected)
    # At half strength proportional to 1, 2 and 4, with mean 1 over the rows: 16 + 8 + 4 = 28 of 21.
    torch.testing.assert_close(class_weights(LABELS, 4, 0.5), torch.tensor([1.0, 2, 0, 4]) * 21 / 28)
    torch.testing.assert_close(class_weights(LABELS, 4, 0.0), torch.tensor([1.0, 1, 0, 1]))
