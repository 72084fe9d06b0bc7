"""What every network config shares: its checks, its JSON form and its cost; knows no particular network."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

from zoo.data.emotions import EMOTIONS
from zoo.errors import ConfigError

__all__ = ["CHANNELS", "Cost", "NetworkConfig", "require", "require_choice"]

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
        require(isinstance(self.classes, int) and self.classes >= 2, "classes", self.classes, "at least 2")
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
