"""Counts what a network costs by running it on one face without memory or arithmetic; knows no family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from zoo.data.dataset import FACE_SIZE
from zoo.networks.config import Cost, NetworkConfig

__all__ = ["count_by_running"]


def count_by_running(build: Callable[[Any], nn.Module], config: NetworkConfig) -> Cost:
    """Exact cost of a network: its parameters, and every convolution and matrix product of one face.

    The network is built and run on torch's meta device, where tensors have shapes but no values; products
    inside attention are counted like any other.

    Args:
        build: makes the network of `config`.
    """
    state = torch.random.get_rng_state()
    with torch.device("meta"):
        network = build(config)
        images = torch.zeros((1, len(config.channels), FACE_SIZE, FACE_SIZE))
    torch.random.set_rng_state(state)
    # The fused attention of evaluation without gradients hides its products from the counter.
    with FlopCounterMode(display=False) as counter, torch.enable_grad():
        network.eval()(images)
    trained = sum(parameter.numel() for parameter in network.parameters())
    return Cost(trained, counter.get_total_flops() // 2)
