"""What every command shares: how durations are written, and what an output cannot have."""

import os
import subprocess
import sys

import pytest

from zoo.command import parse_seconds
from zoo.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("60m", 3600), ("1.5h", 5400), ("1h30m", 5400), (" 2H1s", 7201)]
)
def test_durations_have_units(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "0s", "-1m", "1d", "1h x", "m"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="required: such as 90s"):
        parse_seconds(text)


def test_an_output_of_few_characters_gets_what_it_can_have() -> None:
    """As a pipe on Windows, whose encoding has no arrow."""
    code = (
        "from zoo.command import run_command; from zoo.console import stdout\n"
        "def main(argv): stdout().print('ECE → 0.02'); print('→'); return 3\n"
        "run_command(main)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env={**os.environ, "PYTHONIOENCODING": "cp1252"}
    )
    assert run.returncode == 3 and run.stdout.split() == [b"ECE", b"?", b"0.02", b"?"]
