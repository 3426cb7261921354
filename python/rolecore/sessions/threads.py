"""The synchronous face: a supervisor in a loop of its own, in a thread of its own, for code that has no loop."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from rolecore.errors import ActorStopped
from rolecore.sessions.mailbox import stopped
from rolecore.sessions.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextvars import Context
    from types import TracebackType
    from typing import Self

    from rolecore.sessions.actor import Handler, Message
    from rolecore.sessions.session import RoleSession
    from rolecore.stores.protocol import SessionStore

T = TypeVar("T")


class SupervisorThread:
    """A `Supervisor` for synchronous code, from any threads but its own; use it with `with`.

    Each call runs in the caller's context: under its deadline, with its tenant and trace.

    Args:
        handler: as in `Supervisor`; it runs in the thread's loop.
        store: not yet entered; it is entered in that loop, and closed at the end.
        options: as in `Supervisor`.

    Example:
        >>> async def handler(session, message):
        ...     return {"role": "assistant", "content": message["content"].upper()}
        >>> with rolecore.SupervisorThread(handler, store=rolecore.open_store("memory://")) as roles:
        ...     session = roles.start("support")
        ...     roles.send(session.session_id, {"role": "user", "content": "hello"})
        {'role': 'assistant', 'content': 'HELLO'}
    """

    def __init__(self, handler: Handler, *, store: SessionStore, **options: Any) -> None:  # noqa: ANN401
        """Check the options; nothing runs yet."""
        self._supervisor = Supervisor(handler, store=store, **options)
        self._store = store
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._calls: set[Future[Any]] = set()  # that nobody has answered yet

    def start(self, role_id: str, **options: Any) -> RoleSession:  # noqa: ANN401  those of Supervisor.start
        """Return a new session; see `Supervisor.start`."""
        session: RoleSession = self.call(lambda supervisor: supervisor.start(role_id, **options))
        return session

    def revive(self, role_id: str, session_id: str, **options: Any) -> RoleSession:  # noqa: ANN401
        """Return a session that is held here or in the store; see `Supervisor.revive`."""
        session: RoleSession = self.call(lambda supervisor: supervisor.revive(role_id, session_id, **options))
        return session

    def send(self, session_id: str, message: Message | list[Message], *, tenant: str = "") -> Any:  # noqa: ANN401
        """Return the handler's reply; see `Supervisor.send`."""
        return self.call(lambda supervisor: supervisor.send(session_id, message, tenant=tenant))

    @overload
    def call(self, function: Callable[[Supervisor], Awaitable[T]]) -> T: ...

    @overload
    def call(self, function: Callable[[Supervisor], T]) -> T: ...

    def call(self, function: Callable[[Supervisor], Any]) -> Any:
        """Return what a function of the supervisor does in its loop, such as `lambda roles: roles.pause("s1")`.

        An interrupt of the caller, as by Ctrl-C, cancels it.

        Raises:
            ActorStopped: it is not running, or its loop has ended meanwhile.
        """
        loop = self._loop
        if loop is None:
            raise stopped()
        done: Future[Any] = Future()

        async def run() -> None:
            try:
                result = function(self._supervisor)
                done.set_result(await result if isawaitable(result) else result)
            except asyncio.CancelledError:  # the loop ends, or the caller has gone
                done.set_exception(stopped())
            except BaseException as error:  # noqa: BLE001  the caller's
                done.set_exception(error)

        tasks: list[asyncio.Task[None]] = []
        context = copy_context()
        self._calls.add(done)
        try:
            _soon(loop, lambda: tasks.append(loop.create_task(run())), context=context)
            return done.result()
        finally:
            self._calls.discard(done)
            if not done.done():
                with suppress(ActorStopped):
                    _soon(loop, lambda: [task.cancel() for task in tasks])

    def __enter__(self) -> Self:
        """Start the thread and enter the store; raises what the store does."""
        began: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(began,), name="rolecore-sessions")
        self._thread.start()
        began.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Drain, within the caller's deadline, and end the thread; see `Supervisor.close`."""
        try:
            with suppress(ActorStopped):  # its loop has ended already
                self.call(lambda supervisor: supervisor.close())
        finally:
            loop, self._loop = self._loop, None
            if loop is not None and self._end is not None:
                with suppress(ActorStopped):
                    _soon(loop, self._end.set)
            self._thread.join()

    def _run(self, began: Future[None]) -> None:
        try:
            asyncio.run(self._main(began))
        finally:
            # Whatever ended the loop, and with what it had not begun: nobody may wait for it.
            self._loop = None
            for done in list(self._calls):
                if not done.done():
                    done.set_exception(stopped())

    async def _main(self, began: Future[None]) -> None:
        try:
            async with self._store:
                self._end = asyncio.Event()
                self._loop = asyncio.get_running_loop()
                began.set_result(None)
                await self._end.wait()
        except BaseException as error:
            if began.done():
                raise
            began.set_exception(error)


def _soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], object], context: Context | None = None) -> None:
    try:
        loop.call_soon_threadsafe(callback, context=context)
    except RuntimeError:  # it is closed
        raise stopped() from None
