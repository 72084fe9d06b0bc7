"""The page: tabs, events and endpoints around this package's plain functions; the only file with Gradio."""

from __future__ import annotations

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # Gradio reads it when it is imported
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")  # which it sums up after each event, of 10,000

import asyncio
import base64
import contextlib
import functools
import ipaddress
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from html import escape
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urljoin

import gradio as gr
import httpx
import numpy as np
from fastapi import HTTPException
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from gradio import processing_utils, routes
from gradio.context import Context, LocalContext
from gradio.data_classes import ListFiles
from gradio.queueing import Event, Queue
from gradio.server_messages import ProcessCompletedMessage
from gradio.state_holder import StateHolder
from gradio.utils import get_upload_folder
from gradio_client.utils import strip_invalid_filename_characters
from safehttpx import AsyncSecureTransport, async_validate_url
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo import theme
from demo.compare import compare_pictures, comparison_page, comparison_to_json
from demo.draw import overlay
from demo.library import Library
from demo.live import LiveView, frame_overlay, live_panel, watch
from demo.markup import message
from demo.photo import Photo, explain, face_choices, look, summary
from demo.recognise import answers_to_json, open_picture, recognise
from demo.saliency import saliency
from demo.scoreboard import board, model_page, models_to_json
from demo.video import batch_csv, batch_page, film_csv, film_page, read_many, watch_film
from zoo.comparison import Comparer
from zoo.errors import ConfigError, ImageError, ZooError
from zoo.pictures import MAX_FILE_BYTES, read_image

__all__ = ["ASSETS", "TITLE", "build", "limits", "look_and_feel"]

TITLE = "Expression Zoo"
ASSETS = Path(__file__).parent / "assets"
_KEPT_SECONDS = 180  # what visitors send is deleted after so long, unless it still has to be read
_UPLOAD_SECONDS = 3600  # an upload may take so long
_LOOKS_EVERY = 60  # seconds between looking for what to delete
_VISITS = 256  # remembered at once, at 0.1 MB or more each; beyond that the longest unused one is dropped
_AT_ONCE = 4  # pictures read side by side, whoever asks
_LONG_AT_ONCE = 2  # films and batches besides
_WAITING = 100  # asked for and not begun; who comes then is told that the app is busy
_LONG_WAITING = 20  # films and batches of these
_OWN_WAITING = 50  # of one visit
# What a visitor asks for while an answer is on its way waits for it; by itself Gradio would ignore it.
_LAST: dict[str, Any] = {"trigger_mode": "always_last"}
_SHORT: dict[str, Any] = {"concurrency_id": "pictures", "concurrency_limit": _AT_ONCE, **_LAST}
_LONG: dict[str, Any] = {"concurrency_id": "long works", "concurrency_limit": _LONG_AT_ONCE}
_VIEWERS = 4  # streams side by side; each ends after `_STREAM_SECONDS` and is asked for again by the browser
_STREAM_SECONDS = 30
_FRAME_SECONDS = 0.08
_BODY_BYTES = 32_000_000
_REDIRECTS = 5
_FETCH_SECONDS = 30
_CAMERA = {"video": {"width": {"ideal": 640}, "height": {"ideal": 480}}}

_Step = TypeVar("_Step")

_log = logging.getLogger(__name__)


def _as_file(component: Any) -> Any:
    """Let a component hand its file over as it came, so that one place decides what is decoded.

    By itself `gr.Image` decodes before any limit is checked, `gr.Video` runs an ffmpeg that may not be
    installed, and `gr.File` leaves an empty file behind. The method is replaced on the object: a subclass
    would make Gradio write a file here. An event whose answer is an update of the component, as those of
    `gr.Examples` are, would put a new object in its place.
    """

    def places(payload: Any) -> Any:
        if isinstance(payload, ListFiles):
            return [_uploaded(file.path) for file in payload]
        return None if payload is None else _uploaded(payload.path)

    component.preprocess = places
    return component


def _uploaded(path: str | None) -> str | None:
    """The path, if it lies in the upload folder; Gradio checks only those that come with its own mark.

    Raises:
        gr.Error: it lies elsewhere.
    """
    if path and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(get_upload_folder())):
        raise _shown(ImageError("That file was not uploaded here; upload it."))
    return path


def _frame(payload: Any) -> np.ndarray | None:
    """A frame as the page sends it, decoded within the limits of every picture: uint8 (H, W, 3), RGB.

    Raises:
        ImageError: it is no picture, or too large.
    """
    if payload is None:
        return None
    head, comma, content = (payload.url or "").partition(",")
    if not (comma and head.startswith("data:")):
        return open_picture(_uploaded(payload.path))
    try:
        picture = base64.b64decode(content, validate=True)
    except ValueError as error:
        raise ImageError(f"the frame: is no picture ({error})") from error
    return read_image(picture, name="the frame")


async def _fetch_nothing(url: str, cache_dir: str) -> str:
    raise _shown(ImageError("Addresses are not fetched here; upload the file itself."))


async def _pass_on_nothing(url: str, request: Any) -> Any:
    raise HTTPException(404, "addresses are not fetched here")


def _fetch_within(blocks: gr.Blocks) -> Any:
    """A download like Gradio's, from public addresses only, but no larger than an upload and always anew."""

    async def fetch(url: str, cache_dir: str) -> str:
        try:
            return await _download(url, Path(cache_dir), blocks.max_file_size or MAX_FILE_BYTES)
        except TimeoutError as error:
            words = f"{url}: cannot be fetched within {_FETCH_SECONDS} seconds"
            raise _shown(ImageError(words), escape) from error
        except (ValueError, httpx.HTTPError, httpx.InvalidURL) as error:
            raise _shown(ImageError(f"{url}: cannot be fetched ({error})"), escape) from error
        except ImageError as error:
            raise _shown(error, escape) from error

    return fetch


async def _download(url: str, uploads: Path, limit: int) -> str:
    """The path of a new file with what lies at an address.

    Args:
        limit: bytes.

    Raises:
        ImageError: it is larger, or the address has nothing to give.
        TimeoutError: it takes longer than `_FETCH_SECONDS`, redirects included.
        ValueError: the address isn't public.
        httpx.HTTPError: it doesn't answer as the protocol asks.
    """
    plain = {"Accept-Encoding": "identity"}  # a small answer may unpack to any size
    async with asyncio.timeout(_FETCH_SECONDS):
        for _ in range(_REDIRECTS + 1):
            transport = AsyncSecureTransport(await _public_address(httpx.URL(url).host))
            async with (
                httpx.AsyncClient(transport=transport) as client,
                client.stream("GET", url, headers=plain) as response,
            ):
                if response.has_redirect_location:
                    url = urljoin(url, response.headers["location"])
                    continue
                if response.status_code != 200:
                    raise ImageError(f"{url}: cannot be fetched (status {response.status_code})")
                if response.headers.get("Content-Encoding", "identity") != "identity":
                    raise ImageError(f"{url}: cannot be fetched (it comes packed)")
                name = strip_invalid_filename_characters(Path(httpx.URL(url).path).name) or "file"
                path = uploads / secrets.token_hex(16) / name
                path.parent.mkdir(parents=True)
                await _save(response, path, limit)
                return str(path)
    raise ImageError(f"{url}: cannot be fetched (it points on and on)")


async def _public_address(host: str) -> str:
    """Checked as Gradio does, but an address that a provider shares between customers isn't public either."""
    address = await async_validate_url(host)
    if not ipaddress.ip_address(address).is_global:
        raise ValueError(f"{host} is no public address")
    return address


async def _save(response: httpx.Response, path: Path, limit: int) -> None:
    size = 0
    try:
        with path.open("wb") as file:
            async for piece in response.aiter_raw():
                size += len(piece)
                if size > limit:
                    raise ImageError(
                        f"{response.url}: is larger than {limit / 1e6:.0f} MB, the most allowed here"
                    )
                file.write(piece)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _examples(samples: list[list[str | None]], inputs: list[Any], **options: Any) -> None:
    """Samples to click on, each with a path for every input."""
    shown = gr.Dataset(components=inputs, samples=samples, type="index", **options)

    def taken(place: int) -> Any:
        files = shown.samples[place]
        return files if len(files) > 1 else files[0]

    quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    shown.click(taken, shown, inputs, postprocess=False, **quiet, **_LAST)


def _picture(label: str, **options: Any) -> Any:
    sources = ["upload", "clipboard", "webcam"]
    return _as_file(gr.Image(label=label, sources=sources, type="filepath", **options))  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Page:
    """What every tab is built from.

    Attributes:
        largest: size of a file that may be uploaded, in words.
        timed: components that show milliseconds, with what gives their present state. A network's time
            changes once it is exported, after the page was built.
    """

    library: Library
    comparer: Comparer | None
    examples: dict[str, Path]
    largest: str
    timed: list[tuple[Any, Callable[[], Any]]] = field(default_factory=list)

    def network_menu(self, elem_id: str, label: str = "Network") -> gr.Dropdown:
        menu = gr.Dropdown(
            self.library.choices,
            value=self.library.default,
            label=label,
            info="Name · accuracy · weights · time for one face",
            elem_id=elem_id,
        )
        self.timed.append((menu, lambda: gr.update(choices=self.library.choices)))
        return menu


def look_and_feel() -> dict[str, Any]:
    """Theme, styles, scripts and icon, as `launch` takes them."""
    base = gr.themes.Base(
        primary_hue=gr.themes.Color(*theme.ACCENT, name="accent"),
        secondary_hue=gr.themes.Color(*theme.ACCENT, name="accent"),
        neutral_hue=gr.themes.Color(*theme.PAPER, name="paper"),
        radius_size="lg",
        font=theme.FONTS,
        font_mono=theme.MONOSPACED,
    )
    return {
        "theme": base.set(**theme.SETTINGS),
        "css_paths": [ASSETS / "style.css"],
        "head": f"<script>{(ASSETS / 'page.js').read_text(encoding='utf-8')}</script>"
        '<meta name="description" content="What expression does a face show?">',
        "favicon_path": str(ASSETS / "favicon.png"),
    }


def limits() -> dict[str, Any]:
    """What is remembered of visits and for how long, and what may not be asked, as `launch` takes it."""

    def closed() -> JSONResponse:
        return JSONResponse({"detail": "Not Found"}, status_code=404)

    # Gradio's own, which nothing here uses: they keep what they are sent, and run ffmpeg past the queue.
    paths = [f"/gradio_api/{name}" for name in ("process_recording", "component_server", "component_server/")]
    return {
        "state_session_capacity": _VISITS,
        "app_kwargs": {
            "lifespan": _forgetting,
            "routes": [APIRoute(path, closed, methods=["POST"]) for path in paths],
            "middleware": [Middleware(_SmallBodies)],
        },
    }


class _SmallBodies:
    """Refuses a request, uploads aside, whose body has more than `_BODY_BYTES`: Gradio reads it whole."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            part = await receive()
            taken += len(part.get("body", b""))
            if taken > _BODY_BYTES:
                raise HTTPException(413, f"a request of more than {_BODY_BYTES} bytes")
            return part

        # Exactly, as `/gradio_api/call/upload` would be an event of that name.
        path = scope.get("path", "").removeprefix(scope.get("root_path", "").rstrip("/"))
        await self._app(scope, receive if path == "/gradio_api/upload" else counted, send)


@contextlib.asynccontextmanager
async def _forgetting(server: Any) -> AsyncIterator[None]:
    """While the server runs, look again and again for visits to forget and for files to delete.

    Gradio's `delete_cache` knows nothing of uploads that broke off, and ends for good if a file comes while
    it looks.
    """

    async def look_again() -> None:
        while True:
            await asyncio.sleep(_LOOKS_EVERY)
            try:
                blocks = server.get_blocks()
                events = _unfinished(blocks._queue)
                _forget_visits(server.state_holder, {event.session_hash for event in events})
                _forget_finished(blocks._queue, server.state_holder)
                kept = _paths_in([event.data.data for event in events if event.data is not None])
                kept = kept.union(*(part.keep_in_cache for part in blocks.blocks.values()))
                real = {os.path.realpath(path) for path in kept}
                await asyncio.to_thread(_delete_old, Path(get_upload_folder()).resolve(), real)
                for known in blocks.temp_file_sets:
                    known.difference_update([path for path in list(known) if not os.path.exists(path)])
            except Exception:
                _log.exception("what visitors sent could not be deleted; it is tried again")

    task = asyncio.create_task(look_again())
    try:
        yield
    finally:
        task.cancel()


def _forget_visits(visits: StateHolder, waiting: set[str]) -> None:
    """Drop the visits that nobody has used for `_KEPT_SECONDS`, and what was shown in the others.

    Those that wait for an answer stay.

    Gradio remembers the last input and output of every component, pictures included, to restore a page by a
    link; this page has no such links. Who comes back to a dropped visit gets a new one without noticing.
    All happens in the server's event loop, as everything that Gradio does with visits.
    """
    oldest = datetime.now() - timedelta(seconds=_KEPT_SECONDS)
    for name, used in list(visits.time_last_used.items()):
        if used < oldest and name not in waiting:
            _drop_visit(visits, name)
        elif name in visits.session_data:
            visits.session_data[name].config_values.clear()


def _forget_finished(queue: Queue, visits: StateHolder) -> None:
    """Drop Gradio's empty entry of every visit that is over: a call without a page is a visit of its own."""
    for name, events in list(queue.pending_event_ids_session.items()):
        if not events and name not in visits.session_data:
            queue.pending_event_ids_session.pop(name, None)


def _unfinished(queue: Queue) -> list[Event]:
    """The events that wait for their turn, or are under way."""
    waiting = [part.queue for part in queue.event_queue_per_concurrency_id.values()]
    return [event for group in (*waiting, *queue.active_jobs) for event in group or ()]


async def _leave_queue(queue: Queue, visit: str, function: int) -> bool:
    """Let a visit wait for a function no longer; its page hears that the event ended, without an answer.

    Args:
        visit, function: their identifiers in Gradio.

    Returns:
        Whether it did.
    """
    async with queue.delete_lock:
        given_up = [
            event
            for part in queue.event_queue_per_concurrency_id.values()
            for event in part.queue
            if event.session_hash == visit and event.fn._id == function
        ]
        for event in given_up:
            queue.event_queue_per_concurrency_id[event.concurrency_id].queue.remove(event)
            queue.event_ids_to_events.pop(event._id, None)
            queue.send_message(event, ProcessCompletedMessage(output={"data": [gr.skip()]}, success=True))
    return bool(given_up)


def _paths_in(sent: list[Any]) -> set[str]:
    """Paths of the files among what was sent with events."""
    paths = set()
    while sent:
        value = sent.pop()
        if isinstance(value, list):
            sent += value
        elif isinstance(value, dict):
            sent += value.values()
            paths.add(str(value.get("path")))
    return paths


def _delete_old(uploads: Path, kept: set[str]) -> None:
    """Delete all files that have lain there for `_KEPT_SECONDS`, and the folders that this leaves empty.

    What lies in no folder of its own is part of an upload that goes on, or broke off.

    Args:
        kept: paths that belong to the page, or have still to be read.
    """
    now = time.time()
    for folder, _, names in os.walk(uploads, topdown=False):
        oldest = now - (_UPLOAD_SECONDS if Path(folder) == uploads else _KEPT_SECONDS)
        for path in (os.path.join(folder, name) for name in names):
            with contextlib.suppress(OSError):  # gone
                if path not in kept and os.stat(path).st_ctime < oldest:
                    os.unlink(path)
        with contextlib.suppress(OSError):  # not empty
            if Path(folder) != uploads and os.stat(folder).st_mtime < oldest:
                os.rmdir(folder)


def _drop_visit(visits: StateHolder, name: str) -> None:
    visits.session_data.pop(name, None)
    visits.time_last_used.pop(name, None)


def build(
    library: Library,
    comparer: Comparer | None,
    examples: dict[str, Path],
    *,
    largest: str = "20 MB",
    fetch: bool = False,
    shared: bool = False,
) -> gr.Blocks:
    """The whole page and its endpoints; launching it is the caller's.

    Args:
        largest: size of a file that may be uploaded, as the page says it; `launch` takes it, too.
        fetch: let Gradio download what an input names by a public address, as it does before any handler is
            asked. It holds for the whole process.
        shared: what visitors send passes through Gradio's public address.
    """
    page = _Page(library, comparer, examples, largest)
    with gr.Blocks(analytics_enabled=False, title=TITLE) as blocks:
        gr.HTML((ASSETS / "masthead.html").read_text(encoding="utf-8"), elem_id="masthead")
        with gr.Tabs(elem_id="rooms"):
            for name, fill in (
                ("Photo", _photo_tab),
                ("Webcam", _webcam_tab),
                ("Compare", _compare_tab),
                ("Video and batch", _video_tab),
                ("Models", _models_tab),
            ):
                with gr.Tab(name):
                    fill(page)
        way = "pass through Gradio's servers (gradio.live) to" if shared else "stay on"
        footer = (ASSETS / "footer.html").read_text(encoding="utf-8").replace("{way}", way)
        gr.HTML(footer, elem_id="foot")
        _endpoints(page)
        _show_times(page, blocks)
    processing_utils.async_ssrf_protected_download = _fetch_within(blocks) if fetch else _fetch_nothing
    routes.secure_url_stream_response = _pass_on_nothing

    async def left(request: gr.Request) -> None:
        _drop_visit(blocks.state_holder, request.session_hash or "")

    blocks.unload(left)
    # Closed, as a call past the queue would also be past its limits.
    blocks.queue(default_concurrency_limit=_AT_ONCE, max_size=_WAITING, api_open=False)
    _share_queue(blocks._queue)
    return blocks


def _share_queue(queue: Queue) -> None:
    """Let no visit, and no room, fill the places to wait in that all have."""
    push = queue.push

    async def push_within(body: Any, request: Any, username: str | None) -> Any:
        waiting = [event for part in queue.event_queue_per_concurrency_id.values() for event in part.queue]
        own = sum(event.session_hash == body.session_hash for event in waiting)
        asked, group = queue.blocks.fns.get(body.fn_index), _LONG["concurrency_id"]
        long = asked is not None and asked.concurrency_id == group
        if own >= _OWN_WAITING or (
            long and sum(event.concurrency_id == group for event in waiting) >= _LONG_WAITING
        ):
            return False, "Queue is full. Try it again later.", "queue_full"
        return await push(body, request, username)

    queue.push = push_within  # type: ignore[method-assign]


def _show_times(page: _Page, blocks: gr.Blocks) -> None:
    """Let every page that is opened show the times of what runs by then."""

    def times() -> list[Any]:
        return [state() for _, state in page.timed]

    components = [component for component, _ in page.timed]
    blocks.load(times, None, components, queue=False, api_visibility="private", show_progress="hidden")


def _shown(error: ZooError, words: Callable[[str], str] = str) -> gr.Error:
    return gr.Error(words(str(error)), title="That didn't work", print_exception=False)


def _told(handler: Callable[..., Any], words: Callable[[str], str] = str) -> Callable[..., Any]:
    """Turn a `ZooError` into a message to whoever asked instead of a traceback in the log.

    Args:
        words: what becomes of the message.
    """

    @functools.wraps(handler)
    def answer(*values: Any) -> Any:
        try:
            return handler(*values)
        except ZooError as error:
            raise _shown(error, words) from error

    return answer


def _told_on_page(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Gradio puts the message into the page as HTML, and it may hold the name of a visitor's file."""
    return _told(handler, escape)


def _failed(error: ZooError) -> str:
    """An error in the place of an answer, which no answer of another picture may keep."""
    return message("That didn't work", str(error), kind="none")


def _told_in_place(handler: Callable[..., str]) -> Callable[..., str]:
    """Let a handler whose answer is HTML answer a `ZooError` in words.

    After an event that fails Gradio drops the one that waits for it (`always_last`).
    """

    @functools.wraps(handler)
    def answer(*values: Any) -> str:
        try:
            return handler(*values)
        except ZooError as error:
            return _failed(error)

    return answer


@dataclass
class _Turns:
    """Which run of a long work a visitor wants: the last one begun, unless it was cancelled.

    Kept as a `gr.State`, so it is one visitor's and gone with the visit. Gradio's `cancels` ends the work as
    well, but a step that is on its way by then replaces the word that it was cancelled. Here that word is the
    last step of the work itself.
    """

    latest: int = 0
    started: int = 0
    cancelled: bool = False

    def begin(self) -> tuple[str, int]:
        """What the visitor sees until the work begins, and the number of the run."""
        # By the clock, as a visit that was forgotten counts anew while its former runs may still wait.
        self.latest = max(self.latest + 1, time.time_ns() // 1_000_000)
        self.cancelled = False
        return message("Waiting", "It begins as soon as there is room."), self.latest

    def cancel(self) -> Any:
        """What the visitor sees of it at once: a run that waits says nothing by itself until its turn."""
        self.cancelled = True
        return message("Cancelled") if self.started < self.latest else gr.skip()

    def run(self, own: int, steps: Iterator[str]) -> Iterator[Any]:
        """The steps up to the one at which the visitor cancels, or begins anew.

        Args:
            own: number of the run. A visit that was forgotten while it waited has begun none.
        """
        self.started = max(self.started, own)
        word = self._last_word(own)
        if word is None:
            for step in steps:
                word = self._last_word(own)
                if word is not None:
                    break
                yield step
        if word is not None:
            yield word

    def _last_word(self, own: int) -> Any:
        """What ends a run before its time, if anything does."""
        if self.latest > own:
            return gr.skip()  # Gradio shows a run's last step twice, and the place is another run's by now
        return message("Cancelled") if self.cancelled else None


def _photo_tab(page: _Page) -> None:
    library = page.library
    start = message("Choose a picture", "Every face in it is found and read.")

    def others() -> list[tuple[str, str]]:
        return [("none", ""), *library.choices]

    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            picture = _picture("Your picture", elem_id="photo-in")
            with gr.Row(elem_classes="examples"):
                pictures = page.examples
                _examples(
                    [[str(path)] for path in pictures.values()], [picture], sample_labels=list(pictures),
                    label="Or try one of these", elem_id="photo-examples",
                )  # fmt: skip
            network = page.network_menu("photo-network")
            second = gr.Dropdown(others(), value="", label="A second one beside it", elem_id="photo-second")
            page.timed.append((second, lambda: gr.update(choices=others())))
        with gr.Column(scale=3, min_width=300):
            words = gr.HTML(start, elem_id="photo-words")
            whole = gr.Button("Take the whole picture as the face", visible=False, elem_id="photo-whole")
            shown = gr.Image(
                label="Faces found", show_label=False, interactive=False, visible=False, format="jpeg",
                buttons=["download", "fullscreen"], alt_text="Your picture, each face boxed and labelled",
                elem_id="photo-out",
            )  # fmt: skip
            face = gr.Radio([], label="Face", visible=False, elem_id="photo-face")
            detail = gr.HTML(elem_id="photo-detail")
    kept = gr.State(None, time_to_live=_KEPT_SECONDS)

    def empty(words: str) -> tuple[Any, ...]:
        hidden = gr.update(visible=False)
        return words, hidden, gr.update(value=None, visible=False), hidden, None, ""

    def show(
        source: str | None, first: str, other: str, *, as_face: bool, before: Photo | None = None
    ) -> tuple[Any, ...]:
        if source is None:
            return empty(start)
        try:
            labelled, photo = look(library, source, (first, other), whole=as_face)
        except ZooError as error:
            return empty(_failed(error))
        menu = face_choices(photo)
        chosen = gr.update(choices=menu, visible=len(menu) > 1)
        if before is None or before.faces != photo.faces:
            chosen["value"] = 0 if menu else None
        return (
            summary(photo),
            gr.update(visible=not menu),
            gr.update(value=labelled, visible=not as_face),
            chosen,
            photo,
            "",
        )

    def as_face(source: str | None, first: str, other: str) -> tuple[Any, ...]:
        return show(source, first, other, as_face=True)

    def found(source: str | None, first: str, other: str, before: Photo | None) -> tuple[Any, ...]:
        if before is None or before.source != source:
            return show(source, first, other, as_face=False)
        # The same faces by another network: what was chosen of them stays.
        return show(source, first, other, as_face=before.whole, before=before)

    @_told_in_place
    def explained(photo: Photo | None, index: int | None) -> str:
        return explain(library, photo, index)

    @_told_in_place
    def turned_to(photo: Photo | None, index: int | None) -> str:
        if photo is None:
            return message("This picture is no longer kept", "Choose it again to look at its faces.")
        return explain(library, photo, index)

    inputs, outputs = [picture, network, second], [words, whole, shown, face, kept, detail]
    changed = gr.on(
        [picture.change, network.input, second.input], found, [*inputs, kept], outputs,
        api_visibility="private", **_SHORT,
    )  # fmt: skip
    pressed = whole.click(as_face, inputs, outputs, api_visibility="private", **_SHORT)
    for event in (changed, pressed):
        event.success(
            explained, [kept, face], detail, api_visibility="private", show_progress="hidden", **_SHORT
        )
        # Refused by the queue, say; an answer beside another picture would be taken for its.
        event.failure(
            lambda: empty(message("That didn't work", "Try it again.", kind="none")), None, outputs,
            queue=False, api_visibility="private", show_progress="hidden",
        )  # fmt: skip
    # Unchecked, as a visit that was forgotten in the meantime doesn't know which faces there are.
    face.input(
        turned_to, [kept, face], detail,
        api_visibility="private", show_progress="minimal", preprocess=False, **_SHORT,
    )  # fmt: skip


def _webcam_tab(page: _Page) -> None:
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=300):
            with gr.Column(elem_id="live-stage"):
                camera: Any = gr.Image(
                    label="Your camera", sources=["webcam"], streaming=True, elem_id="live-in",
                    webcam_options=gr.WebcamOptions(mirror=True, constraints=_CAMERA),
                )  # fmt: skip
                camera.preprocess = lambda payload: payload  # `_frame` decodes it
                boxes = gr.HTML(elem_id="live-boxes")
            with gr.Row():
                start = gr.Button("Start", variant="primary", elem_id="live-start")
                stop = gr.Button("Stop", elem_id="live-stop")
            gr.HTML((ASSETS / "camera.html").read_text(encoding="utf-8"), elem_id="live-help")
        with gr.Column(scale=2, min_width=300):
            network = page.network_menu("live-network")
            gr.HTML((ASSETS / "camera-state.html").read_text(encoding="utf-8"), elem_id="live-state")
            panel = gr.HTML(message("The camera is off", "Press Start."), elem_id="live-panel")
    view = gr.State(None, time_to_live=_KEPT_SECONDS)  # from the last frame on

    @_told_on_page
    def frame(payload: Any, name: str, seen: LiveView | None) -> tuple[str, str, LiveView]:
        seen, pixels = seen or LiveView(), _frame(payload)
        if pixels is None:
            return "", live_panel(seen, ()), seen
        answers = watch(seen, pixels, page.library.predictor(name))
        return frame_overlay(answers, pixels.shape), live_panel(seen, answers), seen

    camera.stream(
        frame, [camera, network, view], [boxes, panel, view],
        stream_every=_FRAME_SECONDS, time_limit=_STREAM_SECONDS, concurrency_limit=_VIEWERS,
        show_progress="hidden", api_visibility="private",
    )  # fmt: skip
    start.click(None, js=f"() => window.startCamera({json.dumps(_CAMERA)})")
    stop.click(
        lambda: ("", message("The camera is off", "Press Start."), None), None, [boxes, panel, view],
        api_visibility="private", show_progress="hidden",
        trigger_mode="multiple",  # else Gradio ignores a press while an earlier one is under way
    )  # fmt: skip


@dataclass
class _Beside:
    """The pictures that a visitor's page shows in the Compare room; None where nobody knows."""

    paths: tuple[str | None, ...] | None = None


def _compare_tab(page: _Page) -> None:
    with gr.Row(equal_height=False):
        labels = ("First picture", "Second picture", "Third, if you like")
        pictures = [
            _picture(label, elem_id=f"compare-{number}", height=260)
            for number, label in enumerate(labels, start=1)
        ]
    button = gr.Button("Compare", variant="primary", elem_id="compare-go")
    hint = "Or three, to find the odd one out."
    if page.comparer is not None:
        hint += f" {page.comparer.card.name} compares them."
    start = message("Choose two pictures", hint)
    answer = gr.HTML(start, elem_id="compare-out")
    known = {name: str(path) for name, path in page.examples.items()}
    _examples(
        [
            [known["astronaut"], known["admiral"], None],
            [known["drawn happy"], known["drawn angry"], None],
            [known["astronaut"], known["drawn happy"], known["drawn angry"]],
        ],
        pictures, sample_labels=["two photographs", "drawn: happy, angry", "three: a photograph, two drawn"],
        label="Or try these", elem_id="compare-examples",
    )  # fmt: skip

    # An answer beside other pictures than those that it is about would be taken for theirs.
    beside = gr.State(_Beside())

    @_told_in_place
    def verdict(*paths: str | None) -> str:
        return comparison_page(compare_pictures(page.comparer, paths))

    def compared(first: str | None, second: str | None, third: str | None, there: _Beside) -> Any:
        answered = verdict(first, second, third)
        return answered if there.paths in (None, (first, second, third)) else gr.skip()

    def changed(first: Any, second: Any, third: Any, there: _Beside) -> str:
        there.paths = tuple(file and file["path"] for file in (first, second, third))
        return message("Press Compare", hint) if first and second else start

    quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    changes = [picture.change for picture in pictures]
    gr.on(changes, changed, [*pictures, beside], answer, preprocess=False, **quiet, **_LAST)
    button.click(compared, [*pictures, beside], answer, api_visibility="private", **_SHORT)


def _video_tab(page: _Page) -> None:
    network = page.network_menu("many-network")
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300):
            film = gr.Video(label="A film", sources=["upload"], elem_id="film-in", height=300)
            _as_file(film)
            with gr.Row():
                watch_button = gr.Button("Watch the film", variant="primary", elem_id="film-go")
                watch_stop = gr.Button("Cancel", elem_id="film-stop")
            film_answer = gr.HTML(
                message(
                    "Choose a film",
                    f"The expression over time, for its first five minutes; at most {page.largest}.",
                ),
                elem_id="film-out",
            )
        with gr.Column(min_width=300):
            files = gr.File(
                label="Many pictures",
                file_count="multiple",
                file_types=["image"],
                elem_id="many-in",
                height=200,
            )
            _as_file(files)
            with gr.Row():
                read_button = gr.Button("Read the pictures", variant="primary", elem_id="many-go")
                read_stop = gr.Button("Cancel", elem_id="many-stop")
            many_answer = gr.HTML(
                message("Choose pictures", "A table of all their faces, to save as CSV."), elem_id="many-out"
            )

    def watched(path: str | None, name: str) -> Iterator[str]:
        latest, predictor = None, page.library.predictor(name)
        for count, latest in enumerate(watch_film(path, predictor)):
            if count % 8 == 0:
                yield _progress(latest.progress, f"{latest.watched:.0f} s watched")
        if latest is not None:
            yield film_page(latest, predictor.card.name)

    def read(paths: list[str] | None, name: str) -> Iterator[str]:
        so_far: list[Any] = []
        predictor = page.library.predictor(name)
        for total, so_far in read_many(paths, predictor):
            yield _progress(len(so_far) / total, f"{len(so_far)} of {total} pictures")
        yield batch_page(so_far, predictor.card.name)

    _long_work(watch_button, watch_stop, watched, [film, network], film_answer)
    _long_work(read_button, read_stop, read, [files, network], many_answer)


def _long_work(
    go: gr.Button, halt: gr.Button, work: Callable[..., Iterator[str]], sources: list[Any], answer: gr.HTML
) -> None:
    """One button starts the work, whose steps are shown in `answer`, and another ends it."""
    turns = gr.State(_Turns())
    # In the browser, so that each run has the number that it began with: a state would give it the latest.
    number = gr.Number(0, visible="hidden", precision=0)

    def steps(source: Any, name: str, own: _Turns, run: int) -> Iterator[Any]:
        try:
            yield from own.run(run, work(source, name))
        except ZooError as error:
            yield gr.skip() if own.latest > run else _failed(error)

    # By itself Gradio ignores an event while an earlier one of its kind runs.
    quiet: dict[str, Any] = {
        "api_visibility": "private", "show_progress": "hidden", "trigger_mode": "multiple"
    }  # fmt: skip
    blocks = Context.root_block
    assert blocks is not None

    async def begin(own: _Turns, request: gr.Request) -> tuple[str, int]:
        # A visit has one place to wait in each of these rooms.
        await _leave_queue(blocks._queue, request.session_hash or "", run["id"])
        return own.begin()

    async def stop(own: _Turns, request: gr.Request) -> Any:
        waited = await _leave_queue(blocks._queue, request.session_hash or "", run["id"])
        word = own.cancel()
        return message("Cancelled") if waited else word

    begun = go.click(begin, turns, [answer, number], queue=False, **quiet)
    run = begun.then(steps, [*sources, turns, number], answer, **quiet, **_LONG)
    # Refused by the queue, say; Gradio has told why.
    run.failure(lambda: message("That didn't work", "Try it again."), None, answer, queue=False, **quiet)
    halt.click(stop, turns, answer, queue=False, **quiet)


def _progress(share: float, words: str) -> str:
    return (
        f'<div class="message"><strong>Working</strong><p>{escape(words)}</p>'
        f'<progress max="1" value="{share:.3f}" aria-label="{escape(words)}"></progress></div>'
    )


def _models_tab(page: _Page) -> None:
    library = page.library
    chosen = page.network_menu("models-network", "Network to look at")
    scores = gr.HTML(board(library, library.default), elem_id="models-board")
    page.timed.append((scores, lambda: board(library, library.default)))
    card = gr.HTML(model_page(library.entries[library.default]), elem_id="models-card")

    @_told_on_page
    def turned(name: str) -> tuple[str, str]:
        library.predictor(name)  # refuses unknown names
        return board(library, name), model_page(library.entries[name])

    chosen.input(turned, chosen, [scores, card], api_visibility="private", show_progress="hidden", **_LAST)


def _last_step(steps: Iterator[_Step]) -> _Step:
    """The last of the steps of a long work, of which there is one at least.

    Raises:
        ConfigError: who asked for it has left.
    """
    blocks, name = LocalContext.blocks.get(None), LocalContext.event_id.get(None)
    event = blocks._queue.event_ids_to_events.get(name) if blocks and name else None
    for step in steps:
        last = step
        if event is not None and not event.alive:
            raise ConfigError("nobody waits for the answer any more")
    return last


def _endpoints(page: _Page) -> None:
    """What programs call: the same functions, with plain values as answers; hidden from the page."""
    library = page.library
    with gr.Row(visible=False):
        picture = _picture("picture")
        pictures = [_picture(name) for name in ("first", "second", "third")]
        film = _as_file(gr.Video(label="film"))
        files = _as_file(gr.File(label="files", file_count="multiple"))
        network = gr.Textbox(label="network", value="")
        whole = gr.Checkbox(label="whole", value=False)
        face = gr.Number(label="face", value=1, precision=0)
        answer, image, trigger = gr.JSON(label="answer"), gr.Image(label="overlay", format="png"), gr.Button()

    @_told
    def recognise_picture(picture: str | None, network: str, whole: bool) -> dict[str, Any]:
        """Find the faces of a picture and say which expression each shows.

        Args:
            picture: an image file.
            network: a name out of `models`; empty for the most accurate single network.
            whole: take the whole picture as one face instead of looking for faces.
        """
        predictor = library.predictor(network)
        answers = recognise(open_picture(picture), predictor, whole=whole)
        return {"network": predictor.card.name, "faces": answers_to_json(answers)}

    @_told
    def explain_face(picture: str | None, network: str, face: float | None) -> np.ndarray:
        """Draw which parts of a face the answer rests on.

        Args:
            picture: an image file.
            network: a name out of `models`; empty for the most accurate single network.
            face: its number, 1 for the leftmost.
        """
        predictor = library.predictor(network)
        answers = recognise(open_picture(picture), predictor)
        if face is None or not 1 <= face <= len(answers):
            raise ConfigError(f"face {face} is not there; the picture has {len(answers)}")
        chosen = answers[int(face) - 1]
        return overlay(chosen.crop, saliency(predictor, chosen.crop, chosen.expression))

    @_told
    def compare_faces(first: str | None, second: str | None, third: str | None = None) -> dict[str, Any]:
        """Say whether two faces show the same expression, or which of three is the odd one out.

        Args:
            first: an image file.
            second: an image file.
            third: an image file, or nothing.
        """
        compared = compare_pictures(page.comparer, (first, second, third))
        return comparison_to_json(compared)

    @_told
    def read_film(film: str | None, network: str) -> dict[str, Any]:
        """Say which expressions the faces of a film show over time; the first five minutes of it.

        Args:
            film: a video file.
            network: a name out of `models`; empty for the most accurate single network.
        """
        seen = _last_step(watch_film(film, library.predictor(network)))
        return {
            "seconds": None if seen.seconds != seen.seconds else round(seen.seconds, 2),
            "watched": round(seen.watched, 2),
            "csv": film_csv(seen),
        }

    @_told
    def read_pictures(files: list[str] | None, network: str) -> dict[str, Any]:
        """Say which expressions the faces of many pictures show.

        Args:
            files: image files, at most 500.
            network: a name out of `models`; empty for the most accurate single network.
        """
        _, done = _last_step(read_many(files, library.predictor(network)))
        return {"csv": batch_csv(done), "unreadable": [entry.name for entry in done if entry.error]}

    def list_models() -> list[dict[str, Any]]:
        """List the networks with accuracy, cost and milliseconds a face."""
        return models_to_json(library)

    for name, handler, inputs, output, group in (
        ("recognise", recognise_picture, [picture, network, whole], answer, _SHORT),
        ("explain", explain_face, [picture, network, face], image, _SHORT),
        ("compare", compare_faces, pictures, answer, _SHORT),
        ("film", read_film, [film, network], answer, _LONG),
        ("batch", read_pictures, [files, network], answer, _LONG),
        ("models", list_models, None, answer, {}),
    ):
        handler.__name__ = name  # a tool is called by it
        trigger.click(handler, inputs, output, api_name=name, **group)
