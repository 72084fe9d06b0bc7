"""Every network has the cost that is claimed, survives JSON, and does what its options say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.errors import ConfigError
from zoo.networks import (
    Cost,
    NetworkConfig,
    ParametricConfig,
    build,
    config_from_json,
    count,
    named,
    names,
)
from zoo.networks.bilstm import BiLstmConfig
from zoo.networks.blocks import ACTIVATIONS, Conv2d, Inception, MinPool2d
from zoo.networks.cost import count_by_running
from zoo.networks.figures import PUBLISHED_FIGURES
from zoo.networks.fully_connected import FullyConnectedConfig
from zoo.networks.resnet import ResNetConfig
from zoo.networks.vit import ViTConfig

# As reported by the authors, where they report it; counted by hand from the layers elsewhere.
PARAMETERS = {
    "fully_connected": 305_607,
    "simple_conv": 63_623,
    "emotionnet": 2_456_071,
    "eda_cnn": 428_935,
    "custom_cnn": 320 + 18_496 + 73_856 + 2_048 * 1_024 + 1_024 + 1_024 * 7 + 7,
    "bilstm": 2 * 4 * 64 * (48 + 64 + 2) + 2 * 4 * 64 * (128 + 64 + 2) + 128 * 64 + 64 + 64 * 7 + 7,
    "vgg16_bn": 33_633_223,
    "seven_block": 1_325_991,
    "r1": 70_307_083,
    "r2": 63_030_807,
    # torchvision's ViT-B/16 without its 1,000-way head, with a 7-way one.
    "vit": 86_567_656 - 768 * 1_000 - 1_000 + 768 * 7 + 7,
    # torchvision's ResNet-101 without its head, one colour instead of three, 3×3 convolution, 512 → 7.
    "resnet101": 44_549_160 - 2_049_000 - 2 * 64 * 49 + 10 + 2_048 * 512 + 512 + 512 * 7 + 7,
    "vit_small48": 1_803_655,
}

SMALL: dict[str, NetworkConfig] = {
    "plain": ParametricConfig(widths=(4, 8), repeats=(1, 2)),
    "valid": ParametricConfig(
        widths=(4, 8), repeats=(2, 1), padding=0, bias=True, norm="none", last_pool=True
    ),
    "inceptions": ParametricConfig(widths=(4,) * 4, repeats=(1,) * 4, inceptions=2),
    "linear": ParametricConfig(
        widths=(4, 8), repeats=(1, 1), head="flatten", linear=(16, 8), head_norm="batch"
    ),
    "channels": ParametricConfig(channels=("gray", "sobel", "contrast"), widths=(4,), repeats=(1,)),
    "fully_connected": FullyConnectedConfig(linear=(16, 8), channels=("gray", "contrast")),
    "bilstm": BiLstmConfig(width=4, linear=12, channels=("gray", "sobel")),
    "resnet": ResNetConfig(depth=18, linear=(16,)),
    "vit": ViTConfig(pixels=48, patch=12, width=16, depth=2, heads=2, hidden=32, copies=False),
    "vit_copies": ViTConfig(pixels=64, patch=16, width=16, depth=1, heads=4, hidden=32),
}


def _faces(config: NetworkConfig, number: int = 2) -> torch.Tensor:
    return torch.randn((number, len(config.channels), 48, 48), generator=torch.Generator().manual_seed(1))


def _built(config: NetworkConfig, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build(config).eval()


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_every_published_network_has_a_count() -> None:
    assert set(names()) == set(PARAMETERS)
    assert set(PUBLISHED_FIGURES) - set(names()) == {"siamese_resnet18", "siamese_mobilenet_v3"}


@pytest.mark.parametrize("name", PARAMETERS)
def test_published_networks_have_exactly_their_parameters(name: str) -> None:
    assert count(named(name)).parameters == PARAMETERS[name]
    with torch.device("meta"):
        assert _parameters(build(named(name))) == PARAMETERS[name]


@pytest.mark.parametrize("name", ["fully_connected", "simple_conv", "custom_cnn", "seven_block", "r1"])
def test_costs_from_the_config_equal_those_of_the_built_network(name: str) -> None:
    assert count(named(name)) == count_by_running(build, named(name))


@pytest.mark.parametrize("name", SMALL)
def test_small_networks_count_and_keep_the_protocol(name: str) -> None:
    config = SMALL[name]
    network = _built(config)
    assert count(config) == count_by_running(build, config)
    assert count(config).parameters == _parameters(network)
    images = _faces(config, 3)
    with torch.inference_mode():
        logits, features = network(images), network.features(images)
        torch.testing.assert_close(network.classifier(features), logits)
    assert logits.shape == (3, 7) and logits.isfinite().all()
    assert isinstance(network.classifier, nn.Linear)
    assert logits.min() < 0 and not torch.allclose(
        logits.exp().sum(1), torch.ones(3)
    )  # no softmax at the end


@pytest.mark.parametrize("name", SMALL)
def test_configs_survive_json_and_rebuild_the_same_network(name: str) -> None:
    config = SMALL[name]
    again = config_from_json(config.to_json())
    assert again == config and type(again) is type(config)
    first, second = _built(config, seed=3).state_dict(), _built(again, seed=3).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first) and first.keys() == second.keys()


@pytest.mark.parametrize("name", names())
def test_named_configs_survive_json_and_take_other_classes(name: str) -> None:
    assert config_from_json(named(name).to_json()) == named(name)
    assert named(name, classes=3) == replace(named(name), classes=3)


def test_attention_products_are_counted() -> None:
    config = ViTConfig(pixels=48, patch=12, width=16, depth=2, heads=2, hidden=32, copies=False)
    tokens, width = 16 + 1, 16
    projection = 16 * 12 * 12 * width
    layer = tokens * (4 * width * width + 2 * width * 32) + 2 * tokens * tokens * width
    assert count(config).macs == projection + 2 * layer + width * 7


def test_macs_by_hand() -> None:
    config = ParametricConfig(widths=(2, 3), repeats=(1, 1), head="flatten")
    by_hand = 48 * 48 * 9 * 2 + 24 * 24 * 9 * 2 * 3 + 24 * 24 * 3 * 7
    assert count(config) == Cost(9 * 2 + 4 + 9 * 2 * 3 + 6 + 24 * 24 * 3 * 7 + 7, by_hand)


def test_counting_leaves_the_random_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    count_by_running(build, ResNetConfig(depth=18))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("activation", [name for name in ACTIVATIONS if name != "relu"])
@pytest.mark.parametrize(
    "config",
    [ParametricConfig(widths=(4,), repeats=(1,), linear=(8,)), FullyConnectedConfig(linear=(8,))],
    ids=["parametric", "fully_connected"],
)
def test_each_activation_is_used(config: NetworkConfig, activation: str) -> None:
    other = replace(config, activation=activation)  # type: ignore[call-arg]
    network, reference = _built(other), _built(config)
    network.load_state_dict(reference.state_dict())
    kind = type(ACTIVATIONS[activation]())
    assert sum(isinstance(module, kind) for module in network.modules()) >= 1
    assert not any(isinstance(module, nn.ReLU) for module in network.modules())
    assert not torch.allclose(network(_faces(config)), reference(_faces(config)))


@pytest.mark.parametrize(
    ("pooling", "expected"), [("max", [[4.0, 8.0]]), ("average", [[2.5, 6.5]]), ("min", [[1.0, 5.0]])]
)
def test_each_pooling_by_hand(pooling: str, expected: list[list[float]]) -> None:
    network = _built(ParametricConfig(widths=(1, 1), repeats=(1, 1), pooling=pooling))
    pool = network.stages[0].after[0]
    images = torch.tensor([[[[1.0, 2.0, 5.0, 6.0], [3.0, 4.0, 7.0, 8.0]]]])
    assert pool(images)[0, 0].tolist() == expected


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "elu", "selu", "silu", "gelu"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pooling": "min"},
        {"pooling": "average"},
        {"norm": "none", "bias": True, "last_pool": True},
        {"activation_first": True},
        {"activation_first": True, "norm": "none"},
        {"residual": True},
        {"conv_dropout": 0.3},
        {"conv_dropout": 0.3, "dropout_after": "stage"},
    ],
)
def test_stages_are_blocks_then_a_pool_in_whatever_order_they_are_computed(
    activation: str, changes: dict[str, Any]
) -> None:
    config = replace(ParametricConfig(widths=(6, 8, 8), repeats=(1, 2, 3)), activation=activation, **changes)
    network = build(config).train()
    images = _faces(config)

    def in_order() -> Tensor:
        answers = images
        for stage in network.stages:
            for number, block in enumerate(stage.blocks):
                output = block(answers)
                answers = answers + output if config.residual and number else output
            answers = stage.after(answers)
        logits: Tensor = network.classifier(network.hidden(network.pool(answers).flatten(1)))
        return logits

    found = []
    for way in (lambda: network(images), in_order):
        torch.manual_seed(3)
        network.zero_grad()
        logits = way()
        logits.square().sum().backward()
        found.append((logits, [parameter.grad.clone() for parameter in network.parameters()]))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=0, atol=0)
    for early, late in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(early, late, rtol=1e-4, atol=1e-6)


def test_min_pool_drops_odd_borders_like_the_others() -> None:
    assert MinPool2d()(torch.zeros(1, 1, 5, 7)).shape == nn.MaxPool2d(2)(torch.zeros(1, 1, 5, 7)).shape


@pytest.mark.parametrize(("channels", "bias"), [(1, False), (1, True), (2, True)])
def test_convolutions_of_one_channel_are_convolutions(channels: int, bias: bool) -> None:
    torch.manual_seed(0)
    ours = Conv2d(channels, 16, 3, padding=1, bias=bias)
    plain = nn.Conv2d(channels, 16, 3, padding=1, bias=bias)
    plain.load_state_dict(ours.state_dict())
    images = torch.randn(8, channels, 20, 24).contiguous(memory_format=torch.channels_last)
    assert torch.equal(ours(images), plain(images))
    answers = []
    for layer in (ours, plain):
        with torch.autocast("cpu", torch.bfloat16):
            answer = layer(images)
        answer.float().square().mean().backward()
        answers.append((answer, [parameter.grad for parameter in layer.parameters()]))
    assert answers[0][0].dtype == torch.bfloat16
    torch.testing.assert_close(*(answer for answer, _ in answers), rtol=0.01, atol=1e-3)
    for mine, reference in zip(answers[0][1], answers[1][1], strict=True):
        torch.testing.assert_close(mine, reference, rtol=0.01, atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "present", "absent"),
    [
        ({"norm": "none"}, (), (nn.BatchNorm2d,)),
        ({"norm": "batch"}, (nn.BatchNorm2d,), (nn.BatchNorm1d,)),
        ({"head_norm": "batch"}, (nn.BatchNorm1d,), ()),
        ({"conv_dropout": 0.2}, (nn.Dropout2d,), ()),
        ({"conv_dropout": 0.2, "dropout_after": "stage"}, (nn.Dropout2d,), ()),
        ({"head": "average"}, (nn.AdaptiveAvgPool2d,), ()),
        ({"head": "flatten"}, (), (nn.AdaptiveAvgPool2d,)),
    ],
)
def test_options_put_layers_in_and_leave_them_out(
    changes: dict[str, Any], present: tuple[type, ...], absent: tuple[type, ...]
) -> None:
    config = ParametricConfig(widths=(4, 8), repeats=(1, 1), linear=(8,))
    kinds = {type(module) for module in _built(replace(config, **changes)).modules()}
    assert set(present) <= kinds and not set(absent) & kinds


def test_dropout_behind_blocks_or_behind_stages() -> None:
    config = ParametricConfig(widths=(4, 8), repeats=(2, 3), conv_dropout=0.1)

    def dropouts(config: ParametricConfig) -> int:
        return sum(isinstance(module, nn.Dropout2d) for module in build(config).modules())

    assert dropouts(config) == 5
    assert dropouts(replace(config, dropout_after="stage")) == 2


def test_activation_first_changes_the_order() -> None:
    config = ParametricConfig(widths=(4,), repeats=(1,), linear=(8,), head_norm="batch")
    for first, conv, linear in ((False, nn.BatchNorm2d, nn.BatchNorm1d), (True, nn.ReLU, nn.ReLU)):
        network = build(replace(config, activation_first=first))
        assert isinstance(network.stages[0].blocks[0][1], conv)
        assert isinstance(network.hidden[1], linear)


def test_residual_blocks_add_their_input() -> None:
    config = ParametricConfig(widths=(4,), repeats=(2,), residual=True)
    network = _built(config)
    for parameter in network.stages[0].blocks[1].parameters():
        nn.init.zeros_(parameter)
    images = _faces(config)
    first = network.stages[0].blocks[0](images)
    torch.testing.assert_close(network.features(images), first.mean(dim=(2, 3)))


def test_final_softmax_is_an_option_of_the_published_network() -> None:
    config = replace(named("eda_cnn"), final_softmax=True)
    answers = _built(config)(_faces(config))
    torch.testing.assert_close(answers.sum(dim=1), torch.ones(2))
    assert count(config) == count(named("eda_cnn"))


@pytest.mark.parametrize("multiplier", [1, 2])
def test_inception_modules_are_parts_of_the_network_that_learn(multiplier: int) -> None:
    config = ParametricConfig(
        widths=(4,) * 4, repeats=(1,) * 4, inceptions=2, inception_multiplier=multiplier
    )
    network = build(config).train()
    network(_faces(config)).sum().backward()
    modules = [module for module in network.modules() if isinstance(module, Inception)]
    assert [module.skip for module in modules] == [False, True]
    for module in modules:
        weights = [parameter for parameter in module.parameters() if parameter.ndim == 4]
        assert len(weights) == 6 and all(weight.grad is not None for weight in weights)
        assert sum(isinstance(inner, nn.ReLU) for inner in module.modules()) == 6
    assert modules[0](torch.zeros(1, 4, 6, 6)).shape == (1, 256 * multiplier, 6, 6)
    assert network.features(_faces(config)).shape == (2, 256 * multiplier)


@pytest.mark.parametrize(("activation", "gain"), [("relu", 2.0), ("selu", 1.0)])
def test_weights_are_he_normal_and_lecun_normal_for_selu(activation: str, gain: float) -> None:
    network = _built(ParametricConfig(widths=(64, 64), repeats=(1, 1), activation=activation))
    weight = network.stages[1].blocks[0][0].weight
    assert weight.std().item() == pytest.approx((gain / (64 * 9)) ** 0.5, rel=0.03)


def test_the_bilstm_reads_rows_in_both_directions() -> None:
    config = BiLstmConfig(width=8, linear=12)
    network = _built(config)
    images = _faces(config, 1)
    _, (states, _) = network.recurrent(images[:, 0])
    torch.testing.assert_close(network.features(images), network.hidden(torch.cat((states[2], states[3]), 1)))
    top, bottom = images.clone(), images.clone()
    top[:, :, 0] += 1
    bottom[:, :, 47] += 1
    for changed in (top, bottom):
        assert not torch.allclose(network(changed), network(images))


@pytest.mark.parametrize(
    ("config", "field", "value", "words"),
    [
        ("plain", "classes", 1, "at least 2"),
        ("plain", "classes", 7.5, "type int"),
        ("plain", "channels", (), "different names"),
        ("plain", "channels", ("gray", "gray"), "different names"),
        ("plain", "channels", ("red",), "gray, sobel, contrast"),
        ("plain", "widths", (), "1 to 5 stages"),
        ("plain", "widths", (1, 2, 3, 4, 5, 6), "1 to 5 stages"),
        ("plain", "widths", (4, 0), "at least 1"),
        ("plain", "widths", (4, "8"), "tuple"),
        ("plain", "widths", 4, "tuple"),
        ("plain", "repeats", (1,), "2 counts"),
        ("plain", "repeats", (1, 0), "at least 1"),
        ("plain", "padding", 2, "0 or 1"),
        ("plain", "bias", 1, "type bool"),
        ("plain", "norm", "group", "batch, none"),
        ("plain", "head_norm", "layer", "batch, none"),
        ("plain", "activation", "swish", "silu"),
        ("plain", "dropout_after", "never", "block, stage"),
        ("plain", "pooling", "median", "max, average, min"),
        ("plain", "head", "max", "average, flatten"),
        ("plain", "conv_dropout", 1.0, "below 1"),
        ("plain", "head_dropout", -0.1, "at least 0"),
        ("plain", "inceptions", -1, "at least 0"),
        ("plain", "inception_multiplier", 0, "at least 1"),
        ("plain", "linear", (0,), "at least 1"),
        ("valid", "repeats", (12, 12), "48×48"),
        ("fully_connected", "linear", (), "at least one"),
        ("fully_connected", "activation", "tanh", "relu"),
        ("fully_connected", "dropout", 1.0, "below 1"),
        ("bilstm", "width", 0, "at least 1"),
        ("bilstm", "layers", 0, "at least 1"),
        ("bilstm", "activation", "tanh", "relu"),
        ("bilstm", "dropout", 1.5, "below 1"),
        ("resnet", "depth", 20, "18, 34, 50, 101"),
        ("resnet", "linear", (0,), "at least 1"),
        ("resnet", "dropout", -1.0, "at least 0"),
        ("vit", "patch", 7, "divisor of pixels, 48"),
        ("vit", "heads", 3, "divisor of width, 16"),
        ("vit", "depth", 0, "at least 1"),
        ("vit", "dropout", 1.0, "below 1"),
        ("vit_copies", "channels", ("gray", "sobel"), "one or three"),
    ],
)
def test_bad_values_are_named(config: str, field: str, value: object, words: str) -> None:
    values = {**SMALL[config].to_json(), field: list(value) if isinstance(value, tuple) else value}
    with pytest.raises(ConfigError, match=f"{field}.*required.*{words}"):
        config_from_json(values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "family None is unknown; known are bilstm"),
        ({"family": "transformer"}, "'transformer'.*parametric"),
        ({"family": "parametric", "width": 3}, r"\['width'\].*widths"),
    ],
)
def test_unknown_families_and_fields_are_named(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config_from_json(values)


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'alexnet'.*fully_connected.*vgg16_bn"):
        named("alexnet")


@pytest.mark.parametrize("name", ["elu", "selu"])
def test_the_fast_training_of_exponential_units_is_theirs(name: str) -> None:
    module = ACTIVATIONS[name]().train()
    plain = {"elu": torch.nn.ELU, "selu": torch.nn.SELU}[name]()
    values = torch.linspace(-8, 8, 641).bfloat16()
    fast, exact = values.clone().requires_grad_(), values.float().requires_grad_()
    ours, theirs = module(fast), plain(exact)
    ours.sum().backward()
    theirs.sum().backward()
    assert fast.grad is not None and exact.grad is not None
    assert torch.allclose(ours.float(), theirs, atol=0.016, rtol=0.008)
    assert torch.allclose(fast.grad.float(), exact.grad, atol=0.016, rtol=0.008)
    # Answers of a trained network are exact.
    assert torch.equal(module.eval()(values), plain(values))
