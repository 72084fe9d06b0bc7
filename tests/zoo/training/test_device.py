"""Devices by name, and the errors of those that don't exist or are full."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest
import torch

from zoo.errors import DeviceError
from zoo.training.device import autocast, free_memory, is_out_of_memory, pick_device, pick_precision


def test_the_cpu_is_always_there() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in ("cpu", "cuda", "mps")


@pytest.mark.parametrize(
    "name", ["gpu", "cpu:", "cpu:0", "cuda:", "mps:", "cuda:one", "cuda:-1", "", "mps:1", "CUDA"]
)
def test_unknown_names_are_errors(name: str) -> None:
    with pytest.raises(DeviceError, match=f"{name!r} is unknown; required: auto, cpu, cuda, cuda:N or mps"):
        pick_device(name)


def test_a_device_beyond_the_last_is_an_error() -> None:
    with pytest.raises(DeviceError, match="'cuda:99' does not exist; this machine has [0-9]+ CUDA"):
        pick_device("cuda:99")


def test_precision_is_one_that_the_device_computes_in() -> None:
    precision = pick_precision(torch.device("cpu"))
    assert precision in (torch.float32, torch.bfloat16)
    with autocast(torch.device("cpu"), precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == precision


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (MemoryError(), True),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
            True,
        ),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_is_told_from_bugs(error: BaseException, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc is Linux's")
def test_freed_memory_goes_back_to_the_system() -> None:
    process = psutil.Process()
    blocks = [bytearray(b"x" * 100_000) for _ in range(2000)]
    last = blocks[-1]
    blocks.clear()
    before = process.memory_info().rss
    free_memory(torch.device("cpu"))
    assert process.memory_info().rss < before - 100_000_000 and last[0] == ord("x")


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc is Linux's")
def test_freed_memory_is_kept_for_the_next_step_until_it_is_given_back() -> None:
    # For a process of its own, as it holds for the whole process.
    program = """
import psutil, torch
from zoo.training.device import free_memory, keep_freed_memory

def resident(keep):
    if keep:
        keep_freed_memory(torch.device("cpu"))
    block = torch.ones(50_000_000)
    del block
    return psutil.Process().memory_info().rss

least = resident(keep=False)
kept = resident(keep=True)
free_memory(torch.device("cpu"))
print(kept - least > 150e6, psutil.Process().memory_info().rss - least < 50e6)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]
