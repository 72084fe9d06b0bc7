"""How configurations are sampled, and how trials are stopped early; knows nothing of networks."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Container, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers._tpe.sampler import _split_trials, default_gamma
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.recovery import PROPOSAL
from search.settings import StudySettings
from search.space import SLIMMEST, SearchSpace
from zoo.networks import count

__all__ = ["make_pruner", "make_sampler"]


def make_sampler(
    seed: int, worker: int, trials: int, host: str = "", *, space: SearchSpace | None = None
) -> optuna.samplers.BaseSampler:
    """TPE over jointly sampled groups, seeded so that no two workers and no two sittings repeat each other.

    Args:
        trials: that the study holds already. With one seed for all, a resumed study repeats its random
            points.
        host: of the worker; empty on the one that the study began on, so that one machine repeats itself.
        space: the networks that TPE learns of; it then begins when enough of them were trained, and what it
            samples is within the limits. None leaves TPE by itself.
    """
    digest = hashlib.sha256(f"{seed} {worker} {trials} {host}".encode()).digest()
    return _NetworkSampler(
        space, multivariate=True, group=True, constant_liar=True, seed=int.from_bytes(digest[:4])
    )


def make_pruner(settings: StudySettings) -> optuna.pruners.BasePruner:
    """The study's pruner over epochs.

    `halving` is asynchronous successive halving (Li et al., 2020, arXiv:1810.05934): the first rung comes
    after a twelfth of the epochs, every second one after twice as many, the last by two thirds. Half of the
    trials goes on from each; of those, the ones go on that are not behind the finished trials. `median`
    stops a trial below the median of the earlier ones at the same epoch, after a quarter of the epochs and 5
    trials.
    """
    if settings.pruner == "halving":
        return _Halving(settings.epochs)
    if settings.pruner == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=max(1, settings.epochs // 4))
    return optuna.pruners.NopPruner()


class _Halving(optuna.pruners.BasePruner):
    """Successive halving that asks more of a trial as the finished ones get better.

    By itself it compares with all trials that reached the rung. A sampler that has learnt proposes trials
    that are better than nearly all of those, so that 9 of 10 went on to the end without being any better than
    the finished ones. From five finished trials on, a trial must not be in the lowest quarter of their values
    at the first rung, and in the upper half later.

    On drawn faces 0.29 of the epochs are trained; with a third going on from rungs at a sixth and half of the
    epochs it was 0.49, with half going on from every second rung 0.37. All three lose 0.06 points of the best
    accuracy. On the curves of a study of FER2013, of 164 trials of 10 epochs, it trains 0.32 and keeps the
    best six, with every second rung 0.36.

    It looks at reported accuracies only: Optuna's own pruner keeps a note of every trial's rungs, which
    another rung would misread in a study that goes on.
    """

    _LEAST = 5

    def __init__(self, epochs: int) -> None:
        first = math.ceil(epochs / 12)
        rungs = (round(first * 2 ** (place / 2)) for place in itertools.count())
        self._rungs = list(itertools.takewhile(lambda rung: rung <= epochs * 2 / 3, rungs))

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        epoch = trial.last_step
        if epoch not in self._rungs:
            return False
        # A failed trial was interrupted, and its continuation reports the same again.
        there = [
            other
            for other in study.get_trials(deepcopy=False)
            if other.number != trial.number
            and other.state != TrialState.FAIL
            and epoch in other.intermediate_values
        ]
        value = trial.intermediate_values[epoch]
        rivals = sorted([value, *(other.intermediate_values[epoch] for other in there)], reverse=True)
        if value < rivals[max(1, len(rivals) // 2) - 1]:
            return True
        complete = (other for other in there if other.state == TrialState.COMPLETE)
        finished = sorted(other.intermediate_values[epoch] for other in complete)
        place = len(finished) // 4 if epoch == self._rungs[0] else len(finished) // 2
        return len(finished) >= self._LEAST and value < finished[place]


class _SnapshotSampler(optuna.samplers.TPESampler):
    """TPE that reads the study once a trial, and each finished trial once.

    By itself it reads, judges and divides all trials for each group of parameters, of which there are ten, to
    see running trials.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._read: dict[int, _ReadTrial] = {}
        self._grouped = 0  # of so many trials from the first on the groups are known
        self._snapshot: _Snapshot | None = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        trials = study.get_trials(deepcopy=False)
        self._snapshot = _Snapshot(study, [self._once(other) for other in trials])
        fresh: Any = _Snapshot(study, trials[self._grouped :])
        unfinished = (other.number for other in trials if not other.state.is_finished())
        self._grouped = max(self._grouped, min(unfinished, default=len(trials)))
        return super().infer_relative_search_space(fresh, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        snapshot: Any = self._snapshot  # made for this trial: Optuna infers and samples in a row
        return super().sample_relative(snapshot, trial, search_space)

    def _sample(
        self, study: Any, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not isinstance(study, _Snapshot):
            return super()._sample(study, trial, search_space)
        names = tuple(search_space)
        if names not in study.estimators:
            study.estimators[names] = tuple(
                self._build_parzen_estimator(study, search_space, part, handle_below=first)  # type: ignore[arg-type]
                for part, first in zip(study.divided(trial.number), (True, False), strict=True)
            )
        below, above = study.estimators[names]
        candidates = below.sample(self._rng.rng, self._n_ei_candidates)
        best = self._compare(candidates, self._compute_acquisition_func(candidates, below, above))
        return {name: kind.to_external_repr(best[name]) for name, kind in search_space.items()}

    def _once(self, trial: FrozenTrial) -> _ReadTrial:
        if trial.number in self._read:
            return self._read[trial.number]
        read = _ReadTrial(trial)
        if trial.state.is_finished():
            self._read[trial.number] = read
        return read

    def _get_internal_repr(
        self, trials: list[Any], search_space: dict[str, BaseDistribution], study: Any
    ) -> dict[str, np.ndarray]:
        if not isinstance(study, _Snapshot):
            return super()._get_internal_repr(trials, search_space, study)
        names = tuple(search_space)
        rows = []
        for trial in trials:
            if names not in trial.rows:
                params = self._get_params(trial, study)  # type: ignore[arg-type]
                known = all(name in params for name in names)
                trial.rows[names] = (
                    [search_space[name].to_internal_repr(params[name]) for name in names] if known else None
                )
            if (row := trial.rows[names]) is not None:
                rows.append(row)
        return {name: np.asarray([row[at] for row in rows]) for at, name in enumerate(names)}


class _NetworkSampler(_SnapshotSampler):
    """TPE that knows what a network is.

    By itself it draws at random until ten trials are finished, most of which may be over a limit, and then
    follows the few that were trained: of ten, one was, and it came to 0.28 on drawn faces; the next 13 that
    were trained were its like, and none came further. Here ten are trained, drawn at random within the
    limits, before it begins, and what it samples then is within the limits, too. What a trial has proposed
    isn't proposed again, as two runs that begin at once on one machine have the same seeds.
    """

    _TRAINED = 10
    _TRIES = 60  # to be within the limits and new, half of TPE, half at random; then the slimmest is trained

    def __init__(self, space: SearchSpace | None, **options: Any) -> None:
        super().__init__(**options)
        self._space = space
        self._begins = True
        self._known: set[str | None] = set()
        self._completed: dict[str, Any] = {}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        if self._space is not None:
            trials = study.get_trials(deepcopy=False)
            self._begins = self._enough(trials)
            self._known = {other.user_attrs.get(PROPOSAL) for other in trials}
        return super().infer_relative_search_space(study, trial) if self._begins else {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        self._completed = {}
        if self._space is None or "fixed_params" in trial.system_attrs:
            return super().sample_relative(study, trial, search_space) if self._begins else {}
        params: dict[str, Any] = {}
        for attempt in range(self._TRIES + 1):
            learnt = self._begins and attempt < self._TRIES // 2
            params = super().sample_relative(study, trial, search_space) if learnt else {}
            given = SLIMMEST if attempt == self._TRIES else params
            proposal, self._completed = self._space.complete(given, int(self._rng.rng.randint(1 << 31)))
            within = self._space.limits.allow(count(proposal.config))
            if within and proposal.fingerprint not in self._known:
                break
        return params

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        if param_name in self._completed:
            return self._completed[param_name]
        return super().sample_independent(study, trial, param_name, param_distribution)

    def _enough(self, trials: Sequence[FrozenTrial]) -> bool:
        # Published networks, which have no parameters of their own, teach nothing of the space.
        ended = (TrialState.COMPLETE, TrialState.PRUNED)
        own = (t for t in trials if t.state in ended and t.intermediate_values and "stages" in t.params)
        return sum(1 for _ in own) >= self._TRAINED


class _ReadTrial:
    """A trial whose most used properties are computed once.

    Attributes:
        rows: by names of a group its values as TPE takes them, None where the trial lacks one.
    """

    def __init__(self, trial: FrozenTrial) -> None:
        self._trial = trial
        self.number, self.state, self.params = trial.number, trial.state, trial.params
        self.system_attrs = trial.system_attrs
        excess = sum(value for value in trial.constraints.values() if value > 0)
        self.constraints = {"excess": excess} if excess > 0 else {}
        # Pruned trials are ordered by the last step and its value.
        last = trial.last_step
        self.intermediate_values = {} if last is None else {last: trial.intermediate_values[last]}
        self.rows: dict[tuple[str, ...], list[float] | None] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trial, name)


class _Snapshot:
    """A study whose trials are these.

    Attributes:
        estimators: TPE's of the good and the other trials, by the names of a group.
    """

    def __init__(self, study: Study, trials: Sequence[Any]) -> None:
        self.estimators: dict[tuple[str, ...], tuple[Any, ...]] = {}
        self._study, self._trials = study, trials
        self.direction, self.directions = study.direction, study.directions
        self._divided: tuple[list[Any], list[Any]] | None = None

    def divided(self, number: int) -> tuple[list[Any], list[Any]]:
        """TPE's good and other trials, without the one that is being sampled."""
        if self._divided is None:
            used = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
            trials = [trial for trial in self._get_trials(states=used) if trial.number != number]
            finished = sum(trial.state != TrialState.RUNNING for trial in trials)
            itself: Any = self
            self._divided = _split_trials(itself, trials, default_gamma(finished))
        return self._divided

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[Any]:
        return [trial for trial in self._trials if states is None or trial.state in states]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)
