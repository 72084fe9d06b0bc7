"""What a comparison promises: order, mirror and identity, over real crops; saved models and the command."""

import itertools
import json
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from zoo.card import Card
from zoo.comparison import Comparer, compare_faces
from zoo.comparison_model import (
    COMPARISON_CARD,
    DEFAULT_COMPARISON,
    ComparisonCard,
    available_comparisons,
    load_comparison,
    resolve_comparison,
    save_comparison,
)
from zoo.data.drawn import draw_faces
from zoo.data.emotions import EMOTIONS
from zoo.errors import ConfigError, ImageError, WeightsError
from zoo.faces import crop_face, find_faces
from zoo.models import CARD, SHIPPED, WEIGHTS
from zoo.networks.comparison import EmbeddingConfig
from zoo.networks.parametric import ParametricConfig
from zoo.networks.siamese import SIAMESE
from zoo.pictures import read_image

SHIPPED_FOLDER = SHIPPED / DEFAULT_COMPARISON


def make_card(config, classes=EMOTIONS):
    return ComparisonCard(
        name="made",
        config=config.to_json(),
        classes=classes,
        mean=(0.5,),
        std=(0.25,),
        slope=1.3,
        offset=-0.2,
        temperature=1.1,
        odd_scale=2.5,
        metrics={},
        parameters=1,
        macs=1,
        data={},
        objective={},
        recipe={},
        history=[],
        epoch=1,
        seconds=0.0,
        versions={},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An untrained comparison model, as saved."""
    torch.manual_seed(0)
    config = EmbeddingConfig(ParametricConfig(widths=(8, 16, 32), repeats=(1, 1, 1)), size=16, hidden=24)
    place = tmp_path_factory.mktemp("models") / "made"
    save_comparison(place, config.build(), make_card(config))
    return place


@pytest.fixture(scope="module", params=["untrained", "shipped"])
def comparer(request, folder):
    if request.param == "untrained":
        return Comparer.load(folder)
    return Comparer.load()


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    """Two portraits and six drawn faces, uint8 (8, 48, 48)."""
    from matplotlib import cbook

    with cbook.get_sample_data("grace_hopper.jpg") as file:
        hopper = read_image(file.read())
    portraits = [crop_face(image, find_faces(image)[0]) for image in (hopper, data.astronaut())]
    return np.stack([*portraits, *draw_faces(6, seed=3)[0]])


def test_the_order_of_two_faces_changes_nothing(comparer, crops):
    for one, other in itertools.combinations(range(len(crops)), 2):
        ahead, back = comparer.compare(crops[[one, other]]), comparer.compare(crops[[other, one]])
        assert (ahead.same, ahead.probability) == (back.same, back.probability)
        assert np.array_equal(ahead.distances, back.distances)
        assert ahead.expressions == back.expressions[::-1]
        assert np.array_equal(ahead.probabilities, back.probabilities[::-1])


@pytest.mark.parametrize("final_softmax", [False, True])
def test_the_expressions_are_those_of_the_backbone(final_softmax):
    backbone = ParametricConfig(widths=(8, 16), repeats=(1, 1), final_softmax=final_softmax)
    network = EmbeddingConfig(backbone).build().eval()
    images = torch.rand(4, 1, 48, 48)
    with torch.inference_mode():
        answers = network.classify(network.features(images))
        torch.testing.assert_close(answers, network.backbone(images))


def test_no_pair_is_more_alike_than_a_face_and_itself(comparer, crops):
    itself = [comparer.compare(crops[[place, place]]) for place in range(len(crops))]
    assert {result.probability for result in itself} == {itself[0].probability}
    assert all(result.same for result in itself) or comparer.card.name == "made"
    assert all((result.distances == 0).all() for result in itself)
    for one, other in itertools.combinations(range(len(crops)), 2):
        result = comparer.compare(crops[[one, other]])
        assert result.probability < itself[0].probability
        assert result.distances[0, 1] > 0


def test_a_mirrored_face_is_the_same_face(comparer, crops):
    for one, other in itertools.permutations(range(len(crops)), 2):
        plain = comparer.compare(crops[[one, other]])
        mirrored = comparer.compare(np.stack([crops[one][:, ::-1], crops[other]]))
        assert mirrored.probability == plain.probability
        assert np.array_equal(mirrored.probabilities, plain.probabilities)
    against = comparer.compare(np.stack([crops[0], crops[0][:, ::-1]]))
    assert against.distances[0, 1] == 0
    assert against.probability == comparer.compare(crops[[0, 0]]).probability


def test_three_faces_give_the_odd_one_whatever_their_order(comparer, crops):
    for chosen in ((0, 1, 2), (3, 4, 5), (1, 5, 7)):
        plain = comparer.compare(crops[list(chosen)])
        assert plain.same is None and plain.odd_one_out in (0, 1, 2)
        assert plain.odd_one_out == int(np.argmax(plain.odd_probabilities))
        assert sum(plain.odd_probabilities) == pytest.approx(1)
        rest = [place for place in range(3) if place != plain.odd_one_out]
        assert plain.distances[rest[0], rest[1]] == plain.distances[~np.eye(3, dtype=bool)].min()
        for order in itertools.permutations(range(3)):
            other = comparer.compare(crops[[chosen[place] for place in order]])
            assert order[other.odd_one_out] == plain.odd_one_out
            assert other.probability == plain.probability


def test_of_a_face_twice_and_another_the_other_is_odd(comparer, crops):
    result = comparer.compare(crops[[0, 4, 0]])
    assert result.odd_one_out == 1
    assert result.odd_probabilities[0] == pytest.approx(result.odd_probabilities[2])


def test_three_times_one_face_has_no_odd_one(comparer, crops):
    result = comparer.compare(crops[[2, 2, 2]])
    assert result.odd_one_out is None
    assert result.odd_probabilities == pytest.approx((1 / 3,) * 3)
    assert result.same is (result.probability >= 0.5)


def test_a_result_is_plain_and_in_range(comparer, crops):
    result = comparer.compare(crops[:3])
    assert result.probabilities.shape == (3, len(EMOTIONS))
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, rtol=1e-5)
    assert result.distances.shape == (3, 3)
    assert np.array_equal(result.distances, result.distances.T)
    assert (result.distances.diagonal() == 0).all() and result.distances.max() <= 2
    assert all(name in EMOTIONS for name in result.expressions)
    assert 0 < result.probability < 1


@pytest.mark.parametrize(
    "faces",
    [
        np.zeros((1, 48, 48), np.uint8),
        np.zeros((4, 48, 48), np.uint8),
        np.zeros((2, 48, 48), np.float32),
        np.zeros((2, 47, 48), np.uint8),
        np.zeros((2, 48, 48, 1), np.uint8),
    ],
)
def test_anything_but_two_or_three_faces_is_refused(folder, faces):
    with pytest.raises(ConfigError, match="required: uint8"):
        Comparer.load(folder).compare(faces)


def test_the_one_function_of_the_app(folder, crops):
    one, other = compare_faces(crops[:2], model=folder), Comparer.load(folder).compare(crops[:2])
    assert one.probability == other.probability


def test_a_saved_model_comes_back_as_it_was(folder):
    network, card = load_comparison(folder)
    assert card.config["size"] == 16 and card.classes == EMOTIONS
    again = folder.parent / "again"
    saved = save_comparison(again, network, card)
    assert asdict(replace(saved, weights_sha256="")) == asdict(replace(card, weights_sha256=""))
    faces = torch.rand(2, 1, 48, 48)
    with torch.inference_mode():
        assert torch.equal(load_comparison(again)[0](faces, faces.flip(0)), network(faces, faces.flip(0)))


def test_models_are_found_by_name(folder):
    assert available_comparisons(folder.parent)["made"] == folder
    assert resolve_comparison("made", extra=folder.parent) == folder
    with pytest.raises(WeightsError, match="'nothing' is not a saved comparison model.*made"):
        resolve_comparison("nothing", extra=folder.parent)


def test_ones_own_model_comes_before_the_shipped_one_of_its_name(folder, tmp_path):
    assert resolve_comparison() == SHIPPED / "best-compare"
    shutil.copytree(folder, tmp_path / "best-compare")
    assert resolve_comparison(extra=tmp_path) == tmp_path / "best-compare"
    with pytest.raises(WeightsError, match="--models nowhere: there is no such folder"):
        available_comparisons(Path("nowhere"))


def test_what_was_altered_or_is_missing_is_named(folder, tmp_path):
    network, card = load_comparison(folder)
    place = tmp_path / "altered"
    save_comparison(place, network, card)
    weights = bytearray((place / WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (place / WEIGHTS).write_bytes(weights)
    with pytest.raises(WeightsError, match="altered"):
        load_comparison(place)
    (place / WEIGHTS).unlink()
    with pytest.raises(WeightsError, match="no weights there"):
        load_comparison(place)
    for text, words in (("{}", "format"), ("no json", "not a card"), ('{"format": 1}', "altered")):
        (place / COMPARISON_CARD).write_text(text)
        with pytest.raises(WeightsError, match=words):
            load_comparison(place)
    with pytest.raises(WeightsError, match="no card there"):
        load_comparison(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"slope": 9.0}, {"mean": [0.4]}, {"note": "Another."}, {"card_sha256": "0" * 64}, {"extra": 1}],
    ids=["slope", "mean", "note", "digest", "field"],
)
def test_an_altered_card_is_refused(folder, tmp_path, change):
    place = shutil.copytree(folder, tmp_path / "altered")
    values = json.loads((place / COMPARISON_CARD).read_text())
    (place / COMPARISON_CARD).write_text(json.dumps({**values, **change}))
    with pytest.raises(WeightsError, match=f"{place / COMPARISON_CARD}: the card was altered"):
        Comparer.load(place)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("slope", "steep", "slope is 'steep'; required: a value of type float"),
        ("classes", 7, "classes is 7; required: a value of type tuple"),
        ("mean", ["0.5"], "mean is"),
        ("odd_scale", [1.0], "odd_scale is"),
        ("metrics", [], "metrics is"),
        ("epoch", True, "epoch is True"),
        ("config", {"family": "embedding", "backbone": 3, "size": 8, "hidden": 0}, "don't fit"),
        ("config", {"family": ["embedding"]}, "don't fit"),
        ("config", {**SIAMESE["siamese_resnet18"].to_json(), "hidden": 2.5}, "don't fit"),
    ],
)
def test_values_of_wrong_types_are_refused_even_with_a_right_digest(folder, tmp_path, field, value, words):
    place = shutil.copytree(folder, tmp_path / "typed")
    replace(load_comparison(folder)[1], **{field: value}).save(place / COMPARISON_CARD)
    with pytest.raises(WeightsError, match=words):
        load_comparison(place)


def test_the_shipped_model_has_the_temperature_of_its_frozen_backbone():
    network, card = load_comparison(SHIPPED_FOLDER)
    assert card.backbone is not None
    backbone = Card.load(SHIPPED / card.backbone["name"] / CARD)
    assert card.objective["frozen"] and card.data["held_out_seen_by_backbone"]
    assert card.temperature == backbone.temperature == pytest.approx(float(network.temperature))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"name": "fer2013.csv", "votes": True}, "Trained on FER2013 labels and FER+ votes, which say"),
        ({"name": "icml_face_data.csv", "votes": False}, "Trained on FER2013 labels, which say"),
        ({"name": "drawn faces", "drawn": True}, "Trained on faces drawn by the program: how well"),
        ({"name": "my faces"}, "Trained on the labels of my faces, which say"),
        (
            {"name": "fec.csv", "split": {"kind": "triplets"}},
            "Trained on annotators' judgements of the triplets of fec.csv, which say",
        ),
    ],
)
def test_a_card_says_what_its_model_was_trained_on(data, said):
    config = EmbeddingConfig(ParametricConfig(widths=(8,), repeats=(1,)))
    card = replace(make_card(config), data=data, limits="")
    assert card.limits.startswith(said) and card.limits.endswith("Not for decisions about people.")
    assert replace(card, data={}).limits == card.limits


def test_weights_of_another_network_are_refused(folder, tmp_path):
    network, card = load_comparison(folder)
    save_comparison(tmp_path / "other", network, replace(card, config={**card.config, "size": 8}))
    with pytest.raises(WeightsError, match="don't fit"):
        load_comparison(tmp_path / "other")


def test_a_network_that_names_no_expressions_cannot_compare_for_the_app(tmp_path):
    config = replace(SIAMESE["siamese_mobilenet_v3"], pixels=32)
    save_comparison(tmp_path / "siamese", config.build(), make_card(config, classes=()))
    with pytest.raises(WeightsError, match="names no expressions"):
        Comparer.load(tmp_path / "siamese")


def test_the_shipped_model_is_small_enough():
    assert sum(path.stat().st_size for path in SHIPPED_FOLDER.iterdir()) <= 10 * 2**20


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, crops):
    place = tmp_path_factory.mktemp("pictures")
    for number, crop in enumerate(crops[:4]):
        Image.fromarray(crop).save(place / f"{number}.png")
    return [str(place / f"{number}.png") for number in range(4)]


@pytest.mark.parametrize(("count", "words"), [(2, "expression"), (3, "odd one out: ")])
def test_the_command_speaks(folder, pictures, capsys, count, words):
    from zoo.compare import main

    assert main([*pictures[:count], "--cropped", "--model", str(folder)]) == 0
    output = capsys.readouterr().out
    assert words in output
    assert all(picture in output for picture in pictures[:count])


def test_the_command_prints_json(folder, pictures, capsys, crops):
    from zoo.compare import main

    assert (
        main([*pictures[:3], "--cropped", "--json", "--model", "made", "--models", str(folder.parent)]) == 0
    )
    values = json.loads(capsys.readouterr().out)
    expected = Comparer.load(folder).compare(crops[:3])
    assert values["odd_one_out"] == pictures[expected.odd_one_out]
    assert values["probability_same"] == pytest.approx(expected.probability)
    assert [face["expression"] for face in values["faces"]] == list(expected.expressions)


def test_the_command_finds_faces_in_pictures(folder, tmp_path, capsys):
    from zoo.compare import main

    Image.fromarray(data.astronaut()).save(tmp_path / "astronaut.png")
    Image.new("L", (60, 60), 90).save(tmp_path / "empty.png")
    files = [str(tmp_path / name) for name in ("astronaut.png", "astronaut.png", "empty.png")]
    assert main([*files[:2], "--model", str(folder)]) == 0
    output = capsys.readouterr()
    assert "astronaut.png: 0.000" in output.out and output.err == ""
    assert main([*files[1:], "--model", str(folder)]) == 0
    assert "no face found" in capsys.readouterr().err.replace("\n", " ")
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(ImageError, match=re.escape(f"{tmp_path / 'empty.png'}: is empty")):
        main([*files[1:], "--model", str(folder)])


@pytest.mark.parametrize("count", [1, 4])
def test_the_command_wants_two_or_three_pictures(pictures, count):
    from zoo.compare import main

    with pytest.raises(ConfigError, match="two or three"):
        main(pictures[:count])
