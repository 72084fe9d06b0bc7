"""ImageNet weights through torchvision, for the networks that have them; knows no training."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.errors import ConfigError, WeightsError
from zoo.networks.config import NetworkConfig
from zoo.networks.resnet import ResNetConfig, ResNetNetwork
from zoo.networks.vit import ViTConfig, ViTNetwork

__all__ = ["imagenet_start"]


def imagenet_start(config: NetworkConfig, *, seed: int) -> dict[str, Tensor]:
    """A network's state with ImageNet weights where it has them and fresh ones elsewhere.

    Args:
        config: of a ResNet, or of a vision transformer with the sizes of ViT-B/16.
        seed: of the fresh weights.

    Returns:
        What `state_dict()` of the network gives.

    Raises:
        ConfigError: there are no ImageNet weights for this network.
        WeightsError: they can't be downloaded and aren't kept from before.
    """
    network: ResNetNetwork | ViTNetwork
    torch.manual_seed(seed)
    if isinstance(config, ResNetConfig):
        network, name = ResNetNetwork(config), f"ResNet{config.depth}_Weights"
    elif isinstance(config, ViTConfig) and config == ViTConfig(config.classes, config.channels):
        network, name = ViTNetwork(config), "ViT_B_16_Weights"
    else:
        raise ConfigError(
            f"a {config.family} network of these sizes has no ImageNet weights; "
            "required: resnet101, or vit at 224 pixels"
        )
    network.load_imagenet(_download(name))
    return network.state_dict()


def _download(name: str) -> dict[str, Tensor]:
    from torchvision import models

    weights = models.get_weight(f"{name}.IMAGENET1K_V1")
    try:
        # PyTorch keeps downloaded files in its cache folder and checks their digest.
        state: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        reason = str(error).strip() or type(error).__name__
        raise WeightsError(f"{weights.url}: the ImageNet weights can't be downloaded ({reason})") from None
    return state
