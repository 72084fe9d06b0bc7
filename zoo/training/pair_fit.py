"""A trained comparison network → calibration, figures, baselines, saved model; knows nothing of commands."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import expit, softmax

from zoo.comparison_model import ComparisonCard, save_comparison
from zoo.data.channels import Preprocess
from zoo.data.dataset import USAGES, FaceDataset, Split
from zoo.data.pairs import Pairs, Triplets, hold_out, make_pairs, make_triplets
from zoo.data.split import make_split
from zoo.errors import DataError
from zoo.networks.comparison import ComparisonConfig, ComparisonNetwork, EmbeddingNetwork
from zoo.training.embed import embed_faces
from zoo.training.evaluate import fit_temperature
from zoo.training.pair_measure import (
    best_threshold,
    calibration_error,
    fit_probability,
    measure_pairs,
    measure_triplets,
    odd_one_out_scale,
)
from zoo.training.pairs import PairTrainer

__all__ = [
    "HELD_OUT_PAIRS",
    "PAIRS",
    "TRIPLETS",
    "Described",
    "HeldOut",
    "baselines",
    "describe_rows",
    "draw_tasks",
    "measure_part",
    "save_trained_comparison",
]

PAIRS, TRIPLETS, HELD_OUT_PAIRS = 10_000, 3_000, 6_000
"""How many pairs and triplets figures are taken from, and how many pairs of held-out rows calibrate."""


@dataclass(frozen=True)
class Described:
    """What a comparison network says of the faces of some rows.

    Attributes:
        embeddings: float32 (N, E), by row of the data set; zeros where a row was not asked for.
        logits: float32 (N, classes) of the expressions, likewise; None where the network names none.
    """

    network: ComparisonNetwork
    embeddings: np.ndarray
    logits: np.ndarray | None

    def scores(self, pairs: Pairs) -> np.ndarray:
        """Logits of *same*, float64 (P,)."""
        return self._apart(self.network.compare, pairs.first, pairs.second)

    def pair_distances(self, pairs: Pairs) -> np.ndarray:
        """The network's distances, float64 (P,)."""
        return self._apart(self.network.distance, pairs.first, pairs.second)

    def distances(self, triplets: Triplets) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the similar pair, and of its two faces from the odd one, float64 (T,) each."""
        near, far, farther = (self._apart(self.network.distance, *side) for side in _sides(triplets))
        return near, far, farther

    def _apart(self, function: Any, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            one, other = torch.from_numpy(self.embeddings[first]), torch.from_numpy(self.embeddings[second])
            found: np.ndarray = function(one, other).double().numpy()
        return found


@dataclass(frozen=True)
class HeldOut:
    """Training rows that trained nothing here, and how to find them again.

    Attributes:
        split, seed, share: see `find`; of Google's set `triplets`, and their seed and share.
        seen: the backbone was trained with these rows before.
        parts: what `find` gave; None of Google's set.
    """

    split: str
    seed: int
    share: float
    seen: bool = False
    parts: Split | None = None

    @staticmethod
    def find(dataset: FaceDataset, split: str, seed: int, share: float) -> Split:
        """The split, with a share of its training rows held out as its validation rows.

        Validation rows that were drawn, as no usage names them, are held out themselves. Of a split of
        Google's `triplets` it is a share, too, though none of these rows trained with them.
        """
        parts = make_split(dataset, kind="official" if split == "triplets" else split, seed=seed)
        if parts.names[1] != USAGES[1]:
            return parts
        train, held = hold_out(dataset, parts.train, share, seed=seed)
        return replace(parts, train=train, validation=held)

    @property
    def rows(self) -> np.ndarray:
        """int64 (H,); empty with Google's set, of which triplets are held out."""
        return np.empty(0, dtype=np.int64) if self.parts is None else self.parts.validation

    @property
    def drawn(self) -> tuple[str, int] | None:
        """Kind and seed of the split by which the rows were drawn as validation rows; None if none did."""
        if self.parts is None or self.parts.names[1] == USAGES[1]:
            return None
        return self.parts.kind, self.parts.seed


def describe_rows(
    network: ComparisonNetwork,
    dataset: FaceDataset,
    rows: np.ndarray,
    preprocess: Preprocess,
    *,
    device: torch.device | None = None,
) -> Described:
    """Embed the faces of `rows`, int64 (M,); the network ends up on the CPU."""
    device = device or torch.device("cpu")
    embeddings, logits = embed_faces(
        network.to(device), np.array(dataset.faces[rows]), preprocess.to(device), device=device
    )
    network.cpu()
    named = None
    if logits is not None:
        named = np.zeros((len(dataset), logits.shape[1]), dtype=np.float32)
        named[rows] = logits
    every = np.zeros((len(dataset), embeddings.shape[1]), dtype=np.float32)
    every[rows] = embeddings
    return Described(network, every, named)


def draw_tasks(
    dataset: FaceDataset,
    rows: np.ndarray,
    *,
    pairs: int = PAIRS,
    triplets: int = TRIPLETS,
    seed: int = 0,
) -> tuple[Pairs, Triplets | None]:
    """The pairs and triplets of some rows that figures are taken from; no triplets without votes.

    Raises:
        DataError: there are too few faces for pairs.
    """
    drawn = make_pairs(dataset, rows, count=pairs, seed=seed)
    if dataset.votes is None:
        return drawn, None
    try:
        return drawn, make_triplets(dataset, rows, count=triplets, seed=seed)
    except DataError:  # too few faces for triplets: pairs alone are still worth a figure
        return drawn, None


def measure_part(
    described: Described, pairs: Pairs, triplets: Triplets | None, *, slope: float, offset: float
) -> dict[str, Any]:
    """Figures on one part: JSON values `pairs`, with `ece` of the probabilities, and `triplets` or None."""
    scores = described.scores(pairs)
    # The threshold is where the calibrated probability is one half.
    figures = measure_pairs(scores, pairs, threshold=-offset / slope)
    figures["ece"] = calibration_error(expit(slope * scores + offset), pairs.same)
    measured = None if triplets is None else measure_triplets(*described.distances(triplets), triplets)
    return {"pairs": figures, "triplets": measured}


def baselines(
    logits: np.ndarray, temperature: float, held_out: Pairs, pairs: Pairs, triplets: Triplets | None
) -> dict[str, tuple[dict[str, Any], np.ndarray | None]]:
    """What the expressions alone give: the ways of comparing that need no comparison network.

    Args:
        logits: float (N, classes), by row of the data set.
        temperature: of the model that they are of.
        held_out: pairs that choose the threshold.
        pairs, triplets: what is measured.

    Returns:
        By name, figures as `measure_part` gives them, without `ece`, and the scores of the pairs: whether
        the two most probable expressions are equal, the dot product of the two rows of probabilities, and,
        for triplets only, their distance.
    """
    probabilities = softmax(logits.astype(np.float64) / temperature, axis=1)
    named = probabilities.argmax(axis=1)

    def dot(chosen: Pairs) -> np.ndarray:
        found: np.ndarray = (probabilities[chosen.first] * probabilities[chosen.second]).sum(axis=1)
        return found

    equal, products = (named[pairs.first] == named[pairs.second]).astype(float), dot(pairs)
    threshold = best_threshold(dot(held_out), held_out.same)
    results: dict[str, tuple[dict[str, Any], np.ndarray | None]] = {
        "same predicted expression": ({"pairs": measure_pairs(equal, pairs, threshold=0.5)}, equal),
        "dot product of probabilities": (
            {"pairs": measure_pairs(products, pairs, threshold=threshold)},
            products,
        ),
    }
    if triplets is not None:
        near, far, farther = (
            np.linalg.norm(probabilities[one] - probabilities[other], axis=1)
            for one, other in _sides(triplets)
        )
        figures = {"triplets": measure_triplets(near, far, farther, triplets)}
        results["distance of probabilities"] = (figures, None)
    return results


def _sides(triplets: Triplets) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """The similar pair, and its two faces each with the odd one."""
    first, second, odd = triplets.first, triplets.second, triplets.odd
    return (first, second), (first, odd), (second, odd)


def save_trained_comparison(
    folder: Path,
    trainer: PairTrainer,
    config: ComparisonConfig,
    held: HeldOut,
    *,
    named: bool,
    note: str = "",
    backbone: dict[str, str] | None = None,
) -> ComparisonCard:
    """Calibrate a trained network on held-out rows, measure it on all others, and save it as `folder`.

    A part with too few faces for pairs has no figures.

    Args:
        trainer: with at least one epoch done.
        named: the backbone has learned from labels, here or before, so that its classes mean something.
        backbone: the saved model that has the weights of the backbone, which were frozen; see
            `ComparisonCard`.
    """
    assert trainer.best is not None
    network, dataset = trainer.finish(), trainer.data.dataset
    preprocess = trainer.preprocess.cpu()
    held_rows, labelled = held.rows, len(held.rows) > 0
    if labelled:
        pairs, triplets = draw_tasks(dataset, held_rows, pairs=HELD_OUT_PAIRS, triplets=1_500)
    else:
        pairs, triplets = trainer.data.held_out, trainer.data.held_out_triplets
        held_rows = trainer.data.held_out_rows
    described = describe_rows(network, dataset, held_rows, preprocess, device=trainer.device)
    slope, offset = fit_probability(
        described.scores(pairs), pairs.same, faces=_count_faces(pairs.first, pairs.second)
    )
    temperature = round(float(network.temperature), 4) if isinstance(network, EmbeddingNetwork) else 1.0
    # Faces that a frozen backbone has seen would make it look too sure; it was calibrated on others.
    calibrated = trainer.objective.frozen and held.seen and isinstance(network, EmbeddingNetwork)
    if not calibrated and named and described.logits is not None and labelled:
        temperature = fit_temperature(described.logits[held_rows], dataset.labels[held_rows])
    odd_scale = None
    if triplets is not None:
        faces = _count_faces(triplets.first, triplets.second, triplets.odd)
        odd_scale = odd_one_out_scale(*described.distances(triplets), faces=faces)
    metrics: dict[str, Any] = {
        "held_out": measure_part(described, pairs, triplets, slope=slope, offset=offset)
    }
    others = {usage: dataset.rows(usage) for usage in USAGES[1:]} if labelled else {}
    if held.parts is not None:
        others.setdefault(held.parts.names[2], held.parts.test)
    for part, rows in others.items():
        try:
            tasks = draw_tasks(dataset, rows)
        except DataError:  # too few faces, or none: the trained network is still worth saving
            continue
        found = describe_rows(network, dataset, rows, preprocess, device=trainer.device)
        metrics[part] = measure_part(found, *tasks, slope=slope, offset=offset)
    cost, lists = config.cost(), zip(("pairs", "triplets"), trainer.lists, strict=True)
    card = ComparisonCard(
        name=folder.name,
        config=config.to_json(),
        classes=dataset.classes if named and described.logits is not None else (),
        mean=_floats(preprocess.mean),
        std=_floats(preprocess.std),
        slope=slope,
        offset=offset,
        temperature=temperature,
        odd_scale=odd_scale,
        metrics=metrics,
        parameters=cost.parameters,
        macs=cost.macs,
        data={
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "drawn": dataset.drawn,
            "votes": dataset.votes is not None,
            "rows": {"train": len(trainer.data.train), "held_out": len(held_rows)},
            **{name: None if entries is None else len(entries) for name, entries in lists},
            "split": {"kind": held.split, "seed": held.seed, "share": held.share},
            "held_out_seen_by_backbone": held.seen,
        },
        objective=asdict(trainer.objective),
        recipe=trainer.recipe.to_json(),
        history=[asdict(result) for result in trainer.history],
        epoch=trainer.best.epoch,
        seconds=round(sum(result.seconds for result in trainer.history), 1),
        versions={
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "torchvision", "numpy")},
        },
        note=note,
        backbone=backbone,
    )
    return save_comparison(folder, network, card)


def _count_faces(*members: np.ndarray) -> int:
    return len(np.unique(np.concatenate(members)))


def _floats(buffer: torch.Tensor) -> tuple[float, ...]:
    return tuple(round(value, 6) for value in buffer.flatten().tolist())
