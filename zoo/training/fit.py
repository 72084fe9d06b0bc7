"""A finished trainer → a saved model: metrics on every part, temperature, card; knows nothing of commands."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from torch import nn

from zoo.card import Card
from zoo.data.dataset import FaceDataset, Split
from zoo.models import save_model
from zoo.networks import count
from zoo.predictor import Predictor, count_faces
from zoo.training.device import device_name
from zoo.training.evaluate import fit_temperature, measure, unsure_threshold
from zoo.training.loop import Trainer
from zoo.training.report import write_report

__all__ = ["describe_data", "measured", "measured_rows", "save_trained", "versions"]

_TRAINING_SAMPLE = 5000


def save_trained(
    folder: Path,
    trainer: Trainer,
    dataset: FaceDataset,
    split: Split,
    *,
    note: str = "",
    study: str | None = None,
    trial: int | None = None,
    pictures: bool = False,
) -> Card:
    """Measure a trained network on every part of the split, in float32, and save it as `folder`.

    The temperature and the threshold of *unsure* are fitted on the validation part. Of the training part at
    most 5,000 evenly spaced faces are measured: all of them would cost as much as most of an epoch.

    Args:
        trainer: with at least one epoch done.
        pictures: also write what `zoo.training.report.write_report` writes.

    Returns:
        The saved card.
    """
    assert trainer.best is not None
    network, cost = trainer.finish(), count(trainer.config)
    draft = Card(
        name=folder.name,
        config=trainer.config.to_json(),
        classes=dataset.classes,
        channels=trainer.config.channels,
        mean=trainer.mean,
        std=trainer.std,
        temperature=1.0,
        unsure_below=0.0,
        metrics={},
        validation=split.names[1],
        parameters=cost.parameters,
        macs=cost.macs,
        data={
            **describe_data(dataset, split),
            "soft_labels": trainer.soft_labels,
            **({"pretrained": trainer.origin} if trainer.origin else {}),
        },
        recipe=trainer.recipe.to_json(),
        history=[asdict(result) for result in trainer.history],
        epoch=trainer.best.epoch,
        seconds=round(trainer.seconds, 1),
        device=device_name(trainer.device),
        versions=versions(),
        study=study,
        trial=trial,
        note=note,
    )
    card, logits, labels = measured(draft, network, dataset, split, device=trainer.device)
    card = save_model(folder, network, card)
    if pictures:
        write_report(folder, card, logits, labels)
    return card


def measured(
    draft: Card,
    network: nn.Module,
    dataset: FaceDataset,
    split: Split,
    *,
    device: torch.device | str = "cpu",
    on_faces: Callable[[int, int], object] | None = None,
) -> tuple[Card, np.ndarray, np.ndarray]:
    """A card with the figures of every part of a split, and with the temperature and threshold fitted.

    Args:
        draft: the card of `network` without them.
        on_faces: see `zoo.predictor.count_faces`.

    Returns:
        The card; the uncalibrated logits, float32 (N, classes), and labels, int64 (N,), of validation faces.
    """
    predictor = Predictor(network, draft, device=device)
    parts = {name: rows for name, rows in zip(split.names, measured_rows(split), strict=True) if len(rows)}
    count_faces([predictor], sum(map(len, parts.values())), on_faces)
    answers = {
        name: (predictor.logits(dataset.faces[rows]), dataset.labels[rows]) for name, rows in parts.items()
    }
    logits, labels = answers[split.names[1]]
    temperature = round(fit_temperature(logits, labels), 4)
    fitted: dict[str, Any] = {
        "temperature": temperature,
        "unsure_below": unsure_threshold(softmax(logits / temperature, axis=1), labels),
        "metrics": {
            name: measure(*answer, dataset.classes, temperature=temperature)
            for name, answer in answers.items()
        },
    }
    return Card(**{**vars(draft), **fitted}), logits, labels


def describe_data(dataset: FaceDataset, split: Split) -> dict[str, Any]:
    """What a card says of the data: `name`, `drawn`, `fingerprint` and `split`."""
    sizes = [len(rows) for rows in (split.train, split.validation, split.test)]
    return {
        "name": dataset.name,
        "drawn": dataset.drawn,
        "fingerprint": dataset.fingerprint,
        "split": {
            "kind": split.kind,
            "seed": split.seed,
            "rows": dict(zip(split.names, sizes, strict=True)),
            "digest": dataset.digest(split.validation),
        },
    }


def measured_rows(split: Split) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each part the rows that `measured` measures."""
    step = -(-len(split.train) // _TRAINING_SAMPLE)
    return split.train[:: max(1, step)], split.validation, split.test


def versions() -> dict[str, str]:
    """Of Python and the libraries that a network's weights depend on."""
    libraries = ("torch", "torchvision", "numpy", "optuna")
    return {"python": platform.python_version(), **{name: version(name) for name in libraries}}
