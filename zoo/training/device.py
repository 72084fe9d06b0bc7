"""Which device to train on, and in which precision; knows no network."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import platform
import sys

import torch

from zoo.errors import DeviceError

__all__ = [
    "autocast",
    "device_name",
    "free_memory",
    "full_precision",
    "is_out_of_memory",
    "keep_freed_memory",
    "pick_device",
    "pick_precision",
]

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of malloc.h


def pick_device(name: str = "auto") -> torch.device:
    """The device of a name: `auto` (CUDA, else MPS, else CPU), `cuda`, `cuda:1`, `mps` or `cpu`.

    Raises:
        DeviceError: the name is none of these, or the machine has no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, colon, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (colon and (kind != "cuda" or not number.isdecimal())):
        raise DeviceError(f"device {name!r} is unknown; required: auto, cpu, cuda, cuda:N or mps")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(number or 0) >= count:
            raise DeviceError(f"device {name!r} does not exist; this machine has {count} CUDA devices")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("device 'mps' does not exist on this machine")
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """Of a GPU its name, of a CPU its own and how many threads torch has on it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "GPU of an Apple processor"
    threads = torch.get_num_threads()
    name = torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine()
    return f"{threads} {'thread' if threads == 1 else 'threads'} of {name}"


def pick_precision(device: torch.device) -> torch.dtype:
    """bfloat16 where the device multiplies it in hardware, else float32.

    On a CPU with AVX512-BF16 a network of 54 M multiply–accumulates trained at 417 images/s in bfloat16
    against 240 in float32 on one core; without such instructions bfloat16 is emulated and slower.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if device.type == "cpu":
        flags = torch.cpu.get_capabilities()
        if flags.get("avx512_bf16") or flags.get("amx_bf16") or flags.get("bf16"):
            return torch.bfloat16
    return torch.float32


def autocast(
    device: torch.device, precision: torch.dtype, *, cache: bool = True
) -> contextlib.AbstractContextManager[object]:
    """Autocast to `precision`, or nothing for float32.

    Args:
        cache: keep the weights that were cast until the end.
    """
    if precision == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, precision, cache_enabled=cache)


def full_precision(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Convolve in float32 as the CPU does; CUDA's default rounds the factors to the 10 bits of TF32."""
    if device.type != "cuda":
        return contextlib.nullcontext()
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device has no memory left; torch names only CUDA's by a class."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    words = ("out of memory", "not enough memory", "can't allocate memory", "ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def keep_freed_memory(device: torch.device) -> None:
    """On a CPU, have glibc keep freed memory for the next step, in the whole process; see `free_memory`.

    It returns large blocks to the system at once, and their pages then cost time in every step: on two cores
    a step of `emotionnet` took 77 ms, and 51 ms with them kept.
    """
    if device.type == "cpu" and sys.platform == "linux":
        keep = getattr(ctypes.CDLL(None), "mallopt", None)
        if keep is not None:
            keep(_M_MMAP_MAX, 0)
            keep(_M_TRIM_THRESHOLD, -1)


def free_memory(device: torch.device) -> None:
    """Give back to the device, and to the system, what nothing refers to any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        # glibc keeps the pages of freed blocks, and networks of many sizes leave it with a GB of them.
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
