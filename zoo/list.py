"""`python -m zoo.list`: every network of the zoo, what it costs, what its authors and we measured."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.command import run_command
from zoo.errors import WeightsError
from zoo.output import require_writable

__all__ = ["list_networks", "main"]

_FER2013_FACES = 28_709  # of its Training usage


def main(argv: Sequence[str] | None = None) -> int:
    """List; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m zoo.list", description=__doc__)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON instead of a table")
    form.add_argument("--markdown", action="store_true", help="print a scoreboard in Markdown")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="also draw accuracy against cost")
    parser.add_argument("--models", type=Path, metavar="FOLDER", help="also list the saved models in FOLDER")
    options = parser.parse_args(argv)
    if options.picture:
        require_writable(options.picture)

    from rich.table import Table

    from zoo.console import stderr, stdout

    networks, troubles = list_networks(options.models)
    for trouble in troubles:
        stderr().print(trouble, style="yellow", soft_wrap=True)
    if options.picture:
        from zoo.networks_picture import draw_networks

        draw_networks(networks, options.picture)
    if options.json:
        print(json.dumps(networks, indent=1))
        return 0
    if options.markdown:
        print("\n".join(_scoreboard(networks)))
        return 0
    table = Table(title="Networks", caption="* measured on other faces than ours, so not comparable")
    table.add_column("name", no_wrap=True)
    for heading in ("parameters", "mult–adds", "published", "ours (95% interval)"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("on")
    table.add_column("weights")
    for network in networks:
        published, ours = network["published"], network["ours"]
        table.add_row(
            network["name"],
            _amount(network["parameters"]),
            _amount(network["macs"]),
            f"{published['accuracy']:.3f}{'' if published['comparable'] else ' *'}" if published else "–",
            "{:.4f} ({:.4f}–{:.4f})".format(ours["accuracy"], *ours["accuracy_interval"]) if ours else "–",
            f"{ours['part']} of {ours['data']}" if ours else "",
            network["weights"] or "–",
        )
    stdout().print(table)
    return 0


def list_networks(extra: Path | None = None) -> tuple[list[dict[str, Any]], list[str]]:
    """The published networks, then the saved models that are none of them.

    Args:
        extra: a folder with further saved models.

    Returns:
        One entry a network: `name`, `parameters`, `macs`, `training_pflop` (10¹⁵ operations of its tuned
        recipe on FER2013, None where there is none), `published` and `ours` (figures, or None), `weights`
        (`shipped`, the folder, or None, also where they don't ship); and one sentence for each card that
        can't be read.
    """
    from zoo.card import Card
    from zoo.models import CARD, SHIPPED, available, cards_alone
    from zoo.networks import Cost, count, named, names
    from zoo.networks.figures import PUBLISHED_FIGURES
    from zoo.networks.siamese import SIAMESE
    from zoo.training.recipes import recipe_for

    costs = {name: count(named(name)) for name in names()}
    costs |= {name: config.cost() for name, config in SIAMESE.items()}
    cards: dict[Path, Card] = {}
    troubles = []
    saved = available(extra)
    alone = cards_alone()
    shipped = [SHIPPED / name / CARD for name in costs]
    for path in [
        *(folder / CARD for folder in saved.values()),
        *filter(Path.is_file, shipped),
        *alone.values(),
    ]:
        if path not in cards:
            try:
                cards[path] = Card.load(path)
            except WeightsError as error:
                troubles.append(str(error))

    def is_published(name: str, card: Card) -> bool:
        return name in names() and card.config == named(name).to_json()

    published = {
        name: path
        for path, card in reversed(cards.items())  # a model of one's own comes first
        if is_published(name := path.parent.name if path.name == CARD else path.stem, card)
    }

    def entry(name: str, cost: Cost, path: Path | None) -> dict[str, Any]:
        reported = PUBLISHED_FIGURES.get(name) if path is None or path == published.get(name) else None
        card = cards[path] if path else None
        weights = None
        if path and path.name == CARD:
            weights = "shipped" if path.is_relative_to(SHIPPED) else str(path.parent)
        recipe = {} if name in SIAMESE else card.recipe if card else vars(recipe_for(name))
        # A pass back costs two forward, and a multiply–accumulate is two operations.
        pflop = 6 * cost.macs * _FER2013_FACES * recipe.get("epochs", 0) / 1e15
        return {
            "name": name,
            "parameters": cost.parameters,
            "macs": cost.macs,
            "training_pflop": round(pflop, 3) or None,
            "published": vars(reported) if reported else None,
            "ours": card and _ours(card),
            "weights": weights,
        }

    order = [*PUBLISHED_FIGURES, *(name for name in costs if name not in PUBLISHED_FIGURES)]
    networks = [entry(name, costs[name], published.get(name)) for name in order if name in costs]
    others = {name: path for name, path in alone.items() if name not in saved}
    for name, path in [*((name, folder / CARD) for name, folder in saved.items()), *others.items()]:
        if path in cards and published.get(name) != path:
            networks.append(entry(name, Cost(cards[path].parameters, cards[path].macs), path))
    return networks, troubles


def _ours(card: Any) -> dict[str, Any]:
    figures = card.metrics[card.validation]
    return {
        **{
            name: figures[name] for name in ("accuracy", "accuracy_interval", "balanced_accuracy", "macro_f1")
        },
        "recall": {name: entry["recall"] for name, entry in figures["per_class"].items()},
        "part": card.validation,
        "data": card.data["name"],
        "drawn": card.data["drawn"],
        "seconds": card.seconds,
        "device": card.device,
        "gpu": card.gpu,
        "teacher": card.recipe.get("teacher") or None,
    }


def _scoreboard(networks: Sequence[dict[str, Any]]) -> list[str]:
    lines = [
        "| network | parameters | multiply–accumulates | published | ours (95% interval) | macro F1 "
        "| disgust recall | training |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for network in networks:
        published, ours, pflop = network["published"], network["ours"], network["training_pflop"]
        cells = [
            f"`{network['name']}`",
            _amount(network["parameters"]),
            _amount(network["macs"]),
            f"{published['accuracy']:.3f} ({published['measured_on']})" if published else "",
        ]
        if ours:
            taught = " and ".join(f"`{name}`" for name in (ours["teacher"] or "").split("+") if name)
            disgust = ours["recall"].get("disgust")
            machine = f" ({ours['gpu']})" if ours["gpu"] else ""
            cells += [
                "{:.4f} ({:.4f}–{:.4f})".format(ours["accuracy"], *ours["accuracy_interval"]),
                f"{ours['macro_f1']:.3f}",
                f"{disgust:.3f}" if disgust is not None else "",
                f"{ours['seconds'] / 60:.0f} min{machine}" + (f", taught by {taught}" if taught else ""),
            ]
        else:
            cost = f", {pflop:.2g} PFLOP" if pflop else ""
            cells += ["", "", "", f"not trained here{cost}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _amount(value: int) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return str(value)


if __name__ == "__main__":
    run_command(main)
