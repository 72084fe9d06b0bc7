"""What a command line says → network config and recipe; trains nothing and prints nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from zoo.card import Card
from zoo.errors import ConfigError, WeightsError
from zoo.models import CARD, available, cards_alone, is_ensemble, resolve
from zoo.networks import NetworkConfig, config_from_json, named, names
from zoo.training.recipe import Recipe
from zoo.training.recipes import fine_tuning, fitted_batch_size, recipe_for

__all__ = ["changed", "choose_batch_size", "choose_network", "choose_recipe"]

_Config = TypeVar("_Config", NetworkConfig, Recipe)


def choose_network(name: str) -> tuple[str, NetworkConfig, Recipe | None]:
    """The network that a name stands for.

    Args:
        name: of a published network, a saved model, or one that doesn't ship; a saved model's folder; or a
            JSON file with a config.

    Returns:
        What a model of it is to be called, its config, and the recipe that a card brings along.

    Raises:
        ConfigError: the name stands for nothing, or the file holds no config.
    """
    if name in names():
        return name, named(name), None
    if name.endswith(".json"):
        return Path(name).stem, config_from_json(_read_json(Path(name))), None
    alone = cards_alone()
    if name in alone:
        card = Card.load(alone[name])
        return name, config_from_json(card.config), Recipe.from_json(card.recipe)
    try:
        folder = resolve(name)
    except WeightsError:
        raise ConfigError(
            f"network {name!r} is unknown; required: a config file (JSON), a saved model "
            f"({', '.join(available()) or 'none yet'}), or one of {', '.join(names())}"
        ) from None
    card = Card.load(folder / CARD)
    if is_ensemble(card):
        raise ConfigError(
            f"network {name!r} is an ensemble, which isn't trained; required: one network, such as "
            + ", ".join(card.config["members"])
        )
    return f"{card.name}-again", config_from_json(card.config), Recipe.from_json(card.recipe)


def choose_recipe(kind: str, network: str, own: Recipe | None) -> Recipe:
    """The recipe that a word stands for.

    Args:
        kind: `best`, `published`, `fine_tuning` (the best one, see `fine_tuning`), or a JSON file with a
            recipe.
        network: name of the network.
        own: what `best` is for a saved model, or one that another begins with.

    Raises:
        ConfigError: the word stands for nothing, or the file holds no recipe.
    """
    if kind.endswith(".json"):
        return Recipe.from_json(_read_json(Path(kind)))
    if kind not in ("best", "published", "fine_tuning"):
        raise ConfigError(
            f"recipe is {kind!r}; required: best, published, fine_tuning, or a recipe file (JSON)"
        )
    if kind == "published":
        return recipe_for(network, kind)
    best = own or recipe_for(network)
    return best if kind == "best" else fine_tuning(best)


def changed(config: _Config, changes: Sequence[str]) -> _Config:
    """A config or recipe with some fields changed.

    Args:
        changes: `FIELD=VALUE` or `FIELD.FIELD=VALUE`, values as in JSON; other text is taken as a string.

    Raises:
        ConfigError: a change has another form, its field doesn't exist or can't have the value.
    """
    values = config.to_json()
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals:
            raise ConfigError(f"{change!r} is no change of a field; required: FIELD=VALUE")
        if name in ("family", "classes"):
            raise ConfigError(
                f"{change!r}: the {name} can't be changed; required: other data, or another network"
            )
        outer, _, inner = name.partition(".")
        if not inner:
            values[outer] = _value(text)
        elif isinstance(values.get(outer), dict):
            values[outer] = {**values[outer], inner: _value(text)}
        else:
            raise ConfigError(f"{outer!r} has no fields of its own; required: FIELD=VALUE")
    return type(config).from_json(values)


def choose_batch_size(
    recipe: Recipe, count: int, changes: Sequence[str], *, what: str = "faces"
) -> tuple[int, str]:
    """The batch size that suits so few faces, and a sentence that says so; else the recipe's, and none.

    Args:
        count: of what an epoch passes over.
        changes: that were made to the recipe, see `changed`; a batch size among them is kept.
        what: is counted.
    """
    size = fitted_batch_size(recipe, count)
    if size == recipe.batch_size or any(change.startswith("batch_size=") for change in changes):
        return recipe.batch_size, ""
    few = f"{count:,} {what} are few: batches of {size} instead of {recipe.batch_size}"
    return size, f"{few} (--set batch_size=… changes that)"


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return {"none": None, "true": True, "false": False}.get(text.lower(), text)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: holds a {type(values).__name__}; required: a JSON object")
    return values
