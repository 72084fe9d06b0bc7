"""What the app remembers of a visit, how long, and that a visit goes on when it is forgotten."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import io
import json
import re
import threading
import time
import urllib.error
import urllib.request
import uuid
import warnings
from collections.abc import Coroutine, Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from gradio.data_classes import ImageData
from gradio.state_holder import SessionState
from PIL import Image

from demo import app
from demo.library import Library
from tests.demo.running import write_film
from zoo.comparison import Comparer
from zoo.errors import ImageError

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


def test_a_run_ends_when_it_is_cancelled() -> None:
    turns = app._Turns()
    words, own = turns.begin()
    assert "Waiting" in words
    steps = turns.run(own, iter("abc"))
    assert next(steps) == "a"
    assert turns.cancel() == app.gr.skip()
    assert "Cancelled" in next(steps) and list(steps) == []


def test_a_run_that_waits_can_be_cancelled() -> None:
    turns = app._Turns()
    _, own = turns.begin()
    assert "Cancelled" in turns.cancel()  # at once, as its turn may be minutes away
    (only,) = turns.run(own, iter("abc"))
    assert "Cancelled" in only


def test_a_cancelled_run_says_nothing_when_another_has_begun() -> None:
    turns = app._Turns()
    _, own = turns.begin()
    first = turns.run(own, iter("abc"))
    assert next(first) == "a"
    turns.cancel()
    _, own = turns.begin()
    assert list(first) == [app.gr.skip()]
    assert list(turns.run(own, iter("de"))) == ["d", "e"]


def test_of_two_runs_the_later_one_goes_on() -> None:
    turns = app._Turns()
    first = turns.run(turns.begin()[1], iter("abc"))
    assert next(first) == "a"
    second = turns.run(turns.begin()[1], iter("abc"))
    assert next(second) == "a"
    assert list(first) == [app.gr.skip()] and list(second) == ["b", "c"]


def test_of_runs_that_wait_only_the_last_one_works() -> None:
    turns = app._Turns()
    (_, first), (_, second) = turns.begin(), turns.begin()
    assert list(turns.run(first, iter("abc"))) == [app.gr.skip()]
    assert list(turns.run(second, iter("abc"))) == ["a", "b", "c"]


def test_a_run_goes_on_when_its_visit_was_forgotten_while_it_waited() -> None:
    assert list(app._Turns().run(app._Turns().begin()[1], iter("ab"))) == ["a", "b"]


def test_cancelling_nothing_is_forgotten() -> None:
    turns = app._Turns()
    assert turns.cancel() == app.gr.skip()
    _, own = turns.begin()
    assert list(turns.run(own, iter("ab"))) == ["a", "b"]


class Site:
    """An app in this process, asked as the page asks it."""

    def __init__(self, library: Library, comparer: Comparer, examples: dict[str, Path], look: Any) -> None:
        self.blocks = app.build(library, comparer, examples)
        _, address, _ = self.blocks.launch(
            server_name="127.0.0.1",
            server_port=0 or None,
            prevent_thread_lock=True,
            quiet=True,
            ssr_mode=False,
            footer_links=[],
            run_history=False,
            **app.limits(),
            **look,
        )
        self.address = f"{address}gradio_api"

    def session(self, name: str) -> SessionState | None:
        return self.blocks.state_holder.session_data.get(name)

    def samples(self) -> list[int]:
        """The numbers of the components that offer examples."""
        return [number for number, part in self.blocks.blocks.items() if isinstance(part, app.gr.Dataset)]

    def upload(self, path: Path) -> dict[str, Any]:
        edge = uuid.uuid4().hex
        head = f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="{path.name}"\r\n\r\n'
        body = head.encode() + path.read_bytes() + f"\r\n--{edge}--\r\n".encode()
        (place,) = self._post("upload", body, f"multipart/form-data; boundary={edge}")
        return {"path": place, "meta": {"_type": "gradio.FileData"}}

    def ask(self, session: str, handler: str, *values: Any) -> dict[str, Any]:
        """The last message of the event that runs the handler of this name."""
        self.join(session, handler, *values)
        for told in self._completed(session):
            return told
        raise AssertionError("the stream ended without an answer")

    def join(self, session: str, handler: str, *values: Any) -> str:
        """Ask without waiting for the answer; returns the event's name."""
        number = next(key for key, event in self.blocks.fns.items() if event.name == handler)
        asked = {"data": values, "fn_index": number, "session_hash": session}
        return self._post("queue/join", json.dumps(asked).encode(), "application/json")["event_id"]

    def answers(self, session: str) -> dict[str, list[Any]]:
        """What a visit is answered until nothing is under way for it, by event."""
        return {told["event_id"]: told["output"]["data"] for told in self._completed(session)}

    def _completed(self, session: str) -> Iterator[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.address}/queue/data?session_hash={session}") as reply:
            for line in reply:
                told = json.loads(line.decode().removeprefix("data: ")) if line.strip() else {}
                if told.get("msg") == "process_completed":
                    yield told

    def _post(self, path: str, body: bytes, kind: str) -> Any:
        request = urllib.request.Request(f"{self.address}/{path}", body, {"Content-Type": kind})
        with urllib.request.urlopen(request) as reply:
            return json.load(reply)


@contextlib.contextmanager
def opened(library: Library, comparer: Comparer, examples: dict[str, Path], **look: Any) -> Iterator[Site]:
    """A site that is closed in the end; Gradio leaves its event loops and sockets to the collector."""
    site = Site(library, comparer, examples, look)
    try:
        yield site
    finally:
        site.blocks.close()
        del site
        with warnings.catch_warnings(action="ignore"):
            gc.collect()


@pytest.fixture
def site(
    library: Library,
    comparer: Comparer,
    examples: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Site]:
    """An app that forgets after two seconds, and looks for what to forget all the time."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    monkeypatch.setattr(app, "_KEPT_SECONDS", 2)
    monkeypatch.setattr(app, "_LOOKS_EVERY", 0.1)
    with opened(library, comparer, examples) as site:
        yield site


def wait_for(condition: Any) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


def pictures_in(session: SessionState) -> int:
    return json.dumps(session.config_values, default=str).count("data:image/")


def test_a_visit_is_forgotten_and_goes_on(site: Site, examples: dict[str, Path]) -> None:
    picture = site.upload(examples["two people"])
    assert site.ask("anna", "found", picture, "small", "", None)["success"]
    assert "data:image/" in site.ask("anna", "turned_to", None, 1)["output"]["data"][0]
    wait_for(lambda: site.session("anna") is None)
    told = site.ask("anna", "turned_to", None, 1)
    assert told["success"] and "no longer kept" in told["output"]["data"][0]


def test_a_visit_in_use_stays_without_its_pictures(site: Site, examples: dict[str, Path]) -> None:
    pair = [site.upload(examples[name]) for name in ("astronaut", "admiral")]
    assert "data:image/" in site.ask("ben", "compared", *pair, None, None)["output"]["data"][0]
    first = site.session("ben")
    assert first is not None
    end = time.monotonic() + 3
    while time.monotonic() < end:
        assert site.ask("ben", "turned", "small")["success"]
        time.sleep(0.2)
    assert site.session("ben") is first
    wait_for(lambda: pictures_in(first) == 0)


def test_a_visit_stays_while_its_work_goes_on(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_KEPT_SECONDS", 1)
    film = site.upload(write_film(tmp_path / "long.avi", seconds=280, rate=2))
    site.ask("gus", "turned", "small")
    first, start = site.session("gus"), time.monotonic()
    told = site.ask("gus", "steps", film, "small", None, 1)
    assert told["success"] and time.monotonic() - start > 1.5
    assert site.session("gus") is first


def test_a_photo_is_forgotten_in_a_visit_that_is_in_use(site: Site, examples: dict[str, Path]) -> None:
    site.ask("cora", "found", site.upload(examples["astronaut"]), "small", "", None)
    first = site.session("cora")
    assert first is not None and any(first.state_data.values())

    def gone() -> bool:
        site.ask("cora", "turned", "small")
        return not any(first.state_data.values())

    wait_for(gone)
    assert site.session("cora") is first


def test_what_is_no_longer_kept_is_said(site: Site, film: Path, examples: dict[str, Path]) -> None:
    picture, moving = site.upload(examples["astronaut"]), site.upload(film)
    paths = [Path(file["path"]) for file in (picture, moving)]
    for path in paths:
        path.unlink()  # as Gradio does, which is not asked here
    wait_for(lambda: not any(path.parent.exists() for path in paths))
    for name, *values in (
        ("found", picture, "small", "", None),
        ("compared", picture, picture, None, None),
        ("batch", [picture], "small"),
        ("steps", moving, "small", None, 1),
    ):
        told = site.ask("fay", name, *values)
        assert told["success"] and "no longer kept (three minutes)" in json.dumps(told["output"]["data"])
    told = site.ask("fay", "film", moving, "small")
    assert not told["success"] and "no longer kept (three minutes)" in told["output"]["error"]


def test_an_answer_of_another_picture_does_not_stay(
    site: Site, tmp_path: Path, examples: dict[str, Path]
) -> None:
    assert site.ask("ivo", "found", site.upload(examples["astronaut"]), "small", "", None)["success"]
    assert "data:image/" in site.ask("ivo", "explained", None, 0)["output"]["data"][0]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(examples["astronaut"].read_bytes()[:4000])
    words, *_, detail = site.ask("ivo", "found", site.upload(broken), "small", "", None)["output"]["data"]
    assert "broken.jpg: is damaged" in words and detail == ""
    assert site.ask("ivo", "explained", None, 0)["output"]["data"] == [""]


def test_what_is_sent_after_an_example_comes_as_it_is(
    site: Site, tmp_path: Path, examples: dict[str, Path]
) -> None:
    clear = tmp_path / "clear.png"
    with Image.open(examples["astronaut"]) as picture:
        picture.convert("RGBA").save(clear)
    example = site.ask("jan", "taken", 0)["output"]["data"][0]
    assert site.ask("jan", "found", example, "small", "", None)["success"]
    sent = site.upload(clear)
    before = {path for path in (tmp_path / "uploads").rglob("*") if path.is_file()}
    words, whole, *_ = site.ask("jan", "found", sent, "small", "", None)["output"]["data"]
    assert "That didn't work" not in words and not whole["visible"]  # offered where there is no face
    kept = {path for path in (tmp_path / "uploads").rglob("*") if path.is_file()} - before
    assert {path.suffix for path in kept} <= {".jpeg"}  # the one that is shown, if that was deleted meanwhile


def test_files_are_kept_while_they_wait_and_are_read(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two batches are read at once; a third one waits longer for its turn than files are kept."""
    seen: list[bool] = []

    def slowly(paths: list[str], predictor: Any) -> Iterator[tuple[int, list[Any]]]:
        for _ in range(2):
            seen.append(all(Path(path).is_file() for path in paths))
            time.sleep(1.5)
        yield 1, []

    monkeypatch.setattr(app, "read_many", slowly)
    sent = []
    for shade in (10, 20, 30):
        Image.new("L", (64, 64), shade).save(tmp_path / "wall.png")
        sent.append(site.upload(tmp_path / "wall.png"))
    visits = [
        threading.Thread(target=site.ask, args=(f"visit-{number}", "batch", [file], "small"))
        for number, file in enumerate(sent)
    ]
    for visit in visits:
        visit.start()
    for visit in visits:
        visit.join()
    assert seen == [True] * 6
    wait_for(lambda: not any(Path(file["path"]).exists() for file in sent))


def test_many_pictures_leave_no_files(site: Site, examples: dict[str, Path]) -> None:
    pictures = [site.upload(examples[name]) for name in ("astronaut", "admiral")]
    uploads = Path(pictures[0]["path"]).parents[1]
    before = set(uploads.iterdir())
    assert site.ask("hal", "batch", pictures, "small")["success"]
    assert set(uploads.iterdir()) <= before


@pytest.fixture
def sent(site: Site, tmp_path: Path) -> dict[str, Any]:
    """A picture that a visitor uploaded, and that is none of the examples."""
    Image.new("L", (64, 64), 90).save(tmp_path / "wall.png")
    return site.upload(tmp_path / "wall.png")


def test_files_of_no_event_are_deleted_too(
    site: Site, tmp_path: Path, sent: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as what is left of an upload that broke off; and the app forgets the paths of what is gone."""
    part = tmp_path / "uploads" / "half" / "part"
    part.parent.mkdir()
    part.write_bytes(bytes(1000))
    unfinished = tmp_path / "uploads" / "tmp0"  # where Gradio writes what it receives
    unfinished.write_bytes(bytes(1000))
    assert site.ask("kim", "found", sent, "small", "", None)["success"]
    wait_for(lambda: not part.parent.exists() and not Path(sent["path"]).exists())
    wait_for(lambda: not any(sent["path"] in known for known in site.blocks.temp_file_sets))
    assert unfinished.exists()
    monkeypatch.setattr(app, "_UPLOAD_SECONDS", 1)
    wait_for(lambda: not unfinished.exists())
    example = site.blocks.blocks[next(iter(site.samples()))]
    assert all(Path(row[0]["path"]).is_file() for row in example.samples)


def test_deleting_goes_on_after_a_fault(
    site: Site, sent: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    delete, calls = app._delete_old, []

    def fails_once(uploads: Path, kept: set[str]) -> None:
        calls.append(uploads)
        if len(calls) == 1:
            raise RuntimeError("Set changed size during iteration")
        delete(uploads, kept)

    monkeypatch.setattr(app, "_delete_old", fails_once)
    wait_for(lambda: not Path(sent["path"]).exists())
    assert len(calls) > 1


def test_only_what_was_uploaded_is_read(site: Site, tmp_path: Path) -> None:
    """Whether or not a path bears the mark by which Gradio knows it for one."""
    Image.new("L", (64, 64), 90).save(tmp_path / "private.png")
    for mark in ({}, {"meta": {"_type": "gradio.FileData"}}):
        place = {"path": str(tmp_path / "private.png"), **mark}
        for name, *values in (
            ("found", place, "small", "", None),
            ("recognise", place, "small", True),
            ("compare", place, place, None),
            ("film", place, "small"),
            ("batch", [place], "small"),
        ):
            told = site.ask("eve", name, *values)
            assert not told["success"]
            if not mark and name in ("found", "recognise", "compare"):  # Gradio refuses the others
                assert "was not uploaded here" in told["output"]["error"]
    with pytest.raises(app.gr.Error, match="was not uploaded here"):
        app._frame(ImageData(path=str(tmp_path / "private.png")))


def test_what_nobody_needs_is_closed(site: Site) -> None:
    """What goes past the queue, keeps files, or fetches what lies elsewhere."""
    for path, body in (
        ("run/recognise", b'{"data": [null, ""]}'),
        ("run/film", b'{"data": [null, ""]}'),
        ("process_recording", b"{}"),
        ("component_server", b"{}"),
        ("component_server/", b"{}"),
        ("file=https://pictures.example/face.png", None),
        ("file=http://127.0.0.1:9/face.png", None),
    ):
        request = urllib.request.Request(f"{site.address}/{path}", body, {"Content-Type": "application/json"})
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(request)
        assert refusal.value.code == 404, path
        refusal.value.close()


def test_a_large_request_is_refused(
    site: Site, examples: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_BODY_BYTES", 1000)
    picture = site.upload(examples["astronaut"])
    assert site.ask("una", "found", picture, "small", "", None)["success"]
    with pytest.raises(urllib.error.HTTPError, match="413") as refusal:
        site.ask("una", "found", {**picture, "orig_name": "x" * 1000}, "small", "", None)
    refusal.value.close()


def test_a_frame_is_decoded_within_limits(examples: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def frame(content: bytes) -> Any:
        return app._frame(ImageData(url="data:image/png;base64," + base64.b64encode(content).decode()))

    assert frame(examples["astronaut"].read_bytes()).shape == (512, 512, 3)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(examples["astronaut"].parent))
    assert app._frame(ImageData(path=str(examples["astronaut"]))).shape == (512, 512, 3)
    assert app._frame(None) is None
    large = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(large, "PNG")
    for content, said in (
        (large.getvalue(), "more than the 64 million"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture that can be read here"),
    ):
        with pytest.raises(ImageError, match=said):
            frame(content)
    with pytest.raises(ImageError, match="the frame: is no picture"):
        app._frame(ImageData(url="data:image/png;base64,é"))


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a site that counts as public: /ok, /large, /on (points to /ok), /round (to itself),
    /packed, and /slow, which never ends."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            place = {"/on": "ok", "/round": "round"}.get(self.path)
            self.send_response(302 if place else 404 if self.path == "/absent" else 200)
            if place:
                self.send_header("Location", place)
            if self.path == "/packed":
                self.send_header("Content-Encoding", "gzip")
            if self.path == "/slow":
                self.send_header("Content-Length", "100")
                self.end_headers()
                with contextlib.suppress(OSError):  # it hung up
                    for _ in range(100):
                        self.wfile.write(b"x")
                        time.sleep(0.1)
                return
            content = {"/ok": b"a picture", "/large": bytes(2000)}.get(self.path, b"")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *words: Any) -> None:
            pass

    async def public(host: str) -> str:
        if host != "pictures.example":
            raise ValueError(f"Hostname {host} failed validation")
        return "127.0.0.1"

    monkeypatch.setattr(app, "_public_address", public)
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://pictures.example:{server.server_port}"
        server.shutdown()


def finished(work: Coroutine[Any, Any, str]) -> str:
    # `asyncio.run` would drop the loop that Gradio left in this thread, unclosed.
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        return loop.run_until_complete(work)


def test_what_an_address_names_is_fetched_within_limits(
    elsewhere: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetched(address: str) -> bytes:
        return Path(finished(app._download(address, tmp_path, 1000))).read_bytes()

    assert fetched(f"{elsewhere}/ok") == fetched(f"{elsewhere}/on") == b"a picture"
    for path, said in (
        ("large", "is larger than"),
        ("round", "points on and on"),
        ("absent", "status 404"),
        ("packed", "comes packed"),
    ):
        with pytest.raises(ImageError, match=said):
            fetched(f"{elsewhere}/{path}")
    with pytest.raises(ValueError, match="failed validation"):
        fetched("http://localhost/")
    monkeypatch.setattr(app, "_FETCH_SECONDS", 0.3)
    with pytest.raises(TimeoutError):
        fetched(f"{elsewhere}/slow")
    assert [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()] == [b"a picture"] * 2


@pytest.mark.parametrize(("address", "public"), [("100.64.0.1", False), ("93.184.215.14", True)])
def test_an_address_shared_by_a_providers_customers_is_not_public(
    address: str, public: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolved(host: str) -> str:
        return address

    monkeypatch.setattr(app, "async_validate_url", resolved)
    with contextlib.nullcontext() if public else pytest.raises(ValueError, match="no public address"):
        assert finished(app._public_address("pictures.example")) == address


def test_closing_the_page_ends_the_visit(site: Site) -> None:
    site.ask("dora", "turned", "small")
    with urllib.request.urlopen(f"{site.address}/heartbeat/dora") as heart:
        assert b"ALIVE" in heart.readline() and site.session("dora") is not None
        site.blocks.state_holder.time_last_used["dora"] = datetime.max
    wait_for(lambda: site.session("dora") is None)


def test_a_page_shows_the_times_of_what_runs(site: Site, library: Library) -> None:
    """Two menus for the Photo room, one for each of three others, and the scoreboard."""
    before = [choice for choice, _ in library.choices]
    for entry in library.entries.values():
        entry.milliseconds += 1000
    try:
        *menus, scores = site.ask("emil", "times")["output"]["data"]
    finally:
        for entry in library.entries.values():
            entry.milliseconds -= 1000
    assert [len(menu["choices"]) - len(before) for menu in menus] == [0, 1, 0, 0, 0]
    for menu in menus:
        assert all(re.search(r" 1\d{3} ms$", label) for label, name in menu["choices"] if name)
    assert re.search(r">1\d{3}<", scores)


def test_there_is_an_end_to_the_visits_remembered(
    library: Library, comparer: Comparer, examples: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_VISITS", 3)
    with opened(library, comparer, examples) as site:
        for number in range(5):
            site.ask(f"visit-{number}", "turned", "small")
        assert list(site.blocks.state_holder.session_data) == ["visit-2", "visit-3", "visit-4"]


def test_all_that_reads_pictures_shares_its_places(
    library: Library, comparer: Comparer, examples: dict[str, Path]
) -> None:
    events = app.build(library, comparer, examples).fns.values()
    groups = {event.name: (event.concurrency_id, event.concurrency_limit) for event in events}
    short = ("found", "as_face", "explained", "turned_to", "compared", "recognise", "explain", "compare")
    assert {groups[name] for name in short} == {("pictures", 4)}
    assert {groups[name] for name in ("steps", "film", "batch")} == {("long works", 2)}


@pytest.mark.parametrize("limit", ["_WAITING", "_OWN_WAITING"])
def test_a_full_queue_says_so(
    library: Library,
    comparer: Comparer,
    examples: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
) -> None:
    monkeypatch.setattr(app, limit, 0)
    with (
        opened(library, comparer, examples) as site,
        pytest.raises(urllib.error.HTTPError, match="503") as refusal,
    ):
        site.ask("anna", "found", None, "small", "", None)
    assert b"Queue is full" in refusal.value.read()
    refusal.value.close()


def test_films_leave_places_for_photos(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_LONG_WAITING", 0)
    with pytest.raises(urllib.error.HTTPError, match="503") as refusal:
        site.ask("lea", "film", None, "small")
    refusal.value.close()
    assert site.ask("lea", "found", None, "small", "", None)["success"]


def test_a_verdict_goes_with_its_pictures(site: Site, sent: dict[str, Any]) -> None:
    assert "Press Compare" in site.ask("mia", "changed", sent, sent, None, None)["output"]["data"][0]
    assert "data:image/" in site.ask("mia", "compared", sent, sent, None, None)["output"]["data"][0]
    assert "Choose two pictures" in site.ask("mia", "changed", sent, None, None, None)["output"]["data"][0]
    # Asked for before, answered after.
    (late,) = site.ask("mia", "compared", sent, sent, None, None)["output"]["data"]
    assert late["__type__"] == "update" and "value" not in late


@pytest.mark.parametrize("path", ["call/upload", "run/upload", "api/upload", "stream/upload"])
def test_only_an_upload_may_be_large(site: Site, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(app, "_BODY_BYTES", 1000)
    with pytest.raises(urllib.error.HTTPError) as refusal:
        site._post(path, b'{"data": ["' + b"x" * 2000 + b'"]}', "application/json")
    assert refusal.value.code == 413
    refusal.value.close()


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Long works that go on until the test ends, and the steps that they have done."""
    done, ended = [], threading.Event()

    def slowly(paths: list[str], predictor: Any) -> Iterator[tuple[int, list[Any]]]:
        while not ended.wait(0.05):
            done.append(len(done))
            yield 1, []
        yield 1, []

    monkeypatch.setattr(app, "read_many", slowly)
    yield done
    ended.set()


def test_a_run_that_is_cancelled_leaves_the_queue(site: Site, sent: dict[str, Any], busy: list[int]) -> None:
    """And so does a run when another is begun; its page hears that it ended, but gets no answer."""
    queue = site.blocks._queue

    def waiting() -> int:
        return sum(len(part.queue) for part in queue.event_queue_per_concurrency_id.values())

    others = [
        threading.Thread(target=site.ask, args=(f"other-{number}", "batch", [sent], "small"), daemon=True)
        for number in range(2)
    ]
    for other in others:
        other.start()
    wait_for(lambda: len(app._unfinished(queue)) == 2 and not waiting())
    for button in ("stop", "begin"):
        run = site.join("nell", "steps", sent, "small", None, 1)
        told: dict[str, Any] = {}
        stream = threading.Thread(target=lambda told=told: told.update(site.answers("nell")), daemon=True)
        stream.start()
        wait_for(lambda: waiting() == 1)
        assert site.ask("otto", button, None)["success"] and waiting() == 1
        press = site.join("nell", button, None)
        stream.join(timeout=20)
        assert waiting() == 0 and told[run] == [app.gr.skip()]
        assert ("Cancelled" if button == "stop" else "Waiting") in told[press][0]


def test_a_work_ends_when_its_client_leaves(site: Site, sent: dict[str, Any], busy: list[int]) -> None:
    site.join("pia", "batch", [sent], "small")
    with urllib.request.urlopen(f"{site.address}/queue/data?session_hash=pia") as reply:
        reply.readline()
        wait_for(lambda: len(busy) > 2)
    wait_for(lambda: not app._unfinished(site.blocks._queue))


def test_a_visit_that_waits_is_not_forgotten(site: Site, sent: dict[str, Any], busy: list[int]) -> None:
    """Its run would go on, though it was cancelled; and of a visit that is over nothing stays."""
    site.ask("rosa", "turned", "small")
    first = site.session("rosa")
    threading.Thread(target=site.ask, args=("rosa", "batch", [sent], "small"), daemon=True).start()
    wait_for(lambda: len(busy) > 0)
    time.sleep(3)
    assert site.session("rosa") is first
    site.ask("sven", "turned", "small")
    wait_for(lambda: "sven" not in site.blocks._queue.pending_event_ids_session)
