"""A bounded mailbox: letters come out one at a time, in the order in which they were taken in."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

from rolecore.arguments import read_count
from rolecore.errors import ActorStopped, ArgumentError, MailboxFull, MessageDropped

if TYPE_CHECKING:
    from collections.abc import Callable

WHEN_FULL = ("wait", "reject", "drop_oldest")


class Letter:
    """What is sent, the future of its answer, and the sender's context: its deadline, tenant and trace."""

    __slots__ = ("answer", "context", "message")

    def __init__(self, message: dict[str, Any] | list[dict[str, Any]]) -> None:
        """Take the running code's context."""
        self.message = message
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.context: Context = copy_context()

    def fail(self, error: BaseException) -> None:
        """Tell the sender, if it still waits."""
        if not self.answer.done():
            self.answer.set_exception(error)


class Mailbox:
    """Letters that no work was begun on.

    Args:
        size: how many there may be, 1 or more.
        when_full: "wait": the sender waits for room, in turn. "reject": it gets MailboxFull. "drop_oldest": the oldest
            letter makes room, and its sender gets MessageDropped.

    Raises:
        ArgumentError: as said.
    """

    __slots__ = ("_letters", "_waiting", "size", "when_full")

    def __init__(self, size: int, when_full: str) -> None:
        """Start empty."""
        self.size = read_count(size, "mailbox_size")
        if when_full not in WHEN_FULL:
            msg = f"when_full is {when_full!r}; it must be one of {', '.join(map(repr, WHEN_FULL))}"
            raise ArgumentError(msg)
        self.when_full = when_full
        self._letters: deque[Letter] = deque()
        # Of each sender that waits, by what tells it that there is room; who gives up is taken out at once.
        self._waiting: OrderedDict[asyncio.Future[None], Letter] = OrderedDict()

    def __len__(self) -> int:
        """Return how many letters there are, those of waiting senders not counted."""
        return len(self._letters)

    async def put(self, letter: Letter) -> None:
        """Take a letter in, or do what is to be done when there is no room.

        Raises:
            MailboxFull: there is none, and it rejects.
            ActorStopped: `stop` was called while it waited.
        """
        if len(self._letters) >= self.size:
            # Those whose sender has gone take no room.
            self._letters = deque(item for item in self._letters if not item.answer.done())
        if len(self._letters) < self.size and not self._waiting:
            self._letters.append(letter)
        elif self.when_full == "reject":
            msg = f"the mailbox is full: mailbox_size is {self.size}; send again later, or make it larger"
            raise MailboxFull(msg)
        elif self.when_full == "drop_oldest":
            msg = f"dropped for a newer message: mailbox_size is {self.size}; send more slowly, or make it larger"
            self._letters.popleft().fail(MessageDropped(msg))
            self._letters.append(letter)
        else:
            room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting[room] = letter
            try:
                await room
            except asyncio.CancelledError:
                self._waiting.pop(room, None)
                letter.answer.cancel()  # it may just have been taken in
                raise

    def take(self) -> Letter | None:
        """Return the oldest letter whose sender still waits; None if there is none."""
        while True:
            letter = self._letters.popleft() if self._letters else None
            while self._waiting and len(self._letters) < self.size:
                room, waiting = self._waiting.popitem(last=False)
                if not room.done():
                    room.set_result(None)
                    self._letters.append(waiting)
            if letter is None and not self._letters:
                return None
            if letter is not None and not letter.answer.done():
                return letter

    def stop(self, error: Callable[[], Exception]) -> None:
        """Let all letters go, and the senders that wait for room; each gets an error of its own."""
        for letter in self._letters:
            letter.fail(error())
        for room in self._waiting:
            if not room.done():
                room.set_exception(error())
        self._letters.clear()
        self._waiting.clear()


def stopped() -> ActorStopped:
    """Return the error for a message whose actor was stopped."""
    return ActorStopped(
        "the actor was stopped; a turn it had begun may be in the store or not, others are not: start another"
    )
