"""The published networks that are points of the parametric family: layers as their authors report them."""

from dataclasses import replace

from zoo.networks.parametric import ParametricConfig

__all__ = ["PUBLISHED"]

_PLAIN = ParametricConfig(bias=True, norm="none", last_pool=True, head="flatten")

PUBLISHED: dict[str, ParametricConfig] = {
    "simple_conv": replace(_PLAIN, widths=(32, 64), repeats=(1, 1), padding=0),
    "emotionnet": replace(_PLAIN, widths=(32, 64, 128), repeats=(1, 1, 1), linear=(512,), head_dropout=0.5),
    "eda_cnn": replace(_PLAIN, widths=(32, 64), repeats=(1, 1), padding=0, linear=(64,)),
    "custom_cnn": replace(
        _PLAIN, widths=(32, 64, 128), repeats=(1, 1, 1), padding=0, linear=(1024,), head_dropout=0.5
    ),
    "vgg16_bn": ParametricConfig(
        widths=(64, 128, 256, 512, 512),
        repeats=(2, 2, 3, 3, 3),
        bias=True,
        last_pool=True,
        head="flatten",
        linear=(4096, 4096),
        head_dropout=0.5,
    ),
    "seven_block": ParametricConfig(
        widths=(32, 64, 128, 256),
        repeats=(2, 2, 2, 2),
        bias=True,
        activation_first=True,
        conv_dropout=0.25,
        dropout_after="stage",
        last_pool=True,
        head="flatten",
        linear=(64, 64),
        head_norm="batch",
        head_dropout=0.5,
    ),
    "r1": replace(
        _PLAIN,
        channels=("gray", "sobel", "contrast"),
        widths=(288, 566, 1122, 2244),
        repeats=(4, 3, 2, 1),
        conv_dropout=0.35,
        linear=(1024, 356, 158, 64),
    ),
    "r2": replace(
        _PLAIN,
        channels=("gray", "sobel", "contrast"),
        widths=(200, 400, 600, 800),
        repeats=(2, 2, 2, 1),
        inceptions=30,
        inception_multiplier=3,
        conv_dropout=0.62,
        linear=(432, 108, 27),
    ),
}
