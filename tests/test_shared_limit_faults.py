"""A shared limit when the connection breaks at any byte of a call: never over it, nothing counted twice."""

from __future__ import annotations

import asyncio
import itertools
import sys
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

import pytest
from server_faults import proxied, through
from servers import NEEDS_REDIS, REDIS_URL
from stalling_proxy import Fault

import rolecore
from rolecore.adapters.shared_limits import RedisRateLimiter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.redis, pytest.mark.skipif(not REDIS_URL, reason=NEEDS_REDIS)]

# Bytes between two faults. A request is ten times as long as a reply.
STEPS = {"reply": 1, "request": 7}


async def broken_at_every_byte(
    call: str, kind: Any, of: Literal["reply", "request"], *, times: int, timeout_s: float | None
) -> AsyncIterator[tuple[int, str, tuple[int, int]]]:
    """Yield, for each byte, how the call ended and the requests and tokens that count then, one request of 7 known."""
    async with proxied(REDIS_URL) as proxy:
        for k in itertools.count(0, STEPS[of]):
            name = uuid4().hex
            limits: Any = {"requests_per_minute": 9, "tokens_per_minute": 900}
            direct = RedisRateLimiter(REDIS_URL, name, **limits)
            limiter = RedisRateLimiter(through(REDIS_URL, proxy.port), name, **limits)
            try:
                reservation = await limiter.acquire(7)
                proxy.set(Fault(kind, k, of, times))
                ended = "done"
                try:
                    with rolecore.deadline(timeout_s):
                        if call == "acquire":
                            await limiter.acquire(100)
                        elif call == "settle":
                            await limiter.settle(reservation, 50)
                        else:
                            await limiter.cancel(reservation)
                except (rolecore.StoreError, rolecore.DeadlineExceeded) as error:
                    ended = type(error).__name__
                n_met = proxy.n_met
                proxy.set(None)
                # What gives up an acquire that failed goes through the same connections.
                await asyncio.gather(*limiter._leaving)
                yield k, ended, await counted(direct)
            finally:
                await limiter.close()
                await direct.close()
            if not n_met and ended == "done":
                return


async def counted(limiter: RedisRateLimiter) -> tuple[int, int]:
    log, costs, *_ = limiter._keys

    async def work(connection: Any, _: bool) -> tuple[int, int]:  # noqa: FBT001  what `call` takes
        requests = await limiter._link.execute(connection, "ZCARD", log)
        tokens = await limiter._link.execute(connection, "HGET", costs, "")
        return requests, int(tokens or 0)

    return await limiter._link.call("look", work)


# What counts before, and after each call was done.
BEFORE = (1, 7)
AFTER = {"acquire": (2, 107), "settle": (1, 50), "cancel": (0, 0)}


@pytest.mark.parametrize("call", AFTER)
@pytest.mark.parametrize("of", ["reply", "request"])
@pytest.mark.parametrize("kind", ["reset", "truncate"])
@pytest.mark.timeout(120)
def test_connection_broken_once_at_any_byte_is_made_good_and_counts_once(call: str, of: Any, kind: str) -> None:
    async def main() -> None:
        n = 0
        async for k, ended, counts in broken_at_every_byte(call, kind, of, times=1, timeout_s=None):
            assert (k, ended, counts) == (k, "done", AFTER[call])
            n += 1
        assert n > 3

    asyncio.run(main())


@pytest.mark.parametrize("call", AFTER)
@pytest.mark.parametrize("of", ["reply", "request"])
@pytest.mark.timeout(120)
def test_connection_broken_each_time_is_a_typed_error_and_counts_at_most_once(call: str, of: Any) -> None:
    async def main() -> None:
        outcomes = set()
        async for k, ended, counts in broken_at_every_byte(call, "reset", of, times=sys.maxsize, timeout_s=0.05):
            outcomes.add(ended)
            allowed = [AFTER[call]] if ended == "done" else [BEFORE, AFTER[call]]
            assert counts in allowed, (k, ended)
        assert outcomes - {"done"}

    asyncio.run(main())


@pytest.mark.timeout(120)
def test_acquire_that_was_cut_off_is_given_back() -> None:
    """What was let through and not heard of would count for a window; it is taken back as soon as Redis is reached."""

    async def main() -> None:
        async for k, ended, counts in broken_at_every_byte("acquire", "stall", "reply", times=1, timeout_s=0.05):
            assert (k, counts) == (k, BEFORE if ended != "done" else AFTER["acquire"])

    asyncio.run(main())
