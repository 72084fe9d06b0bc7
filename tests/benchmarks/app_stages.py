"""Milliseconds of each step from a picture to an answer: decode, detect, crop, network, draw; one thread."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import torch
from PIL import Image

from demo.draw import annotate
from demo.library import Library
from demo.live import LiveView, frame_overlay, live_panel, watch
from demo.recognise import recognise
from demo.saliency import saliency
from tests.benchmarks.measure import Figure
from zoo.faces import crop_face, find_faces
from zoo.pictures import read_image

__all__ = ["measure"]

_RUNS = 30


def measure(data: Path | None) -> list[Figure]:
    """Medians of 30 runs: one face, 640 × 480, the most accurate model; `data` is not used."""
    del data
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        return _figures()
    finally:
        torch.set_num_threads(threads)
        cv2.setNumThreads(-1)


def _figures() -> list[Figure]:
    frame = cv2.resize(skimage.data.astronaut(), (640, 480))
    encoded = io.BytesIO()
    Image.fromarray(frame).save(encoded, "JPEG", quality=90)
    source = encoded.getvalue()
    library = Library.open()
    predictor = library.predictor(None)
    name = library.default
    (face,) = find_faces(frame)
    crop = crop_face(frame, face)
    answers = recognise(frame, predictor)
    view = LiveView()
    large = cv2.resize(skimage.data.astronaut(), (2048, 1536))

    def live() -> None:
        seen = watch(view, frame, predictor)
        frame_overlay(seen, frame.shape)
        live_panel(view, seen)

    steps: list[tuple[str, Callable[[], object], str]] = [
        ("decode a 640 × 480 JPEG", lambda: read_image(source), ""),
        ("detect at 320 pixels, as in the webcam", lambda: find_faces(frame, sizes=(320,)), ""),
        ("detect at all sizes, 640 × 480", lambda: find_faces(frame), ""),
        ("detect at all sizes, 2048 × 1536", lambda: find_faces(large), ""),
        ("crop a face", lambda: crop_face(frame, face), ""),
        ("network, one face", lambda: predictor.probabilities(crop[None]), name),
        ("network, 50 faces", lambda: predictor.probabilities(np.repeat(crop[None], 50, axis=0)), name),
        ("draw boxes and labels", lambda: annotate(frame, answers), ""),
        ("explain a face", lambda: saliency(predictor, crop, answers[0].expression), name),
    ]
    figures = [Figure(f"app: {step}", _milliseconds(run), "ms", detail=detail) for step, run, detail in steps]
    return [*figures, Figure.at_most("app: a whole webcam frame", _milliseconds(live), "ms", 100, name)]


def _milliseconds(run: Callable[[], object]) -> float:
    run()
    times = []
    for _ in range(_RUNS):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000
