"""What is kept without any judgement: the newest messages that fit, or a random choice of them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SEEDS = (1, 2, 3, 4, 5)


def newest(costs: Sequence[int], budget: int, *, skips: bool = False) -> list[int]:
    """Numbers of the newest items within the budget; the first that does not fit ends it, or is passed over."""
    return take(range(len(costs) - 1, -1, -1), costs, budget, skips=skips)


def at_random(costs: Sequence[int], budget: int, seed: int) -> list[int]:
    """Numbers of items within the budget, taken at random until none fits."""
    order = list(range(len(costs)))
    random.Random(seed).shuffle(order)  # noqa: S311  no secrets here
    return take(order, costs, budget, skips=True)


def take(order: Iterable[int], costs: Sequence[int], budget: int, *, skips: bool) -> list[int]:
    """Numbers of what fits, in that order."""
    taken = []
    for item in order:
        if costs[item] <= budget:
            budget -= costs[item]
            taken.append(item)
        elif not skips:
            break
    return sorted(taken)
