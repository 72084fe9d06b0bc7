"""Losses, figures and the training loop of comparison networks, on faces small enough for seconds."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from zoo.data.augment import Augmentation
from zoo.data.channels import Preprocess
from zoo.data.dataset import FaceDataset
from zoo.data.emotions import EMOTIONS
from zoo.data.pairs import Pairs, Triplets, make_pairs, make_triplets
from zoo.errors import ConfigError
from zoo.networks.comparison import EmbeddingConfig
from zoo.networks.parametric import ParametricConfig
from zoo.networks.siamese import SIAMESE, comparison_from_json
from zoo.training.embed import backbone_features, embed_faces
from zoo.training.pair_data import Objective, PairData
from zoo.training.pair_losses import all_pairs, contrastive_loss, pair_loss, triplet_loss, vote_triplets
from zoo.training.pair_measure import (
    best_threshold,
    calibration_error,
    fit_probability,
    measure_pairs,
    measure_triplets,
    odd_one_out_scale,
)
from zoo.training.pairs import PairTrainer
from zoo.training.recipe import Recipe

SMALL = EmbeddingConfig(ParametricConfig(widths=(6, 12), repeats=(1, 1)), size=8, hidden=0)
RECIPE = Recipe(epochs=2, batch_size=32, optimizer="adam", learning_rate=3e-3, average=0.0, seed=4)


@pytest.fixture(scope="module")
def dataset():
    """300 noisy faces; where a bright square lies tells the class."""
    random = np.random.RandomState(0)
    labels = np.arange(300) % 7
    faces = random.randint(0, 120, size=(300, 48, 48)).astype(np.uint8)
    for face, label in zip(faces, labels, strict=True):
        top, left = divmod(int(label), 3)
        face[16 * top + 2 : 16 * top + 14, 16 * left + 2 : 16 * left + 14] += 130
    votes = (np.eye(7)[labels] * 0.7 + 0.3 / 7).astype(np.float32)
    votes[::2] = np.roll(votes[::2], 1, axis=1) * 0.3 + votes[::2] * 0.7
    usage = np.zeros(300, dtype=np.int8)
    return FaceDataset("made", EMOTIONS, faces, labels, usage, votes=votes)


def make_trainer(
    dataset,
    *,
    config=SMALL,
    recipe=RECIPE,
    objective=None,
    lists=(None, None, None),
    checkpoint=None,
    on_features=None,
):
    train, held = np.arange(220), np.arange(220, 300)
    torch.manual_seed(recipe.seed)
    pairs = make_pairs(dataset, held, count=200, seed=0)
    return PairTrainer(
        config.build(),
        recipe,
        objective or Objective(),
        PairData(dataset, train, pairs, *lists),
        Preprocess(("gray",), (0.5,), (0.25,)),
        device=torch.device("cpu"),
        checkpoint=checkpoint,
        identity={"config": config.to_json()},
        on_features=on_features,
    )


def test_all_pairs_weigh_as_balanced_ones():
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 2])
    first, second, same, weight = all_pairs(labels, 7)
    assert len(first) == 21 and (first < second).all()
    assert weight.sum() == pytest.approx(1)
    assert weight[same].sum() == pytest.approx(0.5)
    assert weight[same & (labels[first] == 0)].sum() == pytest.approx(0.25)
    mixed = (labels[first] == 0) & (labels[second] == 2)
    assert weight[mixed].sum() == pytest.approx(1 / 6)


def test_triplets_of_a_batch_have_their_margin():
    votes = torch.rand(40, 7, generator=torch.Generator().manual_seed(0)).pow(4)
    votes /= votes.sum(1, keepdim=True)
    (one, other, odd), kind = vote_triplets(votes, margin=0.2, generator=torch.Generator().manual_seed(1))
    assert len(one) > 50

    def apart(a, b):
        return (votes[a] - votes[b]).abs().sum(1) / 2

    near, far = apart(one, other), torch.minimum(apart(one, odd), apart(other, odd))
    assert (far - near).min() >= 0.2 - 1e-5
    top = votes.argmax(1)
    emotions = [len({int(top[place]) for place in places}) for places in zip(one, other, odd, strict=True)]
    assert kind.tolist() == [count - 1 for count in emotions]


@pytest.mark.parametrize(
    ("near", "far", "farther", "kind", "loss"),
    [
        (0.0, 0.3, 0.3, 1, 0.0),
        (0.0, 0.15, 0.3, 1, 0.05),
        (0.0, 0.15, 0.3, 0, 0.0),
        (0.5, 0.5, 0.5, 2, 0.4),
        (0.5, 0.5, 0.5, 0, 0.2),
    ],
)
def test_the_two_hinges(near, far, farther, kind, loss):
    distances = (torch.tensor([value]) for value in (near, far, farther))
    assert triplet_loss(*distances, torch.tensor([kind])) == pytest.approx(loss)


def test_rare_types_weigh_as_much_as_common_ones():
    near = torch.tensor([0.5, 0.0, 0.0, 0.0])
    far = torch.full((4,), 0.5)
    assert triplet_loss(near, far, far, torch.tensor([0, 1, 1, 1])) == pytest.approx(0.1)
    assert triplet_loss(near[:0], far[:0], far[:0], torch.zeros(0, dtype=torch.int64)) == 0


def test_the_contrastive_loss_pulls_and_pushes():
    same = torch.tensor([True, False, False])
    losses = [contrastive_loss(torch.tensor([d]), same[k : k + 1]) for k, d in enumerate((0.25, 0.25, 1.5))]
    assert [float(loss) for loss in losses] == pytest.approx([0.25, 0.25, 0.0])
    distances = torch.zeros(2, requires_grad=True)
    contrastive_loss(distances, torch.tensor([True, False])).backward()
    assert torch.isfinite(distances.grad).all()


def test_the_pair_loss_is_a_cross_entropy():
    logits, same = torch.tensor([0.0, 2.0]), torch.tensor([True, False])
    expected = (np.log(2) + np.log1p(np.exp(2))) / 2
    assert pair_loss(logits, same) == pytest.approx(expected)
    assert pair_loss(logits, same, torch.tensor([0.5, 0.5])) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(4))
def test_the_best_threshold_is_the_best(seed):
    random = np.random.RandomState(seed)
    same = random.random_sample(60) < 0.5
    scores = np.round(random.normal(size=60) + same, 1)
    best = max(((scores >= cut) == same).mean() for cut in [*scores, np.inf])
    assert ((scores >= best_threshold(scores, same)) == same).mean() == best


def test_slope_and_offset_of_the_probability_are_found():
    random = np.random.RandomState(0)
    scores = random.normal(size=40_000) * 2
    same = random.random_sample(40_000) < 1 / (1 + np.exp(-(0.7 * scores - 0.4)))
    slope, offset = fit_probability(scores, same, faces=20_000)
    assert (slope, offset) == (pytest.approx(0.7, abs=0.03), pytest.approx(-0.4, abs=0.03))
    assert calibration_error(1 / (1 + np.exp(-(slope * scores + offset))), same) < 0.02
    assert calibration_error(np.full(10, 0.9), np.zeros(10, dtype=bool)) == pytest.approx(0.9)


def test_a_few_faces_that_are_all_told_apart_make_no_answer_certain():
    same = np.arange(200) % 2 == 0
    scores = np.where(same, 1.0, -1.0) * np.linspace(0.5, 3, 200)
    slope, offset = fit_probability(scores, same, faces=21)
    assert 1 < slope < 4 and 0.6 < 1 / (1 + np.exp(-(0.5 * slope + offset))) < 0.95
    far, farther = np.random.RandomState(0).uniform(0.5, 2, (2, 200))
    scale = odd_one_out_scale(np.full(200, 0.2), far, farther, faces=21)
    assert 4 < scale < 20


def test_beside_the_held_out_faces_of_fer2013_priors_weigh_nothing():
    random = np.random.RandomState(0)
    scores = random.normal(size=6_000) * 1.3
    same = random.random_sample(6_000) < 1 / (1 + np.exp(-1.83 * scores))
    slopes = [fit_probability(scores, same, faces=faces)[0] for faces in (2_846, 10**12)]
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-3)
    distances = random.uniform(0, 1.2, (1_500, 3))
    chances = np.exp(-8.5 * distances)
    chances = (chances / chances.sum(1, keepdims=True)).cumsum(1)
    near = (random.random_sample((1_500, 1)) > chances[:, :2]).sum(1)
    sides = np.take_along_axis(distances, (near[:, None] + np.arange(3)) % 3, axis=1).T
    scales = [odd_one_out_scale(*sides, faces=faces) for faces in (2_846, 10**12)]
    assert scales[0] == pytest.approx(scales[1], rel=1e-3) == pytest.approx(8.5, rel=0.15)


def test_figures_of_pairs():
    random = np.random.RandomState(0)
    first, second = random.randint(100, size=(2, 500))
    pairs = Pairs(first, second, random.random_sample(500) < 0.5)
    perfect = measure_pairs(pairs.same.astype(float), pairs, threshold=0.5)
    assert perfect["accuracy"] == perfect["auc"] == 1 and perfect["auc_interval"] == [1, 1]
    chance = measure_pairs(random.random_sample(500), pairs, threshold=0.5)
    low, high = chance["auc_interval"]
    assert low < 0.5 < high
    assert chance["accuracy_interval"][0] < chance["accuracy"] < chance["accuracy_interval"][1]


def test_figures_of_triplets_by_type():
    rows = np.arange(4)
    triplets = Triplets(rows, rows, rows, np.array([0, 0, 1, 1], dtype=np.int8))
    near = np.array([0.1, 0.5, 0.1, 0.3])
    figures = measure_triplets(near, np.full(4, 0.4), np.array([0.4, 0.6, 0.4, 0.2]), triplets)
    assert {name: entry["accuracy"] for name, entry in figures.items()} == {
        "all": 0.5,
        "one": 0.5,
        "two": 0.5,
    }
    assert figures["all"]["triplets"] == 4


def test_the_scale_of_the_odd_one_out_grows_with_how_clear_it_is():
    random = np.random.RandomState(0)
    far, farther = random.random_sample((2, 500))
    clear = odd_one_out_scale(np.zeros(500), far, farther, faces=500)
    vague = odd_one_out_scale(random.random_sample(500) * 0.9, far, farther, faces=500)
    assert clear > vague > 0


@pytest.mark.parametrize("loss", ["pair", "contrastive", "triplet", "both"])
@pytest.mark.parametrize("listed", [False, True])
def test_every_loss_trains(dataset, loss, listed):
    rows = np.arange(220)
    lists = (None, None)
    if listed:
        lists = make_pairs(dataset, rows, count=90, seed=0), make_triplets(dataset, rows, count=60, seed=0)
    trainer = make_trainer(dataset, objective=Objective(loss=loss), lists=lists)
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    results = list(trainer.epochs())
    assert [result.epoch for result in results] == [1, 2]
    assert results[1].train_loss < results[0].train_loss
    assert not torch.equal(before["project.0.weight"], trainer.network.project[0].weight)


def test_sets_of_faces_teach_to_compare(dataset):
    config = EmbeddingConfig(ParametricConfig(widths=(6, 12), repeats=(1, 1), head="flatten"), size=8)
    recipe = dataclasses.replace(RECIPE, epochs=3, augmentation=Augmentation(flip=False, strength=0.0))
    results = list(make_trainer(dataset, config=config, recipe=recipe).epochs())
    assert results[-1].auc > 0.8


def test_a_resumed_run_gives_the_same_numbers(dataset, tmp_path):
    recipe = dataclasses.replace(RECIPE, epochs=3, average=0.9)
    whole = make_trainer(dataset, recipe=recipe)
    expected = [result.train_loss for result in whole.epochs()]
    path = tmp_path / "run.checkpoint"
    begun = make_trainer(dataset, recipe=recipe, checkpoint=path)
    next(begun.epochs())
    resumed = make_trainer(dataset, recipe=recipe, checkpoint=path)
    list(resumed.epochs())
    assert [result.train_loss for result in resumed.history] == expected
    for name, value in resumed.finish().state_dict().items():
        assert torch.equal(value, whole.finish().state_dict()[name])


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": dataclasses.replace(RECIPE, learning_rate=1e-3)},
        {"objective": Objective(loss="pair")},
        {"config": dataclasses.replace(SMALL, size=9)},
    ],
)
def test_a_checkpoint_of_another_run_is_refused(dataset, tmp_path, change):
    path = tmp_path / "run.checkpoint"
    next(make_trainer(dataset, checkpoint=path).epochs())
    with pytest.raises(ConfigError, match="belongs to a run with another"):
        make_trainer(dataset, checkpoint=path, **change)


def test_float64_is_asked_of_the_cpu_alone(dataset, monkeypatch):
    """As MPS has no float64, and a machine for tests no MPS."""

    class Elsewhere(torch.Tensor):
        def double(self):
            raise TypeError("no float64 here")

        def cpu(self):
            return self.as_subclass(torch.Tensor)

    trainer = make_trainer(dataset, recipe=dataclasses.replace(RECIPE, epochs=1))
    compare = trainer.network.compare
    monkeypatch.setattr(
        trainer.network, "compare", lambda *pair: compare(*pair).as_subclass(Elsewhere), raising=False
    )
    assert 0 <= next(trainer.epochs()).auc <= 1


@pytest.mark.parametrize(("loss", "fewest"), [("pair", 2), ("contrastive", 2), ("triplet", 3), ("both", 3)])
def test_batches_without_faces_to_compare_are_refused(dataset, loss, fewest):
    for size in (fewest, fewest - 1):
        recipe = dataclasses.replace(RECIPE, batch_size=size)
        if size < fewest:
            with pytest.raises(ConfigError, match=f"batch_size is {size}; required: at least {fewest}"):
                make_trainer(dataset, recipe=recipe, objective=Objective(loss=loss))
        else:
            make_trainer(dataset, recipe=recipe, objective=Objective(loss=loss))


def test_it_stops_early(dataset):
    recipe = dataclasses.replace(RECIPE, epochs=30, learning_rate=1e-9, patience=2)
    trainer = make_trainer(dataset, recipe=recipe)
    assert len(list(trainer.epochs())) < 30
    assert trainer.best.auc == max(result.auc for result in trainer.history)


def test_triplets_select_the_epoch_where_nothing_else_is_trained(dataset):
    held_out = make_triplets(dataset, np.arange(220, 300), count=30, seed=0)
    trainer = make_trainer(
        dataset,
        recipe=dataclasses.replace(RECIPE, epochs=4),
        objective=Objective(loss="triplet", classification=0.0),
        lists=(None, None, held_out),
    )
    results = list(trainer.epochs())
    assert trainer.best.triplets == max(result.triplets for result in results) > 1 / 3
    embeddings, _ = embed_faces(
        trainer.finish(), dataset.faces[220:], trainer.preprocess, device=torch.device("cpu")
    )
    first, second, odd = (
        torch.from_numpy(embeddings[rows - 220]) for rows in (held_out.first, held_out.second, held_out.odd)
    )
    distance = trainer.network.distance
    right = distance(first, second) < torch.minimum(distance(first, odd), distance(second, odd))
    assert right.float().mean().item() == pytest.approx(trainer.best.triplets)


def test_probabilities_that_agree_make_a_pair_the_same():
    network = SMALL.build().eval()
    random = torch.Generator().manual_seed(0)
    points = torch.nn.functional.normalize(torch.randn(5, SMALL.size, generator=random), dim=1)
    sure, other, unsure = torch.eye(7)[0] * 0.94, torch.eye(7)[1] * 0.94, torch.zeros(7)
    sure, other, unsure = sure + 0.06 / 7, other + 0.06 / 7, unsure + 1 / 7
    faces = torch.cat([points, torch.stack([sure, sure, other, unsure, unsure])], dim=1)
    first, second = torch.tensor([0, 0, 3, 0, 3, 0]), torch.tensor([0, 1, 3, 3, 4, 2])
    with torch.no_grad():
        same, alike, itself, half, open_, different = network.compare(faces[first], faces[second]).tolist()
    assert same == itself > alike > open_ > different and alike > half > different


def test_rare_classes_gain_half_of_their_correction():
    network = SMALL.build()
    shares = torch.tensor([0.4, 0.01, 0.29, 0.1, 0.1, 0.1, 0.0])
    network.know_training(shares, temperature=2.0)
    assert network.temperature == 2
    assert network.class_bias[1] - network.class_bias[0] == pytest.approx(math.log(40) / 2, rel=1e-5)
    assert torch.isfinite(network.class_bias).all()


@pytest.mark.parametrize("config", [SMALL, dataclasses.replace(SIAMESE["siamese_mobilenet_v3"], pixels=32)])
def test_a_frozen_backbone_stays_as_it_is(dataset, config):
    lists = (make_pairs(dataset, np.arange(220), count=64, seed=0), None)
    objective = Objective(loss="pair", classification=0.0, frozen=True, views=2)
    trainer = make_trainer(dataset, config=config, objective=objective, lists=lists)
    before = {name: value.clone() for name, value in trainer.network.backbone.state_dict().items()}
    assert len(list(trainer.epochs())) == 2
    for name, value in trainer.finish().backbone.state_dict().items():
        assert torch.equal(before[name], value)


def test_a_frozen_backbone_that_sees_flips_only_has_two_views_of_the_listed_faces(dataset):
    pairs = make_pairs(dataset, np.arange(0, 220, 3), count=64, seed=0)
    recipe = dataclasses.replace(RECIPE, epochs=1, augmentation=Augmentation(strength=0.0))
    told = []
    trainer = make_trainer(
        dataset,
        recipe=recipe,
        objective=Objective(loss="pair", classification=0.0, frozen=True),
        lists=(pairs, None),
        on_features=lambda done, total: told.append((done, total)),
    )
    listed = np.unique(np.concatenate([pairs.first, pairs.second]))
    held_out = np.unique(np.concatenate([trainer.data.held_out.first, trainer.data.held_out.second]))
    assert told[-1] == (2 * len(listed) + len(held_out),) * 2
    faces = torch.from_numpy(dataset.faces[listed])
    for view, images in enumerate((faces, faces.flip(2))):
        expected = backbone_features(
            trainer.network, images.numpy(), trainer.preprocess, trainer.device, trainer._precision
        )
        torch.testing.assert_close(trainer._features[view, trainer._places[listed]], expected)
    assert trainer._features.shape[:2] == (2, len(np.union1d(listed, held_out)))
    assert len(list(trainer.epochs())) == 1


@pytest.mark.parametrize("loss", ["triplet", "both"])
def test_losses_that_need_votes_say_so(dataset, loss):
    with pytest.raises(ConfigError, match="needs annotators' votes"):
        make_trainer(dataclasses.replace(dataset, votes=None), objective=Objective(loss=loss))


@pytest.mark.parametrize("loss", ["triplet", "both"])
def test_losses_that_the_lists_do_not_suit_say_so(dataset, loss):
    lists = (make_pairs(dataset, np.arange(220), count=10, seed=0), None)
    with pytest.raises(ConfigError, match="loss is"):
        make_trainer(dataset, objective=Objective(loss=loss), lists=lists)


@pytest.mark.parametrize(
    "config",
    [SMALL, dataclasses.replace(SMALL, hidden=10), *SIAMESE.values()],
    ids=lambda config: config.family,
)
def test_configs_describe_their_networks(config):
    assert comparison_from_json(config.to_json()) == config
    cost = config.cost()
    assert cost.parameters == sum(parameter.numel() for parameter in config.build().parameters())
    assert cost.macs > 0


def test_the_published_networks_have_their_sizes():
    # torchvision's ResNet-18 without its last layer has 11,176,512 parameters, MobileNetV3-Large 2,971,952.
    heads = {"siamese_resnet18": 2 * 512 * 256 + 256 + 257, "siamese_mobilenet_v3": 2 * 960 * 256 + 256 + 257}
    for name, backbone in (("siamese_resnet18", 11_176_512), ("siamese_mobilenet_v3", 2_971_952)):
        assert SIAMESE[name].cost().parameters == backbone + heads[name]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"family": "none"}, "'none' is unknown"),
        ({"family": "siamese"}, "has no 'network'"),
        ({}, "None is unknown"),
    ],
)
def test_configs_that_are_none_are_refused(values, words):
    with pytest.raises(ConfigError, match=words):
        comparison_from_json(values)
