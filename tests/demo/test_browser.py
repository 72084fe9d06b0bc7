"""Each room used as a person would, in a real Chromium: wide and narrow, light and dark, by a fake camera."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from demo import app
from demo.library import Library
from tests.demo.running import running, write_camera, write_film
from tests.demo.test_visits import opened
from zoo.comparison import Comparer

CHROMIUM = shutil.which("chromium")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium (apt-get install chromium)"),
    pytest.mark.skipif(
        shutil.which("ffmpeg") is None,
        reason="there is no ffmpeg for the fake camera (apt-get install ffmpeg)",
    ),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

WIDE, PHONE = (1280, 900), (390, 780)
PATIENCE = 60_000  # milliseconds; a loaded machine is slow, not broken


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory, examples: dict[str, Path]) -> Path:
    return write_camera(tmp_path_factory.mktemp("camera") / "camera.mjpeg", examples["admiral"])


@pytest.fixture(scope="module")
def visit(address: str, camera: Path) -> Iterator[Callable]:
    """Opens the page as a new visitor; every visitor is gone after its `with`."""
    sync_api = pytest.importorskip("playwright.sync_api")
    common = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    common += [
        "--disable-background-networking",
        "--disable-component-update",
        "--use-fake-ui-for-media-stream",
    ]
    fake = ["--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={camera}"]
    other_name = "--host-resolver-rules=MAP plain.test 127.0.0.1"
    with sync_api.sync_playwright() as playwright:
        start = playwright.chromium.launch
        browser = start(executable_path=CHROMIUM, args=[*common, *fake, other_name])
        denying = start(
            executable_path=CHROMIUM, args=[flag for flag in common if "fake-ui" not in flag] + fake
        )

        @contextmanager
        def opened(
            size: tuple[int, int] = WIDE,
            theme: str = "light",
            *,
            denied: bool = False,
            url: str = address,
            locale: str = "en-US",
        ) -> Iterator:
            context = (denying if denied else browser).new_context(
                viewport={"width": size[0], "height": size[1]},
                color_scheme=theme,
                locale=locale,
                permissions=[] if denied else ["camera"],
            )
            context.set_default_timeout(PATIENCE)
            page = context.new_page()
            page.goto(f"{url}?__theme={theme}")
            page.get_by_role("heading", name="Expression Zoo").wait_for()
            yield page
            context.close()

        yield opened
        browser.close()
        denying.close()


def go_to(page, name: str) -> None:
    page.locator("#rooms button").first.wait_for()
    page.wait_for_timeout(300)  # which tabs fit is found out after the first layout
    tab = page.get_by_role("tab", name=name)
    if not (tab.count() and tab.first.is_visible()):
        page.locator(".overflow-menu > button").first.click()
        tab = page.locator(".overflow-dropdown button", has_text=name)
    tab.first.click()


def assert_fits(page) -> None:
    """Nothing makes the page wider than the window."""
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 1


LOOKS = pytest.mark.parametrize(
    ("size", "theme"), [(WIDE, "light"), (WIDE, "dark"), (PHONE, "light"), (PHONE, "dark")]
)


@LOOKS
def test_photo(visit: Callable, examples: dict[str, Path], size: tuple[int, int], theme: str) -> None:
    with visit(size, theme) as page:
        assert page.evaluate("document.body.classList.contains('dark')") == (theme == "dark")
        page.locator("#photo-in input[type=file]").set_input_files(examples["two people"])
        page.locator("#photo-words").get_by_text("2 faces, from left to right").wait_for()
        page.locator("#photo-out img").wait_for()
        page.locator("#photo-detail .answer").wait_for()
        first = page.locator("#photo-detail h3").inner_text(), page.locator("#photo-detail img").count()
        assert first[1] == 2 and page.locator("#photo-detail table.bars tr").count() == 7
        crop = page.locator("#photo-detail img").first.get_attribute("src")
        page.locator("#photo-face label").nth(1).click()
        page.wait_for_function(
            "old => document.querySelector('#photo-detail img')?.src !== old", arg=crop, timeout=PATIENCE
        )
        assert_fits(page)


# What the server is asked for is under way while the next presses come.
SLOW_ANSWERS = """() => {
    const ask = window.fetch;
    window.fetch = async (...request) => {
        if (String(request[0]).includes('queue/join')) await new Promise((done) => setTimeout(done, 1000));
        return ask(...request);
    };
}"""


# Which faces and networks the page has shown, kept: each may be there for a moment only.
KEEP_SHOWN = """() => {
    window.shown = [];
    const keep = () => {
        shown.push(document.querySelector('#photo-detail img')?.src);
        shown.push(document.querySelector('#models-card :is(h2, h3)')?.innerText);
    };
    new MutationObserver(keep).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""


def test_the_last_choice_is_shown_though_an_earlier_one_is_under_way(
    visit: Callable, examples: dict[str, Path]
) -> None:
    with visit() as page:
        page.locator("#photo-in input[type=file]").set_input_files(examples["two people"])
        page.locator("#photo-detail .answer").wait_for()
        crop = page.locator("#photo-detail img").first.get_attribute("src")
        page.evaluate(SLOW_ANSWERS)
        page.evaluate(KEEP_SHOWN)
        for face in (1, 0):
            page.locator("#photo-face label").nth(face).click()
        seen = "shown.some((src) => src && src !== old) && document.querySelector('#photo-detail img')?.src"
        page.wait_for_function(f"old => {seen} === old", arg=crop, timeout=PATIENCE)
        go_to(page, "Models")
        first = page.locator("#models-card h2, #models-card h3").first.inner_text()
        for name in ("smaller", first):
            page.locator("#models-network input").click()
            page.get_by_role("option", name=re.compile(f"^{name} ·")).click()
        seen = "shown.includes('smaller') && document.querySelector('#models-card :is(h2, h3)')?.innerText"
        page.wait_for_function(f"name => {seen} === name", arg=first, timeout=PATIENCE)


def test_what_was_chosen_stays_with_another_network(
    visit: Callable, examples: dict[str, Path], tmp_path: Path
) -> None:
    Image.new("RGB", (300, 200), "gray").save(tmp_path / "wall.png")
    with visit() as page:
        page.locator("#photo-in input[type=file]").set_input_files(examples["two people"])
        page.locator("#photo-face label").nth(1).click()
        page.wait_for_function("document.querySelector('#photo-detail img')?.src", timeout=PATIENCE)
        page.locator("#photo-face label.selected").nth(0).wait_for()
        for menu in ("network", "second"):
            page.locator(f"#photo-{menu} input").click()
            page.get_by_role("option", name=re.compile("^smaller ·")).click()
            page.locator("#photo-detail .network", has_text="smaller").first.wait_for()
            assert page.locator("#photo-face input").nth(1).is_checked()
        page.locator("#photo-in input[type=file]").set_input_files(tmp_path / "wall.png")
        page.get_by_role("button", name="Take the whole picture as the face").click()
        page.locator("#photo-detail .answer").wait_for()
        page.locator("#photo-network input").click()
        page.get_by_role("option", name=re.compile("^small ·")).click()
        page.locator("#photo-detail .network", has_text=re.compile("^small$")).wait_for()


def test_two_networks_side_by_side(visit: Callable) -> None:
    with visit() as page:
        page.locator("#photo-examples").get_by_text("astronaut").click()
        page.locator("#photo-detail .answer").wait_for()
        page.locator("#photo-second input").click()
        page.get_by_role("option", name=re.compile("^smaller ·")).click()
        page.locator("#photo-detail .answer").nth(1).wait_for()
        assert "smaller" in page.locator("#photo-detail .answer").nth(1).inner_text()


def test_no_face_offers_the_whole_picture(visit: Callable, tmp_path: Path) -> None:
    path = tmp_path / "wall.png"
    Image.new("RGB", (300, 200), "gray").save(path)
    with visit() as page:
        page.locator("#photo-in input[type=file]").set_input_files(path)
        page.locator("#photo-words").get_by_text("No face found").wait_for()
        page.get_by_role("button", name="Take the whole picture as the face").click()
        page.locator("#photo-detail .answer").wait_for()


def test_a_broken_file_gives_a_message(visit: Callable, tmp_path: Path, examples: dict[str, Path]) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(examples["astronaut"].read_bytes()[:4000])
    with visit() as page:
        page.locator("#photo-in input[type=file]").set_input_files(path)
        page.locator("#photo-words").get_by_text("broken.jpg: is damaged or cut short").wait_for()
        page.locator("#photo-examples").get_by_text("astronaut").click()
        page.locator("#photo-detail .answer").wait_for()


def test_a_refused_film_does_not_go_on_waiting(visit: Callable) -> None:
    with visit() as page:
        go_to(page, "Video and batch")
        for kind, words in (("film", "There is no film yet"), ("many", "There are no pictures yet")):
            page.locator(f"#{kind}-go").click()
            page.locator(f"#{kind}-out").get_by_text(words).wait_for()


@LOOKS
def test_webcam(visit: Callable, size: tuple[int, int], theme: str) -> None:
    with visit(size, theme) as page:
        go_to(page, "Webcam")
        page.locator("#live-start").click()
        page.locator("#live-boxes svg rect").wait_for(state="attached")
        page.locator("#live-panel .chart path").first.wait_for(state="attached")
        video = page.locator("#live-in video").bounding_box()
        box = page.locator("#live-boxes svg rect").bounding_box()
        # The portrait's face lies in the upper middle of the picture.
        assert abs((box["x"] + box["width"] / 2 - video["x"]) / video["width"] - 0.5) < 0.1
        assert abs((box["y"] + box["height"] / 2 - video["y"]) / video["height"] - 0.38) < 0.1
        page.locator("#live-stop").click()
        page.locator("#live-panel").get_by_text("The camera is off").wait_for()
        page.wait_for_timeout(1500)
        assert "The camera is off" in page.locator("#live-panel").inner_text()
        assert_fits(page)


KEEP_TRACKS = """() => {
    window.tracks = [];
    const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (constraints) => {
      const stream = await ask(constraints);
      window.tracks.push(...stream.getTracks());
      return stream;
    };
}"""


# What the page says of the camera and whether it shows the answers, kept: a quick camera is open before a
# slow machine has read it.
KEEP_STATES = """() => {
    window.states = [];
    const state = document.querySelector('#live-state');
    const panel = document.querySelector('#live-panel');
    const keep = () => window.states.push([state.innerText, getComputedStyle(panel).display]);
    new MutationObserver(keep).observe(state, {subtree: true, childList: true, attributes: true});
}"""


def camera_is_closed(page) -> bool:
    return page.evaluate("tracks.length > 0 && tracks.every((track) => track.readyState === 'ended')")


def test_the_camera_closes_and_opens_again(visit: Callable) -> None:
    """In German, as the words of Gradio's own button are translated."""
    with visit(locale="de-DE") as page:
        page.evaluate(KEEP_TRACKS)
        go_to(page, "Webcam")
        page.evaluate(KEEP_STATES)
        for _ in range(2):
            page.evaluate("states.length = 0")
            page.locator("#live-start").click()
            page.locator("#live-start").click()
            page.wait_for_function(
                "states.some(([words, panel]) => words.includes('Opening the camera') && panel === 'none')",
                timeout=PATIENCE,
            )
            page.locator("#live-boxes svg rect").wait_for(state="attached")
            page.locator("#live-panel .chart").wait_for()
            assert not camera_is_closed(page)
            page.locator("#live-stop").click()
            page.locator("#live-panel").get_by_text("The camera is off").wait_for()
            assert camera_is_closed(page)
        page.evaluate(SLOW_ANSWERS)
        for _ in range(2):
            page.locator("#live-start").click()
            page.locator("#live-stop").click()
        page.locator("#live-panel").get_by_text("The camera is off").wait_for()
        page.wait_for_timeout(2500)
        assert camera_is_closed(page)
        assert page.locator("#live-panel").is_visible()


def test_the_camera_closes_with_its_room(visit: Callable) -> None:
    with visit() as page:
        page.evaluate(KEEP_TRACKS)
        go_to(page, "Webcam")
        page.locator("#live-start").click()
        page.locator("#live-boxes svg rect").wait_for(state="attached")
        go_to(page, "Photo")
        page.wait_for_function("tracks.every((track) => track.readyState === 'ended')", timeout=PATIENCE)
        go_to(page, "Webcam")
        page.locator("#live-panel").get_by_text("The camera is off").wait_for()


def test_two_visitors_at_once(visit: Callable) -> None:
    with visit() as first, visit() as second:
        for page in (first, second):
            go_to(page, "Webcam")
            page.locator("#live-start").click()
        for page in (first, second):
            page.locator("#live-boxes svg rect").wait_for(state="attached")
        for page in (first, second):
            page.locator("#live-stop").click()
            page.locator("#live-panel").get_by_text("The camera is off").wait_for()


def test_who_waits_for_other_viewers_is_told(
    visit: Callable,
    library: Library,
    comparer: Comparer,
    examples: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(app, "_VIEWERS", 1)
    with opened(library, comparer, examples, **app.look_and_feel()) as site:
        url = site.address.removesuffix("gradio_api")
        with visit(url=url) as first, visit(url=url) as second:
            for page in (first, second):
                go_to(page, "Webcam")
            first.locator("#live-start").click()
            first.locator("#live-boxes svg rect").wait_for(state="attached")
            second.locator("#live-start").click()
            second.locator("#live-state").get_by_text("Others are before you").wait_for()
            assert not second.locator("#live-panel").is_visible()
            first.locator("#live-stop").click()
            second.locator("#live-boxes svg rect").wait_for(state="attached")
            second.locator("#live-state .message").wait_for(state="hidden")
            second.locator("#live-stop").click()
            second.locator("#live-panel").get_by_text("The camera is off").wait_for()


def test_a_camera_for_a_picture_closes_with_its_room(visit: Callable) -> None:
    with visit() as page:
        page.evaluate(KEEP_TRACKS)
        page.locator('#photo-in button[aria-label="Capture from camera"]').click()
        page.locator('#photo-in [title="grant webcam access"] button').click()
        page.wait_for_function("tracks.length > 0", timeout=PATIENCE)
        page.locator("#photo-in video").wait_for()
        go_to(page, "Models")
        page.wait_for_function("tracks.every((track) => track.readyState === 'ended')", timeout=PATIENCE)
        go_to(page, "Photo")
        assert page.locator("#photo-in input[type=file]").count()


def test_a_camera_that_is_refused_for_a_picture_is_explained(visit: Callable) -> None:
    with visit(denied=True) as page:
        page.locator('#photo-in button[aria-label="Capture from camera"]').click()
        page.locator('#photo-in [title="grant webcam access"] button').click()
        page.locator("#notice").get_by_text("This page may not use the camera.").wait_for()


def test_the_camera_stops_while_the_server_is_away(
    visit: Callable, library: Library, comparer: Comparer, examples: dict[str, Path]
) -> None:
    with contextlib.ExitStack() as served:
        site = served.enter_context(opened(library, comparer, examples, **app.look_and_feel()))
        with visit(url=site.address.removesuffix("gradio_api")) as page:
            page.evaluate(KEEP_TRACKS)
            go_to(page, "Webcam")
            page.locator("#live-start").click()
            page.locator("#live-boxes svg rect").wait_for(state="attached")
            served.close()
            page.wait_for_timeout(1000)
            page.locator("#live-stop").click()
            page.wait_for_function("tracks.every((track) => track.readyState === 'ended')", timeout=PATIENCE)


def test_a_denied_camera_is_explained(visit: Callable) -> None:
    with visit(denied=True) as page:
        go_to(page, "Webcam")
        page.locator("#live-start").click()
        page.get_by_text("This page may not use the camera.").wait_for()
        assert page.get_by_text("allow the camera by the icon").is_visible()


def test_a_plain_http_address_is_explained(visit: Callable, address: str) -> None:
    port = address.rstrip("/").rpartition(":")[2]
    with visit(url=f"http://plain.test:{port}/") as page:
        go_to(page, "Webcam")
        page.locator("#live-start").click()
        page.get_by_text("came over plain http").wait_for()


@LOOKS
def test_compare(visit: Callable, examples: dict[str, Path], size: tuple[int, int], theme: str) -> None:
    with visit(size, theme) as page:
        go_to(page, "Compare")
        for number, name in ((1, "astronaut"), (2, "drawn happy")):
            page.locator(f"#compare-{number} input[type=file]").set_input_files(examples[name])
            page.locator(f"#compare-{number} img").first.wait_for()
        page.get_by_role("button", name="Compare", exact=True).click()
        page.locator("#compare-out").get_by_text(
            re.compile("same expression|Different expressions")
        ).first.wait_for()
        assert page.locator("#compare-out figure").count() == 2
        page.locator("#compare-3 input[type=file]").set_input_files(examples["drawn angry"])
        page.locator("#compare-3 img").first.wait_for()
        page.locator("#compare-out").get_by_text("Press Compare").wait_for()  # the verdict was of two
        page.get_by_role("button", name="Compare", exact=True).click()
        page.locator("#compare-out figure").nth(2).wait_for()
        assert page.locator("#compare-out").get_by_text("odd one out").count() == 1
        assert_fits(page)


@LOOKS
def test_film_and_many_pictures(
    visit: Callable, film: Path, examples: dict[str, Path], size: tuple[int, int], theme: str
) -> None:
    with visit(size, theme) as page:
        go_to(page, "Video and batch")
        page.locator("#film-in input[type=file]").set_input_files(film)
        page.locator("#film-in video").wait_for(state="attached")
        page.locator("#film-go").click()
        page.locator("#film-out .chart").wait_for()
        with page.expect_download() as saved:
            page.locator("#film-out a.download").click()
        assert saved.value.path().read_text(encoding="utf-8-sig").startswith("seconds,face,")
        page.locator("#many-in input[type=file]").set_input_files(
            [examples["astronaut"], examples["admiral"]]
        )
        page.locator("#many-in").get_by_text("admiral").first.wait_for()
        page.locator("#many-go").click()
        page.locator("#many-out").get_by_text("2 faces in 2 pictures").wait_for()
        assert_fits(page)


def test_a_film_can_be_cancelled(visit: Callable, tmp_path: Path) -> None:
    path = write_film(tmp_path / "long.avi", seconds=280, rate=10)
    with visit() as page:
        go_to(page, "Video and batch")
        page.locator("#film-in input[type=file]").set_input_files(path)
        page.locator("#film-in video").wait_for(state="attached")
        page.locator("#film-go").click()
        page.locator("#film-out progress").wait_for()
        page.locator("#film-stop").click()
        page.locator("#film-out").get_by_text("Cancelled").wait_for()
        page.wait_for_timeout(1500)
        assert "Cancelled" in page.locator("#film-out").inner_text()
        for button in ("go", "stop", "go"):
            page.locator(f"#film-{button}").click()
            page.wait_for_timeout(300)  # as fast as a person clicks
        page.locator("#film-out progress").wait_for()
        page.wait_for_timeout(1500)
        assert "Working" in page.locator("#film-out").inner_text()
        page.locator("#film-go").click()  # once more, while it runs
        page.wait_for_timeout(1500)
        page.locator("#film-out progress").wait_for()
        page.locator("#film-stop").click()
        page.locator("#film-out").get_by_text("Cancelled").wait_for()


LEAST_CONTRAST = """(selector) => {
    const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const light = (colour) => {
      pen.clearRect(0, 0, 1, 1);
      pen.fillStyle = colour;
      pen.fillRect(0, 0, 1, 1);
      const [red, green, blue, seen] = pen.getImageData(0, 0, 1, 1).data;
      const linear = (value) => ((value / 255 + 0.055) / 1.055) ** 2.4;
      return seen ? 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue) : null;
    };
    const behind = (element) =>
      light(getComputedStyle(element).backgroundColor) ?? behind(element.parentElement);
    return Math.min(...[...document.querySelectorAll(selector)].map((element) => {
      const pair = [light(getComputedStyle(element).color), behind(element)];
      return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    }));
}"""


@LOOKS
def test_models(visit: Callable, size: tuple[int, int], theme: str) -> None:
    with visit(size, theme) as page:
        go_to(page, "Models")
        page.locator("#models-board .chart circle").first.wait_for()
        page.locator("#models-network input").click()
        page.get_by_role("option", name=re.compile("^smaller ·")).click()
        page.locator("#models-card").get_by_role("heading", name="smaller").wait_for()
        assert "Not for decisions about people" in page.locator("#models-card").inner_text()
        assert page.locator("#models-card table.confusion tbody tr").count() == 7
        assert page.evaluate(LEAST_CONTRAST, "#rooms [role=tab][aria-selected=true]") >= 4.5
        for share in (0, 0.4, 1):
            page.evaluate(
                "share => document.querySelectorAll('table.confusion tbody td')"
                ".forEach((cell) => cell.style.setProperty('--share', share))",
                share,
            )
            assert page.evaluate(LEAST_CONTRAST, "table.confusion tbody td") >= 4.5
        assert_fits(page)


def test_the_keyboard_reaches_everything(visit: Callable) -> None:
    with visit() as page:
        names = set()
        for _ in range(40):
            page.keyboard.press("Tab")
            names.add(
                page.evaluate(
                    "(document.activeElement.ariaLabel || document.activeElement.innerText || '').trim()"
                )
            )
        assert {"Photo", "astronaut", "Switch between light and dark"} <= names


def test_the_theme_is_turned_and_kept(visit: Callable) -> None:
    with visit() as page:
        page.get_by_role("button", name="Switch between light and dark").click()
        assert page.evaluate("document.body.classList.contains('dark')")
        page.goto(page.url.partition("?")[0])
        page.get_by_role("heading", name="Expression Zoo").wait_for()
        page.wait_for_function("document.body.classList.contains('dark')", timeout=PATIENCE)


def test_nothing_is_asked_of_other_hosts(visit: Callable, address: str) -> None:
    with visit() as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.reload()
        page.get_by_role("heading", name="Expression Zoo").wait_for()
        for name in ("Webcam", "Compare", "Video and batch", "Models"):
            go_to(page, name)
            page.wait_for_timeout(300)
        elsewhere = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
        assert asked and elsewhere == []


def test_https_keeps_the_page_whole(models: Path, tmp_path: Path) -> None:
    """A self-signed certificate: the options reach the server."""
    import ssl
    import urllib.request

    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    options = ["--models", str(models), "--ssl-certfile", str(certificate), "--ssl-keyfile", str(key)]
    with running(*options) as address:
        trust = ssl.create_default_context(cafile=str(certificate))
        with urllib.request.urlopen(f"{address}healthz", context=trust) as reply:
            assert address.startswith("https") and reply.status == 200
