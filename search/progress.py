"""How a running study looks on a terminal, drawn by polling its storage; knows nothing of processes."""

from __future__ import annotations

import time
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from search.recovery import DOUBLED, FINISHED, SURPLUS, reason_of
from search.storage import is_lost, lost_reason
from zoo.console import progress_bar

__all__ = ["StudyProgress"]


class StudyProgress:
    """One bar for the study and one for each running trial; on no terminal a line for each finished trial.

    Args:
        total: trials that the study is to have.
        epochs: of a trial.
        deadline: `time.time()` by which the search ends, or None.
    """

    def __init__(
        self, console: Console, study: Study, *, total: int, epochs: int, deadline: float | None
    ) -> None:
        self._console, self._study, self._total, self._epochs = console, study, total, epochs
        self._deadline = deadline
        self._bar = progress_bar(console)
        trials = study.get_trials(deepcopy=False)
        self._known = {trial.number for trial in trials if trial.state.is_finished()}
        done = sum(trial.state in FINISHED for trial in trials)
        self._task = self._bar.add_task("study", total=total, completed=done, status="")
        self._running: dict[int, Any] = {}
        self._polled = 0.0
        self._lost = False

    def __enter__(self) -> StudyProgress:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.update(force=True)
        self._bar.stop()

    def update(self, *, force: bool = False) -> None:
        """Look at the storage, at most once a second unless forced, and draw what changed.

        A storage that is gone is told once; whether to wait for it is up to the workers.
        """
        if not force and time.monotonic() - self._polled < 1:
            return
        self._polled = time.monotonic()
        try:
            trials = self._study.get_trials(deepcopy=False)
        except Exception as error:
            if not is_lost(error):
                raise
            if not self._lost:
                words = f"the storage is gone ({lost_reason(error)}); waiting for it"
                self._console.print(words, soft_wrap=True)
            self._lost = True
            return
        if self._lost:
            self._console.print("the storage is back")
            self._lost = False
        self._draw(trials)

    def _draw(self, trials: list[FrozenTrial]) -> None:
        done = [trial for trial in trials if trial.state in FINISHED]
        pruned = sum(trial.state == TrialState.PRUNED for trial in done)
        best = max(
            (t.value for t in done if t.state == TrialState.COMPLETE and t.value is not None), default=None
        )
        status = f"{pruned} pruned" + ("" if best is None else f", best {best:.4f}")
        if self._deadline is not None:
            status += f", search ends in {max(0.0, self._deadline - time.time()) / 60:.0f} min"
        self._bar.update(self._task, completed=min(len(done), self._total), status=status)
        for trial in trials:
            if trial.state.is_finished() and trial.number not in self._known:
                self._known.add(trial.number)
                if not self._console.is_terminal and reason_of(trial) not in (DOUBLED, SURPLUS):
                    self._console.print(
                        f"trial {trial.number}: {_told(trial)} ({len(done)} of {self._total})",
                        soft_wrap=True,
                    )
        self._draw_running([trial for trial in trials if trial.state == TrialState.RUNNING])

    def _draw_running(self, trials: list[FrozenTrial]) -> None:
        for number in set(self._running) - {trial.number for trial in trials}:
            self._bar.remove_task(self._running.pop(number))
        for trial in trials:
            if trial.number not in self._running:
                self._running[trial.number] = self._bar.add_task(
                    f"  trial {trial.number}", total=self._epochs, status=""
                )
            epoch = trial.last_step or 0
            status = f"accuracy {trial.intermediate_values[epoch]:.4f}" if epoch else ""
            self._bar.update(self._running[trial.number], completed=epoch, status=status)


def _told(trial: optuna.trial.FrozenTrial) -> str:
    if trial.state == TrialState.COMPLETE:
        return f"accuracy {trial.value:.4f}"
    word = "pruned" if trial.state == TrialState.PRUNED else "failed"
    return f"{word}: {reason_of(trial)}"
