"""What every network config shares: its checks, its JSON form and its cost; knows no particular network."""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

from zoo.data.emotions import EMOTIONS
from zoo.errors import ConfigError

__all__ = ["CHANNELS", "Cost", "NetworkConfig", "require", "require_choice", "require_types"]

CHANNELS = ("gray", "sobel", "contrast")


class Cost(NamedTuple):
    """What a network costs: trainable parameters, and multiply–accumulates for one 48×48 face.

    Convolutions and matrix products are counted; biases, norms, activations and pooling are not.
    """

    parameters: int
    macs: int


def require(condition: bool, name: str, value: object, requirement: str) -> None:
    """Raise `ConfigError` naming the field, its value and what is required, unless the condition holds."""
    if not condition:
        raise ConfigError(f"{name} is {value!r}; required: {requirement}")


def require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise `ConfigError` listing the valid names, unless `value` is one of them."""
    require(value in choices, name, value, "one of " + ", ".join(choices))


def require_types(config: Any) -> None:
    """Raise `ConfigError` unless every field of a dataclass has the type that it declares.

    Configs come from JSON files and command lines, too. Whole numbers pass as floats, and nothing but them.
    What lists and dictionaries hold isn't looked at.
    """
    declared = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value, kind = getattr(config, field.name), declared[field.name]
        require(_has_type(value, kind), field.name, value, f"a value of type {_words(kind)}")


def _has_type(value: object, declared: Any) -> bool:
    if typing.get_origin(declared) is tuple:
        inner = typing.get_args(declared)[0]
        return isinstance(value, tuple) and all(_has_type(entry, inner) for entry in value)
    if typing.get_origin(declared) is types.UnionType:
        return any(_has_type(value, choice) for choice in typing.get_args(declared))
    declared = typing.get_origin(declared) or declared
    if isinstance(value, bool):
        return declared is bool
    return isinstance(value, (int, float) if declared is float else declared)


def _words(declared: Any) -> str:
    return declared.__name__ if isinstance(declared, type) else str(declared)


@dataclass(frozen=True)
class NetworkConfig:
    """Base of all network configs: a config describes its network completely.

    Attributes:
        classes: number of outputs, at least 2.
        channels: input channels, a non-empty choice of `gray`, `sobel`, `contrast` without repetition.
    """

    family: ClassVar[str]

    classes: int = len(EMOTIONS)
    channels: tuple[str, ...] = ("gray",)

    def __post_init__(self) -> None:
        require_types(self)
        require(self.classes >= 2, "classes", self.classes, "at least 2")
        require(
            len(self.channels) > 0
            and len(set(self.channels)) == len(self.channels)
            and set(self.channels) <= set(CHANNELS),
            "channels",
            self.channels,
            f"different names out of {', '.join(CHANNELS)}",
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values that `from_json` of the same family turns back into an equal config."""
        values = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }
        return {"family": self.family, **values}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The config that `to_json` described.

        Raises:
            ConfigError: a field is unknown, or has a value that it cannot have.
        """
        fields = {field.name for field in dataclasses.fields(cls)}
        given = {name: value for name, value in values.items() if name != "family"}
        unknown = sorted(set(given) - fields)
        known = ", ".join(sorted(fields))
        require(not unknown, f"{cls.family} config", unknown, f"only fields out of {known}")
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
        return cls(**values)
