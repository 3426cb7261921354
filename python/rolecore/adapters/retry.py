"""When to try again: full jitter, what a server asks for, and a budget that keeps retries from becoming the load."""

from __future__ import annotations

import re
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from rolecore import deadlines
from rolecore.arguments import read_count
from rolecore.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

BASE_S = 0.5
CAP_S = 8.0
# 2**63 seconds are longer than anything; more doublings would only be slow.
_MOST_DOUBLINGS = 63
# RFC 9110's seconds are whole; some servers send parts. Longer ones are dates, or nonsense.
_SECONDS = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?", re.ASCII)
_LONGEST_DATE = 64


def retry_wait_s(
    attempt: int, *, rng: Random, retry_after_s: float | None = None, base_s: float = BASE_S, cap_s: float = CAP_S
) -> float | None:
    """Return the seconds to wait before another attempt; None when the deadline leaves no time for one.

    Full jitter: anything from 0 to `base_s` doubled with each attempt, up to `cap_s`, so that those who failed at one
    moment don't come back at one. It is added to what the server asks for, before which nothing is sent.

    Args:
        attempt: how many have failed, 1 or more.
        rng: draws; one of a known seed repeats its waits.
        retry_after_s: seconds that the server asks to wait for; None when it says nothing.
        base_s: seconds, the most before the second attempt.
        cap_s: seconds, the most that is ever drawn.

    Source:
        https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/, "Full Jitter"; RFC 9110, 10.2.3.

    Example:
        >>> from random import Random
        >>> from rolecore.adapters.retry import retry_wait_s
        >>> 3 <= retry_wait_s(1, rng=Random(7), retry_after_s=3) <= 3.5
        True
        >>> with rolecore.deadline(2):
        ...     retry_wait_s(1, rng=Random(7), retry_after_s=3)
    """
    doublings = min(read_count(attempt, "attempt") - 1, _MOST_DOUBLINGS)
    wait_s = (retry_after_s or 0.0) + rng.uniform(0.0, min(cap_s, base_s * 2**doublings))
    left_s = deadlines.remaining()
    return wait_s if left_s is None or wait_s < left_s else None


def read_retry_after(value: str | None, *, clock: Callable[[], float] = time.time) -> float | None:
    """Return the seconds that a Retry-After header asks to wait for, 0 or more; None for none, or for nonsense.

    Args:
        value: seconds, or a date as HTTP has them.
        clock: returns the seconds since 1970, UTC, which a date is compared with.

    Source:
        RFC 9110, 10.2.3 and 5.6.7.

    Example:
        >>> from rolecore.adapters.retry import read_retry_after
        >>> read_retry_after("2"), read_retry_after("soon")
        (2.0, None)
        >>> read_retry_after("Thu, 01 Jan 1970 00:01:30 GMT", clock=lambda: 60.0)
        30.0
    """
    text = "" if value is None else value.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    if len(text) > _LONGEST_DATE:
        return None
    try:
        date = parsedate_to_datetime(text)
        at = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):  # it was made for mail, and for no enemy
        return None
    return max(0.0, at - clock())


class RetryBudget:
    """Stops retries while most calls fail: they would only add to what a struggling server has to do.

    It starts full. Each failure takes 1 from it, each success gives `per_success` back, and there are retries only
    while it is more than half full. Share one between all calls to a server; of one event loop, as a breaker.

    Args:
        capacity: what it holds; half of it is how many failures in a row are retried.
        per_success: what a success gives back, above 0: the share of calls that may be retries in the long run.

    Raises:
        ArgumentError: an argument is out of its range.

    Source:
        gRPC's retry throttling, maxTokens and tokenRatio of proposal A6:
        https://github.com/grpc/proposal/blob/master/A6-client-retries.md#throttling-retry-attempts-and-hedged-rpcs

    Example:
        >>> from rolecore.adapters.retry import RetryBudget
        >>> budget = RetryBudget(capacity=4)
        >>> budget.fail(), budget.fail()
        (True, False)
    """

    __slots__ = ("_capacity", "_left", "_per_success")

    def __init__(self, *, capacity: int = 10, per_success: float = 0.1) -> None:
        """Start full."""
        self._capacity = float(read_count(capacity, "capacity"))
        self._per_success = deadlines.read_seconds(per_success, "per_success")
        if self._per_success == 0:
            msg = "per_success is 0; it must be above, or retries would end for good"
            raise ArgumentError(msg)
        self._left = self._capacity

    def succeed(self) -> None:
        """Note that an attempt succeeded."""
        self._left = min(self._capacity, self._left + self._per_success)

    def fail(self) -> bool:
        """Note that an attempt failed; return whether another may follow."""
        self._left = max(0.0, self._left - 1.0)
        return self._left > self._capacity / 2
