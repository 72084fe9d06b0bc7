"""Shipped weights give the logits that they gave when they were shipped.

`python -m tests.zoo.test_golden` writes those of today's weights, for a network that is shipped anew.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from zoo.models import CARD, SHIPPED
from zoo.predictor import Predictor

GOLDEN = Path(__file__).with_name("golden_logits.json")
NAMES = sorted(card.parent.name for card in SHIPPED.glob(f"*/{CARD}"))


def faces() -> np.ndarray:
    """Three patterns that no library has a part in: uint8 (3, 48, 48)."""
    rows, columns = np.mgrid[:48, :48]
    ring = (rows - 24) ** 2 + (columns - 24) ** 2
    return np.stack([rows * 5, 255 - ring // 5, (rows // 6 + columns // 8) % 2 * 160 + 40]).astype(np.uint8)


def logits(name: str) -> np.ndarray:
    """What a shipped network answers: float32 (3, classes)."""
    return Predictor.load(SHIPPED / name).logits(faces())


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_network_answers_as_it_did(name: str) -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    np.testing.assert_allclose(logits(name), golden[name], atol=2e-3, rtol=1e-3)


def test_golden_logits_are_of_shipped_networks_only() -> None:
    assert sorted(json.loads(GOLDEN.read_text(encoding="utf-8"))) == NAMES


if __name__ == "__main__":
    written = {name: np.round(logits(name).astype(float), 5).tolist() for name in NAMES}
    GOLDEN.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
