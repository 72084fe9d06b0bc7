"""Our training epoch against the bare step on one fixed batch, and against the usual DataLoader path.

The bare step has one thread, as ours beside it; the usual path and ours have the whole machine each, as the
usual one augments in two further processes. It runs as a script of its own would, in another process, because
ours has its process keep freed memory. On a GPU, ours also runs without recorded passes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from tests.benchmarks.measure import Figure, data_and_split, interleaved_ratio
from zoo.data import FaceDataset, Split
from zoo.data.augment import Augmentation
from zoo.networks import build, named
from zoo.training.device import autocast, pick_device, pick_precision
from zoo.training.loop import Trainer
from zoo.training.recipe import Recipe

__all__ = ["measure"]

_BATCH = 128
_RECIPE = Recipe(epochs=1000, batch_size=_BATCH, learning_rate=0.01, warmup_epochs=0.0)


def measure(data: Path | None) -> list[Figure]:
    """Ratios of speed, 16 batches a round; on a GPU, where an epoch's end weighs more, 128.

    Beside the usual path, which takes seconds a round, 48: after a wait of three seconds our first 16 steps
    took 10% longer than without it.
    """
    cuda = pick_device("auto").type == "cuda"
    dataset, split = data_and_split(data, rows=(128 if cuda else 16) * _BATCH)
    longer = (dataset, split) if cuda else data_and_split(data, rows=48 * _BATCH)
    figures = []
    for name, bare_target, usual_target in (("seven_block", 0.95, 2.2), ("emotionnet", 0.90, 3.5)):
        torch.set_num_threads(1)
        ours, bare = _ours(name, dataset, split), _bare(name, dataset, split)
        ratio, fast, slow = interleaved_ratio(ours, bare)
        detail = f"{fast:.0f} of {slow:.0f} images/s"
        figures.append(
            Figure.at_least(f"training epoch over bare step, {name}", ratio, "×", bare_target, detail)
        )
        torch.set_num_threads(os.cpu_count() or 1)
        ratio, fast, slow = interleaved_ratio(_ours(name, *longer), _usual(name, *longer), rounds=3)
        detail = f"{fast:.0f} against {slow:.0f} images/s"
        figures.append(
            Figure.at_least(f"our path over PIL and DataLoader, {name}", ratio, "×", usual_target, detail)
        )
        if cuda:
            ratio, fast, slow = interleaved_ratio(ours, _ours(name, dataset, split, graphs=False))
            detail = f"{fast:.0f} of {slow:.0f} images/s"
            figures.append(Figure(f"passes recorded over single launches, {name}", ratio, "×", detail=detail))
    return figures


def _ours(name: str, dataset: FaceDataset, split: Split, *, graphs: bool = True) -> Callable[[], float]:
    trainer = Trainer(named(name), _RECIPE, dataset, split, device=pick_device("auto"), graphs=graphs)
    epochs = trainer.epochs()

    def run() -> float:
        next(epochs)
        return float(len(split.train) // _BATCH * _BATCH)

    return run


def _bare(name: str, dataset: FaceDataset, split: Split) -> Callable[[], float]:
    """Forward, backward and step of the same network, dtype and batch size on one fixed batch."""
    trainer = Trainer(named(name), _RECIPE, dataset, split, device=pick_device("auto"))
    device = trainer.device
    precision = pick_precision(device)
    faces = torch.from_numpy(np.array(dataset.faces[split.train[:_BATCH]])).to(device)
    images = trainer.preprocess(faces).contiguous(memory_format=torch.channels_last)
    targets = torch.from_numpy(dataset.labels[split.train[:_BATCH]]).to(device)
    network = trainer.network.train()
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, nesterov=True, fused=True)

    def run() -> float:
        for _ in range(len(split.train) // _BATCH):
            with autocast(device, precision):
                logits = network(images).float()
            loss = nn.functional.cross_entropy(logits, targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        float(loss.detach())  # waits for a GPU, as ours does at an epoch's end
        return float(len(split.train) // _BATCH * _BATCH)

    return run


class _Pictures(Dataset[tuple[torch.Tensor, int]]):
    def __init__(self, faces: np.ndarray, labels: np.ndarray) -> None:
        self._pictures = [Image.fromarray(face) for face in faces]
        self._labels = labels
        varied = Augmentation()
        self._transform = transforms.Compose(
            [
                transforms.RandomHorizontalFlip(),
                transforms.RandomAffine(
                    varied.rotate,
                    translate=(varied.shift, varied.shift),
                    scale=(1 - varied.scale, 1 + varied.scale),
                    interpolation=transforms.InterpolationMode.BILINEAR,
                ),
                transforms.ToTensor(),
                transforms.RandomErasing(0.5, scale=(0.016, 0.17), ratio=(1.0, 1.0)),
                transforms.Normalize((0.5,), (0.25,)),
            ]
        )

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self._transform(self._pictures[index]), int(self._labels[index])


def _usual(name: str, dataset: FaceDataset, split: Split) -> Callable[[], float]:
    """PIL images, torchvision transforms of the same augmentation, two loader processes, float32."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    faces, labels = np.array(dataset.faces[split.train]), dataset.labels[split.train]
    context.Process(target=_serve_usual, args=(theirs, name, faces, labels)).start()
    theirs.close()

    def run() -> float:
        ours.send("an epoch")
        ours.recv()
        return float(len(labels) // _BATCH * _BATCH)

    return run


def _serve_usual(pipe: Connection, name: str, faces: np.ndarray, labels: np.ndarray) -> None:
    """Train an epoch whenever asked to, until the one who asks is gone."""
    pictures = _Pictures(faces, labels)
    loader = DataLoader(
        pictures, _BATCH, shuffle=True, num_workers=2, drop_last=True, persistent_workers=True
    )
    device = pick_device("auto")
    network = build(named(name)).to(device).train()
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, nesterov=True)

    with contextlib.suppress(EOFError):
        while pipe.recv():
            for images, targets in loader:
                loss = nn.functional.cross_entropy(network(images.to(device)), targets.to(device))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            pipe.send(float(loss.detach()))
