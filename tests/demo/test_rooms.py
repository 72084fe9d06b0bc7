"""The rooms' plain functions answer every input with a page or a message, never with a traceback."""

from __future__ import annotations

import csv
import gc
import io
import itertools
import math
import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from demo import charts, draw, live, photo, recognise, scoreboard, video
from demo.compare import compare_pictures, comparison_page, comparison_to_json, default_comparer
from demo.library import Library, in_figures
from demo.markup import bars, csv_link, message, table
from demo.saliency import saliency
from tests.demo.running import write_film
from zoo.comparison import Comparer
from zoo.comparison_model import DEFAULT_COMPARISON
from zoo.data.drawn import draw_faces
from zoo.data.emotions import EMOTIONS
from zoo.errors import ImageError, WeightsError, ZooError


def bomb() -> bytes:
    """A PNG whose header says 20,000 × 20,000."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    size = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b""))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


PLAIN = Image.new("RGB", (64, 64), "gray")
BAD_FILES: dict[str, tuple[bytes, str]] = {
    "empty.jpg": (b"", "is empty"),
    "truncated.jpg": (encoded(PLAIN.resize((400, 400)), "JPEG")[:600], "damaged or cut short"),
    "dot.png": (encoded(PLAIN.resize((1, 1)), "PNG"), "too few"),
    "bomb.png": (bomb(), "64 million"),
    "drawing.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
    "page.png": (b"<!doctype html><script>alert(1)</script>", "web page"),
    "text.png": (b"hello", "no picture"),
}


@pytest.fixture(params=sorted(BAD_FILES))
def bad_file(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    content, said = BAD_FILES[request.param]
    path = tmp_path / request.param
    path.write_bytes(content)
    return path, said


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bad_files_give_a_message(bad_file: tuple[Path, str], library: Library, comparer: Comparer) -> None:
    path, said = bad_file
    for look in (
        lambda: photo.look(library, str(path), (None,)),
        lambda: photo.look(library, str(path), (None,), whole=True),
        lambda: compare_pictures(comparer, (str(path), str(path))),
    ):
        with pytest.raises(ImageError, match=said) as refusal:
            look()
        assert path.name in str(refusal.value) and "\n" not in str(refusal.value)
    *_, (total, read) = video.read_many([path], library.predictor(None))
    assert total == 1 and said in read[0].error and said.split()[0] in video.batch_page(read, "tiny")
    with pytest.raises(ImageError):
        list(video.watch_film(path, library.predictor(None)))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, "no picture yet"),
        (np.full((64, 64, 3), np.nan), "not finite"),
        (np.zeros((0, 0, 3), np.uint8), "no pixels"),
        (np.zeros((5, 300, 3), np.uint8), "too few"),
        ("/nowhere/at all.png", "no longer kept"),
        (17, "got int"),
    ],
)
def test_bad_values_give_a_message(source: object, said: str, library: Library) -> None:
    with pytest.raises(ImageError, match=said):
        photo.look(library, source, (None,))


def test_an_animation_is_its_first_frame(library: Library, astronaut: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "waving.gif"
    frames = [Image.fromarray(astronaut), Image.new("RGB", (512, 512))]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    _, found = photo.look(library, str(path), (None,))
    assert found.faces == 1


def test_memory_returns_after_bad_files(library: Library, tmp_path: Path) -> None:
    paths = []
    for name, (content, _) in BAD_FILES.items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(content)

    def all_of_them() -> None:
        for path in paths:
            with pytest.raises(ZooError):
                photo.look(library, str(path), (None,))

    process = psutil.Process()
    all_of_them()
    gc.collect()
    before = process.memory_info().rss
    for _ in range(20):
        all_of_them()
    gc.collect()
    assert process.memory_info().rss - before < 8_000_000


def test_a_photo_is_read(library: Library, examples: dict[str, Path]) -> None:
    labelled, found = photo.look(library, str(examples["two people"]), ("small", "smaller"))
    assert labelled.shape == (480, 889, 3) and found.faces == 2
    assert found.networks == ("small", "smaller") and [len(answers) for answers in found.answers] == [2, 2]
    assert "2 faces" in photo.summary(found)
    assert [index for _, index in photo.face_choices(found)] == [0, 1]
    page = photo.explain(library, found, 1)
    assert page.count("<article") == 2 and page.count("data:image/") == 4
    for nothing in (photo.explain(library, None, 0), photo.explain(library, found, None)):
        assert nothing == ""
    assert photo.explain(library, found, 2) == ""
    again = photo.look(library, str(examples["two people"]), ("small", "small"))[1]
    assert again.networks == ("small",)


def test_no_face_is_an_answer_with_advice(library: Library) -> None:
    blank = np.full((200, 300, 3), 90, np.uint8)
    _, found = photo.look(library, blank, (None,))
    assert found.faces == 0 and "No face found" in photo.summary(found)
    _, whole = photo.look(library, blank, (None,), whole=True)
    assert whole.faces == 1 and whole.answers[0][0].box is None


def test_an_unknown_network_is_refused(library: Library, astronaut: np.ndarray) -> None:
    with pytest.raises(WeightsError, match="'absent' is unknown; known are .*small"):
        photo.look(library, astronaut, ("absent",))


def test_unsure_follows_the_card(library: Library, astronaut: np.ndarray) -> None:
    answer = recognise.recognise(astronaut, library.predictor("small"))[0]
    threshold = library.entries["small"].card.unsure_below
    assert answer.unsure == (answer.probability < threshold)
    unsure = recognise.Answer(1, None, answer.probabilities, True, answer.crop)
    assert "unsure" in unsure.label and "Unsure" in photo.summary(photo.Photo(("small",), ((unsure,),)))


def test_saliency_marks_what_the_answer_rests_on(library: Library) -> None:
    """Hiding the marked quarter of a face costs its class more than hiding the least marked one."""
    predictor = library.predictor(None)
    faces, _ = draw_faces(24, seed=5)
    lost_marked, lost_unmarked = [], []
    for face, row in zip(faces, predictor.probabilities(faces), strict=True):
        expression = predictor.classes[int(row.argmax())]
        heat = saliency(predictor, face, expression)
        assert heat.shape == (48, 48) and heat.min() >= 0 and heat.max() in (0.0, 1.0)
        if heat.max() == 0:
            continue
        blurred = np.full_like(face, int(face.mean()))
        for losses, mask in (
            (lost_marked, heat >= np.quantile(heat, 0.75)),
            (lost_unmarked, heat <= np.quantile(heat, 0.25)),
        ):
            hidden = np.where(mask, blurred, face)
            losses.append(row.max() - predictor.probabilities(hidden[None])[0][row.argmax()])
    assert len(lost_marked) > 12
    assert np.mean(lost_marked) > max(0.02, 2 * np.mean(lost_unmarked))


def test_live_answers_are_followed_and_smoothed(library: Library, astronaut: np.ndarray) -> None:
    view, predictor = live.LiveView(), library.predictor("small")
    first = live.watch(view, astronaut, predictor, now=0.0)
    dark = (astronaut * 0.5).astype(np.uint8)
    raw = recognise.recognise(dark, predictor, sizes=(320,))[0].probabilities
    second = live.watch(view, dark, predictor, now=0.1)
    for name in EMOTIONS:
        low, high = sorted((first[0].probabilities[name], raw[name]))
        assert low - 1e-6 <= second[0].probabilities[name] <= high + 1e-6
    assert sum(second[0].probabilities.values()) == pytest.approx(1, abs=1e-4)
    assert view.rate == pytest.approx(10)
    blank = np.zeros_like(astronaut)
    assert live.watch(view, blank, predictor, now=0.2) == ()
    assert "No face in view" in live.live_panel(view, ())
    assert "<path" in live.live_panel(view, second) and second[0].expression in live.frame_overlay(
        second, astronaut.shape
    )
    for step in range(60):
        live.watch(view, blank, predictor, now=1 + step)
    assert len(view.history) <= 21 and not view.tracks


def test_two_and_three_pictures(comparer: Comparer, examples: dict[str, Path]) -> None:
    paths = [str(examples[name]) for name in ("astronaut", "drawn happy", "drawn angry")]
    two = compare_pictures(comparer, paths[:2])
    answer = comparison_to_json(two)
    assert answer["same"] in (True, False) and 0 <= answer["probability_same"] <= 1
    assert answer["odd_one_out"] is None and len(answer["faces"]) == 2
    assert "expression" in comparison_page(two) and comparison_page(two).count("<img") == 2
    assert answer["network"] == "pairs" and "as pairs measures them" in comparison_page(two)
    three = compare_pictures(comparer, paths)
    answer = comparison_to_json(three)
    assert answer["same"] is None and answer["odd_one_out"] in (1, 2, 3)
    assert sum(answer["odd_probabilities"]) == pytest.approx(1, abs=1e-3)
    assert "odd one out" in comparison_page(three)
    assert compare_pictures(comparer, (*paths[:2], None)).result.same == two.result.same
    same = compare_pictures(comparer, (paths[0], paths[0], paths[0]))
    assert "None is the odd one out" in comparison_page(same)


@pytest.mark.parametrize("sources", [(None, None), (None, "x.png"), ("x.png", None), (None, None, "x.png")])
def test_missing_pictures_are_asked_for(sources: tuple[object, ...], comparer: Comparer) -> None:
    with pytest.raises(ImageError, match="Choose a first and a second"):
        compare_pictures(comparer, sources)


def test_without_a_comparison_model_there_is_a_message(examples: dict[str, Path]) -> None:
    with pytest.raises(WeightsError, match="No comparison model"):
        compare_pictures(None, (str(examples["astronaut"]),) * 2)


def test_the_shipped_comparison_model_is_the_default(
    models: Path, unusable: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Others are not asked, whatever their names and places, but one of its name in a later place is."""
    chosen = default_comparer(unusable.parent)
    assert chosen is not None and chosen.card.name == DEFAULT_COMPARISON and not caplog.records
    shutil.copytree(models / "pairs", tmp_path / DEFAULT_COMPARISON)
    chosen = default_comparer(tmp_path)
    assert chosen is not None and chosen.card.name == "pairs"


def test_an_unusable_comparison_model_is_left_out(
    models: Path, unusable: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found = {"pairs": models / "pairs", DEFAULT_COMPARISON: unusable}
    monkeypatch.setattr("demo.compare.available_comparisons", lambda extra: found)
    chosen = default_comparer()
    assert chosen is not None and chosen.card.name == "pairs"
    assert "left out: model 'zebra' names no expressions" in caplog.text
    del found["pairs"]
    assert default_comparer() is None


def test_a_film_is_watched(film: Path, library: Library) -> None:
    states = [state.progress for state in video.watch_film(film, library.predictor("small"))]
    assert len(states) == 9 and states == sorted(states) and states[-1] == 1
    *_, seen = video.watch_film(film, library.predictor("small"))
    assert [seconds for seconds, _ in seen.moments] == [0.5 * step for step in range(8)]
    assert all(len(readings) == 1 for _, readings in seen.moments)
    assert not any(hasattr(readings[0], "crop") for _, readings in seen.moments)
    page = video.film_page(seen, "tiny")
    assert "<svg" in page and "Save as CSV" in page
    rows = list(csv.DictReader(io.StringIO(video.film_csv(seen))))
    assert len(rows) == 8 and {"seconds", "face", "expression", *EMOTIONS} <= rows[0].keys()
    notes = ["unsure" if readings[0].unsure else "" for _, readings in seen.moments]
    assert [row["note"] for row in rows] == notes and "by tiny" in page


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="there is no ffmpeg to write such a film")
def test_each_frame_has_its_own_time(tmp_path: Path, library: Library) -> None:
    """Ten frames a second for two seconds, then two; the header's rate is that of the start."""
    path = tmp_path / "film.mkv"
    times = "setpts=if(lt(N\\,20)\\,N/10\\,2+(N-20)/2)/TB"
    source = ["-f", "lavfi", "-i", "testsrc=size=64x64:rate=10:duration=3", "-vf", times]
    written = ["-fps_mode", "vfr", "-c:v", "mjpeg", str(path)]
    subprocess.run(["ffmpeg", "-loglevel", "error", *source, *written], check=True)
    *_, seen = video.watch_film(path, library.predictor("smaller"))
    assert [seconds for seconds, _ in seen.moments] == pytest.approx(
        [0.5 * step for step in range(14)], abs=0.01
    )


def test_a_film_that_breaks_off_was_not_watched_to_its_end(
    film: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "_length", lambda capture: 300.0)
    *_, seen = video.watch_film(film, library.predictor("smaller"))
    assert seen.seconds == 300 and seen.watched == 4 and seen.progress < 0.1


def test_of_a_long_film_only_the_start_is_read(
    tmp_path: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hours at one frame in ten seconds; the limit is 300 s, so 31 frames are looked at."""
    monkeypatch.setattr(video, "_STEP", 10.0)
    path = write_film(tmp_path / "long.avi", seconds=7200, rate=1, size=32)
    *_, seen = video.watch_film(path, library.predictor("smaller"))
    assert seen.seconds == 7200 and len(seen.moments) == 31 and seen.watched == video.MAX_SECONDS
    assert "first 5 of 120 minutes" in video.film_page(seen, "tiny")


def test_a_film_of_countless_frames_can_be_stopped(
    tmp_path: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two frames that are looked at, and, if nobody does, when it has taken too long."""
    path = write_film(tmp_path / "many.avi", seconds=1, rate=240, size=32)
    monkeypatch.setattr(video, "_PASSED_OVER", 100)
    *states, seen = video.watch_film(path, library.predictor("smaller"))
    assert len(seen.moments) == 2 and len(states) == 4
    monkeypatch.setattr(video, "_WORK_SECONDS", 0.0)
    *_, seen = video.watch_film(path, library.predictor("smaller"))
    assert seen.cut and len(seen.moments) == 1
    assert "The rest would have taken too long" in video.film_page(seen, "tiny")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "is no film"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "is no film"),
        (b"\0\0\0\x18ftypisom" + bytes(200), "is no film|no frames"),
        (b"RIFF" + bytes(200), "is no film|no frames"),
    ],
)
def test_what_is_no_film_gives_a_message(content: bytes, said: str, tmp_path: Path, library: Library) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=said):
        list(video.watch_film(path, library.predictor(None)))


def test_a_film_without_frames_or_faces(tmp_path: Path, library: Library) -> None:
    with pytest.raises(ImageError, match="no frames|is no film"):
        list(video.watch_film(write_film(tmp_path / "none.avi", seconds=0), library.predictor(None)))
    with pytest.raises(ImageError, match="no film yet"):
        list(video.watch_film(None, library.predictor(None)))
    faceless = video.Film("x.avi", 1.0, 1.0, [(0.0, ()), (0.5, ())])
    assert "No face found" in video.film_page(faceless, "tiny") and video.film_csv(faceless).count("\n") == 1


def test_many_pictures(library: Library, examples: dict[str, Path], tmp_path: Path) -> None:
    broken, formula = tmp_path / "broken.jpg", tmp_path / "=cmd().png"
    broken.write_bytes(b"nothing")
    Image.new("RGB", (99, 99)).save(formula)
    paths = [examples["two people"], broken, formula]
    steps = [len(read) for _, read in video.read_many(paths, library.predictor("small"))]
    assert steps == [3, 3, 3] or steps == [1, 2, 3]
    *_, (_, read) = video.read_many(paths, library.predictor("small"))
    assert len(read[0].readings) == 2 and not hasattr(read[0].readings[0], "crop")
    rows = list(csv.reader(io.StringIO(video.batch_csv(read))))
    assert [row[0] for row in rows[1:]] == ["two people.jpg"] * 2 + ["broken.jpg", "'=cmd().png"]
    assert {len(row) for row in rows} == {8 + len(EMOTIONS) + 1}
    assert [(row[6] != "", row[-1]) for row in rows[1:]] == [
        *((True, "unsure" if reading.unsure else "") for reading in read[0].readings),
        (False, read[1].error),
        (False, "no face"),
    ]
    assert read[1].error.startswith("is no picture that can be read here")
    page = video.batch_page(read, "tiny")
    assert "2 faces in 3 pictures" in page and "no face" in page and "not read" in page
    for nothing in (None, []):
        with pytest.raises(ImageError, match="no pictures yet"):
            next(video.read_many(nothing, library.predictor(None)))
    with pytest.raises(ImageError, match="more than the 500"):
        next(video.read_many(["x"] * 501, library.predictor(None)))


def test_the_scoreboard(library: Library) -> None:
    page = scoreboard.board(library, "smaller")
    assert page.count("<circle") == len(library.entries) and "<tr class=marked><td>smaller" in page
    card = scoreboard.model_page(library.entries["small"])
    assert "Not for decisions about people" in card and "drawn faces" in card and card.count("<th scope") > 14
    listed = scoreboard.models_to_json(library)
    assert {entry["name"] for entry in listed} >= {"small", "smaller"}
    assert all(entry["milliseconds"] > 0 for entry in listed)


def test_the_front_joins_what_no_cheaper_model_reaches() -> None:
    points = [
        charts.Point(name, cost, accuracy, accuracy - 0.01, accuracy + 0.01)
        for name, cost, accuracy in (("a", 1e6, 0.5), ("b", 2e6, 0.4), ("c", 3e6, 0.6), ("d", 3e6, 0.55))
    ]
    chart = charts.pareto_chart(points, chosen="b")
    assert chart.count('class="dot best"') == 2 and chart.count("dot chosen") == 1
    assert charts.pareto_chart([], chosen="") == ""


def test_names_of_near_models_do_not_cover_each_other() -> None:
    names = ("plain_small", "small", "custom_cnn", "emotionnet", "searched_24m")
    costs, accuracies = (44e6, 49e6, 15e6, 24.3e6, 24.2e6), (0.671, 0.682, 0.647, 0.646, 0.661)
    points = [
        charts.Point(name, cost, accuracy, accuracy - 0.015, accuracy + 0.015)
        for name, cost, accuracy in zip(names, costs, accuracies, strict=True)
    ]
    chart = charts.pareto_chart([*points, charts.Point("x", 3e5, 0.46, 0.45, 0.47)], chosen="small")
    found = re.findall(
        r'<text x="([\d.]+)" y="([\d.]+)" text-anchor="(start|end)">([a-z_\d]+)</text></g>', chart
    )
    assert {name for *_, name in found} >= set(names)
    boxes = []
    for x, y, anchor, name in found:
        left = float(x) - (7.6 * len(name) if anchor == "end" else 0)
        boxes.append((left, float(y) - 11, left + 7.6 * len(name), float(y) + 3))
    for one, other in itertools.combinations(boxes, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    # A name that isn't beside its dot is joined with it.
    place = (
        r'(<line class="leader"[^>]*>)?<circle cx="[\d.]+" cy="([\d.]+)" r="\d"/><text x="\S+" y="([\d.]+)"'
    )
    found = [(bool(line), abs(float(y) - 4 - float(dot)) > 12) for line, dot, y in re.findall(place, chart)]
    assert len(found) == 6 and (True, True) in found
    assert all(line == apart for line, apart in found)


def test_a_name_does_not_stand_nearer_to_another_dot() -> None:
    centres = [(300.0, 100.0), (300.0, 116.0)]
    places = charts._labels(["above", "below"], centres)
    for (x, y, anchor), own, other in zip(places, centres, reversed(centres), strict=True):
        left = x - (7.6 * 5 if anchor == "end" else 0)
        box = (left, y - 11, left + 7.6 * 5, y + 3)
        assert charts._distance(box, own) <= charts._distance(box, other)


@pytest.mark.parametrize("name", [*EMOTIONS, *"abcdef"])
def test_labels_stand_out(name: str) -> None:
    colour = draw.colour_of(name)
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (((share + 0.055) / 1.055) ** 2.4 for share in shares)
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05
    assert (light / 0.05 if draw.ink_on(colour) == "black" else 1.05 / light) >= 4.5
    answer = recognise.Answer(1, (9, 9, 9, 9), {name: 1.0}, False, np.zeros((48, 48), np.uint8))
    assert f'fill="{draw.ink_on(colour)}" stroke="{colour}"' in live.frame_overlay((answer,), (480, 640))


def test_a_timeline_leaves_gaps() -> None:
    chart = charts.timeline([0, 1, 2, 3], {"happy": [0.1, math.nan, 0.5, 0.6]}, label="x")
    path = chart.split('<path d="')[1].split('"')[0]
    assert path.count("M") == 2 and path.count("L") == 1
    assert "<svg" in charts.timeline([], {"happy": []}, label="x")


def test_texts_are_escaped() -> None:
    nasty = "<img src=x onerror=alert(1)>"
    for page in (
        message(nasty, nasty),
        bars({nasty: 0.5}, caption=nasty),
        table((nasty,), ((nasty,),), caption=nasty),
        csv_link("a", nasty),
        video.batch_page([video._Read(nasty, error=nasty)], "tiny"),
    ):
        assert "<img src=x" not in page


def test_boxes_are_drawn_where_the_faces_are(library: Library, astronaut: np.ndarray) -> None:
    answers = recognise.recognise(astronaut, library.predictor("small"))
    changed = np.abs(draw.annotate(astronaut, answers).astype(int) - astronaut).sum(axis=2) > 60
    x, y, width, height = answers[0].box or (0, 0, 0, 0)
    assert changed[y : y + height, x : x + 3].mean() > 0.5 and not changed[300:].any()
    huge = np.zeros((100, 4000, 3), np.uint8)
    assert draw.annotate(huge, ()).shape == (40, 1600, 3)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0%"), (0.001, "<1%"), (0.456, "46%"), (0.9949, "99%"), (0.996, ">99%"), (1, "100%")],
)
def test_percent(value: float, shown: str) -> None:
    assert recognise.percent(value) == shown


@pytest.mark.parametrize("cell", ["12", "0.45", "<1%", ">99%", "46%", "68.7–71.7%", "1.17 G", "−"])
def test_numbers_are_set_right_and_names_left(cell: str) -> None:
    assert f"<td class=number>{cell.replace('<', '&lt;').replace('>', '&gt;')}</td>" in table(
        ("x",), ((cell,),), caption="y"
    )
    assert "<td>20240101_1200.jpg</td>" in table(("x",), (("20240101_1200.jpg",),), caption="y")


@pytest.mark.parametrize(("milliseconds", "shown"), [(0.446, "0.45"), (2.84, "2.8"), (118.3, "118")])
def test_milliseconds(milliseconds: float, shown: str) -> None:
    assert in_figures(milliseconds) == shown


def test_more_faces_than_are_read_are_told_of(library: Library, astronaut: np.ndarray) -> None:
    (answer,) = recognise.recognise(astronaut, library.predictor("small"))
    told = [photo.summary(photo.Photo(("small",), ((answer,) * count,))) for count in (49, 50)]
    assert "49 faces, from left" in told[0] and "50 faces or more, of which the 50 surest are read" in told[1]


def test_a_library_leaves_broken_models_out(
    models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import shutil

    shutil.copytree(models / "small", tmp_path / "good")
    shutil.copytree(models / "small", tmp_path / "bad")
    (tmp_path / "bad" / "card.json").write_text("{}")
    library = Library.open(tmp_path)
    assert "good" in library.entries and "bad" not in library.entries and "card.json" in caplog.text
    with pytest.raises(WeightsError, match="no such folder"):
        Library.open(tmp_path / "absent")
