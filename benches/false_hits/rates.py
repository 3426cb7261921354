"""How many pairs hit: by a threshold alone, and behind the gate."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import rolecore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pairs import Pair

THRESHOLD = 0.9


class Rates(NamedTuple):
    """Counts of some pairs: all; those the gate lets pass; those that are near, and of them those it lets pass."""

    n: int
    passing: int
    near: int
    near_and_passing: int


def is_passing(pairs: Sequence[Pair]) -> list[bool]:
    """Tell of each pair whether the gate lets it pass; it must say the same both ways round."""
    found = [rolecore.gate(pair.first, pair.second) for pair in pairs]
    assert found == [rolecore.gate(pair.second, pair.first) for pair in pairs]
    return found


def is_near(pairs: Sequence[Pair], embedder: rolecore.Embedder) -> list[bool]:
    """Tell of each pair whether its cosine reaches the threshold."""
    first, second = (np.asarray(embedder.embed([pair[at] for pair in pairs]), np.float64) for at in (3, 4))
    return [bool(near) for near in np.einsum("ij,ij->i", first, second) >= THRESHOLD]


def count(passing: Sequence[bool], near: Sequence[bool]) -> Rates:
    """Count pairs of which both are told."""
    both = sum(p and n for p, n in zip(passing, near, strict=True))
    return Rates(len(passing), sum(passing), sum(near), both)
