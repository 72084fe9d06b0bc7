"""`python -m zoo.halve NAME --data fer2013.csv`: save a model again in half the space, and measure it."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.command import run_command
from zoo.data.load import add_data_arguments
from zoo.errors import ConfigError

if TYPE_CHECKING:
    from zoo.card import Card
    from zoo.data.dataset import FaceDataset

__all__ = ["halve_model", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Halve; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m zoo.halve",
        description=f"{__doc__} Kernels and matrices are rounded to float16 in the file; in use they are "
        "float32 as ever, so that it neither computes faster nor takes less memory.",
    )
    parser.add_argument("model", metavar="MODEL", help="name or folder of a saved model")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="default: models/MODEL-half")
    add_data_arguments(parser, split=False, votes="if the model was trained with them")
    options = parser.parse_args(argv)

    from zoo.console import face_bar, stderr, stdout
    from zoo.data.load import load_dataset
    from zoo.models import MODELS, WEIGHTS, require_free, resolve

    place = resolve(options.model)
    folder = options.out or MODELS / f"{place.resolve().name}-half"
    require_free(folder)
    dataset = load_dataset(options.data, ferplus=options.ferplus)
    for sentence in dataset.notes:
        stderr().print(sentence, style="yellow", soft_wrap=True)
    with face_bar("measuring") as on_faces:
        before, after = halve_model(place, dataset, folder, on_faces=on_faces)
    sizes = [(each / WEIGHTS).stat().st_size / 2**20 for each in (place, folder)]
    figures = [card.metrics[card.validation] for card in (before, after)]
    low, high = figures[1]["accuracy_interval"]
    stdout().print(
        f"{folder}: {sizes[1]:.1f} MiB of {sizes[0]:.1f}; {after.validation} accuracy "
        f"{figures[1]['accuracy']:.4f} ({low:.4f}–{high:.4f}), before {figures[0]['accuracy']:.4f}",
        soft_wrap=True,
    )
    return 0


def halve_model(
    place: Path,
    dataset: FaceDataset,
    folder: Path,
    *,
    on_faces: Callable[[int, int], object] | None = None,
) -> tuple[Card, Card]:
    """Save a model with its kernels and matrices in float16, measured as they are then.

    Args:
        place: folder of the model.
        dataset: what it was trained on.
        folder: of the model to be; its name is that model's name.
        on_faces: see `zoo.predictor.count_faces`.

    Returns:
        The cards of both.

    Raises:
        ConfigError: the model is an ensemble, or was trained on other data.
        WeightsError: it was altered, or has numbers that float16 hasn't.
    """
    from zoo.models import halved, is_ensemble, load_model, save_model
    from zoo.training.fit import describe_data, measured
    from zoo.training.pretrained import shared_split
    from zoo.training.report import write_report

    network, before = load_model(place)
    if is_ensemble(before):
        raise ConfigError(f"{place} is an ensemble, whose networks have weights; required: one network")
    split = shared_split([before], dataset)
    network.load_state_dict(halved(network.state_dict()))
    note = ". ".join(filter(None, (before.note.rstrip("."), "Its weights are stored in half precision.")))
    # What the weights learned from stays; the rows are those that are measured.
    data = {**before.data, "split": describe_data(dataset, split)["split"]}
    draft = dataclasses.replace(before, name=folder.name, note=note, data=data, validation=split.names[1])
    after, logits, labels = measured(draft, network, dataset, split, on_faces=on_faces)
    after = save_model(folder, network, after, half=True)
    write_report(folder, after, logits, labels)
    return before, after


if __name__ == "__main__":
    run_command(main)
