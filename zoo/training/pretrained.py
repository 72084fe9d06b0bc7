"""What a training may begin with: another model's weights, and what that model has seen; trains nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from zoo.card import Card
from zoo.data.dataset import USAGES, FaceDataset, Split
from zoo.data.split import make_split
from zoo.errors import ConfigError
from zoo.models import is_ensemble, load_model, resolve
from zoo.networks import NetworkConfig, build, config_from_json

__all__ = [
    "Saved",
    "Start",
    "is_related",
    "learned_apart",
    "on_same_split",
    "own_split",
    "saved_network",
    "saved_start",
    "shared_split",
    "split_options",
]

_TRAINING, _PUBLIC_TEST = 28709, 3589  # faces of FER2013's


@dataclass(frozen=True)
class Start:
    """Weights to begin with.

    Attributes:
        weights: as `state_dict()` of the network gives them.
        origin: where they come from, plain values for the card: `model`, and for a saved one its
            `weights_sha256` and `data`.
        notes: sentences for whoever reads the figures.
    """

    weights: dict[str, Tensor]
    origin: dict[str, Any]
    notes: tuple[str, ...] = ()


def learned_apart(data: dict[str, Any], dataset: FaceDataset, split: Split) -> bool | None:
    """Whether a saved model learned from none of the faces that are held out here; None if none can tell.

    They are the same as those that selected the model if their digests are equal, or if they are PublicTest
    of FER2013, wherever that lies; for a card without a digest, if data, kind of split and seed are equal.
    Of data of one name other rows may overlap.

    Args:
        data: the field of the model's card; those of an ensemble's members count, too (`members`).
        dataset, split: of the training to come.
    """
    own = data["split"]
    (_, trained), (part, rows), *_ = own["rows"].items()
    named = _is_named(own["kind"], part) and _is_named(split.kind, split.names[1])
    equal_data = data["fingerprint"] == dataset.fingerprint
    if named and trained <= _TRAINING and rows == len(split.validation) == _PUBLIC_TEST:
        same = True
    elif "digest" in own:
        same = own["digest"] == dataset.digest(split.validation)
    else:
        same = equal_data and (named or (own["kind"], own["seed"]) == (split.kind, split.seed))
    apart = True if same else False if is_related(data, dataset) else None
    before = data.get("pretrained", {}).get("data")
    parts = [*([before] if before else []), *data.get("members", [])]
    every = [apart, *(learned_apart(part, dataset, split) for part in parts)]
    return False if False in every else None if None in every else True


def is_related(data: dict[str, Any], dataset: FaceDataset) -> bool:
    """Whether a saved model learned from these data, or from data of their name, which may be a part of them.

    Args:
        data: the field of the model's card.
    """
    return data["fingerprint"] == dataset.fingerprint or data["name"] == dataset.name


def on_same_split(data: dict[str, Any], dataset: FaceDataset, split: Split) -> bool:
    """Whether a saved model was trained on this split of these data, whose held-out faces it doesn't know.

    What it began with may have learned from other data, of which nobody can tell.

    Args:
        data: the field of the model's card.
    """
    apart = learned_apart(data, dataset, split)
    return apart is True or (apart is None and is_related(data, dataset))


def shared_split(cards: Sequence[Card], dataset: FaceDataset) -> Split:
    """The split of these data that all of some saved models were trained on.

    Raises:
        ConfigError: one was trained on other data, another split, or with other classes.
    """
    own = cards[0].data["split"]
    split = make_split(dataset, kind=own["kind"], seed=own["seed"])
    for card in cards:
        if card.classes != dataset.classes or not on_same_split(card.data, dataset, split):
            raise ConfigError(
                f"{card.name} was trained on {card.data['name']} ({card.data['fingerprint']}, "
                f"{own_split(card)}); required: {dataset.name} ({dataset.fingerprint}, "
                f"{own_split(cards[0])}) and its classes"
            )
    return split


def split_options(kind: str, seed: int, part: str) -> str:
    """The options of a command that make a split, without a seed where nothing is drawn by it.

    Args:
        part: name of the part that validates.
    """
    return f"--split {kind}" + ("" if _is_named(kind, part) else f" --split-seed {seed}")


def own_split(card: Card) -> str:
    """The options that make the split a saved model was trained on."""
    split = card.data["split"]
    return split_options(split["kind"], split["seed"], [*split["rows"]][1])


def _is_named(kind: str, part: str) -> bool:
    """Whether the source names the faces that select, so that none is drawn."""
    return (kind, part) == ("official", USAGES[1])


class Saved(NamedTuple):
    """A saved model that a training may begin with, and the name or folder that it was asked for by."""

    name: str
    network: nn.Module
    card: Card


def saved_network(name: str) -> Saved:
    """A saved model, by its name or folder.

    Raises:
        WeightsError: there is no such model, or it was altered.
        ConfigError: it is an ensemble.
    """
    network, card = load_model(resolve(name))
    if is_ensemble(card):
        raise ConfigError(
            f"model {name!r} is an ensemble, whose networks have weights; required: one network"
        )
    return Saved(name, network, card)


def saved_start(
    saved: Saved, config: NetworkConfig, dataset: FaceDataset, split: Split, *, seed: int
) -> Start:
    """The weights of a saved model, but for a classifier of other classes.

    Args:
        config: of the network that is to be trained.
        dataset, split: what it will learn from and be measured on.
        seed: of a fresh classifier.

    Raises:
        ConfigError: the model has other layers, dropout aside, or learned from faces that are to select the
            network.
    """
    name, trained, card = saved
    apart = learned_apart(card.data, dataset, split)
    if apart is False:
        raise ConfigError(
            f"model {name!r} learned from faces that select this network; required: {own_split(card)} on the "
            "data that it was trained on, or other data"
        )
    wanted, own = config.to_json(), config_from_json(card.config).to_json()
    # Weights of the same shapes may still mean other layers: activations and poolings have no weights.
    other = [field for field in wanted if wanted[field] != own.get(field) and _is_of_layers(field)]
    if other:
        raise ConfigError(
            f"model {name!r} has other layers than this network ({', '.join(other)}); required: the same "
            f"ones, such as python -m zoo.train {name} --pretrained {name}"
        )
    torch.manual_seed(seed)
    state = build(config).state_dict()
    taken = trained.state_dict()
    notes = []
    fresh = card.classes != dataset.classes
    if fresh:
        notes.append(f"its classifier begins anew: {name} knows {', '.join(card.classes)}")
    if apart is None:
        notes.append(
            f"{name} learned from {card.data['name']}: figures are too good if its faces are among those here"
        )
    weights = {key: state[key] if fresh and key.startswith("classifier.") else taken[key] for key in state}
    origin = {"model": card.name, "weights_sha256": card.weights_sha256, "data": card.data}
    return Start(weights, origin, tuple(notes))


def _is_of_layers(field: str) -> bool:
    """Whether a field of a config says what a network computes in use, the number of classes aside."""
    return field != "classes" and "dropout" not in field
