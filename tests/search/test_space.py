import dataclasses
from typing import Any

import optuna
import pytest

from search.space import Limits, Proposal, SearchSpace
from zoo.networks import Cost, ParametricConfig, build, config_from_json, count
from zoo.networks.published import PUBLISHED
from zoo.training.recipe import Recipe

TRIALS = 150
SMALLEST: dict[str, Any] = {
    "stages": 3,
    **{f"stage{stage}_width": 8 for stage in (1, 2, 3)},
    **{f"stage{stage}_repeats": 1 for stage in (1, 2, 3)},
    "inceptions": 0,
    "linear_depth": 1,
    "norm": "batch",
    "channels": "gray",
    "activation": "relu",
    "residual": False,
    "conv_dropout": 0.0,
    "pooling": "max",
    "head": "average",
    "head_dropout": 0.0,
    "optimizer": "sgd",
    "sgd_learning_rate": 0.1,
    "batch_size": 64,
    "weight_decay": 1e-4,
    "label_smoothing": 0.0,
    "balance": "none",
    "augment_strength": 1.0,
    "augment_erase": 0.0,
}


def space(limits: Limits | None = None, classes: int = 7) -> SearchSpace:
    return SearchSpace(classes, limits or Limits(), epochs=4, faces=28_709, seed=5, soft_labels=False)


def propose(trial: optuna.trial.BaseTrial, limits: Limits | None = None) -> Proposal:
    return space(limits).suggest(trial)


def sampled(limits: Limits, seed: int = 0) -> tuple[optuna.Study, list[Proposal]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    proposals = []
    for _ in range(TRIALS):
        trial = study.ask()
        proposals.append(propose(trial, limits))
        study.tell(trial, 0.0)
    return study, proposals


def test_fixed_parameters_give_the_network_and_the_recipe_they_name() -> None:
    proposal = propose(optuna.trial.FixedTrial(SMALLEST))
    assert proposal.config == ParametricConfig(
        classes=7,
        channels=("gray",),
        widths=(8, 8, 8),
        repeats=(1, 1, 1),
        bias=False,
        norm="batch",
        activation="relu",
        pooling="max",
        head="average",
        linear=(),
        head_norm="none",
        residual=False,
        conv_dropout=0.0,
        inceptions=0,
        head_dropout=0.0,
    )
    recipe = proposal.recipe
    assert (recipe.epochs, recipe.seed, recipe.batch_size, recipe.optimizer) == (4, 5, 64, "sgd")
    assert (recipe.learning_rate, recipe.weight_decay, recipe.augmentation.strength) == (0.1, 1e-4, 1.0)


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"stages": 4, "stage4_width": 800, "stage4_repeats": 4}, "widths", (8, 8, 8, 800)),
        ({"inceptions": 30, "inception_multiplier": 3}, "inception_multiplier", 3),
        (
            {"linear_depth": 3, "linear_width": 128, "linear_decay": 0.5, "head_norm": "batch"},
            "linear",
            (128, 64),
        ),
        (
            {"linear_depth": 5, "linear_width": 64, "linear_decay": 0.25, "head_norm": "none"},
            "linear",
            (64, 16, 7, 7),
        ),
        ({"norm": "none"}, "bias", True),
        ({"channels": "gray+sobel+contrast"}, "channels", ("gray", "sobel", "contrast")),
        ({"activation": "gelu"}, "activation", "gelu"),
        ({"pooling": "min"}, "pooling", "min"),
        ({"head": "flatten"}, "head", "flatten"),
    ],
)
def test_parameters_reach_their_field(changes: dict[str, Any], field: str, value: object) -> None:
    config = propose(optuna.trial.FixedTrial({**SMALLEST, **changes})).config
    assert getattr(config, field) == value
    build(config)


def test_random_networks_cover_the_space_and_survive_json() -> None:
    study, proposals = sampled(Limits())
    seen = {name: distribution for t in study.trials for name, distribution in t.distributions.items()}
    assert set(SMALLEST) < set(seen)
    assert {
        "linear_width",
        "head_norm",
        "inception_multiplier",
        "balance_strength",
        "adam_learning_rate",
    } < set(seen)
    for proposal in proposals:
        assert config_from_json(proposal.config.to_json()) == proposal.config
        assert Recipe.from_json(proposal.recipe.to_json()) == proposal.recipe
        assert count(proposal.config).macs > 0
    assert len({proposal.fingerprint for proposal in proposals}) == TRIALS


@pytest.mark.parametrize(
    "limits", [Limits(10_000_000), Limits(30_000_000), Limits(None, 200_000), Limits(100_000_000, 2_000_000)]
)
def test_limits_leave_something_to_sample(limits: Limits) -> None:
    _, proposals = sampled(limits)
    within = sum(limits.allow(count(proposal.config)) for proposal in proposals)
    assert within > TRIALS / 8


def test_a_proposal_is_completed_at_random_and_keeps_what_it_has() -> None:
    given = {"stages": 4, "stage4_width": 96, "optimizer": "adam"}
    one, params = space().complete(given, 3)
    assert params | given == params
    assert one.config.widths[3] == 96 and len(one.config.widths) == 4 and one.recipe.optimizer == "adam"
    assert space().complete(given, 3)[1] == params != space().complete(given, 4)[1]
    assert propose(optuna.trial.FixedTrial(params)) == one


def test_the_fingerprint_is_that_of_config_and_recipe() -> None:
    one, same = (propose(optuna.trial.FixedTrial(SMALLEST)) for _ in range(2))
    assert one.fingerprint == same.fingerprint
    other = dataclasses.replace(one, recipe=dataclasses.replace(one.recipe, seed=6))
    assert one.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("limits", "cost", "excess"),
    [
        (Limits(), Cost(10, 10), {}),
        (Limits(macs=20), Cost(99, 10), {"macs": -0.5}),
        (Limits(parameters=10), Cost(15, 99), {"parameters": 0.5}),
        (Limits(macs=10, parameters=10), Cost(10, 10), {"macs": 0.0, "parameters": 0.0}),
    ],
)
def test_excess_is_a_share_of_the_limit(limits: Limits, cost: Cost, excess: dict[str, float]) -> None:
    assert limits.excess(cost) == excess
    assert limits.allow(cost) == all(value <= 0 for value in excess.values())


@pytest.mark.parametrize("macs", [None, 100_000_000, 30_000_000, 1000])
def test_studies_begin_with_the_published_networks_within_limits(macs: int | None) -> None:
    limits = Limits(macs)
    points = space(limits).starting_points()
    names = [attributes["network"] for _, attributes in points if "network" in attributes]
    costs = {name: count(dataclasses.replace(config, classes=7)) for name, config in PUBLISHED.items()}
    assert set(names) == {name for name, cost in costs.items() if limits.allow(cost)}
    assert [costs[name].macs for name in names] == sorted(costs[name].macs for name in names)


@pytest.mark.parametrize("macs", [100_000_000, 30_000_000, 8_000_000, 3_000_000, 1_000_000])
def test_studies_begin_with_the_widest_plain_network_too(macs: int) -> None:
    limits = Limits(macs)
    points = space(limits).starting_points()
    (params,) = [params for params, attributes in points if attributes == {"start": "plain"}]
    trial = optuna.trial.FixedTrial(params)
    proposal = propose(trial, limits)
    assert set(trial.distributions) == set(params)
    assert macs / 6 < count(proposal.config).macs <= macs


def test_an_enqueued_network_is_taken_as_published() -> None:
    for params, attributes in space(classes=5).starting_points():
        if "network" not in attributes:
            continue
        trial = optuna.trial.FixedTrial(params)
        for name, value in attributes.items():
            trial.set_user_attr(name, value)
        proposal = space(classes=5).suggest(trial)
        assert proposal.config == dataclasses.replace(PUBLISHED[attributes["network"]], classes=5)
        assert set(params) == set(trial.distributions)
