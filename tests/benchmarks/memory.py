"""The peak resident memory of one worker that trains `emotionnet` on the whole data set."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.benchmarks.measure import Figure

__all__ = ["measure"]

_SCRIPT = """
import resource, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from zoo.data import load_dataset, make_split
from zoo.networks import named
from zoo.training.device import pick_device
from zoo.training.loop import Trainer
from zoo.training.recipe import Recipe
dataset = load_dataset(Path(sys.argv[1]) if sys.argv[1] else None)
split, device = make_split(dataset), pick_device("auto")
trainer = Trainer(named("emotionnet"), Recipe(epochs=1), dataset, split, device=device)
for _ in trainer.epochs():
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def measure(data: Path | None) -> list[Figure]:
    """GiB after one epoch and its validation, mapped pages of the shared cache file included."""
    command = [sys.executable, "-c", _SCRIPT, str(data or "")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    peak = int(done.stdout.split()[-1]) / 2**20
    return [Figure.at_most("peak memory of a worker training emotionnet", peak, "GiB", 1.2)]
