"""One network from config to saved model, within a deadline if need be; knows no command and no Optuna."""

from __future__ import annotations

import bisect
import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from zoo.card import Card
from zoo.data.dataset import FACE_SIZE, FaceDataset, Split
from zoo.errors import ConfigError, DeviceError
from zoo.networks import NetworkConfig
from zoo.training.device import is_out_of_memory
from zoo.training.fit import measured_rows, save_trained
from zoo.training.loop import EpochResult, Trainer
from zoo.training.pretrained import Start
from zoo.training.recipe import Recipe

__all__ = ["plain_errors", "train_and_save"]


def train_and_save(
    config: NetworkConfig,
    recipe: Recipe,
    dataset: FaceDataset,
    split: Split,
    folder: Path,
    *,
    device: torch.device,
    checkpoint: Path | None = None,
    on_epoch: Callable[[EpochResult, int, float], None] | None = None,
    on_step: Callable[[float], None] | None = None,
    deadline: float | None = None,
    start: Start | None = None,
    note: str = "",
    study: str | None = None,
    trial: int | None = None,
) -> Card:
    """Train a network by its recipe and save it as `folder`, with card, pictures and per-class table.

    Args:
        config: its `classes` must be those of the data set.
        folder: of the model; its name is the model's name.
        checkpoint: where the state is kept after every epoch. A checkpoint of the same run there is resumed;
            it is removed once the model is saved.
        on_epoch: called after every epoch, those before a resume excluded, with the epochs that are planned
            and the seconds that the rest of them will take.
        on_step: called after every training step with the epochs done, a fraction within an epoch.
        deadline: on the clock of `time.monotonic()`. After every epoch the schedule is planned anew for the
            epochs that fit, where not all do, and the model of the best epoch is saved before the deadline.
            A deadline shorter than about one twentieth of an epoch cannot be kept.
        start: weights to begin with.
        note, study, trial: for the card.

    Returns:
        The saved card; `card.recipe["epochs"]` tells a shortened schedule.

    Raises:
        ConfigError: config, data set and checkpoint don't fit each other.
        DeviceError: the device is out of memory.
        DivergedError: the loss is no longer finite.
    """
    with plain_errors(recipe, device):
        trainer = Trainer(config, recipe, dataset, split, device=device, checkpoint=checkpoint, start=start)
        clock = _Clock(deadline, recipe.epochs, _measuring_epochs(split, trainer.faces_an_epoch))

        def after_step(done: int, steps: int) -> bool:
            if on_step:
                on_step(len(trainer.history) + done / steps)
            return clock.ends_epoch(done / steps)

        clock.plan(trainer)
        for result in trainer.epochs(on_step=after_step):
            clock.plan(trainer)
            if on_epoch:
                on_epoch(result, trainer.recipe.epochs, trainer.seconds_left())
        card = save_trained(
            folder, trainer, dataset, split, note=note, study=study, trial=trial, pictures=True
        )
    if checkpoint:
        checkpoint.unlink(missing_ok=True)
    return card


@contextlib.contextmanager
def plain_errors(recipe: Recipe, device: torch.device) -> Iterator[None]:
    """Say what to change where torch says that a batch is too small, or the device out of memory.

    Raises:
        ConfigError: a batch is too small.
        DeviceError: the device is out of memory.
    """
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ConfigError(
            f"batch_size is {recipe.batch_size}; required: at least 2, as the network normalises by batches"
        ) from None
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise DeviceError(
            f"{device} is out of memory with batches of {recipe.batch_size}; "
            "required: a smaller batch_size, or a smaller network"
        ) from None


class _Clock:
    """Tells which epochs fit before a deadline, with time left to measure and save the network.

    Drawing the pictures takes some 2 seconds.

    Args:
        measuring: what measuring takes, in epochs on faces of full size.
    """

    _SAVING_SECONDS = 4.0

    def __init__(self, deadline: float | None, most: int, measuring: float) -> None:
        self._deadline, self._most, self._measuring = deadline, most, measuring
        self._enlarged = 1.0
        self._epoch: float | None = None
        self._first: tuple[float, float] | None = None

    def plan(self, trainer: Trainer) -> None:
        """Plan for the epochs that fit, at most `most`; an epoch begins."""
        now = time.monotonic()
        self._epoch, self._first = trainer.epoch_seconds() or None, None
        if not trainer.history:
            # Faces that are measured have full size.
            self._enlarged = (FACE_SIZE / trainer.resolution(0)) ** 2
            return
        if self._deadline is None:
            return
        rest = self._deadline - now - self._saving(trainer.epoch_seconds())
        done = len(trainer.history)
        fit = bisect.bisect_right(range(done, self._most + 1), rest, key=trainer.seconds_left)
        trainer.plan(done + max(0, fit - 1))

    def ends_epoch(self, share: float) -> bool:
        """Whether the epoch has to end now, after `share` of it, to leave time for saving.

        The first epoch is reckoned from its second step on: the first one loads and records kernels, too.
        """
        if self._deadline is None:
            return False
        now, epoch = time.monotonic(), self._epoch
        if epoch is None:
            begun, done = self._first = self._first or (now, share)
            epoch = (now - begun) / (share - done) * self._enlarged if share > done else 0.0
        return now + self._saving(epoch) > self._deadline

    def _saving(self, epoch: float) -> float:
        """Seconds that measuring and saving take where an epoch takes so many."""
        return self._SAVING_SECONDS + self._measuring * epoch


def _measuring_epochs(split: Split, trained: int) -> float:
    """What measuring a network takes, in epochs that train so many faces; a quarter of it is margin.

    To pass a face forward in float32 takes some three quarters of the time that training takes for it, which
    passes it forward and back in bfloat16; to pass it forward in bfloat16, as each epoch's validation does,
    a third.
    """
    return sum(map(len, measured_rows(split))) / (trained + len(split.validation) / 3)
