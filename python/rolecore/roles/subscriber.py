"""One that is told of all changes of roles: it reads the log at its own pace, and notes in the store how far it is."""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
from contextlib import aclosing
from typing import TYPE_CHECKING

from rolecore.roles.log import START

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rolecore.roles.events import RoleEvent
    from rolecore.roles.log import Place, RoleLog

_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 30.0
_log = logging.getLogger("rolecore.roles")


class RoleSubscriber:
    """A handler and how far it has come. `RoleDirectory.subscribe` makes and runs it.

    It holds one segment of the log at most. After a crash it begins at what it noted last: what it had handled since
    is handed to it again.

    Attributes:
        name: as given.
        place: in the log, up to which it has handled the changes; the start until it has read what it noted.
        n_failures: in a row, until now.
    """

    def __init__(self, log: RoleLog, name: str, handler: Callable[[RoleEvent], Awaitable[None] | None]) -> None:
        """Begin with `run`."""
        self.name = name
        self.place = START
        self.n_failures = 0
        self._noted: Place | None = None
        self._log = log
        self._handler = handler
        self._is_due = asyncio.Event()
        # Events of the next change that were handled, while one of its later ones fails.
        self._n_handled = 0

    def wake(self) -> None:
        """Look at the log again."""
        self._is_due.set()

    async def run(self) -> None:
        """Hand over all there is, and then what comes, until it is cancelled."""
        while True:
            self._is_due.clear()
            try:
                await self._hand_over()
            except (
                Exception,
                asyncio.CancelledError,
            ) as error:  # the handler's may be any, as of a task that it awaits
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                self.n_failures += 1
                _log.warning("role subscriber %s: %s; trying again", self.name, type(error).__name__)
                longest_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** min(self.n_failures, 10))
                await asyncio.sleep(longest_s * random.uniform(0.5, 1.0))  # noqa: S311  no secret
            else:
                self.n_failures = 0
                await self._is_due.wait()

    async def _hand_over(self) -> None:
        if self._noted is None:
            self.place = self._noted = await self._log.read_cursor(self.name)
        try:
            async with aclosing(self._log.read(self.place)) as changes:
                async for place, events in changes:
                    for event in events[self._n_handled :]:
                        answer = self._handler(event)
                        if inspect.isawaitable(answer):
                            await answer
                        self._n_handled += 1
                        self.n_failures = 0
                    self._n_handled = 0
                    self.place = place
                    if not place.offset:
                        await self._note(self._noted)
        finally:
            await self._note(self._noted)

    async def _note(self, before: Place) -> None:
        if self.place != before:
            await self._log.note_cursor(self.name, before, self.place)
            self._noted = self.place
