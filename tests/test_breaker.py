"""The circuit breaker: when it opens, who is let through, and whose outcome counts."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from rolecore.breaker import CircuitBreaker
from rolecore.errors import ArgumentError, CircuitOpen


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(clock: Clock, *, max_failures: int = 3) -> CircuitBreaker:
    breaker = CircuitBreaker(max_failures=max_failures, reset_s=10, clock=clock)
    for _ in range(max_failures):
        breaker.fail(breaker.begin())
    return breaker


def test_breaker_opens_after_failures_in_a_row(clock: Clock) -> None:
    breaker = CircuitBreaker(max_failures=3, reset_s=10, clock=clock)
    for outcome in (breaker.fail, breaker.fail, breaker.succeed, breaker.fail, breaker.fail):
        outcome(breaker.begin())
    assert breaker.state == "closed"
    breaker.fail(breaker.begin())
    assert breaker.state == "open"
    with pytest.raises(CircuitOpen, match="3 calls in a row") as caught:
        breaker.begin()
    assert caught.value.retry_after_s == 10
    assert pickle.loads(pickle.dumps(caught.value)).retry_after_s == 10


def test_breaker_half_open_lets_one_call_through(clock: Clock) -> None:
    breaker = opened(clock)
    clock.now += 10
    assert breaker.state == "half-open"
    call = breaker.begin()
    with pytest.raises(CircuitOpen, match="on its way") as caught:
        breaker.begin()
    assert caught.value.retry_after_s is None
    breaker.succeed(call)
    assert breaker.state == "closed"
    for _ in range(2):
        breaker.fail(breaker.begin())
    assert breaker.state == "closed", "the count in a row began anew"


def test_breaker_failed_probe_doubles_the_wait_up_to_32_times(clock: Clock) -> None:
    breaker = opened(clock)
    for wait in (10, 20, 40, 80, 160, 320, 320, 320):
        assert breaker.blocked_until == clock.now + wait
        clock.now += wait
        breaker.fail(breaker.begin())
    clock.now += 320
    breaker.succeed(breaker.begin())
    for _ in range(3):
        breaker.fail(breaker.begin())
    assert breaker.blocked_until == clock.now + 10


def test_breaker_cancelled_probe_lets_the_next_call_through(clock: Clock) -> None:
    breaker = opened(clock)
    clock.now += 10
    breaker.cancel(breaker.begin())
    assert breaker.state == "half-open"
    breaker.succeed(breaker.begin())
    assert breaker.state == "closed"


@pytest.mark.parametrize("outcome", ["succeed", "fail", "cancel"])
def test_breaker_outcome_of_a_call_before_it_opened_says_nothing(clock: Clock, outcome: str) -> None:
    breaker = CircuitBreaker(max_failures=1, reset_s=10, clock=clock)
    late = breaker.begin()
    breaker.fail(breaker.begin())
    getattr(breaker, outcome)(late)
    assert breaker.blocked_until == clock.now + 10
    clock.now += 10
    probe = breaker.begin()
    getattr(breaker, outcome)(late)
    with pytest.raises(CircuitOpen):
        breaker.begin()
    breaker.succeed(probe)
    assert breaker.state == "closed"


@pytest.mark.parametrize("options", [{"max_failures": 0}, {"reset_s": -1}, {"reset_s": float("nan")}])
def test_breaker_bad_argument_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(options))):
        CircuitBreaker(**options)
