"""Rules for all tests: where REQUIRE_ALL_TESTS is set, a skipped test has failed, unless it needs a GPU."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator

import pytest

# One thread, here and in what the tests start, set before torch is loaded: sums in another order have other
# last bits.
os.environ["OMP_NUM_THREADS"] = "1"


def pytest_configure() -> None:
    """Tests in the background of a script ignore Ctrl-C; what they start must not inherit that."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("REQUIRE_ALL_TESTS") and "gpu" not in item.keywords:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, but REQUIRE_ALL_TESTS is set: {report.longrepr}"
    return report
