"""What a training may begin with: another model's weights, and what that model has seen; trains nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.card import Card
from zoo.data.dataset import USAGES, FaceDataset, Split
from zoo.data.split import make_split
from zoo.errors import ConfigError
from zoo.models import is_ensemble, load_model, resolve
from zoo.networks import NetworkConfig, build

__all__ = [
    "Start",
    "is_related",
    "learned_apart",
    "on_same_split",
    "own_split",
    "saved_start",
    "shared_split",
    "split_options",
]

_PUBLIC_TEST = 3589  # faces of FER2013's


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
        data: the field of the model's card.
        dataset, split: of the training to come.
    """
    own = data["split"]
    part, rows = [*own["rows"].items()][1]
    named = _is_named(own["kind"], part) and _is_named(split.kind, split.names[1])
    equal_data = data["fingerprint"] == dataset.fingerprint
    if named and rows == len(split.validation) == _PUBLIC_TEST:
        same = True
    elif "digest" in own:
        same = own["digest"] == dataset.digest(split.validation)
    else:
        same = equal_data and (named or (own["kind"], own["seed"]) == (split.kind, split.seed))
    apart = True if same else False if is_related(data, dataset) else None
    before = data.get("pretrained", {}).get("data")
    earlier = learned_apart(before, dataset, split) if before else True
    return False if False in (apart, earlier) else None if None in (apart, earlier) else True


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


def saved_start(name: str, config: NetworkConfig, dataset: FaceDataset, split: Split, *, seed: int) -> Start:
    """The weights of a saved model, but for a classifier of other classes.

    Args:
        name: of the model, or its folder.
        config: of the network that is to be trained.
        dataset, split: what it will learn from and be measured on.
        seed: of a fresh classifier.

    Raises:
        WeightsError: there is no such model, or it was altered.
        ConfigError: the model has other layers, or learned from faces that are to select the network.
    """
    trained, card = load_model(resolve(name))
    if is_ensemble(card):
        raise ConfigError(
            f"model {name!r} is an ensemble, whose networks have weights; required: one network"
        )
    apart = learned_apart(card.data, dataset, split)
    if apart is False:
        raise ConfigError(
            f"model {name!r} learned from faces that select this network; required: {own_split(card)} on the "
            "data that it was trained on, or other data"
        )
    torch.manual_seed(seed)
    state = build(config).state_dict()
    taken = trained.state_dict()
    other = [key for key in {**state, **taken} if key not in state or key not in taken]
    other += [key for key in state if key in taken and state[key].shape != taken[key].shape]
    if card.channels != config.channels or any(not key.startswith("classifier.") for key in other):
        raise ConfigError(
            f"model {name!r} has other layers than this network; required: the same ones, such as "
            f"python -m zoo.train {name} --pretrained {name}"
        )
    notes = []
    # The same shapes may still mean other classes.
    if card.classes != dataset.classes:
        other = [key for key in state if key.startswith("classifier.")]
        notes.append(f"its classifier begins anew: {name} knows {', '.join(card.classes)}")
    if apart is None:
        notes.append(
            f"{name} learned from {card.data['name']}: figures are too good if its faces are among those here"
        )
    weights = {key: state[key] if key in other else taken[key] for key in state}
    origin = {"model": card.name, "weights_sha256": card.weights_sha256, "data": card.data}
    return Start(weights, origin, tuple(notes))
