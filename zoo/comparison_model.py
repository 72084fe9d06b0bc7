"""Saved comparison models: a folder with weights and a card; where they are, how they are kept and read."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.card import is_fer2013, read_card, write_card
from zoo.errors import ConfigError, WeightsError
from zoo.models import COMPARISON_CARD, available, load_part, misfit, read_weights, write_weights

if TYPE_CHECKING:
    from zoo.networks.comparison import ComparisonNetwork

__all__ = [
    "DEFAULT_COMPARISON",
    "INTENDED_USE",
    "ComparisonCard",
    "available_comparisons",
    "load_comparison",
    "resolve_comparison",
    "save_comparison",
]

DEFAULT_COMPARISON = "best-compare"
"""The shipped model that is taken where none is named."""

_BACKBONE = "backbone."

INTENDED_USE = (
    "Research and teaching: guessing whether annotators would give two cropped faces the same of a few "
    "expressions, and which of three faces looks least like the other two."
)


@dataclass(frozen=True)
class ComparisonCard:
    """Everything about a saved comparison network that isn't its weights.

    Attributes:
        name: of the model, and of its folder.
        config: JSON form of its `ComparisonConfig`.
        classes: what its expression logits mean; empty where it names no expressions.
        mean, std: normalisation of the input channels on the 0–1 scale.
        slope, offset: turn its logit of *same* into a probability, fitted on held-out training pairs; the
            verdict is *same* from one half on, where most of those pairs are told right.
        temperature: divides its expression logits, fitted on held-out training faces; the backbone's own
            where that is frozen and had been trained with those faces.
        odd_scale: of the softmax over distances that gives the odd one out, fitted on held-out training
            triplets; None where there were none.
        metrics: figures on the held-out pairs (`held_out`) and, by usage, on others.
        parameters, macs: cost of comparing two faces; see `zoo.networks.Cost`.
        data: `name`, `fingerprint`, `drawn`, `votes`, `rows`; `pairs` and `triplets`, the entries of the
            lists that were trained with, None where there was none; `split`, what was held out, see
            `zoo.training.pair_fit.HeldOut`.
        objective, recipe: JSON forms.
        history: one entry an epoch, fields of `PairEpoch`.
        epoch: the epoch whose weights were kept.
        seconds: training time.
        versions: of Python and the libraries.
        note: one sentence on what the model is.
        limits: what it is not good for; where it is empty, sentences that suit `data`.
        backbone: `name` and `weights_sha256` of the saved model that has the backbone's weights; None where
            the weights file has them.
        weights_sha256: digest of the weights file.
    """

    name: str
    config: dict[str, Any]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    slope: float
    offset: float
    temperature: float
    odd_scale: float | None
    metrics: dict[str, Any]
    parameters: int
    macs: int
    data: dict[str, Any]
    objective: dict[str, Any]
    recipe: dict[str, Any]
    history: list[dict[str, Any]]
    epoch: int
    seconds: float
    versions: dict[str, str]
    note: str = ""
    intended_use: str = INTENDED_USE
    limits: str = ""
    backbone: dict[str, str] | None = None
    weights_sha256: str = ""

    def __post_init__(self) -> None:
        if self.limits == "":
            object.__setattr__(self, "limits", _limits(self.data))

    def save(self, path: Path) -> None:
        """Write the card to `path`; see `zoo.card.write_card`."""
        write_card(self, path)

    @classmethod
    def load(cls, path: Path) -> ComparisonCard:
        """Read a card and check its digest.

        Raises:
            WeightsError: the file is missing, is no card, or was altered since it was saved.
        """
        return read_card(cls, path, savers="zoo.train_pairs")


def _limits(data: dict[str, Any]) -> str:
    name = data.get("name", "the data")
    judged = "which say how faces look to annotators, not what people feel."
    pairs = "pairs of which half are the same and all expressions are equally likely"
    if data.get("split", {}).get("kind") == "triplets":
        trained = f"annotators' judgements of the triplets of {name}, {judged}"
        pairs = "pairs such as the first two faces of those triplets"
    elif data.get("drawn"):
        trained = "faces drawn by the program: how well it does on photographs of people isn't known."
    elif is_fer2013(name):
        trained = f"FER2013 labels{' and FER+ votes' if data.get('votes') else ''}, {judged}"
    else:
        trained = f"the labels of {name}, {judged}"
    return (
        f"Trained on {trained} The probability holds for {pairs}. It says nothing of who is shown. Not for "
        "decisions about people."
    )


def available_comparisons(extra: Path | None = None) -> dict[str, Path]:
    """All saved comparison models by name, as `available` finds the others."""
    return available(extra, card=COMPARISON_CARD)


def resolve_comparison(name_or_folder: str | Path | None = None, *, extra: Path | None = None) -> Path:
    """The folder of a comparison model, by name or by path; None is `DEFAULT_COMPARISON` by name.

    Raises:
        WeightsError: there is none; the message lists the names that exist.
    """
    if name_or_folder is None:
        return available_comparisons(extra)[DEFAULT_COMPARISON]
    folder = Path(name_or_folder)
    if (folder / COMPARISON_CARD).is_file():
        return folder
    models = available_comparisons(extra)
    if str(name_or_folder) in models:
        return models[str(name_or_folder)]
    raise WeightsError(
        f"model {str(name_or_folder)!r} is not a saved comparison model; required: a folder with "
        f"{COMPARISON_CARD}, or one of: {', '.join(models) or 'none yet'}"
    )


def save_comparison(folder: Path, network: ComparisonNetwork, card: ComparisonCard) -> ComparisonCard:
    """Write weights and card, each moved into place when whole; returns the card with the weights' digest.

    Weights that another model has, as the card says, aren't written.
    """
    own = {
        name: value
        for name, value in network.state_dict().items()
        if not (card.backbone and name.startswith(_BACKBONE))
    }
    card = dataclasses.replace(card, weights_sha256=write_weights(folder, own))
    card.save(folder / COMPARISON_CARD)
    return card


def load_comparison(folder: Path) -> tuple[ComparisonNetwork, ComparisonCard]:
    """The network of a saved comparison model, on the CPU in evaluation mode, and its card.

    Raises:
        WeightsError: card or weights, or those of the backbone, are missing, altered, or don't fit each
            other.
    """
    from zoo.networks.siamese import comparison_from_json

    card = ComparisonCard.load(folder / COMPARISON_CARD)
    weights = read_weights(folder, card.weights_sha256)
    try:
        network = comparison_from_json(card.config).build()
        if card.backbone:
            backbone, _ = load_part(folder, card.backbone["name"], card.backbone["weights_sha256"])
            weights |= {f"{_BACKBONE}{name}": value for name, value in backbone.state_dict().items()}
        network.load_state_dict(weights)
    except (AttributeError, ConfigError, RuntimeError, TypeError) as error:
        raise misfit(folder, error) from None
    return network.eval(), card
