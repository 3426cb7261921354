"""The router: which role answers a query. What roles mean decides first, then how busy, fast and sound they are."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable, Mapping
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeVar

from rolecore import deadlines
from rolecore._core import HashingEmbedder, RoleIndex
from rolecore.arguments import unit_rows
from rolecore.breaker import CircuitBreaker
from rolecore.cache import unit_rows_of
from rolecore.decision import Decision, softmax
from rolecore.errors import ArgumentError, CircuitOpen, RoleNotFound
from rolecore.role_calls import LiveStatistics
from rolecore.roles.role import Role

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from rolecore._core import Routed
    from rolecore.role_calls import Call
    from rolecore.types import Embedder

T = TypeVar("T")

# Most characters of a query that are given to an embedder, half from each end, as rust/py/src/route.rs.
_MOST_CHARACTERS = 4096
_FULL_QUEUE = 10.0
# Shorter than this, a sum of unit rows has no direction but chance.
_NO_DIRECTION = 1e-6


class Router:
    """Chooses the role that answers a query, among those that match it.

    Three stages. A role with a sensitive word that stands in the query gets it, whatever else is so. Else the roles
    are those whose examples are near the query, as near as the best but for `margin`; and of these the policy takes
    one, by queue, pace and success. Each example counts half by itself and half by the mean of its role's. Where a role
    has no examples, its name and description are its one example.

    What the roles do is told by `call`; what is changed in a role later is not seen. Not for threads at once: each
    belongs to what one event loop runs.

    Args:
        roles: at least one, each with a name of its own. The order decides between equal matches.
        embedder: makes rows of texts. With a `HashingEmbedder`, a decision embeds the query too.
        policy: "adaptive": the least expected wait, (queue + 1) x seconds of work an answer takes / success;
            "softmax": similarity x (1 - queue / 10) x success, then one of the two highest, drawn by their softmax;
            "shortest_queue".
        seed: of what is drawn; from 0.
        threshold: the similarity from which a role matches.
        margin: how much less similar than the best a role may be and be as good.
        hold: by how much more similar another role must be to take a session over from its last one.
        fallback: name of the role that answers what none matches. With one role, that one.
        hedge_after_s: seconds after which `hedged` asks the second role too; None for never.
        time_constant_s: seconds after which what was seen of a role counts for 1/e.
        max_failures: of a role in a row, until its breaker opens.
        reset_s: seconds until its breaker lets one call through.
        clock: returns seconds that never run backwards.

    Raises:
        ArgumentError: there are no roles, two of one name, a sensitive word that shows nothing, a number out of
            its range, or the embedder's rows are not what they must be. RoleNotFound: `fallback` is none of the roles.

    Cost: one embedding of all examples.

    Source: the stages are apart as in https://github.com/vllm-project/semantic-router/issues/1249. The default
        policy is the shortest expected delay of Winston (Optimality of the shortest line discipline, 1977) and Weber
        (1978), for servers of unlike, unknown paces; the seconds are estimated as docs/router.md tells.

    Example:
        >>> roles = [rolecore.Role("refunds", examples=["I want my money back", "refund my order"]),
        ...          rolecore.Role("travel", examples=["book a flight to Oslo", "when does the ferry leave"])]
        >>> router = rolecore.Router(roles, embedder=rolecore.HashingEmbedder())
        >>> router.route("can I get my money back")
        Decision(role='refunds', second=None, reason='match')
    """

    def __init__(
        self,
        roles: Iterable[Role],
        *,
        embedder: Embedder,
        policy: str = "adaptive",
        seed: int = 0,
        threshold: float = 0.2,
        margin: float = 0.02,
        hold: float = 0.1,
        fallback: str | None = None,
        hedge_after_s: float | None = None,
        time_constant_s: float = 60.0,
        max_failures: int = 5,
        reset_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Embed the examples."""
        self._roles = _read_roles(roles)
        self.roles: dict[str, Role] = {role.name: role for role in self._roles}
        self._index_of = {role.name: i for i, role in enumerate(self._roles)}
        n = len(self._roles)
        self.hedge_after_s = None if hedge_after_s is None else deadlines.read_seconds(hedge_after_s, "hedge_after_s")
        time_constant_s = _number(time_constant_s, "time_constant_s", 1e-9, 1e9)
        self._policy = policy
        self._clock = clock
        self.embedder = embedder
        breaker = partial(CircuitBreaker, max_failures=max_failures, reset_s=reset_s, clock=clock)
        self._live = LiveStatistics(n, breaker, time_constant_s, clock)
        rows, counts = _prototypes(self._roles, embedder)
        only = 0 if n == 1 else None
        self._core = RoleIndex(
            rows,
            counts,
            [list(role.sensitive_words) for role in self._roles],
            self._live.numbers,
            embedder=embedder if isinstance(embedder, HashingEmbedder) else None,
            policy=policy,
            threshold=_number(threshold, "threshold", -1.0, 1.0),
            margin=_number(margin, "margin", 0.0, 2.0),
            hold=_number(hold, "hold", 0.0, 2.0),
            fallback=only if fallback is None else self._at(fallback),
            time_constant_s=time_constant_s,
            seed=_read_seed(seed),
        )
        self._has_words = any(role.sensitive_words for role in self._roles)

    def __repr__(self) -> str:
        """Show the policy and how many roles there are."""
        return f"Router({len(self._roles)} roles, policy={self._policy!r})"

    def route(self, query: str, *, vector: ArrayLike | None = None, last_role: str | None = None) -> Decision:
        """Return which role answers a query.

        Args:
            query: any text. All of it is read for sensitive words; of a long one, 4,096 characters are embedded, half
                from each end.
            vector: the query's row, float32, shape (dim,), of any length but 0, where it is known already.
            last_role: name of the role that the session was with.

        Raises:
            RoleNotFound: no role matches, and there is no fallback; or `last_role` is unknown.
            CircuitOpen: all roles that match, and the fallback, are blocked by their breakers.
            ArgumentError: `query` is no str, `vector` is no such row, or a statistic is no number from 0.

        Cost: some microseconds at 1,000 roles, without the embedding. The GIL is held.
        """
        last = None if last_role is None else self._at(last_role)
        if vector is None and self.needs_vector(query):
            vector = self.embed(query)
        now = self._clock()
        routed = self._core.choose(query, vector, last, now)
        if routed.role is None:
            raise self._no_role(routed, now)
        return Decision(routed, self._roles, self._policy, partial(self.embed, query) if vector is None else vector)

    def compute_weights(self, query: str, role_stats: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
        """Return the softmax of similarity x (1 - queue_len / 10) x success_rate, over the roles that are told of.

        A queue of 10 or more, or a similarity below 0, is no weight. With a sensitive word, its role has all of it.

        Args:
            query: as in `route`.
            role_stats: by name of a role, its "queue_len", from 0, and "success_rate", from 0 to 1.

        Returns:
            By name, in the order of `role_stats`; the sum is 1.

        Raises:
            RoleNotFound: a name is of no role. ArgumentError: a statistic is missing or out of its range.

        Cost: O(examples x dim); one call of the core.
        """
        if not isinstance(role_stats, Mapping):
            msg = f"role_stats is of type {type(role_stats).__name__}; it must map names of roles to statistics"
            raise ArgumentError(msg)
        indices = {name: self._at(name) for name in role_stats}
        stats = {name: _stats(name, given) for name, given in role_stats.items()}
        sensitive = self._core.sensitive(query)
        if sensitive is not None:
            return dict.fromkeys(indices, 0.0) | {self._roles[sensitive].name: 1.0}
        similarities = self._core.similarities(self.embed(query))
        return softmax(
            {
                name: max(similarities[indices[name]], 0.0) * max(1 - queue / _FULL_QUEUE, 0.0) * success
                for name, (queue, success) in stats.items()
            }
        )

    def call(self, role: Role | str) -> Call:
        """Return what goes around the call of a role's agent and notes how it goes: `with router.call(role):`.

        An `AdapterError` or a `DeadlineExceeded` is a failure; a cancellation, or any other error, is neither that nor
        an answer.

        Raises:
            RoleNotFound: there is no such role. On entering, CircuitOpen: its breaker is open.
        """
        return self._live.call(self._at(role))

    async def hedged(self, decision: Decision, send: Callable[[Role], Awaitable[T]]) -> T:
        """Return what `send` answers for the decision's role, or for its second if that is sooner.

        The second is asked when the first has not answered in `hedge_after_s`: about what 95 of 100 answers take, so
        that few calls are made twice. The first answer wins and the other call is cancelled, which is no failure of
        its role's. An error wins only when nothing else is on its way.

        Args:
            decision: of this router.
            send: asks a role. It is called inside `call(role)`.

        Raises:
            CircuitOpen, and whatever `send` raises.

        Source: Dean and Barroso, The Tail at Scale (2013), "hedged requests".
        """

        async def ask(role: Role) -> T:
            with self.call(role):
                return await send(role)

        if self.hedge_after_s is None or decision.second is None:
            return await ask(decision.role)
        tasks = {asyncio.ensure_future(ask(decision.role))}
        try:
            done, _ = await asyncio.wait(tasks, timeout=self.hedge_after_s)
            if not done:
                tasks.add(asyncio.ensure_future(ask(decision.second)))
            return await _first_answer(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def open(self, role: Role | str) -> None:
        """Let a role take turns, which all may at first."""
        self._live.close(self._at(role), is_closed=False)

    def close(self, role: Role | str) -> None:
        """Let a role take no turns, as when its permission was revoked: `route` is as if it were not there.

        Sensitive words go to their role all the same.
        """
        self._live.close(self._at(role), is_closed=True)

    def embed(self, query: str) -> NDArray[np.float32]:
        """Return a query's unit row, float32, shape (dim,)."""
        if not isinstance(query, str):
            msg = f"query is of type {type(query).__name__}; it must be a str"
            raise ArgumentError(msg)
        if len(query) > _MOST_CHARACTERS:
            half = _MOST_CHARACTERS // 2
            query = f"{query[:half]}\n{query[-half:]}"
        row: NDArray[np.float32] = unit_rows_of(self.embedder, [query])[0]
        return row

    def _at(self, role: Role | str) -> int:
        name = _name_of(role)
        index = self._index_of.get(name)
        if index is None:
            msg = f"no role is named {name!r}; there are {len(self._roles)}, see router.roles"
            raise RoleNotFound(msg)
        return index

    def needs_vector(self, query: str) -> bool:
        """Whether the query has to be embedded here. One with a sensitive word is not: an embedder may be far away."""
        if isinstance(self.embedder, HashingEmbedder):
            return False
        return not (self._has_words and self._core.sensitive(query) is not None)

    def _no_role(self, routed: Routed, now: float) -> Exception:
        until = routed.blocked_until
        if until is None:
            return RoleNotFound("no role matches the query; lower threshold, give examples like it, or a fallback")
        wait = None if math.isinf(until) else until - now
        return CircuitOpen("all roles that match the query have failed too often; give a fallback, or wait", wait)


async def _first_answer(tasks: set[asyncio.Task[T]]) -> T:
    """Return the first answer, or the last error when all have failed."""
    left = set(tasks)
    while True:
        done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        answered = [task for task in done if not task.cancelled() and task.exception() is None]
        if answered or not left:
            return (answered or list(done))[0].result()


def _prototypes(roles: Sequence[Role], embedder: Embedder) -> tuple[NDArray[np.float32], list[int]]:
    """Return all roles' rows, each example's drawn halfway to its role's mean, and how many each role has.

    A query's product with such a row is the mean of those with the example and with the role's mean, but for its
    length: so the best row is the maximum over examples mixed with the centroid.
    """
    import numpy as np

    if not callable(getattr(embedder, "embed", None)):
        msg = f"embedder is of type {type(embedder).__name__}; it must have embed(texts)"
        raise ArgumentError(msg)
    texts, counts = [], []
    for role in roles:
        examples = [text for text in role.examples if text.strip()]
        texts += examples or [f"{role.name}. {role.description}" if role.description else role.name]
        counts.append(len(examples) or 1)
    rows = unit_rows_of(embedder, texts)
    made = []
    for own in np.split(rows.astype(np.float64), np.cumsum(counts)[:-1]):
        mean = own.mean(axis=0)
        length = float(np.linalg.norm(mean))
        mixed = own + mean / length if length > _NO_DIRECTION else own
        # An example right opposite its role's mean stands for itself.
        is_lost = np.linalg.norm(mixed, axis=1) < _NO_DIRECTION
        made.append(np.where(is_lost[:, None], own, mixed))
    return unit_rows(np.concatenate(made), name="examples", error=ArgumentError), counts


def _read_roles(given: Iterable[Role]) -> list[Role]:
    if not isinstance(given, Iterable):
        msg = f"roles is of type {type(given).__name__}; it must be an iterable of roles"
        raise ArgumentError(msg)
    roles = list(given)
    if not roles:
        msg = "there are no roles; give at least one"
        raise ArgumentError(msg)
    names = set()
    for i, role in enumerate(roles):
        if not isinstance(role, Role):
            msg = f"roles[{i}] is of type {type(role).__name__}; it must be a Role"
            raise ArgumentError(msg)
        if role.name in names:
            msg = f"two roles are named {role.name!r}; give each a name of its own"
            raise ArgumentError(msg)
        names.add(role.name)
    return roles


def _name_of(role: Role | str) -> str:
    name = role.name if isinstance(role, Role) else role
    if not isinstance(name, str):
        msg = f"the role is of type {type(name).__name__}; it must be a Role or the name of one"
        raise ArgumentError(msg)
    return name


def _number(value: Any, name: str, least: float, most: float) -> float:  # noqa: ANN401  any argument
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not least <= value <= most:
        msg = f"{name} is {_shown(value, is_number=is_number)}; it must be a number from {least:g} to {most:g}"
        raise ArgumentError(msg)
    return float(value)


def _shown(value: Any, *, is_number: bool) -> str:  # noqa: ANN401  any argument
    if not is_number:
        return f"of type {type(value).__name__}"
    return str(value) if not 2**64 < abs(value) < math.inf else "beyond 64 bits"


def _read_seed(seed: Any) -> int:  # noqa: ANN401  any argument
    is_number = isinstance(seed, int) and not isinstance(seed, bool)
    if not is_number or not 0 <= seed < 2**64:
        msg = f"seed is {_shown(seed, is_number=is_number)}; it must be an int from 0 to 2**64 - 1"
        raise ArgumentError(msg)
    return int(seed)


def _stats(name: str, given: Mapping[str, float]) -> tuple[float, float]:
    try:
        queue, success = given["queue_len"], given["success_rate"]
    except (KeyError, TypeError):
        msg = f"role_stats of role {name!r} must have queue_len and success_rate"
        raise ArgumentError(msg) from None
    return (
        _number(queue, f"queue_len of role {name!r}", 0.0, 1e300),
        _number(success, f"success_rate of role {name!r}", 0.0, 1.0),
    )
