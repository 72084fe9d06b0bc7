"""Names, files and changes on a command line become configs and recipes, or one clear line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from zoo.errors import ConfigError
from zoo.networks import ParametricConfig, named
from zoo.training.options import changed, choose_batch_size, choose_network, choose_recipe
from zoo.training.recipe import Recipe
from zoo.training.recipes import recipe_for


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_published_names_and_files_are_networks(tmp_path: Path) -> None:
    assert choose_network("eda_cnn") == ("eda_cnn", named("eda_cnn"), None)
    config = ParametricConfig(widths=(3,), repeats=(2,))
    (tmp_path / "mine.json").write_text(json.dumps(config.to_json()))
    assert choose_network("mine.json") == ("mine", config, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "odd.json: cannot be read as JSON"),
        ("{", "odd.json: cannot be read as JSON"),
        ("[1]", "odd.json: holds a list; required: a JSON object"),
        ('{"family": "odd"}', "family 'odd' is unknown"),
        ('{"family": "parametric", "widths": [0]}', "widths"),
    ],
)
def test_files_without_a_config_are_errors(text: str | None, words: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "odd.json").write_text(text)
    with pytest.raises(ConfigError, match=words):
        choose_network("odd.json")


def test_unknown_networks_list_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'lenet' is unknown; required: .*JSON.*simple_conv"):
        choose_network("lenet")


def test_recipes_by_word_and_file(tmp_path: Path) -> None:
    own = Recipe(epochs=3)
    assert choose_recipe("best", "eda_cnn", None) == recipe_for("eda_cnn")
    assert choose_recipe("published", "eda_cnn", None) == recipe_for("eda_cnn", "published")
    assert choose_recipe("best", "saved", own) == own
    (tmp_path / "mine.json").write_text(json.dumps({"epochs": 5}))
    assert choose_recipe("mine.json", "eda_cnn", None) == Recipe(epochs=5)
    with pytest.raises(ConfigError, match="recipe is 'good'; required: best, published"):
        choose_recipe("good", "eda_cnn", None)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([], {}),
        (["epochs=3", "learning_rate=1e-4"], {"epochs": 3, "learning_rate": 1e-4}),
        (["optimizer=adam"], {"optimizer": "adam"}),
        (["patience=none"], {"patience": None}),
        (["patience=null"], {"patience": None}),
        (["soft_labels=True"], {"soft_labels": True}),
    ],
)
def test_changes_of_a_recipe(changes: list[str], expected: dict[str, Any]) -> None:
    recipe = Recipe(patience=4)
    assert changed(recipe, changes) == replace(recipe, **expected)


def test_changes_inside_a_recipe() -> None:
    recipe = changed(Recipe(), ["augmentation.erase=0", "augmentation.flip=false"])
    assert recipe.augmentation == replace(Recipe().augmentation, erase=0, flip=False)


def test_changes_of_a_network() -> None:
    config = changed(named("eda_cnn"), ["final_softmax=true", "activation=gelu", "linear=[8, 4]"])
    assert config == replace(named("eda_cnn"), final_softmax=True, activation="gelu", linear=(8, 4))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("epochs", "'epochs' is no change of a field; required: FIELD=VALUE"),
        ("epochs=many", "epochs is 'many'; required: a value of type int"),
        ("rate=1", r"recipe is \['rate'\]"),
        ("epochs.x=1", "'epochs' has no fields of its own"),
        ("augmentation.blur=1", r"augmentation is \['blur'\]"),
        ("augmentation=3", "augmentation is 3"),
    ],
)
def test_bad_changes_are_named(change: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        changed(Recipe(), [change])


@pytest.mark.parametrize(
    ("count", "changes", "what", "size", "sentence"),
    [
        (
            1_168,
            [],
            "faces",
            16,
            "1,168 faces are few: batches of 16 instead of 128 (--set batch_size=… changes that)",
        ),
        (
            3_000,
            ["average=0"],
            "list entries",
            64,
            "3,000 list entries are few: batches of 64 instead of 128 (--set batch_size=… changes that)",
        ),
        (6_000, [], "faces", 128, ""),
        (168, ["batch_size=128"], "faces", 128, ""),
    ],
)
def test_few_faces_have_small_batches_unless_a_size_was_chosen(
    count: int, changes: list[str], what: str, size: int, sentence: str
) -> None:
    assert choose_batch_size(Recipe(batch_size=128), count, changes, what=what) == (size, sentence)
