import dataclasses

import pytest

from search.run import _default_epochs, _default_macs
from search.settings import StudySettings, parse_count
from tests.search.synthetic import settings
from zoo.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "count"),
    [("500000", 500_000), ("500k", 500_000), ("30M", 30_000_000), (" 1.5g ", 1_500_000_000), ("0.4k", 400)],
)
def test_counts_have_units(text: str, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize("text", ["", "0", "-3M", "30 M M", "thirty", "1e6", "3T"])
def test_other_counts_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="required: a positive number"):
        parse_count(text)


def test_settings_survive_json() -> None:
    made = settings(max_parameters=5, soft_labels=True)
    assert StudySettings.from_json(made.to_json()) == made


@pytest.mark.parametrize(
    ("field", "value"),
    [("epochs", 0), ("pruner", "luck"), ("max_macs", 0), ("max_parameters", -1), ("seed", 1 << 31)],
)
def test_impossible_settings_are_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=field):
        settings(**{field: value})


def test_differences_name_both_values_but_not_the_name_of_the_same_data() -> None:
    one = settings()
    assert one.differences(dataclasses.replace(one, data="elsewhere.csv")) == []
    other = dataclasses.replace(one, epochs=3, fingerprint="f")
    assert one.differences(other) == [
        "fingerprint '0123456789abcdef' instead of 'f'",
        "epochs 12 instead of 3",
    ]


@pytest.mark.parametrize(
    ("drawn", "timeout", "epochs"),
    [(False, None, 12), (False, 7200.0, 6), (False, 7201.0, 12), (True, 60.0, 8), (True, None, 8)],
)
def test_trials_of_a_short_search_have_fewer_epochs(drawn: bool, timeout: float | None, epochs: int) -> None:
    assert _default_epochs(drawn, timeout) == epochs


@pytest.mark.parametrize(
    ("drawn", "device", "timeout", "most"),
    [
        (False, "cpu", None, 100_000_000),
        (False, "cpu", 3600.0, 60_000_000),
        (False, "cpu", 60.0, 20_000_000),
        (False, "cpu", 8 * 3600.0, 100_000_000),
        (False, "cuda", 3600.0, 1_000_000_000),
        (True, "cpu", 3600.0, 3_000_000),
    ],
)
def test_a_search_is_of_networks_that_its_machine_can_train(
    drawn: bool, device: str, timeout: float | None, most: int
) -> None:
    assert _default_macs(drawn, device, timeout) == most
