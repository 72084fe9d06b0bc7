"""`python -m zoo.train_pairs --backbone NAME --data fer2013.csv`: train a network that compares two faces."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.command import run_command
from zoo.data.load import add_data_arguments
from zoo.errors import ConfigError, DataError, WeightsError

if TYPE_CHECKING:
    from rich.console import Console
    from torch import nn

    from zoo.card import Card
    from zoo.comparison_model import ComparisonCard
    from zoo.data.channels import Preprocess
    from zoo.data.dataset import FaceDataset
    from zoo.networks.comparison import ComparisonConfig, ComparisonNetwork
    from zoo.training.pair_data import PairData
    from zoo.training.pair_fit import HeldOut
    from zoo.training.pairs import PairTrainer
    from zoo.training.recipe import Recipe

__all__ = ["main"]

_LOSSES = ("pair", "contrastive", "triplet", "both")
_DEFAULTS = {
    "split": "official",
    "split_seed": 0,
    "held_out": 0.1,
    "fec_faces": Path("data/fec/faces"),
    "size": 64,
    "hidden": 128,
    "views": 4,
}
"""Of options that are None where they aren't given."""
_FEC_HELD_OUT = 0.05


def main(argv: Sequence[str] | None = None) -> int:
    """Train; returns the exit status."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    options = _parser().parse_args(arguments)
    _check_numbers(options)

    from zoo.models import require_free, reserved

    folder = options.out or Path("models") / f"{Path(options.backbone).name}-compare"
    require_free(folder)
    with reserved(folder):
        return _run(options, arguments, folder)


def _run(options: argparse.Namespace, arguments: Sequence[str], folder: Path) -> int:
    import torch

    from zoo.console import progress_bar, stderr, stdout
    from zoo.evaluate_pairs import figures_table
    from zoo.networks.siamese import SIAMESE
    from zoo.training.checkpoint import checkpoint_beside
    from zoo.training.device import pick_device
    from zoo.training.loop import DivergedError
    from zoo.training.options import changed, choose_batch_size
    from zoo.training.pair_data import Objective
    from zoo.training.pairs import PairTrainer
    from zoo.training.session import plain_errors

    checkpoint = checkpoint_beside(folder)
    if checkpoint.exists() and not options.resume:
        raise ConfigError(
            f"{checkpoint}: an interrupted run is kept there; required: --resume to go on with it, or its "
            "removal to begin anew"
        )
    console, device = stderr(), pick_device(options.device)
    published = options.backbone in SIAMESE
    recipe = changed(_recipe(published), options.set)
    _check(options, recipe, published)
    for name, value in _DEFAULTS.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if options.epochs is not None:
        recipe = dataclasses.replace(recipe, epochs=options.epochs)
    if options.seed is not None:
        recipe = dataclasses.replace(recipe, seed=options.seed)
    data, held = _data(options, published, recipe.seed, console)
    frozen = published or options.frozen
    weight = 1.0 if options.classification is None else options.classification
    objective = Objective(
        loss=options.loss or _default_loss(options, data, published),
        classification=0.0 if frozen or data.listed else weight,
        frozen=frozen,
        views=options.views,
    )
    if not published:
        what = "list entries" if data.listed else "faces"
        size, sentence = choose_batch_size(recipe, data.epoch_size, options.set, what=what)
        if sentence:
            console.print(sentence, style="yellow", soft_wrap=True)
        recipe = dataclasses.replace(recipe, batch_size=size)
    torch.manual_seed(recipe.seed)
    try:
        with plain_errors(recipe, device):
            saved = None if published else _saved(options.backbone, data.dataset.classes)
            config, network, preprocess, seen = _network(options, saved, data, held, console)
            named = saved is not None or objective.classification > 0
            if not (published or named):
                console.print(
                    "no labels are trained with: the model will name no expressions, which zoo.compare and "
                    "the app need; with a saved model as --backbone it would",
                    style="yellow",
                    soft_wrap=True,
                )
            backbone = _link(folder, options.backbone) if options.linked else None
            with progress_bar(console) as bar:
                task = bar.add_task(
                    "features", total=None, status="of the frozen backbone", visible=objective.frozen
                )
                trainer = PairTrainer(
                    network,
                    recipe,
                    objective,
                    data,
                    preprocess,
                    device=device,
                    checkpoint=checkpoint,
                    identity={"config": config.to_json(), "backbone": backbone},
                    on_features=lambda done, total: bar.update(task, completed=done, total=total),
                )
            held = dataclasses.replace(held, seen=seen)
            card = _train(trainer, config, folder, held, backbone, console, named=named)
    except DivergedError as error:
        # The same run would only diverge again.
        checkpoint.unlink(missing_ok=True)
        rate = recipe.learning_rate
        raise ConfigError(f"{folder.name}: {error}; required: a learning_rate below {rate}") from None
    except KeyboardInterrupt:
        if checkpoint.exists():
            again = shlex.join([*arguments, *([] if options.resume else ["--resume"])])
            console.print(f"interrupted; go on with: python -m zoo.train_pairs {again}", soft_wrap=True)
        else:
            console.print("interrupted before the first epoch was done: nothing is kept")
        return 130
    checkpoint.unlink(missing_ok=True)
    for part, figures in card.metrics.items():
        stdout().print(figures_table({card.name: figures}, f"{data.dataset.name}, {part}"))
    console.print(f"saved in {folder}", soft_wrap=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m zoo.train_pairs", description=__doc__)
    parser.add_argument(
        "--backbone",
        required=True,
        metavar="NAME",
        help="saved model (its weights are the start), else published network or config file (from scratch), "
        "siamese_resnet18 or siamese_mobilenet_v3 (trained as published: frozen, on drawn pairs)",
    )
    add_data_arguments(parser)
    parser.set_defaults(split=None, split_seed=None)
    group = parser.add_argument_group("pairs")
    group.add_argument("--loss", choices=_LOSSES, help="default: triplet with annotators' votes, else pair")
    group.add_argument("--pairs", type=int, metavar="N", help="train on N drawn pairs, not sets of faces")
    group.add_argument("--triplets", type=int, metavar="N", help="train on N drawn triplets")
    group.add_argument("--fec", type=Path, metavar="CSV", help="train on Google's comparison set instead")
    group.add_argument(
        "--fec-faces", type=Path, metavar="DIR", help=f"of that set (default: {_DEFAULTS['fec_faces']})"
    )
    group.add_argument(
        "--held-out",
        type=float,
        metavar="SHARE",
        help=f"of training rows, with --split official (default: {_DEFAULTS['held_out']})",
    )
    group.add_argument("--size", type=int, help=f"of the embedding (default: {_DEFAULTS['size']})")
    group.add_argument("--hidden", type=int, help=f"before the embedding (default: {_DEFAULTS['hidden']})")
    group = parser.add_argument_group("training")
    group.add_argument("--frozen", action="store_true", help="leave the backbone as it is; train the head")
    group.add_argument(
        "--linked",
        action="store_true",
        help="with --frozen: leave the backbone's weights in its own model, which has to stay there",
    )
    group.add_argument("--views", type=int, help=f"of a face, where frozen (default: {_DEFAULTS['views']})")
    group.add_argument(
        "--classification",
        type=float,
        metavar="WEIGHT",
        help="of the labels' loss (default: 1; with --frozen, lists or siamese_… there is none)",
    )
    group.add_argument(
        "--pretrained", action="store_true", default=None, help="ImageNet weights for siamese_…"
    )
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="change a field of the recipe: optimizer=adadelta, batch_size=64, schedule=step, patience=5, …",
    )
    group.add_argument("--epochs", type=int, help="at most so many epochs")
    group.add_argument("--seed", type=int, help="of everything that is random (default: the recipe's)")
    group.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:N or mps")
    group.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    group.add_argument("--out", type=Path, metavar="FOLDER", help="default: models/NAME-compare")
    return parser


def _check_numbers(options: argparse.Namespace) -> None:
    """See that the numbers can be.

    Raises:
        ConfigError: one can't.
    """
    for name in ("pairs", "triplets"):
        if (count := getattr(options, name)) is not None and count < 1:
            raise ConfigError(f"--{name} is {count}; required: at least 1")
    if options.held_out is not None and not 0 < options.held_out < 1:
        raise ConfigError(f"--held-out is {options.held_out}; required: above 0 and below 1")
    if options.split_seed is not None and not 0 <= options.split_seed < 2**32:
        raise ConfigError(f"--split-seed is {options.split_seed}; required: 0 to {2**32 - 1}")


def _check(options: argparse.Namespace, recipe: Recipe, published: bool) -> None:
    """See that nothing is asked for that would do nothing.

    Raises:
        ConfigError: something is.
    """
    from zoo.training.pair_data import flips_at_most

    fixed = published or options.frozen
    listed = published or options.fec or options.pairs or options.triplets
    loss = options.loss or ("pair" if published else None)
    rules = (
        ("views", fixed, "a frozen backbone, whose features of so many views are computed once"),
        ("pretrained", published, "--backbone siamese_…"),
        ("fec_faces", options.fec is not None, "--fec CSV"),
        ("size hidden", not published, "another backbone than siamese_…, whose head is as published"),
        (
            "data ferplus split split_seed held_out pairs triplets",
            options.fec is None,
            "no --fec, whose set has its own faces, pairs, triplets and held-out part",
        ),
        ("held_out", options.split != "random", "--split official, as a random split holds out a tenth"),
        ("pairs", loss != "triplet", "the loss pair, contrastive or both"),
        ("triplets", loss not in ("pair", "contrastive"), "the loss triplet or both"),
    )
    for names, used, needed in rules:
        for name in names.split():
            value = getattr(options, name)
            if value is not None and not used:
                given = "" if value is True else f" {value}"
                raise ConfigError(f"--{name.replace('_', '-')}{given} would do nothing; required: {needed}")
    most = 1 + recipe.augmentation.flip
    if options.views is not None and options.views > most and flips_at_most(recipe.augmentation):
        raise ConfigError(
            f"--views is {options.views}; required: at most {most}, as the augmentation gives no more"
        )
    if published and loss == "contrastive":
        raise ConfigError(
            f"--loss contrastive needs a distance, which {options.backbone} has none of; required: --loss "
            "pair"
        )
    if options.linked and not options.frozen:
        raise ConfigError("--linked: the backbone's weights will change; required: --frozen with it")
    if options.classification is not None and (fixed or listed):
        raise ConfigError(
            f"--classification is {options.classification}; required: no such option with a frozen backbone "
            "or with lists of pairs or triplets, where no labels are trained with"
        )
    fields = ["teacher", "teacher_share", "mixup", "start_resolution", "full_resolution_from"]
    unused = dict.fromkeys(fields, "for comparison networks")
    if fixed or listed or options.classification == 0:
        unused |= dict.fromkeys(["soft_labels", "label_smoothing"], "where no labels are trained with")
    if listed:
        unused |= dict.fromkeys(["balance", "balance_strength"], "with lists of pairs or triplets")
    for name, where in unused.items():
        value, kept = getattr(recipe, name), getattr(_recipe(published), name)
        if value != kept:
            raise ConfigError(f"{name} is {value!r}; required: {kept!r} {where}")
    if recipe.balance == "weighted":
        raise ConfigError("balance is 'weighted'; required: none, oversample or undersample")


def _default_loss(options: argparse.Namespace, data: PairData, published: bool) -> str:
    if published:
        return "pair"
    if options.pairs and options.triplets:
        return "both"
    judged = data.triplets is not None or (data.dataset.votes is not None and not data.listed)
    return "triplet" if judged else "pair"


def _recipe(published: bool) -> Recipe:
    from zoo.data.augment import Augmentation
    from zoo.training.recipe import Recipe

    if published:
        # The published table: BCE, Adam 1e-3, batch 32 or 64, 20 epochs, StepLR with factor 0.1. Features of
        # a frozen network are computed once, so of its augmentation the flip is left.
        return Recipe(
            epochs=20,
            batch_size=32,
            optimizer="adam",
            learning_rate=1e-3,
            weight_decay=0.0,
            schedule="step",
            warmup_epochs=0.0,
            step_epochs=10,
            label_smoothing=0.0,
            average=0.0,
            augmentation=Augmentation(strength=0.0),
        )
    return Recipe(epochs=12, batch_size=128, learning_rate=0.03, warmup_epochs=0.5, patience=6)


def _data(
    options: argparse.Namespace, published: bool, seed: int, console: Console
) -> tuple[PairData, HeldOut]:
    """What to train with, and what is held out."""

    from zoo.data.load import load_dataset
    from zoo.data.pairs import make_pairs, make_triplets
    from zoo.training.pair_data import PairData
    from zoo.training.pair_fit import HeldOut, draw_tasks

    if options.fec:
        return _fec_data(options, seed, console), HeldOut("triplets", seed, _FEC_HELD_OUT)
    dataset = load_dataset(options.data, ferplus=options.ferplus)
    for sentence in dataset.notes:
        console.print(sentence, style="yellow", soft_wrap=True)
    split = options.split, options.split_seed, options.held_out
    parts = HeldOut.find(dataset, *split)
    for sentence in parts.notes:
        console.print(sentence, style="yellow", soft_wrap=True)
    train, held = parts.train, parts.validation
    pairs = triplets = None
    if options.pairs or published:
        # The published run had 11,000 pairs, of which 95% trained.
        pairs = make_pairs(dataset, train, count=options.pairs or 10_450, seed=seed)
    if options.triplets:
        triplets = make_triplets(dataset, train, count=options.triplets, seed=seed)
    held_out, held_out_triplets = draw_tasks(dataset, held, pairs=4_000, triplets=2_000, seed=seed)
    data = PairData(dataset, train, held_out, pairs, triplets, held_out_triplets)
    return data, HeldOut(*split, parts=parts)


def _fec_data(options: argparse.Namespace, seed: int, console: Console) -> PairData:
    """Google's comparison set: its crops as a data set without labels, some of its triplets held out."""
    import numpy as np

    from zoo.data.dataset import FaceDataset
    from zoo.data.emotions import EMOTIONS
    from zoo.data.fec import read_fec
    from zoo.data.fec_faces import load_fec_faces
    from zoo.data.pairs import fec_pairs, fec_triplets
    from zoo.training.pair_data import PairData

    table = read_fec(options.fec)
    faces, members = load_fec_faces(table, options.fec_faces)
    held = np.random.RandomState(seed).random_sample(len(table)) < _FEC_HELD_OUT
    none = np.zeros(len(faces), dtype=np.int64)
    dataset = FaceDataset(table.name, EMOTIONS, faces, none, np.full(len(faces), -1, dtype=np.int8))
    pairs, held_out = (fec_pairs(table.select(part), members[part]) for part in (~held, held))
    triplets, held_out_triplets = (fec_triplets(table.select(part), members[part]) for part in (~held, held))
    console.print(
        f"{table.name}: {len(faces)} faces, {len(pairs)} pairs, {len(held_out)} held out, whose faces other "
        "pairs may show, too",
        soft_wrap=True,
    )
    if not len(pairs) or len(set(held_out.same.tolist())) < 2:
        raise DataError(f"{table.name}: too few faces are in {options.fec_faces}; download more of them")
    train = np.unique(np.concatenate([pairs.first, pairs.second]))
    return PairData(dataset, train, held_out, pairs, triplets or None, held_out_triplets or None)


def _network(
    options: argparse.Namespace,
    saved: tuple[nn.Module, Card] | None,
    data: PairData,
    held: HeldOut,
    console: Console,
) -> tuple[ComparisonConfig, ComparisonNetwork, Preprocess, bool]:
    """Config, network, what it sees, and whether its backbone has seen the held-out rows before."""
    import numpy as np
    import torch

    from zoo.data.channels import Preprocess, channel_statistics
    from zoo.networks.comparison import EmbeddingConfig
    from zoo.networks.siamese import SIAMESE, load_imagenet_weights

    dataset = data.dataset
    if options.backbone in SIAMESE:
        siamese = SIAMESE[options.backbone]
        published = siamese.build()
        if options.pretrained:
            try:
                load_imagenet_weights(published)
            except WeightsError as error:
                console.print(f"{error}: random frozen weights instead", style="yellow", soft_wrap=True)
        else:
            console.print("--pretrained isn't given: the frozen weights are random", style="yellow")
        return siamese, published, Preprocess(("gray",), (0.0,), (1.0,)), False

    from zoo.networks import config_from_json
    from zoo.training.options import choose_network

    backbone = config_from_json(saved[1].config) if saved else choose_network(options.backbone)[1]
    backbone = dataclasses.replace(backbone, classes=len(dataset.classes))
    config = EmbeddingConfig(backbone, size=options.size, hidden=options.hidden)
    network = config.build()
    # Google's set has no labels: its classes count as equally frequent.
    labels = np.arange(len(dataset.classes)) if options.fec else dataset.labels[data.train]
    shares = torch.bincount(torch.from_numpy(labels), minlength=len(dataset.classes)) / len(labels)
    network.know_training(shares)
    if saved is None:
        if options.frozen:
            raise ConfigError(
                f"--frozen: {options.backbone} has no weights to leave as they are; required: a saved model"
            )
        console.print(f"{options.backbone} is trained from scratch", style="yellow")
        statistics = channel_statistics(dataset.faces, backbone.channels, rows=data.train)
        return config, network, Preprocess(backbone.channels, *statistics), bool(options.fec)
    trained, card = saved
    network.backbone.load_state_dict(trained.state_dict())
    network.know_training(shares, card.temperature)
    seen = bool(options.fec) or _seen(card.data, dataset, held.drawn)
    if seen and not options.fec:
        console.print(
            f"{card.name} was trained with held-out faces, so what is fitted to them is too sure; a backbone "
            "trained on the same data, --ferplus included, with --split random, and --split random here, "
            "avoids that",
            style="yellow",
            soft_wrap=True,
        )
    return config, network, Preprocess(card.channels, card.mean, card.std), seen


def _saved(backbone: str, classes: tuple[str, ...]) -> tuple[nn.Module, Card] | None:
    """The saved model of that name, which comes before a published network of the same name.

    Raises:
        ConfigError: it has other classes, or is an ensemble.
    """
    from zoo.models import is_ensemble, load_model, resolve

    try:
        folder = resolve(backbone)
    except WeightsError:
        return None
    network, card = load_model(folder)
    if is_ensemble(card):
        raise ConfigError(f"--backbone {backbone} is an ensemble; required: one network, which has features")
    if card.classes != classes:
        raise ConfigError(
            f"--backbone {backbone} answers {', '.join(card.classes)}; required: the classes of the data, "
            f"{', '.join(classes)}, in the same order"
        )
    return network, card


def _seen(data: dict[str, Any], dataset: FaceDataset, split_key: tuple[str, int] | None) -> bool:
    """Whether a backbone, or the model that it began with, may have been trained with the held-out faces.

    Votes change a fingerprint, as they drop rows, and with it what a split draws; FER2013 goes by several
    names. So of the same or of such data only an equal split of equal rows has not been seen.

    Args:
        data: the field of the model's card.
    """
    from zoo.card import is_fer2013
    from zoo.training.pretrained import is_related

    split = data["split"]
    equal = data["fingerprint"] == dataset.fingerprint
    known = is_related(data, dataset) or (is_fer2013(data["name"]) and is_fer2013(dataset.name))
    before = data.get("pretrained", {}).get("data")
    if before is not None and _seen(before, dataset, split_key):
        return True
    return known and not (equal and (split["kind"], split["seed"]) == split_key)


def _train(
    trainer: PairTrainer,
    config: ComparisonConfig,
    folder: Path,
    held: HeldOut,
    backbone: dict[str, str] | None,
    console: Console,
    *,
    named: bool,
) -> ComparisonCard:
    from zoo.console import progress_bar
    from zoo.training.pair_fit import save_trained_comparison

    epochs = trainer.recipe.epochs
    with progress_bar(console) as bar:
        task = bar.add_task(folder.name, total=epochs, completed=len(trainer.history), status="")
        for result in trainer.epochs():
            status = f"pairs: AUC {result.auc:.4f}, accuracy {result.accuracy:.4f}"
            if result.triplets is not None:
                status += f"; triplets {result.triplets:.1%}"
            bar.update(task, completed=result.epoch, status=status)
            if not console.is_terminal:
                left = (epochs - result.epoch) * result.seconds / 60
                console.print(
                    f"epoch {result.epoch}/{epochs}  loss {result.train_loss:.4f}, held out "
                    f"{result.loss:.4f}  {status}  {result.seconds:.0f} s, about {left:.0f} min left",
                    soft_wrap=True,
                )
    return save_trained_comparison(
        folder, trainer, config, held, named=named, note=_note(trainer), backbone=backbone
    )


def _link(folder: Path, backbone: str) -> dict[str, str]:
    """What a card says of the model that has the backbone's weights.

    Raises:
        WeightsError: it can't be found from the comparison model's folder.
    """
    from zoo.card import Card
    from zoo.models import CARD, load_part, resolve

    place = resolve(backbone).resolve()
    digest = Card.load(place / CARD).weights_sha256
    load_part(folder, place.name, digest)
    return {"name": place.name, "weights_sha256": digest}


def _note(trainer: PairTrainer) -> str:
    objective = trainer.objective
    return f"Trained with the {objective.loss} loss{', the backbone frozen' if objective.frozen else ''}."


if __name__ == "__main__":
    run_command(main)
