"""How the calls of roles go: queue, pace and success, kept where the core reads them, and a breaker each."""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING

from rolecore.errors import AdapterError, ArgumentError, DeadlineExceeded

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from rolecore.breaker import CircuitBreaker

# Fields, each of all roles, as rust/core/src/route/select.rs has them.
_QUEUE, _SINCE, _BUSY, _ANSWERS, _FAILURES, _AT, _BLOCKED, _CLOSED = range(8)
_N_FIELDS = 8


class LiveStatistics:
    """Numbers of all roles that change with every call, in one array: field by field, a number a role.

    A role is at work from the start of a call until none is on its way. That time, whatever the calls come to, over
    its answers is its pace. Both fade, and failures too: after `time_constant_s` they count for 1/e.
    """

    __slots__ = ("_breakers", "_clock", "_n", "_time_constant_s", "numbers")

    def __init__(
        self, n: int, breaker: Callable[[], CircuitBreaker], time_constant_s: float, clock: Callable[[], float]
    ) -> None:
        """Start with `n` roles that nothing is known of."""
        self._n = n
        self._breakers = [breaker() for _ in range(n)]
        self._time_constant_s = time_constant_s
        self._clock = clock
        self.numbers = array("d", bytes(8 * _N_FIELDS * n))

    def call(self, role: int) -> Call:
        """Return what goes around a call of a role."""
        return Call(self, role)

    def close(self, role: int, *, is_closed: bool) -> None:
        """Let a role take no turns, or take them again."""
        self.numbers[_CLOSED * self._n + role] = is_closed

    def begin(self, role: int) -> int:
        """Note that a call begins; return what its breaker calls it."""
        breaker, numbers, n = self._breakers[role], self.numbers, self._n
        call = breaker.begin()
        numbers[_BLOCKED * n + role] = breaker.blocked_until
        if numbers[_QUEUE * n + role] == 0:
            numbers[_SINCE * n + role] = self._clock()
        numbers[_QUEUE * n + role] += 1
        return call

    def end(self, role: int, call: int, outcome: bool | None) -> None:  # noqa: FBT001  True: answered, False: failed
        """Note what a call came to, None for nothing that says how the role does."""
        breaker, numbers, n, now = self._breakers[role], self.numbers, self._n, self._clock()
        fade = math.exp(min(0.0, (numbers[_AT * n + role] - now) / self._time_constant_s))
        at_work = max(0.0, now - numbers[_SINCE * n + role])
        numbers[_BUSY * n + role] = numbers[_BUSY * n + role] * fade + at_work
        numbers[_ANSWERS * n + role] = numbers[_ANSWERS * n + role] * fade + (outcome is True)
        numbers[_FAILURES * n + role] = numbers[_FAILURES * n + role] * fade + (outcome is False)
        numbers[_AT * n + role] = numbers[_SINCE * n + role] = now
        numbers[_QUEUE * n + role] -= 1
        note = breaker.cancel if outcome is None else breaker.succeed if outcome else breaker.fail
        note(call)
        numbers[_BLOCKED * n + role] = breaker.blocked_until


class Call:
    """A call of a role's agent, from entering to leaving. Each is for one `with`."""

    __slots__ = ("_call", "_live", "_role")

    def __init__(self, live: LiveStatistics, role: int) -> None:
        """Nothing is noted yet."""
        self._live = live
        self._role = role
        self._call: int | None = None

    def __enter__(self) -> Self:
        """Note that it begins; raise CircuitOpen where it must not, ArgumentError where it has begun."""
        if self._call is not None:
            msg = "this call has begun already; make one for each `with`"
            raise ArgumentError(msg)
        self._call = self._live.begin(self._role)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Note what it came to."""
        if self._call is None:
            return
        call, self._call = self._call, None
        outcome = True if kind is None else False if issubclass(kind, (AdapterError, DeadlineExceeded)) else None
        self._live.end(self._role, call, outcome)
