"""Files are written whole, or stay as they were; a full disk is told in one line."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.command import run_command
from zoo.errors import ConfigError
from zoo.models import WEIGHTS
from zoo.output import moved_into_place, whole_file

FULL = (errno.ENOSPC, errno.EDQUOT)


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands leave this process's signals alone."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)


def _small_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))


@pytest.mark.parametrize("number", FULL)
def test_an_error_of_writing_names_the_file(number: int, tmp_path: Path) -> None:
    path = tmp_path / "kept.txt"
    path.write_text("kept")
    with pytest.raises(OSError) as caught, moved_into_place(path) as temporary:
        temporary.write_text("cut")
        raise OSError(number, os.strerror(number))
    assert caught.value.filename == str(path)
    assert path.read_text() == "kept" and [*tmp_path.iterdir()] == [path]


def test_an_error_that_names_another_file_names_it_still(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, moved_into_place(tmp_path / "a"):
        (tmp_path / "absent").read_bytes()
    assert caught.value.filename == str(tmp_path / "absent")


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with whole_file(pipe) as file:
        file.write("ä")
    assert os.read(reader, 9) == "ä".encode() and pipe.is_fifo() and [*tmp_path.iterdir()] == [pipe]
    with pytest.raises(BrokenPipeError), whole_file(pipe) as file:
        os.close(reader)
        file.write("nobody reads")
        file.flush()


def test_the_standard_output_is_written_to(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from zoo.output import require_writable, whole_file\n"
        "path = Path(sys.argv[1]); require_writable(path)\n"
        "with whole_file(path, 'wb') as file: file.write(b'said')"
    )
    link = tmp_path / "link"
    link.symlink_to("/dev/stdout")
    done = subprocess.run([sys.executable, "-c", code, link], capture_output=True, text=True, check=True)
    assert done.stdout == "said" and link.is_symlink()


@pytest.mark.parametrize("before", ["before", None])
def test_a_link_stays_and_what_it_leads_to_is_written(before: str | None, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link, place = tmp_path / "link.csv", tmp_path / "elsewhere" / "place.csv"
    link.symlink_to(place)
    if before:
        place.write_text(before)
    with whole_file(link) as file:
        file.write("after")
    assert link.is_symlink() and place.read_text() == "after"
    assert [*place.parent.iterdir()] == [place]


def test_a_folder_is_no_file_to_write(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"), whole_file(tmp_path):
        pass


def test_weights_that_find_no_space_end_a_command_in_one_line(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; import torch; from zoo.command import run_command\n"
        "from zoo.models import write_weights\n"
        "run_command(lambda _: write_weights(Path(sys.argv[1]), {'a': torch.zeros(1000)}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=_small_files,
    )
    said = f"error: {tmp_path / WEIGHTS}: {os.strerror(errno.EFBIG)}\n"
    assert (done.returncode, done.stderr) == (2, said)
    assert not [*tmp_path.iterdir()]


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("number", FULL)
def test_a_full_disk_ends_a_command_in_one_line(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    def main(_: object) -> int:
        raise OSError(number, os.strerror(number))

    with pytest.raises(SystemExit) as ended:
        run_command(main)
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: the disk is full; required: some space\n"


@pytest.mark.usefixtures("signals")
def test_an_error_of_the_program_shows_its_traceback() -> None:
    def main(_: object) -> int:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    with pytest.raises(OSError, match="Bad file descriptor"):
        run_command(main)
