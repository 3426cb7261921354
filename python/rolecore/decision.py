"""What a router decides, and why: read only where somebody asks, so that a decision costs little."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from rolecore.arguments import unit_rows
from rolecore.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from rolecore._core import Routed
    from rolecore.roles.role import Role


class Score(NamedTuple):
    """What spoke for and against a role in a decision.

    Attributes:
        similarity: how well it matches the query, up to 1.
        queue: calls that were on their way.
        seconds: of work an answer takes it.
        success: the share of its calls that are answered.
        is_blocked: whether its breaker lets nothing through.
        weight: what the policy makes of all this: the higher the better.
    """

    similarity: float
    queue: float
    seconds: float
    success: float
    is_blocked: bool
    weight: float


class Decision:
    """Which role answers, and why.

    Attributes:
        role: the one that was chosen.
        second: the next best that could do the same, None where there is none. Never one for a sensitive word.
        reason: "match": the only one that matches; "policy": chosen among several that match alike; "held": the
            session's last role, which no other beats by enough; "fallback": none matches, or can be reached;
            "sensitive word": one stands in the query. Which, is not told.
    """

    __slots__ = ("_policy", "_roles", "_routed", "_row", "reason", "role", "second")

    def __init__(
        self, routed: Routed, roles: Sequence[Role], policy: str, row: ArrayLike | Callable[[], NDArray[np.float32]]
    ) -> None:
        """Take what the core decided; the rest is read when it is asked for."""
        at, second = routed.role, routed.second
        assert at is not None  # noqa: S101  the router has raised
        self.role: Role = roles[at]
        self.second: Role | None = None if second is None else roles[second]
        self.reason: str = routed.reason
        self._routed = routed
        self._roles = roles
        self._policy = policy
        self._row = row

    def __repr__(self) -> str:
        """Show the choice, not the query."""
        second = None if self.second is None else self.second.name
        return f"Decision(role={self.role.name!r}, second={second!r}, reason={self.reason!r})"

    @property
    def vector(self) -> NDArray[np.float32]:
        """The query's row, float32, shape (dim,), unit length; embedded now if a sensitive word has decided."""
        import numpy as np

        row = self._routed.row
        if row is not None:
            return np.frombuffer(row, np.float32)
        if callable(self._row):
            self._row = self._row()
        unit: NDArray[np.float32] = unit_rows([self._row], name="vector", error=ArgumentError)[0]
        return unit

    @property
    def scores(self) -> dict[str, Score]:
        """By name, what spoke for and against each role that was looked at, best match first.

        None for a sensitive word, which decides alone.
        """
        return {self._roles[one[0]].name: Score(*one[1:]) for one in self._routed.candidates}

    @property
    def weights(self) -> dict[str, float]:
        """By name, the share that each role looked at has of all weights; their softmax where that is the policy."""
        scores = self.scores
        if not scores:
            return {self.role.name: 1.0}
        free = {name: score.weight for name, score in scores.items() if not score.is_blocked}
        total = sum(free.values()) or 1.0
        shares = softmax(free) if self._policy == "softmax" else {name: free[name] / total for name in free}
        return dict.fromkeys(scores, 0.0) | shares


def softmax(weights: dict[str, float]) -> dict[str, float]:
    """Return the share of each, e to the power of its weight."""
    top = max(weights.values(), default=0.0)
    raised = {name: math.exp(weight - top) for name, weight in weights.items()}
    total = sum(raised.values())
    return {name: share / total for name, share in raised.items()}
