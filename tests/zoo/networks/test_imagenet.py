"""ImageNet weights arrive in the right places, averaged over the colours, or their absence is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchvision import models

from zoo.errors import ConfigError, WeightsError
from zoo.networks import ParametricConfig
from zoo.networks.imagenet import imagenet_start
from zoo.networks.resnet import ResNetConfig, ResNetNetwork, average_colours
from zoo.networks.siamese import SIAMESE, load_imagenet_weights
from zoo.networks.vit import ViTConfig, ViTNetwork


def test_the_average_over_colours_by_hand() -> None:
    red, green, blue = [[1.0, 2.0]], [[4.0, -2.0]], [[1.0, 6.0]]
    weight = torch.tensor([[red, green, blue], [blue, blue, red]])
    assert average_colours(weight).tolist() == [[[[2.0, 2.0]]], [[[1.0, pytest.approx(14 / 3)]]]]


def test_a_resnet_takes_over_everything_but_the_head() -> None:
    torch.manual_seed(0)
    weights = models.resnet18(weights=None).state_dict()
    network = ResNetNetwork(ResNetConfig(depth=18)).eval()
    network.load_imagenet(weights)
    taken = network.body.state_dict()
    for place in ((0, 0, 0), (63, 6, 6), (7, 3, 1)):
        out, row, column = place
        three = [weights["conv1.weight"][out, colour, row, column].item() for colour in range(3)]
        assert taken["conv1.weight"][out, 0, row, column].item() == pytest.approx(sum(three) / 3, abs=1e-7)
    rest = set(taken) - {"conv1.weight"}
    assert rest == set(weights) - {"conv1.weight", "fc.weight", "fc.bias"}
    assert all(torch.equal(taken[name], weights[name]) for name in rest)


def test_the_added_convolution_begins_as_the_mean_of_the_channels() -> None:
    images = torch.rand(2, 3, 48, 48)
    network = ResNetNetwork(ResNetConfig(depth=18, channels=("gray", "sobel", "contrast")))
    torch.testing.assert_close(network.added(images), images.mean(dim=1, keepdim=True))


def test_a_transformer_takes_over_everything_but_the_head() -> None:
    sizes = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32}
    weights = models.VisionTransformer(image_size=64, patch_size=16, **sizes).state_dict()
    network = ViTNetwork(ViTConfig(pixels=64, patch=16, width=16, depth=2, heads=2, hidden=32))
    network.load_imagenet(weights)
    taken = network.body.state_dict()
    assert set(taken) == {name for name in weights if not name.startswith("heads.")}
    assert all(torch.equal(taken[name], weights[name]) for name in taken)


@pytest.mark.parametrize(
    "config",
    [ParametricConfig(), ViTConfig(pixels=48, patch=6, copies=False)],
    ids=["parametric", "small transformer"],
)
def test_networks_without_imagenet_weights_say_so(config: ParametricConfig | ViTConfig) -> None:
    with pytest.raises(ConfigError, match=f"{config.family}.*no ImageNet weights.*resnet101"):
        imagenet_start(config, seed=0)


@pytest.mark.usefixtures("refused_downloads")
def test_weights_that_cannot_be_downloaded_are_named() -> None:
    with pytest.raises(WeightsError, match=r"https://.*resnet18.*can't be downloaded"):
        imagenet_start(ResNetConfig(depth=18), seed=0)


def test_a_kept_file_is_used_without_a_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = models.get_weight("ResNet18_Weights.IMAGENET1K_V1")
    file = tmp_path / "hub" / "checkpoints" / weights.url.rsplit("/", 1)[1]
    file.parent.mkdir(parents=True)
    torch.manual_seed(1)
    kept = models.resnet18(weights=None).state_dict()
    torch.save(kept, file)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    state = imagenet_start(ResNetConfig(depth=18), seed=4)
    assert torch.equal(state["body.layer1.0.conv1.weight"], kept["layer1.0.conv1.weight"])
    assert torch.equal(
        state["classifier.weight"], imagenet_start(ResNetConfig(depth=18), seed=4)["classifier.weight"]
    )


def _without(monkeypatch: pytest.MonkeyPatch, ending: str) -> dict[str, torch.Tensor]:
    """ResNet-18 weights that are to be had, less those whose names end so."""
    torch.manual_seed(2)
    state = models.resnet18(weights=None).state_dict()
    weights = {name: value for name, value in state.items() if not name.endswith(ending)}
    monkeypatch.setattr(models.ResNet18_Weights, "get_state_dict", lambda *arguments, **options: weights)
    return weights


def test_a_branch_takes_weights_that_count_no_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = _without(monkeypatch, "num_batches_tracked")
    network = SIAMESE["siamese_resnet18"].build()
    load_imagenet_weights(network)
    taken = network.backbone.state_dict()
    assert set(weights) - set(taken) == {"fc.weight", "fc.bias"}
    assert all(torch.equal(taken[name], weights[name]) for name in set(weights) & set(taken))
    assert taken["bn1.num_batches_tracked"] == 0


def test_weights_that_lack_a_layer_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _without(monkeypatch, "layer4.1.bn2.running_mean")
    with pytest.raises(WeightsError, match=r"resnet18.*lack layer4\.1\.bn2\.running_mean$"):
        load_imagenet_weights(SIAMESE["siamese_resnet18"].build())
