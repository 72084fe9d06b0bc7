"""Trains comparison networks, one result per epoch, a checkpoint after each; knows nothing of commands."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from zoo.data.augment import augment
from zoo.data.balance import epoch_rows
from zoo.data.channels import Preprocess
from zoo.data.pairs import MARGIN, Pairs, Triplets
from zoo.errors import ConfigError
from zoo.networks.comparison import ComparisonNetwork
from zoo.training.checkpoint import load_checkpoint, save_checkpoint
from zoo.training.device import autocast, keep_freed_memory, pick_precision
from zoo.training.embed import backbone_features, embed_faces
from zoo.training.loop import DivergedError
from zoo.training.optimization import Plateau, PlateauState, WeightAverage, make_optimizer
from zoo.training.pair_data import Objective, PairData, check_objective, flips_at_most
from zoo.training.pair_losses import all_pairs, contrastive_loss, pair_loss, triplet_loss, vote_triplets
from zoo.training.pair_measure import best_threshold
from zoo.training.recipe import Recipe, learning_rate_factor

__all__ = ["PairEpoch", "PairTrainer"]


@dataclass(frozen=True)
class PairEpoch:
    """What one epoch, counted from 1, came to; `loss`, `auc` and `accuracy` are those of the held-out pairs.

    The accuracy is that of the best threshold for these same pairs. `triplets` is the share of held-out
    triplets told right; None where there are none.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    loss: float
    auc: float
    accuracy: float
    triplets: float | None
    seconds: float


class _Batch(NamedTuple):
    """What one step learns from: rows of faces, or places in the lists."""

    rows: Tensor | None = None
    pairs: Tensor | None = None
    triplets: Tensor | None = None


class PairTrainer:
    """Trains one comparison network.

    Order, augmentation and dropout of an epoch follow from the recipe's seed and the epoch's number, so a
    resumed run gives the same numbers as one never interrupted.

    Args:
        network: changed in place. Its backbone may hold trained weights.
        recipe: `batch_size` counts faces, or list entries where lists are given; `label_smoothing` and the
            votes (`soft_labels`) belong to the classification; `balance` other than `none` makes sets of
            faces balanced. `mixup` is not used.
        preprocess: what the network sees of a face.
        identity: plain values that a checkpoint must have been written with.
        on_features: called with the faces that a frozen backbone has described, and how many it has to.

    Raises:
        ConfigError: the objective needs votes, lists or larger batches, or the checkpoint belongs to another
            run.
    """

    def __init__(
        self,
        network: ComparisonNetwork,
        recipe: Recipe,
        objective: Objective,
        data: PairData,
        preprocess: Preprocess,
        *,
        device: torch.device,
        checkpoint: Path | None = None,
        identity: dict[str, object] | None = None,
        on_features: Callable[[int, int], None] | None = None,
    ) -> None:
        check_objective(objective, data, recipe.batch_size)
        self.recipe, self.objective, self.data, self.device = recipe, objective, data, device
        keep_freed_memory(device)
        self.preprocess = preprocess.to(device)
        self.network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.history: list[PairEpoch] = []
        self._precision = pick_precision(device)
        self._checkpoint = checkpoint
        lists = {
            "list of pairs": data.pairs,
            "list of triplets": data.triplets,
            "held_out_triplets": data.held_out_triplets,
        }
        self._identity = {
            **(identity or {}),
            "recipe": recipe.to_json(),
            "objective": asdict(objective),
            "data": data.dataset.fingerprint,
            "train": int(np.bitwise_xor.reduce(data.train * 2654435761 % (1 << 32), initial=0)),
            "held_out": data.held_out.fingerprint,
            **{name: None if entries is None else entries.fingerprint for name, entries in lists.items()},
        }
        for parameter in self.network.backbone.parameters():
            parameter.requires_grad_(not objective.frozen)
        self._average = WeightAverage(self.network, recipe.average) if recipe.average else None
        self._optimizer = make_optimizer(self.network, recipe)
        self._plateau = Plateau(recipe)
        self._best: dict[str, Tensor] | None = None
        self._labels = torch.from_numpy(data.dataset.labels).to(device)
        votes = data.dataset.votes
        self._votes = (
            None if votes is None else torch.from_numpy(np.array(votes, dtype=np.float32)).to(device)
        )
        self._resume()
        self._features = None
        if objective.frozen:
            described = np.union1d(data.held_out_rows, data.seen)
            self._places = torch.zeros(len(data.dataset), dtype=torch.int64)
            self._places[torch.from_numpy(described)] = torch.arange(len(described))
            self._features = self._frozen_features(described, on_features)

    @property
    def best(self) -> PairEpoch | None:
        """The epoch that `finish` restores, the earliest of equals.

        It is best at held-out triplets where the loss knows nothing but triplets, else at telling pairs
        apart (area under the curve).
        """
        if not self.history or self.recipe.keep == "last":
            return self.history[-1] if self.history else None
        return max(self.history, key=self._merit)

    @property
    def lists(self) -> tuple[Pairs | None, Triplets | None]:
        """The lists that the loss learns from; None twice where batches are sets of faces."""
        loss = self.objective.loss
        return (
            self.data.pairs if loss != "triplet" else None,
            self.data.triplets if loss in ("triplet", "both") else None,
        )

    def _merit(self, result: PairEpoch) -> float:
        if self.objective.loss == "triplet" and result.triplets is not None:
            return result.triplets
        return result.auc

    def epochs(self) -> Iterator[PairEpoch]:
        """Train on; yields after each epoch, once its checkpoint is written.

        Raises:
            DivergedError: the loss, or that of the held-out pairs, is no longer finite.
        """
        while len(self.history) < self.recipe.epochs and not self._stopped_early():
            start, number = time.perf_counter(), len(self.history)
            rate, train_loss = self._train(number)
            if not math.isfinite(train_loss):
                raise DivergedError(f"the training loss is {train_loss} in epoch {number + 1}")
            loss, auc, accuracy, triplets = self._validate()
            seconds = time.perf_counter() - start
            result = PairEpoch(number + 1, rate, train_loss, loss, auc, accuracy, triplets, seconds)
            self.history.append(result)
            self._plateau.update(loss)
            if self.recipe.keep == "best" and self.best is result:
                self._best = {name: value.clone() for name, value in self._evaluated().items()}
            self._save()
            yield result

    def finish(self) -> ComparisonNetwork:
        """The network with the weights of `best`, on the CPU, in evaluation mode."""
        self.network.load_state_dict(self._evaluated() if self._best is None else self._best)
        return self.network.cpu().float().eval()

    def _train(self, number: int) -> tuple[float, float]:
        recipe = self.recipe
        seed = (recipe.seed * 1_000_003 + number) * 2 % (1 << 62)
        torch.manual_seed(seed)
        order = torch.Generator().manual_seed(seed)
        variation = torch.Generator(self.device).manual_seed(seed + 1)
        self.network.train()
        if self.objective.frozen:
            self.network.backbone.eval()
        batches = list(self._batches(order))
        total, rate = torch.zeros((), device=self.device), 0.0
        for step, batch in enumerate(batches):
            factor = learning_rate_factor(recipe, number + step / len(batches)) * self._plateau.factor
            rate = recipe.learning_rate * factor
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            loss = torch.zeros((), device=self.device)
            if batch.rows is not None:
                loss = loss + self._set_of_faces(batch.rows, order, variation)
            if batch.pairs is not None:
                loss = loss + self._listed_pairs(batch.pairs, variation)
            if batch.triplets is not None:
                loss = loss + self._listed_triplets(batch.triplets, variation)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self._optimizer.step()
            if self._average:
                self._average.update()
            total += loss.detach()
        return rate, float(total) / len(batches)

    def _batches(self, order: torch.Generator) -> Iterator[_Batch]:
        size, data = self.recipe.batch_size, self.data
        if not data.listed:
            labels = data.dataset.labels[data.train]
            balance, strength = self.recipe.balance, self.recipe.balance_strength
            rows = torch.from_numpy(data.train)[epoch_rows(labels, balance, strength, order)]
            size = min(size, len(rows))
            # The last, smaller set is left out: its batch-norm statistics would be off.
            for start in range(0, len(rows) - size + 1, size):
                yield _Batch(rows=rows[start : start + size])
            return
        pairs, triplets = (
            () if entries is None else torch.randperm(len(entries), generator=order).split(size)
            for entries in self.lists
        )
        for step in range(max(len(pairs), len(triplets))):
            yield _Batch(
                pairs=pairs[step % len(pairs)] if pairs else None,
                triplets=triplets[step % len(triplets)] if triplets else None,
            )

    def _see(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Features of the rows' faces, varied: float32 (N, D)."""
        if self._features is not None:
            view = torch.randint(len(self._features), (len(rows),), generator=generator, device=self.device)
            return self._features[view, self._places[rows].to(self.device)]
        augmentation = self.recipe.augmentation
        faces = torch.from_numpy(self.data.dataset.faces[rows.numpy()]).to(self.device)
        flipped = None
        if augmentation.flip:
            flipped = torch.rand(len(rows), generator=generator, device=self.device) < 0.5
        images = self.preprocess(augment(faces, augmentation, flipped=flipped, generator=generator))
        with autocast(self.device, self._precision):
            return self.network.features(images.contiguous(memory_format=torch.channels_last)).float()

    def _set_of_faces(self, rows: Tensor, order: torch.Generator, variation: torch.Generator) -> Tensor:
        features = self._see(rows, variation)
        rows = rows.to(self.device)
        embeddings, labels = self.network.embed(features), self._labels[rows]
        loss = torch.zeros((), device=self.device)
        if self.objective.loss != "triplet":
            first, second, same, weight = all_pairs(labels, len(self.data.dataset.classes))
            loss = loss + self._pairwise(embeddings[first], embeddings[second], same, weight)
        if self.objective.loss in ("triplet", "both"):
            assert self._votes is not None
            (first, second, odd), kind = vote_triplets(self._votes[rows], margin=MARGIN, generator=order)
            loss = loss + self._three(embeddings[first], embeddings[second], embeddings[odd], kind)
        logits = None if self.objective.frozen else self.network.classify(features)
        if logits is not None and self.objective.classification:
            targets = labels if self._votes is None or not self.recipe.soft_labels else self._votes[rows]
            smoothing = self.recipe.label_smoothing
            classification = nn.functional.cross_entropy(logits.float(), targets, label_smoothing=smoothing)
            loss = loss + self.objective.classification * classification
        return loss

    def _listed_pairs(self, places: Tensor, variation: torch.Generator) -> Tensor:
        assert self.data.pairs is not None
        chosen = places.numpy()
        rows = np.concatenate([self.data.pairs.first[chosen], self.data.pairs.second[chosen]])
        first, second = self.network.embed(self._see(torch.from_numpy(rows), variation)).chunk(2)
        same = torch.from_numpy(self.data.pairs.same[chosen]).to(self.device)
        return self._pairwise(first, second, same, None)

    def _listed_triplets(self, places: Tensor, variation: torch.Generator) -> Tensor:
        assert self.data.triplets is not None
        chosen, lists = places.numpy(), self.data.triplets
        rows = np.concatenate([lists.first[chosen], lists.second[chosen], lists.odd[chosen]])
        first, second, odd = self.network.embed(self._see(torch.from_numpy(rows), variation)).chunk(3)
        kind = torch.from_numpy(lists.kind[chosen].astype(np.int64)).to(self.device)
        return self._three(first, second, odd, kind)

    def _pairwise(self, first: Tensor, second: Tensor, same: Tensor, weight: Tensor | None) -> Tensor:
        if self.objective.loss == "contrastive":
            return contrastive_loss(self.network.distance(first, second), same, weight)
        return pair_loss(self.network.compare(first, second), same, weight)

    def _three(self, first: Tensor, second: Tensor, odd: Tensor, kind: Tensor) -> Tensor:
        distance = self.network.distance
        return triplet_loss(distance(first, second), distance(first, odd), distance(second, odd), kind)

    def _validate(self) -> tuple[float, float, float, float | None]:
        """Loss, area under the curve and best accuracy on held-out pairs; accuracy on held-out triplets."""
        live = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.network.load_state_dict(self._evaluated())
        pairs, rows = self.data.held_out, self.data.held_out_rows
        if self._features is not None:
            self.network.eval()
            with torch.inference_mode():
                plain = self._features[0, self._places[torch.from_numpy(rows)].to(self.device)].float()
                embeddings = self.network.embed(plain)
        else:
            faces = self.data.dataset.faces[rows]
            found, _ = embed_faces(self.network, faces, self.preprocess, device=self.device)
            embeddings = torch.from_numpy(found).to(self.device)

        def of(members: np.ndarray) -> Tensor:
            return embeddings[torch.from_numpy(np.searchsorted(rows, members)).to(self.device)]

        triplets, right = self.data.held_out_triplets, None
        with torch.inference_mode():
            logits = self.network.compare(of(pairs.first), of(pairs.second))
            loss = float(pair_loss(logits, torch.from_numpy(pairs.same).to(self.device)))
            if triplets is not None:
                first, second, odd = of(triplets.first), of(triplets.second), of(triplets.odd)
                near = self.network.distance(first, second)
                other = torch.minimum(self.network.distance(first, odd), self.network.distance(second, odd))
                right = float((near < other).float().mean())
        self.network.load_state_dict(live)
        if not math.isfinite(loss):
            raise DivergedError(f"the loss of the held-out pairs is {loss} in epoch {len(self.history) + 1}")
        scores = logits.cpu().double().numpy()  # MPS has no float64
        accuracy = float(((scores >= best_threshold(scores, pairs.same)) == pairs.same).mean())
        return loss, float(roc_auc_score(pairs.same, scores)), accuracy, right

    def _frozen_features(
        self, described: np.ndarray, on_features: Callable[[int, int], None] | None
    ) -> Tensor:
        """Features of every view of the faces of some rows: float32 (views, M, D), on the device.

        Faces that only select have no other view than themselves, and keep its features in the others.

        Args:
            described: int64 (M,), every row that is trained with or selects, in order.
        """
        data, augmentation = self.data, self.recipe.augmentation
        generator = torch.Generator().manual_seed(self.recipe.seed)
        train = data.seen
        rows = [described]
        only_flips = flips_at_most(augmentation)
        views_at_most = 1 + augmentation.flip if only_flips else self.objective.views
        rows += [train] * (min(self.objective.views, views_at_most) - 1)
        total, done = sum(map(len, rows)), 0

        def count(described: int) -> None:
            nonlocal done
            done += described
            if on_features:
                on_features(done, total)

        features = torch.empty(0)
        for number, needed in enumerate(rows):
            faces = data.dataset.faces[needed]
            if number and only_flips:
                faces = faces[:, :, ::-1].copy()
            elif number:
                flipped = torch.rand(len(faces), generator=generator) < 0.5 if augmentation.flip else None
                varied = augment(torch.from_numpy(faces), augmentation, flipped=flipped, generator=generator)
                faces = varied.round().clamp(0, 255).byte().numpy()
            found = backbone_features(
                self.network, faces, self.preprocess, self.device, self._precision, count
            )
            if number:
                features[number, self._places[torch.from_numpy(needed)].to(self.device)] = found.to(
                    self.device
                )
            else:
                features = found.to(self.device).repeat(len(rows), 1, 1)
        return features

    def _evaluated(self) -> dict[str, Tensor]:
        return self._average.state if self._average else self.network.state_dict()

    def _stopped_early(self) -> bool:
        if self.recipe.patience is None or not self.history:
            return False
        best = max(self.history, key=self._merit)
        return len(self.history) - best.epoch >= self.recipe.patience

    def _save(self) -> None:
        if self._checkpoint is not None:
            state = {
                "identity": self._identity,
                "network": self.network.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "history": [asdict(result) for result in self.history],
                "plateau": dataclasses.asdict(self._plateau.state),
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
                raise ConfigError(
                    f"checkpoint {self._checkpoint} belongs to a run with another {name}; "
                    "required: the same run, or another place for the checkpoint"
                )
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.history = [PairEpoch(**entry) for entry in state["history"]]
        self._plateau.state = PlateauState(**state["plateau"])
        self._best = state["best"]
        if self._average:
            self._average.restore(state["average"])
