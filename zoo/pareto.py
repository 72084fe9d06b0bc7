"""The Pareto front of accuracy against cost; knows nothing of networks, trials or pictures."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["pareto_front"]


def pareto_front(costs: Sequence[float], accuracies: Sequence[float]) -> list[int]:
    """The places of those that no cheaper or equally cheap one reaches in accuracy, the cheapest first.

    Args:
        costs, accuracies: of each, without NaN.
    """
    front: list[int] = []
    for place in sorted(range(len(costs)), key=lambda place: (costs[place], -accuracies[place])):
        if not front or accuracies[place] > accuracies[front[-1]]:
            front.append(place)
    return front
