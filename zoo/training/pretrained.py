"""The weights of a saved model as the beginning of a training (fine-tuning); trains nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.data.dataset import FaceDataset, Split
from zoo.errors import ConfigError
from zoo.models import is_ensemble, load_model, resolve
from zoo.networks import NetworkConfig, build

__all__ = ["saved_start"]


def saved_start(
    name: str, config: NetworkConfig, dataset: FaceDataset, split: Split, *, seed: int
) -> tuple[dict[str, Tensor], list[str]]:
    """A network's state with the weights of a saved model, but for a classifier of other classes.

    Args:
        name: of the model, or its folder.
        config: of the network that is to be trained.
        dataset, split: what it will learn from and be measured on.
        seed: of a fresh classifier.

    Returns:
        What `state_dict()` of the network gives, and sentences for whoever reads the figures.

    Raises:
        WeightsError: there is no such model, or it was altered.
        ConfigError: the model has other layers, or learned from faces that are to select the network.
    """
    trained, card = load_model(resolve(name))
    if is_ensemble(card):
        raise ConfigError(
            f"model {name!r} is an ensemble, whose networks have weights; required: one network"
        )
    kind, own_seed = card.data["split"]["kind"], card.data["split"]["seed"]
    same_data = card.data["fingerprint"] == dataset.fingerprint
    if same_data and (kind != split.kind or (kind == "random" and own_seed != split.seed)):
        raise ConfigError(
            f"model {name!r} learned from faces that select this network; required: --split {kind}"
            + (f" --split-seed {own_seed}" if kind == "random" else "")
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
    # The same shapes may still mean other classes, and the official split is the same wherever it lies.
    if card.classes != dataset.classes:
        other = [key for key in state if key.startswith("classifier.")]
        notes.append(f"its classifier begins anew: {name} knows {', '.join(card.classes)}")
    if not same_data and (kind, split.kind) != ("official", "official"):
        notes.append(
            f"{name} learned from {card.data['name']}: figures are too good if its faces are among those here"
        )
    return {key: state[key] if key in other else taken[key] for key in state}, notes
