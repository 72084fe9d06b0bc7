"""Faces, labels and batches: readers of every layout, the drawn default, channels, balance, augmentation."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = [
    "EMOTIONS",
    "FACE_SIZE",
    "USAGES",
    "FaceDataset",
    "Split",
    "add_data_arguments",
    "apply_ferplus",
    "load_dataset",
    "make_split",
    "split_from_json",
    "split_to_json",
]

_HOMES = {
    "EMOTIONS": "emotions",
    "FACE_SIZE": "dataset",
    "USAGES": "dataset",
    "FaceDataset": "dataset",
    "Split": "dataset",
    "add_data_arguments": "load",
    "apply_ferplus": "ferplus",
    "load_dataset": "load",
    "make_split": "split",
    "split_from_json": "split",
    "split_to_json": "split",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
