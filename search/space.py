"""The search space: a trial → a network config and a recipe. The only file that calls `suggest_*`."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

import optuna

from search.recovery import NETWORK, START
from search.settings import StudySettings
from zoo.data.augment import Augmentation
from zoo.data.dataset import FACE_SIZE
from zoo.networks import Cost, ParametricConfig, count
from zoo.networks.blocks import ACTIVATIONS, POOLINGS
from zoo.networks.published import PUBLISHED
from zoo.training.recipe import Recipe
from zoo.training.recipes import LEAST_STEPS

__all__ = ["SLIMMEST", "Limits", "Proposal", "SearchSpace", "slimmest"]

_WIDTHS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 800)
_CHANNELS = ("gray", "gray+sobel", "gray+contrast", "gray+sobel+contrast")
_FIRST_LINEAR = (64, 128, 256, 512, 1024)
_BATCH_SIZES = (16, 32, 64, 128, 256, 512)
# Of an epoch: with more, a CPU wastes its vectors.
_MOST_STEPS = 500
_LEARNING_RATES = {"sgd": (0.01, 0.5), "adam": (2e-4, 1e-2), "adamw": (2e-4, 1e-2), "adadelta": (0.1, 3.0)}


@dataclass(frozen=True)
class Limits:
    """What a network may cost; None is no limit. A trial over a limit is pruned before training."""

    macs: int | None = None
    parameters: int | None = None

    def excess(self, cost: Cost) -> dict[str, float]:
        """How far each limited cost is over its limit, as a fraction of it; at most 0 is within."""
        pairs = {"macs": (cost.macs, self.macs), "parameters": (cost.parameters, self.parameters)}
        return {name: spent / limit - 1 for name, (spent, limit) in pairs.items() if limit is not None}

    def allow(self, cost: Cost) -> bool:
        """Whether no limit is exceeded."""
        return all(excess <= 0 for excess in self.excess(cost).values())


@dataclass(frozen=True)
class Proposal:
    """What a trial would train; `fingerprint` is equal for equal proposals."""

    config: ParametricConfig
    recipe: Recipe

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of the SHA-256 over config and recipe."""
        text = json.dumps([self.config.to_json(), self.recipe.to_json()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class SearchSpace:
    """What a study samples: networks and their recipes.

    The ranges depend on what a study never changes: widths and inception counts that no network within
    `limits` can have are left out, and so are batch sizes that suit no training set of so many `faces`.

    Attributes:
        classes: outputs of the networks.
        limits: of their cost.
        epochs, seed, soft_labels: of the recipes.
        faces: of the training set.
    """

    classes: int
    limits: Limits
    epochs: int
    faces: int
    seed: int
    soft_labels: bool

    @classmethod
    def of(cls, settings: StudySettings, faces: int) -> SearchSpace:
        """The space of a study on so many training faces."""
        return cls(
            classes=len(settings.classes),
            limits=Limits(settings.max_macs, settings.max_parameters),
            epochs=settings.epochs,
            faces=faces,
            seed=settings.seed,
            soft_labels=settings.soft_labels,
        )

    def suggest(self, trial: optuna.trial.BaseTrial) -> Proposal:
        """Sample a network, or take the published one that the trial is for, and a recipe."""
        network = trial.user_attrs.get(NETWORK)
        if network is None:
            config = _suggest_network(trial, self.classes, self.limits)
        else:
            config = dataclasses.replace(PUBLISHED[network], classes=self.classes)
        recipe = _suggest_recipe(trial, self.epochs, self.faces, self.seed, self.soft_labels)
        return Proposal(config, recipe)

    def starting_points(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Parameters and user attributes of the trials that a study begins with.

        They are the published parametric networks within the limits, cheapest first, and then the widest
        plain network within them (widths doubling over four stages, or nearly, of two convolutions each or
        else of one), which is a point of the search space.
        """
        points = []
        sizes = _batch_sizes(self.faces)
        batch = {"batch_size": 128 if 128 in sizes else sizes[-1]}
        costs = {
            name: count(dataclasses.replace(config, classes=self.classes))
            for name, config in PUBLISHED.items()
        }
        for name in sorted(PUBLISHED, key=lambda name: costs[name].macs):
            if self.limits.allow(costs[name]):
                recipe = _STARTING_RECIPE if PUBLISHED[name].norm == "batch" else _STARTING_RECIPE_PLAIN
                points.append(({**recipe, **batch}, {NETWORK: name}))
        plain = _widest_plain(self.limits, self.classes)
        if plain is not None:
            params = {**_STARTING_NETWORK, **_STARTING_RECIPE, **batch}
            for stage, (width, repeats) in enumerate(zip(plain.widths, plain.repeats, strict=True), start=1):
                params |= {f"stage{stage}_width": width, f"stage{stage}_repeats": repeats}
            if not _most_inceptions(self.limits):
                del params["inceptions"]
            points.append((params, {START: "plain"}))
        return points

    def complete(self, params: dict[str, Any], seed: int) -> tuple[Proposal, dict[str, Any]]:
        """A proposal that has these parameters and others at random, and all its parameters."""
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
        study.enqueue_trial(params)
        trial = study.ask()
        return self.suggest(trial), trial.params


def _suggest_network(trial: optuna.trial.BaseTrial, classes: int, limits: Limits) -> ParametricConfig:
    stages = trial.suggest_int("stages", 3, 5)
    widths, repeats = [], []
    for stage in range(1, stages + 1):
        widths.append(trial.suggest_categorical(f"stage{stage}_width", _widths(stage, limits)))
        repeats.append(trial.suggest_int(f"stage{stage}_repeats", 1, 4))
    inceptions, multiplier = 0, 1
    most = _most_inceptions(limits)
    if most:
        inceptions = trial.suggest_int("inceptions", 0, most)
    if inceptions:
        multiplier = trial.suggest_int("inception_multiplier", 1, 3)
    depth = trial.suggest_int("linear_depth", 1, 5)
    linear: tuple[int, ...] = ()
    head_norm = "none"
    if depth > 1:
        first = trial.suggest_categorical("linear_width", _FIRST_LINEAR)
        decay = trial.suggest_float("linear_decay", 0.25, 1.0, step=0.25)
        linear = tuple(max(classes, round(first * decay**layer)) for layer in range(depth - 1))
        head_norm = trial.suggest_categorical("head_norm", ("batch", "none"))
    norm = trial.suggest_categorical("norm", ("batch", "none"))
    return ParametricConfig(
        classes=classes,
        channels=tuple(trial.suggest_categorical("channels", _CHANNELS).split("+")),
        widths=tuple(widths),
        repeats=tuple(repeats),
        bias=norm == "none",
        norm=norm,
        activation=trial.suggest_categorical("activation", tuple(ACTIVATIONS)),
        residual=trial.suggest_categorical("residual", (False, True)),
        # Behind every convolution: from 0.2 on, networks of seven or more learn nothing in a trial's epochs.
        conv_dropout=trial.suggest_float("conv_dropout", 0.0, 0.2, step=0.05),
        pooling=trial.suggest_categorical("pooling", tuple(POOLINGS)),
        inceptions=inceptions,
        inception_multiplier=multiplier,
        head=trial.suggest_categorical("head", ("average", "flatten")),
        linear=linear,
        head_norm=head_norm,
        head_dropout=trial.suggest_float("head_dropout", 0.0, 0.5, step=0.1),
    )


def _suggest_recipe(
    trial: optuna.trial.BaseTrial, epochs: int, faces: int, seed: int, soft_labels: bool
) -> Recipe:
    optimizer = trial.suggest_categorical("optimizer", tuple(_LEARNING_RATES))
    low, high = _LEARNING_RATES[optimizer]
    balance = trial.suggest_categorical("balance", ("none", "weighted", "oversample", "undersample"))
    strength = 1.0
    if balance != "none":
        # Stronger, oversampling makes an epoch of FER2013 up to 1.8 times as long, and trials are compared
        # by epochs.
        strength = trial.suggest_float("balance_strength", 0.1, 0.5, step=0.1)
    return Recipe(
        epochs=epochs,
        batch_size=trial.suggest_categorical("batch_size", _batch_sizes(faces)),
        optimizer=optimizer,
        learning_rate=trial.suggest_float(f"{optimizer}_learning_rate", low, high, log=True),
        weight_decay=trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
        # Schedules that differ early, or a long warm-up, would make early rungs compare warm-ups, not
        # networks.
        schedule="cosine",
        warmup_epochs=0.5,
        label_smoothing=trial.suggest_float("label_smoothing", 0.0, 0.2, step=0.05),
        balance=balance,
        balance_strength=strength,
        average=0.99,
        keep="last",
        soft_labels=soft_labels,
        augmentation=Augmentation(
            strength=trial.suggest_float("augment_strength", 0.0, 1.5, step=0.25),
            erase=trial.suggest_float("augment_erase", 0.0, 0.5, step=0.1),
        ),
        seed=seed,
    )


def _batch_sizes(faces: int) -> tuple[int, ...]:
    """The batch sizes to sample for a training set of so many faces."""
    if fitting := tuple(size for size in _BATCH_SIZES if LEAST_STEPS <= faces // size <= _MOST_STEPS):
        return fitting
    return _BATCH_SIZES[:1] if faces // _BATCH_SIZES[0] < LEAST_STEPS else _BATCH_SIZES[-1:]


_STARTING_RECIPE: dict[str, Any] = {
    "optimizer": "sgd",
    "sgd_learning_rate": 0.1,
    "weight_decay": 5e-4,
    "label_smoothing": 0.1,
    "balance": "none",
    "augment_strength": 1.0,
    "augment_erase": 0.5,
}

# Without batch norm, SGD at 0.1 diverges; Adam at 1e-3 is what the authors of these networks used.
_STARTING_RECIPE_PLAIN = {
    **{name: value for name, value in _STARTING_RECIPE.items() if name != "sgd_learning_rate"},
    "optimizer": "adam",
    "adam_learning_rate": 1e-3,
    "weight_decay": 1e-6,
}


_STARTING_NETWORK: dict[str, Any] = {
    "stages": 4,
    "inceptions": 0,
    "linear_depth": 1,
    "norm": "batch",
    "channels": "gray",
    "activation": "relu",
    "residual": False,
    "conv_dropout": 0.0,
    "pooling": "max",
    "head": "average",
    "head_dropout": 0.3,
}


def _widest_plain(limits: Limits, classes: int) -> ParametricConfig | None:
    """The widest that can be sampled; where none within the limits doubles its widths, one that nearly
    does."""
    for doubling in (True, False):
        for repeats in ((1, 2, 2, 2), (1, 1, 1, 1)):
            for first in reversed(_widths(1, limits)):
                doubled = [first << stage for stage in range(4)]
                widths = tuple(
                    max(width for width in _widths(stage, limits) if width <= most)
                    for stage, most in enumerate(doubled, start=1)
                )
                plain = ParametricConfig(classes=classes, widths=widths, repeats=repeats)
                if (list(widths) == doubled or not doubling) and limits.allow(count(plain)):
                    return plain
    return None


# Parameters of the network of the space that costs least; what isn't named doesn't change its cost by much.
SLIMMEST: dict[str, Any] = {
    "stages": 3,
    **{f"stage{stage}_width": _WIDTHS[0] for stage in (1, 2, 3)},
    **{f"stage{stage}_repeats": 1 for stage in (1, 2, 3)},
    "inceptions": 0,
    "linear_depth": 1,
    "norm": "batch",
    "channels": "gray",
    "head": "average",
}


def slimmest(classes: int) -> ParametricConfig:
    """The network of the space that costs least."""
    return ParametricConfig(classes=classes, widths=_WIDTHS[:1] * 3, repeats=(1, 1, 1))


def _widths(stage: int, limits: Limits) -> tuple[int, ...]:
    """Widths for which two convolutions in this stage alone stay within half of the limits.

    With this, about half of all random networks are within limits of 10 M to 100 M multiply–accumulates.
    """
    size = FACE_SIZE >> (stage - 1)

    def fits(width: int) -> bool:
        inputs = 0 if stage == 1 else width // 2
        weights = 2 * 9 * width * (inputs + width)
        return limits.allow(Cost(weights, weights * size**2))

    return tuple(width for width in _WIDTHS if fits(width)) or _WIDTHS[:1]


def _most_inceptions(limits: Limits) -> int:
    """The most inception modules, 0 to 30, worth sampling behind the slimmest stages, at 6×6.

    So many that they take half of the limits, as their widths are sampled up to threefold; or one, if it
    fits.
    """
    slimmest = ParametricConfig(widths=(8, 8, 8, 8), repeats=(1, 1, 1, 1))
    most = 0
    for number in range(1, 31):
        cost = count(dataclasses.replace(slimmest, inceptions=number))
        if not limits.allow(cost if number == 1 else Cost(2 * cost.parameters, 2 * cost.macs)):
            break
        most = number
    return most
