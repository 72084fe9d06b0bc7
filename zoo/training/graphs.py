"""CUDA graphs: kernels recorded once and launched together; knows no recipe.

Small networks on a GPU are bound by the launches of their kernels, one by one from Python. A recording works
on the weights and statistics of the network itself, so that optimisers, averages and `load_state_dict` see
and change them as ever.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from zoo.training.device import autocast

__all__ = ["Recording", "record_training"]

_WARMUPS = 3


class _Forward(nn.Module):
    """A network within autocast; without the cache of autocast, whose casts would outlive a recording."""

    def __init__(self, network: nn.Module, device: torch.device, precision: torch.dtype) -> None:
        super().__init__()
        self.network = network
        self._device, self._precision = device, precision

    def forward(self, images: Tensor) -> Tensor:
        with autocast(self._device, self._precision, cache=False):
            return self.network(images).float()


def record_training(network: nn.Module, images: Tensor, precision: torch.dtype) -> nn.Module:
    """A module that passes images forward, and gradients back, in one launch each.

    The recording leaves weights and statistics as they were. Dropout draws anew at every launch, from
    CUDA's default generator.

    Args:
        network: in training mode, on a CUDA device.
        images: float (N, C, H, W) there; the module takes images of this shape and layout only.

    Returns:
        A module from such images to logits, float32 (N, classes).

    Raises:
        RuntimeError: the network can't be recorded, or the device has no memory left.
    """
    statistics = [(buffer, buffer.clone()) for buffer in network.buffers()]
    # Recordings are made on a stream of their own, which is what torch warns of at the first replay.
    torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)
    try:
        forward = _Forward(network, images.device, precision)
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message="Attempting to run cuBLAS, but there was no current CUDA"
            )
            recorded = torch.cuda.make_graphed_callables(
                forward, (images.clone(),), num_warmup_iters=_WARMUPS, allow_unused_input=True
            )
        assert isinstance(recorded, nn.Module)
        return recorded
    finally:
        for buffer, value in statistics:
            buffer.copy_(value)


class Recording:
    """What a function without gradients makes of a tensor of one shape, in one launch.

    Args:
        function: works on the device alone.
        sample: a CUDA tensor of the shape and layout that it will be called with.

    Raises:
        RuntimeError: the function can't be recorded, or the device has no memory left.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], sample: Tensor) -> None:
        self._input = sample.clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARMUPS):
                function(self._input)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._output = function(self._input)

    def __call__(self, tensor: Tensor) -> Tensor:
        """The answer, which the next call overwrites."""
        self._input.copy_(tensor)
        self._graph.replay()
        return self._output
