"""A session's actor: one message at a time goes to the handler, and is answered when the store has the turn.

There is no task and no queue while there is nothing to do: each message is a task of its own, in its sender's context.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from contextvars import Context
from random import Random
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from rolecore import deadlines
from rolecore.arguments import read_message
from rolecore.errors import (
    ArgumentError,
    MessageError,
    QuotaError,
    RolecoreError,
    SessionConflict,
    SessionNotFound,
)
from rolecore.sessions.mailbox import Letter, Mailbox, stopped
from rolecore.sessions.session import RoleSession, expired

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rolecore.stores.protocol import SessionStore

Message: TypeAlias = dict[str, Any]
# Any: what was sent, a message or a list of them.
Handler: TypeAlias = "Callable[[RoleSession, Any], Awaitable[Message | list[Message] | Reply]]"


class Reply(Protocol):
    """A handler's reply that tells more than its messages, as a `TurnResult` does."""

    @property
    def messages(self) -> list[Message]:
        """What is stored after what was answered."""

    def settle(self, error: BaseException | None) -> None:
        """Learn that the store has the turn, or why it may not."""


class RoleActor:
    """Answers the messages of one session, in order, one at a time.

    An answer means that the store has the turn: the message and what the handler replied. Any error means that nothing
    was acknowledged; after DeadlineExceeded or a StoreError that is no SessionConflict and no QuotaError the turn may
    be in the store all the same, and the actor looks before it goes on.

    Args:
        session: whose messages.
        handler: `await handler(session, message)`, with what was sent, returns the reply: a message, a list of them
            where tools were called on the way, or a `Reply`. It runs in the sender's context, under its deadline. What
            it raises goes to the sender. It reads `session.messages` or `session.history` and changes neither.
        store: where each turn is appended, with the version that the handler saw.
        mailbox_size: messages that may wait while one is handled.
        when_full: what a message meets that finds no room: "wait", "reject" (MailboxFull) or "drop_oldest".
        backoff_s: after a handler has raised anything but a RolecoreError, the next message waits so long, twice as
            long after each further time, at random down to half of that.
        max_backoff_s: the most it waits.
        rng: draws that share.
        clock: returns seconds since 1970, UTC; only shown, never waited by.
        on_idle: called with the actor whenever it has nothing more to do.

    Raises:
        ArgumentError: an argument is out of its range.

    Example:
        >>> import asyncio
        >>> async def handler(session, message):
        ...     return {"role": "assistant", "content": message["content"].upper()}
        >>> async def main():
        ...     async with rolecore.open_store("memory://") as store:
        ...         actor = rolecore.RoleActor(rolecore.RoleSession("support"), handler, store=store)
        ...         return await actor.send({"role": "user", "content": "hello"})
        >>> asyncio.run(main())
        {'role': 'assistant', 'content': 'HELLO'}
    """

    __slots__ = (
        "_backoff_s",
        "_clock",
        "_failures",
        "_handler",
        "_is_stopping",
        "_loop",
        "_mailbox",
        "_max_backoff_s",
        "_on_idle",
        "_ready_at",
        "_rng",
        "_store",
        "_task",
        "_timer",
        "_when_done",
        "session",
    )

    def __init__(
        self,
        session: RoleSession,
        handler: Handler,
        *,
        store: SessionStore,
        mailbox_size: int = 64,
        when_full: str = "wait",
        backoff_s: float = 0.1,
        max_backoff_s: float = 30.0,
        rng: Random | None = None,
        clock: Callable[[], float] = time.time,
        on_idle: Callable[[RoleActor], None] | None = None,
    ) -> None:
        """Start with an empty mailbox."""
        self.session = session
        self._handler = handler
        self._store = store
        self._mailbox = self._make_mailbox(mailbox_size, when_full)
        self._backoff_s = deadlines.read_seconds(backoff_s, "backoff_s")
        self._max_backoff_s = deadlines.read_seconds(max_backoff_s, "max_backoff_s")
        self._rng = rng or Random()  # noqa: S311  spreads waits, guards nothing
        self._clock = clock
        self._on_idle = on_idle
        self._failures = 0
        self._ready_at = 0.0  # of the loop's time: no message is begun before
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._when_done: asyncio.Future[None] | None = None
        self._is_stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None  # that took the last message

    def __repr__(self) -> str:
        """Show the session and how many messages wait."""
        return f"RoleActor({self.session!r}, waiting={len(self._mailbox)}, is_busy={self.is_busy})"

    @classmethod
    def of(cls, session: RoleSession, handler: Handler, store: SessionStore) -> RoleActor:
        """Return the one actor that a session has beside those of supervisors, made when there is none.

        Raises:
            ArgumentError: it is at work, with another store or in another event loop.
        """
        actor = session.actor
        if actor is not None and actor.is_busy:
            other = "store" if actor._store is not store else ""  # noqa: SLF001  one of its own kind
            if actor._loop is not asyncio.get_running_loop():  # noqa: SLF001
                other = "" if actor._loop is None or actor._loop.is_closed() else "event loop"  # noqa: SLF001
            elif not other:
                return actor
            if other:
                msg = f"the session is at work with another {other}; use one, or wait for its answers first"
                raise ArgumentError(msg)
        elif actor is not None and actor._store is store and not actor._is_stopping:  # noqa: SLF001
            return actor
        if actor is not None:  # a turn may have been left behind, and another store may have other messages
            session.unload()
        actor = session.actor = cls(session, handler, store=store)
        return actor

    @property
    def is_busy(self) -> bool:
        """Whether a message is being handled or waits."""
        return self._task is not None or self._timer is not None

    @property
    def ready_at(self) -> float:
        """When the handler may be called again, by the loop's time; it is past while nothing has failed."""
        return self._ready_at

    async def send(self, message: Message | list[Message]) -> Any:  # noqa: ANN401  what the handler returns
        """Return the handler's reply, once the store has the turn.

        Cancelled before the message is begun, it is taken out of the mailbox. Afterwards the handler runs to its end
        and the turn is stored, as when a line breaks off: only there is nobody to answer.

        Args:
            message: or a list of those that are answered and stored together, as the results of several tool calls.
                Messages are kept, not copied: don't change them afterwards.

        Raises:
            ArgumentError: `message` is neither, or an empty list.
            SessionExpired, MailboxFull, MessageDropped, ActorStopped: the handler was not called, or, the last, did not
                get to its end.
            DeadlineExceeded, SessionConflict, another StoreError: see the class. What the handler raises.
        """
        async with _within("send"):
            return await (await self._post(message))

    async def post(self, message: Message | list[Message]) -> asyncio.Future[Any]:
        """Return the future of the reply as soon as the mailbox has the message.

        Messages posted one after the other are handled in that order. Cancel the future to withdraw the message.

        Raises:
            SessionExpired, MailboxFull, ActorStopped: the message was not taken. DeadlineExceeded: nor was it in time.
        """
        async with _within("post"):
            return await self._post(message)

    async def stop(self) -> None:
        """Take no more messages, and return when those that were taken are done, at the deadline at the latest.

        What is left then gets ActorStopped, as do senders that wait for room.
        """
        self._is_stopping = True
        loop = asyncio.get_running_loop()
        try:
            async with _within("stop"):
                while self.is_busy:
                    self._when_done = self._when_done or loop.create_future()
                    await asyncio.shield(self._when_done)
        except TimeoutError:
            pass
        finally:
            self._halt()
            if self._task is not None:
                self._task.cancel()

    async def _post(self, message: Message | list[Message]) -> asyncio.Future[Any]:
        message = read_message(message)
        if self._is_stopping:
            raise stopped()
        loop = self._loop = asyncio.get_running_loop()
        self.session.touch(loop.time(), self._clock())
        letter = Letter(message)
        await self._mailbox.put(letter)
        if self._task is None and self._timer is None:
            self._next()
        return letter.answer

    def _make_mailbox(self, size: int, when_full: str) -> Mailbox:
        return Mailbox(size, when_full)

    def _next(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        if self._ready_at > loop.time() and len(self._mailbox):
            self._timer = loop.call_at(self._ready_at, self._next, context=Context())
            return
        letter = self._mailbox.take()
        if letter is not None:
            # A context of its own: the sender's, which the handler may not change for it.
            self._task = loop.create_task(self._run(letter), context=letter.context)
            return
        if self._when_done is not None and not self._when_done.done():
            self._when_done.set_result(None)
            self._when_done = None
        if self._on_idle is not None:
            self._on_idle(self)

    def _halt(self) -> None:
        self._is_stopping = True
        self._mailbox.stop(stopped)
        if self._timer is not None:
            self._timer.cancel()
            self._next()  # nothing is left: it tells whoever waits for that

    async def _run(self, letter: Letter) -> None:
        try:
            async with _within("send"):
                reply = await self._turn(letter.message)
        except asyncio.CancelledError:
            letter.fail(stopped())
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # not by the handler itself: the loop ends, or `stop` was called
                self._halt()
        except GeneratorExit:  # the garbage collector ends what a loop left behind
            raise
        except (KeyboardInterrupt, SystemExit):  # the loop ends, and nobody may wait for this
            letter.fail(stopped())
            self._halt()
            self._task = None
            self._next()
            raise
        except BaseException as error:  # noqa: BLE001  all others are the sender's
            letter.fail(error)
        else:
            if not letter.answer.done():
                letter.answer.set_result(reply)
        # Not in a `finally`: where the garbage collector ends what a loop left behind, another loop may be running.
        self._task = None
        self._next()

    async def _turn(self, message: Message | list[Message]) -> Message | list[Message] | Reply:
        session = self.session
        if session.is_expired:
            raise expired()
        if not session.is_loaded:
            await self._load()
        version = session.version
        try:
            reply = await self._handler(session, message)
        except BaseException as error:
            # It may have left the session in any state: the next message finds what the store has.
            session.unload()
            if isinstance(error, Exception) and not isinstance(error, RolecoreError):
                self._back_off()
            raise
        settle = getattr(reply, "settle", None)
        new: Any = reply if settle is None else reply.messages  # type: ignore[union-attr]
        turn = [part for said in (message, new) for part in (said if isinstance(said, list) else [said])]
        try:
            await self._append(turn, version)
        except BaseException as error:
            if settle is not None:
                settle(error)
            raise
        if settle is not None:
            settle(None)
        self._failures = 0
        if not session.is_expired:
            session.extend(turn)
            session.touch(asyncio.get_running_loop().time(), self._clock())
        return reply

    async def _append(self, turn: list[Message], version: int) -> None:
        session = self.session
        try:
            await self._store.append(session.session_id, turn, tenant=session.tenant, expected_version=version)
        except (MessageError, ArgumentError, QuotaError):
            raise  # refused before anything was applied
        except SessionConflict:
            with suppress(RolecoreError):  # then the next message loads
                await self._load()
            raise
        except BaseException:
            session.unload()  # it may be there or not
            raise

    async def _load(self) -> None:
        session = self.session
        session.unload()
        try:
            record = await self._store.load(session.session_id, tenant=session.tenant)
        except SessionNotFound:
            messages = []
        else:
            messages = record.messages
        if session.is_expired:
            raise expired()
        session.replace(messages)

    def _back_off(self) -> None:
        wait = min(self._max_backoff_s, self._backoff_s * 2.0 ** min(self._failures, 60))
        self._failures += 1
        self._ready_at = asyncio.get_running_loop().time() + wait * (0.5 + 0.5 * self._rng.random())


def _within(what: str) -> AbstractAsyncContextManager[None]:
    """Return `deadlines.within`, or nothing at a tenth of its cost where there is no deadline."""
    return nullcontext() if deadlines.remaining() is None else deadlines.within(what)
