"""What moves the weights: optimisers, the plateau schedule, the moving average; knows no training loop."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from zoo.training.recipe import Recipe

__all__ = ["Plateau", "PlateauState", "WeightAverage", "make_optimizer"]


class WeightAverage:
    """An exponential moving average of a network's weights and statistics, updated after every step.

    The decay grows with the steps, (1 + step) / (10 + step) at most, so that the initial weights are soon
    forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        live = network.state_dict()
        self.state = {name: value.clone() for name, value in live.items()}
        pairs = [(self.state[name], value) for name, value in live.items() if value.is_floating_point()]
        self._averages, self._live = [a for a, _ in pairs], [b for _, b in pairs]
        self._decay, self._steps = decay, 0

    def update(self) -> None:
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        torch._foreach_lerp_(self._averages, self._live, 1 - decay)

    def checkpoint(self) -> dict[str, Any]:
        return {"state": self.state, "steps": self._steps}

    def restore(self, saved: dict[str, Any]) -> None:
        self._steps = saved["steps"]
        for name, value in saved["state"].items():
            self.state[name].copy_(value)


@dataclass(frozen=True)
class PlateauState:
    best: float = math.inf
    waited: int = 0
    factor: float = 1.0


class Plateau:
    """Lowers the learning rate of the `plateau` schedule when the validation loss stops falling."""

    def __init__(self, recipe: Recipe) -> None:
        self._active = recipe.schedule == "plateau"
        self._patience, self._step = recipe.plateau_patience, recipe.step_factor
        self.state = PlateauState()

    @property
    def factor(self) -> float:
        return self.state.factor

    def update(self, loss: float) -> None:
        if not self._active:
            return
        if loss < self.state.best:
            self.state = PlateauState(loss, 0, self.state.factor)
        elif self.state.waited >= self._patience:
            self.state = PlateauState(self.state.best, 0, self.state.factor * self._step)
        else:
            self.state = dataclasses.replace(self.state, waited=self.state.waited + 1)


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer; norms and biases (one-dimensional parameters) have no weight decay."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    rate = recipe.learning_rate
    if recipe.optimizer == "sgd":
        nesterov = recipe.momentum > 0
        return torch.optim.SGD(groups, rate, momentum=recipe.momentum, nesterov=nesterov, fused=True)
    if recipe.optimizer == "adadelta":
        return torch.optim.Adadelta(groups, rate, foreach=True)
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, rate, fused=True)
