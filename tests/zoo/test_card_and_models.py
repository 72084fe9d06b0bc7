"""A saved model is read back bit for bit in another process, and refused when anything of it was altered."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.saved_models import train_small
from zoo import models
from zoo.card import Card, write_card
from zoo.data.drawn import draw_faces
from zoo.errors import WeightsError
from zoo.list import list_networks
from zoo.models import CARD, SHIPPED, WEIGHTS, available, cards_alone, load_model, resolve, save_model
from zoo.networks import config_from_json
from zoo.predictor import Predictor
from zoo.training.device import device_name
from zoo.training.options import choose_network


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "small"
    train_small(folder, epochs=1)
    return folder


@pytest.fixture
def model(saved: Path, tmp_path: Path) -> Path:
    """A copy that a test may alter."""
    return Path(shutil.copytree(saved, tmp_path / "small"))


def _altered(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    values = json.loads((folder / CARD).read_text())
    change(values)
    (folder / CARD).write_text(json.dumps(values))


def test_another_process_gets_the_same_bits(saved: Path, tmp_path: Path) -> None:
    faces, _ = draw_faces(20, seed=4)
    np.save(tmp_path / "faces.npy", faces)
    code = (
        "import sys, numpy as np; from zoo.predictor import Predictor; folder, here = sys.argv[1:]; "
        "predictor = Predictor.load(folder); faces = np.load(here + '/faces.npy'); "
        "np.save(here + '/logits.npy', predictor.logits(faces)); "
        "np.save(here + '/features.npy', predictor.features(faces))"
    )
    subprocess.run([sys.executable, "-c", code, str(saved), str(tmp_path)], check=True)
    predictor = Predictor.load(saved)
    assert np.array_equal(np.load(tmp_path / "logits.npy"), predictor.logits(faces))
    assert np.array_equal(np.load(tmp_path / "features.npy"), predictor.features(faces))


@pytest.mark.parametrize(
    "change",
    [
        lambda card: card["config"].update(widths=[8, 16, 33]),
        lambda card: card["config"].update(activation="gelu"),
        lambda card: card.update(classes=card["classes"][::-1]),
        lambda card: card.update(temperature=0.5),
        lambda card: card["metrics"]["PublicTest"].update(accuracy=0.99),
        lambda card: card.update(mean=[0.4]),
        lambda card: card.update(note="Another."),
        lambda card: card.update(card_sha256="0" * 64),
        lambda card: card.pop("card_sha256"),
    ],
    ids=["sizes", "activation", "labels", "temperature", "figure", "mean", "note", "digest", "no digest"],
)
def test_an_altered_card_is_refused(change: Callable[[dict[str, Any]], None], model: Path) -> None:
    _altered(model, change)
    with pytest.raises(
        WeightsError, match=f"{model / CARD}: the card was altered.*required: the card as saved"
    ):
        load_model(model)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a card"),
        ("{", "not a card"),
        ("[]", "not a card of format 1"),
        ("{}", "not a card of format 1"),
        ('{"format": 2}', "not a card of format 1"),
        ("\0\xff", "not a card"),
    ],
)
def test_what_is_no_card_is_refused(text: str, words: str, model: Path) -> None:
    (model / CARD).write_bytes(text.encode("latin-1"))
    with pytest.raises(WeightsError, match=f"{model / CARD}: {words}.*required"):
        load_model(model)


def test_a_missing_card_is_named(model: Path) -> None:
    (model / CARD).unlink()
    with pytest.raises(WeightsError, match="no card there; required"):
        load_model(model)


def test_a_card_with_other_fields_is_refused_even_with_a_right_digest(model: Path) -> None:
    card = Card.load(model / CARD)

    @dataclasses.dataclass(frozen=True)
    class _Newer(Card):
        extra: int = 3

    _Newer(**vars(card)).save(model / CARD)
    with pytest.raises(WeightsError, match="fields extra are missing or unknown"):
        load_model(model)


def test_a_value_of_a_wrong_type_is_refused_even_with_a_right_digest(model: Path) -> None:
    card: Any = Card.load(model / CARD)
    for field, value in (("temperature", "warm"), ("classes", 7), ("history", {})):
        dataclasses.replace(card, **{field: value}).save(model / CARD)
        with pytest.raises(WeightsError, match=f"{model / CARD}: {field} is .*; required: a value of type"):
            load_model(model)


def test_altered_weights_are_refused(model: Path) -> None:
    content = bytearray((model / WEIGHTS).read_bytes())
    content[-5] ^= 1
    (model / WEIGHTS).write_bytes(content)
    with pytest.raises(WeightsError, match=f"{model / WEIGHTS}: the weights were altered"):
        load_model(model)


def test_weights_of_another_network_are_refused(model: Path) -> None:
    weights = load_file(model / WEIGHTS)
    del weights["classifier.bias"]
    save_file(weights, model / WEIGHTS)
    digest = models.file_digest(model / WEIGHTS)
    dataclasses.replace(Card.load(model / CARD), weights_sha256=digest).save(model / CARD)
    with pytest.raises(WeightsError, match="don't fit the card's network.*classifier.bias"):
        load_model(model)


def test_a_card_from_before_a_field_was_added_is_read(model: Path) -> None:
    card = Card.load(model / CARD)
    earlier = {name: value for name, value in vars(card).items() if name != "device"}
    kind = dataclasses.make_dataclass("Earlier", earlier)
    write_card(kind(**earlier), model / CARD)
    assert "device" not in json.loads((model / CARD).read_text())
    assert Card.load(model / CARD) == dataclasses.replace(card, device="")


@pytest.mark.parametrize(
    ("device", "gpu"),
    [("", ""), ("1 thread of AMD EPYC", ""), ("16 threads of x86_64", ""), ("NVIDIA H100", "NVIDIA H100")],
)
def test_a_card_tells_a_gpu_from_a_cpu(model: Path, device: str, gpu: str) -> None:
    assert dataclasses.replace(Card.load(model / CARD), device=device).gpu == gpu


def test_the_device_at_hand_is_no_gpu_if_it_is_a_cpu(model: Path) -> None:
    name = device_name(torch.device("cpu"))
    assert dataclasses.replace(Card.load(model / CARD), device=name).gpu == ""


def test_missing_weights_are_named(model: Path) -> None:
    (model / WEIGHTS).unlink()
    with pytest.raises(WeightsError, match=f"{model / WEIGHTS}: no weights there"):
        load_model(model)


def test_saving_again_leaves_only_whole_files(model: Path) -> None:
    network, card = load_model(model)
    assert save_model(model, network, card) == card
    assert sorted(path.name for path in model.iterdir()) == [CARD, WEIGHTS]


def test_a_new_card_has_the_limits_of_its_data(saved: Path) -> None:
    card = Card.load(saved / CARD)
    assert card.limits.startswith("Trained on faces drawn by the program") and "FER2013" not in card.limits
    for name, said in (("fer2013.csv", "thirds of FER2013's labels"), ("my faces", "The labels of my faces")):
        made = dataclasses.replace(card, data={"name": name, "drawn": False}, limits="")
        assert said in made.limits and made.limits.endswith("Not for decisions about people.")
        assert dataclasses.replace(made, data=card.data).limits == made.limits


def test_a_card_is_the_same_after_reading(model: Path) -> None:
    card = Card.load(model / CARD)
    card.save(model / CARD)
    assert Card.load(model / CARD) == card
    assert isinstance(card.classes, tuple) and isinstance(card.mean, tuple)
    assert card.accuracy == card.metrics[card.validation]["accuracy"]


def test_names_are_found_in_their_places(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "SHIPPED", tmp_path / "shipped")
    monkeypatch.chdir(tmp_path)
    assert available() == {}
    shutil.copytree(model, tmp_path / "shipped" / "one")
    shutil.copytree(model, tmp_path / "models" / "one")
    shutil.copytree(model, tmp_path / "models" / "two")
    (tmp_path / "models" / "empty").mkdir()
    (tmp_path / "models" / "two.checkpoint").write_bytes(b"")
    assert available() == {"one": Path("models/one"), "two": Path("models/two")}
    assert available(tmp_path)["small"] == model
    assert resolve("two") == Path("models/two")
    assert resolve(str(model)) == model
    with pytest.raises(WeightsError, match="'three' is not a saved model; required: .* one of: one, two"):
        resolve("three")


def test_the_predictor_keeps_its_promises(saved: Path) -> None:
    predictor = Predictor.load(saved)
    faces, _ = draw_faces(70, seed=1)
    logits = predictor.logits(faces)
    assert logits.shape == (70, 7) and logits.dtype == np.float32
    np.testing.assert_allclose(predictor.logits(faces, batch_size=7), logits, atol=1e-4)
    probabilities = predictor.probabilities(faces)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    tempered = np.exp(logits / predictor.card.temperature)
    np.testing.assert_allclose(probabilities, tempered / tempered.sum(axis=1, keepdims=True), atol=1e-5)
    assert predictor.features(faces).shape == (70, 32)
    assert predictor.logits(faces[:0]).shape == predictor.logits(faces[:0], tta=True).shape == (0, 7)
    assert predictor.features(faces[:0]).shape == (0, 32)


def test_more_views_answer_alike_for_a_face_and_its_mirror_image(saved: Path) -> None:
    predictor = Predictor.load(saved)
    faces, _ = draw_faces(8, seed=2)
    straight, mirrored = (predictor.logits(view, tta=True) for view in (faces, faces[:, :, ::-1]))
    np.testing.assert_allclose(straight, mirrored, atol=1e-4)
    assert not np.allclose(straight, predictor.logits(faces), atol=1e-3)


def test_shipped_networks_are_sure_of_some_of_their_answers() -> None:
    for path in SHIPPED.glob(f"*/{CARD}"):
        assert 0.3 < Card.load(path).unsure_below < 0.7, path


def test_networks_that_do_not_ship_have_a_card_and_a_hint() -> None:
    cards = cards_alone()
    assert cards
    networks = list_networks()[0]
    for name, path in cards.items():
        card = Card.load(path)
        [own] = [network for network in networks if network["name"] == name]
        assert own["weights"] is None and own["ours"]["accuracy"] == card.accuracy
        assert choose_network(name)[:2] == (name, config_from_json(card.config))
        assert not (SHIPPED / name).exists()
        with pytest.raises(WeightsError, match=f"weights don't ship; python -m zoo.train {name} trains"):
            resolve(name)


def test_a_networks_name_is_not_its_models_once_it_is_trained_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    card = Card.load(cards_alone()["large"])
    (tmp_path / "models" / "large").mkdir(parents=True)
    dataclasses.replace(card, recipe={**card.recipe, "epochs": 2}).save(tmp_path / "models" / "large" / CARD)
    label, _, recipe = choose_network("large")
    assert label == "large" and recipe is not None and recipe.epochs == card.recipe["epochs"] != 2
