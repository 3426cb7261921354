"""Limits on what is sent to a model: so many requests and tokens in any window of time, in one process.

A sliding log: each call is kept, with its tokens, for as long as a window is. That is the one form which allows neither
more than the limit in some window, as fixed windows do at their edges, nor less, as a token bucket that starts empty.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from rolecore import deadlines
from rolecore.arguments import read_count
from rolecore.errors import ArgumentError, RateLimitError

if TYPE_CHECKING:
    from collections.abc import Callable

STEP = "wait for the rate limit"
_TOO_MANY_REQUESTS = 429
# Of a window, in seconds: finer would be below any network's and timer's step; a year.
_SHORTEST_S, _LONGEST_S = 0.001, 366 * 86_400
# Of any count; more is taken as so many. Sums of them stay exact where numbers are floats, as in Redis's scripts.
_MOST = 2**40


class Limiter(Protocol):
    """What an agent asks before it sends: `RateLimiter`, `RedisRateLimiter`, or one of your own."""

    async def acquire(self, n_tokens: int) -> Any:  # noqa: ANN401  its own kind of reservation
        """Wait until a request of so many tokens may be sent, and return its reservation."""

    async def settle(self, reservation: Any, n_tokens: int) -> None:  # noqa: ANN401  as above
        """Put what the request cost in place of what was reserved."""

    async def cancel(self, reservation: Any) -> None:  # noqa: ANN401  as above
        """Give a reservation back, of which nothing was sent."""


class Limits(NamedTuple):
    """How much may be sent in any window.

    Attributes:
        requests: inf for any number.
        tokens: inf for any number.
        period_s: how long a window is, in seconds.
    """

    requests: float
    tokens: float
    period_s: float

    @classmethod
    def read(cls, requests_per_minute: int | None, tokens_per_minute: int | None, period_s: float) -> Limits:
        """Return the limits that a limiter's arguments name; raises ArgumentError."""
        if requests_per_minute is None and tokens_per_minute is None:
            msg = "there is nothing to limit; give requests_per_minute, tokens_per_minute or both"
            raise ArgumentError(msg)
        period_s = deadlines.read_seconds(period_s, "period_s")
        if not _SHORTEST_S <= period_s <= _LONGEST_S:
            msg = f"period_s is {period_s}; it must be from {_SHORTEST_S} to {_LONGEST_S}"
            raise ArgumentError(msg)
        limits = {"requests_per_minute": requests_per_minute, "tokens_per_minute": tokens_per_minute}
        requests, tokens = (math.inf if given is None else _read(given, name, 1) for name, given in limits.items())
        return cls(requests, tokens, period_s)

    def read_estimate(self, n_tokens: int) -> int:
        """Return the tokens of a request; raises ArgumentError for more than there ever is room for."""
        n_tokens = read_tokens(n_tokens)
        if n_tokens > self.tokens:
            msg = f"n_tokens is {n_tokens}, tokens_per_minute is {self.tokens}; send less at once or raise the limit"
            raise ArgumentError(msg)
        return n_tokens

    def error(self, wait_s: float) -> RateLimitError:
        """Return the error for a request that there is no room for in time."""
        allowed = [
            f"{limit} {what}"
            for limit, what in ((self.requests, "requests"), (self.tokens, "tokens"))
            if limit < math.inf
        ]
        msg = (
            f"our own limit of {' and '.join(allowed)} in {self.period_s:g} s leaves no room for {wait_s:.3g} s, past "
            "the deadline; try again then, or allow more in rolecore.deadline(seconds)"
        )
        return RateLimitError(msg, _TOO_MANY_REQUESTS, wait_s)


def read_tokens(n_tokens: int) -> int:
    """Return a count of tokens from 0; raises ArgumentError."""
    return _read(n_tokens, "n_tokens", 0)


def _read(value: int, name: str, least: int) -> int:
    return min(_MOST, read_count(value, name, least))


class Reservation:
    """The room that a limiter keeps for one request.

    Attributes:
        n_tokens: what was reserved, or what was settled.
    """

    __slots__ = ("n_tokens",)

    def __init__(self, n_tokens: int) -> None:
        """Take the estimate."""
        self.n_tokens = n_tokens


class _Place(Reservation):
    """One request in the log, from its arrival until its window is over: a node of a ring."""

    __slots__ = ("after", "at", "before", "future", "is_granted", "is_over", "limiter", "loop", "serial")

    def __init__(self, limiter: RateLimiter, n_tokens: int, loop: asyncio.AbstractEventLoop | None = None) -> None:
        super().__init__(n_tokens)
        self.limiter = limiter
        self.loop = loop
        self.before = self.after = self
        self.serial = math.inf  # grows along the ring
        self.at = 0.0  # when it was granted; while it waits, when that was to be expected as it came
        self.is_granted = False
        self.is_over = False  # in the ring no more
        self.future: asyncio.Future[None] | None = None

    def wake(self) -> bool:
        """Let the caller look again; false when its event loop is closed."""
        if self.future is None or self.loop is None:
            return True
        try:
            self.loop.call_soon_threadsafe(finish, self.future)
        except RuntimeError:
            return False
        return True


class RateLimiter:
    """Lets so many requests and tokens through in any window of time, and makes the others wait in order.

    In no window of `period_s`, wherever it begins, is more let through; and nothing that is free is kept from one who
    waits. Who comes first goes first, so that small requests never overtake a large one. A request counts from when it
    is let through, first by the estimate of its tokens, then by what it cost. For all threads and event loops of one
    process; several share a limit through `RedisRateLimiter`.

    Args:
        requests_per_minute: requests in any window; None for any number.
        tokens_per_minute: tokens in any window; None for any number.
        period_s: seconds that a window lasts; a minute unless told otherwise.
        clock: returns seconds that never run backwards, as fast as an event loop's.

    Raises:
        ArgumentError: an argument is out of its range, or there is no limit.

    Cost: O(1) a call, amortised; some 200 bytes a request in the window.

    Example:
        >>> import asyncio
        >>> limiter = rolecore.RateLimiter(requests_per_minute=500, tokens_per_minute=30_000)
        >>> async def ask():
        ...     reservation = await limiter.acquire(1_200)
        ...     await limiter.settle(reservation, 873)
        ...     return reservation.n_tokens
        >>> asyncio.run(ask())
        873
    """

    def __init__(
        self,
        *,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        period_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with all of it free."""
        self._limits = Limits.read(requests_per_minute, tokens_per_minute, period_s)
        self._clock = clock
        self._lock = threading.Lock()
        self._now = -math.inf
        self._serials = itertools.count()
        # Between the newest and the oldest; those let through come first, in order, then those that wait.
        self._end = _Place(self, 0)
        self._head = self._end  # the first that waits, or the end
        self._told = self._end  # which was last told that it is the first
        self._n_requests = 0  # let through in this window
        self._n_tokens = 0
        # From which on all that were let through and all that wait would fit in one window, and how much they are. The
        # one before it is whose window must be over before the newest is let through.
        self._fitting = self._end
        self._n_fitting_requests = 0
        self._n_fitting_tokens = 0

    async def acquire(self, n_tokens: int) -> Reservation:
        """Wait until a request may be sent, and return its reservation, which `settle` or `cancel` then takes.

        When the wait is cancelled or the deadline ends it, the place is given up.

        Args:
            n_tokens: what the request is expected to cost, 0 or more: its own tokens and the answer's.

        Raises:
            ArgumentError: it is more than `tokens_per_minute`, or no count.
            RateLimitError: it could not be let through before the deadline, as things stand; raised at once.
            DeadlineExceeded: it was not, as others cost more than they had reserved.
        """
        n_tokens = self._limits.read_estimate(n_tokens)
        deadlines.check(STEP)
        place = _Place(self, n_tokens, asyncio.get_running_loop())
        with self._lock:
            self._forget_old()
            self._append(place)
            self._grant()
            wait_s = place.at - self._now
            left_s = deadlines.remaining()
            if not place.is_granted and left_s is not None and wait_s >= left_s:
                self._remove(place)
                raise self._limits.error(wait_s)
        try:
            if not place.is_granted:
                async with deadlines.within(STEP):
                    while not place.is_granted:
                        await self._sleep(place)
        except BaseException:
            await self.cancel(place)
            raise
        return place

    async def settle(self, reservation: Reservation, n_tokens: int) -> None:
        """Put what the request cost in place of what was reserved for it.

        If it is more than was reserved, the next ones wait longer. A second time replaces the first; when the window is
        over, or the reservation was given back, nothing is left to do.

        Args:
            reservation: from `acquire` of this limiter.
            n_tokens: what it cost, 0 or more.

        Raises:
            ArgumentError: the reservation is another's, or `n_tokens` is no count.
        """
        place, n_tokens = self._own(reservation), read_tokens(n_tokens)
        with self._lock:
            if not place.is_over:
                more = n_tokens - place.n_tokens
                self._n_tokens += more
                if place.serial >= self._fitting.serial:
                    self._n_fitting_tokens += more
                place.n_tokens = n_tokens
                self._fit()
                self._forget_old()
                self._grant()

    async def cancel(self, reservation: Reservation) -> None:
        """Give a reservation back, of which nothing was sent; a second time does nothing.

        Raises:
            ArgumentError: the reservation is another's.
        """
        place = self._own(reservation)
        with self._lock:
            self._remove(place)
            self._forget_old()
            self._grant()

    def _own(self, reservation: Reservation) -> _Place:
        if not isinstance(reservation, _Place) or reservation.limiter is not self:
            msg = "the reservation is not of this limiter; give back what its acquire returned"
            raise ArgumentError(msg)
        return reservation

    async def _sleep(self, place: _Place) -> None:
        """Wait until the place may have been let through, or its turn to look has come."""
        with self._lock:
            self._forget_old()
            self._grant()
            if place.is_granted:
                return
            period_s = self._limits.period_s
            # The first looks each time that something becomes free. The others look when they expected to be let
            # through, in case the loop of one before them is closed.
            look_at = self._end.after.at + period_s if place is self._head else place.at
            wait_s = look_at - self._now if look_at > self._now else period_s
            loop = asyncio.get_running_loop()
            place.future = future = loop.create_future()
        timer = loop.call_later(wait_s, finish, future)
        try:
            await future
        finally:
            timer.cancel()

    # What follows is called with the lock held.

    def _forget_old(self) -> None:
        self._now = max(self._now, self._clock())
        while (oldest := self._end.after).is_granted and oldest.at + self._limits.period_s <= self._now:
            self._remove(oldest)

    def _append(self, place: _Place) -> None:
        end = self._end
        place.serial = next(self._serials)
        place.before, place.after = end.before, end
        place.before.after = end.before = place
        if self._head is end:
            self._head = place
        if self._fitting is end:
            self._fitting = place
        self._n_fitting_requests += 1
        self._n_fitting_tokens += place.n_tokens
        self._fit()
        blocker = self._fitting.before
        if blocker is end:
            place.at = self._now
        else:
            # One that waits itself may have missed the time it expected.
            since = blocker.at if blocker.is_granted else max(self._now, blocker.at)
            place.at = since + self._limits.period_s

    def _fit(self) -> None:
        requests, tokens, _ = self._limits
        while self._n_fitting_requests > requests or self._n_fitting_tokens > tokens:
            self._n_fitting_requests -= 1
            self._n_fitting_tokens -= self._fitting.n_tokens
            self._fitting = self._fitting.after
        while (
            (before := self._fitting.before) is not self._end
            and self._n_fitting_requests < requests
            and self._n_fitting_tokens + before.n_tokens <= tokens
        ):
            self._n_fitting_requests += 1
            self._n_fitting_tokens += before.n_tokens
            self._fitting = before

    def _grant(self) -> None:
        requests, tokens, _ = self._limits
        while (
            (head := self._head) is not self._end
            and self._n_requests < requests
            and self._n_tokens + head.n_tokens <= tokens
        ):
            if not head.wake():
                self._remove(head)
                continue
            head.at, head.is_granted = self._now, True
            self._n_requests += 1
            self._n_tokens += head.n_tokens
            self._head = head.after
        while self._head is not self._told and not self._head.wake():
            self._remove(self._head)
        self._told = self._head

    def _remove(self, place: _Place) -> None:
        if place.is_over:
            return
        if place.is_granted:
            self._n_requests -= 1
            self._n_tokens -= place.n_tokens
        if place.serial >= self._fitting.serial:
            self._n_fitting_requests -= 1
            self._n_fitting_tokens -= place.n_tokens
        if self._head is place:
            self._head = place.after
        if self._fitting is place:
            self._fitting = place.after
        place.before.after, place.after.before = place.after, place.before
        # Whoever holds it must not hold all that came after it.
        place.before = place.after = self._end
        place.is_over = True
        self._fit()


def finish(future: asyncio.Future[None]) -> None:
    """Let who awaits it go on, if it still does."""
    with suppress(asyncio.InvalidStateError):
        future.set_result(None)
