"""The saved models that the app offers, found, loaded and timed once; knows nothing of pictures or pages."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from zoo.card import Card
from zoo.data.dataset import FACE_SIZE
from zoo.errors import WeightsError, ZooError
from zoo.models import CARD, available
from zoo.predictor import Predictor

__all__ = ["Entry", "Library"]

_RUNS = 7


@dataclass(frozen=True)
class Entry:
    """One saved model.

    Attributes:
        milliseconds: for one face on this machine, the shortest of seven: others may be computing, too.
    """

    name: str
    folder: Path
    card: Card
    milliseconds: float

    @property
    def label(self) -> str:
        """Name, accuracy, number of weights and time, as menus show it."""
        size = self.card.parameters
        number = f"{size / 1e6:.1f} M" if size >= 1e6 else f"{size / 1e3:.0f} k"
        return f"{self.name} · {self.card.accuracy:.1%} · {number} · {self.milliseconds:.1f} ms"


@dataclass
class Library:
    """Saved models by name, the most accurate first.

    Attributes:
        entries: by name.
        skipped: what was wrong with folders that could not be used, a sentence each.
    """

    entries: dict[str, Entry]
    skipped: tuple[str, ...] = ()
    _predictors: dict[str, Predictor] = field(default_factory=dict)

    @classmethod
    def open(cls, extra: Path | None = None) -> Library:
        """Find, load and time every saved model; a broken one is left out and logged.

        Args:
            extra: a folder of further models, beside the shipped ones and `models/`.

        Raises:
            WeightsError: no model can be used, or `extra` is not a folder.
        """
        if extra is not None and not extra.is_dir():
            raise WeightsError(f"--models {extra}: there is no such folder")
        entries, skipped, predictors = [], [], {}
        for name, folder in available(extra).items():
            try:
                predictor = Predictor.load(folder)
                entries.append(Entry(name, folder, predictor.card, _milliseconds(predictor)))
            except ZooError as error:
                skipped.append(str(error))
                logging.getLogger(__name__).warning("left out: %s", error)
            else:
                predictors[name] = predictor
        if not entries:
            reasons = "; ".join(skipped) or f"required: a folder with NAME/{CARD} in it, by --models"
            raise WeightsError(f"no saved model can be used; {reasons}")
        entries.sort(key=lambda entry: (entry.card.data.get("drawn", False), -entry.card.accuracy))
        return cls({entry.name: entry for entry in entries}, tuple(skipped), predictors)

    @property
    def default(self) -> str:
        """The most accurate model's name."""
        return next(iter(self.entries))

    @property
    def choices(self) -> list[tuple[str, str]]:
        """Label and name of each, for a menu."""
        return [(entry.label, entry.name) for entry in self.entries.values()]

    def predictor(self, name: str | None) -> Predictor:
        """The predictor of a model, or of the default for None.

        Raises:
            WeightsError: no model has that name; the message lists those that exist.
        """
        name = name or self.default
        if name not in self.entries:
            raise WeightsError(f"network {name!r} is unknown; known are {', '.join(self.entries)}")
        return self._predictors[name]


def _milliseconds(predictor: Predictor) -> float:
    face = np.zeros((1, FACE_SIZE, FACE_SIZE), np.uint8)
    predictor.probabilities(face)
    times = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        predictor.probabilities(face)
        times.append(time.perf_counter() - start)
    return min(times) * 1000
