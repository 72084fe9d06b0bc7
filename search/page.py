"""What a study shows of itself in the dashboard: its note and its own plots; saved when a sitting ends."""

from __future__ import annotations

import re
import shlex
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.study import Study
from optuna_dashboard import get_note, save_note, save_plotly_graph_object

from search.figures import pareto, ranks, time_by_outcome
from search.findings import findings
from search.recovery import FINISHED
from search.settings import StudySettings
from search.storage import Places
from search.table import StudyTable, words_of
from zoo.models import MODELS

__all__ = ["commands", "data_options", "next_commands", "save_page", "study_note"]

# Figures are kept in pieces of two kilobytes in the storage, so a few hundred points are enough.
_MOST_POINTS = 200
_UNBROKEN = "\N{NO-BREAK SPACE}"
_BELOW = "*What you write below this line stays.*"


def save_page(study: Study, places: Places) -> None:
    """Save the study's note and plots, in place of those of an earlier sitting.

    What a person wrote below its last line stays; so does, below it, all of a note that lacks that line.
    """
    table = StudyTable.of(study)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        before, marked, below = get_note(study).partition(_BELOW)
        written = below if marked else before
        save_note(study, study_note(table, places) + written.lstrip("\n"))
        for name, figure in (
            ("accuracy-against-cost", pareto(table, _MOST_POINTS)),
            ("time-by-outcome", time_by_outcome(table)),
            ("early-and-late-ranks", ranks(table)),
        ):
            if figure is not None:
                save_plotly_graph_object(study, figure, graph_object_id=name)


def study_note(table: StudyTable, places: Places) -> str:
    """Markdown: what was searched, on which data, what came out, the commands to go on, and room to write."""
    settings = table.settings
    limits = [
        f"{limit:,} {what}"
        for limit, what in (
            (settings.max_macs, "multiply–accumulates"),
            (settings.max_parameters, "parameters"),
        )
        if limit is not None
    ]
    searched = sorted({words_of(name) for name in table.distributions})
    lines = [
        f"## {table.name}",
        "",
        f"**Searched:** networks of {'at most ' + ' and '.join(limits) if limits else 'any cost'} and how "
        f"to train them, for accuracy on the faces that select; {settings.epochs} epochs a trial, pruner "
        f"{settings.pruner}, seed {settings.seed}.",
    ]
    if searched:
        lines += ["", f"{len(searched)} parameters: {', '.join(searched)}."]
    lines += [
        "",
        f"**Data:** {settings.data} (fingerprint `{settings.fingerprint}`), {len(settings.classes)} classes, "
        f"split {settings.split_kind}{_seed(settings)}{', FER+ votes' if settings.soft_labels else ''}.",
        "",
        "### Found",
        "",
        *(f"- {sentence}" for sentence in findings(table)),
        "",
        "### Go on",
        "",
        *(f"    {line}" for command in commands(table, places) for line in _broken(command)),
        "",
        "---",
        "",
        _BELOW,
        "",
        "",
    ]
    return "\n".join(lines)


def _broken(command: str) -> list[str]:
    """A command in lines that a shell reads as one; a longer one would make the dashboard's page too wide."""
    # Within quotes, what breaks a line would become part of the value.
    whole = re.sub(r"'[^']*'|\"[^\"]*\"", lambda quoted: quoted[0].replace(" ", _UNBROKEN), command)
    lines = textwrap.wrap(
        whole, 100, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
    lines = [line.replace(_UNBROKEN, " ") for line in lines]
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]


def commands(table: StudyTable, places: Places) -> list[str]:
    """The commands that search on to the next full hundred, export the best trial and write the report.

    A storage's password and the data's path, which the study doesn't know, are left to fill in.
    """
    settings = table.settings
    data = data_options(
        None if settings.drawn else Path(f"PATH_OF/{settings.data.replace(' ', '_')}"),
        Path("PATH_OF/fer2013new.csv") if settings.soft_labels else None,
    )
    storage = _storage_option(places)
    trials = (sum(trial.state in FINISHED for trial in table.trials) // 100 + 1) * 100
    rules = f"--epochs {settings.epochs} --max-macs {settings.max_macs or 'none'}"
    if settings.max_parameters is not None:
        rules += f" --max-params {settings.max_parameters}"
    if settings.split_kind != "official":
        rules += f" --split {settings.split_kind}"
    # It also draws what an official split lacks.
    if settings.split_seed:
        rules += f" --split-seed {settings.split_seed}"
    lines = [
        f"python -m search.run --study {table.name}{data}{storage} --trials {trials} {rules} "
        f"--pruner {settings.pruner} --seed {settings.seed}",
        f"python -m search.report {table.name}{storage}",
    ]
    if table.best is not None:
        export = f"python -m search.export {table.name} --trial {table.best.number}{data}{storage}"
        lines.insert(1, export)
    return lines


def next_commands(table: StudyTable, places: Places, data: str, models: Sequence[Path]) -> list[str]:
    """The commands that come after a sitting: to look at the study, to train or measure networks, to try one.

    Args:
        data: see `data_options`.
        models: folders of the networks that were trained in full.
    """
    storage = _storage_option(places)
    lines = [f"python -m search.{program} {table.name}{storage}" for program in ("dashboard", "report")]
    demo = "python -m demo"
    if models:
        best = shlex.quote(str(models[0]))
        lines += [f"python -m zoo.evaluate {best}{data}", f"python -m zoo.predict {best} photograph.jpg"]
        if models[0].parent != MODELS:
            demo += f" --models {shlex.quote(str(models[0].parent))}"
    elif table.best is not None:
        lines.append(f"python -m search.export {table.name} --top 3{data}{storage}")
    return [*lines, demo]


def data_options(data: Path | None, ferplus: Path | None) -> str:
    """The `--data` and `--ferplus` that a command was given, each with a space before it."""
    given = {"--data": data, "--ferplus": ferplus}
    return "".join(
        f" {option} {shlex.quote(str(path))}" for option, path in given.items() if path is not None
    )


def _storage_option(places: Places) -> str:
    """The `--storage` option that a command needs, with a space before it; empty for the default storage."""
    default = Places.of(places.name).storage
    return "" if places.storage == default else f" --storage '{places.shown}'"


def _seed(settings: StudySettings) -> str:
    return f" with seed {settings.split_seed}" if settings.split_kind != "official" else ""
