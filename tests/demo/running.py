"""An app in a process of its own, the film and the camera that its visitors bring."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2

from zoo.data.drawn import draw_face
from zoo.errors import ConfigError

__all__ = ["CAMERA_FLAGS", "launch_with_camera", "running", "write_camera", "write_film"]

CAMERA_FLAGS = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")


@contextmanager
def running(*options: str) -> Iterator[str]:
    """The address of an app that runs in a process of its own, as `python -m demo` with these options."""
    command = [sys.executable, "-m", "demo", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            assert address.startswith("http"), "the app did not start"
            yield address
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)


def write_film(path: Path, *, seconds: float, rate: int = 10, size: int = 320) -> Path:
    """A film of one drawn person who smiles; the codec is one that OpenCV always has."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), rate, (size, size))
    assert writer.isOpened()
    frames = [
        cv2.cvtColor(draw_face("happy", seed=7, intensity=intensity, size=size), cv2.COLOR_GRAY2BGR)
        for intensity in (0.0, 0.5, 1.0)
    ]
    for number in range(round(seconds * rate)):
        writer.write(frames[number * len(frames) // max(1, round(seconds * rate))])
    writer.release()
    return path


def write_camera(path: Path, portrait: Path) -> Path:
    """What Chromium takes for a camera: a portrait as an endless film, 640 × 480.

    In another pixel format Chromium plays it black, without an error.
    """
    shape = ["-vf", "scale=-2:480,pad=640:480:(ow-iw)/2:0", "-t", "2", "-r", "15"]
    codec = ["-pix_fmt", "yuvj420p", "-c:v", "mjpeg", "-q:v", "3"]
    command = [
        "ffmpeg",
        "-loglevel",
        "error",
        "-y",
        "-loop",
        "1",
        "-i",
        str(portrait),
        *shape,
        *codec,
        str(path),
    ]
    subprocess.run(command, check=True)
    return path


def launch_with_camera(playwright: Any, portrait: Path, folder: Path) -> Any:
    """Debian's Chromium with a camera that shows a portrait.

    Args:
        folder: where the camera's film is written.

    Raises:
        ConfigError: Chromium or ffmpeg is missing.
    """
    chromium = shutil.which("chromium")
    if chromium is None or shutil.which("ffmpeg") is None:
        raise ConfigError("chromium and ffmpeg are needed; required: apt-get install chromium ffmpeg")
    camera = write_camera(folder / "camera.mjpeg", portrait)
    flags = ["--no-sandbox", *CAMERA_FLAGS, f"--use-file-for-fake-video-capture={camera}"]
    return playwright.chromium.launch(executable_path=chromium, args=flags)
