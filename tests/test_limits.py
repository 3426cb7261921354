"""The limits of one process: never more in any window, nothing left unused, in order, inside the deadline."""

from __future__ import annotations

import asyncio
import gc
import threading
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

import rolecore
from rolecore.adapters.limits import RateLimiter
from rolecore.testing import run_virtual

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def run(test: Callable[[Any], Awaitable[None]], *, seed: int = 1, **limits: Any) -> None:
    async def main() -> None:
        clock = asyncio.get_running_loop().time
        await test(RateLimiter(clock=clock, **limits))

    run_virtual(main(), seed=seed)


def now() -> float:
    return asyncio.get_running_loop().time()


async def later(at: float, work: Awaitable[Any]) -> None:
    await asyncio.sleep(at - now())
    await work


async def grant_times(limiter: RateLimiter, sizes: list[int]) -> list[float]:
    """Return when requests that come at once, in this order, are let through."""
    times: list[float] = []

    async def one(n_tokens: int) -> None:
        await limiter.acquire(n_tokens)
        times.append(now())

    tasks = []
    for n_tokens in sizes:
        tasks.append(asyncio.create_task(one(n_tokens)))
        await asyncio.sleep(0.0001)  # of virtual time: what is ready at one time runs in any order
    await asyncio.gather(*tasks)
    return times


def most_in_a_window(calls: list[tuple[float, int]], period_s: float) -> tuple[int, int]:
    """Return the most requests and the most tokens in any window; one that begins with each call is enough."""
    inside = [[n for at, n in calls if begin <= at < begin + period_s] for begin, _ in calls]
    return max(map(len, inside), default=0), max(map(sum, inside), default=0)


def test_requests_wait_until_the_window_of_the_first_is_over() -> None:
    async def test(limiter: RateLimiter) -> None:
        times = await grant_times(limiter, [1] * 7)
        assert [round(at) for at in times] == [0, 0, 0, 60, 60, 60, 120]
        assert all(b - a >= 60 for a, b in zip(times, times[3:], strict=False))

    run(test, requests_per_minute=3)


def test_a_large_request_is_not_overtaken_by_small_ones() -> None:
    order = []

    async def test(limiter: RateLimiter) -> None:
        async def one(n_tokens: int) -> None:
            await limiter.acquire(n_tokens)
            order.append((n_tokens, round(now())))

        await limiter.acquire(60)
        await asyncio.gather(*(later(i, one(n)) for i, n in enumerate([90, 11, 90])))

    run(test, tokens_per_minute=100)
    assert order == [(90, 60), (11, 120), (90, 180)]


def test_wait_past_the_deadline_is_an_error_at_once_that_says_how_long() -> None:
    async def test(limiter: RateLimiter) -> None:
        await limiter.acquire(70)
        await asyncio.sleep(10)
        with rolecore.deadline(49), pytest.raises(rolecore.RateLimitError) as caught:
            await limiter.acquire(31)
        assert now() == 10
        assert (caught.value.status, caught.value.retry_after_s) == (429, 50)
        assert "9 requests and 100 tokens in 60 s" in str(caught.value)
        with rolecore.deadline(51):
            await limiter.acquire(31)
        assert now() == 60

    run(test, requests_per_minute=9, tokens_per_minute=100)


def test_wait_behind_others_is_known_on_arrival() -> None:
    async def test(limiter: RateLimiter) -> None:
        tasks = [asyncio.create_task(limiter.acquire(50)) for _ in range(8)]
        await asyncio.sleep(1)
        with rolecore.deadline(238), pytest.raises(rolecore.RateLimitError) as caught:
            await limiter.acquire(50)
        assert caught.value.retry_after_s == 239
        with rolecore.deadline(240):
            await limiter.acquire(50)
        assert now() == 240
        await asyncio.gather(*tasks)

    run(test, tokens_per_minute=100)


def test_wait_is_judged_anew_after_a_larger_request_was_refused() -> None:
    async def test(limiter: RateLimiter) -> None:
        for n_tokens in (30, 30, 40):
            await limiter.acquire(n_tokens)
            await asyncio.sleep(10)
        for n_tokens, wait_s in ((60, 40), (30, 30)):
            with rolecore.deadline(1), pytest.raises(rolecore.RateLimitError) as caught:
                await limiter.acquire(n_tokens)
            assert caught.value.retry_after_s == wait_s

    run(test, tokens_per_minute=100)


def test_wait_behind_one_that_is_late_is_counted_from_now() -> None:
    async def test(limiter: RateLimiter) -> None:
        await limiter.acquire(50)
        await asyncio.sleep(10)
        second = await limiter.acquire(50)
        late = asyncio.create_task(limiter.acquire(50))
        await asyncio.sleep(1)
        await limiter.settle(second, 100)
        await asyncio.sleep(54)
        # It was expected at 60, it is 65, and it will go at 70; the next one at 130.
        with rolecore.deadline(58), pytest.raises(rolecore.RateLimitError):
            await limiter.acquire(60)
        assert now() == 65
        await late
        assert now() == 70

    run(test, tokens_per_minute=100)


def test_request_that_never_fits_is_refused_with_both_numbers() -> None:
    async def test(limiter: RateLimiter) -> None:
        with pytest.raises(rolecore.ArgumentError, match="n_tokens is 101, tokens_per_minute is 100"):
            await limiter.acquire(101)
        await limiter.acquire(100)

    run(test, tokens_per_minute=100)


def test_settled_for_less_lets_the_next_through_at_once() -> None:
    async def test(limiter: RateLimiter) -> None:
        first = await limiter.acquire(100)
        second = asyncio.create_task(limiter.acquire(60))
        await asyncio.sleep(5)
        await limiter.settle(first, 50)
        await asyncio.sleep(1)
        assert not second.done()
        await limiter.settle(first, 40)
        await second
        assert now() == 6

    run(test, tokens_per_minute=100)


def test_settled_for_more_makes_the_next_wait_and_counts_once() -> None:
    async def test(limiter: RateLimiter) -> None:
        first = await limiter.acquire(10)
        await limiter.settle(first, 500)
        await limiter.settle(first, 95)
        assert first.n_tokens == 95
        await limiter.acquire(5)
        assert now() == 0
        await limiter.acquire(1)
        assert now() == 60
        await limiter.settle(first, 1000)  # its window is over
        await limiter.acquire(94)
        assert now() == 60

    run(test, tokens_per_minute=100)


def test_settled_for_more_than_the_limit_blocks_for_one_window_only() -> None:
    async def test(limiter: RateLimiter) -> None:
        await limiter.settle(await limiter.acquire(10), 10_000)
        await limiter.acquire(100)
        assert now() == 60

    run(test, tokens_per_minute=100)


def test_cost_above_the_estimates_can_end_a_wait_at_its_deadline() -> None:
    async def test(limiter: RateLimiter) -> None:
        first = await limiter.acquire(50)
        await asyncio.sleep(10)
        second = await limiter.acquire(50)
        with rolecore.deadline(55):
            third = asyncio.create_task(limiter.acquire(50))
        await asyncio.sleep(1)
        await limiter.settle(second, 90)
        with pytest.raises(rolecore.DeadlineExceeded):
            await third
        assert now() == 65
        await limiter.settle(first, 0)
        await limiter.acquire(10)
        assert now() == 65

    run(test, tokens_per_minute=100)


def test_cancelled_reservation_is_given_back_once() -> None:
    async def test(limiter: RateLimiter) -> None:
        first = await limiter.acquire(1)
        await limiter.cancel(first)
        await limiter.cancel(first)
        await limiter.settle(first, 9)
        await limiter.acquire(1)
        assert now() == 0
        await limiter.acquire(1)
        assert now() == 60

    run(test, requests_per_minute=1)


def test_cancelled_wait_gives_its_place_up() -> None:
    async def test(limiter: RateLimiter) -> None:
        await limiter.acquire(50)
        large = asyncio.create_task(limiter.acquire(100))
        await asyncio.sleep(1)
        small = asyncio.create_task(limiter.acquire(50))
        await asyncio.sleep(1)
        large.cancel()
        await small
        assert now() == 2
        with pytest.raises(asyncio.CancelledError):
            await large

    run(test, tokens_per_minute=100)


def test_cancelled_wait_lets_the_next_look_when_something_becomes_free() -> None:
    async def test(limiter: RateLimiter) -> None:
        await limiter.acquire(50)
        await asyncio.sleep(10)
        await limiter.acquire(30)
        large = asyncio.create_task(limiter.acquire(100))
        await asyncio.sleep(1)
        small = asyncio.create_task(limiter.acquire(60))
        await asyncio.sleep(1)
        large.cancel()
        await small
        assert now() == 60

    run(test, tokens_per_minute=100)


def test_wait_cancelled_as_it_is_let_through_uses_nothing() -> None:
    async def test(limiter: RateLimiter) -> None:
        first = await limiter.acquire(1)
        second = asyncio.create_task(limiter.acquire(1))
        await asyncio.sleep(1)
        await limiter.cancel(first)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        await limiter.acquire(1)
        assert now() == 1

    run(test, requests_per_minute=1)


@pytest.mark.parametrize("seed", range(5))
def test_saturating_callers_leave_nothing_unused_and_never_pass_the_limit(seed: int) -> None:
    draw = Random(seed)  # noqa: S311  no secret
    calls: list[tuple[float, int]] = []

    async def test(limiter: RateLimiter) -> None:
        async def caller() -> None:
            while now() < 600:
                estimate = draw.randint(1, 100)
                reservation = await limiter.acquire(estimate)
                at = now()
                await asyncio.sleep(draw.random())
                cost = draw.randint(0, estimate)
                await limiter.settle(reservation, cost)
                calls.append((at, cost))

        await asyncio.gather(*(caller() for _ in range(40)))

    run(test, seed=seed, tokens_per_minute=1000)
    _, tokens = most_in_a_window(calls, 60)
    assert tokens <= 1000
    used = sum(cost for at, cost in calls if 60 <= at < 600)
    # What is left when the first in the queue does not fit is lost for the while: half a request in each window.
    assert used >= 0.9 * 1000 * 540 / 60


def test_threads_with_a_loop_each_share_one_limit_and_are_all_served() -> None:
    limiter = RateLimiter(requests_per_minute=20, period_s=0.05)
    calls: list[tuple[float, int]] = []

    async def caller() -> None:
        for _ in range(10):
            reservation: Any = await limiter.acquire(1)
            calls.append((reservation.at, 1))

    async def callers() -> None:
        await asyncio.gather(caller(), caller())

    threads = [threading.Thread(target=asyncio.run, args=(callers(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 80
    assert most_in_a_window(calls, 0.05)[0] <= 20
    times = sorted(at for at, _ in calls)
    # It goes on as soon as it may; a busy machine is given half a second.
    assert times[-1] - times[0] < 3 * 0.05 + 0.5


def test_waiting_in_a_loop_that_was_closed_holds_nobody_up_and_uses_nothing() -> None:
    limiter = RateLimiter(requests_per_minute=1, period_s=0.05)
    lasting = RateLimiter(requests_per_minute=1)
    dead = asyncio.new_event_loop()
    dead.run_until_complete(limiter.acquire(1))
    reservation = dead.run_until_complete(lasting.acquire(1))
    left = [dead.create_task(each.acquire(1)) for each in (limiter, lasting) for _ in range(3)]
    dead.run_until_complete(asyncio.sleep(0))
    dead.close()

    async def main() -> None:
        async with asyncio.timeout(20):
            await limiter.acquire(1)
            await lasting.cancel(reservation)
            await lasting.acquire(1)

    asyncio.run(main())
    assert not any(task.done() for task in left)
    for task in left:
        task.get_coro().close()
        task._log_destroy_pending = False  # type: ignore[attr-defined]


def test_reservation_of_another_limiter_is_refused() -> None:
    async def test(limiter: RateLimiter) -> None:
        other = await RateLimiter(requests_per_minute=1).acquire(0)
        for bad in (other, None, "r"):
            with pytest.raises(rolecore.ArgumentError, match="not of this limiter"):
                await limiter.settle(bad, 1)  # type: ignore[arg-type]
            with pytest.raises(rolecore.ArgumentError, match="not of this limiter"):
                await limiter.cancel(bad)  # type: ignore[arg-type]

    run(test, requests_per_minute=1)


@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"requests_per_minute": 0},
        {"requests_per_minute": -1},
        {"tokens_per_minute": 1.5},
        {"tokens_per_minute": float("nan")},
        {"tokens_per_minute": True},
        {"requests_per_minute": 1, "period_s": 0},
        {"requests_per_minute": 1, "period_s": 1e-300},
        {"requests_per_minute": 1, "period_s": 1e300},
        {"requests_per_minute": 1, "period_s": float("inf")},
        {"requests_per_minute": 1, "period_s": float("nan")},
        {"requests_per_minute": 1, "period_s": "60"},
    ],
)
def test_limit_out_of_range_is_refused(limits: Any) -> None:
    with pytest.raises(rolecore.ArgumentError):
        RateLimiter(**limits)


@pytest.mark.parametrize("n_tokens", [-1, 1.0, float("nan"), "1", None, True, pytest.param(10**5000, id="huge")])
def test_tokens_that_are_no_count_or_too_many_are_refused_and_use_nothing(n_tokens: Any) -> None:
    async def test(limiter: RateLimiter) -> None:
        with pytest.raises(rolecore.ArgumentError):
            await limiter.acquire(n_tokens)
        reservation = await limiter.acquire(0)
        if n_tokens != 10**5000:
            with pytest.raises(rolecore.ArgumentError):
                await limiter.settle(reservation, n_tokens)
        await limiter.cancel(reservation)
        await limiter.acquire(100)
        assert now() == 0

    run(test, requests_per_minute=1, tokens_per_minute=100)


def test_largest_numbers_are_only_large() -> None:
    async def test(limiter: RateLimiter) -> None:
        reservation = await limiter.acquire(10**5000)
        await limiter.settle(reservation, 10**5000)
        await limiter.acquire(10)
        assert now() == 60

    run(test, tokens_per_minute=10**5000)


def test_clock_that_jumps_back_lets_no_more_through() -> None:
    times = iter([100.0, 50.0, 159.0, 0.0, 160.0])

    async def main() -> None:
        limiter = RateLimiter(requests_per_minute=1, clock=lambda: next(times))
        await limiter.acquire(1)
        for wait_s in (60, 1, 1):
            with rolecore.deadline(0.5), pytest.raises(rolecore.RateLimitError) as caught:
                await limiter.acquire(1)
            assert caught.value.retry_after_s == wait_s
        await limiter.acquire(1)

    asyncio.run(main())


def test_memory_is_bounded_by_the_calls_of_a_window_whatever_is_held() -> None:
    async def test(limiter: RateLimiter) -> None:
        held: list[Any] = [await limiter.acquire(1)]
        for _ in range(999):
            await limiter.acquire(1)
        kind = type(held[0])
        places = [thing for thing in gc.get_objects() if type(thing) is kind and thing.limiter is limiter]
        assert len(places) == len([limiter._end, *held]) + 10

    run(test, requests_per_minute=10)
