"""What every command shares: here, how durations are written."""

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
