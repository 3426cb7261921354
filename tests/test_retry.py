"""When to try again: jitter, Retry-After in every form, and the budget of retries."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rolecore
from rolecore.adapters.retry import RetryBudget, read_retry_after, retry_wait_s

NOON = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT, as in RFC 9110


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311  no secret


def test_waits_are_spread_over_all_of_a_range_that_doubles_up_to_a_cap() -> None:
    rng = seeded(1)
    for attempt, most in ((1, 0.5), (2, 1.0), (3, 2.0), (5, 8.0), (9, 8.0), (10**9, 8.0)):
        waits = [retry_wait_s(attempt, rng=rng) or 0.0 for _ in range(2000)]
        assert 0 <= min(waits) < 0.02 * most
        assert 0.98 * most < max(waits) <= most
        assert sum(waits) / len(waits) == pytest.approx(most / 2, rel=0.05)


def test_same_seed_repeats_its_waits() -> None:
    waits = [[retry_wait_s(k, rng=rng) for k in (1, 2, 3)] for rng in (seeded(5), seeded(5))]
    assert waits[0] == waits[1]


def test_nothing_comes_before_the_server_asks_for_it() -> None:
    waits = [retry_wait_s(1, rng=seeded(seed), retry_after_s=7.0) or 0.0 for seed in range(100)]
    assert min(waits) >= 7.0
    assert max(waits) <= 7.5


def test_no_wait_where_the_deadline_leaves_no_time() -> None:
    with rolecore.deadline(5):
        assert retry_wait_s(1, rng=seeded(1), retry_after_s=6) is None
        assert retry_wait_s(1, rng=seeded(1), retry_after_s=1e15) is None
        assert retry_wait_s(1, rng=seeded(1), retry_after_s=1) is not None
    with rolecore.deadline(0):
        assert retry_wait_s(1, rng=seeded(1)) is None


@pytest.mark.parametrize("attempt", [0, -1, True, 1.0, "1"])
def test_attempt_that_is_no_count_is_refused(attempt: Any) -> None:
    with pytest.raises(rolecore.ArgumentError, match="attempt is"):
        retry_wait_s(attempt, rng=seeded(1))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 1.5 ", 1.5),
        ("999999999999", 999_999_999_999.0),
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60.0),
        ("Sunday, 06-Nov-94 08:50:37 GMT", 60.0),
        ("Sun Nov  6 08:50:37 1994", 60.0),
        ("Sun, 06 Nov 1994 08:48:37 GMT", 0.0),
    ],
)
def test_retry_after_is_read_in_each_form(value: str, seconds: float) -> None:
    assert read_retry_after(value, clock=lambda: NOON) == seconds


@pytest.mark.parametrize(
    "value",
    [None, "", "-", "soon", "-1", "1e9", "nan", "0x10", "\u0663", "1_0", "1,5", "GMT", "Sun, 99 Nov 1994", "9" * 5000],
)
def test_nonsense_is_no_retry_after(value: str | None) -> None:
    assert read_retry_after(value, clock=lambda: NOON) is None


@given(value=st.one_of(st.text(), st.text("SunNov 0123456789:,+-GMT", max_size=40)))
def test_generated_retry_after_is_seconds_or_nothing(value: str) -> None:
    seconds = read_retry_after(value, clock=lambda: NOON)
    assert seconds is None or 0 <= seconds < 1e16


def test_budget_ends_retries_while_most_calls_fail_and_comes_back() -> None:
    budget = RetryBudget(capacity=10, per_success=0.5)
    assert [budget.fail() for _ in range(6)] == [True] * 4 + [False] * 2
    for _ in range(2):
        budget.succeed()
    assert not budget.fail()
    for _ in range(5):
        budget.succeed()
    assert budget.fail()


def test_budget_bounds_the_share_of_retries_and_never_holds_more_than_it_may() -> None:
    budget = RetryBudget(capacity=10, per_success=0.1)
    for _ in range(10_000):
        budget.succeed()
    assert [budget.fail() for _ in range(5)] == [True] * 4 + [False]
    # Every second call fails from here on: far above the share.
    retries = 0
    for _ in range(1000):
        budget.succeed()
        retries += budget.fail()
    assert retries == 0


@pytest.mark.parametrize(
    "options", [{"capacity": 0}, {"capacity": 1.5}, {"per_success": 0}, {"per_success": float("nan")}]
)
def test_budget_with_a_number_out_of_range_is_refused(options: Any) -> None:
    with pytest.raises(rolecore.ArgumentError):
        RetryBudget(**options)
