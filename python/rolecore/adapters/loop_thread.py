"""One event loop in a thread of its own, for synchronous calls of what is asynchronous."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from rolecore.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

_FINISH_S = 1.0

_lock = threading.Lock()
_running: tuple[int, asyncio.AbstractEventLoop] | None = None  # of which process, and the loop


def run(work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns, or raise what it raises; it runs in the caller's context.

    An interrupt of the caller, as by Ctrl-C, cancels it.

    Raises:
        ArgumentError: an event loop runs in this thread, which the call would block.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        work.close()
        msg = "an event loop runs in this thread, and would stand still; await ainvoke instead"
        raise ArgumentError(msg)
    loop = _loop()
    done: Future[T] = Future()
    tasks: list[asyncio.Task[None]] = []

    async def answer() -> None:
        try:
            done.set_result(await work)
        except BaseException as error:  # noqa: BLE001  the caller's
            done.set_exception(error)

    loop.call_soon_threadsafe(lambda: tasks.append(loop.create_task(answer())), context=copy_context())
    try:
        return done.result()
    finally:
        if not done.done():
            loop.call_soon_threadsafe(lambda: [task.cancel() for task in tasks])


def _loop() -> asyncio.AbstractEventLoop:
    """Return the loop of this process, started with the first call."""
    global _running  # noqa: PLW0603  one loop for all is the point
    with _lock:
        if _running is None or _running[0] != os.getpid():
            loop = asyncio.new_event_loop()
            # A daemon: it must not keep the process from ending.
            threading.Thread(target=loop.run_forever, name="rolecore-invoke", daemon=True).start()
            _running = os.getpid(), loop
            atexit.register(_finish, *_running)
        return _running[1]


def _finish(pid: int, loop: asyncio.AbstractEventLoop) -> None:
    """Let what was opened in the loop be closed, as `asyncio.run` does at its end."""
    if pid == os.getpid() and loop.is_running():
        with suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(loop.shutdown_asyncgens(), loop).result(_FINISH_S)
