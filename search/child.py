"""The body of a child process: how it ends, and how it tells why; knows nothing of its work."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import FrameType

from zoo.errors import ZooError, disk_is_full

__all__ = ["EXIT_ERROR", "guard"]

EXIT_ERROR = 2
"""Exit status of a process that ends with an error that a person can mend."""

_STOPPING_SECONDS = 30
_MOST_WORDS = 16_000  # what a pipe takes before anyone reads from it


def guard(
    function: Callable[[], None],
    errors: Connection | None = None,
    *,
    on_stop: Callable[[], None] | None = None,
) -> None:
    """Run the body of a child process: it tells why it ends early, and ends with its parent.

    Args:
        errors: where one line for a person, or the traceback of a fault, is sent; None prints it.
        on_stop: called when the process is told to end (SIGTERM); None raises KeyboardInterrupt. Either way
            it is killed if it hasn't ended 30 seconds later.
    """

    def told_to_stop(number: int, frame: FrameType | None) -> None:
        killer = threading.Timer(_STOPPING_SECONDS, os._exit, (130,))
        killer.daemon = True
        killer.start()
        if on_stop is None:
            raise KeyboardInterrupt
        on_stop()

    for told in ("SIGINT", "SIGHUP"):  # which the parent gets, too
        if number := getattr(signal, told, None):
            signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, told_to_stop)
    threading.Thread(target=_follow_parent, daemon=True).start()
    try:
        function()
    except KeyboardInterrupt:
        sys.exit(130)
    except ZooError as error:
        _tell(errors, str(error))
        sys.exit(EXIT_ERROR)
    except Exception as error:
        if disk_is_full(error):
            place = f" ({name})" if (name := getattr(error, "filename", None)) else ""
            _tell(errors, f"the disk is full{place}; free some space and run the same command again")
            sys.exit(EXIT_ERROR)
        _tell(errors, traceback.format_exc())
        sys.exit(1)


def _tell(errors: Connection | None, words: str) -> None:
    if errors is None:
        print(words, file=sys.stderr, flush=True)
    else:
        with contextlib.suppress(OSError):
            errors.send(words[-_MOST_WORDS:])


def _follow_parent() -> None:
    """Stop as if told to when the parent dies, even by `kill -9`, so that no worker is left behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
