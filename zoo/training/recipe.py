"""How a network is trained, as one frozen config; knows no network and no data set."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from zoo.data.augment import Augmentation
from zoo.data.balance import BALANCES
from zoo.data.dataset import FACE_SIZE
from zoo.networks.config import require, require_choice, require_types

__all__ = ["OPTIMIZERS", "SCHEDULES", "Recipe", "learning_rate_factor", "resolution", "resolutions"]

OPTIMIZERS = ("sgd", "adam", "adamw", "adadelta")
_RESOLUTION_STEP = 8
SCHEDULES = ("constant", "step", "cyclic", "one_cycle", "cosine", "plateau")


@dataclass(frozen=True)
class Recipe:
    """Everything about a training run that isn't the network, the data or the device.

    Attributes:
        epochs: at most so many passes.
        batch_size: faces a step.
        optimizer: one of `OPTIMIZERS`; `sgd` has Nesterov momentum.
        learning_rate: the highest of the schedule.
        momentum: of `sgd`.
        weight_decay: of weights, not of norms and biases; decoupled for `adamw` only.
        schedule: one of `SCHEDULES`, see `learning_rate_factor`.
        warmup_epochs: linear rise from zero before the schedule.
        step_epochs, step_factor: `step` multiplies by the factor every so many epochs; `cyclic` rises and
            falls within so many.
        plateau_patience: `plateau` multiplies by `step_factor` after more than so many epochs without a
            better validation loss.
        label_smoothing: share of the target spread over all classes.
        mixup: alpha of the Beta distribution that blends pairs of faces (arXiv:1710.09412); 0 blends none.
        balance: one of `BALANCES`, with `balance_strength` from 0 (as the data is) to 1 (all classes alike).
        average: decay a step of the exponential moving average of the weights, which is then what is
            evaluated and kept; 0 keeps the weights themselves.
        patience: stop after so many epochs without a better validation accuracy; None never stops early.
        keep: `best` restores the epoch of the best validation accuracy, `last` keeps the last one.
        soft_labels: use annotators' votes as targets where the data set has them.
        teacher: saved models, names or folders joined by `+`, which answer in turn as part of the
            target; empty for none.
        teacher_share: of the target, where there are teachers; the rest is the label.
        start_resolution: pixels a side at which training begins; it grows in steps of 8 to the 48 of the
            faces, and so early epochs cost less (progressive resizing, arXiv:2104.00298). See `resolution`.
        full_resolution_from: share of the epochs after which faces are trained on at 48 pixels.
        augmentation: see `Augmentation`.
        seed: of initialisation, order, augmentation and dropout.
    """

    epochs: int = 40
    batch_size: int = 128
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: str = "cosine"
    warmup_epochs: float = 2.0
    step_epochs: float = 10.0
    step_factor: float = 0.1
    plateau_patience: int = 3
    label_smoothing: float = 0.1
    mixup: float = 0.0
    balance: str = "none"
    balance_strength: float = 1.0
    average: float = 0.998
    patience: int | None = None
    keep: str = "best"
    soft_labels: bool = False
    teacher: str = ""
    teacher_share: float = 0.5
    start_resolution: int = FACE_SIZE
    full_resolution_from: float = 0.6
    augmentation: Augmentation = field(default_factory=Augmentation)
    seed: int = 0

    def __post_init__(self) -> None:
        require_types(self)
        for name, value in vars(self).items():
            finite = not isinstance(value, float) or math.isfinite(value)
            require(finite, name, value, "a finite number")
        require(self.epochs >= 1, "epochs", self.epochs, "at least 1")
        require(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        require_choice("optimizer", self.optimizer, OPTIMIZERS)
        require_choice("schedule", self.schedule, SCHEDULES)
        require_choice("balance", self.balance, BALANCES)
        require_choice("keep", self.keep, ("best", "last"))
        require(self.learning_rate > 0, "learning_rate", self.learning_rate, "above 0")
        require(self.step_epochs > 0, "step_epochs", self.step_epochs, "above 0")
        require(self.plateau_patience >= 0, "plateau_patience", self.plateau_patience, "at least 0")
        for name in ("weight_decay", "warmup_epochs", "mixup"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "at least 0")
        for name in ("momentum", "label_smoothing", "average"):
            require(0 <= getattr(self, name) < 1, name, getattr(self, name), "at least 0 and below 1")
        require(0 < self.step_factor <= 1, "step_factor", self.step_factor, "above 0 and at most 1")
        require(0 <= self.balance_strength <= 1, "balance_strength", self.balance_strength, "0 to 1")
        require(0 <= self.teacher_share <= 1, "teacher_share", self.teacher_share, "0 to 1")
        sizes = range(16, FACE_SIZE + 1, _RESOLUTION_STEP)
        require(
            self.start_resolution in sizes, "start_resolution", self.start_resolution, f"one of {[*sizes]}"
        )
        share = self.full_resolution_from
        require(0 <= share < 1, "full_resolution_from", share, "at least 0 and below 1")
        require(self.patience is None or self.patience >= 1, "patience", self.patience, "None or at least 1")
        require(0 <= self.seed < 2**31, "seed", self.seed, "0 to 2147483647")

    def to_json(self) -> dict[str, Any]:
        """Plain values that `from_json` turns back into an equal recipe."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Recipe:
        """The recipe that `to_json` described.

        Raises:
            ConfigError: a field is unknown, or has a value that it cannot have.
        """
        inner = values.get("augmentation", {})
        require(isinstance(inner, dict), "augmentation", inner, "an object with fields")
        for owner, given in ((cls, values), (Augmentation, inner)):
            known = {entry.name for entry in dataclasses.fields(owner)}
            unknown = sorted(set(given) - known)
            require(
                not unknown, owner.__name__.lower(), unknown, "only fields out of " + ", ".join(sorted(known))
            )
        varied = {"augmentation": Augmentation(**values["augmentation"])} if "augmentation" in values else {}
        return cls(**{**values, **varied})


def learning_rate_factor(recipe: Recipe, progress: float) -> float:
    """What the learning rate is multiplied by, a pure function of the epochs done.

    `constant` 1 · `step` falls by `step_factor` every `step_epochs` · `cyclic` a triangle of `step_epochs`
    that rises from 0.1 to 1 and falls back (arXiv:1506.01186) · `one_cycle` rises over the first 30% and
    falls to zero, both as cosines (arXiv:1708.07120) · `cosine` falls to zero (arXiv:1608.03983) ·
    `plateau` 1, as the training loop lowers it. All but `one_cycle` begin with the warm-up.

    Args:
        progress: epochs done, a fraction within an epoch, 0 to `recipe.epochs`.
    """
    total = recipe.epochs
    if recipe.schedule == "one_cycle":
        peak = 0.3 * total
        if progress < peak:
            return 0.04 + 0.96 * (1 - math.cos(math.pi * progress / peak)) / 2
        return (1 + math.cos(math.pi * (progress - peak) / (total - peak))) / 2
    # A run shorter than three warm-ups warms up for a third of it.
    warmup = min(recipe.warmup_epochs, total / 3)
    if progress < warmup:
        return progress / warmup
    progress, rest = progress - warmup, total - warmup
    if recipe.schedule == "step":
        return recipe.step_factor ** math.floor(progress / recipe.step_epochs)
    if recipe.schedule == "cyclic":
        place = progress / recipe.step_epochs % 1
        return 0.1 + 0.9 * (1 - abs(2 * place - 1))
    if recipe.schedule == "cosine":
        return (1 + math.cos(math.pi * min(1.0, progress / rest))) / 2
    return 1.0


def resolution(recipe: Recipe, epoch: int) -> int:
    """Pixels a side of the faces that an epoch trains on, a pure function of the recipe.

    Every size from `start_resolution` up gets as many of the epochs before `full_resolution_from`.

    Args:
        epoch: counted from 0.
    """
    sizes = resolutions(recipe.start_resolution)[:-1]
    small = recipe.full_resolution_from * recipe.epochs
    return sizes[int(epoch / small * len(sizes))] if sizes and epoch < small else FACE_SIZE


def resolutions(start: int) -> list[int]:
    """The sizes of faces that a training from `start` pixels a side goes through."""
    return [*range(start, FACE_SIZE + 1, _RESOLUTION_STEP)]
