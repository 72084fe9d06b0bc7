"""The running app answers programs: endpoints, health, limits, accounts; the command checks its options."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from demo.__main__ import main, read_accounts
from demo.library import Library
from demo.recognise import answers_to_json, open_picture, recognise
from tests.demo.running import running
from zoo.errors import ConfigError, WeightsError

# The client leaves its event loop and sockets to the collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def client(address: str) -> Client:
    return Client(address, verbose=False)


def test_recognise(client: Client, library: Library, examples: dict[str, Path]) -> None:
    path = examples["two people"]
    answer = client.predict(handle_file(path), "small", False, api_name="/recognise")
    expected = answers_to_json(recognise(open_picture(path), library.predictor("small")))
    assert answer == {"network": "small", "faces": expected} and len(expected) == 2
    whole = client.predict(handle_file(path), "", True, api_name="/recognise")
    assert whole["network"] == library.entries[library.default].card.name and len(whole["faces"]) == 1


def test_explain(client: Client, examples: dict[str, Path]) -> None:
    path = client.predict(handle_file(examples["astronaut"]), "small", 1, api_name="/explain")
    with Image.open(path) as image:
        assert image.size == (192, 192)
    with pytest.raises(AppError, match="face 7 is not there"):
        client.predict(handle_file(examples["astronaut"]), "small", 7, api_name="/explain")


def test_compare(client: Client, examples: dict[str, Path]) -> None:
    files = [handle_file(examples[name]) for name in ("astronaut", "admiral", "drawn angry")]
    two = client.predict(*files[:2], api_name="/compare")
    assert isinstance(two["same"], bool) and len(two["faces"]) == 2 and two["network"] == "pairs"
    assert client.predict(*files, api_name="/compare")["odd_one_out"] in (1, 2, 3)
    with pytest.raises(AppError, match="Choose a first and a second"):
        client.predict(files[0], None, None, api_name="/compare")


def test_film_and_batch(client: Client, film: Path, examples: dict[str, Path]) -> None:
    seen = client.predict(handle_file(film), "small", api_name="/film")
    assert seen["seconds"] == 4 and len(list(csv.reader(io.StringIO(seen["csv"])))) == 9
    files = [handle_file(examples[name]) for name in ("astronaut", "two people")]
    read = client.predict(files, "small", api_name="/batch")
    assert len(list(csv.reader(io.StringIO(read["csv"])))) == 4 and read["unreadable"] == []


def test_models(client: Client, library: Library) -> None:
    listed = client.predict(api_name="/models")
    assert {entry["name"] for entry in listed} == set(library.entries)


def test_only_the_named_endpoints_are_offered(client: Client) -> None:
    named = client.view_api(return_format="dict")["named_endpoints"]
    assert set(named) == {"/recognise", "/explain", "/compare", "/film", "/batch", "/models"}


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "is empty"), (b"<svg/>", "SVG"), (b"\xff\xd8\xff" + bytes(50), "damaged|no picture")],
)
def test_bad_files_are_refused_with_a_message(
    content: bytes, said: str, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "shot.png"
    path.write_bytes(content)
    with pytest.raises(AppError, match=said):
        client.predict(handle_file(path), "", False, api_name="/recognise")
    with pytest.raises(AppError, match="no picture yet"):
        client.predict(None, "", False, api_name="/recognise")
    with pytest.raises(AppError, match="network 'absent' is unknown; known are"):
        client.predict(None, "absent", False, api_name="/recognise")


ELSEWHERE = {"path": "http://127.0.0.1:9/face.png", "meta": {"_type": "gradio.FileData"}}


def test_addresses_are_not_fetched(client: Client) -> None:
    """Whichever input names one."""
    for values, name in (
        ((ELSEWHERE, "", False), "recognise"),
        ((None, ELSEWHERE, False), "recognise"),
        ((ELSEWHERE, ""), "film"),
        (([ELSEWHERE], ""), "batch"),
    ):
        with pytest.raises(AppError, match="not fetched here"):
            client.predict(*values, api_name=f"/{name}")


def test_visitors_get_their_own_answers(address: str, tmp_path: Path, library: Library) -> None:
    """Four clients at once, each with a picture of its own."""
    noise = np.random.default_rng(0)
    expected, wrong, paths = [], [], []
    for number in range(4):
        image = noise.integers(0, 256, (80, 80, 3), np.uint8)
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(image).save(paths[-1])
        expected.append(answers_to_json(recognise(image, library.predictor("small"), whole=True)))

    def visit(number: int) -> None:
        own = Client(address, verbose=False)
        for _ in range(4):
            answer = own.predict(handle_file(paths[number]), "small", True, api_name="/recognise")
            if answer["faces"] != expected[number]:
                wrong.append((number, answer))

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_health_and_page(address: str) -> None:
    with urllib.request.urlopen(f"{address}healthz") as reply:
        assert json.load(reply)["status"] == "ok"
    with urllib.request.urlopen(address) as reply:
        page = reply.read().decode()
    assert "Expression Zoo" in page
    for elsewhere in ("fonts.googleapis", "googletagmanager"):
        assert elsewhere not in page


def test_nothing_is_recorded(address: str) -> None:
    with urllib.request.urlopen(f"{address}config") as reply:
        config = json.load(reply)
    assert config["analytics_enabled"] is False and config["run_history"] is False
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(f"{address}monitoring/summary")
    refusal.value.close()


def test_an_upload_over_the_limit_is_refused(address: str, tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(bytes(21_000_000))
    with pytest.raises(Exception, match="413|exceeds|too large|size"):
        Client(address, verbose=False).predict(handle_file(path), "", False, api_name="/recognise")


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "no account"), ("# x\n\n", "no account"), ("anna\n", "line 1"), ("a:b\n:c\n", "line 2")],
)
def test_account_files_are_checked(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "accounts"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_accounts(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_accounts(tmp_path / "absent")


def test_an_account_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "accounts"
    path.write_text("# who may enter\nanna:s3:cret\n\nben:x\n")
    assert read_accounts(path) == [("anna", "s3:cret"), ("ben", "x")]


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (["--port", "70000"], ConfigError, "0 to 65535"),
        (["--max-file-size", "big"], ConfigError, "such as 20mb"),
        (["--mcp", "--auth-file", "/absent"], ConfigError, "no tool would work"),
        (["--ssl-certfile", "/absent"], ConfigError, "no such file"),
        (["--ssl-certfile", __file__, "--ssl-keyfile", "/absent"], ConfigError, "no such file"),
        (["--ssl-certfile", __file__], ConfigError, "both or none"),
        (["--ssl-keyfile", __file__], ConfigError, "both or none"),
        (["--ssl-certfile", __file__, "--ssl-keyfile", __file__], ConfigError, "cannot be used"),
        (["--models", "/absent"], WeightsError, "no such folder"),
        (["--comparison", "absent"], WeightsError, "'absent' is not a saved comparison model"),
    ],
)
def test_options_are_checked(arguments: list[str], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        main(arguments)


def test_a_chosen_comparison_model_must_be_usable(models: Path, unusable: Path) -> None:
    with pytest.raises(WeightsError, match="names no expressions"):
        main(["--models", str(models), "--comparison", str(unusable)])


def test_a_taken_port_is_said(address: str, models: Path) -> None:
    port = address.rstrip("/").rpartition(":")[2]
    command = [sys.executable, "-m", "demo", "--port", port, "--models", str(models)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 2 and "cannot be listened on" in run.stderr and "Traceback" not in run.stderr


def test_accounts_close_the_page(models: Path, tmp_path: Path) -> None:
    accounts = tmp_path / "accounts"
    accounts.write_text("anna:secret\n")
    with running("--models", str(models), "--auth-file", str(accounts)) as address:
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(f"{address}config")
        assert refusal.value.code == 401
        refusal.value.close()
        with urllib.request.urlopen(f"{address}healthz") as reply:
            assert reply.status == 200
        known = Client(address, verbose=False, auth=("anna", "secret"))
        assert known.predict(api_name="/models")


def test_tools_are_offered_on_request(models: Path) -> None:
    with running("--models", str(models), "--mcp") as address:
        with urllib.request.urlopen(f"{address}gradio_api/mcp/schema") as reply:
            tools = json.load(reply)
        names = {"recognise", "explain", "compare", "film", "batch", "models"}
        assert {tool["name"] for tool in tools} == names
        with pytest.raises(AppError) as refusal:
            Client(address, verbose=False).predict(ELSEWHERE, "", False, api_name="/recognise")
        assert "not fetched here" not in str(refusal.value)


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom demo.__main__ import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "sys.exit(bool({'torch', 'gradio', 'cv2', 'numpy'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0 and "--auth-file" in run.stdout


def test_one_file_alone_knows_gradio() -> None:
    for path in (Path(__file__).parents[2] / "demo").glob("*.py"):
        knows = "import gradio" in path.read_text(encoding="utf-8")
        assert knows == (path.name == "app.py"), path.name
