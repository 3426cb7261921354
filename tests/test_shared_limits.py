"""The limit that processes share through Redis: what one limiter promises, kept by several on a real server."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from servers import NEEDS_REDIS, REDIS_URL, RedisServer, free_port, running, until_is

import rolecore
from rolecore.adapters.shared_limits import RedisRateLimiter
from rolecore.demo.model_server import ModelServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = [pytest.mark.redis, pytest.mark.skipif(not REDIS_URL, reason=NEEDS_REDIS)]


class Fleet:
    """Limiters of one limit, each as another process would have it."""

    def __init__(self, name: str, **limits: Any) -> None:
        self.name, self.limits = name, limits
        self.members: list[RedisRateLimiter] = []

    def open(self, url: str = REDIS_URL) -> RedisRateLimiter:
        self.members.append(RedisRateLimiter(url, self.name, **self.limits))
        return self.members[-1]


def run(test: Callable[[Fleet], Awaitable[None]], *, name: str | None = None, **limits: Any) -> None:
    async def main() -> None:
        fleet = Fleet(name or uuid4().hex, **limits)
        try:
            async with asyncio.timeout(25):
                await test(fleet)
        finally:
            for member in fleet.members:
                await member.close()

    asyncio.run(main())


async def say(*command: Any) -> Any:
    from redis.asyncio import Redis

    client: Any = Redis.from_url(REDIS_URL, decode_responses=True)
    try:
        return await client.execute_command(*command)
    finally:
        await client.aclose()


async def keys_of(name: str) -> list[str]:
    found: list[str] = await say("KEYS", f"rolecore:limit:{{{name}}}:*")
    return sorted(found)


async def held(name: str) -> tuple[int, int]:
    """Return the requests and the tokens that count in Redis."""
    log, costs = (f"rolecore:limit:{{{name}}}:{part}" for part in ("log", "costs"))
    return await say("ZCARD", log), int(await say("HGET", costs, "") or 0)


def most_in_a_window(calls: list[tuple[float, int]], period_s: float) -> tuple[int, int]:
    """Return the most requests and tokens in any window, of times in seconds that hold whole microseconds."""
    us = [(round(at * 1e6), n) for at, n in calls]
    inside = [[n for at, n in us if begin <= at < begin + period_s * 1e6] for begin, _ in us]
    return max(map(len, inside), default=0), max(map(sum, inside), default=0)


async def saturate(limiters: list[RedisRateLimiter], until: float, draw: Random) -> list[tuple[float, int]]:
    calls: list[tuple[float, int]] = []

    async def caller(limiter: RedisRateLimiter) -> None:
        while time.monotonic() < until:
            estimate = draw.randint(1, 20)
            reservation = await limiter.acquire(estimate)
            cost = draw.randint(0, estimate)
            await limiter.settle(reservation, cost)
            calls.append((reservation.granted_at, cost))

    await asyncio.gather(*(caller(limiter) for limiter in limiters for _ in range(5)))
    return calls


@pytest.mark.parametrize("limits", [{"requests_per_minute": 30}, {"tokens_per_minute": 300}])
def test_several_together_never_pass_the_limit_and_go_on(limits: dict[str, Any]) -> None:
    async def test(fleet: Fleet) -> None:
        limiters = [fleet.open() for _ in range(4)]
        calls = await saturate(limiters, time.monotonic() + 1.5, Random(4))  # noqa: S311  no secret
        requests, tokens = most_in_a_window(calls, 0.3)
        assert requests <= limits.get("requests_per_minute", requests)
        assert tokens <= limits.get("tokens_per_minute", tokens)
        # Five windows; how near it comes is measured by `make bench-limits`.
        assert len(calls) >= 3 * 30

    run(test, period_s=0.3, **limits)


@pytest.mark.parametrize("seed", range(3))
def test_calls_that_are_given_up_at_any_moment_leave_nothing_behind(seed: int) -> None:
    draw = Random(seed)  # noqa: S311  no secret

    async def test(fleet: Fleet) -> None:
        limiters = [fleet.open() for _ in range(3)]
        held_by: list[tuple[RedisRateLimiter, Any]] = []

        async def call(limiter: RedisRateLimiter) -> None:
            with suppress(rolecore.RateLimitError, rolecore.DeadlineExceeded):
                with rolecore.deadline(draw.choice([None, 0.02, 0.1, 0.3])):
                    reservation = await limiter.acquire(draw.randint(0, 40))
                if draw.random() < 0.5:
                    await limiter.settle(reservation, draw.randint(0, 60))
                held_by.append((limiter, reservation))

        tasks = [asyncio.create_task(call(draw.choice(limiters))) for _ in range(150)]
        while left := [task for task in tasks if not task.done()]:
            for _ in range(draw.randint(0, 100)):
                await asyncio.sleep(0)
            for task in draw.sample(left, min(2, len(left))):
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for limiter in limiters:
            await asyncio.gather(*limiter._leaving)
        counted = {
            reservation.id: reservation.n_tokens
            for limiter, reservation in held_by
            if await say("ZSCORE", limiter._keys[0], reservation.id)
        }
        log, costs, queue, waiting = limiters[0]._keys
        # One whose task was cancelled in `settle`, after it was let through, holds its place too.
        names = await say("ZRANGE", log, 0, -1)
        assert set(counted) <= set(names)
        found: Any = await say("HGETALL", costs)
        fields = dict(zip(found[::2], found[1::2], strict=True)) if isinstance(found, list) else found
        total = int(fields.pop("", 0))
        assert set(fields) == set(names)
        assert total == sum(map(int, fields.values()))
        assert {name: int(fields[name]) for name in counted} == counted
        assert await say("EXISTS", queue, waiting) == 0

    run(test, requests_per_minute=20, tokens_per_minute=400, period_s=0.2)


def test_first_come_goes_first_and_a_large_one_is_not_overtaken() -> None:
    async def test(fleet: Fleet) -> None:
        one, other = fleet.open(), fleet.open()
        order: list[int] = []

        async def call(limiter: RedisRateLimiter, n_tokens: int) -> None:
            await limiter.acquire(n_tokens)
            order.append(n_tokens)

        await one.acquire(60)
        large = asyncio.create_task(call(one, 100))
        await until_queued(fleet.name, 1)
        small = [asyncio.create_task(call(limiter, n)) for limiter, n in ((other, 3), (one, 2), (other, 4))]
        await asyncio.gather(large, *small)
        assert order[0] == 100
        assert order.index(3) < order.index(4)

    run(test, tokens_per_minute=100, period_s=0.3)


async def until_queued(name: str, n: int) -> None:
    await until_is(lambda: say("ZCARD", f"rolecore:limit:{{{name}}}:queue"), lambda found: bool(found == n))


def test_settling_elsewhere_lets_the_first_through_soon() -> None:
    async def test(fleet: Fleet) -> None:
        one, other = fleet.open(), fleet.open()
        reservation = await one.acquire(100)
        waiting = asyncio.create_task(other.acquire(30))
        await until_queued(fleet.name, 1)
        await one.settle(reservation, 70)
        granted = await waiting
        assert granted.granted_at - reservation.granted_at < 10
        assert await held(fleet.name) == (2, 100)
        await one.settle(reservation, 700)
        await one.settle(reservation, 69)
        assert (reservation.n_tokens, await held(fleet.name)) == (69, (2, 99))
        await one.cancel(reservation)
        await one.cancel(reservation)
        await one.settle(reservation, 50)
        assert await held(fleet.name) == (1, 30)

    run(test, tokens_per_minute=100)


def test_wait_past_the_deadline_is_an_error_at_once_for_the_first_and_for_those_behind() -> None:
    async def test(fleet: Fleet) -> None:
        one, other = fleet.open(), fleet.open()
        await one.acquire(60)
        began = time.monotonic()
        with rolecore.deadline(30), pytest.raises(rolecore.RateLimitError) as caught:
            await one.acquire(50)
        assert caught.value.status == 429
        assert 55 < (caught.value.retry_after_s or 0) <= 60
        waiting = [asyncio.create_task(one.acquire(50)) for _ in range(4)]
        await until_queued(fleet.name, 1)
        with rolecore.deadline(100), pytest.raises(rolecore.RateLimitError) as caught:
            await one.acquire(50)
        assert 175 < (caught.value.retry_after_s or 0) <= 180
        # The first of another process has one before it, and two together fit in a window.
        with rolecore.deadline(30), pytest.raises(rolecore.RateLimitError) as caught:
            await other.acquire(50)
        assert 55 < (caught.value.retry_after_s or 0) <= 60
        assert time.monotonic() - began < 10
        assert await say("ZCARD", f"rolecore:limit:{{{fleet.name}}}:queue") == 1
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await until_queued(fleet.name, 0)

    run(test, tokens_per_minute=100)


def test_cost_above_the_estimates_ends_a_wait_that_is_now_too_long() -> None:
    async def test(fleet: Fleet) -> None:
        one, other = fleet.open(), fleet.open()
        first = await one.acquire(10)
        second = await one.acquire(40)
        # As if the first had been let through almost a window ago.
        log = f"rolecore:limit:{{{fleet.name}}}:log"
        await say("ZADD", log, round((first.granted_at - 58) * 1e6), first.id)
        with rolecore.deadline(20):
            waiting = asyncio.create_task(other.acquire(60))
        await until_queued(fleet.name, 1)
        await one.settle(second, 90)
        with pytest.raises(rolecore.RateLimitError) as caught:
            await waiting
        assert 50 < (caught.value.retry_after_s or 0) <= 60
        assert await say("ZCARD", f"rolecore:limit:{{{fleet.name}}}:queue") == 0
        await one.cancel(second)
        await one.acquire(90)

    run(test, tokens_per_minute=100)


def test_place_of_a_dead_process_is_free_after_its_lease() -> None:
    async def test(fleet: Fleet) -> None:
        one, other = fleet.open(), fleet.open()
        reservation = await one.acquire(100)
        dead = asyncio.create_task(other.acquire(100))
        await until_queued(fleet.name, 1)
        # It dies without a word: not even its cancellation reaches Redis.
        await other.close()
        with pytest.raises(rolecore.StoreError, match="limiter is closed"):
            await dead
        began = time.monotonic()
        await one.settle(reservation, 50)
        await one.acquire(50)
        assert 2 < time.monotonic() - began < 8

    run(test, tokens_per_minute=100)


def test_scripts_that_the_server_forgot_are_sent_again() -> None:
    async def test(fleet: Fleet) -> None:
        limiter = fleet.open()
        for _ in range(2):
            await say("SCRIPT", "FLUSH")
            reservation = await limiter.acquire(1)
            await say("SCRIPT", "FLUSH")
            await limiter.settle(reservation, 5)
        assert await held(fleet.name) == (2, 10)

    run(test, tokens_per_minute=100)


def test_keys_lie_in_one_slot_and_expire_by_themselves() -> None:
    async def test(fleet: Fleet) -> None:
        limiter = fleet.open()
        await limiter.acquire(1)
        waiting = asyncio.create_task(limiter.acquire(1))
        await until_queued("a%7Bb%7D%20c", 1)
        keys = await keys_of("a%7Bb%7D%20c")
        assert [key.rpartition(":")[2] for key in keys] == ["costs", "log", "queue", "waiting"]
        for key in keys:
            assert 60_000 < await say("PTTL", key) <= 70_000
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await say("DEL", *keys)

    run(test, name="a{b} c", requests_per_minute=1)


def test_what_the_log_lost_is_not_held_against_anyone() -> None:
    async def test(fleet: Fleet) -> None:
        limiter = fleet.open()
        await limiter.acquire(100)
        await say("DEL", *await keys_of(fleet.name))
        await limiter.acquire(100)

    run(test, tokens_per_minute=100)


def test_server_clock_that_jumps_back_lets_no_more_through() -> None:
    async def test(fleet: Fleet) -> None:
        limiter = fleet.open()
        reservation = await limiter.acquire(1)
        log = f"rolecore:limit:{{{fleet.name}}}:log"
        # As if the clock had been an hour ahead then.
        await say("ZADD", log, round((reservation.granted_at + 3600) * 1e6), reservation.id)
        with rolecore.deadline(1), pytest.raises(rolecore.RateLimitError) as caught:
            await limiter.acquire(1)
        assert 59 < (caught.value.retry_after_s or 0) <= 60
        await limiter.cancel(reservation)
        later = await limiter.acquire(1)
        assert 3599 < later.granted_at - reservation.granted_at < 3620

    run(test, requests_per_minute=1)


def test_redis_out_of_reach_is_an_error_and_no_endless_wait() -> None:
    async def test(fleet: Fleet) -> None:
        limiter = fleet.open(f"redis://127.0.0.1:{free_port()}")
        began = time.monotonic()
        with pytest.raises(rolecore.StoreError, match="Redis cannot be reached"):
            await limiter.acquire(1)
        assert time.monotonic() - began < 8
        with rolecore.deadline(0.1), pytest.raises((rolecore.StoreError, rolecore.DeadlineExceeded)):
            await limiter.acquire(1)

    run(test, requests_per_minute=1)


def test_silent_redis_ends_a_call_at_its_deadline() -> None:
    with running(RedisServer, "--appendonly", "no") as server:

        async def test(fleet: Fleet) -> None:
            limiter = fleet.open(server.url)
            await limiter.acquire(1)
            server.freeze()
            try:
                with rolecore.deadline(0.2), pytest.raises(rolecore.DeadlineExceeded):
                    await limiter.acquire(1)
            finally:
                server.thaw()
            await limiter.acquire(1)

        run(test, requests_per_minute=10)


def test_wait_goes_on_when_redis_is_started_anew() -> None:
    with running(RedisServer, "--appendonly", "no") as server:

        async def test(fleet: Fleet) -> None:
            limiter = fleet.open(server.url)
            await limiter.acquire(100)
            waiting = [asyncio.create_task(limiter.acquire(50)) for _ in range(2)]
            await asyncio.sleep(0)
            server.kill()
            server.start()
            # It kept no file: all of the limit is free again.
            await asyncio.gather(*waiting)

        run(test, tokens_per_minute=100)


def test_limiter_of_another_loop_says_so() -> None:
    async def test(fleet: Fleet) -> None:
        limiter = fleet.open()
        await limiter.acquire(1)
        with pytest.raises(rolecore.StoreError, match="limiter belongs to another event loop"):
            await asyncio.to_thread(asyncio.run, limiter.acquire(1))

    run(test, requests_per_minute=9)


def test_reservation_of_another_limiter_and_bad_tokens_are_refused() -> None:
    async def test(fleet: Fleet) -> None:
        one, other = fleet.open(), fleet.open()
        reservation = await one.acquire(1)
        for bad in (reservation, None, "r"):
            with pytest.raises(rolecore.ArgumentError, match="not of this limiter"):
                await other.settle(bad, 1)  # type: ignore[arg-type]
        for bad_tokens in (-1, float("nan"), 1.0, "1", None):
            with pytest.raises(rolecore.ArgumentError):
                await one.acquire(bad_tokens)  # type: ignore[arg-type]
            with pytest.raises(rolecore.ArgumentError):
                await one.settle(reservation, bad_tokens)  # type: ignore[arg-type]
        with pytest.raises(rolecore.ArgumentError, match="n_tokens is 101, tokens_per_minute is 100"):
            await one.acquire(101)
        await one.settle(reservation, 10**5000)
        assert await held(fleet.name) == (1, 2**40)
        await one.cancel(reservation)
        assert await held(fleet.name) == (0, 0)

    run(test, tokens_per_minute=100)


@pytest.mark.parametrize(
    ("url", "name", "limits"),
    [
        ("redis://h", "", {"requests_per_minute": 1}),
        ("redis://h", "\0", {"requests_per_minute": 1}),
        ("redis://h", "\ud83d", {"requests_per_minute": 1}),
        ("redis://h", "x" * 513, {"requests_per_minute": 1}),
        ("redis://h", None, {"requests_per_minute": 1}),
        ("redis://h", "n", {}),
        ("redis://h", "n", {"requests_per_minute": 0}),
        ("redis://h", "n", {"tokens_per_minute": 1, "period_s": float("nan")}),
        ("redis://u:secret@h:port/0", "n", {"requests_per_minute": 1}),
        ("http://u:secret@h", "n", {"requests_per_minute": 1}),
        (None, "n", {"requests_per_minute": 1}),
    ],
)
def test_argument_out_of_range_is_refused_without_showing_the_url(url: Any, name: Any, limits: Any) -> None:
    with pytest.raises(rolecore.ArgumentError) as caught:
        RedisRateLimiter(url, name, **limits)
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(RedisRateLimiter("redis://u:secret@h", "n", requests_per_minute=1))


def test_agents_with_one_shared_limit_send_no_more_than_it_allows() -> None:
    async def both(fleet: Fleet) -> None:
        async with ModelServer("yes") as server:
            agents = [
                rolecore.OpenAIAgent(base_url=server.base_url, model="demo", limiter=fleet.open()) for _ in range(2)
            ]
            try:
                with rolecore.deadline(10):
                    calls = [agents[i % 2].ainvoke("hi") for i in range(8)]
                    found = await asyncio.gather(*calls, return_exceptions=True)
            finally:
                for agent in agents:
                    await agent.aclose()
            assert sum(answer == "yes" for answer in found) == 5
            assert sum(isinstance(answer, rolecore.RateLimitError) for answer in found) == 3
            assert server.n_requests["demo"] == 5

    run(both, requests_per_minute=5, tokens_per_minute=10_000)
