"""A circuit breaker: after failures in a row nothing is sent for a while, then one call to see."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from rolecore import deadlines
from rolecore.arguments import read_count
from rolecore.errors import CircuitOpen

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_DOUBLINGS = 5


class CircuitBreaker:
    """Keeps calls from what fails: closed, open for a while after failures in a row, then half-open for one call.

    If that one fails too, it is open for twice as long, up to 32 times. What a call begun before it opened comes to
    says nothing any more. Not for threads at once: each belongs to what one event loop runs.

    Args:
        max_failures: in a row, until it opens.
        reset_s: seconds until one call is let through.
        clock: returns seconds that never run backwards.

    Raises:
        ArgumentError: an argument is out of its range.

    Example:
        >>> from rolecore.breaker import CircuitBreaker
        >>> breaker = CircuitBreaker(max_failures=1)
        >>> breaker.fail(breaker.begin())
        >>> breaker.state
        'open'
    """

    __slots__ = ("_clock", "_doublings", "_epoch", "_failures", "_max_failures", "_reset_s", "blocked_until")

    def __init__(
        self, *, max_failures: int = 5, reset_s: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start closed."""
        self._max_failures = read_count(max_failures, "max_failures")
        self._reset_s = deadlines.read_seconds(reset_s, "reset_s")
        self._clock = clock
        self._failures = 0
        self._doublings = 0
        # Of which stretch a call is: each time it opens, closes or lets one through, another begins.
        self._epoch = 0
        self.blocked_until = 0.0  # by the clock; 0: closed; inf: one call is on its way to see

    @property
    def state(self) -> str:
        """Where it stands: "closed", "open", or "half-open" when the next call, or the one on its way, is to see."""
        if self.blocked_until == 0:
            return "closed"
        return "open" if self._clock() < self.blocked_until < math.inf else "half-open"

    def begin(self) -> int:
        """Return what names a call that may be made; exactly one of the others is called with it then.

        Raises:
            CircuitOpen: it must not be made.
        """
        if self.blocked_until:
            left = self.blocked_until - self._clock()
            if left > 0:
                wait = None if math.isinf(left) else left
                when = "one call is on its way to see" if wait is None else f"try again in {wait:.3g} s"
                msg = f"nothing was sent, as {self._failures} calls in a row have failed; {when}"
                raise CircuitOpen(msg, wait)
            self._epoch += 1
            self.blocked_until = math.inf
        return self._epoch

    def succeed(self, call: int) -> None:
        """Note that a call succeeded."""
        if call != self._epoch:
            return
        self._failures = 0
        if self.blocked_until:
            self._epoch += 1
            self._doublings = 0
            self.blocked_until = 0.0

    def fail(self, call: int) -> None:
        """Note that a call failed."""
        if call != self._epoch:
            return
        self._failures += 1
        if self.blocked_until or self._failures >= self._max_failures:
            self._epoch += 1
            self.blocked_until = self._clock() + self._reset_s * 2**self._doublings
            self._doublings = min(self._doublings + 1, _MOST_DOUBLINGS)

    def cancel(self, call: int) -> None:
        """Note that a call came to nothing that says how it stands, as when its caller gave up."""
        if call == self._epoch and self.blocked_until:
            self._epoch += 1
            self.blocked_until = max(self._clock(), math.ulp(0.0))
