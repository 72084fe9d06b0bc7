"""Rules for all tests: where REQUIRE_ALL_TESTS is set, a skipped test has failed, unless it needs a GPU."""

from __future__ import annotations

import os
import signal
import urllib.request
from collections.abc import Generator
from pathlib import Path

import pytest

# One thread, here and in what the tests start, set before torch is loaded: sums in another order have other
# last bits.
os.environ["OMP_NUM_THREADS"] = "1"


def pytest_configure() -> None:
    """Tests in the background of a script ignore Ctrl-C; what they start must not inherit that."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def refused_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that refuses connections, and nothing downloaded before: none succeeds, on any machine."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    # urllib reads the proxies at its first request, and would keep them, or those that it had before.
    monkeypatch.setattr(urllib.request, "_opener", None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("REQUIRE_ALL_TESTS") and "gpu" not in item.keywords:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, but REQUIRE_ALL_TESTS is set: {report.longrepr}"
    return report
