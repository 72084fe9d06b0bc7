"""Vision transformers (Dosovitskiy et al., 2021, arXiv:2010.11929) for faces, as torchvision builds them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from zoo.networks.config import Cost, NetworkConfig, require
from zoo.networks.cost import count_by_running

__all__ = ["ViTConfig", "ViTNetwork", "count_vit"]


@dataclass(frozen=True)
class ViTConfig(NetworkConfig):
    """Patches → linear projection → transformer layers → the class token → classes. The default is ViT-B/16.

    Attributes:
        pixels: faces are enlarged to this height and width.
        patch: side of a patch, a divisor of `pixels`.
        width: of the tokens, a multiple of `heads`.
        depth: transformer layers.
        heads: attention heads of each.
        hidden: width inside each layer's linear block.
        dropout: probability of dropping an output of a layer.
        copies: each gray face is repeated as red, green and blue, which ImageNet weights need; it adds
            parameters and no information.
    """

    family: ClassVar[str] = "vit"

    pixels: int = 224
    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    hidden: int = 3072
    dropout: float = 0.0
    copies: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("pixels", "patch", "width", "depth", "heads", "hidden"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        require(self.pixels % self.patch == 0, "patch", self.patch, f"a divisor of pixels, {self.pixels}")
        require(self.width % self.heads == 0, "heads", self.heads, f"a divisor of width, {self.width}")
        require(0 <= self.dropout < 1, "dropout", self.dropout, "at least 0 and below 1")
        require(
            not self.copies or len(self.channels) in (1, 3),
            "channels",
            self.channels,
            "one or three, to be seen as red, green and blue",
        )


class ViTNetwork(nn.Module):
    """The network of a `ViTConfig`: float (N, channels, 48, 48) → logits (N, classes)."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        from torchvision.models import VisionTransformer

        self.config = config
        self.body = VisionTransformer(
            image_size=config.pixels,
            patch_size=config.patch,
            num_layers=config.depth,
            num_heads=config.heads,
            hidden_dim=config.width,
            mlp_dim=config.hidden,
            dropout=config.dropout,
        )
        self.body.heads = nn.Identity()
        if not config.copies:
            self.body.conv_proj = nn.Conv2d(
                len(config.channels), config.width, config.patch, stride=config.patch
            )
        self.classifier = nn.Linear(config.width, config.classes)

    def features(self, images: Tensor) -> Tensor:
        """The input of the last linear layer, the class token: float (N, channels, 48, 48) → (N, D)."""
        size = self.config.pixels
        if images.shape[-1] != size:
            images = nn.functional.interpolate(
                images, size=(size, size), mode="bilinear", align_corners=False
            )
        if self.config.copies and images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        # The CPU's flash attention goes back slowly: vit_small48 trains 1.3 times as fast by plain products.
        plain = self.training and images.device.type == "cpu"
        with sdpa_kernel(SDPBackend.MATH) if plain else contextlib.nullcontext():
            features: Tensor = self.body(images)
        return features

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(images))
        return logits

    def load_imagenet(self, weights: dict[str, Tensor]) -> None:
        """Take over torchvision's ImageNet weights of ViT-B/16; the classifier stays as it is.

        Args:
            weights: as torchvision's `get_state_dict` gives them.
        """
        taken = {name: value for name, value in weights.items() if not name.startswith("heads.")}
        self.body.load_state_dict(taken)


def count_vit(config: ViTConfig) -> Cost:
    """Exact cost of the network of a config."""
    return count_by_running(ViTNetwork, config)
