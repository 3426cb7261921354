"""Generated calls of a limiter against a slow one on plain lists, which forgets nothing and looks at all of it."""

from __future__ import annotations

import asyncio
import math
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

import rolecore
from rolecore.adapters.limits import RateLimiter
from rolecore.testing import run_virtual

PERIOD_S = 10 + 1 / 512


class Op(NamedTuple):
    at: float
    kind: str
    n: int
    target: int
    timeout_s: float | None


# All times are sums of powers of two, so that both sides' are equal; by the 512th, no two things happen at one time.
OPS = st.lists(
    st.builds(
        Op,
        at=st.integers(0, 400).map(lambda i: i / 4),
        kind=st.sampled_from(["acquire"] * 4 + ["settle", "cancel", "leave"]),
        n=st.integers(0, 30),
        target=st.integers(1, 8),  # so many operations ago
        # Shorter than a window: longer waits are judged as they stood when those before came.
        timeout_s=st.one_of(st.none(), st.integers(0, 39).map(lambda i: i / 4 + 0.125)),
    ),
    max_size=40,
    unique_by=lambda op: op.at,
).map(lambda ops: [op._replace(target=name - op.target) for name, op in enumerate(sorted(ops, key=lambda op: op.at))])


class Oracle:
    """What each call comes to is in `said`, by its number: when it was let through, or why it was not."""

    def __init__(self, requests: float, tokens: float) -> None:
        self.requests, self.tokens = requests, tokens
        self.now = 0.0
        self.granted: dict[int, tuple[float, int]] = {}  # when, and what it costs
        self.waiting: list[tuple[int, int, float]] = []  # which, what it costs, and until when
        self.said: dict[int, float | str] = {}

    def grant(self) -> None:
        while self.waiting:
            name, n, _ = self.waiting[0]
            live = [cost for since, cost in self.granted.values() if since + PERIOD_S > self.now]
            if len(live) + 1 > self.requests or sum(live) + n > self.tokens:
                return
            self.waiting.pop(0)
            self.granted[name] = (self.now, n)
            self.said[name] = self.now

    def advance(self, until: float) -> None:
        while True:
            ends = [since + PERIOD_S for since, _ in self.granted.values() if since + PERIOD_S > self.now]
            at = min([*ends, *(end for _, _, end in self.waiting)], default=math.inf)
            if at > until or at == math.inf:
                self.now = until
                return
            self.now = at
            self.said |= {name: f"late at {at}" for name, _, end in self.waiting if end == at}
            self.waiting = [item for item in self.waiting if item[2] > at]
            self.grant()

    def wait_s(self) -> float:
        """Return how long the last in the queue will wait if nothing else happens."""
        name = self.waiting[-1][0]
        future = Oracle(self.requests, self.tokens)
        future.now, future.granted = self.now, dict(self.granted)
        future.waiting = [(name, n, math.inf) for name, n, _ in self.waiting]
        future.grant()
        future.advance(1e9)
        at = future.said[name]
        assert isinstance(at, float)
        return at - self.now

    def do(self, name: int, op: Op) -> None:
        self.advance(op.at)
        if op.kind == "acquire":
            self.waiting.append((name, op.n, math.inf if op.timeout_s is None else op.at + op.timeout_s))
            wait_s = self.wait_s()
            if op.timeout_s is not None and wait_s >= op.timeout_s and wait_s > 0:
                self.waiting.pop()
                self.said[name] = f"refused at {op.at}, wait {min(wait_s, PERIOD_S)}"
        elif op.kind == "leave":
            self.said |= {name: "left" for name, _, _ in self.waiting if name == op.target}
            self.waiting = [item for item in self.waiting if item[0] != op.target]
        elif op.target in self.granted:
            since, _ = self.granted.pop(op.target)
            if op.kind == "settle":
                self.granted[op.target] = (since, op.n)
        self.grant()


class Real:
    """The limiter, driven by the same calls; `said` as the oracle's."""

    def __init__(self, limiter: RateLimiter) -> None:
        self.limiter = limiter
        self.reservations: dict[int, Any] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.said: dict[int, float | str] = {}

    async def acquire(self, name: int, op: Op) -> None:
        time = asyncio.get_running_loop().time
        try:
            with rolecore.deadline(op.timeout_s):
                self.reservations[name] = await self.limiter.acquire(op.n)
            self.said[name] = time()
        except rolecore.RateLimitError as error:
            self.said[name] = f"refused at {time()}, wait {min(error.retry_after_s or 0.0, PERIOD_S)}"
        except rolecore.DeadlineExceeded:
            self.said[name] = f"late at {time()}"
        except asyncio.CancelledError:
            self.said[name] = "left"

    async def do(self, name: int, op: Op) -> None:
        await asyncio.sleep(op.at - asyncio.get_running_loop().time())
        if op.kind == "acquire":
            self.tasks[name] = asyncio.create_task(self.acquire(name, op))
        elif op.kind == "leave" and op.target in self.tasks:
            self.tasks[op.target].cancel()
        elif op.kind == "settle" and op.target in self.reservations:
            await self.limiter.settle(self.reservations[op.target], op.n)
        elif op.kind == "cancel" and op.target in self.reservations:
            await self.limiter.cancel(self.reservations[op.target])
        # So that what is ready now runs before the next.
        await asyncio.sleep(0.0625)


@settings(max_examples=200, deadline=None)
@given(ops=OPS, requests=st.one_of(st.none(), st.integers(1, 6)), tokens=st.integers(30, 60))
def test_generated_calls_are_let_through_when_the_oracle_says(ops: list[Op], requests: int | None, tokens: int) -> None:
    async def main() -> dict[int, float | str]:
        clock = asyncio.get_running_loop().time
        real = Real(RateLimiter(requests_per_minute=requests, tokens_per_minute=tokens, period_s=PERIOD_S, clock=clock))
        for name, op in enumerate(ops):
            await real.do(name, op)
        await asyncio.gather(*real.tasks.values())
        return real.said

    oracle = Oracle(math.inf if requests is None else requests, tokens)
    for name, op in enumerate(ops):
        oracle.do(name, op)
    oracle.advance(1e9)
    assert run_virtual(main(), seed=1) == oracle.said
