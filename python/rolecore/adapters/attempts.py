"""What stands between a call and an endpoint: a slot, the breaker, the limiter, and when to try again."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rolecore import deadlines, endpoints
from rolecore.adapters.retry import RetryBudget, retry_wait_s
from rolecore.errors import (
    AdapterError,
    APIConnectionError,
    APIStatusError,
    CircuitOpen,
    RateLimitError,
    RolecoreError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rolecore.adapters.agent import Usage
    from rolecore.adapters.limits import Limiter
    from rolecore.adapters.transport import Reply, Transport
    from rolecore.breaker import CircuitBreaker

_OK = 200
_SERVER_ERROR = 500
_AGAIN = {408, 409, 429}
_WAY_OUT = {
    400: "check model, the messages and options",
    401: "check api_key",
    403: "check what api_key may do",
    404: "check base_url and model",
    413: "send less",
    429: "wait, or send less",
}
_rng = random.Random()  # noqa: S311  no secret


class Attempts:
    """Sends requests to one address, and again where that is safe. For all threads and event loops.

    Args:
        transport: sends one.
        url: where.
        headers: of each.
        limiter: is asked before each; None for none.
        breaker: is told of each.
        max_retries: after the first.
        max_concurrent: at once in each event loop; None for any number.
    """

    def __init__(
        self,
        transport: Transport,
        url: str,
        headers: Mapping[str, str],
        *,
        limiter: Limiter | None,
        breaker: CircuitBreaker,
        max_retries: int,
        max_concurrent: int | None,
    ) -> None:
        """Send nothing yet."""
        self.limiter = limiter
        self.breaker = breaker
        self.budget = RetryBudget()
        self.lock = threading.Lock()  # breaker and budget are of one thread
        self._transport = transport
        self._url = url
        self._headers = headers
        self._max_retries = max_retries
        self._max_concurrent = max_concurrent
        self._slots: dict[asyncio.AbstractEventLoop, asyncio.Semaphore] = {}

    async def send(self, body: bytes, n_tokens: int) -> Attempt:
        """Return an attempt whose reply is of status 200, after as many as there is time for; the caller ends it.

        Raises:
            APIStatusError, APIConnectionError: the last one's, when there is none.
            RateLimitError, CircuitOpen: the first one could not be made.
        """
        failed: AdapterError | None = None
        for n in itertools.count(1):
            attempt = Attempt(self, await self._take_slot())
            try:
                await attempt.begin(n_tokens)
            except (CircuitOpen, RateLimitError) as refused:
                # Why the one before failed says more than why there is none now.
                raise failed or refused from None
            try:
                attempt.reply = await self._transport.post(self._url, self._headers, body)
            except APIConnectionError as error:
                failed = error
            except BaseException as error:
                await attempt.end(error)
                raise
            else:
                if attempt.reply.status == _OK:
                    return attempt
                failed = endpoints.status_error(attempt.reply.status, attempt.reply.retry_after, _WAY_OUT)
            await attempt.end(failed)
            wait_s = self._wait_s(n, failed)
            if wait_s is None:
                raise failed
            await asyncio.sleep(wait_s)
        raise AssertionError

    def _wait_s(self, n: int, error: AdapterError) -> float | None:
        """Return the seconds until the next attempt; None when there is none."""
        asked_s = None
        if isinstance(error, APIStatusError):
            if error.status not in _AGAIN and error.status < _SERVER_ERROR:
                return None
            asked_s = error.retry_after_s
        with self.lock:
            may_follow = self.budget.fail()
        return retry_wait_s(n, rng=_rng, retry_after_s=asked_s) if may_follow and n <= self._max_retries else None

    async def _take_slot(self) -> asyncio.Semaphore | None:
        if self._max_concurrent is None:
            return None
        loop = asyncio.get_running_loop()
        if loop not in self._slots:
            for closed in [other for other in self._slots if other.is_closed()]:
                del self._slots[closed]
            self._slots[loop] = asyncio.Semaphore(self._max_concurrent)
        slot = self._slots[loop]
        await slot.acquire()
        return slot


class Attempt:
    """One request, and what it holds until it is ended, which each must be once."""

    __slots__ = ("_all", "_breaker_call", "_reservation", "_slot", "reply")

    reply: Reply

    def __init__(self, attempts: Attempts, slot: asyncio.Semaphore | None) -> None:
        """Hold the slot."""
        self._all = attempts
        self._slot = slot
        self._breaker_call = 0
        self._reservation: Any = None

    async def begin(self, n_tokens: int) -> None:
        """Ask the breaker and the limiter; when one says no, it is ended."""
        try:
            with self._all.lock:
                self._breaker_call = self._all.breaker.begin()
            if self._all.limiter is not None:
                try:
                    self._reservation = await self._all.limiter.acquire(n_tokens)
                except BaseException:
                    with self._all.lock:
                        self._all.breaker.cancel(self._breaker_call)
                    raise
        except BaseException:
            self._release()
            raise

    async def end(self, error: BaseException | None = None, usage: Usage | None = None) -> None:
        """Let go of what it holds, and note how it went and what it cost."""
        self._release()
        breaker = self._all.breaker
        with self._all.lock:
            if error is None:
                self._all.budget.succeed()
                breaker.succeed(self._breaker_call)
            elif _is_down(error):
                breaker.fail(self._breaker_call)
            else:
                breaker.cancel(self._breaker_call)
        # Of an attempt that broke off nobody knows what it cost: what was reserved stays.
        n_tokens = 0 if isinstance(error, APIStatusError) else usage and usage.input_tokens + usage.output_tokens
        if self._all.limiter is not None and n_tokens is not None:
            # An answer must not be lost because a limiter cannot be reached.
            with suppress(RolecoreError):
                await self._all.limiter.settle(self._reservation, n_tokens)

    def _release(self) -> None:
        if hasattr(self, "reply"):
            self.reply.close()
        if self._slot is not None:
            self._slot.release()


def _is_down(error: BaseException) -> bool:
    """Whether it says that the endpoint is down, or too slow."""
    if isinstance(error, APIStatusError):
        return error.status >= _SERVER_ERROR
    # At the deadline the steps inside are cancelled.
    is_over = isinstance(error, asyncio.CancelledError | TimeoutError) and deadlines.remaining() == 0.0
    return is_over or isinstance(error, APIConnectionError)
