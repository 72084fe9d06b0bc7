"""Recipes survive JSON, name bad values, and their schedules are what they say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from zoo.errors import ConfigError
from zoo.networks import names
from zoo.training.recipe import SCHEDULES, Recipe, learning_rate_factor, resolution
from zoo.training.recipes import BEST, PUBLISHED, fitted_batch_size, recipe_for


@pytest.mark.parametrize(
    ("schedule", "changes", "factors"),
    [
        ("constant", {}, {0: 1, 5: 1, 10: 1}),
        ("plateau", {}, {0: 1, 5: 1, 10: 1}),
        ("step", {"step_epochs": 4.0, "step_factor": 0.5}, {0: 1, 3.9: 1, 4: 0.5, 7.9: 0.5, 8: 0.25}),
        ("cyclic", {"step_epochs": 4.0}, {0: 0.1, 1: 0.55, 2: 1, 3: 0.55, 4: 0.1, 6: 1}),
        ("cosine", {}, {0: 1, 5: 0.5, 10: 0, 2.5: 0.8535534}),
        ("one_cycle", {}, {0: 0.04, 1.5: 0.52, 3: 1, 6.5: 0.5, 10: 0}),
        ("constant", {"warmup_epochs": 2.0}, {0: 0, 1: 0.5, 2: 1, 10: 1}),
        ("cosine", {"warmup_epochs": 2.0}, {0: 0, 1: 0.5, 2: 1, 6: 0.5, 10: 0}),
        ("step", {"warmup_epochs": 2.0, "step_epochs": 4.0}, {1: 0.5, 5.9: 1, 6: 0.1}),
    ],
)
def test_schedules_by_hand(schedule: str, changes: dict[str, Any], factors: dict[float, float]) -> None:
    recipe = Recipe(**{"epochs": 10, "schedule": schedule, "warmup_epochs": 0.0, **changes})
    for progress, factor in factors.items():
        assert learning_rate_factor(recipe, progress) == pytest.approx(factor, abs=1e-6)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("epochs", [1, 2, 7])
def test_short_runs_have_a_whole_schedule(schedule: str, epochs: int) -> None:
    recipe = Recipe(epochs=epochs, schedule=schedule, warmup_epochs=5.0)
    factors = [learning_rate_factor(recipe, epochs * step / 200) for step in range(201)]
    assert all(0 <= factor <= 1 for factor in factors) and max(factors) > 0.95


@pytest.mark.parametrize("recipe", [*BEST.values(), *PUBLISHED.values()], ids=[*BEST, *PUBLISHED])
def test_recipes_survive_json(recipe: Recipe) -> None:
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_every_network_has_both_recipes() -> None:
    assert set(BEST) == set(PUBLISHED) == set(names())
    for name in names():
        assert recipe_for(name) == BEST[name] != PUBLISHED[name] == recipe_for(name, "published")


@pytest.mark.parametrize(
    ("faces", "size"), [(28_698, 128), (5120, 128), (5119, 64), (1000, 16), (168, 16), (3, 16)]
)
def test_few_faces_make_small_batches(faces: int, size: int) -> None:
    assert fitted_batch_size(Recipe(batch_size=128), faces) == size
    assert fitted_batch_size(Recipe(batch_size=8), faces) == 8


def test_published_recipes_are_those_of_the_reports() -> None:
    assert (PUBLISHED["r1"].learning_rate, PUBLISHED["r1"].weight_decay) == (5e-5, 1e-9)
    assert (PUBLISHED["r1"].batch_size, PUBLISHED["r1"].epochs, PUBLISHED["r1"].seed) == (16, 36, 78)
    assert (PUBLISHED["r2"].learning_rate, PUBLISHED["r2"].weight_decay) == (1e-4, 1e-8)
    assert (PUBLISHED["r2"].batch_size, PUBLISHED["r2"].epochs, PUBLISHED["r2"].seed) == (32, 31, 99)
    assert (PUBLISHED["bilstm"].patience, PUBLISHED["bilstm"].keep) == (5, "best")
    assert (PUBLISHED["seven_block"].batch_size, PUBLISHED["seven_block"].epochs) == (64, 15)
    assert PUBLISHED["custom_cnn"].balance == "oversample"
    assert PUBLISHED["vgg16_bn"].schedule == "plateau" and PUBLISHED["vgg16_bn"].patience is not None
    for name in ("fully_connected", "simple_conv", "emotionnet", "eda_cnn", "custom_cnn", "seven_block"):
        assert (PUBLISHED[name].optimizer, PUBLISHED[name].learning_rate) == ("adam", 1e-3)


def test_a_saved_network_of_another_name_gets_the_general_recipe() -> None:
    assert recipe_for("study-best").balance_strength == 0.3
    with pytest.raises(ConfigError, match="study-best has no published recipe.*simple_conv"):
        recipe_for("study-best", "published")
    with pytest.raises(ConfigError, match="'worst'.*best or published"):
        recipe_for("simple_conv", "worst")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("epochs", 0, "at least 1"),
        ("epochs", 2.5, "type int"),
        ("batch_size", 0, "at least 1"),
        ("optimizer", "lamb", "sgd, adam, adamw, adadelta"),
        ("learning_rate", 0.0, "above 0"),
        ("learning_rate", float("nan"), "a finite number"),
        ("learning_rate", "fast", "type float"),
        ("momentum", 1.0, "below 1"),
        ("weight_decay", -1e-4, "at least 0"),
        ("schedule", "linear", "cosine"),
        ("warmup_epochs", -1.0, "at least 0"),
        ("step_epochs", 0.0, "above 0"),
        ("step_factor", 1.5, "at most 1"),
        ("plateau_patience", -1, "at least 0"),
        ("label_smoothing", 1.0, "below 1"),
        ("mixup", -0.1, "at least 0"),
        ("balance", "smote", "oversample"),
        ("balance_strength", 1.1, "0 to 1"),
        ("average", 1.0, "below 1"),
        ("patience", 0, "None or at least 1"),
        ("keep", "first", "best, last"),
        ("soft_labels", "yes", "type bool"),
        ("teacher", ["a", "b"], "type str"),
        ("teacher_share", 1.5, "0 to 1"),
        ("start_resolution", 36, r"one of \[16, 24, 32, 40, 48\]"),
        ("full_resolution_from", 1.0, "below 1"),
        ("seed", -1, "0 to"),
        ("augmentation", 3, "object"),
    ],
)
def test_bad_values_are_named(field: str, value: object, words: str) -> None:
    with pytest.raises(ConfigError, match=f"{field}.*required.*{words}"):
        Recipe.from_json({**Recipe().to_json(), field: value})


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("flip", 1, "type bool"),
        ("rotate", 181.0, "0 to 180"),
        ("shift", 0.6, "0 to 0.5"),
        ("scale", -0.1, "0 to 0.9"),
        ("shear", 46.0, "0 to 45"),
        ("erase", 1.1, "0 to 1"),
        ("strength", 4.0, "0 to 3"),
    ],
)
def test_bad_augmentations_are_named(field: str, value: object, words: str) -> None:
    values = Recipe().to_json()
    values["augmentation"][field] = value
    with pytest.raises(ConfigError, match=f"{field}.*required.*{words}"):
        Recipe.from_json(values)


def test_unknown_fields_are_named() -> None:
    with pytest.raises(ConfigError, match=r"recipe is \['lr'\].*learning_rate"):
        Recipe.from_json({"lr": 0.1})
    with pytest.raises(ConfigError, match=r"augmentation is \['zoom'\].*scale"):
        Recipe.from_json({"augmentation": {"zoom": 0.1}})


def test_missing_fields_have_their_defaults() -> None:
    assert Recipe.from_json({"epochs": 3, "augmentation": {"erase": 0.0}}) == replace(
        Recipe(), epochs=3, augmentation=replace(Recipe().augmentation, erase=0.0)
    )


@pytest.mark.parametrize(
    ("start", "share", "epochs", "sizes"),
    [
        (48, 0.6, 3, [48, 48, 48]),
        (32, 0.5, 8, [32, 32, 40, 40, 48, 48, 48, 48]),
        (16, 0.8, 5, [16, 24, 32, 40, 48]),
        (32, 0.0, 3, [48, 48, 48]),
        (32, 0.5, 1, [32]),
        (32, 0.25, 5, [32, 40, 48, 48, 48]),
    ],
)
def test_faces_grow_by_hand(start: int, share: float, epochs: int, sizes: list[int]) -> None:
    recipe = Recipe(epochs=epochs, start_resolution=start, full_resolution_from=share)
    assert [resolution(recipe, epoch) for epoch in range(epochs)] == sizes
