"""What a study's trials say, as numbers: importance, effects, savings, rank correlation; has no words."""

from __future__ import annotations

import dataclasses
import math
import warnings
from dataclasses import dataclass

import numpy as np
import optuna
import pandas as pd
from scipy import stats

from search.table import StudyTable
from zoo.pareto import pareto_front as _pareto_front

__all__ = [
    "SHUFFLES",
    "Basis",
    "Effect",
    "Savings",
    "basis_of",
    "effects",
    "importance_by_chance",
    "importances",
    "luck",
    "pareto_front",
    "quantile_of",
    "rank_correlations",
    "sampled",
    "savings",
]

SHUFFLES = 50
"""Of the accuracies, which `importance_by_chance` compares with. They take about a second."""

# Among 42 complete trials of a made-up study, PED-ANOVA put a parameter without effect second.
_ENOUGH_COMPLETE = 100
_FEWEST_FOR_IMPORTANCE = 8
_FEWEST_FOR_RANKS = 4
# PED-ANOVA is steady from about five trials above its quantile on (Optuna's documentation).
_TOP_TRIALS = 5


@dataclass(frozen=True)
class Basis:
    """The accuracies by which trials are compared with each other.

    Attributes:
        epoch: after which they were measured, or None for the end of the training.
        accuracy: 0–1, by trial number.
    """

    epoch: int | None
    accuracy: pd.Series


@dataclass(frozen=True)
class Effect:
    """How accuracy goes with one parameter.

    Attributes:
        parameter: its name.
        trials: that have the parameter.
        correlation: Spearman's between the parameter and accuracy, or None for choices without order.
        medians: accuracy by choice, best first; or of the
            lowest and the highest third, as `at most X` and `at least Y`.
        p: probability of such a difference by chance (Spearman, or Kruskal–Wallis), adjusted for the number
            of parameters (Benjamini and Hochberg, 1995).
    """

    parameter: str
    trials: int
    correlation: float | None
    medians: dict[str, float]
    p: float


@dataclass(frozen=True)
class Savings:
    """What stopping trials early saved.

    Attributes:
        started: trials that were trained for at least one epoch and are finished.
        stopped: of them by the pruner or by themselves before their last epoch.
        trained: epochs.
        possible: epochs, had all of them run to their end.
        seconds: that the epochs saved would have taken, at each trial's own pace.
    """

    started: int
    stopped: int
    trained: int
    possible: int
    seconds: float

    @property
    def share(self) -> float:
        """Of the possible epochs that weren't trained, 0–1."""
        return 1 - self.trained / self.possible if self.possible else 0.0


def basis_of(table: StudyTable) -> Basis:
    """The final accuracies if enough trials have one, else those after the last epoch that most trials saw.

    With halving a few of the trials are complete, and they are much alike: after an early rung there are
    several times as many to compare.
    """
    complete, learned = table.complete, table.learned
    if len(complete) >= min(_ENOUGH_COMPLETE, 0.6 * len(learned)):
        return Basis(None, complete.accuracy)
    curves = table.curves.loc[learned.index]
    reached = curves.notna().sum()
    epoch = int(reached[reached >= 0.6 * len(learned)].index.max())
    return Basis(epoch, curves[epoch].dropna())


def sampled(table: StudyTable, basis: Basis) -> Basis:
    """The basis without starting points: they weren't sampled, and published networks have no parameters."""
    found = table.rows.network.reindex(basis.accuracy.index).isna()
    return dataclasses.replace(basis, accuracy=basis.accuracy[found])


def importances(table: StudyTable, basis: Basis) -> dict[str, float]:
    """Each parameter's share of the importance for being among the best trials, largest first.

    PED-ANOVA (Watanabe, Bansal and Hutter, 2023, arXiv:2304.10255) at the quantile that `quantile_of`
    gives, over the `sampled` trials; empty with too few of them.
    """
    accuracy = sampled(table, basis).accuracy
    stand_in = _stand_in(table, accuracy)
    return _shares(stand_in, accuracy.to_numpy()) if stand_in is not None else {}


def importance_by_chance(table: StudyTable, basis: Basis) -> float:
    """Probability that the largest share is at least that of `importances` if no parameter mattered.

    It is the part of `SHUFFLES` shuffles of the accuracies in which it is; 1 with too few trials.
    """
    accuracy = sampled(table, basis).accuracy
    stand_in = _stand_in(table, accuracy)
    if stand_in is None:
        return 1.0
    random, values = np.random.default_rng(0), accuracy.to_numpy()
    real, *shuffled = (
        max(_shares(stand_in, order).values(), default=0.0)
        for order in (values, *(random.permutation(values) for _ in range(SHUFFLES)))
    )
    return sum(largest >= real for largest in shuffled) / SHUFFLES


def _stand_in(table: StudyTable, accuracy: pd.Series) -> optuna.Study | None:
    """A study of these trials in their order, without values; None if they are too few or all alike."""
    if len(accuracy) < _FEWEST_FOR_IMPORTANCE or accuracy.nunique() < 2:
        return None
    study = optuna.create_study()
    trials = (table.trial(int(number)) for number in accuracy.index)
    study.add_trials(
        optuna.trial.create_trial(params=trial.params, distributions=trial.distributions, value=0.0)
        for trial in trials
    )
    return study


def _shares(stand_in: optuna.Study, accuracies: np.ndarray) -> dict[str, float]:
    """PED-ANOVA's shares, largest first, if the trials had these accuracies."""
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=quantile_of(len(accuracies)))
    with warnings.catch_warnings():
        # Optuna warns of conditional parameters that a single trial has, and that a target is minimised.
        warnings.simplefilter("ignore")
        shares = optuna.importance.get_param_importances(
            stand_in, evaluator=evaluator, target=lambda trial: -float(accuracies[trial.number])
        )
    return {name: share for name, share in shares.items() if math.isfinite(share)}


def quantile_of(trials: int) -> float:
    """Which share of the trials counts as the best: a tenth, or so many that they are five."""
    return min(0.5, max(0.1, _TOP_TRIALS / trials))


def effects(table: StudyTable, basis: Basis) -> list[Effect]:
    """The effect of every parameter that at least eight `sampled` trials have, the least by chance first."""
    compared, found = sampled(table, basis).accuracy, []
    for name in table.distributions:
        values = table.params[name].reindex(compared.index).dropna()
        accuracy = compared[values.index]
        if len(values) < _FEWEST_FOR_IMPORTANCE or values.nunique() < 2 or accuracy.nunique() < 2:
            continue
        numeric = table.is_number(name)
        found.append((_numeric if numeric else _categorical)(name, values, accuracy))
    if not found:
        return []
    adjusted = stats.false_discovery_control([effect.p for effect in found])
    effects = [
        Effect(e.parameter, e.trials, e.correlation, e.medians, float(p))
        for e, p in zip(found, adjusted, strict=True)
    ]
    return sorted(effects, key=lambda effect: effect.p)


def _numeric(name: str, values: pd.Series, accuracy: pd.Series) -> Effect:
    numbers = values.astype(float)
    test = stats.spearmanr(numbers, accuracy)
    low, high = (
        numbers.quantile(1 / 3, interpolation="lower"),
        numbers.quantile(2 / 3, interpolation="higher"),
    )
    if low >= high:
        # More than a third of the trials have one value: compare it with those beside it.
        low = min(low, numbers[numbers < numbers.max()].max())
        high = numbers[numbers > low].min()
    medians = {
        f"at most {_short(low)}": float(accuracy[numbers <= low].median()),
        f"at least {_short(high)}": float(accuracy[numbers >= high].median()),
    }
    return Effect(name, len(values), float(test.statistic), medians, float(test.pvalue))


def _short(value: float) -> str:
    """Three digits, but whole numbers whole."""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.3g}"


def _categorical(name: str, values: pd.Series, accuracy: pd.Series) -> Effect:
    groups = {str(choice): accuracy[values == choice] for choice in values.unique()}
    medians = {choice: float(group.median()) for choice, group in groups.items()}
    test = stats.kruskal(*groups.values())
    ordered = dict(sorted(medians.items(), key=lambda item: -item[1]))
    return Effect(name, len(values), None, ordered, float(test.pvalue))


def pareto_front(table: StudyTable) -> list[int]:
    """The complete trials that none beats in accuracy at no more multiply–accumulates, cheapest first."""
    rows = table.complete.dropna(subset=["macs", "accuracy"])
    front = _pareto_front(rows.macs.tolist(), rows.accuracy.tolist())
    return [int(str(rows.index[place])) for place in front]


def savings(table: StudyTable) -> Savings:
    """What stopping early saved, over all finished trials that were trained."""
    rows, epochs = table.learned, table.settings.epochs
    missing = epochs - rows.epochs
    pace = (rows.seconds / rows.trained.where(rows.trained > 0)).fillna(0.0)
    return Savings(
        started=len(rows),
        stopped=int((missing > 0).sum()),
        trained=int(rows.epochs.sum()),
        possible=epochs * len(rows),
        seconds=float((missing * pace).sum()),
    )


def rank_correlations(table: StudyTable) -> pd.Series:
    """Spearman's correlation of the accuracy after each epoch with the final one, over complete trials.

    Empty with fewer than four of them. Those trials are the ones that pruning let through, which makes
    them more alike than all trials, and the correlation lower.
    """
    curves = table.curves.loc[table.complete.index].dropna()
    if len(curves) < _FEWEST_FOR_RANKS:
        return pd.Series(dtype=float)
    # One accuracy for all has no ranks.
    varied = [epoch for epoch in curves if curves[epoch].nunique() > 1]
    if not varied or varied[-1] != curves.columns[-1]:
        return pd.Series(dtype=float)
    return curves[varied].corrwith(curves[varied[-1]], method="spearman")


def luck(trials: int, faces: int, accuracy: float) -> float:
    """By how much the best of equally good networks seems better than they are, on average at most.

    The expected largest of `trials` independent normal errors whose standard deviation is that of an
    accuracy measured on `faces` faces. As all are measured on the same faces, the true expectation is
    smaller; a single study can still have more luck than either.
    """
    if trials < 2:
        return 0.0
    # Blom's approximation of the expected largest of n standard normal values (Blom, 1958).
    largest = float(stats.norm.ppf((trials - 0.375) / (trials + 0.25)))
    return largest * float(np.sqrt(accuracy * (1 - accuracy) / faces))
