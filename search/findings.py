"""A study in plain words: sentences computed from its trials, and left out where the trials don't say."""

from __future__ import annotations

import math

import numpy as np

from search.analysis import (
    SHUFFLES,
    Basis,
    Effect,
    basis_of,
    effects,
    importance_by_chance,
    importances,
    luck,
    pareto_front,
    rank_correlations,
    sampled,
    savings,
)
from search.table import StudyTable, words_of

__all__ = ["duration", "findings", "said_basis", "said_effect"]

_LEVEL = 0.05
_TOLD_PARAMETERS = 3
_FEWEST_TO_COMPARE = 3


def findings(table: StudyTable) -> list[str]:
    """What the study found, one sentence or two an entry; needs no complete trial."""
    return [
        sentence
        for sentence in (
            _course(table),
            _best(table),
            _enqueued_or_found(table),
            _luck(table),
            _progress(table),
            *_parameters(table),
            _inceptions(table),
            _pruning(table),
            _early_and_late(table),
            _cheaper(table),
            _classes(table),
            _trouble(table),
        )
        if sentence
    ]


def said_basis(basis: Basis, trial: str = "trial") -> str:
    """`at the end (45 trials)` or `after epoch 2 (139 sampled trials)`."""
    return f"{_when(basis)} ({_count(len(basis.accuracy), trial)})"


def said_effect(effect: Effect) -> str:
    """Medians and their test: `batch: 38.9%, none: 28.7% (p < 0.001)`."""
    medians = ", ".join(f"{choice}: {median:.1%}" for choice, median in effect.medians.items())
    correlation = "" if effect.correlation is None else f"rank correlation {_signed(effect.correlation, 2)}, "
    return f"{medians} ({correlation}{_said_p(effect.p)})"


def duration(seconds: float) -> str:
    """`45 s`, `12 min` or `3.4 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _course(table: StudyTable) -> str:
    rows = table.rows
    counts = rows.outcome.value_counts()
    if not len(rows):
        return "The study has no trials yet."
    names = {
        "complete": "trained to the end",
        "pruned": "pruned while training",
        "over a limit": "over a limit and not trained",
        "duplicate": "the same as an earlier one",
        "failed": "failed or interrupted",
        "running": "running",
        "waiting": "waiting",
    }
    parts = ", ".join(f"{counts[outcome]:,} {text}" for outcome, text in names.items() if outcome in counts)
    sentence = f"The study has {_count(len(rows), 'trial')}: {parts}."
    timed = rows.dropna(subset=["started", "ended"])
    if len(timed):
        busy = float(timed.seconds.sum())
        passed = (timed.ended.max() - timed.started.min()).total_seconds()
        sentence += (
            f" They took {duration(busy)} of work within {duration(passed)}, "
            f"by {_count(timed.worker.nunique(), 'worker process', 'worker processes')}."
        )
    return sentence


def _best(table: StudyTable) -> str:
    best = table.best
    if best is None:
        return "No trial has been trained for an epoch yet." if len(table.rows) else ""
    row = table.rows.loc[best.number]
    metrics, interval = best.user_attrs.get("metrics"), ""
    if metrics is not None:
        low, high = metrics["accuracy_interval"]
        interval = f" (95% interval {low:.1%}–{high:.1%} on {metrics['faces']:,} faces)"
    if row.outcome != "complete":
        return (
            f"No trial has run to its end; the best of those that were trained is trial {best.number} with "
            f"{row.accuracy:.1%} validation accuracy after epoch {row.epochs:.0f}{interval}."
        )
    return (
        f"The best is trial {best.number} with {row.accuracy:.2%} validation accuracy{interval}, "
        f"{_millions(row.macs)} multiply–accumulates and {_millions(row.parameters)} parameters."
    )


def _enqueued_or_found(table: StudyTable) -> str:
    complete = table.complete
    known, found = complete[complete.network.notna()], complete[complete.network.isna()]
    if len(known) and not len(found):
        trials = "The only complete trial is a network"
        if len(known) > 1:
            trials = f"All {len(known)} complete trials are networks"
        return f"{trials} that the study began with; none that the search proposed has run to its end."
    if not len(known):
        return ""
    start, sampled = known.loc[known.accuracy.idxmax()], found.loc[found.accuracy.idxmax()]
    gain = (sampled.accuracy - start.accuracy) * 100
    intervals = [
        table.trial(int(str(row.name))).user_attrs.get("metrics", {}).get("accuracy_interval")
        for row in (start, sampled)
    ]
    apart = ""
    if all(intervals):
        overlap = max(pair[0] for pair in intervals) <= min(pair[1] for pair in intervals)
        apart = f"; their 95% intervals {'overlap' if overlap else 'do not overlap'}"
    first = (
        f"The best was found by the search: {sampled.accuracy:.1%} against {start.accuracy:.1%}"
        if gain > 0
        else f"The search found nothing better than the networks it began with: {sampled.accuracy:.1%} "
        f"against {start.accuracy:.1%}"
    )
    begun = table.learned.network.notna().sum()
    among = f", the best of {begun} networks that it began with" if begun > 1 else ", that it began with"
    if begun > len(known):
        among += f", of which {len(known)} ran to {'its' if len(known) == 1 else 'their'} end"
    return f"{first} for {start.network}{among} ({_signed(gain, 1)} points{apart})."


def _luck(table: StudyTable) -> str:
    best = table.best
    metrics = best.user_attrs.get("metrics") if best is not None else None
    if metrics is None or len(table.complete) < 2:
        return ""
    points = 100 * luck(len(table.complete), metrics["faces"], metrics["accuracy"])
    return (
        f"As the best of {len(table.complete)} measured on the same {metrics['faces']:,} faces, its "
        "accuracy is "
        f"flattered on average by at most {points:.1f} points."
    )


def _progress(table: StudyTable) -> str:
    complete, best = table.complete, table.best
    if len(complete) < 2 or best is None:
        return ""
    finished = table.rows[table.rows.outcome.isin(("complete", "pruned", "over a limit", "duplicate"))]
    place = int((finished.index <= best.number).sum())
    before = complete.accuracy[complete.index <= finished.index[(len(finished) - 1) // 2]]
    if not len(before):
        return ""
    late = (complete.accuracy.max() - before.max()) * 100
    return (
        f"The best came as number {place} of {_count(len(finished), 'finished trial')}; the second "
        "half of the "
        f"study improved on the first by {late:.1f} points."
    )


def _parameters(table: StudyTable) -> list[str]:
    if not len(table.learned):
        return []
    basis = basis_of(table)
    shares = list(importances(table, basis).items())
    by_name = {effect.parameter: effect for effect in effects(table, basis)}
    said = said_basis(sampled(table, basis), "sampled trial")
    sentences, told = [], []
    chance = importance_by_chance(table, basis)
    if shares and chance >= _LEVEL:
        name, share = shares[0]
        sentences.append(
            f"No importance for accuracy {said} stands out from chance: the largest is that of "
            f"{words_of(name)} with {share:.0%}, and {chance * SHUFFLES:.0f} of {SHUFFLES} shuffles of the "
            "accuracies have one at least as large."
        )
        shares = []
    for place, (name, share) in enumerate(shares[:_TOLD_PARAMETERS]):
        effect = by_name.get(name)
        if effect is None:
            continue
        told.append(effect)
        if place == 0:
            lead = f"Most important for accuracy {said} is {words_of(name)} with {share:.0%}"
            lead += " of the importance"
        else:
            lead = f"{'Second' if place == 1 else 'Third'} comes {words_of(name)} with {share:.0%}"
        sentences.append(f"{lead}; {_direction(effect)}.")
    surest = [e for e in by_name.values() if _is_clear(e) and e not in told]
    if surest:
        too = ", too," if any(map(_is_clear, told)) else ""
        rest = "; ".join(f"{words_of(e.parameter)} {said_effect(e)}" for e in surest[:3])
        sentences.append(f"Beyond chance{too} by medians: {rest}.")
    return sentences


def _is_clear(effect: Effect) -> bool:
    """Whether an effect is beyond chance and, of a number, its medians differ as its correlation says."""
    if effect.correlation is None:
        return effect.p < _LEVEL
    at_low, at_high = effect.medians.values()
    return effect.p < _LEVEL and (at_high - at_low) * effect.correlation > 0


def _direction(effect: Effect) -> str:
    medians = list(effect.medians.items())
    if effect.p >= _LEVEL:
        return f"but no direction is clear ({_said_p(effect.p)} over {_count(effect.trials, 'trial')})"
    if effect.correlation is not None:
        (low, at_low), (high, at_high) = medians
        better = "higher is better" if effect.correlation > 0 else "lower is better"
        return (
            f"{better if _is_clear(effect) else 'but no direction is clear'}: median {at_low:.1%} with "
            f"{low}, {at_high:.1%} with {high} (rank correlation {_signed(effect.correlation, 2)}, "
            f"{_said_p(effect.p)})"
        )
    (best, at_best), (worst, at_worst) = medians[0], medians[-1]
    return (
        f"{best} is best with a median of {at_best:.1%}, {worst} worst with {at_worst:.1%} "
        f"({_said_p(effect.p)})"
    )


def _inceptions(table: StudyTable) -> str:
    if not len(table.learned):
        return ""
    basis = basis_of(table)
    compared = sampled(table, basis).accuracy
    modules = table.rows.inceptions.reindex(compared.index).dropna()
    accuracy = compared[modules.index]
    some, none = accuracy[modules > 0], accuracy[modules == 0]
    if min(len(some), len(none)) < _FEWEST_TO_COMPARE:
        return ""
    effect = next((e for e in effects(table, basis) if e.parameter == "inceptions"), None)
    limit = table.settings.max_macs
    under = f" under {_millions(limit)} multiply–accumulates" if limit else ""
    numbers = (
        f"median {some.median():.1%} of {_count(len(some), 'sampled network')} with them, "
        f"{none.median():.1%} of {len(none)} without, {_when(basis)}"
    )
    gain, clear = some.median() - none.median(), False
    if effect is not None and effect.correlation is not None:
        numbers += f" (rank correlation {_signed(effect.correlation, 2)}, {_said_p(effect.p)})"
        clear = effect.p < _LEVEL and gain * effect.correlation > 0
    if not clear:
        return f"Whether inceptions pay{under} is not clear: {numbers}."
    verdict = "pay" if gain > 0 else "don't pay"
    return f"Inceptions {verdict}{under}: {numbers}."


def _pruning(table: StudyTable) -> str:
    saved = savings(table)
    if not saved.started:
        return ""
    if saved.trained == saved.possible:
        return f"Nothing was pruned while training: all {_count(saved.trained, 'epoch')} were trained."
    return (
        f"Stopping {saved.stopped:,} of {_count(saved.started, 'trained trial')} early saved "
        f"{saved.possible - saved.trained:,} of {saved.possible:,} epochs ({saved.share:.0%}), about "
        f"{duration(saved.seconds)} of work."
    )


def _early_and_late(table: StudyTable) -> str:
    ranks = rank_correlations(table)
    if len(ranks) < 2 or table.best is None:
        return ""
    curves = table.curves.loc[table.complete.index].dropna()
    # The rung where most trials are judged: the earliest epoch that pruned any.
    pruned = table.learned[table.learned.outcome == "pruned"]
    epoch = int(pruned.epochs.min()) if len(pruned) else int(ranks.index[max(0, len(ranks) // 6 - 1)])
    if epoch not in ranks.index:
        return ""
    place = int(curves[epoch].rank(ascending=False, method="min")[table.best.number])
    return (
        f"After epoch {epoch} the order of the {len(curves)} complete trials agrees with their "
        "final order by a "
        f"rank correlation of {ranks[epoch]:.2f}; the best trial was number {place} of them then."
    )


def _cheaper(table: StudyTable) -> str:
    front = table.rows.loc[pareto_front(table)]
    if len(front) < 2:
        return ""
    best = front.iloc[-1]
    near = front[front.accuracy >= best.accuracy - 0.01].iloc[0]
    if near.name == best.name:
        runner = front.iloc[-2]
        return (
            f"The next cheaper network on the Pareto front, trial {runner.name}, has "
            f"{(best.accuracy - runner.accuracy) * 100:.1f} points less with {_millions(runner.macs)} "
            f"multiply–accumulates."
        )
    return (
        f"Within one point of the best, trial {near.name} has {near.accuracy:.1%} with "
        f"{best.macs / near.macs:.1f} "
        f"times fewer multiply–accumulates ({_millions(near.macs)})."
    )


def _classes(table: StudyTable) -> str:
    best = table.best
    metrics = best.user_attrs.get("metrics") if best is not None else None
    if best is None or metrics is None:
        return ""
    scores = {name: figures["f1"] for name, figures in metrics["per_class"].items() if figures["support"]}
    hard, easy = min(scores, key=lambda name: scores[name]), max(scores, key=lambda name: scores[name])
    classes = list(table.settings.classes)
    answers = np.array(metrics["confusion"][classes.index(hard)], dtype=float)
    total = answers.sum()
    answers[classes.index(hard)] = -1
    taken = int(answers.argmax())
    return (
        f"The best trial finds {easy} easiest (F1 {scores[easy]:.2f}) and {hard} hardest "
        f"({scores[hard]:.2f}); "
        f"it takes {answers[taken] / total:.0%} of {hard} for {classes[taken]}."
    )


def _trouble(table: StudyTable) -> str:
    reasons = table.rows.reason.dropna()
    counts = {
        "diverged": int(reasons.str.startswith("diverged").sum()),
        "ran out of memory": int(reasons.str.startswith("out of memory").sum()),
        "were interrupted and queued again": int((reasons == "interrupted").sum()),
        "were given up as their workers died": len(table.skipped),
    }
    told = [f"{number:,} {what}" for what, number in counts.items() if number]
    return f"Of the trials, {', '.join(told)}." if told else ""


def _when(basis: Basis) -> str:
    return "at the end" if basis.epoch is None else f"after epoch {basis.epoch}"


def _said_p(p: float) -> str:
    if not math.isfinite(p):
        return "no test possible"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def _count(number: int, one: str, several: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def _millions(count: float) -> str:
    if count >= 1e6:
        return f"{count / 1e6:.1f} M"
    return f"{count / 1e3:.0f} k" if count >= 1e3 else f"{count:.0f}"


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")
