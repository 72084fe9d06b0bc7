"""Fetches pictures from web addresses into one folder; knows nothing of triplets, faces or screens."""

from __future__ import annotations

import contextlib
import csv
import io
import threading
import time
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import urllib3
from PIL import Image
from urllib3.exceptions import HTTPError, LocationValueError, MaxRetryError

from zoo.data.fec import image_name
from zoo.output import moved_into_place

__all__ = ["ENDINGS", "Download", "Limits", "download_images", "found_images", "read_report"]

ENDINGS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp"}
"""Picture formats that are kept, as Pillow calls them, and the file ending that each gets."""

_CHUNK = 1 << 16
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_HEADERS = {"User-Agent": "expression-search (research data set download)", "Accept-Encoding": "identity"}


@dataclass(frozen=True)
class Limits:
    """What one link may cost.

    Attributes:
        bytes: largest picture file; counted while it streams in, whatever the server announces.
        pixels: largest picture, width times height.
        wait: seconds without a byte before a try ends.
        seconds: for one link, from its first try to the last byte of its picture.
        retries: tries after the first, for busy servers and broken connections.
        backoff: seconds before the second try; doubles with each further one.
        redirects: how many a link may pass.
    """

    bytes: int = 20 * 1024 * 1024
    pixels: int = 50_000_000
    wait: float = 10.0
    seconds: float = 60.0
    retries: int = 3
    backoff: float = 0.5
    redirects: int = 5


@dataclass(frozen=True)
class Download:
    """What became of one address.

    Attributes:
        url: the address.
        path: where the picture lies, or None.
        reason: why there is no picture; empty where there is one.
        final: trying again is pointless (no such page, not a picture, too large).
        fresh: it was fetched, or given up, in this run rather than an earlier one.
    """

    url: str
    path: Path | None = None
    reason: str = ""
    final: bool = False
    fresh: bool = True


class _LinkError(Exception):
    def __init__(self, reason: str, *, final: bool) -> None:
        super().__init__(reason)
        self.final = final


def download_images(
    addresses: Sequence[str],
    folder: Path,
    *,
    threads: int = 16,
    limits: Limits | None = None,
    report: Path | None = None,
    retry_final: bool = False,
) -> Generator[Download]:
    """Fetch every address once, in `threads` threads, and yield what became of each, as each ends.

    A picture is written as `folder/NAME.ENDING`, with `image_name(url)` and the ending of what it really is,
    and is moved into place whole. Pictures that are there already, and links that `report` calls final, are
    not asked for again. Closing the iterator ends the threads, each after what it waits for at the time.

    Args:
        report: CSV of the links without a picture (`url, reason, final`); rewritten here, but for what it
            says of other addresses.
        retry_final: ask again also for the links that the report calls final.
    """
    limits = limits or Limits()
    folder.mkdir(parents=True, exist_ok=True)
    known = {} if report is None else read_report(report)
    here = found_images(folder)
    unique = dict.fromkeys(addresses)
    stop = threading.Event()
    with contextlib.ExitStack() as stack:
        writer = _ReportWriter(report)
        stack.callback(writer.close)
        for url, old in known.items():
            if url not in unique:
                writer.write(old)
        pool = stack.enter_context(_pool(threads, limits))
        workers = ThreadPoolExecutor(threads, thread_name_prefix="download")
        stack.callback(workers.shutdown, cancel_futures=True)
        stack.callback(stop.set)

        waiting: list[str] = []
        for url in unique:
            if path := here.get(image_name(url)):
                yield Download(url, path=path, fresh=False)
            elif url in known and known[url].final and not retry_final:
                writer.write(known[url])
                yield known[url]
            else:
                waiting.append(url)

        rest = iter(waiting)

        def start(count: int) -> set[Future[Download]]:
            return {workers.submit(_download, url, folder, pool, limits, stop) for url in islice(rest, count)}

        # A few tasks for each thread, not all 156,000 at once, so that closing has little to cancel.
        running = start(4 * threads)
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            running |= start(len(done))
            for future in done:
                result = future.result()
                if result.path is None:
                    writer.write(result)
                yield result


def found_images(folder: Path) -> dict[str, Path]:
    """The pictures in `folder`: name without ending → path; nothing where there is no folder."""
    if not folder.is_dir():
        return {}
    endings = set(ENDINGS.values())
    return {path.stem: path for path in folder.iterdir() if path.suffix in endings}


def read_report(path: Path) -> dict[str, Download]:
    """The links without a picture, by address; nothing where there is no report."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return {
                row["url"]: Download(
                    row["url"], reason=row["reason"], final=row["final"] == "yes", fresh=False
                )
                for row in csv.DictReader(file)
                if row.get("final") in ("yes", "no")
            }
    except FileNotFoundError:
        return {}


class _ReportWriter:
    """Appends one line at a time, so that an interrupted run leaves its report."""

    def __init__(self, path: Path | None) -> None:
        self._file = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w", newline="", encoding="utf-8", buffering=1)
            self._csv = csv.writer(self._file)
            self._csv.writerow(("url", "reason", "final"))

    def write(self, result: Download) -> None:
        if self._file is not None:
            self._csv.writerow((result.url, result.reason, "yes" if result.final else "no"))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _pool(threads: int, limits: Limits) -> urllib3.PoolManager:
    # urllib3 knows no scheme but http and https, so neither an address nor a redirect can name another.
    retries = urllib3.Retry(
        total=limits.retries + limits.redirects,
        connect=limits.retries,
        read=limits.retries,
        status=limits.retries,
        other=0,
        redirect=limits.redirects,
        status_forcelist=_BUSY,
        backoff_factor=limits.backoff,
        backoff_jitter=limits.backoff / 2,
        raise_on_status=False,
        # A server may ask for a pause of hours.
        retry_after_max=int(limits.wait),
    )
    return urllib3.PoolManager(
        num_pools=2 * threads,
        maxsize=threads,
        retries=retries,
        timeout=urllib3.Timeout(limits.wait),
        headers=_HEADERS,
    )


def _download(
    url: str, folder: Path, pool: urllib3.PoolManager, limits: Limits, stop: threading.Event
) -> Download:
    try:
        content = _fetch(url, pool, limits, stop)
        ending = _check_picture(content, limits)
    except _LinkError as error:
        return Download(url, reason=str(error), final=error.final)
    path = folder / (image_name(url) + ending)
    with moved_into_place(path) as part:
        part.write_bytes(content)
    return Download(url, path=path)


def _fetch(url: str, pool: urllib3.PoolManager, limits: Limits, stop: threading.Event) -> bytes:
    """The body behind `url`.

    Raises:
        _LinkError: with the reason, and whether it is final.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise _LinkError(f"only http and https are followed, not {url!r}", final=True)
    deadline = time.monotonic() + limits.seconds
    for attempt in range(limits.retries + 1):
        try:
            return _read(url, pool, limits, deadline, stop)
        except LocationValueError as error:
            raise _LinkError(f"only http and https are followed: {_short(error)}", final=True) from None
        except MaxRetryError as error:
            cause = error.reason or error
            if isinstance(cause, urllib3.exceptions.ResponseError):  # too many redirects
                raise _LinkError(str(cause), final=True) from None
            raise _LinkError(_short(cause), final=False) from None
        except (HTTPError, OSError, UnicodeError, ValueError) as error:
            # The connection broke inside the body, where urllib3 leaves trying again to its caller.
            pause = limits.backoff * 2**attempt
            if attempt == limits.retries or time.monotonic() + pause > deadline or stop.wait(pause):
                raise _LinkError(_short(error), final=False) from None
    raise AssertionError("unreachable: the last attempt raises")


def _read(
    url: str, pool: urllib3.PoolManager, limits: Limits, deadline: float, stop: threading.Event
) -> bytes:
    if stop.is_set():
        raise _LinkError("interrupted", final=False)
    response = pool.request("GET", url, preload_content=False, decode_content=False)
    try:
        if response.status != 200:
            raise _LinkError(f"HTTP status {response.status}", final=response.status not in _BUSY)
        announced = response.headers.get("Content-Length", "")
        too_large = f"larger than the limit of {limits.bytes} bytes"
        if announced.isdecimal() and int(announced) > limits.bytes:
            raise _LinkError(f"{too_large}: {announced} announced", final=True)
        content = bytearray()
        # `read1` hands over what has come; `read` would wait for a whole chunk however slowly it drips.
        while chunk := response.read1(_CHUNK):
            content += chunk
            if len(content) > limits.bytes:
                raise _LinkError(too_large, final=True)
            if time.monotonic() > deadline:
                raise _LinkError(f"took longer than {limits.seconds:g} s", final=False)
            if stop.is_set():
                raise _LinkError("interrupted", final=False)
        return bytes(content)
    finally:
        # Not `release_conn`: an unread rest would have to be read first.
        response.close()


def _check_picture(content: bytes, limits: Limits) -> str:
    """The file ending of a picture that decodes to its last row.

    Raises:
        _LinkError: it is no picture, is cut short, or has too many pixels.
    """
    try:
        with Image.open(io.BytesIO(content), formats=tuple(ENDINGS)) as picture:
            if picture.width * picture.height > limits.pixels:
                reason = f"{picture.width}x{picture.height} is over the limit of {limits.pixels} pixels"
                raise _LinkError(reason, final=True)
            picture.load()
            return ENDINGS[str(picture.format)]
    except _LinkError:
        raise
    except Exception as error:  # decoders raise nearly anything on bytes made to hurt
        raise _LinkError(f"is no whole picture: {_short(error)}", final=True) from None


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
