"""`zoo.train`, `zoo.evaluate`, `zoo.list` and `zoo.export_onnx`, from the command line to their files."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.zoo.data.small_fer2013 import HEADER, pixel_text
from zoo import ensemble, evaluate, export_onnx, halve, train
from zoo import list as listing
from zoo.card import Card
from zoo.data.cache import CACHE_VARIABLE
from zoo.data.dataset import USAGES
from zoo.data.drawn import draw_faces
from zoo.data.load import DATA_VARIABLE, load_dataset
from zoo.errors import ConfigError, DataError, DeviceError, WeightsError
from zoo.models import halved, load_model, reserved
from zoo.networks import ParametricConfig, names
from zoo.networks_picture import draw_networks
from zoo.pareto import pareto_front
from zoo.predictor import Predictor
from zoo.training import session
from zoo.training.evaluate import calibration_error, measure
from zoo.training.session import train_and_save

CONFIG = ParametricConfig(widths=(4, 8), repeats=(1, 1))
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(train.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
QUICK = ("--set", "batch_size=32", "--set", "learning_rate=0.05", "--device", "cpu")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small fer2013.csv, a network config, and two trained models under models/."""
    folder = tmp_path_factory.mktemp("work")
    faces, labels = draw_faces(210, seed=0)
    usages = np.repeat(("Training", "PublicTest"), (140, 70))
    rows = (
        f"{label},{pixel_text(face)},{usage}"
        for face, label, usage in zip(faces, labels, usages, strict=True)
    )
    (folder / "fer2013.csv").write_text("\n".join([HEADER, *rows, ""]))
    (folder / "tiny.json").write_text(json.dumps(CONFIG.to_json()))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv(CACHE_VARIABLE, str(folder / "cache"))
        for seed in ("0", "1"):
            assert train.main(_train("--epochs", "2", "--seed", seed, "--out", f"models/tiny{seed}")) == 0
    return folder


@pytest.fixture(autouse=True)
def inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv(CACHE_VARIABLE, str(place / "cache"))
    monkeypatch.delenv(DATA_VARIABLE, raising=False)


def _train(*options: str) -> list[str]:
    return ["tiny.json", "--data", "fer2013.csv", *QUICK, *options]


@pytest.mark.parametrize("command", ["train", "ensemble", "evaluate", "halve", "list", "export_onnx"])
def test_help_needs_no_torch(command: str) -> None:
    code = (
        "import sys\n"
        f"from zoo.{command} import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'torch', 'numpy', 'pandas', 'matplotlib', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=ENVIRONMENT
    )
    assert done.returncode == 0, done.stderr
    assert f"python -m zoo.{command}" in done.stdout


def test_training_writes_a_model_and_says_what_it_can(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(_train("--epochs", "2", "--seed", "0", "--out", "models/again")) == 0
    out, err = capsys.readouterr()
    assert sorted(path.name for path in Path("models/again").iterdir()) == [
        "card.json",
        "confusion.png",
        "curves.png",
        "per_class.csv",
        "reliability.png",
        "weights.safetensors",
    ]
    assert "PublicTest" in out and re.search(r"0\.\d{4} \(0\.\d{4}–0\.\d{4}\)", out)
    assert "fer2013.csv has no PrivateTest rows" in err
    assert re.search(r"epoch 1/2 .* accuracy 0\.\d{4} .* min left\nepoch 2/2 ", err)
    assert "saved in models/again" in err
    first, again = (Card.load(place / "models" / name / "card.json") for name in ("tiny0", "again"))
    assert first.weights_sha256 == again.weights_sha256  # the same seed
    assert first.note == "tiny, best recipe" and first.recipe["epochs"] == 2


def test_the_bar_ends_with_the_plan(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # as in a terminal
    monkeypatch.setenv("NO_COLOR", "1")
    assert train.main(_train("--epochs", "100000", "--timeout", "8s", "--out", "models/timed")) == 0
    done, planned = re.findall(r"timed \S+ (\d+)/(\d+) ", capsys.readouterr().err)[-1]
    epochs = Card.load(Path("models/timed/card.json")).recipe["epochs"]
    assert done == planned == str(epochs)
    shutil.rmtree("models/timed")


def test_repeats_train_several_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(_train("--epochs", "1", "--repeats", "2", "--seed", "3", "--out", "models/many")) == 0
    cards = [Card.load(Path(f"models/many-seed{seed}/card.json")) for seed in (3, 4)]
    assert [card.recipe["seed"] for card in cards] == [3, 4]
    values = [card.metrics["PublicTest"]["accuracy"] for card in cards]
    out = capsys.readouterr().out
    assert "mean ± standard deviation of 2 seeds" in out
    assert f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}" in out
    # What is finished isn't trained again.
    begun = Path("models/many-seed3/weights.safetensors").stat().st_mtime_ns
    options = ("--epochs", "1", "--repeats", "2", "--seed", "3", "--out", "models/many", "--resume")
    assert train.main(_train(*options)) == 0
    assert Path("models/many-seed3/weights.safetensors").stat().st_mtime_ns == begun
    assert "models/many-seed4 is finished already" in capsys.readouterr().err


def test_a_saved_model_is_trained_again_by_its_own_recipe() -> None:
    assert train.main(["tiny0", "--data", "fer2013.csv", "--epochs", "1", "--device", "cpu"]) == 0
    card, own = (Card.load(Path(f"models/{name}/card.json")) for name in ("tiny0-again", "tiny0"))
    assert card.recipe == {**own.recipe, "epochs": 1} and card.config == own.config


def test_a_saved_model_is_tuned_to_other_classes(classes: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["tiny0", "--pretrained", "tiny0", "--data", classes, "--device", "cpu", "--epochs", "1"]
    assert train.main([*options, "--set", "learning_rate=1e-9", "--set", "average=0"]) == 0
    assert re.search(
        r"classifier begins anew.*\n.*learned from fer2013.csv: figures are too good if",
        capsys.readouterr().err,
    )
    begun, card = load_model(Path("models/tiny0"))
    tuned, own = load_model(Path("models/tiny0-tuned"))
    assert own.classes != card.classes and "begun with the weights of tiny0" in own.note
    state = begun.state_dict()
    for name, value in tuned.state_dict().items():
        if name.startswith("classifier.") or "running" in name or "batches" in name:
            continue
        torch.testing.assert_close(value, state[name], atol=1e-6, rtol=1e-6)


def test_tuning_goes_on_from_what_was_learnt() -> None:
    options = ["--data", "fer2013.csv", "--device", "cpu", "--epochs", "1", "--set", "average=0"]
    assert train.main(["tiny0", "--pretrained", "tiny0", *options, "--out", "models/tuned"]) == 0
    card, own = (Card.load(Path(f"models/{name}/card.json")) for name in ("tuned", "tiny0"))
    assert card.recipe["learning_rate"] == own.recipe["learning_rate"] / 10
    assert (card.recipe["epochs"], card.recipe["warmup_epochs"], card.recipe["teacher"]) == (1, 0.5, "")
    assert card.history[0]["train_loss"] < own.history[0]["train_loss"]


def test_tuning_a_model_of_a_published_name_tunes_that_model(classes: str) -> None:
    gelu = ["--network", "activation=gelu", "--network", "widths=[4,4,4]"]
    options = ["emotionnet", "--device", "cpu", "--epochs", "1"]
    try:
        assert train.main([*options, "--data", "fer2013.csv", *gelu]) == 0
        assert train.main([*options, "--data", classes, "--pretrained", "emotionnet"]) == 0
        config = Card.load(Path("models/emotionnet-tuned/card.json")).config
        assert (config["activation"], config["widths"], config["classes"]) == ("gelu", [4, 4, 4], 2)
    finally:
        for name in ("emotionnet", "emotionnet-tuned"):
            shutil.rmtree(f"models/{name}", ignore_errors=True)


def test_dropout_may_change_in_tuning() -> None:
    options = ["--data", "fer2013.csv", "--device", "cpu", "--epochs", "1", "--out", "models/dropping"]
    assert train.main(["tiny0", "--pretrained", "tiny0", "--network", "head_dropout=0.3", *options]) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["emotionnet", "--pretrained", "tiny0"],
            r"'tiny0' has other layers than this network \(.*widths.*\); required: the same",
        ),
        (
            ["tiny0", "--pretrained", "tiny1", "--network", "activation=gelu"],
            r"'tiny1' has other layers than this network \(activation\); required: the same",
        ),
        (["tiny0", "--pretrained", "ensemble"], "'ensemble' is an ensemble"),
        (
            ["tiny0", "--pretrained", "tiny0", "--split", "random"],
            "learned from faces that select this network; required: --split official",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(options: list[str], words: str) -> None:
    options = [*options, "--out", "models/never"]
    with pytest.raises(ConfigError, match=words):
        train.main([*options, "--data", "fer2013.csv", "--device", "cpu", "--epochs", "1"])


def test_no_model_is_overwritten() -> None:
    for resume in ([], ["--resume"]):
        with pytest.raises(ConfigError, match="models/tiny0: a model is there already"):
            train.main(_train("--epochs", "3", "--seed", "0", "--out", "models/tiny0", *resume))
    with pytest.raises(ConfigError, match=r"--out is \.; required: a folder with a name"):
        train.main(_train("--repeats", "2", "--out", "."))


def test_two_trainings_have_no_folder_in_common() -> None:
    with (
        reserved(Path("models/twice")),
        pytest.raises(ConfigError, match="models/twice: another process is training a model there"),
    ):
        train.main(_train("--epochs", "1", "--out", "models/twice"))
    assert not [*Path("models").glob("twice*")]


def test_a_model_of_another_split_is_not_the_run_that_is_resumed() -> None:
    options = ("--epochs", "2", "--seed", "0", "--out", "models/tiny0", "--resume")
    assert train.main(_train(*options)) == 0
    with pytest.raises(ConfigError, match="models/tiny0: a model is there already"):
        train.main(_train(*options, "--split", "random"))


@pytest.fixture
def votes(tmp_path: Path) -> Path:
    """FER+ votes for fer2013.csv: seven of ten for the label, three for the next one."""
    rows = ["Usage,Image name,anger,disgust,fear,happiness,sadness,surprise,neutral,contempt,unknown,NF"]
    dataset = load_dataset(Path("fer2013.csv"))
    for label, usage in zip(dataset.labels, dataset.usage, strict=True):
        counts = np.zeros(10, dtype=int)
        counts[[label, (label + 1) % 7]] = 7, 3
        rows.append(f"{USAGES[usage]},face.png,{','.join(map(str, counts))}")
    (tmp_path / "votes.csv").write_text("\n".join([*rows, ""]))
    return tmp_path / "votes.csv"


@pytest.mark.parametrize(("changes", "soft"), [((), True), (("--set", "soft_labels=false"), False)])
def test_votes_train_unless_the_recipe_is_told_otherwise(
    votes: Path, changes: tuple[str, ...], soft: bool, tmp_path: Path
) -> None:
    options = ("--ferplus", str(votes), "--epochs", "1", "--out", str(tmp_path / "voted"), *changes)
    assert train.main(_train(*options)) == 0
    card = Card.load(tmp_path / "voted" / "card.json")
    assert card.recipe["soft_labels"] is card.data["soft_labels"] is soft


def test_few_faces_are_trained_on_in_small_batches(capsys: pytest.CaptureFixture[str]) -> None:
    few = ["tiny.json", "--data", "fer2013.csv", "--device", "cpu", "--epochs", "1"]
    for name, batch_size, options in (
        ("few", 16, []),
        ("few-chosen", 64, ["--set", "batch_size=64"]),
        ("few-tuned", 16, ["--pretrained", "few-chosen"]),
    ):
        assert train.main([*few, *options, "--out", f"models/{name}"]) == 0
        assert Card.load(Path(f"models/{name}/card.json")).recipe["batch_size"] == batch_size
        told = f"batches of 16 instead of {64 if 'tuned' in name else 128}"
        assert (told in capsys.readouterr().err) == (batch_size == 16)
    assert train.main(["few-chosen", *few[1:], "--out", "models/few-again"]) == 0  # by its own recipe
    assert Card.load(Path("models/few-again/card.json")).recipe["batch_size"] == 64


def test_a_timeout_shortens_the_schedule(capsys: pytest.CaptureFixture[str]) -> None:
    options = _train("--epochs", "100000", "--timeout", "5s", "--out", "models/timed")
    assert train.main(options) == 0
    card = Card.load(Path("models/timed/card.json"))
    assert 1 <= len(card.history) <= card.recipe["epochs"] < 100_000
    capsys.readouterr()
    assert train.main([*options, "--resume"]) == 0
    assert "models/timed is finished already" in capsys.readouterr().err
    assert train.main(_train("--epochs", "2", "--seed", "0", "--out", "models/tiny0", "--resume")) == 0
    with pytest.raises(ConfigError, match="models/timed: a model is there already"):
        train.main([*_train("--epochs", "100000", "--out", "models/timed"), "--resume"])


def test_repeats_share_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = []

    def note_share(*arguments: Any, deadline: float | None, **options: Any) -> Card:
        assert deadline is not None
        shares.append(deadline - time.monotonic())
        return train_and_save(*arguments, deadline=deadline, **options)

    monkeypatch.setattr(session, "train_and_save", note_share)
    options = ("--epochs", "1", "--timeout", "1h", "--repeats", "2", "--out", "models/shared")
    assert train.main(_train(*options)) == 0
    first, second = shares
    assert 1500 < first <= 1800 < second < 3600


def test_an_interrupted_run_says_how_to_go_on_and_does(place: Path) -> None:
    options = _train("--epochs", "15", "--out", "models/broken")
    process = subprocess.Popen(
        [sys.executable, "-m", "zoo.train", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    checkpoint = Path("models/broken.checkpoint")
    limit = time.monotonic() + 120
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    said = re.search(r"interrupted; go on with: python -m (zoo\.train .*--resume)", err)
    assert said and "Traceback" not in err
    assert checkpoint.exists() and not Path("models/broken").exists()
    with pytest.raises(ConfigError, match=r"models/broken\.checkpoint: an interrupted run.*--resume"):
        train.main(options)
    assert train.main([*options, "--resume"]) == 0
    assert train.main(_train("--epochs", "15", "--out", "models/whole")) == 0
    broken, whole = (Card.load(Path(f"models/{name}/card.json")) for name in ("broken", "whole"))
    assert broken.weights_sha256 == whole.weights_sha256 and len(broken.history) == 15
    assert not checkpoint.exists()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (["lenet"], ConfigError, "'lenet' is unknown"),
        (["eda_cnn", "--recipe", "good"], ConfigError, "recipe is 'good'"),
        (["eda_cnn", "--set", "epochs=0"], ConfigError, "epochs is 0"),
        (["eda_cnn", "--network", "padding=3"], ConfigError, "padding is 3"),
        (["eda_cnn", "--network", "family=odd"], ConfigError, "'family=odd': the family can't be changed"),
        (["eda_cnn", "--network", "classes=3"], ConfigError, "'classes=3': the classes can't be changed"),
        (["eda_cnn", "--repeats", "0"], ConfigError, "--repeats is 0"),
        (["eda_cnn", "--epochs", "0"], ConfigError, "epochs is 0"),
        (["eda_cnn", "--timeout", "soon"], ConfigError, "'soon' is no duration; required: such as 90s"),
        (["eda_cnn", "--seed", "-1"], ConfigError, "seed is -1"),
        (["eda_cnn", "--out", "."], ConfigError, r"--out is \.; required: a folder with a name"),
        (["eda_cnn", "--out", "models/.."], ConfigError, r"--out is models/\.\.; required"),
        (["eda_cnn", "--device", "tpu"], DeviceError, "'tpu' is unknown"),
        (["eda_cnn", "--device", "cpu", "--data", "absent.csv"], DataError, "absent.csv: no such file"),
        (["tiny.json", "--data", "fer2013.csv", "--pretrained"], ConfigError, "no ImageNet weights"),
        (
            ["tiny.json", "--data", "fer2013.csv", "--set", "learning_rate=Infinity"],
            ConfigError,
            "learning_rate is inf; required: a finite number",
        ),
        (
            ["tiny.json", "--data", "fer2013.csv", "--seed", "2147483647", "--repeats", "2"],
            ConfigError,
            "seed is 2147483648",
        ),
        (
            [
                *("tiny.json", "--data", "fer2013.csv", "--set", "batch_size=1"),
                *("--network", "linear=[4]", "--network", "head_norm=batch"),
            ],
            ConfigError,
            "batch_size is 1; required: at least 2",
        ),
    ],
)
def test_bad_options_end_before_training(options: list[str], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        train.main(options)


def test_divergence_is_a_clear_error_without_remains() -> None:
    options = _train("--set", "learning_rate=1e30", "--set", "warmup_epochs=0", "--out", "models/diverged")
    with pytest.raises(
        ConfigError, match=r"diverged: the .* loss is (nan|inf) .*required: a learning_rate below"
    ):
        train.main(options)
    assert not list(Path("models").glob("diverged*"))


@pytest.mark.usefixtures("refused_downloads")
def test_without_imagenet_weights_it_says_so_and_trains_from_scratch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["resnet101", "--network", "depth=18", "--data", "fer2013.csv", "--pretrained", "--epochs", "1"]
    assert train.main([*options, *QUICK, "--out", str(tmp_path / "resnet")]) == 0
    assert "resnet18" in (err := capsys.readouterr().err) and "training from scratch instead" in err
    assert (tmp_path / "resnet" / "card.json").is_file()


def test_evaluation_reports_every_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    options = [
        "tiny0",
        "--data",
        "fer2013.csv",
        "--usage",
        "PublicTest",
        "--json",
        str(file),
        "--device",
        "cpu",
    ]
    assert evaluate.main(options) == 0
    values = json.loads(file.read_text())
    card = Card.load(Path("models/tiny0/card.json"))
    (figures,) = values["models"]
    assert figures.pop("faces_per_second") > 0 and figures.pop("name") == "tiny0"
    assert figures == card.metrics["PublicTest"]
    assert (values["data"], values["usage"], values["tta"]) == ("fer2013.csv", "PublicTest", False)
    out = capsys.readouterr().out
    for words in (
        "accuracy (95% interval)",
        "balanced",
        "macro F1",
        "top-2",
        "ECE",
        "faces/s",
        "disgust",
        "recall",
    ):
        assert words in out


def test_several_models_are_an_ensemble(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    options = [
        "tiny0",
        "models/tiny1",
        "--data",
        "fer2013.csv",
        "--tta",
        "--json",
        str(file),
        "--device",
        "cpu",
    ]
    assert evaluate.main(options) == 0
    values = json.loads(file.read_text())
    assert [entry["name"] for entry in values["models"]] == ["tiny0", "tiny1", "ensemble of 2"]
    dataset = load_dataset(Path("fer2013.csv"))
    rows = dataset.rows("PublicTest")
    predictors = [Predictor.load(name) for name in ("tiny0", "tiny1")]
    mean = np.mean(
        [predictor.probabilities(dataset.faces[rows], tta=True) for predictor in predictors], axis=0
    )
    expected = measure(np.log(mean), dataset.labels[rows], dataset.classes)
    ensemble = values["models"][2]
    assert ensemble["confusion"] == expected["confusion"]
    assert ensemble["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert ensemble["ece_calibrated"] == pytest.approx(
        calibration_error(mean, dataset.labels[rows]), abs=1e-5
    )


def test_an_ensemble_is_saved_and_measured_like_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["tiny0", "models/tiny1", "--data", "fer2013.csv", "--out", "models/both"]
    assert ensemble.main(options) == 0
    said = capsys.readouterr().out
    assert "models/both: tiny0, tiny1; PublicTest accuracy" in said
    file = tmp_path / "figures.json"
    models = ["tiny0", "tiny1", "both", "--data", "fer2013.csv", "--device", "cpu", "--json", str(file)]
    assert evaluate.main(models[:2] + models[3:]) == 0
    together = json.loads(file.read_text())["models"][2]
    assert evaluate.main(models[2:]) == 0
    saved = json.loads(file.read_text())["models"][0]
    assert saved["confusion"] == together["confusion"] and f"{saved['accuracy']:.4f}" in said
    with pytest.raises(ConfigError, match="models/both: a model is there already"):
        ensemble.main(options)
    shutil.rmtree("models/both")


def test_the_zoos_page_has_the_scoreboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # where there are no models but the shipped ones
    assert listing.main(["--markdown"]) == 0
    page = Path(listing.__file__).with_name("README.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out.strip() in page


def test_the_networks_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert listing.main(["--picture", "networks.png"]) == 0
    networks, _ = listing.list_networks()
    measured = [one for one in networks if one["ours"]]
    places = pareto_front([one["macs"] for one in measured], [one["ours"]["accuracy"] for one in measured])
    front = [measured[place]["name"] for place in places]
    assert front[0] == "fully_connected" and {"tiny", "small", "best", "ensemble"} <= {*front}
    with Image.open("networks.png") as picture:
        assert picture.size == (1100, 620)
    with pytest.raises(ConfigError, match="required: a folder that exists"):
        listing.main(["--picture", "nowhere/networks.png"])
    with pytest.raises(DataError, match="no saved network has figures"):
        draw_networks([{**network, "ours": None} for network in networks], tmp_path / "none.png")


@pytest.mark.parametrize("flip", [False, True])
def test_the_members_of_an_ensemble_are_chosen_on_validation(flip: bool) -> None:
    dataset = load_dataset(Path("fer2013.csv"))
    _copied("tiny1", "twin")
    models = ["tiny0", "tiny1", "twin"]
    loaded = ensemble.load_members(models, Path("models/new"))
    chosen, tried = ensemble.choose_members(loaded, dataset, most=3, flip=flip)
    accuracy = {}
    for size in range(1 if flip else 2, 4):
        for members in itertools.combinations(loaded, size):
            card = ensemble.make_ensemble(members, dataset, Path("models/new"), flip=flip)
            accuracy[tuple(member.name for member in members)] = card.accuracy
            shutil.rmtree("models/new")
    assert tried == len(accuracy) == (7 if flip else 4)
    best = max(accuracy, key=lambda names: (accuracy[names], -len(names)))
    assert tuple(member.name for member in chosen) == best
    shutil.rmtree("models/twin")


def test_an_ensemble_of_chosen_members_says_of_which(tmp_path: Path) -> None:
    options = ["tiny0", "tiny1", "--flip", "--data", "fer2013.csv", "--out", "models/chosen"]
    for wrong in ("0", "3"):
        with pytest.raises(ConfigError, match=f"at most {wrong} members; required: 1 at least, and at most"):
            ensemble.main([*options, "--choose", wrong])
    assert ensemble.main([*options, "--choose", "2"]) == 0
    note = Card.load(Path("models/chosen/card.json")).note
    assert note.endswith("Chosen out of 3 combinations of tiny0, tiny1.")
    shutil.rmtree("models/chosen")


def test_a_halved_model_is_measured_as_it_is_saved(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["tiny0", "--data", "fer2013.csv"]
    assert halve.main(options) == 0
    folder, before = Path("models/tiny0-half"), Card.load(Path("models/tiny0/card.json"))
    stored = load_file(folder / "weights.safetensors")
    assert all((value.dtype is torch.float16) == (value.dim() > 1) for value in stored.values())
    network, card = load_model(folder)
    assert all(value.dtype is torch.float32 for value in network.parameters())
    assert (card.name, card.history, card.seconds) == ("tiny0-half", before.history, before.seconds)
    assert f"accuracy {card.accuracy:.4f}" in capsys.readouterr().out
    figures = _evaluated("tiny0-half", "--data", "fer2013.csv")["models"][0]
    assert figures["confusion"] == card.metrics["PublicTest"]["confusion"]
    exact, rounded = (Predictor.load(name).logits(draw_faces(5, seed=7)[0]) for name in ("tiny0", folder))
    assert 0 < np.abs(exact - rounded).max() < 0.01
    with pytest.raises(ConfigError, match="models/tiny0-half: a model is there already"):
        halve.main(options)
    shutil.rmtree(folder)


def test_a_halved_model_says_what_it_is_measured_on(tmp_path: Path) -> None:
    faces, labels = draw_faces(30, seed=5)
    rows = [f"{label},{pixel_text(face)},PrivateTest" for face, label in zip(faces, labels, strict=True)]
    (tmp_path / "fer2013.csv").write_text(Path("fer2013.csv").read_text() + "\n".join([*rows, ""]))
    options = ["tiny0", "--data", str(tmp_path / "fer2013.csv"), "--out", str(tmp_path / "half")]
    assert halve.main(options) == 0
    before, card = (Card.load(folder / "card.json") for folder in (Path("models/tiny0"), tmp_path / "half"))
    assert before.data["split"]["rows"]["PrivateTest"] == 0
    assert card.data["split"]["rows"]["PrivateTest"] == card.metrics["PrivateTest"]["faces"] == 30
    assert card.data["fingerprint"] == before.data["fingerprint"]


def test_what_cannot_be_halved_is_refused() -> None:
    with pytest.raises(ConfigError, match="is an ensemble, whose networks have weights"):
        halve.main(["ensemble", "--data", "fer2013.csv"])
    with pytest.raises(ConfigError, match="best was trained on fer2013.csv .*required: fer2013.csv"):
        halve.main(["best", "--data", "fer2013.csv"])
    with pytest.raises(WeightsError, match=r"weights a: some are above 65,504"):
        halved({"a": torch.full((2, 2), 1e5)})
    assert not any(Path("models").glob("*-half"))


@pytest.fixture(scope="module")
def classes(place: Path) -> str:
    """A folder of two class folders with thirty faces each; models random3 and random4 are trained on it."""
    faces, _ = draw_faces(60, seed=9)
    for number, face in enumerate(faces):
        name = ("cats", "dogs")[number % 2]
        (place / "classes" / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(face).save(place / "classes" / name / f"{number}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv(CACHE_VARIABLE, str(place / "cache"))
        for seed in ("3", "4"):
            options = ["--data", "classes", "--split-seed", seed, "--epochs", "1", *QUICK]
            assert train.main(["tiny.json", *options, "--out", f"models/random{seed}"]) == 0
    return "classes"


def _evaluated(*options: str) -> dict[str, Any]:
    assert evaluate.main([*options, "--json", "figures.json", "--device", "cpu"]) == 0
    figures: dict[str, Any] = json.loads(Path("figures.json").read_text())
    return figures


def test_a_random_split_has_figures_of_all_three_parts(classes: str) -> None:
    card = Card.load(Path("models/random3/card.json"))
    assert [card.metrics[part]["faces"] for part in card.data["split"]["rows"]] == [48, 6, 6]
    assert card.validation == "random 10% validation"


@pytest.mark.parametrize("usage", ["validation", "test"])
def test_a_part_is_one_of_the_split_that_trained_the_model(
    classes: str, usage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    values = _evaluated("random3", "--data", classes, "--usage", usage)
    card = Card.load(Path("models/random3/card.json"))
    assert values["usage"] == f"random 10% {usage}"
    assert values["models"][0]["loss"] == pytest.approx(card.metrics[values["usage"]]["loss"])
    assert "another split" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        (("random3", "--split-seed", "4"), "random3 (--split random --split-seed 3)"),
        (("random3", "random4", "--split-seed", "3"), "random4 (--split random --split-seed 4)"),
        (("random3", "--split-seed", "3"), None),
        (("random3", "--split-seed", "4", "--usage", "all"), None),
    ],
)
def test_a_split_that_did_not_train_the_model_is_warned_of(
    classes: str, options: tuple[str, ...], warned: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    _evaluated(*options, "--data", classes)
    told = [line for line in capsys.readouterr().err.splitlines() if "another split" in line]
    assert len(told) == (warned is not None)
    assert not warned or told[0].endswith(f"training faces: {warned}")


def test_a_seed_that_splits_nothing_is_not_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    assert _evaluated("tiny0", "--data", "fer2013.csv", "--split-seed", "5")["usage"] == "PublicTest"
    assert "another split" not in capsys.readouterr().err


def _copied(model: str, name: str, /, **data: Any) -> None:
    """A model `name` with `model`'s weights whose card says other things of its data."""
    shutil.copytree(Path("models") / model, Path("models") / name)
    card = Card.load(Path("models") / name / "card.json")
    replace(card, name=name, data={**card.data, **data}).save(Path("models") / name / "card.json")


def test_a_fine_tuned_model_goes_with_others_of_its_split(
    classes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    origin = Card.load(Path("models/tiny0/card.json")).data
    _copied("random3", "begun", pretrained={"model": "tiny0", "data": origin})
    assert len(_evaluated("begun", "random3", "--data", classes)["models"]) == 3
    assert "training faces" not in capsys.readouterr().err
    folder = Path("models/begun-both")
    members = ensemble.load_members(["begun", "random3"], folder)
    card = ensemble.make_ensemble(members, load_dataset(Path(classes)), folder, flip=False)
    assert [*card.metrics] == ["random 80%", "random 10% validation", "random 10% test"]
    assert [data.get("pretrained", {}).get("model") for data in card.data["members"]] == ["tiny0", None]


@pytest.mark.parametrize("usage", ["validation", "all"])
def test_a_model_of_data_of_another_name_may_know_the_faces(
    classes: str, usage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"foreign-{usage}"
    split = {**Card.load(Path("models/random3/card.json")).data["split"], "digest": "0" * 16}
    _copied("random3", name, name="photographs", fingerprint="0" * 16, split=split)
    _evaluated(name, "random3", "--data", classes, "--usage", usage)
    told = "data of another name" in capsys.readouterr().err
    assert told == (usage == "validation")


def test_models_of_different_splits_need_one_to_be_named(classes: str) -> None:
    with pytest.raises(ConfigError, match=r"random3 \(.* 3\) and random4 \(.* 4\) were trained on different"):
        evaluate.main(["random3", "random4", "--data", classes, "--device", "cpu"])


@pytest.mark.parametrize(
    ("usage", "faces"), [("Training", 140), ("all", 210), ("train", 140), ("validation", 70)]
)
def test_usages_and_parts(usage: str, faces: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["tiny0", "--data", "fer2013.csv", "--usage", usage, "--device", "cpu"]) == 0
    assert f"{faces} faces" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (
            ["tiny0", "--usage", "PrivateTest"],
            DataError,
            "fer2013.csv has no PrivateTest rows; required: one of",
        ),
        (["tiny0", "--usage", "test"], DataError, "fer2013.csv has no test rows"),
        (["tiny0", "--usage", "Public"], ConfigError, "--usage is 'Public'; required: one of Training"),
        (["absent"], WeightsError, "'absent' is not a saved model; required: .*tiny0"),
        (["absent", "--json", "absent/figures.json"], ConfigError, "absent/figures.json: cannot be written"),
        (["absent", "--json", "."], ConfigError, "required: a file, which this folder isn't"),
    ],
)
def test_bad_evaluations_are_named(options: list[str], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        evaluate.main([*options, "--data", "fer2013.csv", "--device", "cpu"])


def test_other_classes_are_refused(tmp_path: Path) -> None:
    for name in ("cats", "dogs"):
        (tmp_path / name).mkdir()
        for number in range(6):
            noise = np.random.default_rng(number + len(name)).integers(0, 256, (48, 48), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / name / f"{number}.png")
    with pytest.raises(DataError, match="tiny0 answers angry, .*cats, dogs; required: the same classes"):
        evaluate.main(["tiny0", "--data", str(tmp_path), "--usage", "all", "--device", "cpu"])


def test_the_list_has_every_network_and_the_saved_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert listing.main(["--json"]) == 0
    networks = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert {*names(), "siamese_resnet18", "siamese_mobilenet_v3", "tiny0", "tiny1"} <= set(networks)
    assert networks["fully_connected"]["parameters"] == 305_607
    assert networks["r1"]["published"]["accuracy"] == 0.609 and not networks["r1"]["published"]["comparable"]
    assert networks["tiny0"]["published"] is None
    card = Card.load(Path("models/tiny0/card.json"))
    assert networks["tiny0"]["ours"]["accuracy"] == card.accuracy
    assert (networks["tiny0"]["parameters"], networks["tiny0"]["macs"]) == (card.parameters, card.macs)
    assert networks["tiny0"]["weights"] == "models/tiny0" and networks["r1"]["weights"] is None
    # 40 epochs of 28,709 faces, 6 operations for each of r1's 12.6 G multiply–accumulates.
    assert networks["r1"]["training_pflop"] == pytest.approx(6 * 12.6e9 * 28_709 * 40 / 1e15, rel=0.01)
    assert networks["siamese_resnet18"]["training_pflop"] is None


def test_a_network_of_other_classes_is_not_the_published_one(classes: str, tmp_path: Path) -> None:
    options = ["--data", classes, "--device", "cpu", "--epochs", "1"]
    assert train.main(["simple_conv", *options, "--out", str(tmp_path / "simple_conv")]) == 0
    published, own = (n for n in listing.list_networks(tmp_path)[0] if n["name"] == "simple_conv")
    assert (published["weights"], published["parameters"]) == ("shipped", 63_623)
    assert own["published"] is None and own["ours"]["data"] == "classes"
    assert own["weights"] == str(tmp_path / "simple_conv") and own["parameters"] < 63_623


def test_the_scoreboard_has_a_cell_for_every_heading(capsys: pytest.CaptureFixture[str]) -> None:
    assert listing.main(["--markdown"]) == 0
    heading, rule, *rows = capsys.readouterr().out.splitlines()
    assert {line.count("|") for line in (heading, rule, *rows)} == {9}
    scores = {row.split("`")[1]: row for row in rows}
    card = Card.load(Path("models/tiny0/card.json"))
    assert f"| {card.accuracy:.4f} (" in scores["tiny0"] and scores["tiny0"].endswith("min |")
    assert scores["r1"].endswith("not trained here, 87 PFLOP |")


def test_the_table_passes_over_broken_models(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "card.json").write_text("{")
    assert listing.main(["--models", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "seven_block" in out and "0.609 *" in out and "tiny0" in out
    assert f"{tmp_path}/broken/card.json: not a card" in err


def test_onnx_has_its_preprocessing_inside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "tiny.onnx"
    assert export_onnx.main(["tiny0", "--out", str(file)]) == 0
    assert str(file) in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.onnx"]
    session = onnxruntime.InferenceSession(file)
    (given,), (answer,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape[1:]) == ("faces", "tensor(uint8)", [48, 48])
    assert (answer.name, answer.type, answer.shape[1:]) == ("probabilities", "tensor(float)", [7])
    predictor = Predictor.load("tiny0")
    for count in (1, 5, 33):
        faces, _ = draw_faces(count, seed=count)
        expected = predictor.probabilities(faces)
        np.testing.assert_allclose(session.run(None, {"faces": faces})[0], expected, atol=1e-5)
    properties = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    assert json.loads(properties["classes"]) == list(predictor.classes) and properties["name"] == "tiny0"


def test_onnx_into_an_absent_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="absent/tiny.onnx: cannot be written"):
        export_onnx.main(["tiny0", "--out", str(tmp_path / "absent" / "tiny.onnx")])


def test_saved_models_load(place: Path) -> None:
    network, card = load_model(place / "models" / "tiny0")
    assert not network.training and card.name == "tiny0"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_told_to_stop_says_so_without_a_traceback(number: signal.Signals) -> None:
    code = (
        "import signal, time; from zoo.command import run_command\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # nohup around the tests has it ignored
        "def main(argv):\n    print('ready', flush=True); time.sleep(60)\n"
        "run_command(main)"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], env=ENVIRONMENT, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130 and errors == "interrupted\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["zoo.fec_download", "table.csv", "--folder", "table.csv/in"],
            "table.csv/in/images: Not a directory",
        ),
        (
            ["zoo.train", *_train("--epochs", "1", "--out", "table.csv/in")],
            "table.csv: File exists",
        ),
    ],
)
def test_a_folder_that_cannot_be_made_is_named_in_one_line(arguments: list[str], words: str) -> None:
    faces = ",".join(["http://127.0.0.1:9/a.jpg,0.1,0.9,0.1,0.9"] * 3)
    Path("table.csv").write_text(f"{faces},ONE_CLASS_TRIPLET,annotator,1\n")
    done = subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, check=False, env=ENVIRONMENT
    )
    assert done.returncode == 2 and words in done.stderr
    assert "Traceback" not in done.stderr
