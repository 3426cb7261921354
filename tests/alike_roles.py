"""What tests of routers share: a clock to set, an embedder that knows its rows, and roles that match alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rolecore import Role, Router

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Table:
    """Knows the rows of some texts; the rest are along the last axis."""

    model_id = "table"

    def __init__(self, rows: Mapping[str, Sequence[float]], dim: int = 3) -> None:
        self.rows = dict(rows)
        self.dim = dim
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked += texts
        rest = [0.0] * (self.dim - 1) + [1.0]
        return np.array([self.rows.get(text, rest) for text in texts], np.float32)


def replicas(n: int, clock: Clock, **options: Any) -> Router:
    """Return a router of roles that match any query alike."""
    roles = [Role(f"r{i}", examples=["same"]) for i in range(n)]
    return Router(roles, embedder=Table({"same": (1, 0, 0), "q": (1, 0, 0)}), clock=clock, **options)
