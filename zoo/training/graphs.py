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

from zoo.training.device import autocast, is_out_of_memory

__all__ = ["Forward", "recorded", "recorded_training"]

_WARMUPS = 3


class Forward(nn.Module):
    """Images, float (N, C, H, W) → logits of a network, float32 (N, classes), computed within autocast.

    Without the cache of autocast, as its casts would outlive a recording.
    """

    def __init__(self, network: nn.Module, device: torch.device, precision: torch.dtype) -> None:
        super().__init__()
        self.network = network
        self._device, self._precision = device, precision

    def forward(self, images: Tensor) -> Tensor:
        with autocast(self._device, self._precision, cache=False):
            return self.network(images).float()


def recorded_training(forward: Forward, images: Tensor) -> nn.Module:
    """A network that passes images forward, and gradients back, in one launch each.

    The recording leaves weights and statistics as they were. Dropout draws anew at every launch, from
    CUDA's default generator.

    Args:
        forward: in training mode, on a CUDA device; not to be used any more.
        images: on that device; what is returned takes images of this shape and layout only.

    Returns:
        What does the same as `forward`; itself where it can't be recorded.

    Raises:
        RuntimeError: the device has no memory left.
    """
    statistics = [(buffer, buffer.clone()) for buffer in forward.buffers()]
    # Recordings are made on a stream of their own, which is what torch warns of at the first replay.
    torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)
    try:
        with torch.cuda.device(images.device), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Attempting to run cuBLAS, but there was no current")
            launched = torch.cuda.make_graphed_callables(
                forward, (images.clone(),), num_warmup_iters=_WARMUPS, allow_unused_input=True
            )
        assert isinstance(launched, nn.Module)
        return launched
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        return forward
    finally:
        for buffer, value in statistics:
            buffer.copy_(value)


def recorded(function: Callable[[Tensor], Tensor], sample: Tensor) -> Callable[[Tensor], Tensor]:
    """A function without gradients as one launch, whose answer the next call overwrites.

    Args:
        function: works on the device alone.
        sample: of the shape and layout that it will be called with.

    Returns:
        What does the same as `function`; itself off CUDA devices, and where it can't be recorded.

    Raises:
        RuntimeError: the device has no memory left.
    """
    if sample.device.type != "cuda":
        return function
    given, graph = sample.clone(), torch.cuda.CUDAGraph()
    try:
        with torch.cuda.device(sample.device):
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(_WARMUPS):
                    function(given)
            torch.cuda.current_stream().wait_stream(side)
            with torch.cuda.graph(graph):
                answer = function(given)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        return function

    def launch(tensor: Tensor) -> Tensor:
        given.copy_(tensor)
        graph.replay()
        return answer

    return launch
