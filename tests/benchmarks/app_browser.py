"""What a visitor waits for, in Chromium: the first paint, and frames a second from a camera."""

from __future__ import annotations

import re
import statistics
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import Figure

__all__ = ["measure"]

_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
_READINGS = 20  # seconds of the camera, after five to warm up
_VISITS = 5


def measure(data: Path | None) -> list[Figure]:
    """The first paint of an empty cache, and the rate that the page itself shows; `data` is not used.

    Raises:
        ConfigError: Chromium or ffmpeg is missing.
    """
    del data
    from playwright.sync_api import sync_playwright

    from demo.examples import write_examples
    from tests.demo.running import launch_with_camera, running

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright, running() as address:
        place = Path(folder)
        browser = launch_with_camera(playwright, write_examples(place)["admiral"], place)
        paints = []
        for _ in range(_VISITS):
            context = browser.new_context()
            page = context.new_page()
            page.goto(address)
            page.get_by_role("heading", name="Expression Zoo").wait_for()
            paints.append(page.evaluate(_PAINT) / 1000)
            context.close()
        rates = _camera_rates(browser, address)
        browser.close()
    return [
        Figure.at_most(
            "app: first contentful paint, nothing cached",
            statistics.median(paints),
            "s",
            3.0,
            f"{min(paints):.2f} to {max(paints):.2f} of {_VISITS} visits",
        ),
        Figure.at_least(
            "app: frames a second from one camera, 640 × 480",
            statistics.median(rates),
            "/s",
            10,
            f"{min(rates)} to {max(rates)} over {_READINGS} s",
        ),
    ]


def _camera_rates(browser: Any, address: str) -> list[int]:
    context = browser.new_context(permissions=["camera"])
    page = context.new_page()
    page.goto(address)
    page.get_by_role("tab", name="Webcam").click()
    page.locator("#live-start").click()
    page.locator("#live-panel .chart").wait_for()
    page.wait_for_timeout(5000)
    rates = []
    for _ in range(_READINGS):
        page.wait_for_timeout(1000)
        found = re.search(r"(\d+) frames a second", page.locator("#live-panel").inner_text())
        rates.append(int(found[1]) if found else 0)
    context.close()
    return rates
