"""`python -m search.run --trials 200`: search for networks, train the best ones in full, list them."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.command import parse_seconds, run_command

if TYPE_CHECKING:
    from search.settings import StudySettings
    from search.study import Places
    from zoo.card import Card
    from zoo.data.dataset import FaceDataset, Split

__all__ = ["main"]

_EPOCHS, _EPOCHS_DRAWN = 12, 8
# Of a trial in a short search, which has room for few: in the study of FER2013, the order of the complete
# trials after epoch 2 agrees with their last by a rank correlation of 0.82.
_EPOCHS_SHORT, _SHORT_SECONDS = 6, 2 * 3600
# Of the published networks within a GPU's limit, vgg16_bn with 0.7 G is the dearest; r1 has 12.6 G.
_MACS_GPU, _MACS_CPU, _MACS_DRAWN = 1_000_000_000, 100_000_000, 3_000_000
# With a timeout, what two cores train for some 40 epochs of FER2013 in half of it.
_MACS_A_MINUTE, _LEAST_MACS_TIMED = 1_000_000, 20_000_000
# With a timeout, so much of the time is for the search; the rest trains the best network in full.
_SEARCH_SHARE = 0.5
_FINAL_EPOCHS_TIMED = 100
# Of the time, what is kept for the pictures of the study after a search, and for the summary after an export.
_PICTURES_SECONDS, _SUMMARY_SECONDS = 15.0, 5.0


def _parser() -> argparse.ArgumentParser:
    from zoo.data.load import add_data_arguments

    parser = argparse.ArgumentParser(prog="python -m search.run", description=__doc__)
    add_data_arguments(parser)

    study = parser.add_argument_group("study")
    study.add_argument(
        "--trials", type=int, default=200, help="in all: a resumed study runs what is missing (default: 200)"
    )
    study.add_argument(
        "--timeout", metavar="TIME", help="for everything, final training included: 90s, 60m, 1h30m"
    )
    study.add_argument(
        "--epochs",
        type=int,
        help=f"of a trial (default: {_EPOCHS}, or {_EPOCHS_SHORT} with a timeout of at most two hours; "
        f"drawn: {_EPOCHS_DRAWN})",
    )
    study.add_argument(
        "--max-macs",
        metavar="COUNT",
        help="multiply–accumulates, such as 30M, or none (default: 100M on a CPU, or with a timeout 1M a "
        "minute, 20M to 100M; 1G on a GPU; drawn: 3M)",
    )
    study.add_argument("--max-params", metavar="COUNT", help="parameters, such as 2M (default: no limit)")
    study.add_argument("--pruner", choices=("halving", "median", "none"), help="default: halving")
    study.add_argument("--seed", type=int, help="of everything that is random (default: 0)")
    study.add_argument("--study", help="name (default: from the data)")
    study.add_argument("--storage", metavar="URL", help="default: sqlite:///studies/STUDY/study.db")
    study.add_argument(
        "--artifacts",
        metavar="URL",
        help="where pictures of trials go: a folder or s3://bucket/prefix (default: studies/STUDY/artifacts)",
    )

    machine = parser.add_argument_group("machine")
    machine.add_argument(
        "--workers", default="auto", help="processes, or auto: one for each GPU or core (default)"
    )
    machine.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:N or mps")

    final = parser.add_argument_group("final training")
    final.add_argument("--export", type=int, metavar="K", help="train the best K (default: 3; timed: 1)")
    final.add_argument(
        "--final-epochs",
        type=int,
        metavar="N",
        help=f"default: 60; drawn: 20; with a timeout as many as fit, at most {_FINAL_EPOCHS_TIMED}",
    )
    final.add_argument("--models", type=Path, default=Path("models"), help="where to save (default: models)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Search; returns the exit status."""
    options = _parser().parse_args(argv)
    started = time.time()

    from search.settings import check_counts
    from search.storage import Places, check_writable, make_folder, settle, storage_errors
    from search.study import find_settings, quiet_optuna
    from zoo.console import stderr
    from zoo.data import load_dataset, make_split
    from zoo.training.device import pick_device

    check_counts(options, trials=1, export=0, epochs=1, final_epochs=1)
    quiet_optuna()
    timeout = None if options.timeout is None else parse_seconds(options.timeout)
    device = pick_device(options.device)
    dataset = load_dataset(options.data, ferplus=options.ferplus)
    split = make_split(dataset, kind=options.split, seed=options.split_seed)
    places = Places.of(options.study or _study_name(dataset), options.storage)
    console = stderr()
    try:
        settings = _settings(options, dataset, split, device.type, timeout, find_settings(places))
        if options.export != 0:
            make_folder(options.models, "--models")
            check_writable(options.models, "--models")
        for note in (*dataset.notes, *split.notes):
            console.print(f"note: {note}", soft_wrap=True, style="yellow")
        with storage_errors(places):
            _search_and_export(options, places, settings, dataset, split, started, timeout)
    except KeyboardInterrupt:
        given = sys.argv[1:] if argv is None else argv
        if options.storage:  # which may hold a password
            given = [argument.replace(options.storage, places.shown) for argument in given]
        again = shlex.join(["python", "-m", "search.run", *given])
        console.print(f"stopped; everything finished is kept. To go on:\n  {again}", soft_wrap=True)
        return 130
    finally:
        settle(places)
    return 0


def _search_and_export(
    options: argparse.Namespace,
    places: Places,
    settings: StudySettings,
    dataset: FaceDataset,
    split: Split,
    started: float,
    timeout: float | None,
) -> None:
    from search.export import FINAL_EPOCHS, FINAL_EPOCHS_DRAWN, export_trials, top_trials
    from search.page import data_options, save_page
    from search.processes import Crew, plan_devices, plan_workers
    from search.progress import StudyProgress
    from search.report import print_summary, write_pictures
    from search.storage import storage_errors
    from search.stores import keep_artifacts
    from search.study import create_study, finished_trials
    from search.table import StudyTable
    from search.worker import WorkerTask, work
    from zoo.console import stderr, stdout
    from zoo.errors import ZooError, first_line

    console = stderr()
    workers = plan_workers(options.workers, options.device)
    exports = options.export if options.export is not None else (3 if timeout is None else 1)
    deadline = search_ends = None
    if timeout is not None:
        deadline = started + timeout - min(_SUMMARY_SECONDS, 0.1 * timeout)
        search_ends = started + _SEARCH_SHARE * timeout
        if not exports:
            search_ends = deadline - min(_PICTURES_SECONDS, 0.3 * timeout)
    study = create_study(places, settings, split)
    keep_artifacts(study, places, options.artifacts)
    done = len(finished_trials(study))
    console.print(
        f"study {places.name}: {done} of {options.trials} trials done; {len(split.train):,} faces train, "
        f"{len(split.validation):,} select ({split.names[1]}); {settings.epochs} epochs a trial, "
        f"{workers} worker(s); storage {places.shown}",
        soft_wrap=True,
    )
    if done < options.trials:
        tasks = [
            WorkerTask(
                number=number,
                places=places,
                total=options.trials,
                data=options.data,
                ferplus=options.ferplus,
                device=device,
                threads=threads,
                deadline=search_ends,
            )
            for number, (device, threads) in enumerate(plan_devices(options.device, workers))
        ]
        crew = Crew(work, tasks)
        progress = StudyProgress(
            console, study, total=options.trials, epochs=settings.epochs, deadline=search_ends
        )
        try:
            with progress:
                for _ in crew.watch():
                    progress.update()
                    if search_ends is not None and time.time() > search_ends + 5:
                        # A first epoch that is longer than the rest of the time can't see it coming.
                        break
        finally:
            crew.stop()
            with storage_errors(places):
                save_page(study, places)
    pictures: list[Path] = []
    try:
        pictures = write_pictures(study, places.folder / "report")
    except (OSError, ZooError) as error:
        console.print(
            f"note: the study's pictures can't be kept ({first_line(error)})", soft_wrap=True, style="yellow"
        )
    chosen = top_trials(StudyTable.of(study), exports)
    epochs = options.final_epochs or (FINAL_EPOCHS_DRAWN if settings.drawn else FINAL_EPOCHS)
    if timeout is not None and options.final_epochs is None:
        epochs = _FINAL_EPOCHS_TIMED
    cards: list[Card] = []
    data = data_options(options.data, options.ferplus)
    try:
        if chosen:
            cards = export_trials(
                places,
                chosen,
                settings,
                data=options.data,
                ferplus=options.ferplus,
                device=options.device,
                workers=workers,
                epochs=epochs,
                deadline=deadline,
                models=options.models,
                console=console,
            )
    except Exception:
        # What the search has found is told all the same.
        print_summary(stdout(), study, [], options.models, places, pictures, data)
        raise
    print_summary(stdout(), study, cards, options.models, places, pictures, data)


def _settings(
    options: argparse.Namespace,
    dataset: FaceDataset,
    split: Split,
    device: str,
    timeout: float | None,
    stored: StudySettings | None,
) -> StudySettings:
    """What the study is to be made with: options that aren't given are as `stored`, or else the defaults.

    Raises:
        StudyError: no network of the search is within the limits.
    """
    from search.settings import StudySettings
    from search.space import Limits, slimmest
    from search.storage import StudyError
    from zoo.networks import count

    own = StudySettings(
        data=dataset.name,
        fingerprint=dataset.fingerprint,
        drawn=dataset.drawn,
        classes=dataset.classes,
        split_kind=split.kind,
        split_seed=split.seed,
        epochs=_default_epochs(dataset.drawn, timeout),
        max_macs=_default_macs(dataset.drawn, device, timeout),
        max_parameters=None,
        soft_labels=options.ferplus is not None,
    )
    default = stored or own
    settings = dataclasses.replace(
        own,
        epochs=default.epochs if options.epochs is None else options.epochs,
        max_macs=_limit(options.max_macs, default.max_macs),
        max_parameters=_limit(options.max_params, default.max_parameters),
        pruner=options.pruner or default.pruner,
        seed=default.seed if options.seed is None else options.seed,
    )
    least = count(slimmest(len(dataset.classes)))
    if not Limits(settings.max_macs, settings.max_parameters).allow(least):
        raise StudyError(
            f"the limits leave no network: the slimmest has {least.macs:,} multiply–accumulates and "
            f"{least.parameters:,} parameters; required: larger limits, such as --max-macs 20M"
        )
    return settings


def _limit(text: str | None, default: int | None) -> int | None:
    from search.settings import parse_count

    if text is None:
        return default
    return None if text.lower() == "none" else parse_count(text)


def _default_epochs(drawn: bool, timeout: float | None) -> int:
    if drawn:
        return _EPOCHS_DRAWN
    return _EPOCHS_SHORT if timeout is not None and timeout <= _SHORT_SECONDS else _EPOCHS


def _default_macs(drawn: bool, device: str, timeout: float | None) -> int:
    if drawn:
        return _MACS_DRAWN
    if device != "cpu":
        return _MACS_GPU
    if timeout is None:
        return _MACS_CPU
    return min(_MACS_CPU, max(_LEAST_MACS_TIMED, int(timeout / 60) * _MACS_A_MINUTE))


def _study_name(dataset: FaceDataset) -> str:
    if dataset.drawn:
        return "drawn"
    kept = [letter if letter.isalnum() or letter in "-_" else "-" for letter in Path(dataset.name).stem]
    return "".join(kept).strip("-") or "study"


if __name__ == "__main__":
    run_command(main)
