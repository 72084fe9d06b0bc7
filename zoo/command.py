"""What the `python -m` commands share: how they end, and how a duration is written."""

import io
import re
import signal
import sys
from collections.abc import Callable, Sequence

from zoo.errors import ConfigError, ZooError, disk_is_full

__all__ = ["parse_seconds", "run_command"]

_SECOND_UNITS = {"s": 1, "m": 60, "h": 3600}


def run_command(main: Callable[[Sequence[str] | None], int]) -> None:
    """Run `main(None)` and exit with its status.

    A `ZooError`, an error of the system with a file or folder, or a full disk prints one line on stderr and
    exits 2; Ctrl-C, SIGTERM, which ends jobs on clusters, or SIGHUP, as the terminal is closed, exits 130.
    None shows a traceback. Characters that the output cannot have become `?`; a closed pipe (`| head`) ends
    quietly.
    """
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP; nohup lets it be ignored
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        # A pipe on Windows has the characters of one language, and no arrow.
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")
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


def parse_seconds(text: str) -> float:
    """`90s`, `60m`, `1.5h` or `1h30m` → seconds.

    Raises:
        ConfigError: the text is no positive duration.
    """
    cleaned = text.strip().lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)([smh])", cleaned)
    seconds = sum(float(number) * _SECOND_UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != cleaned or seconds <= 0:
        raise ConfigError(f"{text!r} is no duration; required: such as 90s, 60m, 1.5h or 1h30m")
    return seconds
