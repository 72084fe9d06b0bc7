"""The training loop: one result per epoch, a checkpoint after each; knows nothing of Optuna."""

from __future__ import annotations

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from zoo.data.balance import class_weights
from zoo.data.batches import TrainingBatches
from zoo.data.channels import Preprocess, channel_statistics
from zoo.data.dataset import FACE_SIZE, FaceDataset, Split
from zoo.errors import ConfigError, first_line
from zoo.networks import NetworkConfig, build
from zoo.training.answers import answers
from zoo.training.checkpoint import load_checkpoint, save_checkpoint
from zoo.training.device import autocast, free_memory, keep_freed_memory, pick_precision
from zoo.training.evaluate import measure
from zoo.training.graphs import Forward, recorded_training
from zoo.training.optimization import Plateau, PlateauState, WeightAverage, make_optimizer
from zoo.training.pretrained import Start
from zoo.training.recipe import Recipe, learning_rate_factor, resolution, resolutions
from zoo.training.teacher import Teacher

__all__ = ["DivergedError", "EpochResult", "OtherRunError", "Trainer"]


class DivergedError(Exception):
    """The training loss is no longer a finite number."""


class OtherRunError(ConfigError):
    """The checkpoint that a training was to go on from is of another one."""


@dataclass(frozen=True)
class EpochResult:
    """What one epoch, counted from 1, came to.

    Losses are mean cross-entropies in nats; the training loss and accuracy are those of the augmented faces,
    the others those of the validation faces. `seconds` covers both. The training faces had `resolution`
    pixels a side.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    loss: float
    accuracy: float
    macro_f1: float
    seconds: float
    resolution: int = FACE_SIZE


class Trainer:
    """Trains one network on the training rows of a split and validates it after every epoch.

    The order, the augmentation and the dropout of an epoch follow from the recipe's seed and the epoch's
    number alone, so a run resumed from a checkpoint gives the same numbers as one never interrupted, on a
    GPU as far as its kernels repeat themselves.

    Args:
        config: its `classes` must be those of the data set.
        checkpoint: where to keep the state after every epoch; a matching checkpoint there is resumed.
        precision: None picks what suits the device.
        start: weights to begin with instead of a fresh initialisation.
        graphs: on a CUDA device, launch the kernels of a pass together (`zoo.training.graphs`).

    Raises:
        ConfigError: the config or the teacher doesn't fit the data set, the network takes no smaller faces
            where the recipe has them, or the checkpoint belongs to another run.
        WeightsError: the recipe's teacher is no saved model.
    """

    def __init__(
        self,
        config: NetworkConfig,
        recipe: Recipe,
        dataset: FaceDataset,
        split: Split,
        *,
        device: torch.device,
        checkpoint: Path | None = None,
        precision: torch.dtype | None = None,
        start: Start | None = None,
        graphs: bool = True,
    ) -> None:
        if config.classes != len(dataset.classes):
            raise ConfigError(
                f"classes is {config.classes}; required: {len(dataset.classes)}, as {dataset.name} has"
            )
        self.config, self.recipe, self.device = config, recipe, device
        keep_freed_memory(device)
        self.mean, self.std = channel_statistics(dataset.faces, config.channels, rows=split.train)
        self.preprocess = Preprocess(config.channels, self.mean, self.std).to(device)
        self.origin = start.origin if start else None
        self.history: list[EpochResult] = []
        self._answers: np.ndarray | None = None
        self._precision = pick_precision(device) if precision is None else precision
        self._checkpoint = checkpoint
        self._classes, self._has_votes = dataset.classes, dataset.votes is not None
        self._validation = (dataset.faces[split.validation], dataset.labels[split.validation])
        torch.manual_seed(recipe.seed)
        network = build(config)
        if start is not None:
            network.load_state_dict(start.weights)
        self.network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._average = WeightAverage(self.network, recipe.average) if recipe.average else None
        self._graphs = graphs and device.type == "cuda"
        self._forwards: dict[int, nn.Module] = {}
        self._batches = TrainingBatches(
            dataset,
            split.train,
            self.preprocess,
            recipe.augmentation,
            batch_size=recipe.batch_size,
            balance=recipe.balance,
            balance_strength=recipe.balance_strength,
            soft_labels=recipe.soft_labels,
            seed=recipe.seed,
            device=device,
        )
        self._class_weights = None
        if recipe.balance == "weighted":
            weights = class_weights(dataset.labels[split.train], config.classes, recipe.balance_strength)
            self._class_weights = weights.to(device)
        self._teacher = None
        if recipe.teacher:
            if "gray" not in config.channels:
                raise ConfigError(
                    f"channels is {config.channels}; required with a teacher: gray, from which it sees"
                )
            self._teacher = Teacher(
                recipe.teacher,
                dataset,
                split,
                device=device,
                precision=self._precision,
            )
        if recipe.start_resolution < FACE_SIZE:
            self._require_small_faces()
        self._optimizer = make_optimizer(self.network, recipe)
        self._plateau = Plateau(recipe)
        self._best: dict[str, Tensor] | None = None
        self._identity = {
            "config": config.to_json(),
            "recipe": recipe.to_json(),
            "data": dataset.fingerprint,
            "teachers": self._teacher.digests if self._teacher else None,
            "pretrained": self.origin,
            "train": int(np.bitwise_xor.reduce(split.train * 2654435761 % (1 << 32), initial=0)),
        }
        self._resume()

    @property
    def best(self) -> EpochResult | None:
        """The epoch that `finish` restores: the best validation accuracy so far, the earliest of equals."""
        if not self.history:
            return None
        if self.recipe.keep == "last":
            return self.history[-1]
        return max(self.history, key=lambda result: result.accuracy)

    @property
    def soft_labels(self) -> bool:
        """Whether annotators' votes had a part in the targets, those of a teacher or of a start included."""
        votes = self.recipe.soft_labels and self._has_votes
        begun = self.origin is not None and self.origin.get("data", {}).get("soft_labels", False)
        return votes or begun or (self._teacher is not None and self._teacher.soft_labels)

    @property
    def seconds(self) -> float:
        """Training and validation time of all epochs so far, those before a resume included."""
        return sum(result.seconds for result in self.history)

    @property
    def faces_an_epoch(self) -> int:
        """How many faces an epoch trains, those drawn twice counted twice."""
        return self._batches.count * self._batches.batch_size

    def seconds_left(self, epochs: int | None = None) -> float:
        """What a schedule will still take, by the last three epochs of each resolution.

        A resolution without an epoch so far is reckoned by its pixels: from two others by the line through
        their times, as other things take time, too, and from one in proportion. Without any epoch, 0.

        Args:
            epochs: of the schedule in all; None takes those that are planned.
        """
        recipe = self.recipe if epochs is None else dataclasses.replace(self.recipe, epochs=epochs)
        numbers = range(len(self.history), recipe.epochs)
        sizes = Counter(self.resolution(number, recipe) for number in numbers)
        return sum(count * self.epoch_seconds(size) for size, count in sizes.items())

    def epoch_seconds(self, size: int = FACE_SIZE) -> float:
        """What an epoch on faces of so many pixels a side will take, see `seconds_left`."""
        if not self.history:
            return 0.0
        last: dict[int, list[float]] = {}
        for result in self.history:
            last.setdefault(result.resolution, []).append(result.seconds)
        known = {seen: sum(seconds[-3:]) / len(seconds[-3:]) for seen, seconds in sorted(last.items())}
        if size in known:
            return known[size]
        smaller = [seen for seen in known if seen < size]
        if len(smaller) < 2:
            near = smaller[0] if smaller else min(known)
            return known[near] * (size / near) ** 2
        first, second = smaller[-2:]
        slope = max(0.0, (known[second] - known[first]) / (second**2 - first**2))
        return known[second] + slope * (size**2 - second**2)

    def resolution(self, number: int, recipe: Recipe | None = None) -> int:
        """Pixels a side of the faces of an epoch to come, counted from 0.

        They don't grow smaller again when the schedule is planned anew.
        """
        so_far = self.history[-1].resolution if self.history else 0
        return max(so_far, resolution(recipe or self.recipe, number))

    def plan(self, epochs: int) -> None:
        """Train so many epochs in all, and let the schedule come to its end with them.

        Checkpoints don't keep the plan: a resumed run may have more time.

        Args:
            epochs: at least as many as are done.
        """
        assert len(self.history) <= epochs
        self.recipe = dataclasses.replace(self.recipe, epochs=epochs)

    def epochs(self, *, on_step: Callable[[int, int], bool] | None = None) -> Iterator[EpochResult]:
        """Train on, one yield per epoch, until the recipe's last epoch or an early stop.

        Args:
            on_step: called after every training step with the steps done in this epoch and the steps that it
                has; a true answer cuts the training there. The cut epoch is validated and counts, but is not
                checkpointed, so that a resumed run still equals an uninterrupted one.

        Raises:
            DivergedError: the loss is no longer finite.
        """
        while len(self.history) < self.recipe.epochs and not self._stopped_early():
            started = time.perf_counter()
            number = len(self.history)
            size = self.resolution(number)
            rate, train_loss, train_accuracy, cut = self._train(number, size, on_step)
            if not math.isfinite(train_loss):
                raise DivergedError(f"the training loss is {train_loss} in epoch {number + 1}")
            self._answers = self.logits(self._validation[0])
            metrics = measure(self._answers, self._validation[1], self._classes)
            if not math.isfinite(metrics["loss"]):
                raise DivergedError(f"the validation loss is {metrics['loss']} in epoch {number + 1}")
            result = EpochResult(
                epoch=number + 1,
                learning_rate=rate,
                train_loss=train_loss,
                train_accuracy=train_accuracy,
                loss=metrics["loss"],
                accuracy=metrics["accuracy"],
                macro_f1=metrics["macro_f1"],
                seconds=time.perf_counter() - started,
                resolution=size,
            )
            self.history.append(result)
            self._plateau.update(result.loss)
            if self.recipe.keep == "best" and self.best is result:
                self._best = {name: value.clone() for name, value in self._evaluated().items()}
            if cut:
                yield result
                return
            self._save()
            yield result

    def finish(self) -> nn.Module:
        """The trained network, on the CPU in evaluation mode, with the weights of `best`."""
        weights = self._evaluated() if self._best is None else self._best
        network = build(self.config)
        network.load_state_dict(weights)
        return network.eval()

    def validation_logits(self) -> np.ndarray:
        """What the network answers to the validation faces after its last epoch, float32 (N, classes)."""
        return self.logits(self._validation[0]) if self._answers is None else self._answers

    def logits(self, faces: np.ndarray) -> np.ndarray:
        """What the network answers now (its moving average, if it has one).

        Args:
            faces: uint8 (N, 48, 48).

        Returns:
            float32 (N, classes).
        """
        live = (
            {name: value.clone() for name, value in self.network.state_dict().items()}
            if self._average
            else {}
        )
        if self._average:
            self.network.load_state_dict(self._average.state)
        self.network.eval()
        with torch.inference_mode(), autocast(self.device, self._precision):
            parts = answers(lambda images: self.network(images).float(), faces, self.preprocess)
        if self._average:
            self.network.load_state_dict(live)
        return torch.cat(parts).cpu().numpy()

    def _train(
        self, number: int, size: int, on_step: Callable[[int, int], bool] | None
    ) -> tuple[float, float, float, bool]:
        """One epoch on faces of `size` pixels a side; waits for the device once.

        Returns:
            Its last learning rate, mean loss, accuracy, and whether it was cut.
        """
        recipe = self.recipe
        self.network.train()
        forward = self._forward(size)
        torch.manual_seed((recipe.seed * 1_000_003 + number) % (1 << 62))
        loss_sum = torch.zeros((), device=self.device)
        right = torch.zeros((), device=self.device, dtype=torch.int64)
        blend = np.random.default_rng((recipe.seed, number))
        rate, step, cut = 0.0, 0, False
        for step, (images, targets) in enumerate(self._batches.epoch(number)):
            progress = number + step / self._batches.count
            rate = recipe.learning_rate * learning_rate_factor(recipe, progress) * self._plateau.factor
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            aims = targets
            if self._teacher:
                turn = number * self._batches.count + step
                taught = self._teacher.probabilities(self.preprocess.faces(images), turn)
                aims = torch.lerp(aims, taught, recipe.teacher_share)
            if size < FACE_SIZE:
                images = nn.functional.interpolate(images, size, mode="bilinear", antialias=True)
            if recipe.mixup:
                share = float(blend.beta(recipe.mixup, recipe.mixup))
                # A batch has the same blends with the other share; this one leaves each face its own label.
                share = max(share, 1 - share)
                images = torch.lerp(images.flip(0), images, share)
                aims = torch.lerp(aims.flip(0), aims, share)
            logits = forward(images)
            loss = nn.functional.cross_entropy(
                logits, aims, weight=self._class_weights, label_smoothing=recipe.label_smoothing
            )
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self._optimizer.step()
            if self._average:
                self._average.update()
            loss_sum += loss.detach()
            right += (logits.detach().argmax(1) == targets.argmax(1)).sum()
            if on_step and on_step(step + 1, self._batches.count):
                cut = True
                break
        steps = step + 1
        return rate, float(loss_sum) / steps, int(right) / (steps * self._batches.batch_size), cut

    def _forward(self, size: int) -> nn.Module:
        """From training images of so many pixels a side, float (B, C, size, size), to logits in float32."""
        if size not in self._forwards:
            if self._forwards and self._graphs:
                # Faces grow: a recording of smaller ones isn't needed again, and keeps its memory.
                self._forwards.clear()
                free_memory(self.device)
            forward = Forward(self.network, self.device, self._precision)
            shape = (self._batches.batch_size, len(self.config.channels), size, size)
            images = torch.zeros(shape, device=self.device).contiguous(memory_format=torch.channels_last)
            self._forwards[size] = recorded_training(forward, images) if self._graphs else forward
        return self._forwards[size]

    def _require_small_faces(self) -> None:
        start, reason = self.recipe.start_resolution, ""
        for size in resolutions(start):
            images = torch.zeros(2, len(self.config.channels), size, size, device=self.device)
            try:
                with torch.no_grad():
                    self.network.eval()(images)
            except RuntimeError as error:
                reason = reason or first_line(error)
                continue
            if size == start:
                return
            raise ConfigError(
                f"start_resolution is {start}; required for this network: {size} at least ({reason})"
            )

    def _evaluated(self) -> dict[str, Tensor]:
        return self._average.state if self._average else self.network.state_dict()

    def _stopped_early(self) -> bool:
        if self.recipe.patience is None or not self.history:
            return False
        best = max(self.history, key=lambda result: result.accuracy)
        return len(self.history) - best.epoch >= self.recipe.patience

    def _save(self) -> None:
        if self._checkpoint is None:
            return
        state = {
            "identity": self._identity,
            "network": self.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "history": [asdict(result) for result in self.history],
            "plateau": asdict(self._plateau.state),
            "average": self._average.checkpoint() if self._average else None,
            "best": self._best,
        }
        save_checkpoint(self._checkpoint, state)

    def _resume(self) -> None:
        state = load_checkpoint(self._checkpoint) if self._checkpoint else None
        if state is None:
            return
        for name, value in self._identity.items():
            if state["identity"].get(name) != value:
                raise OtherRunError(
                    f"checkpoint {self._checkpoint} belongs to a run with another {name}; "
                    "required: the same run, or another place for the checkpoint"
                )
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.history = [EpochResult(**entry) for entry in state["history"]]
        self._plateau.state = PlateauState(**state["plateau"])
        self._best = state["best"]
        if self._average:
            self._average.restore(state["average"])
