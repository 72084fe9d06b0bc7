"""Saved models: a folder each, with weights and card; where they are, how they are written and read."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from zoo.card import Card
from zoo.errors import ConfigError, WeightsError

__all__ = [
    "CARD",
    "COMPARISON_CARD",
    "MODELS",
    "SHIPPED",
    "WEIGHTS",
    "available",
    "cards_alone",
    "is_ensemble",
    "join_models",
    "load_part",
    "load_model",
    "require_free",
    "resolve",
    "save_ensemble",
    "save_model",
]

CARD = "card.json"
COMPARISON_CARD = "comparison.json"
WEIGHTS = "weights.safetensors"
SHIPPED = Path(__file__).parent / "weights"
_CARDS = Path(__file__).parent / "cards"
MODELS = Path("models")


def available(extra: Path | None = None) -> dict[str, Path]:
    """All saved models by name: the shipped ones, those under `models/`, then those under `extra`.

    Of two with the same name the later place wins.
    """
    found: dict[str, Path] = {}
    for place in (SHIPPED, MODELS, *([extra] if extra else [])):
        if place.is_dir():
            found.update({card.parent.name: card.parent for card in sorted(place.glob(f"*/{CARD}"))})
    return found


def cards_alone() -> dict[str, Path]:
    """The cards, by name, of trained networks whose weights don't ship."""
    return {path.stem: path for path in sorted(_CARDS.glob("*.json"))}


def resolve(name_or_folder: str | Path, *, extra: Path | None = None) -> Path:
    """The folder of a model, by name or by path.

    Raises:
        WeightsError: there is none; the message lists the names that exist.
    """
    folder = Path(name_or_folder)
    if (folder / CARD).is_file():
        return folder
    models = available(extra)
    if str(name_or_folder) in models:
        return models[str(name_or_folder)]
    known = ", ".join(models) or "none yet"
    alone = str(name_or_folder) in cards_alone()
    hint = f" (its weights don't ship; python -m zoo.train {name_or_folder} trains it)"
    raise WeightsError(
        f"model {str(name_or_folder)!r} is not a saved model{hint if alone else ''}; required: a folder with "
        f"{CARD}, or one of: {known}"
    )


def require_free(folder: Path, *, resuming: bool = False) -> None:
    """See that a model can be saved as a folder: it has a name, which is the model's, and holds none yet.

    Args:
        resuming: what is there may be the same model.

    Raises:
        ConfigError: it has no name, or holds a model.
    """
    if folder.name in ("", ".."):
        raise ConfigError(f"--out is {folder}; required: a folder with a name, which is the model's")
    if not resuming and any((folder / card).exists() for card in (CARD, COMPARISON_CARD)):
        raise ConfigError(
            f"{folder}: a model is there already; required: another folder with --out, or its removal"
        )


def save_model(folder: Path, network: nn.Module, card: Card) -> Card:
    """Write weights and card, each moved into place when whole; returns the card with the weights' digest."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{WEIGHTS}.{os.getpid()}.tmp"
    save_file({name: value.cpu().contiguous() for name, value in network.state_dict().items()}, temporary)
    os.replace(temporary, folder / WEIGHTS)
    card = dataclasses.replace(card, weights_sha256=_file_digest(folder / WEIGHTS))
    card.save(folder / CARD)
    return card


def load_model(folder: Path) -> tuple[nn.Module, Card]:
    """The network of a saved model, on the CPU in evaluation mode, and its card.

    Raises:
        WeightsError: card or weights, or those of a member, are missing, altered, or don't fit each other.
    """
    from zoo.networks import build, config_from_json
    from zoo.networks.ensemble import EnsembleConfig

    card = Card.load(folder / CARD)
    if is_ensemble(card):
        config = EnsembleConfig.from_json(card.config)
        members = [load_part(folder, *member) for member in zip(config.members, config.digests, strict=True)]
        return join_models(members, flip=config.flip), card
    path = folder / WEIGHTS
    if not path.is_file():
        raise WeightsError(f"{path}: no weights there; required: the file that was saved with the card")
    if _file_digest(path) != card.weights_sha256:
        raise WeightsError(
            f"{path}: the weights were altered since they were saved; required: the file as saved"
        )
    network = build(config_from_json(card.config))
    try:
        network.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())  # torch names each key on a line of its own
        raise WeightsError(f"{path}: the weights don't fit the card's network ({reason})") from None
    return network.eval(), card


def is_ensemble(card: Card) -> bool:
    """Whether a model is several others, which have its weights."""
    return bool(card.config.get("family") == "ensemble")


def join_models(members: Sequence[tuple[nn.Module, Card]], *, flip: bool) -> nn.Module:
    """The `EnsembleNetwork` of loaded models."""
    from zoo.data.channels import Preprocess
    from zoo.networks.ensemble import EnsembleNetwork

    parts = [
        (network, Preprocess(card.channels, card.mean, card.std), card.temperature)
        for network, card in members
    ]
    return EnsembleNetwork(parts, flip=flip).eval()


def save_ensemble(folder: Path, card: Card) -> Card:
    """Write the card of an ensemble; returns it with the digest of its members' digests."""
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256("\n".join(card.config["digests"]).encode()).hexdigest()
    card = dataclasses.replace(card, weights_sha256=digest)
    card.save(folder / CARD)
    return card


def load_part(owner: Path, name: str, digest: str) -> tuple[nn.Module, Card]:
    """A model that another one is made of: the one beside it, else of any place.

    Args:
        owner: folder of the other one, which needn't exist yet.
        digest: of the part's weights.

    Raises:
        WeightsError: there is no such model, it was altered, or it has other weights.
    """
    beside = owner.resolve().parent / name
    folder = beside if (beside / CARD).is_file() else resolve(name)
    network, card = load_model(folder)
    if card.weights_sha256 != digest:
        raise WeightsError(
            f"{folder}: these are other weights than those that {owner} is made of; required: the model "
            f"as it was, or {owner.name} made anew"
        )
    return network, card


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
