"""Saved models as teachers: what they answer is part of a network's targets; knows no training loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from zoo.data.channels import Preprocess
from zoo.data.dataset import FaceDataset, Split
from zoo.errors import ConfigError
from zoo.models import load_model, resolve
from zoo.training.device import autocast
from zoo.training.graphs import recorded
from zoo.training.pretrained import on_same_split, split_options

__all__ = ["Teacher"]


class Teacher:
    """The calibrated probabilities of saved models, one a batch in turn (distillation, arXiv:1503.02531).

    The loss is linear in its targets, so that turns teach the mean of all, at the cost of one. A teacher sees
    the same augmented faces as the network that learns from it (arXiv:2106.05237).

    Args:
        names: names or folders of saved models, joined by `+`.
        dataset, split: the faces that the network will learn from and be measured on.

    Raises:
        WeightsError: there is no such model, or it was altered.
        ConfigError: a model has other classes, or learned from faces that are to select the network.
    """

    def __init__(
        self,
        names: str,
        dataset: FaceDataset,
        split: Split,
        *,
        device: torch.device,
        precision: torch.dtype,
    ) -> None:
        self._device, self._precision = device, precision
        self._answers: list[Callable[[Tensor], Tensor]] = []
        self._launches: dict[int, Callable[[Tensor], Tensor]] = {}
        self.digests: list[str] = []
        self.soft_labels = False
        for name in names.split("+"):
            network, card = load_model(resolve(name))
            if card.classes != dataset.classes:
                raise ConfigError(
                    f"teacher {name!r} knows {', '.join(card.classes)}; required: "
                    + ", ".join(dataset.classes)
                )
            if not on_same_split(card.data, dataset, split):
                options = split_options(split.kind, split.seed, split.names[1])
                raise ConfigError(
                    f"teacher {name!r} learned from other parts of the data, perhaps from faces that select "
                    f"this network; required: a teacher trained with {options} on the same data"
                )
            preprocess = Preprocess(card.channels, card.mean, card.std).to(device)
            network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            self._answers.append(partial(self._answer, network, preprocess, card.temperature))
            self.digests.append(card.weights_sha256)
            self.soft_labels = self.soft_labels or bool(card.data.get("soft_labels"))

    def probabilities(self, faces: Tensor, turn: int) -> Tensor:
        """What the teacher answers whose turn it is.

        Args:
            faces: float (N, 48, 48), 0–255, on the device.
            turn: of the batch, counted over all epochs.

        Returns:
            float32 (N, classes), rows summing to 1; on a CUDA device a later call overwrites them.
        """
        place = turn % len(self._answers)
        if place not in self._launches:
            self._launches[place] = recorded(self._answers[place], faces)
        return self._launches[place](faces)

    def _answer(
        self, network: nn.Module, preprocess: Preprocess, temperature: float, faces: Tensor
    ) -> Tensor:
        with torch.no_grad(), autocast(self._device, self._precision, cache=False):
            images = preprocess(faces).contiguous(memory_format=torch.channels_last)
            return torch.softmax(network(images).float() / temperature, dim=1)
