"""`python -m tests.screenshots_dashboard STUDY`: a study in the dashboard, as PNG files for the README."""

from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from zoo.command import run_command
from zoo.errors import ConfigError
from zoo.output import moved_into_place

__all__ = ["main"]

_FOLDER = Path(__file__).parents[1] / "studies" / "screenshots"
_PATIENCE = 120_000


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the study, visit its pages, write PNG files; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots_dashboard", description=__doc__)
    parser.add_argument("study", help="name of a study that has a complete trial")
    parser.add_argument("--storage", metavar="URL", help="default: sqlite:///studies/STUDY/study.db")
    parser.add_argument("--out", type=Path, default=_FOLDER, metavar="DIR")
    options = parser.parse_args(argv)
    chromium = shutil.which("chromium")
    if chromium is None:
        raise ConfigError("chromium is needed; required: apt-get install chromium")

    from search.storage import Places, open_storage, quiet_optuna
    from search.study import load_study

    quiet_optuna()
    places = Places.of(options.study, options.storage)
    best = load_study(places, storage=open_storage(places)).best_trial.number
    options.out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "search.dashboard", places.name, "--storage", places.storage]
    with subprocess.Popen([*command, "--port", "0"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            address = re.match(r"http://\S+", server.stdout.readline())
            if address is None:
                return 2
            _take(chromium, address[0], best, options.out)
        finally:
            server.terminate()
    return 0


def _take(chromium: str, address: str, best: int, folder: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page(viewport={"width": 1280, "height": 1500})
        page.set_default_timeout(_PATIENCE)
        page.goto(address)
        for title in ("Accuracy against cost", "Time by outcome"):
            page.get_by_text(title).first.wait_for()
        page.wait_for_timeout(2000)  # plots are drawn piece by piece
        _save(page.screenshot(), folder / "study.png")

        page.set_viewport_size({"width": 1280, "height": 1000})
        page.goto(f"{address}/note")
        page.get_by_text("Go on").first.wait_for()
        _save(page.screenshot(), folder / "note.png")

        page.set_viewport_size({"width": 1280, "height": 1300})
        page.goto(f"{address}/trials?numbers={best}")
        page.get_by_role("img", name="confusion matrix").wait_for()
        page.wait_for_function("() => [...document.images].every(image => image.complete)")
        _save(page.screenshot(), folder / "trial.png")
        browser.close()


def _save(data: bytes, path: Path) -> None:
    """Save a screenshot with 128 colours, which makes it a third as large."""
    from PIL import Image

    with moved_into_place(path) as temporary:
        Image.open(io.BytesIO(data)).convert("RGB").quantize(128).save(temporary, format="png", optimize=True)
    print(path)


if __name__ == "__main__":
    run_command(main)
