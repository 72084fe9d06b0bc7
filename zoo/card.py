"""A model's card: what the network is, how it was trained, how well it does, what it is not for; JSON on
disk."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from zoo.errors import ConfigError, WeightsError
from zoo.networks.config import require_types
from zoo.output import moved_into_place

__all__ = ["INTENDED_USE", "Card", "is_fer2013", "read_card", "write_card"]

_Kind = TypeVar("_Kind")

INTENDED_USE = (
    "Research and teaching: guessing which of a few expressions annotators would say that a "
    "cropped face shows."
)

_FORMAT = 1
_CPU_THREADS = re.compile(r"\d+ threads? of ")  # as `device_name` begins for a CPU
_FER2013_LIMITS = (
    "The labels say how a face looks to annotators, not what a person feels. People agree on about two "
    "thirds of FER2013's labels; its faces were collected by web search and are not balanced by age, skin "
    "colour, gender or culture, so errors are not either. "
)
_DRAWN_LIMITS = (
    "Trained on faces drawn by the program: how well it does on photographs of people isn't known. "
)
_OTHER_LIMITS = (
    "The labels of {} say how a face looks to annotators, not what a person feels. Whether its faces "
    "are balanced by age, skin colour, gender or culture isn't known, so errors may not be either. "
)


@dataclass(frozen=True)
class Card:
    """Everything about a saved network that isn't its weights.

    Attributes:
        name: of the model, and of its folder.
        config: JSON form of its `NetworkConfig`.
        classes: what each output means.
        channels, mean, std: input channels and their normalisation on the 0–1 scale.
        temperature: divides the logits; fitted on validation faces.
        unsure_below: confidence under which an answer should be called unsure, 0–1.
        metrics: `zoo.training.evaluate.measure` by part: `PublicTest`, … or `random 10% validation`, …
        validation: the part that selected the network, a key of `metrics`.
        parameters, macs: cost; see `zoo.networks.Cost`.
        data: `name`, `drawn`, `fingerprint`, `split` (`kind`, `seed`, `rows` of each part, `digest` of
            the faces that select), `soft_labels` (votes had a part in the targets), and `pretrained`, where
            it began with other weights: `model`, and of a saved one its `weights_sha256` and `data`.
        recipe: JSON form of its `Recipe`.
        history: one entry an epoch, fields of `EpochResult`.
        epoch: the epoch whose weights were kept.
        seconds: training time.
        device: what it was trained on, see `zoo.training.device.device_name`; empty where nobody noted it.
        versions: of Python and the libraries.
        study, trial: where the search found it, or None.
        note: one sentence on what the model is.
        limits: what it is not good for; where it is empty, sentences that suit `data`.
        weights_sha256: digest of the weights file.
    """

    name: str
    config: dict[str, Any]
    classes: tuple[str, ...]
    channels: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    temperature: float
    unsure_below: float
    metrics: dict[str, dict[str, Any]]
    validation: str
    parameters: int
    macs: int
    data: dict[str, Any]
    recipe: dict[str, Any]
    history: list[dict[str, Any]]
    epoch: int
    seconds: float
    versions: dict[str, str]
    study: str | None = None
    trial: int | None = None
    note: str = ""
    intended_use: str = INTENDED_USE
    limits: str = ""
    device: str = ""
    weights_sha256: str = field(default="")

    def __post_init__(self) -> None:
        if self.limits == "":
            object.__setattr__(self, "limits", _limits(self.data))

    @property
    def accuracy(self) -> float:
        """Accuracy on the validation part."""
        return float(self.metrics[self.validation]["accuracy"])

    @property
    def gpu(self) -> str:
        """Name of the GPU that trained it; empty where that was a CPU or nobody noted it."""
        return "" if _CPU_THREADS.match(self.device) else self.device

    def save(self, path: Path) -> None:
        """Write the card to `path`; see `write_card`."""
        write_card(self, path)

    @classmethod
    def load(cls, path: Path) -> Card:
        """Read a card and check its digest.

        Raises:
            WeightsError: the file is missing, is no card, or was altered since it was saved.
        """
        return read_card(cls, path, savers="zoo.train or search.run")


def is_fer2013(name: str) -> bool:
    """Whether a data set of this name is FER2013, by the names that its files and folders have."""
    return "fer2013" in name.lower() or name == "icml_face_data.csv"


def _limits(data: dict[str, Any]) -> str:
    name = data.get("name", "the data")
    if data.get("drawn"):
        about = _DRAWN_LIMITS
    else:
        about = _FER2013_LIMITS if is_fer2013(name) else _OTHER_LIMITS.format(name)
    return f"{about}Not for decisions about people."


def write_card(card: Any, path: Path) -> None:
    """Write a card of either kind, with a digest over all its fields, and move it to `path` when whole."""
    values = {"format": _FORMAT, **dataclasses.asdict(card)}
    values["card_sha256"] = _digest(values)
    with moved_into_place(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def read_card(kind: type[_Kind], path: Path, *, savers: str) -> _Kind:
    """Read what `write_card` wrote.

    Args:
        kind: dataclass of the card.
        savers: the commands that save such cards, for the message where there is none.

    Raises:
        WeightsError: the file is missing, is no card of this kind, or was altered since it was saved.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(f"{path}: no card there; required: a folder that {savers} saved") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise WeightsError(f"{path}: not a card ({error}); required: JSON as saved") from None
    if not isinstance(values, dict) or values.get("format") != _FORMAT:
        raise WeightsError(f"{path}: not a card of format {_FORMAT}; required: JSON as saved")
    if values.pop("card_sha256", None) != _digest(values):
        raise WeightsError(f"{path}: the card was altered since it was saved; required: the card as saved")
    del values["format"]
    declared = typing.get_type_hints(kind)
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    # Cards of earlier versions lack fields that were added with a default.
    required = {entry.name for entry in fields if entry.default is dataclasses.MISSING}
    if not required <= set(values) <= set(declared):
        odd = ", ".join(sorted((required - set(values)) | (set(values) - set(declared))))
        raise WeightsError(f"{path}: fields {odd} are missing or unknown; required: the card as saved")
    for name, value in values.items():
        if typing.get_origin(declared[name]) is tuple and isinstance(value, list):
            values[name] = tuple(value)
    card = kind(**values)
    try:
        require_types(card)
    except ConfigError as error:
        raise WeightsError(f"{path}: {error}") from None
    return card


def _digest(values: dict[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
