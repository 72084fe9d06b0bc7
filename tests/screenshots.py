"""`python -m tests.screenshots`: take the README's screenshots, in Debian's Chromium: of the app, or with
`--study NAME` of a study and its best trial in the dashboard."""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from zoo.command import run_command

__all__ = ["main"]

_PROJECT = Path(__file__).parents[1]
_PHONE = {"width": 390, "height": 780}
_WIDE = {"width": 1080, "height": 720}
_TALL = {"width": 1280, "height": 1500}


def main(argv: Sequence[str] | None = None) -> int:
    """Visit the pages, write PNG files."""
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots", description=__doc__)
    parser.add_argument("--models", type=Path, metavar="DIR", help="further saved models of the app")
    parser.add_argument("--study", metavar="NAME", help="a study, which lies below studies/")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: where the README shows them")
    options = parser.parse_args(argv)
    out = options.out or _PROJECT / ("studies" if options.study else "demo") / "screenshots"
    out.mkdir(parents=True, exist_ok=True)
    if options.study:
        _take_study(options.study, out)
    else:
        _take_app(options.models, out)
    return 0


def _take_study(name: str, out: Path) -> None:
    import subprocess
    import sys

    from playwright.sync_api import sync_playwright

    from search.storage import Places
    from search.study import load_study, quiet_optuna

    quiet_optuna()
    number = load_study(Places.of(name)).best_trial.number
    command = [sys.executable, "-m", "search.dashboard", name, "--port", "0"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
        sync_playwright() as playwright,
    ):
        assert process.stdout is not None
        address = process.stdout.readline().split()[0]
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport=_TALL)  # type: ignore[arg-type]
        for url, picture in ((address, "study"), (f"{address}/trials?numbers={number}", "trial")):
            page.goto(url)
            page.wait_for_load_state("networkidle")
            page.wait_for_timeout(3000)  # its charts are drawn by animation
            _save(page.screenshot(), out / f"{picture}.png")
        browser.close()
        process.terminate()


def _take_app(models: Path | None, out: Path) -> None:
    from playwright.sync_api import sync_playwright

    from demo.examples import write_examples
    from tests.demo.running import launch_with_camera, running

    extra = ["--models", str(models)] if models else []
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright, running(*extra) as address:
        folder = Path(place)
        examples = write_examples(folder)
        browser = launch_with_camera(playwright, examples["admiral"], folder)
        film = _write_film(folder)
        rooms: list[tuple[str, Callable[[Any], None], dict[str, int], str]] = [
            ("photo", _photo, _WIDE, "light"),
            ("photo-phone-dark", _photo, _PHONE, "dark"),
            ("webcam", _webcam, _WIDE, "light"),
            ("compare", _compare, _WIDE, "light"),
            ("video", lambda page: _video(page, film, list(examples.values())), _WIDE, "light"),
            ("models", _models, _WIDE, "light"),
            ("models-dark", _models, _WIDE, "dark"),
        ]
        for name, visit, size, theme in rooms:
            context = browser.new_context(viewport=size, color_scheme=theme, permissions=["camera"])  # type: ignore[arg-type]
            page = context.new_page()
            page.goto(f"{address}?__theme={theme}")
            page.get_by_role("heading", name="Expression Zoo").wait_for()
            page.wait_for_timeout(500)
            visit(page)
            page.mouse.move(0, 0)  # what lies under it looks chosen
            page.wait_for_timeout(800)
            _save(page.screenshot(full_page=True), out / f"{name}.png")
            context.close()
        browser.close()


def _photo(page: Any) -> None:
    page.locator("#photo-examples").get_by_text("two people").click()
    page.locator("#photo-detail .answer").wait_for()


def _webcam(page: Any) -> None:
    page.get_by_role("tab", name="Webcam").click()
    page.locator("#live-start").click()
    page.locator("#live-panel .chart").wait_for()
    page.wait_for_timeout(6000)


def _compare(page: Any) -> None:
    page.get_by_role("tab", name="Compare").click()
    page.locator("#compare-examples").get_by_text("three").click()
    page.locator("#compare-3 img").first.wait_for()
    page.locator("#compare-go").click()
    page.locator("#compare-out figure").nth(2).wait_for()


def _video(page: Any, film: Path, pictures: list[Path]) -> None:
    page.get_by_role("tab", name="Video and batch").click()
    page.locator("#film-in input[type=file]").set_input_files(film)
    page.locator("#film-in video").wait_for()
    page.locator("#film-go").click()
    page.locator("#film-out .chart").wait_for()
    page.locator("#many-in input[type=file]").set_input_files(pictures)
    page.locator("#many-in").get_by_text(pictures[-1].stem).first.wait_for()
    page.locator("#many-go").click()
    page.locator("#many-out table").wait_for()


def _models(page: Any) -> None:
    page.get_by_role("tab", name="Models").click()
    page.locator("#models-board .chart").wait_for()


def _write_film(folder: Path) -> Path:
    """Twelve seconds of one drawn person who smiles, is surprised and is angry in turn."""
    import subprocess

    import cv2
    import numpy as np

    from zoo.data.drawn import draw_face

    rises = [
        (name, rise) for name in ("happy", "surprise", "angry") for rise in np.sin(np.linspace(0, np.pi, 40))
    ]
    for number, (expression, intensity) in enumerate(rises):
        frame = draw_face(expression, seed=7, intensity=float(intensity), size=320)
        cv2.imwrite(str(folder / f"frame{number:03}.png"), frame)
    path = folder / "drawn face.mp4"
    source = ["-r", "10", "-i", str(folder / "frame%03d.png")]
    subprocess.run(["ffmpeg", "-loglevel", "error", *source, "-pix_fmt", "yuv420p", str(path)], check=True)
    return path


def _save(png: bytes, path: Path) -> None:
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").save(path, optimize=True)


if __name__ == "__main__":
    run_command(main)
