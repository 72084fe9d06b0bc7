"""A small network trained on drawn faces in seconds, saved as any other; for tests that need a real model."""

from pathlib import Path

import torch

from zoo.card import Card
from zoo.comparison_model import ComparisonCard, save_comparison
from zoo.data.dataset import Split
from zoo.data.drawn import drawn_dataset
from zoo.models import load_model
from zoo.networks import ParametricConfig, config_from_json
from zoo.networks.comparison import EmbeddingConfig
from zoo.training.fit import save_trained
from zoo.training.loop import Trainer
from zoo.training.recipe import Recipe

__all__ = ["save_untrained_comparison", "train_small"]


def train_small(
    folder: Path, *, widths: tuple[int, ...] = (8, 16, 32), seed: int = 0, epochs: int = 3
) -> Card:
    """Train on 700 drawn faces and save as `folder`; takes about three seconds on one core."""
    dataset = drawn_dataset(training=700, public=140, private=140, seed=seed)
    split = Split(
        "official", 0, *(dataset.rows(usage) for usage in ("Training", "PublicTest", "PrivateTest"))
    )
    config = ParametricConfig(widths=widths, repeats=(1,) * len(widths))
    recipe = Recipe(epochs=epochs, batch_size=32, warmup_epochs=0.5, average=0.0, seed=seed)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        trainer = Trainer(config, recipe, dataset, split, device=torch.device("cpu"))
        list(trainer.epochs())
        return save_trained(folder, trainer, dataset, split, note="A small network for tests.")
    finally:
        torch.set_num_threads(threads)


def save_untrained_comparison(folder: Path, model: Path) -> None:
    """Save a comparison model whose backbone is a saved network's and whose embedding is random."""
    network, card = load_model(model)
    torch.manual_seed(0)
    config = EmbeddingConfig(config_from_json(card.config), size=8, hidden=0)
    comparison = config.build()
    comparison.backbone.load_state_dict(network.state_dict())
    cost = config.cost()
    save_comparison(
        folder,
        comparison,
        ComparisonCard(
            name=folder.name,
            config=config.to_json(),
            classes=card.classes,
            mean=card.mean,
            std=card.std,
            slope=1.0,
            offset=0.0,
            temperature=card.temperature,
            odd_scale=2.0,
            metrics={},
            parameters=cost.parameters,
            macs=cost.macs,
            data={},
            objective={},
            recipe={},
            history=[],
            epoch=1,
            seconds=0.0,
            versions={},
        ),
    )
