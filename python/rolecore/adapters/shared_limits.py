"""Limits on what is sent to a model, shared by any number of processes through Redis."""

from __future__ import annotations

import asyncio
import contextvars
import math
import random
import uuid
from collections import OrderedDict
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rolecore import deadlines
from rolecore.adapters import limit_scripts
from rolecore.adapters.limits import STEP, Limits, Reservation, finish, read_tokens
from rolecore.errors import ArgumentError, DeadlineExceeded, StoreError
from rolecore.stores import rules
from rolecore.stores.redis_link import RedisLink

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

# How often the first that waits asks whether another process gave something back: in a window, as what is given back is
# unused until then, and the most seconds between.
_POLLS_A_WINDOW = 200
_MOST_POLL_S = 0.1
_GIVE_UP_S = 5.0
# Requests that one call asks for: more would hold other processes' calls up.
_MOST_AT_ONCE = 100


class SharedReservation(Reservation):
    """The room that a limit in Redis keeps for one request.

    Attributes:
        id: names it there.
        granted_at: when it was let through, in seconds since 1970 by the server's clock; 0.0 before.
    """

    __slots__ = ("granted_at", "id")

    def __init__(self, n_tokens: int) -> None:
        """Take the estimate."""
        super().__init__(n_tokens)
        self.id = uuid.uuid4().hex
        self.granted_at = 0.0


class _Place(SharedReservation):
    """One request as its limiter knows it."""

    __slots__ = ("limiter", "turn", "was_asked_for")

    def __init__(self, limiter: RedisRateLimiter, n_tokens: int, turn: asyncio.Future[None]) -> None:
        super().__init__(n_tokens)
        self.limiter = limiter
        self.turn = turn  # tells who waits to go on: it is the first now, or was let through
        self.was_asked_for = False  # Redis may know of it


class RedisRateLimiter:
    """A `RateLimiter` whose limit any number of processes share: all that give the same `name` on one Redis server.

    Each decision is one script, by the server's clock, so that they let no more through together in any window than one
    may. Within a process who comes first goes first; processes take turns. A process that dies gives its place in the
    queue up within 5 s, and what it was let through ends with its window. A reply that is lost counts nothing twice.

    Redis out of reach is a `StoreError`, within 3 s or the deadline: neither is anything let through then, nor is there
    a wait without end. A `settle` or `cancel` that fails leaves the estimate in place until its window is over.

    Share it between tasks of one event loop; open one in each loop and process, with the same limits. Needs the extra
    `rolecore[redis]`, and Redis 6 or newer, whose `maxmemory-policy` should evict nothing.

    Args:
        url: "redis://[user:password@]host[:port][/database]", or "rediss://" for TLS, with redis-py's `ssl_` options.
        name: of the limit, 1 to 512 bytes in UTF-8, as of an account at a provider.
        requests_per_minute: requests in any window; None for any number.
        tokens_per_minute: tokens in any window; None for any number.
        period_s: seconds that a window lasts; a minute unless told otherwise.

    Raises:
        ArgumentError: an argument is out of its range, there is no limit, or the URL is not of the form.
        MissingExtraError: redis-py is not installed.

    Cost: a round trip a call, for those that come together one for all; while some wait, one more in each 200th of a
    window, or tenth of a second if that is shorter.
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        period_s: float = 60.0,
    ) -> None:
        """Read the URL; nothing is sent."""
        self._limits = Limits.read(requests_per_minute, tokens_per_minute, period_s)
        rules.check_id(name, "name")
        if not name:
            msg = "name is empty; it must be a str of 1 byte or more"
            raise ArgumentError(msg)
        self._name = name
        tag = quote(name, safe="")
        self._keys = tuple(f"rolecore:limit:{{{tag}}}:{part}" for part in ("log", "costs", "queue", "waiting"))
        texts = ["" if limit == math.inf else str(limit) for limit in self._limits[:2]]
        self._arguments = (*texts, round(period_s * 1e6))
        self._poll_s = min(_MOST_POLL_S, period_s / _POLLS_A_WINDOW)
        self._link = RedisLink(url, owner="limiter")
        # Who waits in this process, by id, in order; the first asks, for those behind it too.
        self._line: OrderedDict[str, _Place] = OrderedDict()
        self._line_tokens = 0
        self._pause: asyncio.Future[None] | None = None  # the first's, between two times that it asks
        self._leaving: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        """Show the limits, nothing of the URL."""
        requests, tokens, period_s = self._limits
        return f"RedisRateLimiter({self._name!r}, requests={requests}, tokens={tokens}, period_s={period_s:g})"

    async def acquire(self, n_tokens: int) -> SharedReservation:
        """Wait until a request may be sent, and return its reservation: see `RateLimiter.acquire`.

        Raises:
            ArgumentError: `n_tokens` is more than `tokens_per_minute`, or no count.
            RateLimitError: it could not be let through before the deadline, as things stand; raised at once.
            DeadlineExceeded: it was not, as others cost more than they had reserved, or Redis was silent.
            StoreError: Redis cannot be reached or refuses; the limiter is closed, or another event loop's.
        """
        n_tokens = self._limits.read_estimate(n_tokens)
        self._link.check_usable()
        place = _Place(self, n_tokens, asyncio.get_running_loop().create_future())
        before = len(self._line), self._line_tokens
        self._line[place.id] = place
        self._line_tokens += n_tokens
        try:
            async with deadlines.within(STEP):
                if before[0]:
                    if deadlines.remaining() is not None:
                        await self._look(place, before)
                    await place.turn
                if not place.granted_at:
                    await self._ask(place)
        except BaseException:
            self._leave(place)
            raise
        finally:
            del self._line[place.id]
            self._line_tokens -= n_tokens
            for first in self._line.values():
                finish(first.turn)
                break
        return place

    async def settle(self, reservation: SharedReservation, n_tokens: int) -> None:
        """Put what the request cost in place of what was reserved for it: see `RateLimiter.settle`.

        Raises:
            ArgumentError: the reservation is another's, or `n_tokens` is no count.
            StoreError, DeadlineExceeded: it may have been done or not; it can be done again.
        """
        place, n_tokens = self._own(reservation), read_tokens(n_tokens)
        await self._run("settle", limit_scripts.SETTLE, place.id, n_tokens)
        place.n_tokens = n_tokens
        self._ask_now()

    async def cancel(self, reservation: SharedReservation) -> None:
        """Give a reservation back, of which nothing was sent; a second time does nothing.

        Raises:
            ArgumentError: the reservation is another's.
            StoreError, DeadlineExceeded: it may have been done or not; it can be done again.
        """
        await self._run("cancel", limit_scripts.CANCEL, self._own(reservation).id, 0)
        self._ask_now()

    async def close(self) -> None:
        """Drop the connections; who waits raises StoreError. A second time does nothing."""
        self._link.close()
        self._ask_now()

    async def __aenter__(self) -> Self:
        """Connect; raises StoreError when Redis cannot be reached or the limiter is closed."""
        await self._link.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    def _own(self, reservation: SharedReservation) -> _Place:
        if not isinstance(reservation, _Place) or reservation.limiter is not self:
            msg = "the reservation is not of this limiter; give back what its acquire returned"
            raise ArgumentError(msg)
        return reservation

    async def _run(self, what: str, script: str, name: str, n_tokens: int, *more: Any) -> Any:  # noqa: ANN401  Redis's
        return await self._link.run(what, script, self._keys, (name, n_tokens, *self._arguments, *more))

    async def _look(self, place: _Place, before: tuple[int, int]) -> None:
        """Raise RateLimitError when it will not be let through in time, behind so many requests and tokens."""
        first = next(iter(self._line))
        wait_s = await self._run(STEP, limit_scripts.LOOK, first, place.n_tokens, *before) / 1e6
        left_s = deadlines.remaining()
        if left_s is not None and wait_s >= left_s and not place.granted_at:
            raise self._limits.error(wait_s)

    async def _ask(self, place: _Place) -> None:
        """Ask until it is let through; it is the first that waits."""
        while (wait_s := await self._ask_once(place)) is not None:
            # Not all processes at once; never before it can be, rather a little later.
            spread = random.random()  # noqa: S311  no secret
            await self._wait(min(wait_s + spread * self._poll_s / 10, self._poll_s * (1 + spread) / 2))

    async def _ask_once(self, first: _Place) -> float | None:
        """Return None when it is let through, else the seconds until there is room; raises RateLimitError."""
        left_s = deadlines.remaining()
        left_us = "" if left_s is None else round(left_s * 1e6)
        behind = len(self._line) - 1, self._line_tokens - first.n_tokens
        places = list(islice(self._line.values(), _MOST_AT_ONCE))
        others = [word for place in places[1:] for word in (place.id, place.n_tokens)]
        for place in places:
            place.was_asked_for = True
        outcome, *numbers = await self._run(
            STEP, limit_scripts.ASK, first.id, first.n_tokens, left_us, *behind, *others
        )
        if outcome == limit_scripts.IS_REFUSED:
            first.was_asked_for = False
            raise self._limits.error(numbers[0] / 1e6)
        if outcome == limit_scripts.IS_WAITING:
            return float(numbers[0] / 1e6)
        for place, at_us in zip(places, numbers, strict=False):
            place.granted_at = at_us / 1e6
            finish(place.turn)
            if place.id not in self._line:  # it left while Redis was asked
                self._leave(place)
        return None

    async def _wait(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._pause = loop.create_future()
        timer = loop.call_later(seconds, finish, self._pause)
        try:
            await self._pause
        finally:
            timer.cancel()
            self._pause = None

    def _ask_now(self) -> None:
        if self._pause is not None:
            finish(self._pause)

    def _leave(self, place: _Place) -> None:
        """Give up in Redis what nobody waits for any more, if it can be reached; else it ends by itself."""
        if not place.was_asked_for:
            return

        async def cancel() -> None:
            with deadlines.deadline(_GIVE_UP_S), suppress(StoreError, DeadlineExceeded):
                await self.cancel(place)

        # Not under the deadline that has just ended.
        task = asyncio.get_running_loop().create_task(cancel(), context=contextvars.Context())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
