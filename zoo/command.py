"""What every `python -m` command shares: how it ends. It knows nothing of what the commands do."""

import signal
import sys
from collections.abc import Callable, Sequence

from zoo.errors import ZooError, disk_is_full

__all__ = ["run_command"]


def run_command(main: Callable[[Sequence[str] | None], int]) -> None:
    """Run `main(None)` and exit with its status.

    A `ZooError`, an error of the system with a file or folder, or a full disk prints one line on stderr and
    exits 2; Ctrl-C, SIGTERM, which ends jobs on clusters, or SIGHUP, as the terminal is closed, exits 130.
    None shows a traceback. A closed pipe (`| head`) ends quietly.
    """
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP; nohup lets it be ignored
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    try:
        status = main(None)
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    except BrokenPipeError:
        sys.stderr.close()
        status = 0
    except OSError as error:
        if error.filename is not None:
            print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        elif disk_is_full(error):
            print("error: the disk is full; required: some space", file=sys.stderr)
        else:
            raise
        status = 2
    sys.exit(status)
