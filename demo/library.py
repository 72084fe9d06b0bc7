"""The saved models that the app offers, found, loaded and timed once; knows nothing of pictures or pages."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from pathlib import Path

from demo.runtime import export_to_cache, milliseconds, use_faster
from zoo.card import Card
from zoo.errors import WeightsError, ZooError
from zoo.models import CARD, SHIPPED, available, is_ensemble
from zoo.predictor import Predictor

__all__ = ["Entry", "Library", "in_figures"]


def in_figures(milliseconds: float) -> str:
    """A time as menus and tables show it: `0.45`, `2.8` or `120`."""
    return f"{milliseconds:.2g}" if milliseconds < 10 else f"{milliseconds:.0f}"


@dataclass
class Entry:
    """One saved model.

    Attributes:
        exported: whether ONNX Runtime could run it, too.
        milliseconds: for one face on this machine.
        comparable: whether its accuracy is on the faces that the shipped networks' accuracies are on.
    """

    name: str
    folder: Path
    predictor: Predictor
    exported: bool
    milliseconds: float
    comparable: bool = True

    @property
    def card(self) -> Card:
        """The model's card."""
        return self.predictor.card

    @property
    def label(self) -> str:
        """Name, accuracy, number of weights and time, as menus show it."""
        size = self.card.parameters
        number = f"{size / 1e6:.1f} M" if size >= 1e6 else f"{size / 1e3:.0f} k"
        return f"{self.name} · {self.card.accuracy:.1%} · {number} · {in_figures(self.milliseconds)} ms"


@dataclass
class Library:
    """Saved models by name, the most accurate first; those measured on other faces come last.

    Attributes:
        entries: by name.
    """

    entries: dict[str, Entry]

    @classmethod
    def open(cls, extra: Path | None = None) -> Library:
        """Find, load and time every saved model; a broken one is left out and logged.

        Args:
            extra: a folder of further models, beside the shipped ones and `models/`.

        Raises:
            WeightsError: no model can be used, or `extra` is not a folder.
        """
        entries, skipped = [], []
        for name, folder in available(extra).items():
            try:
                predictor = Predictor.load(folder)
            except ZooError as error:
                skipped.append(str(error))
                logging.getLogger(__name__).warning("left out: %s", error)
            else:
                exported = use_faster(predictor, folder)
                entries.append(Entry(name, folder, predictor, exported, milliseconds(predictor)))
        if not entries:
            reasons = "; ".join(skipped) or f"required: a folder with NAME/{CARD} in it, by --models"
            raise WeightsError(f"no saved model can be used; {reasons}")
        shipped = {_faces_of(entry.card) for entry in entries if entry.folder.parent == SHIPPED}
        for entry in entries:
            entry.comparable = not shipped or _faces_of(entry.card) in shipped
        entries.sort(key=lambda entry: (not entry.comparable, -entry.card.accuracy))
        return cls({entry.name: entry for entry in entries})

    def accelerate(self) -> threading.Thread:
        """Export the models that the cache lacks, and run them by ONNX Runtime if that is faster.

        Returns:
            The thread that does so in the background.
        """

        def run() -> None:
            for entry in self.entries.values():
                if not entry.exported and export_to_cache(entry.folder):
                    entry.exported = use_faster(entry.predictor, entry.folder)
                    entry.milliseconds = milliseconds(entry.predictor)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    @property
    def default(self) -> str:
        """The name of the most accurate single network: an ensemble takes several times as long."""
        single = (name for name, entry in self.entries.items() if not is_ensemble(entry.card))
        return next(single, next(iter(self.entries)))

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
        return self.entries[name].predictor


def _faces_of(card: Card) -> tuple[str, str]:
    """What tells the faces that selected a model, on which its accuracy was measured."""
    return card.data.get("fingerprint", ""), card.validation
