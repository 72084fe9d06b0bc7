"""`python -m zoo.ensemble NAME…`: save several models as one, which answers with their mean probability."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from zoo.command import run_command
from zoo.data.load import add_data_arguments
from zoo.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    from torch import nn

    from zoo.card import Card
    from zoo.data.dataset import FaceDataset

__all__ = ["Member", "choose_members", "load_members", "main", "make_ensemble"]


def main(argv: Sequence[str] | None = None) -> int:
    """Make an ensemble; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m zoo.ensemble",
        description=f"{__doc__} The weights stay where they are: an ensemble has a card of its own only, and "
        "finds its members by name, beside itself first.",
    )
    parser.add_argument("models", nargs="+", metavar="MODEL", help="name or folder of a saved model")
    parser.add_argument("--flip", action="store_true", help="ask them of each face's mirror image, too")
    parser.add_argument(
        "--choose",
        type=int,
        metavar="N",
        help="of the models, take those, at most N, that are most accurate together on the validation faces",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("models/ensemble"), metavar="FOLDER", help="default: %(default)s"
    )
    add_data_arguments(parser, split=False, votes="if the models were trained with them")
    options = parser.parse_args(argv)

    from zoo.console import face_bar, stderr, stdout
    from zoo.data.load import load_dataset
    from zoo.models import require_free

    require_free(options.out)
    members = load_members(options.models, options.out)
    dataset = load_dataset(options.data, ferplus=options.ferplus)
    for sentence in dataset.notes:
        stderr().print(sentence, style="yellow", soft_wrap=True)
    flip, origin = options.flip, ""
    if options.choose is not None:
        candidates = ", ".join(member.name for member in members)
        with face_bar("choosing") as on_faces:
            members, tried = choose_members(
                members, dataset, most=options.choose, flip=flip, on_faces=on_faces
            )
        origin = f" Chosen out of {tried:,} combinations of {candidates}."
    with face_bar("measuring") as on_faces:
        card = make_ensemble(members, dataset, options.out, flip=flip, origin=origin, on_faces=on_faces)
    figures = card.metrics[card.validation]
    low, high = figures["accuracy_interval"]
    stdout().print(
        f"{options.out}: {', '.join(card.config['members'])}; {card.validation} accuracy "
        f"{figures['accuracy']:.4f} ({low:.4f}–{high:.4f}), macro F1 {figures['macro_f1']:.4f}",
        soft_wrap=True,
    )
    return 0


class Member(NamedTuple):
    """A model that an ensemble has, or may have, by the name that the ensemble finds it by."""

    name: str
    network: nn.Module
    card: Card


def load_members(models: Sequence[str], folder: Path) -> list[Member]:
    """Load models, and see that an ensemble would find each of them by its name.

    Args:
        models: names or folders, each once.
        folder: of the ensemble, which needn't exist yet; its name is the ensemble's name.

    Raises:
        ConfigError: two are of one name, or one has the ensemble's.
        WeightsError: there is no such model, it was altered, or its name finds another one from the
            ensemble's folder.
    """
    from zoo.card import Card
    from zoo.models import CARD, load_part, resolve

    places = [resolve(name).resolve() for name in models]
    names = [place.name for place in places]
    if len({*names, folder.name}) <= len(names):
        raise ConfigError(
            f"members are {', '.join(names)}; required: each model once, and none called {folder.name}"
        )
    members = []
    for name, place in zip(names, places, strict=True):
        try:
            loaded = load_part(folder, name, Card.load(place / CARD).weights_sha256)
        except WeightsError as error:
            raise WeightsError(
                f"{folder} would not find its member {place} ({error}); required: the ensemble beside it"
            ) from None
        members.append(Member(name, *loaded))
    return members


def choose_members(
    members: Sequence[Member],
    dataset: FaceDataset,
    *,
    most: int,
    flip: bool,
    on_faces: Callable[[int, int], object] | None = None,
) -> tuple[list[Member], int]:
    """Try all combinations of some models on the validation faces of the split that they share.

    Args:
        members, dataset, flip, on_faces: see `make_ensemble`.
        most: models in a combination.

    Returns:
        The combination whose mean probability is most accurate, of several the one of the fewest models; and
        how many were tried.

    Raises:
        ConfigError: see `make_ensemble`; `most` is less than an ensemble needs.
    """
    import numpy as np

    from zoo.predictor import Predictor, count_faces
    from zoo.training.pretrained import shared_split

    least = 1 if flip else 2
    if not least <= most <= len(members):
        raise ConfigError(
            f"at most {most} members; required: {least} at least, and at most the {len(members)} models"
        )
    predictors = [Predictor(member.network, member.card) for member in members]
    rows = shared_split([member.card for member in members], dataset).validation
    faces, labels = dataset.faces[rows], dataset.labels[rows]
    views = [faces, np.ascontiguousarray(faces[:, :, ::-1])] if flip else [faces]
    count_faces(predictors, len(predictors) * len(views) * len(faces), on_faces)
    answers = np.stack(
        [np.mean([predictor.probabilities(view) for view in views], axis=0) for predictor in predictors]
    )
    tried = [
        list(places)
        for size in range(least, most + 1)
        for places in itertools.combinations(range(len(members)), size)
    ]
    right = [np.count_nonzero(answers[places].sum(axis=0).argmax(axis=1) == labels) for places in tried]
    return [members[place] for place in tried[int(np.argmax(right))]], len(tried)


def make_ensemble(
    members: Sequence[Member],
    dataset: FaceDataset,
    folder: Path,
    *,
    flip: bool,
    origin: str = "",
    on_faces: Callable[[int, int], object] | None = None,
) -> Card:
    """Measure an ensemble on every part of the split that its members share, and save its card.

    Args:
        members: of `load_members` for this folder.
        dataset: what the members were trained on.
        folder: of the ensemble; its name is the ensemble's name.
        flip: they are asked of each face's mirror image, too.
        origin: what the card's note adds.
        on_faces: see `zoo.predictor.count_faces`.

    Returns:
        The saved card.

    Raises:
        ConfigError: the members' data, split or classes differ, or aren't those of `dataset`; there are too
            few of them.
    """
    from zoo.card import Card
    from zoo.models import join_models, save_ensemble
    from zoo.networks.ensemble import EnsembleConfig
    from zoo.training.fit import describe_data, measured, versions
    from zoo.training.pretrained import shared_split
    from zoo.training.report import write_report

    names, cards = [member.name for member in members], [member.card for member in members]
    split = shared_split(cards, dataset)
    config = EnsembleConfig(
        classes=len(dataset.classes),
        members=tuple(names),
        digests=tuple(card.weights_sha256 for card in cards),
        flip=flip,
    )
    draft = Card(
        name=folder.name,
        config=config.to_json(),
        classes=dataset.classes,
        channels=config.channels,
        mean=(0.0,),
        std=(1.0,),
        temperature=1.0,
        unsure_below=0.0,
        metrics={},
        validation=split.names[1],
        parameters=sum(card.parameters for card in cards),
        macs=sum(card.macs for card in cards) * (2 if flip else 1),
        data={
            **describe_data(dataset, split),
            "soft_labels": any(card.data.get("soft_labels") for card in cards),
            "members": [card.data for card in cards],
        },
        recipe={},
        history=[],
        epoch=0,
        seconds=round(sum(card.seconds for card in cards), 1),
        versions=versions(),
        note=f"The mean probability of {', '.join(names)}"
        f"{', of faces and mirror images' if flip else ''}.{origin}",
    )
    network = join_models([(member.network, member.card) for member in members], flip=flip)
    card, logits, labels = measured(draft, network, dataset, split, on_faces=on_faces)
    card = save_ensemble(folder, card)
    write_report(folder, card, logits, labels)
    return card


if __name__ == "__main__":
    run_command(main)
