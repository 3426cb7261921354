"""Limits on what is sent to a model, shared by any number of processes through Redis."""

from __future__ import annotations

import asyncio
import contextvars
import math
import random
import uuid
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rolecore import deadlines
from rolecore.adapters import limit_scripts
from rolecore.adapters.limits import STEP, Limits, Reservation, finish, read_tokens
from rolecore.errors import ArgumentError, DeadlineExceeded, RateLimitError, StoreError
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


class SharedReservation(Reservation):
    """The room that a limit in Redis keeps for one request.

    Attributes:
        id: names it there.
        granted_at: when it was let through, in seconds since 1970 by the server's clock; 0.0 before.
    """

    __slots__ = ("granted_at", "id", "limiter")

    def __init__(self, limiter: RedisRateLimiter, n_tokens: int) -> None:
        """Take the estimate."""
        super().__init__(n_tokens)
        self.limiter = limiter
        self.id = uuid.uuid4().hex
        self.granted_at = 0.0


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

    Cost: one round trip a call, and while one waits, one in a 200th of a window or a tenth of a second: whichever is
    shorter.
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
        # Who waits in this process, by id, in order; the first asks. Each has what tells it that it is the first.
        self._line: OrderedDict[str, asyncio.Future[None]] = OrderedDict()
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
        place = SharedReservation(self, self._limits.read_estimate(n_tokens))
        self._link.check_usable()
        turn = asyncio.get_running_loop().create_future()
        before = len(self._line), self._line_tokens
        self._line[place.id] = turn
        self._line_tokens += place.n_tokens
        if not before[0]:
            turn.set_result(None)
        try:
            async with deadlines.within(STEP):
                if before[0] and deadlines.remaining() is not None:
                    await self._look(place.n_tokens, before)
                await turn
                await self._ask(place)
        finally:
            del self._line[place.id]
            self._line_tokens -= place.n_tokens
            for first in self._line.values():
                finish(first)
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

    def _own(self, reservation: SharedReservation) -> SharedReservation:
        if not isinstance(reservation, SharedReservation) or reservation.limiter is not self:
            msg = "the reservation is not of this limiter; give back what its acquire returned"
            raise ArgumentError(msg)
        return reservation

    async def _run(self, what: str, script: str, name: str, n_tokens: int, *more: Any) -> Any:  # noqa: ANN401  Redis's
        return await self._link.run(what, script, self._keys, (name, n_tokens, *self._arguments, *more))

    async def _look(self, n_tokens: int, before: tuple[int, int]) -> None:
        """Raise RateLimitError when it will not be let through in time, behind so many requests and tokens."""
        first = next(iter(self._line))
        wait_s = await self._run(STEP, limit_scripts.LOOK, first, n_tokens, *before) / 1e6
        left_s = deadlines.remaining()
        if left_s is not None and wait_s >= left_s:
            raise self._limits.error(wait_s)

    async def _ask(self, place: SharedReservation) -> None:
        """Ask until it is let through; it is the first that waits."""
        try:
            while (wait_s := await self._ask_once(place)) is not None:
                # Not all processes at once; never before it can be, rather a little later.
                spread = random.random()  # noqa: S311  no secret
                await self._wait(min(wait_s + spread * self._poll_s / 10, self._poll_s * (1 + spread) / 2))
        except RateLimitError:
            raise
        except BaseException:
            self._leave(place)
            raise

    async def _ask_once(self, place: SharedReservation) -> float | None:
        """Return None when it is let through, else the seconds until there is room; raises RateLimitError."""
        left_s = deadlines.remaining()
        left_us = "" if left_s is None else round(left_s * 1e6)
        behind = len(self._line) - 1, self._line_tokens - place.n_tokens
        outcome, number = await self._run(STEP, limit_scripts.ASK, place.id, place.n_tokens, left_us, *behind)
        if outcome == limit_scripts.IS_REFUSED:
            raise self._limits.error(number / 1e6)
        if outcome == limit_scripts.IS_WAITING:
            return float(number / 1e6)
        place.granted_at = number / 1e6
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

    def _leave(self, place: SharedReservation) -> None:
        """Give up in Redis what nobody waits for any more, if it can be reached; else it ends by itself."""

        async def cancel() -> None:
            with deadlines.deadline(_GIVE_UP_S), suppress(StoreError, DeadlineExceeded):
                await self.cancel(place)

        # Not under the deadline that has just ended.
        task = asyncio.get_running_loop().create_task(cancel(), context=contextvars.Context())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
