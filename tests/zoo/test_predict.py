"""`python -m zoo.predict` answers for files and folders, and passes over what it can't read."""

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from tests.saved_models import train_small
from zoo.data.drawn import draw_faces
from zoo.errors import ConfigError, ImageError, WeightsError
from zoo.predict import Row, main, picture_files, predict_files
from zoo.predictor import Predictor

PORTRAIT = "a [red]portrait :smile:.jpg"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "small"
    train_small(folder, epochs=1)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a portrait, a pair, a picture without a face, a broken file and a text."""
    folder = tmp_path_factory.mktemp("pictures")
    astronaut = skimage.data.astronaut()
    Image.fromarray(astronaut).save(folder / PORTRAIT)
    (folder / "below").mkdir()
    Image.fromarray(np.hstack([astronaut, astronaut])).save(folder / "below" / "pair.PNG")
    Image.new("RGB", (200, 200), "gray").save(folder / "nobody.png")
    (folder / "broken.jpg").write_bytes((folder / PORTRAIT).read_bytes()[:3000])
    (folder / "notes.txt").write_text("not looked at")
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_csv(model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "answers.csv"
    assert main([str(model), str(pictures), "--csv", str(table)]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert "broken.jpg" in output.err and "1 of 4 files" in output.err and "notes.txt" not in output.err
    assert f"{table}: 3 faces in 3 pictures" in output.err
    rows = rows_of(table)
    found = [(Path(row["file"]).name, row["face"]) for row in rows]
    assert found == [(PORTRAIT, "1"), ("pair.PNG", "1"), ("pair.PNG", "2"), ("nobody.png", "0")]
    assert rows[3]["expression"] == "no face" and rows[3]["x"] == "" and rows[3]["probability"] == ""
    classes = Predictor.load(model).classes
    for row in rows[:3]:
        probabilities = [float(row[name]) for name in classes]
        assert sum(probabilities) == pytest.approx(1, abs=1e-3)
        assert row["expression"] == classes[int(np.argmax(probabilities))]
        assert float(row["probability"]) == max(probabilities)
    assert int(rows[2]["x"]) - int(rows[1]["x"]) == pytest.approx(512, abs=6)
    assert [path.name for path in tmp_path.iterdir()] == ["answers.csv"]


def test_progress_counts_pictures(
    model: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # as in a terminal
    assert main([str(model), str(pictures)]) == 1
    assert re.search(r"pictures .*4/4.* left .*0:00:00", capsys.readouterr().err)


def test_a_name_that_is_not_utf8_is_written_as_it_is(
    model: Path, pictures: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    file = os.fsdecode(bytes(tmp_path) + b"/caf\xe9.png")
    shutil.copy(pictures / "nobody.png", file)
    assert main([str(model), file, "--csv", str(tmp_path / "answers.csv")]) == 0
    assert b"/caf\xe9.png,0," in (tmp_path / "answers.csv").read_bytes()
    assert main([str(model), file]) == 0
    assert "/caf\N{REPLACEMENT CHARACTER}.png".encode() in capfdbinary.readouterr().out


def test_table(model: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(model), str(pictures / PORTRAIT), str(pictures / "nobody.png")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[0].split()[:2] == ["file", "face"]
    assert PORTRAIT in lines[1] and "no face" in lines[2]


def test_crops_are_taken_as_they_are(model: Path, tmp_path: Path) -> None:
    faces, _ = draw_faces(300, seed=1)
    files = []
    for number, face in enumerate(faces):
        files.append(tmp_path / f"{number:03}.png")
        Image.fromarray(face).save(files[-1])
    predictor = Predictor.load(model)
    rows = list(predict_files(predictor, files, cropped=True))
    assert all(isinstance(row, Row) for row in rows)
    answers = np.array([row.probabilities for row in rows if isinstance(row, Row)])
    np.testing.assert_allclose(answers, predictor.probabilities(faces), atol=1e-5)


def test_errors_come_in_their_place(model: Path, pictures: Path, tmp_path: Path) -> None:
    files = [pictures / "broken.jpg", pictures / "nobody.png", tmp_path / "absent.png"]
    first, second, third = predict_files(Predictor.load(model), files)
    assert isinstance(first, tuple) and isinstance(first[1], ImageError)
    assert second == Row(files[1], 0, None, ())
    assert isinstance(third, tuple) and "there is no such file" in str(third[1])


def test_folders_are_walked_in_order(pictures: Path) -> None:
    names = [path.name for path in picture_files([pictures / "nobody.png", pictures])]
    assert names == ["nobody.png", PORTRAIT, "pair.PNG", "broken.jpg", "nobody.png"]


def test_what_archivers_leave_in_folders_is_no_picture(tmp_path: Path) -> None:
    for name in ("a.png", "._a.png", "__MACOSX/._a.png", ".hidden/b.png", "c_d/e__f.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    named = tmp_path / ".hidden"
    assert list(picture_files([tmp_path])) == [tmp_path / "a.png", tmp_path / "c_d/e__f.png"]
    assert list(picture_files([named, tmp_path / "._a.png"])) == [named / "b.png", tmp_path / "._a.png"]


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (["no_such_model", "x.png"], WeightsError, "no_such_model"),
        (["MODEL", "EMPTY"], ConfigError, "there is no picture in it"),
        (["MODEL", "x.png", "--csv", "absent/answers.csv"], ConfigError, "required: a folder that exists"),
        (["MODEL", "x.png", "--csv", "."], ConfigError, "required: a file, which this folder isn't"),
    ],
)
def test_mistakes(
    arguments: list[str], error: type[Exception], said: str, model: Path, tmp_path: Path
) -> None:
    places = {"MODEL": str(model), "EMPTY": str(tmp_path)}
    with pytest.raises(error, match=said):
        main([places.get(argument, argument) for argument in arguments])


def test_an_old_csv_survives_a_failed_run(
    model: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "answers.csv"
    table.write_text("kept")

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Predictor, "probabilities", fail)
    with pytest.raises(KeyboardInterrupt):
        main([str(model), str(pictures / PORTRAIT), "--csv", str(table)])
    assert table.read_text() == "kept" and len(list(tmp_path.iterdir())) == 1


def test_help_is_quick_and_loads_no_torch() -> None:
    code = (
        "import sys\nfrom zoo.predict import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "sys.exit(bool({'torch', 'cv2', 'numpy', 'rich'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0 and "--cropped" in run.stdout
