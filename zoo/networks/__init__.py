"""The networks: the parametric family, the published networks, and the registry of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from torch import nn

from zoo.errors import ConfigError
from zoo.networks.bilstm import BiLstmConfig, BiLstmNetwork, count_bilstm
from zoo.networks.config import CHANNELS, Cost, NetworkConfig
from zoo.networks.fully_connected import (
    FullyConnectedConfig,
    FullyConnectedNetwork,
    count_fully_connected,
)
from zoo.networks.parametric import ParametricConfig, ParametricNetwork, count_parametric
from zoo.networks.published import PUBLISHED
from zoo.networks.resnet import ResNetConfig, ResNetNetwork, count_resnet
from zoo.networks.vit import ViTConfig, ViTNetwork, count_vit

__all__ = [
    "CHANNELS",
    "Cost",
    "NetworkConfig",
    "ParametricConfig",
    "build",
    "config_from_json",
    "count",
    "named",
    "names",
]


class _Family(NamedTuple):
    config: type[Any]
    build: Callable[[Any], nn.Module]
    cost: Callable[[Any], Cost]


_FAMILIES: dict[str, _Family] = {
    "bilstm": _Family(BiLstmConfig, BiLstmNetwork, count_bilstm),
    "fully_connected": _Family(FullyConnectedConfig, FullyConnectedNetwork, count_fully_connected),
    "parametric": _Family(ParametricConfig, ParametricNetwork, count_parametric),
    "resnet": _Family(ResNetConfig, ResNetNetwork, count_resnet),
    "vit": _Family(ViTConfig, ViTNetwork, count_vit),
}

_NAMED: dict[str, NetworkConfig] = {
    "fully_connected": FullyConnectedConfig(),
    **PUBLISHED,
    "bilstm": BiLstmConfig(),
    "resnet101": ResNetConfig(),
    "vit": ViTConfig(),
    "vit_small48": ViTConfig(pixels=48, patch=6, width=192, depth=6, heads=3, hidden=384, copies=False),
}


def names() -> tuple[str, ...]:
    """The names of the published networks."""
    return tuple(_NAMED)


def named(name: str, *, classes: int | None = None) -> NetworkConfig:
    """The config of a published network, with as many outputs as `classes` says.

    Raises:
        ConfigError: no network has that name; the message lists those that exist.
    """
    if name not in _NAMED:
        raise ConfigError(f"network {name!r} is unknown; known are {', '.join(_NAMED)}")
    return _NAMED[name] if classes is None else replace(_NAMED[name], classes=classes)


def build(config: NetworkConfig) -> nn.Module:
    """The network of a config, freshly initialised from torch's global random state, on the CPU.

    It maps float (N, channels, 48, 48) to logits (N, classes); `network.features(images)` is the input of
    `network.classifier`, its last linear layer.
    """
    return _FAMILIES[config.family].build(config)


def count(config: NetworkConfig) -> Cost:
    """Parameters and multiply–accumulates of a config's network."""
    return _FAMILIES[config.family].cost(config)


def config_from_json(values: dict[str, Any]) -> NetworkConfig:
    """The config that `NetworkConfig.to_json` described.

    Raises:
        ConfigError: the family or a field is unknown, or a value is one that it cannot have.
    """
    family = values.get("family")
    if not isinstance(family, str) or family not in _FAMILIES:
        raise ConfigError(f"network family {family!r} is unknown; known are {', '.join(_FAMILIES)}")
    return _FAMILIES[family].config.from_json(values)
