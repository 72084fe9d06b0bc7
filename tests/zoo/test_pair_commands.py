"""The commands that train and measure comparison networks, from data on disk to figures and pictures."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.saved_models import train_small
from tests.zoo.data.small_fer2013 import write_csv
from zoo.card import Card
from zoo.comparison import Comparer
from zoo.comparison_model import ComparisonCard, load_comparison
from zoo.data.cache import CACHE_VARIABLE
from zoo.data.dataset import FaceDataset
from zoo.data.emotions import EMOTIONS
from zoo.data.fec import read_fec
from zoo.data.load import load_dataset
from zoo.data.split import make_split
from zoo.errors import ConfigError, DataError, DeviceError, WeightsError
from zoo.evaluate_pairs import main as evaluate
from zoo.models import CARD, WEIGHTS, load_model
from zoo.train_pairs import _seen
from zoo.train_pairs import main as train
from zoo.training.pair_fit import HeldOut
from zoo.training.pairs import PairTrainer

FERPLUS = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
FERPLUS_ORDER = (4, 5, 6, 1, 3, 2, 0)
"""Where the votes for each label of FER2013 stand."""
TINY = {"family": "parametric", "widths": [4, 8], "repeats": [1, 1]}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with 210 + 70 random faces, their votes, and a network config."""
    folder = tmp_path_factory.mktemp("pairs")
    write_csv(folder / "fer2013.csv", (210, 70, 0))
    random = np.random.RandomState(0)
    rows = [FERPLUS]
    for number in range(280):
        leaning = np.full(7, 0.4 / 7)
        leaning[FERPLUS_ORDER[number % 7]] += 0.6
        votes = random.multinomial(10, leaning)
        usage = "Training" if number < 210 else "PublicTest"
        rows.append(f"{usage},fer{number:07d}.png,{','.join(map(str, votes))},0,0,0")
    (folder / "votes.csv").write_text("\n".join(rows) + "\n")
    (folder / "tiny.json").write_text(json.dumps(TINY))
    return folder


@pytest.fixture(autouse=True)
def one_thread_and_its_own_cache(place, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(place / "cache"))
    monkeypatch.chdir(place)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


DATA = ["--data", "fer2013.csv"]
VOTES = [*DATA, "--ferplus", "votes.csv"]
SHORT = ["--epochs", "1", "--size", "8", "--hidden", "0", "--set", "batch_size=32"]


@pytest.fixture(scope="module")
def trained(place):
    """Trained once, with votes, by the command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv(CACHE_VARIABLE, str(place / "cache"))
        assert (
            train(["--backbone", "tiny.json", *VOTES, *SHORT, "--out", "models/one", "--held-out", "0.3"])
            == 0
        )
    return place / "models" / "one"


@pytest.fixture(scope="module")
def backbone(trained):
    folder = trained.parent / "backbone"
    train_small(folder, widths=(4, 8), epochs=1)
    return folder


def test_training_leaves_a_model_that_compares(trained):
    network, card = load_comparison(trained)
    assert card.objective["loss"] == "triplet" and card.data["votes"] and len(card.history) == 1
    assert card.data["rows"] == {"train": 147, "held_out": 63}
    assert set(card.metrics) == {"held_out", "PublicTest"}
    assert 0 <= card.metrics["PublicTest"]["pairs"]["auc"] <= 1
    # 70 faces have fewer triplets with a margin than a figure is taken from.
    assert card.metrics["PublicTest"]["triplets"] is None and card.odd_scale is None
    assert card.slope > 0
    assert card.parameters == sum(parameter.numel() for parameter in network.parameters())
    faces = np.random.RandomState(0).randint(0, 256, (2, 48, 48)).astype(np.uint8)
    assert 0 < Comparer.load(trained).compare(faces).probability < 1
    assert not trained.with_name("one.checkpoint").exists()


def test_evaluation_gives_figures_pictures_and_baselines(trained, capsys):
    arguments = ["models/one", *VOTES, "--pairs", "300", "--triplets", "90", "--json", "out.json"]
    assert evaluate([*arguments, "--pictures", "pictures"]) == 0
    output = capsys.readouterr().out
    assert "chance is 33.3%" in output and "not Google's FEC" in output
    values = json.loads((trained.parent.parent / "out.json").read_text())
    assert list(values["results"]) == [
        "one",
        "same predicted expression (one)",
        "dot product of probabilities (one)",
        "distance of probabilities (one)",
    ]
    one = values["results"]["one"]
    assert one["pairs"]["pairs"] == 300 and one["triplets"]["all"]["triplets"] == 90
    for name in ("roc", "distances-one"):
        with Image.open(f"pictures/{name}.png") as picture:
            assert min(picture.size) > 300
    assert evaluate([*arguments, "--seed", "1"]) == 0
    assert json.loads((trained.parent.parent / "out.json").read_text())["pairs"] != values["pairs"]


def test_baselines_compare_calibrated_probabilities(trained, backbone, tmp_path):
    def areas(model, *options):
        arguments = [model, *DATA, "--pairs", "300", "--json", "calibrated.json", *options]
        assert evaluate(arguments) == 0
        results = json.loads(Path("calibrated.json").read_text())["results"]
        return [figures["pairs"]["auc"] for name, figures in results.items() if "(" in name]

    copy = Path(shutil.copytree(trained, tmp_path / "cold"))
    card = ComparisonCard.load(copy / "comparison.json")
    dataclasses.replace(card, temperature=1e-4).save(copy / "comparison.json")
    named = Path(shutil.copytree(backbone, tmp_path / "cold-backbone"))
    dataclasses.replace(Card.load(named / CARD), temperature=1e-4).save(named / CARD)
    # So cold, all answers are sure, and their products say whether the most probable expressions are equal.
    for arguments in ([str(copy)], ["models/one", "--baseline", str(named)]):
        equal, products = areas(*arguments)
        assert products == pytest.approx(equal, abs=0.01)
    for arguments in (["models/one"], ["models/one", "--baseline", "backbone"]):
        equal, products = areas(*arguments)
        assert products != pytest.approx(equal, abs=0.01)


def test_models_of_one_name_are_told_apart_by_their_places(trained, tmp_path):
    copy = Path(shutil.copytree(trained, tmp_path / "one"))
    arguments = ["one", str(copy), "models/one", *DATA, "--pairs", "100", "--json", "both.json"]
    assert evaluate([*arguments, "--pictures", str(tmp_path)]) == 0
    results = json.loads(Path("both.json").read_text())["results"]
    assert [name for name in results if "(" not in name] == ["models/one", str(copy)]
    assert f"same predicted expression ({copy})" in results
    pictures = sorted(path.name for path in tmp_path.glob("distances-*.png"))
    assert pictures == [f"distances-{str(copy).replace('/', '-')}.png", "distances-models-one.png"]


def test_evaluation_without_votes_measures_pairs_alone(trained, capsys):
    assert evaluate(["models/one", *DATA, "--pairs", "100"]) == 0
    assert "no triplets: they need annotators' votes" in capsys.readouterr().err
    assert evaluate(["models/one", *VOTES, "--pairs", "100", "--triplets", "3000"]) == 0
    assert "no triplets: they need more faces, or fewer of them" in capsys.readouterr().err


def test_a_saved_model_is_a_start_and_a_baseline(trained, backbone, capsys):
    arguments = ["--backbone", "backbone", *DATA, *SHORT, "--frozen", "--views", "2", "--out", "models/two"]
    assert train(arguments) == 0
    card = ComparisonCard.load(trained.parent / "two" / "comparison.json")
    assert card.objective["frozen"] and not card.data["held_out_seen_by_backbone"]
    assert card.objective["classification"] == 0
    before = Comparer.load("models/two").network.backbone.state_dict()
    for name, value in load_model(backbone)[0].state_dict().items():
        assert torch.equal(before[name], value)
    assert evaluate(["models/two", *DATA, "--pairs", "100", "--baseline", "backbone"]) == 0
    assert "predicted expression (backbone)" in capsys.readouterr().out


def test_a_linked_backbone_stays_in_its_own_model(trained):
    models = trained.parent
    train_small(models / "shared", widths=(4, 8), epochs=1)
    arguments = ["--backbone", "shared", *DATA, *SHORT, "--frozen"]
    assert train([*arguments, "--out", "models/whole"]) == 0
    assert train([*arguments, "--linked", "--out", "models/linked"]) == 0
    assert not [name for name in load_file(models / "linked" / WEIGHTS) if name.startswith("backbone.")]
    whole, linked = (load_comparison(models / name)[0].state_dict() for name in ("whole", "linked"))
    assert all(torch.equal(linked[name], value) for name, value in whole.items())
    shutil.rmtree(models / "shared")
    train_small(models / "shared", widths=(4, 8), epochs=1, seed=3)
    with pytest.raises(
        WeightsError, match="shared: these are other weights than those that .*linked is made"
    ):
        load_comparison(models / "linked")
    shutil.rmtree(models / "shared")


def test_no_model_is_overwritten_by_a_comparison_network(trained):
    folder = trained.parent / "classifier"
    train_small(folder, widths=(4, 8), epochs=1)
    for out in ("models/classifier", "models/one"):
        with pytest.raises(ConfigError, match=f"{out}: a model is there already"):
            train(["--backbone", "classifier", *DATA, *SHORT, "--frozen", "--linked", "--out", out])
    load_model(folder)
    with pytest.raises(ConfigError, match="a folder with a name"):
        train(["--backbone", "classifier", *DATA, *SHORT, "--out", "."])


def test_a_linked_run_goes_on_only_with_the_backbone_that_it_began_with(trained, monkeypatch):
    models = trained.parent
    train_small(models / "moved", widths=(4, 8), epochs=1)
    arguments = ["--backbone", "moved", *DATA, *SHORT, "--frozen", "--linked", "--out", "models/half"]

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("zoo.training.pair_fit.save_trained_comparison", interrupted)
        assert train(arguments) == 130
    shutil.rmtree(models / "moved")
    train_small(models / "moved", widths=(4, 8), epochs=1, seed=3)
    with pytest.raises(ConfigError, match="belongs to a run with another backbone"):
        train([*arguments, "--resume"])


def test_a_saved_model_comes_before_a_published_network_of_its_name(trained, capsys):
    folder = trained.parent / "emotionnet"
    train_small(folder, widths=(4, 8), epochs=1)
    assert train(["--backbone", "emotionnet", *DATA, *SHORT, "--frozen", "--out", "models/kept"]) == 0
    backbone = Comparer.load("models/kept").network.backbone.state_dict()
    for name, value in load_model(folder)[0].state_dict().items():
        assert torch.equal(backbone[name], value)
    assert "scratch" not in capsys.readouterr().err
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--backbone", "tiny.json", "--frozen"], "tiny.json has no weights to leave as they are"),
        (["--backbone", "tiny.json", "--pairs", "50", "--classification", "2"], "--classification is 2.0"),
        (["--backbone", "tiny.json", "--linked"], "--linked: the backbone's weights will change"),
        (["--backbone", "tiny.json", "--set", "mixup=0.2"], "mixup is 0.2; required: 0.0"),
        (["--backbone", "tiny.json", "--set", "start_resolution=32"], "start_resolution is 32; required: 48"),
        (["--backbone", "tiny.json", "--set", "balance=weighted"], "balance is 'weighted'"),
        (
            ["--backbone", "tiny.json", "--pairs", "50", "--set", "balance=oversample"],
            "balance is 'oversample'; required: 'none' with lists of pairs or triplets",
        ),
        (
            ["--backbone", "tiny.json", "--classification", "0", "--set", "soft_labels=true"],
            "soft_labels is True; required: False where no labels are trained with",
        ),
        (["--backbone", "tiny.json", "--views", "2"], "--views 2 would do nothing; required: a frozen"),
        (["--backbone", "tiny.json", "--pretrained"], "--pretrained would do nothing; required: --backbone"),
        (
            ["--backbone", "tiny.json", "--fec-faces", "in"],
            "--fec-faces in would do nothing; required: --fec",
        ),
        (["--backbone", "siamese_resnet18"], "--size 8 would do nothing; required: another backbone"),
        (
            ["--backbone", "tiny.json", "--split", "random", "--held-out", "0.2"],
            "--held-out 0.2 would do nothing; required: --split official",
        ),
        (
            ["--backbone", "tiny.json", "--pairs", "9", "--triplets", "9", "--loss", "pair"],
            "--triplets 9 would do nothing; required: the loss triplet or both",
        ),
        (
            ["--backbone", "tiny.json", "--pairs", "9", "--triplets", "9", "--loss", "triplet"],
            "--pairs 9 would do nothing; required: the loss pair, contrastive or both",
        ),
        (
            ["--backbone", "tiny.json", "--frozen", "--views", "3", "--set", "augmentation.strength=0"],
            "--views is 3; required: at most 2",
        ),
    ],
)
def test_options_that_would_do_nothing_are_refused(trained, options, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        train([*options, *DATA, *SHORT, "--out", "models/none"])


@pytest.mark.parametrize("network", ["siamese_resnet18", "siamese_mobilenet_v3"])
def test_a_network_without_a_distance_has_no_contrastive_loss(network):
    said = f"--loss contrastive needs a distance, which {network} has none of; required: --loss pair"
    with pytest.raises(ConfigError, match=said):
        train(
            ["--backbone", network, "--loss", "contrastive", "--data", "absent.csv", "--out", "models/none"]
        )


@pytest.mark.parametrize(
    ("options", "said"), [([], "189 faces are few"), (["--pairs", "100"], "100 list entries are few")]
)
def test_few_faces_train_in_small_batches(trained, options, said, capsys):
    shutil.rmtree("models/few-steps", ignore_errors=True)
    short = [*SHORT[:-2], *options, "--out", "models/few-steps"]
    assert train(["--backbone", "tiny.json", *DATA, *short]) == 0
    sentence = f"{said}: batches of 16 instead of 128 (--set batch_size=… changes that)"
    assert sentence in capsys.readouterr().err
    card = ComparisonCard.load(trained.parent / "few-steps" / "comparison.json")
    assert card.recipe["batch_size"] == 16
    assert ComparisonCard.load(trained / "comparison.json").recipe["batch_size"] == 32


@pytest.mark.parametrize(
    "options",
    [
        ["--data", "fer2013.csv"],
        ["--ferplus", "votes.csv"],
        ["--split", "official"],
        ["--split-seed", "0"],
        ["--held-out", "0.1"],
        ["--pairs", "9"],
        ["--triplets", "9"],
    ],
)
def test_google_s_set_comes_with_its_own_faces_and_lists(options):
    said = f"{' '.join(options)} would do nothing; required: no --fec"
    with pytest.raises(ConfigError, match=re.escape(said)):
        train(["--backbone", "tiny.json", "--fec", "absent.csv", *options, "--out", "models/none"])


def test_a_backbone_of_other_classes_is_refused(trained):
    folder = trained.parent / "others"
    train_small(folder, widths=(4, 8), epochs=1)
    card = Card.load(folder / CARD)
    dataclasses.replace(card, classes=("a", "b", *card.classes[2:])).save(folder / CARD)
    with pytest.raises(ConfigError, match="--backbone others answers a, b, .*; required: the classes of the"):
        train(["--backbone", "others", *DATA, *SHORT, "--out", "models/none"])
    shutil.rmtree(folder)


def test_equal_seeds_of_other_rows_have_seen_the_held_out_faces(backbone):
    dataset = load_dataset(Path("fer2013.csv"))
    card = Card.load(backbone / CARD)
    split = {"kind": "random", "seed": 3}
    same = {**card.data, "name": dataset.name, "split": split, "fingerprint": dataset.fingerprint}
    other = {"name": "other.csv", "fingerprint": "of other faces"}
    for changes, split_key, seen in (
        ({}, ("random", 3), False),
        ({}, ("random", 4), True),
        ({}, None, True),
        ({"fingerprint": "of fewer rows"}, ("random", 3), True),
        ({"name": "other.csv"}, None, True),
        ({"name": "icml_face_data.csv", "fingerprint": "of fewer rows"}, ("random", 3), True),
        (other, None, False),
        ({**other, "pretrained": {"data": same}}, None, True),
        ({**other, "pretrained": {"data": {**same, **other}}}, None, False),
    ):
        assert _seen({**same, **changes}, dataset, split_key) == seen


@pytest.mark.parametrize(
    "options",
    [
        ["--loss", "pair", "--pairs", "100"],
        ["--loss", "triplet", "--triplets", "60", "--ferplus", "votes.csv"],
        ["--loss", "contrastive", "--set", "optimizer=adadelta", "--set", "learning_rate=1"],
        ["--split", "random", "--split-seed", "3"],
    ],
)
def test_every_way_to_train(trained, options):
    shutil.rmtree("models/way", ignore_errors=True)
    assert train(["--backbone", "tiny.json", *DATA, *SHORT, *options, "--out", "models/way"]) == 0
    assert evaluate(["models/way", *DATA, "--pairs", "50"]) == 0


@pytest.mark.parametrize(
    ("network", "options", "named"),
    [
        ("tiny.json", ["--pairs", "100"], False),
        ("tiny.json", ["--triplets", "60", "--ferplus", "votes.csv"], False),
        ("tiny.json", ["--classification", "0"], False),
        ("tiny.json", [], True),
        ("backbone", ["--pairs", "100"], True),
        ("backbone", ["--frozen"], True),
    ],
)
def test_expressions_are_named_only_where_labels_were_learned(backbone, network, options, named, capsys):
    shutil.rmtree("models/labels", ignore_errors=True)
    assert train(["--backbone", network, *DATA, *SHORT, *options, "--out", "models/labels"]) == 0
    assert ("will name no expressions" in capsys.readouterr().err) == (not named)
    assert bool(ComparisonCard.load(Path("models/labels/comparison.json")).classes) == named
    assert evaluate(["models/labels", *DATA, "--pairs", "50", "--json", "labels.json"]) == 0
    results = json.loads(Path("labels.json").read_text())["results"]
    assert ("same predicted expression (labels)" in results) == named
    if named:
        Comparer.load("models/labels")
    else:
        with pytest.raises(WeightsError, match="names no expressions; required: .*saved model, or .* labels"):
            Comparer.load("models/labels")


def test_a_usage_with_too_few_faces_for_pairs_has_no_figures(trained, tmp_path):
    write_csv(tmp_path / "few.csv", (210, 70, 1))
    options = ["--data", str(tmp_path / "few.csv"), *SHORT, "--out", "models/few"]
    assert train(["--backbone", "tiny.json", *options]) == 0
    assert set(load_comparison(trained.parent / "few")[1].metrics) == {"held_out", "PublicTest"}


def test_an_interrupted_run_is_resumed(trained, capsys, monkeypatch):
    import zoo.training.pair_fit as fit

    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    arguments = ["--backbone", "tiny.json", *DATA, *SHORT, "--out", "models/halted"]
    with monkeypatch.context() as patch:
        patch.setattr(fit, "save_trained_comparison", interrupt)
        assert train(arguments) == 130
    assert "--resume" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="an interrupted run is kept there"):
        train(arguments)
    assert train([*arguments, "--resume"]) == 0
    assert (trained.parent / "halted" / "comparison.json").is_file()


def test_a_run_goes_on_only_with_its_own_lists(trained, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    arguments = ["--backbone", "tiny.json", *DATA, *SHORT, "--out", "models/listed"]
    with monkeypatch.context() as patch:
        patch.setattr("zoo.training.pair_fit.save_trained_comparison", interrupt)
        assert train([*arguments, "--pairs", "64"]) == 130
    with pytest.raises(ConfigError, match="another list of pairs"):
        train([*arguments, "--pairs", "96", "--resume"])
    assert train([*arguments, "--pairs", "64", "--resume"]) == 0
    card = ComparisonCard.load(trained.parent / "listed" / "comparison.json")
    assert (card.data["pairs"], card.data["triplets"]) == (64, None)


def test_held_out_scores_that_are_no_numbers_end_a_run_without_remains(trained, monkeypatch):
    whole = PairTrainer._train

    def spoiled(trainer, number):
        result = whole(trainer, number)
        if number:
            trainer.network.log_scale.data.fill_(torch.nan)
        return result

    monkeypatch.setattr(PairTrainer, "_train", spoiled)
    arguments = ["--backbone", "tiny.json", *DATA, *SHORT, "--epochs", "2", "--set", "average=0"]
    words = "diverged: the loss of the held-out pairs is nan in epoch 2; required: a learning_rate below 0.03"
    with pytest.raises(ConfigError, match=words):
        train([*arguments, "--out", "models/diverged"])
    assert not list(trained.parent.glob("diverged*"))


def test_a_device_without_memory_left_is_named(trained, monkeypatch):
    def full(trainer):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(PairTrainer, "epochs", full)
    with pytest.raises(DeviceError, match="cpu is out of memory with batches of 32; required: a smaller"):
        train(["--backbone", "tiny.json", *DATA, *SHORT, "--device", "cpu", "--out", "models/none"])


def test_the_set_of_google_trains_pairs(trained, backbone, tmp_path):
    random = np.random.RandomState(0)
    lines = []
    for number in range(600):
        urls = [f"http://127.0.0.1/{face}.jpg" for face in random.randint(40, size=3)]
        faces = ",".join(f"{url},0.1,0.9,0.1,0.9" for url in urls)
        lines.append(f"{faces},TWO_CLASS_TRIPLET,annotator,{number % 3 + 1}")
    (tmp_path / "fec.csv").write_text("\n".join(lines))
    for name in read_fec(tmp_path / "fec.csv").crops():
        Image.fromarray(random.randint(0, 256, (48, 48)).astype(np.uint8)).save(tmp_path / f"{name}.png")
    arguments = ["--backbone", "tiny.json", "--fec", str(tmp_path / "fec.csv"), "--fec-faces", str(tmp_path)]
    assert train([*arguments, *SHORT, "--loss", "both", "--seed", "3", "--out", "models/fec"]) == 0
    card = ComparisonCard.load(trained.parent / "fec" / "comparison.json")
    assert card.data["name"] == "fec.csv" and set(card.metrics) == {"held_out"}
    # Its faces have no labels to fit a temperature to.
    assert train([*arguments[2:], "--backbone", "backbone", *SHORT, "--out", "models/fec-on"]) == 0
    tuned = ComparisonCard.load(trained.parent / "fec-on" / "comparison.json")
    assert tuned.temperature == pytest.approx(Card.load(backbone / CARD).temperature, abs=1e-4)
    assert card.data["split"] == {"kind": "triplets", "seed": 3, "share": 0.05}
    assert card.odd_scale is not None
    held_out = card.metrics["held_out"]["triplets"]["all"]["triplets"]
    assert 10 < held_out < 60 and card.data["pairs"] == card.data["triplets"] == 600 - held_out
    assert "the triplets of fec.csv" in card.limits and "FER2013" not in card.limits
    assert evaluate(["models/fec", *DATA, "--pairs", "50"]) == 0


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["--backbone", "nothing", *DATA], ConfigError, "'nothing' is unknown"),
        (["--backbone", "tiny.json", *DATA, "--loss", "both"], ConfigError, "needs annotators' votes"),
        (["--backbone", "tiny.json", *DATA, "--held-out", "1"], ConfigError, "--held-out is 1"),
        (["--backbone", "tiny.json", *DATA, "--set", "speed=3"], ConfigError, "speed"),
        (["--backbone", "tiny.json", *DATA, "--loss", "triplet", "--pairs", "9"], ConfigError, "loss"),
        (["--backbone", "tiny.json", "--data", "none.csv"], DataError, "none.csv"),
        (["--backbone", "tiny.json", "--pairs", "0"], ConfigError, "--pairs is 0; required: at least 1"),
        (
            ["--backbone", "tiny.json", "--triplets", "0"],
            ConfigError,
            "--triplets is 0; required: at least 1",
        ),
        (
            ["--backbone", "tiny.json", "--split-seed", "-1"],
            ConfigError,
            "--split-seed is -1; required: 0 to",
        ),
        (
            ["--backbone", "tiny.json", "--split-seed", "5000000000"],
            ConfigError,
            "--split-seed is 5000000000; required: 0 to 4294967295",
        ),
        (
            ["--backbone", "tiny.json", *DATA, "--set", "batch_size=1"],
            ConfigError,
            "batch_size is 1; required: at least 2",
        ),
    ],
)
def test_what_cannot_be_trained_is_said(trained, arguments, error, words):
    with pytest.raises(error, match=words):
        train([*arguments, "--out", "models/never"])
    assert not (trained.parent / "never").exists()


def test_a_usage_without_rows_is_named(trained):
    with pytest.raises(DataError, match="PrivateTest rows; required: --usage Training or PublicTest"):
        evaluate(["models/one", *DATA, "--usage", "PrivateTest"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--pairs", "0"], "--pairs is 0; required: at least 2"),
        (["--pairs", "1"], "--pairs is 1; required: at least 2"),
        (["--triplets", "-1"], "--triplets is -1; required: at least 1"),
        (["--seed", "-1"], "--seed is -1; required: 0 to 4294967295"),
        (["--seed", "4294967296"], "--seed is 4294967296; required: 0 to 4294967295"),
        (["--pictures", "fer2013.csv"], "--pictures is fer2013.csv: File exists; required: a folder"),
        (
            ["--pictures", "fer2013.csv/in"],
            "--pictures is fer2013.csv/in: Not a directory; required: a folder",
        ),
    ],
)
def test_options_that_cannot_be_are_refused_before_the_data_are_read(options, words):
    with pytest.raises(ConfigError, match=words):
        evaluate(["--data", "absent.csv", *options])


def test_as_few_pairs_and_triplets_as_can_be(trained):
    assert evaluate(["models/one", *VOTES, "--pairs", "2", "--triplets", "1", "--json", "few.json"]) == 0
    figures = json.loads((trained.parent.parent / "few.json").read_text())["results"]["one"]
    assert figures["pairs"]["pairs"] == 2 and figures["triplets"]["all"]["triplets"] == 1


@pytest.mark.parametrize("kind", ["official", "random"])
@pytest.mark.parametrize("usages", [(), ("train", "test")])
def test_every_face_of_drawn_parts_has_its_use(kind, usages):
    count = 400
    faces = np.random.default_rng(0).integers(0, 256, (count, 48, 48), np.uint8)
    labels = np.arange(count) % 4
    usage = np.where(np.arange(count) < 300, 0, 2) if usages else np.full(count, -1)
    dataset = FaceDataset("x", tuple("abcd"), faces, labels, usage.astype(np.int8))
    parts = HeldOut.find(dataset, kind, 3, 0.1)
    used = np.concatenate([parts.train, parts.validation, parts.test])
    assert len(np.unique(used)) == len(used) == (count if kind == "official" or not usages else 300)
    made = make_split(dataset, kind=kind, seed=3)
    assert np.array_equal(parts.validation, made.validation)  # which a backbone by zoo.train hasn't seen
    assert HeldOut(kind, 3, 0.1, parts=parts).drawn == (made.kind, 3)


def test_the_faces_of_ones_own_folders_train_and_measure(backbone, tmp_path, capsys):
    random = np.random.RandomState(1)
    for name in EMOTIONS:
        (tmp_path / name).mkdir()
        for number in range(30):
            face = Image.fromarray(random.randint(0, 256, (48, 48)).astype(np.uint8))
            face.save(tmp_path / name / f"{number}.png")
    data = ["--data", str(tmp_path)]
    options = ["--backbone", "backbone", "--frozen", *data, *SHORT, "--out", "models/own"]
    assert train(options) == 0
    card = ComparisonCard.load(Path("models/own/comparison.json"))
    assert card.data["rows"] == {"train": 168, "held_out": 21} and not card.data["held_out_seen_by_backbone"]
    assert list(card.metrics) == ["held_out", "random 10% test"]
    assert "names no usages" in capsys.readouterr().err


def test_data_without_usages_cannot_be_measured(trained, tmp_path):
    for name in ("happy", "sad"):
        (tmp_path / name).mkdir()
        Image.new("L", (48, 48)).save(tmp_path / name / "1.png")
    with pytest.raises(DataError, match="no PublicTest rows; required: data with usages"):
        evaluate(["models/one", "--data", str(tmp_path)])
