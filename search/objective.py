"""One trial: sample, count, train with reports, prune; knows nothing of how many trials or workers there
are."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import torch
from optuna.artifacts._protocol import ArtifactStore
from optuna.trial import FrozenTrial, TrialState

from search.recovery import CONTINUES, DOUBLED, FINISHED, PROPOSAL, REASON, SURPLUS, is_doubled, is_poison
from search.settings import StudySettings
from search.space import Proposal, SearchSpace
from search.storage import STORAGE_ERRORS, transaction
from zoo.data.dataset import FaceDataset, Split
from zoo.errors import disk_is_full, first_line
from zoo.networks import count
from zoo.training.device import is_out_of_memory
from zoo.training.evaluate import measure
from zoo.training.loop import DivergedError, EpochResult, OtherRunError, Trainer

__all__ = ["Objective", "SurplusTrialError", "TrialInterruptedError"]

DUPLICATE = "duplicate_of"


class TrialInterruptedError(Exception):
    """The run ends; the trial has to be queued again and will go on from its last epoch."""


class SurplusTrialError(Exception):
    """The study doesn't need this trial: it has all its trials, or another goes on from the same trial."""


class Objective:
    """What a worker calls with each trial.

    Every trial records its config, recipe, cost, curve, seconds and figures as user attributes, and the
    reason when it is pruned.

    Args:
        total: trials that the study is to have.
        checkpoints: folder; a trial's checkpoint is named by its proposal, so that whoever runs the same
            proposal again goes on from it.
        deadline: `time.time()` by which trials end; a trial that would overrun it is interrupted.
        should_stop: asked after every training step; a true answer interrupts the trial.
    """

    def __init__(
        self,
        settings: StudySettings,
        dataset: FaceDataset,
        split: Split,
        *,
        total: int,
        device: torch.device,
        checkpoints: Path,
        artifacts: ArtifactStore,
        deadline: float | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._settings, self._dataset, self._split = settings, dataset, split
        self._total, self._device = total, device
        self._checkpoints, self._artifacts = checkpoints, artifacts
        self._deadline, self._should_stop = deadline, should_stop
        self._space = SearchSpace.of(settings, len(split.train))
        self._checkpoint: Path | None = None
        # A network that answers the most frequent class always, as many do that haven't begun to learn. To
        # rank them among themselves would send some of them on, and the sampler after them.
        counts = np.bincount(dataset.labels[split.validation], minlength=len(settings.classes))
        self._floor = counts.max() / counts.sum()

    def __call__(self, trial: optuna.Trial) -> float:
        """Run one trial; returns the validation accuracy after its last epoch.

        Raises:
            optuna.TrialPruned: over a limit, not promising, diverged, out of memory, or a duplicate.
            TrialInterruptedError: the run ends.
            SurplusTrialError: the study doesn't need the trial.
        """
        self._checkpoint = None
        if self._unneeded(trial):
            raise SurplusTrialError
        proposal = self._propose(trial)
        cost = count(proposal.config)
        attributes = {
            "config": proposal.config.to_json(),
            "recipe": proposal.recipe.to_json(),
            "parameters": cost.parameters,
            "macs": cost.macs,
            PROPOSAL: proposal.fingerprint,
        }
        excesses = self._space.limits.excess(cost)
        with transaction(trial.study):
            for name, value in attributes.items():
                trial.set_user_attr(name, value)
            for name, excess in excesses.items():
                trial.set_constraint(f"{name} over the limit", excess)
        over = [f"{name} {getattr(cost, name):,}" for name, excess in excesses.items() if excess > 0]
        if over:
            raise self._pruned(trial, f"over the limit: {', '.join(over)}")
        earlier = _duplicate(trial, proposal)
        if earlier is not None:
            return self._repeat(trial, earlier)
        self._checkpoint = self._checkpoints / f"{proposal.fingerprint}.pt"
        return self._train(trial, proposal, self._checkpoint)

    def forget(self) -> None:
        """Remove the checkpoint of the last trial: its outcome is stored."""
        if self._checkpoint is not None:
            self._checkpoint.unlink(missing_ok=True)

    def _propose(self, trial: optuna.Trial) -> Proposal:
        trial.relative_params  # noqa: B018  samples now, not while the storage is locked
        with transaction(trial.study):
            return self._space.suggest(trial)

    def _train(self, trial: optuna.Trial, proposal: Proposal, checkpoint: Path) -> float:
        trainer, failure = None, ""
        try:
            trainer = self._make_trainer(proposal, checkpoint)
            trial.set_user_attr("first_epoch", len(trainer.history) + 1)
            for result in trainer.history:
                pruned = self._report(trial, result)
            # Of the epochs before a resume only the last one's judgement is new.
            if trainer.history and pruned:
                self._prune(trial, trainer)
            for result in trainer.epochs(on_step=self._check):
                if self._report(trial, result):
                    self._prune(trial, trainer)
                if result.epoch < proposal.recipe.epochs:
                    self._check(expected=result.seconds)
            self._record(trial, trainer, answers=True)
            self._upload(trial)
            return trainer.history[-1].accuracy
        except DivergedError as error:
            failure = f"diverged: {error}"
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            failure = f"out of memory on {self._device}"
        # Raised out of the handlers, as an exception's context keeps the memory of all its frames.
        if trainer is not None and trainer.history:
            self._record(trial, trainer)
        raise self._pruned(trial, failure)

    def _make_trainer(self, proposal: Proposal, checkpoint: Path) -> Trainer:
        def make() -> Trainer:
            return Trainer(
                proposal.config,
                proposal.recipe,
                self._dataset,
                self._split,
                device=self._device,
                checkpoint=checkpoint,
            )

        try:
            return make()
        except OtherRunError:
            # Of an earlier study of this name, with other data: one of this study's would fit.
            checkpoint.unlink()
            return make()

    def _report(self, trial: optuna.Trial, result: EpochResult) -> bool:
        """Store an epoch's accuracy; whether the trial isn't worth going on with, never after its last."""
        trial.report(result.accuracy, result.epoch)
        if self._settings.pruner == "none" or result.epoch >= self._settings.epochs:
            return False
        stuck = result.epoch >= max(4, self._settings.epochs / 3) and result.accuracy <= self._floor
        return stuck or trial.should_prune()

    def _prune(self, trial: optuna.Trial, trainer: Trainer) -> None:
        self._record(trial, trainer, answers=True)
        result = trainer.history[-1]
        raise self._pruned(trial, f"accuracy {result.accuracy:.3f} after epoch {result.epoch}")

    def _record(self, trial: optuna.Trial, trainer: Trainer, *, answers: bool = False) -> None:
        """Store curve and seconds, and all figures of the validation faces if the network `answers`."""
        curve = [
            {"epoch": r.epoch, "train_loss": round(r.train_loss, 4), "train_accuracy":
             round(r.train_accuracy, 4), "loss": round(r.loss, 4), "accuracy": round(r.accuracy, 4),
             "macro_f1": round(r.macro_f1, 4), "seconds": round(r.seconds, 2)}
            for r in trainer.history
        ]  # fmt: skip
        attributes = {
            "curve": curve,
            "macro_f1": curve[-1]["macro_f1"],
            "seconds": round(trainer.seconds, 2),
        }
        if answers:
            labels = self._dataset.labels[self._split.validation]
            attributes["metrics"] = measure(trainer.validation_logits(), labels, self._dataset.classes)
        with transaction(trial.study):
            for name, value in attributes.items():
                trial.set_user_attr(name, value)

    def _pruned(self, trial: optuna.Trial, reason: str) -> optuna.TrialPruned:
        # The reason last: a trial that kills its worker before it has one is a crash.
        self._upload(trial, reason)
        trial.set_user_attr(REASON, reason)
        return optuna.TrialPruned(reason)

    def _upload(self, trial: optuna.Trial, reason: str = "") -> None:
        """Keep the trial's pictures; where the store of pictures fails, the trial counts all the same.

        Args:
            reason: why it is pruned, if it is.
        """
        from search.artifacts import upload_trial

        try:
            upload_trial(trial, self._dataset.classes, self._artifacts, reason)
        except (*STORAGE_ERRORS, optuna.exceptions.UpdateFinishedTrialError):
            raise
        except Exception as error:
            if disk_is_full(error):
                raise
            said = first_line(error)
            trial.set_user_attr("pictures_missing", said)
            print(f"trial {trial.number}: its pictures can't be kept ({said})", file=sys.stderr)

    def _repeat(self, trial: optuna.Trial, earlier: FrozenTrial) -> float:
        """The outcome of an earlier trial with the same proposal, which isn't trained again."""
        trial.set_user_attr(DUPLICATE, earlier.number)
        if earlier.state != TrialState.COMPLETE or earlier.value is None:
            raise self._pruned(trial, f"the same as trial {earlier.number}")
        for name in ("curve", "macro_f1", "metrics", "seconds"):
            if name in earlier.user_attrs:
                trial.set_user_attr(name, earlier.user_attrs[name])
        self._upload(trial)
        return float(earlier.value)

    def _check(self, *progress: int, expected: float = 0.0) -> bool:
        """Interrupt the trial when asked to, or when `expected` more seconds would overrun the deadline."""
        late = self._deadline is not None and time.time() + expected > self._deadline
        if late or self._should_stop():
            raise TrialInterruptedError
        return False

    def _unneeded(self, trial: optuna.Trial) -> bool:
        """Whether the study doesn't need the trial; the reason is recorded."""
        retried = CONTINUES in trial.user_attrs
        if not retried and trial.number < self._total:
            return False
        others = trial.study.get_trials(deepcopy=False)
        if retried and is_doubled(trial, others):
            trial.set_user_attr(REASON, DOUBLED)
            return True
        # Trials are numbered by the storage, so of all that run at once exactly the right ones see too many.
        counted = (*FINISHED, TrialState.RUNNING)
        if sum(other.state in counted and other.number < trial.number for other in others) < self._total:
            return False
        trial.set_user_attr(REASON, SURPLUS)
        return True


def _duplicate(trial: optuna.Trial, proposal: Proposal) -> FrozenTrial | None:
    """The first trial with the same proposal that is finished, poison, or running and begun before.

    A trial that was a duplicate itself doesn't count: the one it repeated may have been interrupted since.
    """
    fingerprint = proposal.fingerprint
    same = (
        other
        for other in trial.study.get_trials(deepcopy=False)
        if other.number < trial.number
        and other.user_attrs.get(PROPOSAL) == fingerprint
        and DUPLICATE not in other.user_attrs
    )
    counted = (*FINISHED, TrialState.RUNNING)
    return next((other for other in same if other.state in counted or is_poison(other)), None)
