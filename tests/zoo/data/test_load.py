"""Where a data set comes from: the path, the environment, the usual file, or drawn faces."""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zoo.data
from tests.zoo.data.small_fer2013 import write_csv
from zoo.data.load import add_data_arguments, load_dataset
from zoo.errors import DataError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_path_before_environment_before_usual_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "data").mkdir()
    for count, name in enumerate(("data/fer2013.csv", "environment.csv", "given.csv"), start=1):
        write_csv(here / name, (count, 0, 0))
    assert len(load_dataset()) == 1
    monkeypatch.setenv("FER2013", str(here / "environment.csv"))
    assert len(load_dataset()) == 2
    assert len(load_dataset(here / "given.csv")) == 3


def test_drawn_faces_are_said_loudly(here: Path) -> None:
    dataset = load_dataset()
    assert dataset.drawn
    assert "DRAWN" in dataset.notes[0]
    assert "kaggle.com/datasets/msambare/fer2013" in dataset.notes[0]
    assert "challenges-in-representation-learning-facial-expression-recognition-challenge" in dataset.notes[0]


@pytest.mark.parametrize("name", ["fer2013.csv", "icml_face_data.csv"])
def test_folder_that_holds_kaggles_file(here: Path, name: str) -> None:
    write_csv(here / name, (4, 0, 0))
    assert load_dataset(here).name == name


def test_class_folders(here: Path) -> None:
    for name in ("happy", "sad"):
        (here / "set" / name).mkdir(parents=True)
        Image.new("L", (48, 48)).save(here / "set" / name / "1.png")
    assert load_dataset(here / "set").classes == ("happy", "sad")
    with pytest.raises(DataError, match="votes belong to the rows of FER2013's CSV.*required: --data"):
        load_dataset(here / "set", ferplus=here / "votes.csv")
    with pytest.raises(DataError, match="don't fit drawn faces; required: --data"):
        load_dataset(ferplus=here / "votes.csv")


def test_votes_are_joined(here: Path) -> None:
    write_csv(here / "fer2013.csv", (2, 0, 0))
    names = "neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    (here / "votes.csv").write_text(
        f"Usage,Image name,{names}\n" + "Training,a.png,5,5,0,0,0,0,0,0,0,0\n" * 2
    )
    dataset = load_dataset(here / "fer2013.csv", ferplus=here / "votes.csv")
    assert dataset.votes is not None
    assert np.allclose(dataset.votes, [0, 0, 0, 0.5, 0, 0, 0.5])


def test_missing_path_names_its_origin(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"none\.csv: no such file or folder; required"):
        load_dataset(here / "none.csv")
    monkeypatch.setenv("FER2013", "gone.csv")
    with pytest.raises(DataError, match=r"gone\.csv: .*\(from the environment variable FER2013\); required"):
        load_dataset()


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ([], (None, None, "official", 0)),
        (["--data", "a.csv", "--ferplus", "b.csv"], (Path("a.csv"), Path("b.csv"), "official", 0)),
        (["--split", "random", "--split-seed", "3"], (None, None, "random", 3)),
    ],
)
def test_arguments(arguments: list[str], expected: tuple[object, ...]) -> None:
    parser = argparse.ArgumentParser()
    add_data_arguments(parser)
    parsed = parser.parse_args(arguments)
    assert (parsed.data, parsed.ferplus, parsed.split, parsed.split_seed) == expected


def test_every_name_of_the_package_is_there() -> None:
    for name in zoo.data.__all__:
        assert getattr(zoo.data, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = zoo.data.nonsense


def test_arguments_import_nothing_heavy() -> None:
    program = (
        "import sys; from zoo.data import add_data_arguments\n"
        "heavy = {'numpy', 'pandas', 'PIL', 'sklearn', 'torch', 'cv2'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
