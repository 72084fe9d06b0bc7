"""Downloads from a server on this machine whose links are dead, slow, too large or lie; then cropping."""

import io
import threading
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from zoo.data.fec import crop_name, image_name, read_fec
from zoo.data.fec_download import Limits, download_images, found_images, read_report
from zoo.data.fec_faces import crop_face, crop_faces, load_fec_faces
from zoo.errors import DataError
from zoo.fec_download import main

LIMITS = Limits(bytes=50_000, pixels=100_000, wait=0.5, seconds=1.0, retries=1, backoff=0.01, redirects=2)


def picture(width=40, height=30, kind="PNG", orientation=None):
    """A picture whose left half is black and right half white."""
    image = Image.new("L", (width, height))
    image.paste(255, (width // 2, 0, width, height))
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, format=kind, exif=exif)
    return file.getvalue()


class Handler(BaseHTTPRequestHandler):
    """Answers by path; `asked` counts the requests."""

    asked: list[str] = []

    def log_message(self, *arguments):
        pass

    def answer(self, body, *, status=200, kind="image/png", length=None, headers=()):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length != "none":
            self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.asked.append(self.path)
        try:
            getattr(self, "get_" + self.path.strip("/").split("/")[0].split(".")[0], self.get_missing)()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def get_good(self):
        self.answer(picture())

    def get_jpeg(self):
        self.answer(picture(kind="JPEG"), kind="text/html")

    def get_missing(self):
        self.answer(b"not here", status=404, kind="text/plain")

    def get_gone(self):
        self.answer(b"", status=410)

    def get_page(self):
        self.answer(b"<html>This photo is no longer available</html>", kind="image/jpeg")

    def get_busy(self):
        if self.asked.count(self.path) < 2:
            self.answer(b"", status=503, headers=[("Retry-After", "7200")])
        else:
            self.answer(picture())

    def get_broken(self):
        self.answer(b"", status=500)

    def get_slow(self):
        self.send_response(200)
        self.end_headers()
        for _ in range(100):
            self.wfile.write(b"x")
            time.sleep(0.05)

    def get_silent(self):
        time.sleep(3 * LIMITS.wait)

    def get_large(self):
        self.answer(b"x" * 60_000)

    def get_endless(self):
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b"x" * 10_000)

    def get_promises(self):
        self.answer(picture(), length=10**12)

    def get_short(self):
        self.answer(picture()[:-40], length=len(picture()))
        self.close_connection = True

    def get_cut(self):
        self.answer(picture(), length=len(picture()) // 2)

    def get_bomb(self):
        self.answer(picture(1000, 1000))

    def get_moved(self):
        self.answer(b"", status=302, headers=[("Location", "/good/after")])

    def get_circle(self):
        self.answer(b"", status=302, headers=[("Location", "/circle")])

    def get_file(self):
        self.answer(b"", status=302, headers=[("Location", "file:///etc/hostname")])

    def get_ftp(self):
        self.answer(b"", status=301, headers=[("Location", "ftp://127.0.0.1/a.png")])


@pytest.fixture(scope="module")
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def forget_requests():
    Handler.asked.clear()


@pytest.mark.parametrize(
    ("path", "reason", "final"),
    [
        ("missing", "HTTP status 404", True),
        ("gone", "HTTP status 410", True),
        ("page", "no whole picture", True),
        ("broken", "HTTP status 500", False),
        ("slow", "longer than 1 s", False),
        ("silent", "timed out", False),
        ("large", "larger than the limit of 50000 bytes: 60000 announced", True),
        ("endless", "larger than the limit of 50000 bytes", True),
        ("promises", "larger than the limit of 50000 bytes: 1000000000000 announced", True),
        ("short", "IncompleteRead", False),
        ("cut", "no whole picture", True),
        ("bomb", "1000x1000 is over the limit", True),
        ("circle", "too many redirects", True),
        ("file", "only http and https", True),
        ("ftp", "only http and https", True),
    ],
)
def test_links_without_a_picture_give_their_reason(server, tmp_path, path, reason, final):
    url = f"{server}/{path}/x.png"
    report = tmp_path / "skipped.csv"
    (result,) = download_images([url], tmp_path / "images", limits=LIMITS, report=report)
    assert result.path is None
    assert reason in result.reason
    assert result.final is final
    assert list((tmp_path / "images").iterdir()) == []
    assert (read_report(report)[url].reason, read_report(report)[url].final) == (result.reason, final)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/hostname",
        "ftp://127.0.0.1/x",
        "http://",
        "http://[",
        "http://127.0.0.1:99999/",
        "",
        "\x00",
    ],
)
def test_addresses_that_are_none_end_as_such(tmp_path, url):
    (result,) = download_images([url], tmp_path / "images", limits=LIMITS)
    assert result.path is None and result.reason
    assert list((tmp_path / "images").iterdir()) == []


def test_a_server_that_refuses_connections_is_tried_again_later(tmp_path):
    (result,) = download_images(["http://127.0.0.1:9/x.png"], tmp_path / "images", limits=LIMITS)
    assert result.path is None and not result.final


@pytest.mark.parametrize(
    ("path", "ending"),
    [
        ("good/a.jpg", ".png"),
        ("jpeg/a.png", ".jpg"),
        ("moved/a", ".png"),
        ("busy/a", ".png"),
        ("good/%2e%2e%2f%2e%2e%2foutside", ".png"),
    ],
)
def test_pictures_are_kept_under_the_hash_of_their_address(server, tmp_path, path, ending):
    url = f"{server}/{path}"
    (result,) = download_images([url], tmp_path / "in" / "images", limits=LIMITS)
    assert result.path == tmp_path / "in" / "images" / (image_name(url) + ending)
    assert [entry.name for entry in tmp_path.rglob("*.*")] == [result.path.name]
    with Image.open(result.path) as image:
        assert image.size == (40, 30)


def test_a_pause_of_hours_is_not_granted(server, tmp_path):
    start = time.monotonic()
    (result,) = download_images([f"{server}/busy/pause"], tmp_path, limits=LIMITS)
    assert result.path is not None
    assert time.monotonic() - start < 5


def test_a_second_run_asks_only_for_what_may_still_come(server, tmp_path):
    addresses = [f"{server}/{path}" for path in ("good/1", "good/2", "missing", "broken", "good/1")]
    report = tmp_path / "skipped.csv"
    options = {"limits": LIMITS, "report": report, "threads": 2}
    first = list(download_images(addresses, tmp_path / "images", **options))
    assert sorted(result.fresh for result in first) == [True] * 4
    Handler.asked.clear()
    second = {result.url: result for result in download_images(addresses, tmp_path / "images", **options)}
    assert set(Handler.asked) == {"/broken"}
    assert not second[f"{server}/good/1"].fresh and second[f"{server}/good/1"].path is not None
    assert set(read_report(report)) == {f"{server}/missing", f"{server}/broken"}
    Handler.asked.clear()
    list(download_images(addresses, tmp_path / "images", retry_final=True, **options))
    assert set(Handler.asked) == {"/broken", "/missing"}


@pytest.mark.parametrize("retry_final", [False, True])
def test_a_run_with_other_addresses_forgets_no_dead_link(server, tmp_path, retry_final):
    report = tmp_path / "skipped.csv"
    options = {"limits": LIMITS, "report": report}
    for paths in (("missing/1", "missing/2", "page"), ("missing/2", "gone")):
        addresses = [f"{server}/{path}" for path in paths]
        list(download_images(addresses, tmp_path / "images", retry_final=retry_final, **options))
    known = read_report(report)
    assert {url.removeprefix(server): link.final for url, link in known.items()} == {
        "/missing/1": True,
        "/missing/2": True,
        "/page": True,
        "/gone": True,
    }
    assert known[f"{server}/missing/1"].reason == "HTTP status 404"
    assert len(report.read_text().splitlines()) == 5


def test_closing_early_leaves_whole_files_and_a_report(server, tmp_path):
    addresses = [f"{server}/missing/{number}" for number in range(20)]
    addresses += [f"{server}/good/{number}" for number in range(300)]
    report = tmp_path / "skipped.csv"
    results = []
    with closing(download_images(addresses, tmp_path / "images", limits=LIMITS, report=report)) as downloads:
        for result in downloads:
            results.append(result)
            if len(results) == 60:
                break
    assert len(Handler.asked) < 320
    assert set(read_report(report)) == {result.url for result in results if result.path is None} != set()
    kept = found_images(tmp_path / "images")
    assert len(kept) == len(list((tmp_path / "images").iterdir())) > 0
    for path in kept.values():
        with Image.open(path) as image:
            image.load()


def write_table(path, server, *rows):
    lines = []
    for urls, annotation in rows:
        faces = [f"{server}/{url},0.75,1.0,0.0,0.5" for url in urls]
        lines.append(",".join([*faces, "ONE_CLASS_TRIPLET", "annotator", annotation]))
    path.write_text("\n".join(lines))
    return path


def test_the_command_fetches_crops_and_reports(server, tmp_path, capsys):
    table = write_table(
        tmp_path / "table.csv",
        server,
        (("good/1", "good/2", "jpeg/3"), "3"),
        (("good/1", "missing", "page"), "1"),
    )
    folder = tmp_path / "fec"
    arguments = [str(table), "--folder", str(folder), "--timeout", "5", "--processes", "1"]
    assert main(arguments) == 0
    output = capsys.readouterr().out
    assert "5 named, 3 fetched, 0 here before" in output and "dead links: 2, listed in" in output
    assert "faces: 3 of 5" in output
    faces, rows = load_fec_faces(read_fec(table), folder / "faces")
    assert faces.shape == (3, 48, 48) and faces.dtype == np.uint8
    assert rows.tolist() == [[0, 1, 2], [0, -1, -1]]
    assert faces[:2].min() > 200
    Handler.asked.clear()
    assert main(arguments) == 0
    assert Handler.asked == []
    assert "0 fetched, 3 here before" in capsys.readouterr().out


@pytest.mark.parametrize(("orientation", "white"), [(1, True), (2, False), (3, False), (6, False), (8, True)])
def test_boxes_mean_the_picture_as_a_viewer_shows_it(tmp_path, server, orientation, white):
    table = write_table(tmp_path / "table.csv", server, (("x",) * 3, "1"))
    triplets = read_fec(table)
    images = tmp_path / "images"
    images.mkdir()
    (images / f"{image_name(triplets.urls[0, 0])}.jpg").write_bytes(
        picture(kind="JPEG", orientation=orientation)
    )
    (crop,) = crop_faces(triplets, images, tmp_path / "faces", processes=1)
    assert (crop.faces, crop.reason) == (1, "")
    faces, _ = load_fec_faces(triplets, tmp_path / "faces")
    assert bool(faces[0].mean() > 127) is white


@pytest.mark.parametrize(
    "box", [(0.0, 1.0, 0.0, 1.0), (-0.2, 0.3, 0.4, 1.3), (0.99, 1.0, 0.0, 0.01), (0.4, 0.40001, 0.4, 0.40001)]
)
def test_boxes_at_the_border_stay_in_the_picture(box):
    image = Image.new("L", (200, 50), 77)
    assert (crop_face(image, box) == 77).all()


def test_faces_keep_their_proportions():
    image = Image.new("L", (400, 200))
    image.paste(255, (150, 50, 250, 150))
    face = crop_face(image, (100 / 400, 300 / 400, 50 / 200, 150 / 200))
    rows, columns = (face > 127).any(axis=1).sum(), (face > 127).any(axis=0).sum()
    assert rows == columns == 24


def test_a_picture_that_breaks_later_is_reported(tmp_path, server):
    triplets = read_fec(write_table(tmp_path / "table.csv", server, (("x",) * 3, "1")))
    images = tmp_path / "images"
    images.mkdir()
    (images / f"{image_name(triplets.urls[0, 0])}.jpg").write_bytes(b"no picture")
    (crop,) = crop_faces(triplets, images, tmp_path / "faces", processes=1)
    assert crop.faces == 0 and "UnidentifiedImageError" in crop.reason
    with pytest.raises(DataError, match="holds no face"):
        load_fec_faces(triplets, tmp_path / "faces")


def test_a_crop_of_another_size_is_refused(tmp_path, server):
    triplets = read_fec(write_table(tmp_path / "table.csv", server, (("x",) * 3, "1")))
    name = crop_name(triplets.urls[0, 0], tuple(triplets.boxes[0, 0].tolist()))
    Image.new("L", (10, 20)).save(tmp_path / f"{name}.png")
    with pytest.raises(DataError, match="10x20; 48x48 is required"):
        load_fec_faces(triplets, tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--threads", "0"], "--threads 0"),
        (["--size-limit", "-1"], "--size-limit"),
        (["--retries", "-1"], "0 or"),
    ],
)
def test_options_without_sense_are_refused(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        main([str(tmp_path / "table.csv"), *options])
