"""`python -m zoo.evaluate NAME… --data fer2013.csv`: measure saved models, several also as an ensemble."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.command import run_command
from zoo.data.load import add_data_arguments
from zoo.errors import ConfigError, DataError
from zoo.output import require_writable, whole_file

if TYPE_CHECKING:
    import numpy as np
    from rich.table import Table

    from zoo.data.dataset import FaceDataset, Split
    from zoo.predictor import Predictor

__all__ = ["evaluate_models", "main"]

_PARTS = ("train", "validation", "test")


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m zoo.evaluate", description=__doc__)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="name or folder of a saved model")
    add_data_arguments(parser, split_of_models=True, votes="if the models were trained with them")
    parser.add_argument(
        "--usage",
        default="validation",
        help="Training, PublicTest, PrivateTest or all; or train, validation (default) or test of the split",
    )
    parser.add_argument(
        "--tta", action="store_true", help="mean over the face, four shifts, and their mirrors"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure to a file")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:N or mps")
    options = parser.parse_args(argv)
    if options.json:
        require_writable(options.json)

    from zoo.console import face_bar, stderr, stdout
    from zoo.data.load import load_dataset
    from zoo.predictor import Predictor
    from zoo.training.device import pick_device

    device = pick_device(options.device)
    predictors = [Predictor.load(name, device=device) for name in options.models]
    dataset = load_dataset(options.data, ferplus=options.ferplus)
    for sentence in dataset.notes:
        stderr().print(sentence, style="yellow")
    split = None
    if options.usage in _PARTS:
        split, warnings = _choose_split(predictors, dataset, options.split, options.split_seed)
        for sentence in warnings:
            stderr().print(sentence, style="yellow", soft_wrap=True)
    part, rows = _rows(dataset, options.usage, split)
    with face_bar("measuring") as on_faces:
        results = evaluate_models(predictors, dataset, rows, tta=options.tta, on_faces=on_faces)
    title = f"{dataset.name}, {part}, {len(rows):,} faces{', with flips and shifts' if options.tta else ''}"
    stdout().print(_table(results, title))
    stdout().print(_class_table(results[-1]))
    if options.json:
        values = {"data": dataset.name, "usage": part, "tta": options.tta, "models": results}
        with whole_file(options.json) as file:
            file.write(json.dumps(values, indent=1) + "\n")
    return 0


def _choose_split(
    predictors: Sequence[Predictor], dataset: FaceDataset, kind: str | None, seed: int | None
) -> tuple[Split, list[str]]:
    """The split that was asked for, or else that of the models which were trained on these data.

    Args:
        kind, seed: as asked for; if both are None, nothing was.

    Returns:
        The split, and sentences on the models that may have learned from the faces that it holds out.

    Raises:
        ConfigError: nothing was asked for, and the models were trained on different splits of these data.
    """
    from zoo.data.split import make_split
    from zoo.training.pretrained import is_related, learned_apart, on_same_split, own_split

    cards = [predictor.card for predictor in predictors]
    trained = [card for card in cards if is_related(card.data, dataset)]
    asked = kind is not None or seed is not None
    if trained and not asked:
        own = trained[0].data["split"]
        kind, seed = own["kind"], own["seed"]
    chosen = make_split(dataset, kind=kind or "official", seed=seed or 0)
    apart = [card for card in trained if on_same_split(card.data, dataset, chosen)]
    strangers = ", ".join(f"{card.name} ({own_split(card)})" for card in trained if card not in apart)
    if apart and strangers and not asked:
        raise ConfigError(
            f"{', '.join(card.name for card in apart)} ({own_split(apart[0])}) and "
            f"{strangers} were trained on different splits of {dataset.name}; required: --split "
            "and --split-seed, or models of one split"
        )
    warnings = []
    if strangers:
        warnings.append(
            "trained on another split of these data, so the faces measured may be among their training "
            f"faces: {strangers}"
        )
    unknown = [
        card.name
        for card in cards
        if (card in apart or card not in trained) and not learned_apart(card.data, dataset, chosen)
    ]
    if unknown:
        warnings.append(
            "learned, or began with what had learned, from data of another name; figures are too good if "
            f"those hold faces that are measured here: {', '.join(unknown)}"
        )
    return chosen, warnings


def _rows(dataset: FaceDataset, usage: str, split: Split | None) -> tuple[str, np.ndarray]:
    """The name and rows of what is to be evaluated.

    Args:
        split: whose part `usage` is; None where that is no part.

    Raises:
        ConfigError: `usage` is no usage and no part.
        DataError: the data set has no such rows.
    """
    import numpy as np

    from zoo.data.dataset import USAGES

    if usage == "all":
        name, rows = "all rows", np.arange(len(dataset))
    elif usage in USAGES:
        name, rows = usage, dataset.rows(usage)
    elif split:
        place = _PARTS.index(usage)
        name, rows = split.names[place], (split.train, split.validation, split.test)[place]
    else:
        raise ConfigError(f"--usage is {usage!r}; required: one of {', '.join((*USAGES, 'all', *_PARTS))}")
    if not len(rows):
        present = [name for name in USAGES if len(dataset.rows(name))]
        raise DataError(
            f"{dataset.name} has no {usage} rows; required: one of {', '.join((*present, 'all', *_PARTS))}"
        )
    return name, rows


def evaluate_models(
    predictors: Sequence[Predictor],
    dataset: FaceDataset,
    rows: np.ndarray,
    *,
    tta: bool = False,
    on_faces: Callable[[int, int], object] | None = None,
) -> list[dict[str, Any]]:
    """Measure models on the same faces; two or more are also measured as one ensemble, which comes last.

    The ensemble answers with the mean of the calibrated probabilities.

    Args:
        rows: int64 (N,), at least one.
        tta: see `Predictor.logits`.
        on_faces: see `zoo.predictor.count_faces`.

    Returns:
        One entry a model: `zoo.training.evaluate.measure`, with its `name` and `faces_per_second`.

    Raises:
        DataError: a model's classes aren't those of the data set.
    """
    import numpy as np
    from scipy.special import softmax

    from zoo.predictor import VIEWS_TTA, count_faces
    from zoo.training.evaluate import calibration_error, measure

    for predictor in predictors:
        if predictor.classes != dataset.classes:
            raise DataError(
                f"{predictor.card.name} answers {', '.join(predictor.classes)}; {dataset.name} has "
                f"{', '.join(dataset.classes)}; required: the same classes in the same order"
            )
    faces, labels = np.array(dataset.faces[rows]), dataset.labels[rows]
    results: list[dict[str, Any]] = []
    raw, calibrated, seconds = [], [], 0.0
    for predictor in predictors:
        predictor.logits(faces[:64])  # the first call of a network is slower
    count_faces(predictors, len(predictors) * len(faces) * (VIEWS_TTA if tta else 1), on_faces)
    for predictor in predictors:
        started = time.perf_counter()
        logits = predictor.logits(faces, tta=tta)
        spent = time.perf_counter() - started
        temperature = predictor.card.temperature
        figures = measure(logits, labels, dataset.classes, temperature=temperature)
        results.append({"name": predictor.card.name, "faces_per_second": len(rows) / spent, **figures})
        raw.append(softmax(logits, axis=1))
        calibrated.append(softmax(logits / temperature, axis=1))
        seconds += spent
    if len(predictors) > 1:
        figures = measure(np.log(np.mean(calibrated, axis=0)), labels, dataset.classes)
        figures["ece"] = calibration_error(np.mean(raw, axis=0), labels)
        name = f"ensemble of {len(predictors)}"
        results.append({"name": name, "faces_per_second": len(rows) / seconds, **figures})
    return results


def _table(results: Sequence[dict[str, Any]], title: str) -> Table:
    from rich.table import Table

    table = Table(title=title)
    headings = ("accuracy (95% interval)", "balanced", "macro F1", "top-2", "ECE → calibrated", "faces/s")
    table.add_column("model")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        low, high = result["accuracy_interval"]
        table.add_row(
            result["name"],
            f"{result['accuracy']:.4f} ({low:.4f}–{high:.4f})",
            *(f"{result[name]:.4f}" for name in ("balanced_accuracy", "macro_f1", "top2")),
            f"{result['ece']:.4f} → {result['ece_calibrated']:.4f}",
            f"{result['faces_per_second']:,.0f}",
        )
    return table


def _class_table(result: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table(title=f"{result['name']}, by class")
    table.add_column("class")
    for heading in ("precision", "recall", "F1", "faces"):
        table.add_column(heading, justify="right")
    for name, figures in result["per_class"].items():
        shares = (f"{figures[key]:.4f}" for key in ("precision", "recall", "f1"))
        table.add_row(name, *shares, f"{figures['support']:,}")
    return table


if __name__ == "__main__":
    run_command(main)
