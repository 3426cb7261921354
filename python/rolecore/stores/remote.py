"""What stores on a server share: connections, the deadline, and retries inside it."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

from rolecore import deadlines
from rolecore.errors import StoreError
from rolecore.stores import rules

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

C = TypeVar("C")
T = TypeVar("T")

# For a call without a deadline, in seconds.
DEFAULT_TIMEOUT_S = 30.0
# Connections of a store. Appends wait for the server's disk: more of them wait together, not faster.
MAX_CONNECTIONS = 10
# Before each further attempt, in seconds, 3 in all: a server that is started anew is back by then. The first comes at
# once, as a connection that was idle while the server was started anew is found dead only by using it.
_WAITS_S = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)


class LostError(Exception):
    """An attempt failed such that another may succeed.

    Args:
        reason: why, for the user: without ids, texts, hosts and passwords.
        was_sent: the server may have done what it was asked.
    """

    def __init__(self, reason: str, *, was_sent: bool) -> None:
        """Keep both."""
        super().__init__(reason)
        self.was_sent = was_sent


class Server(Generic[C]):
    """A bounded pool of connections to one server, and the way every call goes through it. Of one event loop.

    Args:
        connect: opens a connection and checks that the server is fit; raises LostError or StoreError.
        drop: lets go of a connection at once, without waiting for the other side.
        owner: what messages call who holds it.
    """

    def __init__(self, connect: Callable[[], Awaitable[C]], drop: Callable[[C], None], owner: str = "store") -> None:
        """Connect to nothing yet."""
        self._owner = owner
        self._connect = connect
        self._drop = drop
        self._idle: list[C] = []
        self._places = asyncio.Semaphore(MAX_CONNECTIONS)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False

    async def connect(self) -> None:
        """Make sure of one connection, which checks the server; raises what `call` does."""

        async def work(_connection: C, _is_again: bool) -> None:  # noqa: FBT001  what `call` takes
            pass

        await self.call("connect", work)

    def check_usable(self) -> None:
        """Raise unless it may be used here.

        Raises:
            StoreError: it is closed, or another event loop's.
        """
        if self._is_closed:
            raise rules.closed(self._owner)
        loop = asyncio.get_running_loop()
        self._loop = self._loop or loop
        if self._loop is not loop:
            msg = (
                f"the {self._owner} belongs to another event loop, where it was first used; open one in each loop and "
                "process"
            )
            raise StoreError(msg)

    async def call(self, what: str, work: Callable[[C, bool], Awaitable[T]]) -> T:
        """Return what `work` returns, after as many attempts as there is time for.

        Args:
            what: names the step in messages, as "append".
            work: one attempt with a connection. Its second argument: an earlier attempt may have been done. When it
                raises, the connection is dropped, as nobody knows what is still to come on it.

        Raises:
            StoreError: the store is closed or another event loop's, or the server cannot be reached; what else
                `connect` and `work` raise.
            DeadlineExceeded: the deadline is over, or without one `DEFAULT_TIMEOUT_S`.
        """
        self.check_usable()
        with deadlines.deadline(DEFAULT_TIMEOUT_S if deadlines.remaining() is None else None):
            async with deadlines.within(what):
                return await self._try(what, work)

    def close(self) -> None:
        """Drop the connections; those in use when they come back."""
        self._is_closed = True
        self._drop_idle()

    async def _try(self, what: str, work: Callable[[C, bool], Awaitable[T]]) -> T:
        may_be_done = False
        for wait_s in (*_WAITS_S, None):
            try:
                async with self._take() as connection:
                    return await work(connection, may_be_done)
            except LostError as lost:
                may_be_done = may_be_done or lost.was_sent
                # All others were opened to the same server.
                self._drop_idle()
                if wait_s is None or wait_s >= (deadlines.remaining() or 0.0):
                    outcome = "may have been done or not" if may_be_done else "was not done"
                    msg = f"{what}: {lost}; it {outcome}, try again when the server can be reached"
                    raise StoreError(msg) from lost.__cause__
            # Not all at once: the other callers lost theirs at the same moment.
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311  no secret
        raise AssertionError

    @asynccontextmanager
    async def _take(self) -> AsyncIterator[C]:
        async with self._places:
            if self._is_closed:
                raise rules.closed(self._owner)
            connection = self._idle.pop() if self._idle else await self._connect()
            try:
                yield connection
            except BaseException:
                self._drop(connection)
                raise
            if self._is_closed:
                self._drop(connection)
            else:
                self._idle.append(connection)

    def _drop_idle(self) -> None:
        while self._idle:
            self._drop(self._idle.pop())
