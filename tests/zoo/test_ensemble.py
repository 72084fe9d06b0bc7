"""An ensemble answers with its members' mean, is a model like any other, and knows its members' weights."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from demo.library import Library
from tests.zoo.training.tiny import CONFIG, RECIPE, tiny_dataset, tiny_split
from zoo.card import Card
from zoo.data.dataset import FaceDataset
from zoo.data.load import DATA_VARIABLE
from zoo.ensemble import choose_members, load_members, make_ensemble
from zoo.errors import ConfigError, WeightsError
from zoo.evaluate import evaluate_models
from zoo.export_onnx import export_onnx
from zoo.list import list_networks
from zoo.models import CARD, load_model
from zoo.networks.ensemble import EnsembleConfig
from zoo.predictor import Predictor
from zoo.training.options import choose_network
from zoo.training.session import train_and_save
from zoo.training.teacher import Teacher

DATASET = tiny_dataset()
SPLIT = tiny_split(DATASET)
CPU = torch.device("cpu")
FACES = DATASET.faces[SPLIT.validation]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models/first, models/second (of other channels), and models/both, their ensemble."""
    place = tmp_path_factory.mktemp("work")
    for name, channels, seed in (("first", ("gray",), 1), ("second", ("sobel", "gray"), 2)):
        config, recipe = replace(CONFIG, channels=channels), replace(RECIPE, epochs=2, seed=seed)
        train_and_save(config, recipe, DATASET, SPLIT, place / "models" / name, device=CPU)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        _made(["first", "models/second"], Path("models/both"), flip=True)
    return place


def _made(models: list[str], folder: Path, dataset: FaceDataset = DATASET, *, flip: bool = False) -> Card:
    return make_ensemble(load_members(models, folder), dataset, folder, flip=flip)


@pytest.fixture
def place(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that a test may alter, and the current folder."""
    copy = Path(shutil.copytree(trained, tmp_path / "work"))
    monkeypatch.chdir(copy)
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    return copy


def test_progress_ends_with_all_faces(place: Path) -> None:
    told: list[tuple[int, int]] = []

    def on_faces(done: int, total: int) -> None:
        told.append((done, total))

    predictors = [Predictor.load(name) for name in ("first", "second")]
    evaluate_models(predictors, DATASET, SPLIT.validation, tta=True, on_faces=on_faces)
    assert told[-1] == (2 * 10 * len(FACES),) * 2
    members = load_members(["first", "second"], Path("models/new"))
    choose_members(members, DATASET, most=2, flip=True, on_faces=on_faces)
    assert told[-1] == (2 * 2 * len(FACES),) * 2
    make_ensemble(members, DATASET, Path("models/new"), flip=True, on_faces=on_faces)
    assert told[-1] == (sum(len(rows) for rows in (SPLIT.train, SPLIT.validation, SPLIT.test)),) * 2


def test_it_answers_with_the_mean_probability(place: Path) -> None:
    members = [Predictor.load(name) for name in ("first", "second")]
    mirrored = np.ascontiguousarray(FACES[:, :, ::-1])
    mean = np.mean([m.probabilities(view) for m in members for view in (FACES, mirrored)], axis=0)
    both = Predictor.load("both")
    answers = both.logits(FACES)
    np.testing.assert_allclose(np.exp(answers), mean, atol=1e-5)
    np.testing.assert_allclose(both.logits(mirrored), answers, atol=1e-4)
    said = "model 'both' is an ensemble, which has no features; required: one network, such as first, second"
    with pytest.raises(ConfigError, match=said):
        both.features(FACES)


def test_its_card_says_what_it_is(place: Path) -> None:
    card = Card.load(place / "models/both" / CARD)
    first, second = (Card.load(place / "models" / name / CARD) for name in ("first", "second"))
    assert card.config["members"] == ["first", "second"] and card.config["flip"] is True
    assert card.parameters == first.parameters + second.parameters
    assert card.macs == 2 * (first.macs + second.macs)
    assert set(card.metrics) == {"Training", "PublicTest", "PrivateTest"}
    right = Predictor.load("both").logits(FACES).argmax(1) == DATASET.labels[SPLIT.validation]
    assert card.accuracy == pytest.approx(right.mean())
    found = {path.name for path in (place / "models/both").iterdir()}
    assert found == {CARD, "confusion.png", "reliability.png", "per_class.csv"}


def test_it_is_a_model_like_any_other(place: Path) -> None:
    listed = {network["name"]: network for network in list_networks()[0]}
    assert listed["both"]["training_pflop"] is None and listed["both"]["ours"]["part"] == "PublicTest"
    teacher = Teacher("both", DATASET, SPLIT, device=CPU, precision=torch.float32)
    taught = teacher.probabilities(torch.from_numpy(FACES).float(), 0)
    np.testing.assert_allclose(taught, Predictor.load("both").probabilities(FACES), atol=1e-5)
    library = Library.open()
    entry = library.entries["both"]
    assert library.default != "both" and entry.predictor.probabilities(FACES[:1]).shape == (1, 3)
    assert export_onnx(Predictor.load("both"), place / "both.onnx") < 1e-4


def test_it_moves_with_its_members(place: Path) -> None:
    (place / "models").rename(place / "elsewhere")
    answers = Predictor.load(place / "elsewhere/both").logits(FACES)
    assert answers.shape == (len(FACES), 3)
    shutil.rmtree(place / "elsewhere/second")
    with pytest.raises(WeightsError, match="'second' is not a saved model"):
        load_model(place / "elsewhere/both")


def test_members_that_were_trained_again_are_refused(place: Path) -> None:
    shutil.rmtree(place / "models/second")
    shutil.copytree(place / "models/first", place / "models/second")
    with pytest.raises(
        WeightsError, match="second: these are other weights than those that .*both is made of"
    ):
        load_model(place / "models/both")


def test_it_cannot_be_trained(place: Path) -> None:
    with pytest.raises(ConfigError, match="'both' is an ensemble, which isn't trained.*first, second"):
        choose_network("both")


@pytest.mark.parametrize(
    ("members", "flip", "error", "words"),
    [
        (["first"], False, ConfigError, "at least 2, or 1 with flip"),
        (["first", "models/first"], False, ConfigError, "each model once"),
        (["first", "third"], False, WeightsError, "'third' is not a saved model"),
    ],
)
def test_bad_members_are_named(
    members: list[str], flip: bool, error: type[Exception], words: str, place: Path
) -> None:
    with pytest.raises(error, match=words):
        _made(members, place / "models/other", flip=flip)
    assert not (place / "models/other").exists()


def test_members_whose_names_find_others_are_refused(place: Path) -> None:
    with pytest.raises(ConfigError, match="members are first, second; required: .* none called first"):
        _made(["first", "second"], place / "elsewhere/first")
    shutil.copytree(place / "models/first", place / "elsewhere/second")
    with pytest.raises(WeightsError, match="second: these are other weights"):
        _made(["first", "elsewhere/second"], place / "models/other")


def test_members_of_other_faces_are_refused(place: Path) -> None:
    with pytest.raises(ConfigError, match="first was trained on tiny stripes .*required: tiny stripes"):
        _made(["first", "second"], place / "models/other", tiny_dataset(seed=5))


def test_configs_of_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="digests.*required: 2, one a member"):
        EnsembleConfig(members=("a", "b"), digests=("0",))
