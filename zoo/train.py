"""`python -m zoo.train NAME --data fer2013.csv`: train one network and save it with its card and pictures."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.command import parse_seconds, run_command
from zoo.data.load import add_data_arguments
from zoo.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    import torch
    from rich.console import Console
    from rich.table import Table

    from zoo.card import Card
    from zoo.data.dataset import FaceDataset, Split
    from zoo.networks import NetworkConfig
    from zoo.training.pretrained import Saved, Start
    from zoo.training.recipe import Recipe

__all__ = ["main"]

_IMAGENET = "imagenet"


def main(argv: Sequence[str] | None = None) -> int:
    """Train; returns the exit status."""
    begun = time.monotonic()
    arguments = sys.argv[1:] if argv is None else list(argv)
    options = _parser().parse_args(arguments)
    if options.repeats < 1:
        raise ConfigError(f"--repeats is {options.repeats}; required: at least 1")
    deadline = None if options.timeout is None else begun + parse_seconds(options.timeout)

    from zoo.console import stderr, stdout
    from zoo.data.load import load_dataset
    from zoo.data.split import make_split
    from zoo.models import require_free
    from zoo.networks import config_from_json
    from zoo.training.device import pick_device
    from zoo.training.options import changed, choose_batch_size, choose_network, choose_recipe
    from zoo.training.pretrained import saved_network
    from zoo.training.recipe import Recipe

    label, config, own = choose_network(options.name)
    saved = None if options.pretrained in (None, _IMAGENET) else saved_network(options.pretrained)
    if saved:
        own = Recipe.from_json(saved.card.recipe)
        if saved.name == options.name:  # a published network's, too
            config = config_from_json(saved.card.config)
    config = changed(config, options.network)
    kind = options.recipe or ("fine_tuning" if saved else "best")
    recipe = choose_recipe(kind, label.removesuffix("-again"), own)
    if saved:
        label = f"{label.removesuffix('-again')}-tuned"
    if options.ferplus:
        recipe = dataclasses.replace(recipe, soft_labels=True)
    recipe = changed(recipe, options.set)
    if options.epochs is not None:
        recipe = dataclasses.replace(recipe, epochs=options.epochs)
    if options.seed is not None:
        recipe = dataclasses.replace(recipe, seed=options.seed)
    out = options.out or Path("models") / label
    require_free(out, resuming=True)
    seeds = range(recipe.seed, recipe.seed + options.repeats)
    recipes = [dataclasses.replace(recipe, seed=seed) for seed in seeds]
    folders = [out] if len(seeds) == 1 else [out.with_name(f"{out.name}-seed{seed}") for seed in seeds]
    for folder in folders:
        require_free(folder, resuming=options.resume)
    device = pick_device(options.device)
    dataset = load_dataset(options.data, ferplus=options.ferplus)
    split = make_split(dataset, kind=options.split, seed=options.split_seed)
    config = dataclasses.replace(config, classes=len(dataset.classes))
    console = stderr()
    for sentence in (*dataset.notes, *split.notes):
        console.print(sentence, style="yellow")
    size, sentence = choose_batch_size(recipe, len(split.train), options.set)
    # A recipe that somebody chose, or that trained this network before, is kept as it is.
    if sentence and (kind == "fine_tuning" or (kind == "best" and not own)):
        console.print(sentence, style="yellow", soft_wrap=True)
        recipes = [dataclasses.replace(seeded, batch_size=size) for seeded in recipes]

    start = f", begun with the weights of {saved.name}" if saved else ""
    note = f"{label}, {Path(kind).stem} recipe{start}"
    cards: list[Card] = []
    for number, (folder, seeded) in enumerate(zip(folders, recipes, strict=True)):
        if deadline is None:
            until = None
        else:  # an equal share of the time that is left
            until = (now := time.monotonic()) + (deadline - now) / (len(folders) - number)
        run = _Run(
            config,
            seeded,
            dataset,
            split,
            folder=folder,
            device=device,
            saved=saved,
            imagenet=options.pretrained == _IMAGENET,
            note=note,
            deadline=until,
        )
        try:
            cards.append(run.train(console, resume=options.resume))
        except KeyboardInterrupt:
            if run.checkpoint.exists() or cards:
                again = shlex.join([*arguments, *([] if options.resume else ["--resume"])])
                console.print(f"interrupted; go on with: python -m zoo.train {again}", soft_wrap=True)
            else:
                console.print("interrupted before the first epoch was done: nothing is kept")
            return 130
        stdout().print(_parts_table(cards[-1]))
        console.print(f"saved in {run.folder}", soft_wrap=True)
    if options.repeats > 1:
        stdout().print(_repeats_table(label, cards))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m zoo.train", description=__doc__)
    parser.add_argument("name", help="published network (see zoo.list), saved model, or config file (JSON)")
    add_data_arguments(parser)
    group = parser.add_argument_group("training")
    group.add_argument(
        "--recipe",
        help="best (default; of a saved model its own), published, fine_tuning (default with --pretrained "
        "MODEL), or a file (JSON)",
    )
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="change a field of the recipe, such as learning_rate=0.01 or augmentation.erase=0",
    )
    group.add_argument(
        "--network",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="change a field of the network, such as activation=gelu or final_softmax=true",
    )
    group.add_argument("--epochs", type=int, help="at most so many epochs")
    group.add_argument(
        "--timeout",
        metavar="TIME",
        help="for everything: 90s, 60m, 1h30m; the schedule is for the epochs that fit, at most --epochs",
    )
    group.add_argument("--seed", type=int, help="of everything that is random (default: the recipe's)")
    group.add_argument("--repeats", type=int, default=1, metavar="N", help="train N seeds; mean ± deviation")
    group.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:N or mps")
    group.add_argument(
        "--pretrained",
        nargs="?",
        const=_IMAGENET,
        metavar="MODEL",
        help="begin with the weights of a saved model; without a MODEL, with those of ImageNet (resnet101, "
        "vit)",
    )
    group.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    group.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="of the model (default: models/NAME; of a saved model NAME-again, with --pretrained NAME-tuned, "
        "with --repeats NAME-seedN)",
    )
    return parser


@dataclasses.dataclass(frozen=True)
class _Run:
    """One network to be trained, and what the person who waits sees: a bar, or one line an epoch in a log."""

    config: NetworkConfig
    recipe: Recipe
    dataset: FaceDataset
    split: Split
    folder: Path
    device: torch.device
    saved: Saved | None
    imagenet: bool
    note: str
    deadline: float | None

    @property
    def checkpoint(self) -> Path:
        from zoo.training.checkpoint import checkpoint_beside

        return checkpoint_beside(self.folder)

    def train(self, console: Console, *, resume: bool) -> Card:
        from zoo.models import reserved

        with reserved(self.folder):
            return self._train(console, resume=resume)

    def _train(self, console: Console, *, resume: bool) -> Card:
        from zoo.console import progress_bar
        from zoo.data.dataset import FACE_SIZE
        from zoo.models import require_free
        from zoo.training.loop import DivergedError, EpochResult
        from zoo.training.session import train_and_save

        start = self._start(console)
        finished = self._finished(start) if resume else None
        if finished:
            console.print(f"{self.folder} is finished already")
            return finished
        if self.checkpoint.exists() and not resume:
            raise ConfigError(
                f"{self.checkpoint}: an interrupted run is kept there; required: --resume to go on with it, "
                "or its removal to begin anew"
            )
        if not self.checkpoint.exists():
            require_free(self.folder)
        with progress_bar(console) as bar:
            task = bar.add_task(self.folder.name, total=self.recipe.epochs, status="")

            def on_epoch(result: EpochResult, planned: int, left: float) -> None:
                status = f"accuracy {result.accuracy:.4f}"
                ends = time.monotonic() + left
                bar.update(task, completed=result.epoch, total=planned, status=status, ends=ends)
                if not console.is_terminal:
                    size = f" at {result.resolution} px" if result.resolution < FACE_SIZE else ""
                    console.print(
                        f"epoch {result.epoch}/{planned}{size}  loss {result.train_loss:.4f}, "
                        f"validation {result.loss:.4f}  {status}  macro F1 {result.macro_f1:.4f}  "
                        f"{result.seconds:.0f} s, about {left / 60:.0f} min left",
                        soft_wrap=True,
                    )

            try:
                return train_and_save(
                    self.config,
                    self.recipe,
                    self.dataset,
                    self.split,
                    self.folder,
                    device=self.device,
                    checkpoint=self.checkpoint,
                    on_epoch=on_epoch,
                    on_step=lambda done: bar.update(task, completed=done),
                    start=start,
                    note=self.note,
                    deadline=self.deadline,
                )
            except DivergedError as error:
                # The same run would only diverge again.
                self.checkpoint.unlink(missing_ok=True)
                rate = self.recipe.learning_rate
                raise ConfigError(
                    f"{self.folder.name}: {error}; required: a learning_rate below {rate}"
                ) from None

    def _finished(self, start: Start | None) -> Card | None:
        """The card of the same run, if it came to its end before."""
        from zoo.card import Card
        from zoo.models import CARD

        if self.checkpoint.exists() or not (self.folder / CARD).is_file():
            return None
        card = Card.load(self.folder / CARD)
        data = card.data
        kept = (data["fingerprint"], data["split"]["kind"], data["split"]["seed"], data.get("pretrained"))
        asked = (self.dataset.fingerprint, self.split.kind, self.split.seed, start.origin if start else None)
        recipe = self.recipe.to_json()
        if self.deadline is not None:  # which may have shortened the schedule
            recipe["epochs"] = min(recipe["epochs"], card.recipe["epochs"])
        same = (card.config, card.recipe) == (self.config.to_json(), recipe)
        return card if same and kept == asked else None

    def _start(self, console: Console) -> Start | None:
        from zoo.networks.imagenet import imagenet_start
        from zoo.training.pretrained import Start, saved_start

        if self.saved:
            start = saved_start(self.saved, self.config, self.dataset, self.split, seed=self.recipe.seed)
            for sentence in start.notes:
                console.print(sentence, style="yellow", soft_wrap=True)
            return start
        if not self.imagenet:
            return None
        try:
            return Start(imagenet_start(self.config, seed=self.recipe.seed), {"model": _IMAGENET})
        except WeightsError as error:
            console.print(f"{error}: training from scratch instead", style="yellow", soft_wrap=True)
            return None


def _parts_table(card: Card) -> Table:
    from rich.table import Table

    table = Table(title=f"{card.name}: epoch {card.epoch}, {card.seconds / 60:.1f} minutes")
    for heading in (
        "part",
        "faces",
        "accuracy (95% interval)",
        "balanced",
        "macro F1",
        "top-2",
        "ECE → calibrated",
    ):
        table.add_column(heading, justify="left" if heading == "part" else "right", no_wrap=True)
    for part, metrics in card.metrics.items():
        low, high = metrics["accuracy_interval"]
        table.add_row(
            part,
            f"{metrics['faces']:,}",
            f"{metrics['accuracy']:.4f} ({low:.4f}–{high:.4f})",
            *(f"{metrics[name]:.4f}" for name in ("balanced_accuracy", "macro_f1", "top2")),
            f"{metrics['ece']:.4f} → {metrics['ece_calibrated']:.4f}",
        )
    return table


def _repeats_table(label: str, cards: Sequence[Card]) -> Table:
    from rich.table import Table

    names = ("accuracy", "balanced_accuracy", "macro_f1", "top2")
    table = Table("part", *names, title=f"{label}: mean ± standard deviation of {len(cards)} seeds")
    for part in cards[0].metrics:
        values = ([card.metrics[part][name] for card in cards] for name in names)
        table.add_row(part, *(f"{statistics.mean(v):.4f} ± {statistics.stdev(v):.4f}" for v in values))
    return table


if __name__ == "__main__":
    run_command(main)
