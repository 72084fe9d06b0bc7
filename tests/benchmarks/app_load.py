"""One app, 16 clients, 50 requests each: errors, answers of others, requests a second, growth of memory."""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from demo.library import Library
from demo.recognise import answers_to_json, recognise
from tests.benchmarks.measure import Figure
from tests.demo.running import running

__all__ = ["measure"]

_CLIENTS, _REQUESTS, _WARM_UP = 16, 50, 10
# Seconds that an answer may take; without them a lost one would keep the measurement from ending.
_PATIENCE = 120


def measure(data: Path | None) -> list[Figure]:
    """Each client's picture has an answer of its own, known before; `data` is not used."""
    del data
    from gradio_client import Client, handle_file

    library = Library.open()
    noise = np.random.default_rng(0)
    errors: list[str] = []
    mixed: list[int] = []
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder, running() as address:
        app = next(child for child in psutil.Process().children() if "demo" in child.cmdline())
        paths, expected = [], []
        for number in range(_CLIENTS):
            image = noise.integers(0, 256, (160, 160, 3), np.uint8)
            paths.append(Path(folder) / f"{number}.png")
            Image.fromarray(image).save(paths[-1])
            expected.append(answers_to_json(recognise(image, library.predictor(None), whole=True)))

        def visit(number: int, requests: int) -> None:
            client = Client(address, verbose=False, httpx_kwargs={"timeout": 300})
            for _ in range(requests):
                started = time.perf_counter()
                try:
                    job = client.submit(handle_file(paths[number]), "", True, api_name="/recognise")
                    answer = job.result(timeout=_PATIENCE)
                except Exception as error:  # whatever went wrong is what is counted
                    errors.append(repr(error))
                    continue
                times.append(time.perf_counter() - started)
                if not _alike(answer["faces"], expected[number]):
                    mixed.append(number)
            client.close()

        _side_by_side(visit, _WARM_UP)
        before = app.memory_info().rss
        times.clear()
        started = time.perf_counter()
        _side_by_side(visit, _REQUESTS)
        seconds = time.perf_counter() - started
        grown = app.memory_info().rss - before
    total = f"of {_CLIENTS * _REQUESTS} requests by {_CLIENTS} clients"
    slowest = f"median {statistics.median(times):.2f} s, slowest {max(times):.2f} s"
    return [
        Figure.at_most("app under load: errors", len(errors), "", 0, (errors or [total])[0][:120]),
        Figure.at_most("app under load: answers of others", len(mixed), "", 0, total),
        Figure("app under load: speed", len(times) / seconds, "requests/s", detail=slowest),
        Figure.at_most("app under load: memory grown after warm-up", grown / 1e6, "MB", 30, total),
    ]


def _side_by_side(visit: Callable[[int, int], None], requests: int) -> None:
    threads = [threading.Thread(target=visit, args=(number, requests)) for number in range(_CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _alike(answer: list[dict[str, Any]], expected: list[dict[str, Any]]) -> bool:
    """Equal but for the last digit of a probability, which depends on the number of threads."""
    (first,), (second,) = answer, expected
    pairs = zip(first["probabilities"].values(), second["probabilities"].values(), strict=True)
    return all(abs(one - other) < 1e-3 for one, other in pairs)
