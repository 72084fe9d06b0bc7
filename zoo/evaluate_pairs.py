"""`python -m zoo.evaluate_pairs NAME… --data fer2013.csv`: measure models that compare faces."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.command import run_command
from zoo.data.load import add_data_arguments
from zoo.errors import ConfigError, DataError
from zoo.output import require_writable, whole_file

if TYPE_CHECKING:
    import numpy as np
    import torch
    from rich.table import Table

    from zoo.data.dataset import FaceDataset
    from zoo.data.pairs import Pairs, Triplets

__all__ = ["figures_table", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m zoo.evaluate_pairs", description=__doc__)
    parser.add_argument(
        "models",
        nargs="*",
        metavar="MODEL",
        help="name or folder of comparison models (default: best-compare)",
    )
    add_data_arguments(parser, split=False, votes="from which triplets are drawn")
    parser.add_argument(
        "--baseline",
        metavar="MODEL",
        help="saved model whose expressions are compared, instead of each own's",
    )
    parser.add_argument("--usage", default="PublicTest", help="default: %(default)s")
    parser.add_argument("--pairs", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument("--triplets", type=int, default=3_000, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of pairs and triplets (default: %(default)s)")
    parser.add_argument(
        "--pictures", type=Path, metavar="DIR", help="write roc.png, and distances-MODEL.png for each model"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure to a file")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:N or mps")
    options = parser.parse_args(argv)
    _check(options)

    from zoo.console import stderr, stdout
    from zoo.data.load import load_dataset
    from zoo.training.device import pick_device
    from zoo.training.pair_fit import draw_tasks

    models = _places(options.models or [None])
    device = pick_device(options.device)
    dataset = load_dataset(options.data, ferplus=options.ferplus)
    for sentence in dataset.notes:
        stderr().print(sentence, style="yellow", soft_wrap=True)
    rows = _rows(dataset, options.usage)
    pairs, triplets = draw_tasks(
        dataset, rows, pairs=options.pairs, triplets=options.triplets, seed=options.seed
    )
    results: dict[str, dict[str, Any]] = {}
    scores: dict[str, np.ndarray] = {}
    with stderr().status("comparing"):
        for label, place in models.items():
            figures, found = _evaluate(label, place, options, dataset, rows, pairs, triplets, device)
            results.update(figures)
            scores.update(found)
    title = f"{dataset.name}, {options.usage}, seed {options.seed}"
    stdout().print(figures_table(results, title))
    if triplets is None:
        lacking = (
            "annotators' votes (--ferplus CSV)" if dataset.votes is None else "more faces, or fewer of them"
        )
        stderr().print(f"no triplets: they need {lacking}", style="yellow")
    else:
        stdout().print(
            "Triplets are drawn from annotators' votes; chance is 33.3%. This is not Google's FEC."
        )
    if options.pictures:
        from zoo.training.pair_pictures import save_roc

        save_roc(options.pictures / "roc.png", scores, pairs.same)
    if options.json:
        values = {
            "data": dataset.name,
            "usage": options.usage,
            "seed": options.seed,
            "pairs": pairs.fingerprint,
            "triplets": None if triplets is None else triplets.fingerprint,
            "results": results,
        }
        with whole_file(options.json) as file:
            file.write(json.dumps(values, indent=1) + "\n")
    return 0


def _check(options: argparse.Namespace) -> None:
    """See before anything is computed that the numbers can be, and that what is asked for can be written.

    Raises:
        ConfigError: something of it isn't so.
    """
    if options.pairs < 2:
        raise ConfigError(f"--pairs is {options.pairs}; required: at least 2, one same and one different")
    if options.triplets < 1:
        raise ConfigError(f"--triplets is {options.triplets}; required: at least 1")
    if not 0 <= options.seed < 2**32:
        raise ConfigError(f"--seed is {options.seed}; required: 0 to {2**32 - 1}")
    if options.json:
        require_writable(options.json)
    if options.pictures:
        try:
            options.pictures.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"--pictures is {options.pictures}: {error.strerror}; required: a folder"
            ) from None


def _places(models: Sequence[str | None]) -> dict[str, Path]:
    """The folders of models, None being the shipped one, by what figures call them.

    That is a model's name, or its place where several have that name.
    """
    from zoo.comparison_model import ComparisonCard, resolve_comparison
    from zoo.models import COMPARISON_CARD

    found = [resolve_comparison(model) for model in models]
    places = [*{place.resolve(): place for place in found}.values()]
    names = [ComparisonCard.load(place / COMPARISON_CARD).name for place in places]
    return {
        name if names.count(name) == 1 else str(place): place
        for name, place in zip(names, places, strict=True)
    }


def _rows(dataset: FaceDataset, usage: str) -> np.ndarray:
    """The rows of a usage.

    Raises:
        DataError: there are none.
    """
    from zoo.data.dataset import USAGES

    rows = dataset.rows(usage)
    if len(rows):
        return rows
    present = " or ".join(name for name in USAGES if len(dataset.rows(name)))
    needed = f"--usage {present}" if present else "data with usages, such as a folder with train/ and test/"
    raise DataError(f"{dataset.name} has no {usage} rows; required: {needed}")


def _evaluate(
    label: str,
    place: Path,
    options: argparse.Namespace,
    dataset: FaceDataset,
    rows: np.ndarray,
    pairs: Pairs,
    triplets: Triplets | None,
    device: torch.device,
) -> tuple[dict[str, dict[str, Any]], dict[str, np.ndarray]]:
    """Figures of one model and its baselines, and the scores of the pairs, by name."""
    import numpy as np

    from zoo.comparison_model import load_comparison
    from zoo.data.channels import Preprocess
    from zoo.data.pairs import make_pairs
    from zoo.predictor import Predictor
    from zoo.training.pair_fit import (
        HELD_OUT_PAIRS,
        HeldOut,
        baselines,
        describe_rows,
        measure_part,
    )

    network, card = load_comparison(place)
    preprocess = Preprocess(network.channels, card.mean, card.std)
    split = card.data["split"]
    held = HeldOut.find(dataset, split["kind"], split["seed"], split["share"]).validation
    if not len(held):
        raise DataError(f"{dataset.name} has no Training rows, which choose the baselines' thresholds")
    both = np.concatenate([held, rows])
    described = describe_rows(network, dataset, both, preprocess, device=device)
    results = {label: measure_part(described, pairs, triplets, slope=card.slope, offset=card.offset)}
    scores = {label: described.scores(pairs)}
    named, temperature, owner = described.logits if card.classes else None, card.temperature, label
    if options.baseline:
        predictor = Predictor.load(options.baseline, device=device)
        named = np.zeros((len(dataset), len(predictor.classes)), dtype=np.float32)
        temperature, owner = predictor.card.temperature, options.baseline
        faces = np.array(dataset.faces[both])
        named[both] = predictor.logits(faces) + predictor.logits(faces[:, :, ::-1])
        named /= 2
    if named is not None:
        chosen = make_pairs(dataset, held, count=HELD_OUT_PAIRS, seed=0)
        for kind, (figures, values) in baselines(named, temperature, chosen, pairs, triplets).items():
            results[f"{kind} ({owner})"] = figures
            if values is not None:
                scores[f"{kind} ({owner})"] = values
    if options.pictures:
        from zoo.training.pair_pictures import save_distances

        distances = described.pair_distances(pairs)
        file = f"distances-{label.replace('/', '-')}.png"
        save_distances(options.pictures / file, distances, pairs.same)
    return results, scores


def figures_table(results: Mapping[str, Mapping[str, Any]], title: str) -> Table:
    """One line for each way of comparing.

    Args:
        results: by name, `pairs` and `triplets` as `zoo.training.pair_fit.measure_part` gives them; either
            may be missing.
    """
    from rich.table import Table

    from zoo.data.fec import TRIPLET_TYPES

    table = Table(title=title)
    table.add_column("", overflow="fold")
    for heading in ("pair accuracy (95% interval)", "ROC-AUC (95% interval)", "ECE"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("triplets", *(f"{kind}-class" for kind in TRIPLET_TYPES)):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, figures in results.items():
        cells = [""] * 3
        if pairs := figures.get("pairs"):
            for place, key in enumerate(("accuracy", "auc")):
                low, high = pairs[f"{key}_interval"]
                cells[place] = f"{pairs[key]:.4f} ({low:.4f}–{high:.4f})"
            cells[2] = f"{pairs['ece']:.4f}" if "ece" in pairs else ""
        triplets = figures.get("triplets") or {}
        for kind in ("all", *TRIPLET_TYPES):
            cells.append(f"{triplets[kind]['accuracy']:.1%}" if kind in triplets else "")
        table.add_row(name, *cells)
    return table


if __name__ == "__main__":
    run_command(main)
