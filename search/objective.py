"""One trial: sample, count, train with reports, prune; knows nothing of how many trials or workers there
are."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.artifacts._protocol import ArtifactStore
from optuna.trial import TrialState

from search.settings import StudySettings
from search.space import Limits, Proposal, suggest
from search.study import FINISHED, REASON, WORKER, worker_identity
from zoo.data.dataset import FaceDataset, Split
from zoo.networks import count
from zoo.training.device import is_out_of_memory
from zoo.training.evaluate import measure
from zoo.training.loop import DivergedError, EpochResult, Trainer

__all__ = ["Objective", "SurplusTrialError", "TrialInterruptedError"]

DUPLICATE = "duplicate_of"


class TrialInterruptedError(Exception):
    """The run ends; the trial is queued again and will go on from its last epoch."""


class SurplusTrialError(Exception):
    """The study has all its trials already; this one was begun in the same moment as the last."""


class Objective:
    """What `study.optimize` calls.

    Every trial records its config, recipe, cost, worker, curve, seconds and figures as user attributes,
    and the reason when it is pruned or failed.

    Args:
        total: trials that the study is to have.
        checkpoints: folder; a trial's checkpoint is named by its proposal, so that whoever runs the same
            proposal again goes on from it.
        deadline: `time.time()` by which trials end; a trial that would overrun it is interrupted.
        should_stop: asked between epochs.
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
        self._limits = Limits(settings.max_macs, settings.max_parameters)

    def __call__(self, trial: optuna.Trial) -> float:
        """Run one trial; returns the validation accuracy after its last epoch.

        Raises:
            optuna.TrialPruned: over a limit, not promising, diverged, out of memory, or a duplicate.
            TrialInterruptedError: the run ends; the trial was queued again.
            SurplusTrialError: the study has its trials.
        """
        trial.set_user_attr(WORKER, worker_identity())
        if self._surplus(trial):
            trial.set_user_attr(REASON, "surplus")
            raise SurplusTrialError
        proposal = suggest(
            trial,
            classes=len(self._settings.classes),
            limits=self._limits,
            epochs=self._settings.epochs,
            seed=self._settings.seed,
            soft_labels=self._settings.soft_labels,
        )
        cost = count(proposal.config)
        attributes = {
            "config": proposal.config.to_json(),
            "recipe": proposal.recipe.to_json(),
            "parameters": cost.parameters,
            "macs": cost.macs,
            "proposal": proposal.fingerprint,
        }
        for name, value in attributes.items():
            trial.set_user_attr(name, value)
        excesses = self._limits.excess(cost)
        for name, excess in excesses.items():
            trial.set_constraint(f"{name} over the limit", excess)
        over = [f"{name} {getattr(cost, name):,}" for name, excess in excesses.items() if excess > 0]
        if over:
            raise self._pruned(trial, f"over the limit: {', '.join(over)}")
        earlier = self._duplicate(trial, proposal)
        if earlier is not None:
            trial.set_user_attr(DUPLICATE, earlier.number)
            if earlier.value is not None and earlier.state == TrialState.COMPLETE:
                for name in ("curve", "metrics", "seconds"):
                    trial.set_user_attr(name, earlier.user_attrs[name])
                return float(earlier.value)
            raise self._pruned(trial, f"the same as trial {earlier.number}")
        checkpoint = self._checkpoints / f"{proposal.fingerprint}.pt"
        value = self._train(trial, proposal, checkpoint)
        checkpoint.unlink(missing_ok=True)
        return value

    def _train(self, trial: optuna.Trial, proposal: Proposal, checkpoint: Path) -> float:
        trainer = None
        try:
            trainer = Trainer(
                proposal.config,
                proposal.recipe,
                self._dataset,
                self._split,
                device=self._device,
                checkpoint=checkpoint,
            )
            trial.set_user_attr("first_epoch", len(trainer.history) + 1)
            for result in trainer.history:
                trial.report(result.accuracy, result.epoch)
            for result in trainer.epochs():
                trial.report(result.accuracy, result.epoch)
                if trial.should_prune():
                    self._record(trial, trainer)
                    checkpoint.unlink(missing_ok=True)
                    raise self._pruned(trial, f"accuracy {result.accuracy:.3f} after epoch {result.epoch}")
                if result.epoch < proposal.recipe.epochs and self._out_of_time(result):
                    self._queue_again(trial)
                    raise TrialInterruptedError
            self._record(trial, trainer)
            self._finish(trial, trainer)
            return trainer.history[-1].accuracy
        except DivergedError as error:
            raise self._pruned(trial, f"diverged: {error}") from None
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise self._pruned(trial, f"out of memory on {self._device}") from None
        except KeyboardInterrupt:
            self._queue_again(trial)
            raise
        finally:
            del trainer
            gc.collect()
            if self._device.type == "cuda":
                torch.cuda.empty_cache()

    def _pruned(self, trial: optuna.Trial, reason: str) -> optuna.TrialPruned:
        trial.set_user_attr(REASON, reason)
        return optuna.TrialPruned(reason)

    def _record(self, trial: optuna.Trial, trainer: Trainer) -> None:
        curve = [
            {"epoch": r.epoch, "train_loss": round(r.train_loss, 4), "train_accuracy":
             round(r.train_accuracy, 4), "loss": round(r.loss, 4), "accuracy": round(r.accuracy, 4),
             "macro_f1": round(r.macro_f1, 4), "seconds": round(r.seconds, 2)}
            for r in trainer.history
        ]  # fmt: skip
        trial.set_user_attr("curve", curve)
        trial.set_user_attr("macro_f1", curve[-1]["macro_f1"])
        trial.set_user_attr("seconds", round(trainer.seconds, 2))

    def _finish(self, trial: optuna.Trial, trainer: Trainer) -> None:
        """Figures and artifacts of a trial that ran to its end."""
        from search.artifacts import upload_trial

        rows = self._split.validation
        logits = trainer.logits(self._dataset.faces[rows])
        metrics = measure(logits, self._dataset.labels[rows], self._dataset.classes)
        trial.set_user_attr("metrics", metrics)
        upload_trial(trial, trainer, metrics, self._dataset.classes, self._artifacts)

    def _out_of_time(self, result: EpochResult) -> bool:
        """Asked to stop, or the next epoch would overrun the deadline."""
        late = self._deadline is not None and time.time() + result.seconds > self._deadline
        return late or self._should_stop()

    def _queue_again(self, trial: optuna.Trial) -> None:
        trial.set_user_attr(REASON, "interrupted")
        network = {k: v for k, v in trial.user_attrs.items() if k == "network"}
        trial.study.enqueue_trial(trial.params, user_attrs={**network, "continues": trial.number})

    def _surplus(self, trial: optuna.Trial) -> bool:
        """Trials are numbered by the storage, so of all that run at once exactly the right ones see too
        many."""
        counted = (*FINISHED, TrialState.RUNNING)
        trials = trial.study.get_trials(deepcopy=False, states=counted)
        return sum(other.number < trial.number for other in trials) >= self._total

    def _duplicate(self, trial: optuna.Trial, proposal: Proposal) -> Any:
        """The earliest other trial with the same proposal that is finished, or running and begun before."""
        for other in trial.study.get_trials(deepcopy=False, states=(*FINISHED, TrialState.RUNNING)):
            if other.number < trial.number and other.user_attrs.get("proposal") == proposal.fingerprint:
                return other
        return None
