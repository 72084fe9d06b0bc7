"""What a study searches and under which rules, as one frozen config that is stored with the study."""

from __future__ import annotations

import argparse
import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from zoo.errors import ConfigError
from zoo.networks.config import require, require_choice

__all__ = ["PRUNERS", "StudySettings", "check_counts", "parse_count"]

PRUNERS = ("halving", "median", "none")

_COUNT_UNITS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}


@dataclass(frozen=True)
class StudySettings:
    """The part of a study that may not change when it is resumed.

    Attributes:
        data: what the data set is called; `fingerprint` identifies it wherever it lies.
        drawn: the faces are drawn by the program.
        split_kind, split_seed: see `zoo.data.dataset.Split`.
        epochs: of every trial.
        max_macs, max_parameters: limits of a network; None is no limit.
        pruner: one of `PRUNERS`.
        seed: of every trial's training; the sampler's is derived from it.
        soft_labels: train on the data set's votes.
    """

    data: str
    fingerprint: str
    drawn: bool
    classes: tuple[str, ...]
    split_kind: str
    split_seed: int
    epochs: int
    max_macs: int | None
    max_parameters: int | None
    pruner: str = "halving"
    seed: int = 0
    soft_labels: bool = False

    def __post_init__(self) -> None:
        require(self.epochs >= 1, "epochs", self.epochs, "at least 1")
        require(0 <= self.seed < 1 << 31, "seed", self.seed, f"0 to {(1 << 31) - 1}")
        require_choice("pruner", self.pruner, PRUNERS)
        for name in ("max_macs", "max_parameters"):
            value = getattr(self, name)
            require(value is None or value >= 1, name, value, "at least 1, or no limit")

    def to_json(self) -> dict[str, Any]:
        """Plain values that `from_json` turns back into equal settings."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> StudySettings:
        """The settings that `to_json` described."""
        return cls(**{**values, "classes": tuple(values["classes"])})

    def differences(self, other: StudySettings) -> list[str]:
        """One phrase for every field in which the other settings differ; the data's name may."""
        mine, theirs = self.to_json(), other.to_json()
        return [
            f"{name} {mine[name]!r} instead of {theirs[name]!r}"
            for name in mine
            if mine[name] != theirs[name] and name != "data"
        ]


def check_counts(options: argparse.Namespace, **least: int) -> None:
    """See that numeric options are large enough.

    Args:
        least: by the option's name, with `_` for `-`, the least that it may be; None may be any option.

    Raises:
        ConfigError: one is less.
    """
    for name, limit in least.items():
        value = getattr(options, name)
        if value is not None and value < limit:
            raise ConfigError(f"--{name.replace('_', '-')} is {value}; required: at least {limit}")


def parse_count(text: str) -> int:
    """`30M` → 30000000; the units are k, M and G.

    Raises:
        ConfigError: the text is no positive count.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmg]?)", text.strip().lower())
    if not match or float(match[1]) <= 0:
        raise ConfigError(
            f"count {text!r} is not a count; required: a positive number such as 500000, 500k, 30M"
        )
    return round(float(match[1]) * _COUNT_UNITS[match[2]])
