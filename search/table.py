"""A study's trials as tables for its pictures and findings; knows nothing of how they are shown."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.recovery import INTERRUPTED
from search.settings import StudySettings
from search.study import settings_of

__all__ = ["StudyTable", "words_of"]

_COLUMNS: dict[str, Any] = {
    "outcome": object,
    "accuracy": float,
    "epochs": float,
    "trained": float,
    "macs": float,
    "parameters": float,
    "seconds": float,
    "macro_f1": float,
    "inceptions": float,
    "started": "datetime64[ns]",
    "ended": "datetime64[ns]",
    "worker": object,
    "network": object,
    "reason": object,
}


@dataclass(frozen=True)
class StudyTable:
    """One study, read once.

    Attributes:
        name: of the study.
        settings: it was made with.
        rows: one row a trial, by number. `outcome` is `complete`, `pruned`, `failed` or `running`, or, where
            nothing was trained, `over a limit`, `duplicate` or `waiting`; `accuracy` the last reported one,
            0–1; `epochs` reported and `trained` epochs differ for a trial that went on from a checkpoint;
            `seconds` passed from its start to its end; `network` is what it was enqueued as, or None. A
            trial whose worker died has no `ended` and no `seconds`: it was told failed when the next run
            found it, which may have been days later.
        params: one row a trial, one column a parameter; missing where it wasn't sampled.
        curves: one row a trial, one column an epoch from 1; validation accuracy, 0–1.
        distributions: of each parameter.
        trials: as the study gave them, in the order of their numbers.
        skipped: reason by number of each trial that was given up, as its workers died.
    """

    name: str
    settings: StudySettings
    rows: pd.DataFrame
    params: pd.DataFrame
    curves: pd.DataFrame
    distributions: dict[str, BaseDistribution]
    trials: tuple[FrozenTrial, ...]
    skipped: dict[str, str]

    @classmethod
    def of(cls, study: Study) -> StudyTable:
        """Read a study.

        Raises:
            StudyError: the study wasn't made by `search.run`.
        """
        settings = settings_of(study)
        trials = study.get_trials(deepcopy=False)
        numbers = pd.Index([trial.number for trial in trials], name="trial")
        rows = pd.DataFrame([_row(trial) for trial in trials], index=numbers, columns=list(_COLUMNS))
        epochs = range(1, settings.epochs + 1)
        curves = [[trial.intermediate_values.get(epoch, np.nan) for epoch in epochs] for trial in trials]
        distributions: dict[str, BaseDistribution] = {}
        for trial in trials:
            distributions.update(trial.distributions)
        params = pd.DataFrame([trial.params for trial in trials], index=numbers, columns=list(distributions))
        return cls(
            name=study.study_name,
            settings=settings,
            rows=rows.astype(_COLUMNS),
            params=params.astype(object),
            curves=pd.DataFrame(curves, index=numbers, columns=list(epochs), dtype=float),
            distributions=distributions,
            trials=tuple(trials),
            skipped=dict(study.user_attrs.get("skipped", {})),
        )

    @cached_property
    def complete(self) -> pd.DataFrame:
        """The rows of trials that were trained to their end."""
        return self.rows[self.rows.outcome == "complete"]

    @cached_property
    def learned(self) -> pd.DataFrame:
        """The rows of finished trials that were trained for at least one epoch."""
        return self.rows[self.rows.outcome.isin(("complete", "pruned")) & (self.rows.epochs > 0)]

    @cached_property
    def ranked(self) -> list[int]:
        """Numbers of the complete trials, the one with the highest last accuracy first.

        Without any, of those that were pruned or interrupted, as a deadline interrupts the ones that pruning
        let go on; without any of them, of the other failed ones that have reported an epoch. Of equals the
        one with fewer multiply–accumulates comes first, then the earlier one.
        """
        failed = self.rows[(self.rows.outcome == "failed") & (self.rows.epochs > 0)]
        interrupted = failed[failed.reason == INTERRUPTED]
        cut = pd.concat([self.learned, interrupted]) if len(interrupted) else self.learned
        rows = next((rows for rows in (self.complete, cut) if len(rows)), failed)
        ordered = rows.sort_values(["accuracy", "macs"], ascending=[False, True])
        return [int(number) for number in ordered.index]

    @cached_property
    def best(self) -> FrozenTrial | None:
        """The first of the `ranked` trials."""
        return self.trial(self.ranked[0]) if self.ranked else None

    def trial(self, number: int) -> FrozenTrial:
        """The trial of that number."""
        return self.trials[self.rows.index.get_loc(number)]

    def is_number(self, name: str) -> bool:
        """Whether the values of a parameter have an order, as widths have though they are choices."""
        distribution = self.distributions[name]
        if isinstance(distribution, CategoricalDistribution):
            return all(isinstance(c, int | float) and not isinstance(c, bool) for c in distribution.choices)
        return True

    def is_logarithmic(self, name: str) -> bool:
        """Whether a parameter was sampled by its logarithm."""
        return bool(getattr(self.distributions[name], "log", False))


def words_of(name: str) -> str:
    """`stage1_width` → `stage 1 width`: a parameter's name as a person says it."""
    return name.replace("stage", "stage ").replace("_", " ") if name != "stages" else name


def _row(trial: FrozenTrial) -> dict[str, Any]:
    attributes = trial.user_attrs
    last = trial.last_step or 0
    value = trial.value if trial.state == TrialState.COMPLETE else trial.intermediate_values.get(last)
    worker = attributes.get("worker")
    died = trial.state == TrialState.FAIL and "reason" not in attributes
    duration = None if died else trial.duration
    return {
        "outcome": _outcome(trial),
        "accuracy": value,
        "epochs": last,
        "trained": max(0, last - attributes.get("first_epoch", 1) + 1),
        "macs": attributes.get("macs"),
        "parameters": attributes.get("parameters"),
        "seconds": np.nan if duration is None else duration.total_seconds(),
        "macro_f1": attributes.get("macro_f1"),
        "inceptions": attributes.get("config", {}).get("inceptions"),
        "started": trial.datetime_start,
        "ended": None if died else trial.datetime_complete,
        "worker": f"{worker['host']}:{worker['pid']}" if worker else None,
        "network": attributes.get("network", attributes.get("start")),
        "reason": attributes.get("reason"),
    }


def _outcome(trial: FrozenTrial) -> str:
    if "duplicate_of" in trial.user_attrs:
        return "duplicate"
    if trial.state == TrialState.PRUNED and any(excess > 0 for excess in trial.constraints.values()):
        return "over a limit"
    return {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}.get(
        trial.state, trial.state.name.lower()
    )
