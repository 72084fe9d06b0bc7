"""The training loop learns, resumes exactly, stops early, and never waits for the device within an epoch."""

from __future__ import annotations

import dataclasses
import zipfile
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.zoo.training.tiny import CONFIG, CPU, RECIPE, tiny_dataset, tiny_split
from zoo.data.augment import Augmentation
from zoo.data.channels import Preprocess
from zoo.errors import ConfigError
from zoo.networks import NetworkConfig, ParametricConfig
from zoo.networks.bilstm import BiLstmConfig
from zoo.networks.fully_connected import FullyConnectedConfig
from zoo.networks.vit import ViTConfig
from zoo.training import loop
from zoo.training.checkpoint import load_checkpoint, save_checkpoint
from zoo.training.evaluate import measure
from zoo.training.loop import DivergedError, EpochResult, Trainer
from zoo.training.optimization import WeightAverage
from zoo.training.pretrained import Start
from zoo.training.recipe import OPTIMIZERS, Recipe

DATASET = tiny_dataset()

RECIPES = {
    "sgd, cosine, average": RECIPE,
    "adam, plateau, mixup": replace(
        RECIPE, optimizer="adam", schedule="plateau", plateau_patience=0, mixup=0.4, learning_rate=0.01
    ),
    "adamw, one cycle, weighted": replace(
        RECIPE, optimizer="adamw", schedule="one_cycle", balance="weighted", learning_rate=0.01
    ),
    "adadelta, cyclic, oversampled": replace(
        RECIPE,
        optimizer="adadelta",
        schedule="cyclic",
        balance="oversample",
        learning_rate=1.0,
        step_epochs=2.0,
    ),
    "step, undersampled, last": replace(
        RECIPE, schedule="step", step_epochs=2.0, balance="undersample", balance_strength=0.5, keep="last"
    ),
    "growing faces": replace(RECIPE, start_resolution=32, full_resolution_from=0.7),
    "constant, no average, early stop": replace(
        RECIPE, schedule="constant", average=0.0, patience=1, epochs=6, learning_rate=0.2
    ),
}


def _trainer(recipe: Recipe = RECIPE, *, config: NetworkConfig = CONFIG, **options: Any) -> Trainer:
    options.setdefault("dataset", DATASET)
    dataset = options.pop("dataset")
    return Trainer(config, recipe, dataset, tiny_split(dataset), device=CPU, **options)


def _numbers(history: list[EpochResult]) -> list[dict[str, Any]]:
    return [{**dataclasses.asdict(result), "seconds": 0} for result in history]


def _same(first: nn.Module, second: nn.Module) -> bool:
    one, two = first.state_dict(), second.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(recipe: Recipe, tmp_path: Path) -> None:
    whole = _trainer(recipe)
    whole_history = list(whole.epochs())
    checkpoint = tmp_path / "run.checkpoint"
    for _ in range(2):  # interrupted after one epoch, and again after two
        list(islice(_trainer(recipe, checkpoint=checkpoint).epochs(), 1))
    resumed = _trainer(recipe, checkpoint=checkpoint)
    assert len(resumed.history) == 2
    list(resumed.epochs())
    assert _numbers(resumed.history) == _numbers(whole_history)
    assert _same(resumed.finish(), whole.finish())
    assert resumed.best is not None and whole.best is not None
    assert resumed.best.epoch == whole.best.epoch


@pytest.mark.parametrize("recipe", list(RECIPES.values())[:4], ids=list(RECIPES)[:4])
def test_every_optimizer_learns(recipe: Recipe) -> None:
    history = list(_trainer(replace(recipe, epochs=6)).epochs())
    assert history[-1].train_loss < 0.85 * history[0].train_loss
    assert {recipe.optimizer for recipe in RECIPES.values()} == set(OPTIMIZERS)


def test_the_tiny_stripes_are_learned() -> None:
    recipe = replace(RECIPE, epochs=8, learning_rate=0.2, augmentation=Augmentation(strength=0.3))
    trainer = _trainer(recipe, dataset=tiny_dataset(288))
    assert max(result.accuracy for result in trainer.epochs()) >= 0.95


@pytest.mark.parametrize(
    "config",
    [
        FullyConnectedConfig(classes=3, linear=(16,)),
        BiLstmConfig(classes=3, width=8, linear=8),
        ViTConfig(classes=3, pixels=48, patch=12, width=16, depth=1, heads=2, hidden=32, copies=False),
        ParametricConfig(classes=3, channels=("gray", "sobel", "contrast"), widths=(4,), repeats=(1,)),
    ],
    ids=["fully connected", "bilstm", "vit", "channels"],
)
def test_every_family_trains(config: NetworkConfig) -> None:
    recipe = replace(RECIPE, optimizer="adamw", learning_rate=0.002, epochs=4)
    history = list(_trainer(recipe, config=config).epochs())
    assert history[-1].train_loss < history[0].train_loss


def test_the_seed_decides_everything() -> None:
    first, again, other = (_trainer(replace(RECIPE, seed=seed, epochs=1)) for seed in (7, 7, 8))
    results = [_numbers(list(trainer.epochs())) for trainer in (first, again, other)]
    assert results[0] == results[1] != results[2]
    assert _same(first.finish(), again.finish()) and not _same(first.finish(), other.finish())


class _Nearest(nn.Module):
    """Tells the class of the known image that is nearest."""

    def __init__(self, images: torch.Tensor, labels: np.ndarray) -> None:
        super().__init__()
        self.known, self.answers = images.flatten(1), torch.eye(3)[torch.from_numpy(labels)]
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        nearest = torch.cdist(images.flatten(1), self.known).argmin(1)
        return self.scale * self.answers[nearest]


def test_answers_to_blended_faces_are_counted_against_the_heavier_one() -> None:
    quiet = Augmentation(flip=False, strength=0.0)
    trainer = _trainer(replace(RECIPE, batch_size=8, mixup=0.05, augmentation=quiet))
    rows = tiny_split(DATASET).train
    known = trainer.preprocess(torch.from_numpy(DATASET.faces[rows]))
    trainer._forwards[48] = _Nearest(known, DATASET.labels[rows])
    _, _, accuracy, _ = trainer._train(0, 48, None)
    assert accuracy == 1.0


def test_the_loss_by_hand() -> None:
    recipe = replace(RECIPE, batch_size=16, mixup=0.4, label_smoothing=0.1, balance="weighted")
    trainer = _trainer(recipe, precision=torch.float32)
    rows = tiny_split(DATASET).train
    known = trainer.preprocess(torch.from_numpy(DATASET.faces[rows]))
    network = trainer._forwards[48] = _Nearest(known, DATASET.labels[rows])
    assert trainer._class_weights is not None
    shares, losses = np.random.default_rng((recipe.seed, 0)), []
    for images, targets in trainer._batches.epoch(0):
        share = shares.beta(0.4, 0.4)
        share = max(share, 1 - share)
        logits = network(share * images + (1 - share) * images.flip(0)).detach()
        aims = share * targets + (1 - share) * targets.flip(0)
        aims = 0.9 * aims + 0.1 / 3
        losses.append(float(-(trainer._class_weights * aims * logits.log_softmax(1)).sum(1).mean()))
    _, loss, _, _ = trainer._train(0, 48, None)
    assert loss == pytest.approx(np.mean(losses), rel=1e-5)


def test_another_order_of_global_randomness_changes_nothing() -> None:
    calm, disturbed = _trainer(), _trainer()
    for _ in zip(calm.epochs(), disturbed.epochs(), strict=True):
        torch.rand(17)
    assert _same(calm.finish(), disturbed.finish())


def _accuracy(trainer: Trainer, network: nn.Module) -> float:
    split = tiny_split(DATASET)
    preprocess = Preprocess(("gray",), trainer.mean, trainer.std)
    with torch.inference_mode():
        logits = network(preprocess(torch.from_numpy(DATASET.faces[split.validation]))).numpy()
    return float(measure(logits, DATASET.labels[split.validation], DATASET.classes)["accuracy"])


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_early_stopping_restores_the_best_epoch(average: float) -> None:
    recipe = replace(RECIPE, epochs=40, schedule="constant", learning_rate=0.3, patience=3, average=average)
    trainer = _trainer(recipe, precision=torch.float32)
    list(trainer.epochs())
    assert trainer.best is not None
    assert len(trainer.history) == trainer.best.epoch + 3 < 40
    assert trainer.best.accuracy == max(result.accuracy for result in trainer.history)
    assert _accuracy(trainer, trainer.finish()) == pytest.approx(trainer.best.accuracy)


def test_keeping_the_last_epoch() -> None:
    recipe = replace(RECIPE, epochs=3, keep="last")
    trainer = _trainer(recipe, precision=torch.float32)
    list(trainer.epochs())
    assert trainer.best is trainer.history[-1]
    assert _accuracy(trainer, trainer.finish()) == pytest.approx(trainer.history[-1].accuracy)


def test_the_moving_average_by_hand() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    average = WeightAverage(network, 0.5)
    expected = 0.0
    for step, value in enumerate((1.0, 3.0, -2.0, 8.0), start=1):
        with torch.no_grad():
            network.weight.fill_(value)
        average.update()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
        assert average.state["weight"].item() == pytest.approx(expected)


def test_validation_sees_the_average_and_training_goes_on_without_it() -> None:
    trainer = _trainer()
    next(trainer.epochs())
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    trainer.logits(DATASET.faces[:4])
    after = trainer.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    average = trainer.finish().state_dict()
    assert not torch.equal(average["classifier.weight"], before["classifier.weight"])


def test_a_diverging_run_ends_with_its_epoch() -> None:
    recipe = replace(RECIPE, learning_rate=1e30, warmup_epochs=0.0, schedule="constant")
    with pytest.raises(DivergedError, match="loss is (nan|inf) in epoch 1"):
        list(_trainer(recipe).epochs())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"recipe": replace(RECIPE, learning_rate=0.01)}, "another recipe"),
        ({"config": replace(CONFIG, widths=(4, 9))}, "another config"),
        ({"dataset": tiny_dataset(seed=1)}, "another data"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.checkpoint"
    next(_trainer(checkpoint=checkpoint).epochs())
    with pytest.raises(ConfigError, match=f"{checkpoint}.*{words}"):
        _trainer(**{"recipe": RECIPE, **change}, checkpoint=checkpoint)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"broken\n", b"PK\x03\x04 broken"])
def test_an_unreadable_checkpoint_counts_as_none(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = tmp_path / "run.checkpoint"
    checkpoint.write_bytes(content)
    assert load_checkpoint(checkpoint) is None
    assert caplog.messages[0].startswith(f"{checkpoint}: unreadable, begun anew: ")
    assert _trainer(checkpoint=checkpoint).history == []


def test_an_altered_checkpoint_counts_as_none(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.checkpoint"
    next(_trainer(checkpoint=checkpoint).epochs())
    content = bytearray(checkpoint.read_bytes())
    with zipfile.ZipFile(checkpoint) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    content[largest.header_offset + 200] ^= 1
    checkpoint.write_bytes(content)
    assert load_checkpoint(checkpoint) is None


def test_a_byte_altered_anywhere_ends_no_run(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.checkpoint"
    save_checkpoint(checkpoint, {"weights": torch.arange(3.0), "epoch": 1})
    whole = checkpoint.read_bytes()
    for place in range(len(whole)):
        content = bytearray(whole)
        content[place] ^= 1 << 7
        checkpoint.write_bytes(content)
        state = load_checkpoint(checkpoint)  # of some bytes nothing is read
        assert state is None or (state["weights"].tolist(), state["epoch"]) == ([0.0, 1.0, 2.0], 1)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_a_checkpoint_that_memory_has_no_room_for_is_kept(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = tmp_path / "run.checkpoint"
    next(_trainer(checkpoint=checkpoint).epochs())
    with monkeypatch.context() as patch, pytest.raises(type(error)):
        patch.setattr(torch, "load", mock.Mock(side_effect=error))
        _trainer(checkpoint=checkpoint)
    assert len(_trainer(checkpoint=checkpoint).history) == 1


def test_a_checkpoint_with_code_in_it_is_not_run(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.checkpoint"
    torch.save({"network": tmp_path}, checkpoint)
    assert load_checkpoint(checkpoint) is None


def test_classes_have_to_be_those_of_the_data() -> None:
    with pytest.raises(ConfigError, match="classes is 7; required: 3, as tiny stripes has"):
        _trainer(config=replace(CONFIG, classes=7))


def test_given_weights_are_where_training_begins() -> None:
    other = _trainer(replace(RECIPE, seed=5)).network.state_dict()
    start = {name: value.clone() for name, value in other.items()}
    trainer = _trainer(start=Start(start, {"model": "other"}))
    assert all(torch.equal(value, start[name]) for name, value in trainer.network.state_dict().items())


def test_a_run_goes_on_only_from_what_it_began_with(tmp_path: Path) -> None:
    weights = _trainer(replace(RECIPE, seed=5)).network.state_dict()
    path = tmp_path / "run.checkpoint"
    next(_trainer(checkpoint=path, start=Start(weights, {"model": "other"})).epochs())
    _trainer(checkpoint=path, start=Start(weights, {"model": "other"}))
    for start in (None, Start(weights, {"model": "another"})):
        with pytest.raises(ConfigError, match="belongs to a run with another pretrained"):
            _trainer(checkpoint=path, start=start)


def test_norms_and_biases_have_no_weight_decay() -> None:
    trainer = _trainer(replace(RECIPE, weight_decay=0.1))
    for group in trainer._optimizer.param_groups:
        for parameter in group["params"]:
            assert group["weight_decay"] == (0.1 if parameter.ndim > 1 else 0.0)
    counted = sum(len(group["params"]) for group in trainer._optimizer.param_groups)
    assert counted == len(list(trainer.network.parameters()))


def test_a_cut_epoch_counts_but_is_not_resumed_from(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.checkpoint"
    seen: list[tuple[int, int]] = []

    def in_the_second_step_of_the_second_epoch(done: int, steps: int) -> bool:
        seen.append((done, steps))
        return seen.count((2, 3)) == 2

    cut = _trainer(checkpoint=checkpoint)
    assert len(list(cut.epochs(on_step=in_the_second_step_of_the_second_epoch))) == 2
    assert seen == [(1, 3), (2, 3), (3, 3), (1, 3), (2, 3)]
    resumed, whole = _trainer(checkpoint=checkpoint), _trainer()
    assert len(resumed.history) == 1
    list(resumed.epochs())
    list(whole.epochs())
    assert _numbers(resumed.history) == _numbers(whole.history)


def test_a_shortened_schedule_comes_to_its_end_unless_it_is_resumed(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.checkpoint"
    recipe = replace(RECIPE, epochs=50)
    trainer = _trainer(recipe, checkpoint=checkpoint)
    for result in trainer.epochs():
        if result.epoch == 2:
            trainer.plan(4)
    assert len(trainer.history) == 4
    assert trainer.history[-1].learning_rate < 0.2 * trainer.history[1].learning_rate
    resumed = _trainer(recipe, checkpoint=checkpoint)
    assert len(resumed.history) == 4 and resumed.recipe.epochs == 50


class _Waits(TorchDispatchMode):
    """Counts the operations that make the program wait for the device: values read back, sizes that depend on
    values."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if str(operation).split(".")[1] in (
            "_local_scalar_dense",
            "nonzero",
            "masked_select",
            "_unique2",
            "equal",
        ):
            self.count += 1
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("balance", ["none", "weighted"])
def test_training_steps_never_wait_for_the_device(optimizer: str, balance: str) -> None:
    waits = []
    for batch_size in (48, 8):
        recipe = replace(RECIPE, optimizer=optimizer, balance=balance, mixup=0.2, batch_size=batch_size)
        trainer = _trainer(recipe)
        with _Waits() as counter:
            trainer._train(0, 48, None)
        waits.append(counter.count)
    assert waits[0] == waits[1] <= 2  # the epoch's loss and accuracy, read once at its end


def test_the_counter_of_waits_sees_them() -> None:
    with _Waits() as counter:
        float(torch.zeros(1))
        torch.zeros(3).nonzero()
    assert counter.count == 2


@pytest.mark.parametrize(("balance", "better"), [("oversample", True), ("weighted", True), ("none", False)])
def test_balance_reaches_the_rare_class(balance: str, better: bool) -> None:
    recipe = replace(RECIPE, balance=balance, epochs=2, augmentation=Augmentation(flip=False, strength=0.0))
    trainer = _trainer(recipe)  # the weights reach the loss: `test_the_loss_by_hand`
    seen = sum((targets.sum(0) for _, targets in trainer._batches.epoch(0)), torch.zeros(3))
    weights = torch.ones(3) if trainer._class_weights is None else trainer._class_weights
    felt = seen * weights
    assert (felt[1] > 0.7 * felt[0]) == better


def test_soft_labels_are_the_targets() -> None:
    votes = np.full((len(DATASET), 3), 1 / 3, dtype=np.float32)
    dataset = replace(DATASET, votes=votes)
    trainer = _trainer(replace(RECIPE, soft_labels=True), dataset=dataset)
    _, targets = next(trainer._batches.epoch(0))
    assert torch.equal(targets, torch.full((32, 3), 1 / 3))


def test_plateau_lowers_the_rate_only_after_its_patience() -> None:
    trainer = _trainer(replace(RECIPE, schedule="plateau", plateau_patience=1, step_factor=0.5))
    factors = []
    for loss in (1.0, 0.9, 0.95, 0.95, 0.95, 0.8, 0.9, 0.9):
        trainer._plateau.update(loss)
        factors.append(trainer._plateau.factor)
    assert factors == [1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]


def test_epochs_that_bring_nothing_lower_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {"loss": 1.0, "accuracy": 0.5, "macro_f1": 0.5}
    monkeypatch.setattr(loop, "measure", lambda *given: figures)
    recipe = replace(RECIPE, schedule="plateau", plateau_patience=0, step_factor=0.5, warmup_epochs=0.0)
    rates = [result.learning_rate for result in _trainer(recipe).epochs()]
    assert rates == pytest.approx([0.05, 0.05, 0.025, 0.0125])


def test_seconds_are_summed_over_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = _trainer(replace(RECIPE, epochs=2))
    list(trainer.epochs())
    assert trainer.seconds == sum(result.seconds for result in trainer.history) > 0


def test_validation_answers_are_those_of_the_last_epoch(tmp_path: Path) -> None:
    faces = DATASET.faces[tiny_split(DATASET).validation]
    trainer = _trainer(replace(RECIPE, epochs=2), checkpoint=tmp_path / "state.pt")
    for result in trainer.epochs():
        answers = trainer.validation_logits()
        np.testing.assert_array_equal(answers, trainer.logits(faces))
        assert (
            measure(answers, DATASET.labels[tiny_split(DATASET).validation], DATASET.classes)["loss"]
            == result.loss
        )
    resumed = _trainer(replace(RECIPE, epochs=2), checkpoint=tmp_path / "state.pt")
    np.testing.assert_array_equal(resumed.validation_logits(), answers)


def test_faces_grow_while_a_network_trains() -> None:
    trainer = _trainer(replace(RECIPE, epochs=5, start_resolution=32, full_resolution_from=0.8))
    sizes: list[tuple[int, bool]] = []
    trainer.network.register_forward_pre_hook(
        lambda module, inputs: sizes.append((inputs[0].shape[2], module.training))
    )
    for _ in trainer.epochs():
        pass
    assert sorted({size for size, training in sizes if training}) == [32, 40, 48]
    assert {size for size, training in sizes if not training} == {48}, "validated at full resolution"
    assert next(size for size, training in sizes if training) == 32


def test_a_network_of_one_size_refuses_smaller_faces() -> None:
    with pytest.raises(ConfigError, match="start_resolution is 32; required for this network: 48 at least"):
        _trainer(replace(RECIPE, start_resolution=32), config=replace(CONFIG, head="flatten"))
