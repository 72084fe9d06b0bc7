"""Training on a CUDA device: as on a CPU, recorded or not, and without waiting for the device in a step."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.zoo.training.tiny import CONFIG, RECIPE, tiny_dataset, tiny_split
from zoo.data.drawn import drawn_dataset
from zoo.data.split import make_split
from zoo.errors import DeviceError
from zoo.networks import NetworkConfig, named
from zoo.networks.blocks import Conv2d
from zoo.predictor import Predictor
from zoo.training.fit import save_trained
from zoo.training.graphs import Forward, recorded, recorded_training
from zoo.training.loop import EpochResult, Trainer
from zoo.training.recipe import OPTIMIZERS, Recipe
from zoo.training.session import plain_errors

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]

DATASET = tiny_dataset()
SURE = replace(CONFIG, head_dropout=0.0)


def _trainer(recipe: Recipe = RECIPE, *, config: NetworkConfig = CONFIG, **options: Any) -> Trainer:
    device = options.pop("device", torch.device("cuda"))
    return Trainer(config, recipe, DATASET, tiny_split(DATASET), device=device, **options)


def _losses(history: list[EpochResult]) -> list[float]:
    return [result.train_loss for result in history]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_recorded_passes_train_as_single_launches_do(optimizer: str) -> None:
    rate = {"sgd": 0.05, "adadelta": 1.0}.get(optimizer, 0.003)
    recipe = replace(RECIPE, optimizer=optimizer, learning_rate=rate)
    runs = [
        _losses(list(_trainer(recipe, config=SURE, precision=torch.float32, graphs=graphs).epochs()))
        for graphs in (True, False)
    ]
    assert runs[0] == pytest.approx(runs[1], rel=0.01)
    assert runs[0][-1] < runs[0][0]


def test_a_gpu_trains_as_a_cpu_does() -> None:
    # The device draws the augmentation from its own generator, so there is none.
    still = replace(RECIPE, augmentation=replace(RECIPE.augmentation, strength=0.0))
    runs = [
        _losses(list(_trainer(still, config=SURE, precision=torch.float32, device=device).epochs()))
        for device in (torch.device("cuda"), torch.device("cpu"))
    ]
    assert runs[0] == pytest.approx(runs[1], rel=0.02)


@pytest.mark.parametrize(
    "recipe",
    [
        RECIPE,
        replace(RECIPE, optimizer="adamw", learning_rate=0.003, mixup=0.4, balance="weighted"),
        replace(RECIPE, start_resolution=32, full_resolution_from=0.5),
    ],
    ids=["sgd", "adamw, mixup, weighted", "growing faces"],
)
def test_no_step_waits_for_the_device(recipe: Recipe) -> None:
    trainer = _trainer(recipe)
    steps = 0

    def after_step(done: int, of: int) -> bool:
        nonlocal steps
        steps += 1
        # From the first step's end to the last one's; the epoch's sums are fetched after that.
        torch.cuda.set_sync_debug_mode("default" if done == of else "error")
        return False

    try:
        list(trainer.epochs(on_step=after_step))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert steps == recipe.epochs * (96 // recipe.batch_size)


def test_a_resumed_run_goes_on_as_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = _trainer(precision=torch.float32)
    expected = _losses(list(whole.epochs()))
    first = _trainer(precision=torch.float32, checkpoint=tmp_path / "run")
    next(iter(first.epochs()))
    second = _trainer(precision=torch.float32, checkpoint=tmp_path / "run")
    assert len(second.history) == 1
    list(second.epochs())
    assert _losses(second.history) == pytest.approx(expected, rel=0.01)


def test_a_recording_leaves_the_statistics_and_follows_the_weights() -> None:
    model = _trainer(config=SURE).network.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = torch.randn(32, 1, 48, 48, device="cuda").contiguous(memory_format=torch.channels_last)
    forward = Forward(model, images.device, torch.float32)
    launched = recorded_training(forward, images)
    assert "forward" in vars(launched)  # torch puts the launch there
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    first = launched(images).detach().clone()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    second = launched(images).detach().clone()
    torch.testing.assert_close(second, model(images).detach(), rtol=1e-3, atol=1e-3)
    assert not torch.allclose(first, second)


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_of_zeros_change_no_answer(channels: int) -> None:
    layer = Conv2d(channels, 32, 3, padding=1).to("cuda")
    images = torch.randn(16, channels, 48, 48, device="cuda")
    expected = torch.nn.functional.conv2d(images, layer.weight, layer.bias, padding=1)
    with torch.autocast("cuda", torch.bfloat16):
        answers = layer(images)
    torch.testing.assert_close(answers.float(), expected, atol=0.05, rtol=0.05)
    answers.float().square().sum().backward()
    padded = layer.weight.grad
    assert padded is not None
    layer.weight.grad = None
    expected.square().sum().backward()
    torch.testing.assert_close(padded, layer.weight.grad, atol=0.5, rtol=0.05)


def test_a_recorded_function_answers_as_the_function() -> None:
    matrix = torch.randn(16, 4, device="cuda")

    def answer(faces: torch.Tensor) -> torch.Tensor:
        return torch.softmax(faces @ matrix, dim=1)

    launched = recorded(answer, torch.zeros(8, 16, device="cuda"))
    assert launched is not answer
    for _ in range(3):
        faces = torch.randn(8, 16, device="cuda")
        torch.testing.assert_close(launched(faces), answer(faces))


@pytest.mark.parametrize(
    "name", ["fully_connected", "emotionnet", "bilstm", "seven_block", "vgg16_bn", "resnet101", "vit_small48"]
)
def test_every_kind_of_network_trains_in_the_gpus_precision(name: str) -> None:
    dataset = drawn_dataset(200)
    recipe = Recipe(epochs=2, batch_size=32, learning_rate=0.01)
    trainer = Trainer(named(name), recipe, dataset, make_split(dataset), device=torch.device("cuda"))
    assert all(np.isfinite(loss) for loss in _losses(list(trainer.epochs())))


def test_a_teacher_answers_on_the_device(tmp_path: Path) -> None:
    teacher = _trainer()
    list(teacher.epochs())
    save_trained(tmp_path / "teacher", teacher, DATASET, tiny_split(DATASET))
    recipe = replace(RECIPE, teacher=str(tmp_path / "teacher"), teacher_share=0.7)
    taught = _trainer(recipe)
    history = list(taught.epochs())
    assert history[-1].train_loss < history[0].train_loss


def test_a_saved_model_answers_alike_on_both_devices(tmp_path: Path) -> None:
    trainer = _trainer()
    list(trainer.epochs())
    card = save_trained(tmp_path / "model", trainer, DATASET, tiny_split(DATASET))
    answers = [
        Predictor.load(tmp_path / "model", device=name).logits(DATASET.faces) for name in ("cuda", "cpu")
    ]
    np.testing.assert_allclose(*answers, atol=1e-4)
    assert card.accuracy > 0.8


def test_out_of_memory_is_told() -> None:
    wide = dataclasses.replace(CONFIG, widths=(8192, 8192), repeats=(4, 4), norm="none")
    huge = replace(RECIPE, batch_size=96, epochs=1)
    torch.cuda.set_per_process_memory_fraction(0.02)
    try:
        with (
            pytest.raises(DeviceError, match="out of memory with batches of 96"),
            plain_errors(huge, torch.device("cuda")),
        ):
            list(_trainer(huge, config=wide).epochs())
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    # The device serves on.
    assert len(list(_trainer().epochs())) == RECIPE.epochs
