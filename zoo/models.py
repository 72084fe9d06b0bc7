"""Saved models: a folder each, with weights and card; where they are, how they are written and read."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from zoo.card import Card
from zoo.errors import ConfigError, WeightsError
from zoo.output import moved_into_place

__all__ = [
    "CARD",
    "COMPARISON_CARD",
    "MODELS",
    "SHIPPED",
    "WEIGHTS",
    "available",
    "cards_alone",
    "file_digest",
    "halved",
    "is_ensemble",
    "join_models",
    "load_part",
    "load_model",
    "misfit",
    "read_weights",
    "require_free",
    "reserved",
    "resolve",
    "save_ensemble",
    "save_model",
    "write_weights",
]

CARD = "card.json"
COMPARISON_CARD = "comparison.json"
WEIGHTS = "weights.safetensors"
SHIPPED = Path(__file__).parent / "weights"
_CARDS = Path(__file__).parent / "cards"
MODELS = Path("models")


def available(extra: Path | None = None, *, card: str = CARD) -> dict[str, Path]:
    """All saved models by name: the shipped ones, those under `models/`, then those under `extra`.

    Of two with the same name the later place wins.

    Args:
        card: the file that makes a folder a model.

    Raises:
        WeightsError: `extra` is no folder.
    """
    if extra is not None and not extra.is_dir():
        raise WeightsError(f"--models {extra}: there is no such folder")
    found: dict[str, Path] = {}
    for place in (SHIPPED, MODELS, *([extra] if extra else [])):
        found.update({path.parent.name: path.parent for path in sorted(place.glob(f"*/{card}"))})
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


@contextlib.contextmanager
def reserved(folder: Path) -> Iterator[None]:
    """Keep a model's folder for this process as long as it trains there, or lives.

    Raises:
        ConfigError: another process has it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.with_name(f"{folder.name}.lock")
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise ConfigError(
            f"{folder}: another process is training a model there; required: its end, or another folder"
        ) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows keeps an open file, and removes it as it is released
            path.unlink(missing_ok=True)
        lock.release()


def save_model(folder: Path, network: nn.Module, card: Card, *, half: bool = False) -> Card:
    """Write weights and card, each moved into place when whole; returns the card with the weights' digest.

    Args:
        half: write what `halved` leaves of the weights.
    """
    weights = halved(network.state_dict()) if half else network.state_dict()
    card = dataclasses.replace(card, weights_sha256=write_weights(folder, weights))
    card.save(folder / CARD)
    return card


def halved(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights with kernels and matrices in float16; vectors, such as those of norms, stay as they are.

    Raises:
        WeightsError: a number is too large for float16.
    """
    result = {
        name: value.half() if value.is_floating_point() and value.dim() > 1 else value
        for name, value in weights.items()
    }
    for name, value in result.items():
        if value.dtype is torch.float16 and not value.isfinite().all():
            raise WeightsError(f"weights {name}: some are above 65,504; required: numbers that float16 has")
    return result


def write_weights(folder: Path, weights: Mapping[str, Tensor]) -> str:
    """Write a model's weights, moved into place when whole; returns their digest."""
    folder.mkdir(parents=True, exist_ok=True)
    # safetensors tells a full disk as a fault of its own, a plain write as what it is.
    content = save({name: value.cpu().contiguous() for name, value in weights.items()})
    with moved_into_place(folder / WEIGHTS) as temporary:
        temporary.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def read_weights(folder: Path, digest: str) -> dict[str, Tensor]:
    """The weights of a saved model, in float32 also where the file has float16.

    Args:
        digest: as the card has it.

    Raises:
        WeightsError: they are missing, or were altered.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        raise WeightsError(f"{path}: no weights there; required: the file that was saved with the card")
    if file_digest(path) != digest:
        raise WeightsError(
            f"{path}: the weights were altered since they were saved; required: the file as saved"
        )
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise misfit(folder, error) from None
    return {name: value.float() if value.dtype is torch.float16 else value for name, value in weights.items()}


def misfit(folder: Path, error: Exception) -> WeightsError:
    """What to raise where a model's weights aren't those of its card's network."""
    reason = " ".join(str(error).split())  # torch names each key on a line of its own
    return WeightsError(f"{folder / WEIGHTS}: the weights don't fit the card's network ({reason})")


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
    network = build(config_from_json(card.config))
    try:
        network.load_state_dict(read_weights(folder, card.weights_sha256))
    except RuntimeError as error:
        raise misfit(folder, error) from None
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


def file_digest(path: Path) -> str:
    """SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
