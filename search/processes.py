"""Worker processes seen from their parent: starting, watching, replacing and ending them."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import joblib

from search.child import EXIT_ERROR
from search.memory import free_memory
from search.storage import StudyError

__all__ = ["Crew", "plan_devices", "plan_workers"]

_WORKER_BYTES = 1.2e9

# So many deaths within this time mean that something is wrong that a new process doesn't mend.
_MOST_DEATHS, _DEATH_SECONDS = 10, 300


def plan_workers(workers: str, device: str) -> int:
    """How many workers `--workers` means; `auto` is one for each GPU, or on a CPU one for each core, as
    far as there is memory for them.

    Raises:
        StudyError: the value is neither `auto` nor a positive number.
    """
    if workers == "auto":
        import torch

        from zoo.training.device import pick_device

        picked = pick_device(device)
        if picked.type == "cpu":
            return max(1, min(_cores(), int(free_memory() / _WORKER_BYTES)))
        return torch.cuda.device_count() if picked.type == "cuda" and picked.index is None else 1
    if not workers.isdecimal() or int(workers) < 1:
        raise StudyError(f"--workers is {workers!r}; required: auto or a number of at least 1")
    return int(workers)


def plan_devices(device: str, workers: int) -> list[tuple[str, int]]:
    """Device name and CPU threads of each worker: GPUs are shared out in turn, cores evenly."""
    import torch

    from zoo.training.device import pick_device

    picked = pick_device(device)
    threads = max(1, _cores() // workers)
    if picked.type == "cuda" and picked.index is None:
        return [(f"cuda:{number % torch.cuda.device_count()}", threads) for number in range(workers)]
    return [(str(picked), threads)] * workers


def _cores() -> int:
    """The cores that this process may use, which a scheduler or a container may have made fewer."""
    return int(joblib.cpu_count())


class Crew:
    """Processes that all run one function, each with a task of its own.

    A process that dies without a word (a crash, a kill, the system out of memory) is replaced, unless ten
    have died within five minutes, or its task's process for the `most_deaths`th time; one that ends with an
    error of its own ends the crew.

    Args:
        target: importable; called in a new process with one task and a connection, to which it sends why it
            ends early.
    """

    def __init__(
        self,
        target: Callable[[Any, Connection], None],
        tasks: Sequence[Any],
        *,
        most_deaths: float = math.inf,
    ) -> None:
        # Forked processes would inherit torch's and the database driver's locks.
        self._context = multiprocessing.get_context("spawn")
        self._target = target
        self._processes: dict[int, tuple[BaseProcess, Any, Connection]] = {}
        self._deaths: list[float] = []
        self._most_deaths, self._deaths_of = most_deaths, dict.fromkeys(range(len(tasks)), 0)
        for number, task in enumerate(tasks):
            self._start(number, task)

    def _start(self, number: int, task: Any) -> None:
        receiver, sender = self._context.Pipe(duplex=False)
        # A daemon is told to end when this process ends in whatever way.
        process = self._context.Process(target=self._target, args=(task, sender), daemon=True)
        with _deaf_to_interrupts():
            process.start()
        sender.close()
        self._processes[number] = (process, task, receiver)

    def watch(self) -> Iterator[None]:
        """Yield about twice a second until all processes are done.

        Raises:
            StudyError: a process ended with an error, or too many died. The traceback of an unforeseen error
                is printed.
        """
        while self._processes:
            for number, (process, task, receiver) in list(self._processes.items()):
                if process.exitcode is None:
                    continue
                del self._processes[number]
                words = _received(receiver)
                if process.exitcode == EXIT_ERROR and words:
                    raise StudyError(words)
                if process.exitcode == 1:
                    print(words, file=sys.stderr)
                    raise StudyError("a worker failed with the traceback above; everything finished is kept")
                if process.exitcode:
                    self._note_death(number, process.exitcode)
                    self._start(number, task)
            yield
            time.sleep(0.5)

    def _note_death(self, number: int, status: int) -> None:
        now = time.monotonic()
        cause = f"by signal {-status}" if status < 0 else f"with status {status}"
        self._deaths = [*(then for then in self._deaths if now - then < _DEATH_SECONDS), now]
        self._deaths_of[number] += 1
        many = ""
        if self._deaths_of[number] >= self._most_deaths:
            many = f"a worker died {self._deaths_of[number]} times"
        elif len(self._deaths) >= _MOST_DEATHS:
            many = f"{len(self._deaths)} workers died within {_DEATH_SECONDS // 60} minutes"
        if many:
            raise StudyError(
                f"{many}, the last {cause}; everything finished is kept; required: fewer --workers if the "
                "system was out of memory (signal 9 may say so)"
            )
        print(f"a worker died {cause} and is replaced", file=sys.stderr)

    def stop(self, patience: float = 30.0) -> None:
        """Tell all processes to end, and kill those that haven't within `patience` seconds."""
        for process, _, _ in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        limit = time.monotonic() + patience
        for process, _, _ in self._processes.values():
            process.join(max(0.0, limit - time.monotonic()))
            if process.exitcode is None:
                process.kill()
                process.join()
        self._processes.clear()


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes started within ignore Ctrl-C from their first moment on; their parent tells them to end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _received(receiver: Connection) -> str:
    with contextlib.closing(receiver):
        try:
            return str(receiver.recv()) if receiver.poll() else ""
        except EOFError:
            return ""
