"""`python -m search.export STUDY --top K`: train a study's best configurations in full and save them."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import itertools
import json
import math
import queue
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.command import run_command

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from optuna.trial import FrozenTrial
    from rich.console import Console

    from search.settings import StudySettings
    from search.study import Places
    from search.table import StudyTable
    from zoo.card import Card
    from zoo.training.recipe import Recipe

__all__ = ["ExportTask", "export_trials", "main", "top_trials", "train_trial"]

FINAL_EPOCHS = 60
FINAL_EPOCHS_DRAWN = 20
_MOST_DEATHS = 3


@dataclass(frozen=True)
class ExportTask:
    """One network to be trained in full, picklable.

    Attributes:
        trial: its number in the study.
        recipe: JSON form of the `Recipe` to train by.
        folder: of the model.
        deadline: `time.time()` by which the model is saved, or None.
        progress: a queue of (trial, epochs done, epochs planned, what to say of it); without any epoch
            planned, why the training has failed.
    """

    places: Places
    trial: int
    recipe: dict[str, Any]
    folder: Path
    data: Path | None
    ferplus: Path | None
    device: str
    threads: int
    deadline: float | None
    progress: Any


def top_trials(table: StudyTable, count: int) -> list[FrozenTrial]:
    """The best trials, as `StudyTable.ranked` has them; no configuration twice.

    Ahead of complete ones come the interrupted ones that were better than all of them, as a deadline
    interrupts the trials that pruning let go on; but none whose continuation has ended.
    """
    from search.recovery import PROPOSAL

    distinct: dict[str, FrozenTrial] = {}
    for trial in map(table.trial, [*_cut_ahead(table), *table.ranked]):
        if "recipe" in trial.user_attrs:
            distinct.setdefault(trial.user_attrs[PROPOSAL], trial)
    return list(distinct.values())[:count]


def _cut_ahead(table: StudyTable) -> list[int]:
    """Numbers of the interrupted trials that were better than all complete ones, the best first."""
    from search.recovery import INTERRUPTED, PROPOSAL

    rows = table.rows
    proposals = {number: table.trial(number).user_attrs.get(PROPOSAL) for number in map(int, rows.index)}
    ended = {proposals[number] for number in rows.index[rows.outcome.isin(("complete", "pruned"))]}
    cut = rows[(rows.reason == INTERRUPTED) & (rows.accuracy > table.complete.accuracy.max())]
    cut = cut.sort_values(["accuracy", "macs"], ascending=[False, True])
    return [int(number) for number in cut.index if proposals[number] not in ended]


def train_trial(task: ExportTask, errors: Connection | None = None) -> None:
    """Train one trial's configuration in full and save it; the target of a process.

    Args:
        errors: see `search.child.guard`.
    """
    from search.child import guard
    from search.storage import storage_errors

    def body() -> None:
        with storage_errors(task.places):
            _train_trial(task)

    guard(body, errors)


def _train_trial(task: ExportTask) -> None:
    import torch

    from search.storage import PATIENCE_SECONDS, Patience, open_storage
    from search.study import load_study, quiet_optuna, split_of
    from zoo.data import load_dataset
    from zoo.errors import DeviceError
    from zoo.networks import config_from_json
    from zoo.training.device import pick_device
    from zoo.training.loop import DivergedError, EpochResult, OtherRunError
    from zoo.training.recipe import Recipe
    from zoo.training.session import train_and_save

    quiet_optuna()
    torch.set_num_threads(task.threads)
    # A SQLite file is only read, as it is.
    patience = Patience(PATIENCE_SECONDS) if task.places.sqlite_file() is None else None
    study = load_study(task.places, storage=open_storage(task.places, patience=patience))
    trial = study.get_trials(deepcopy=False)[task.trial]
    dataset = load_dataset(task.data, ferplus=task.ferplus)
    split = split_of(study, dataset)
    recipe = Recipe.from_json(task.recipe)
    checkpoint = _checkpoint(task.places, trial, recipe, dataset.fingerprint)

    def told(result: EpochResult, planned: int, left: float) -> None:
        task.progress.put((task.trial, result.epoch, planned, f"accuracy {result.accuracy:.4f}"))

    def train() -> None:
        train_and_save(
            config_from_json(trial.user_attrs["config"]),
            recipe,
            dataset,
            split,
            task.folder,
            device=pick_device(task.device),
            checkpoint=checkpoint,
            on_epoch=told,
            deadline=None if task.deadline is None else time.monotonic() + task.deadline - time.time(),
            note=f"Found by study {study.study_name}, trial {trial.number}; trained in full.",
            study=study.study_name,
            trial=trial.number,
        )

    try:
        try:
            train()
        except OtherRunError:
            # Of a teacher that has changed since, or of an earlier study of this name with another split.
            checkpoint.unlink()
            train()
    except DivergedError as error:
        # The same run would only diverge again.
        checkpoint.unlink(missing_ok=True)
        task.progress.put((task.trial, 0, 0, str(error)))
    except DeviceError as error:
        task.progress.put((task.trial, 0, 0, str(error)))


def export_trials(
    places: Places,
    trials: Sequence[FrozenTrial],
    settings: StudySettings,
    *,
    data: Path | None,
    ferplus: Path | None,
    device: str,
    workers: int,
    epochs: int,
    deadline: float | None,
    models: Path,
    console: Console,
    changes: Sequence[str] = (),
) -> list[Card]:
    """Train trials in full, `workers` at a time, and save each as `models/STUDY-trialN`.

    A model that is there already, of the same network, recipe, data and split, isn't trained again, nor is
    one that another process is training; beside one that differs the new one is saved as
    `models/STUDY-trialN-2`, and so on. With a deadline, a model whose schedule another one shortened isn't
    trained again unless it now has twice the time. An interrupted training goes on from its last epoch when
    the same is asked for again.

    Args:
        changes: of the recipe, `FIELD=VALUE`; see `zoo.training.options.changed`.
        deadline: `time.time()` by which all models are saved, or None; each gets an equal share of the time.

    Returns:
        The cards in the order of the trials, without those whose training failed or is left to another
        process, of which a line is printed.

    Raises:
        StudyError: all trainings failed, or a process died three times.
    """
    import multiprocessing

    from search.processes import Crew, plan_devices
    from search.storage import StudyError
    from zoo.card import Card
    from zoo.console import progress_bar
    from zoo.models import CARD

    recipes = {trial.number: _final_recipe(trial, epochs, changes) for trial in trials}
    progress = multiprocessing.get_context("spawn").Queue()
    at_once = max(1, min(workers, len(trials)))
    share = None if deadline is None else (deadline - time.time()) / max(1, math.ceil(len(trials) / at_once))
    reservations = contextlib.ExitStack()
    failures: dict[int, str] = {}
    bar = progress_bar(console)
    with reservations, bar:
        folders: dict[int, Path] = {}
        for trial in trials:
            recipe = recipes[trial.number]
            folder = reservations.enter_context(_folder(places, models, trial, recipe, settings, share))
            if folder is None:
                console.print(
                    f"note: trial {trial.number} is left to another process that is training it in full",
                    style="yellow",
                    soft_wrap=True,
                )
            else:
                folders[trial.number] = folder
        missing = [
            trial
            for trial in trials
            if trial.number in folders and not (folders[trial.number] / CARD).is_file()
        ]
        bars = {
            trial.number: bar.add_task(
                f"final training of trial {trial.number}", total=recipes[trial.number].epochs, status=""
            )
            for trial in missing
        }
        rounds = [missing[start : start + at_once] for start in range(0, len(missing), at_once)]
        for index, chosen in enumerate(rounds):
            until = None
            if deadline is not None:
                until = time.time() + (deadline - time.time()) / (len(rounds) - index)
            plan = plan_devices(device, len(chosen))
            crew = Crew(
                train_trial,
                [
                    ExportTask(
                        places,
                        trial.number,
                        recipes[trial.number].to_json(),
                        folders[trial.number],
                        data,
                        ferplus,
                        name,
                        threads,
                        until,
                        progress,
                    )
                    for trial, (name, threads) in zip(chosen, plan, strict=True)
                ],
                most_deaths=_MOST_DEATHS,
            )
            try:
                for _ in crew.watch():
                    _draw(bar, bars, progress, console, failures)
            finally:
                crew.stop()
            _draw(bar, bars, progress, console, failures)
    cards = {number: folder / CARD for number, folder in folders.items() if (folder / CARD).is_file()}
    for number in folders.keys() - cards.keys():
        console.print(
            f"the final training of trial {number} failed: {failures.get(number, 'nothing was saved')}",
            style="yellow",
            soft_wrap=True,
        )
    if folders and not cards:
        raise StudyError("no network could be trained in full; the study is kept")
    return [Card.load(path) for path in cards.values()]


def _draw(bar: Any, bars: dict[int, Any], progress: Any, console: Console, failures: dict[int, str]) -> None:
    while True:
        try:
            number, done, epochs, words = progress.get_nowait()
        except queue.Empty:
            return
        if not epochs:
            failures[number] = words
            continue
        bar.update(bars[number], completed=done, total=epochs, status=words)
        if not console.is_terminal:
            console.print(f"final training of trial {number}: epoch {done} of {epochs}, {words}")


def _final_recipe(trial: FrozenTrial, epochs: int, changes: Sequence[str]) -> Recipe:
    from zoo.training.options import changed
    from zoo.training.recipe import Recipe

    recipe = Recipe.from_json(trial.user_attrs["recipe"])
    recipe = dataclasses.replace(recipe, epochs=epochs, average=0.998, warmup_epochs=2.0, keep="best")
    return changed(recipe, changes)


def _checkpoint(places: Places, trial: FrozenTrial, recipe: Recipe, fingerprint: str) -> Path:
    """Of a final training on data of this fingerprint: the same one, asked for again, goes on from it."""
    run = json.dumps([trial.user_attrs["config"], recipe.to_json(), fingerprint])
    return places.checkpoints / f"export-{hashlib.sha256(run.encode()).hexdigest()[:16]}.pt"


@contextlib.contextmanager
def _folder(
    places: Places,
    models: Path,
    trial: FrozenTrial,
    recipe: Recipe,
    settings: StudySettings,
    seconds: float | None,
) -> Iterator[Path | None]:
    """Where the same training has saved its model, or else the first free folder, kept for this process.

    None while another process runs the same training.
    """
    from zoo.errors import ConfigError
    from zoo.models import CARD, reserved

    first = f"{places.name}-trial{trial.number}"
    with contextlib.ExitStack() as reservation:
        ours = False
        with contextlib.suppress(ConfigError):
            checkpoint = _checkpoint(places, trial, recipe, settings.fingerprint)
            reservation.enter_context(reserved(checkpoint))
            ours = True
        for name in itertools.chain([first], (f"{first}-{number}" for number in itertools.count(2))):
            folder = models / name
            if (folder / CARD).is_file():
                if _saved(folder / CARD, trial, recipe, settings, seconds):
                    break
            elif not ours:
                yield None
                return
            else:
                with contextlib.suppress(ConfigError):
                    reservation.enter_context(reserved(folder))
                    break
        yield folder


def _saved(
    path: Path, trial: FrozenTrial, recipe: Recipe, settings: StudySettings, seconds: float | None
) -> bool:
    """Whether a card is of the same training, or of one shortened by a time limit of the same order."""
    from zoo.card import Card
    from zoo.errors import WeightsError
    from zoo.training.recipe import Recipe

    try:
        card = Card.load(path)
    except WeightsError:
        return False
    split, used = card.data["split"], Recipe.from_json(card.recipe)
    if seconds is not None and seconds < 2 * card.seconds:
        used = dataclasses.replace(used, epochs=recipe.epochs)
    return (
        card.config == trial.user_attrs["config"]
        and used == recipe
        and card.data["fingerprint"] == settings.fingerprint
        and (split["kind"], split["seed"]) == (settings.split_kind, settings.split_seed)
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Export; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m search.export", description=__doc__)
    parser.add_argument("study", help="name of the study")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--top", type=int, default=1, metavar="K", help="the best K (default: 1)")
    which.add_argument("--trial", type=int, metavar="N", help="this trial")
    parser.add_argument(
        "--epochs", type=int, help=f"default: {FINAL_EPOCHS}; {FINAL_EPOCHS_DRAWN} on drawn faces"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="change a field of the recipe, such as batch_size=64 or teacher=plain_small",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="the data set that the study was made with; default: as in search.run",
    )
    parser.add_argument(
        "--ferplus", type=Path, metavar="CSV", help="the FER+ votes that the study was made with"
    )
    parser.add_argument("--storage", metavar="URL", help="default: sqlite:///studies/STUDY/study.db")
    parser.add_argument("--workers", default="1", help="trainings at once, or auto (default: 1)")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:N or mps")
    parser.add_argument("--models", type=Path, default=Path("models"), help="where to save (default: models)")
    options = parser.parse_args(argv)

    from search.processes import plan_workers
    from search.settings import check_counts
    from search.storage import Places, StudyError, storage_errors
    from search.study import load_study, quiet_optuna, settings_of
    from search.table import StudyTable
    from zoo.console import stderr

    check_counts(options, top=1, epochs=1, trial=0)
    quiet_optuna()
    places = Places.of(options.study, options.storage)
    with storage_errors(places):
        study = load_study(places)
        settings = settings_of(study)
        if options.trial is None:
            trials = top_trials(StudyTable.of(study), options.top)
        else:
            trials = [
                t
                for t in study.get_trials(deepcopy=False)
                if t.number == options.trial and "config" in t.user_attrs
            ]
    if not trials:
        wanted = "finished trial" if options.trial is None else f"trial {options.trial} with a network"
        raise StudyError(f"study {options.study!r} has no {wanted}; required: at least one, to export it")
    epochs = options.epochs or (FINAL_EPOCHS_DRAWN if settings.drawn else FINAL_EPOCHS)
    cards = export_trials(
        places,
        trials,
        settings,
        data=options.data,
        ferplus=options.ferplus,
        device=options.device,
        workers=plan_workers(options.workers, options.device),
        epochs=epochs,
        deadline=None,
        models=options.models,
        console=stderr(),
        changes=options.set,
    )
    for card in cards:
        low, high = card.metrics[card.validation]["accuracy_interval"]
        print(f"{options.models / card.name}: accuracy {card.accuracy:.4f} ({low:.4f}–{high:.4f})")
    return 0


if __name__ == "__main__":
    run_command(main)
