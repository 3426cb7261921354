"""All sessions of a process: starts, finds, pauses, revives and evicts them, and gives each an actor while it has mail.

An idle session is one object and, while it can still be paused or expire, one entry among the timers of all.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from collections import OrderedDict
from contextvars import Context
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any

from rolecore import deadlines
from rolecore.arguments import read_count
from rolecore.errors import ArgumentError, SessionError, SessionNotFound
from rolecore.memory import MemoryProbe
from rolecore.sessions.actor import Handler, Message, RoleActor
from rolecore.sessions.mailbox import stopped
from rolecore.sessions.session import RoleSession, SessionState

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from rolecore.stores.protocol import SessionStore

WATERMARK = 0.8  # share of the process's memory, and of a tenant's quota, above which sessions give way
RELIEF = 1 / 8  # of what all sessions hold, given back at a reading above it
PROBE_PERIOD_S = 1.0  # a reading takes a tenth of a millisecond
SLICE = 256  # timers that are looked at before others may run


class _Tenant:
    """One tenant's sessions, those that hold messages, the longest unused first, and how many bytes these are."""

    __slots__ = ("held", "nbytes", "sessions")

    def __init__(self) -> None:
        self.sessions: dict[str, RoleSession] = {}
        self.held: OrderedDict[str, RoleSession] = OrderedDict()
        self.nbytes = 0


class Supervisor:
    """Holds the sessions of one process and answers their messages with one handler.

    Use it with `async with`, in one event loop. Leaving drains: see `close`.

    When memory runs short, sessions that were not used for longest give way: they are paused, and their messages are
    only in the store until the next one comes; pins set by hand go with them. That happens to a tenant whose sessions
    hold over 0.8 of `tenant_quota_bytes`, and while the process is over 0.8 of its memory to those tenants that hold
    most, never to one that holds no more than its equal share. Sessions at work are left alone.

    Args:
        handler: see `RoleActor`; one for all sessions, which tells them apart by `session.role_id`.
        store: where turns are kept; it stays open.
        mailbox_size, when_full, backoff_s, max_backoff_s: see `RoleActor`.
        tenant_quota_bytes: what each tenant's sessions may hold in memory, by `RoleSession.nbytes`; None: no limit.
        probe: has `read() -> Memory`; None: a `MemoryProbe`, and no watermark where it cannot read.
        keep_expired_s: seconds for which an expired session is remembered, for its typed error.
        seed: of the waits after failures.
        clock: returns seconds since 1970, UTC; only shown, never waited by.

    Raises:
        ArgumentError: an argument is out of its range.

    Example:
        >>> import asyncio
        >>> async def handler(session, message):
        ...     return {"role": "assistant", "content": f"{session.version} before"}
        >>> async def main():
        ...     async with rolecore.open_store("memory://") as db, rolecore.Supervisor(handler, store=db) as roles:
        ...         session = roles.start("support")
        ...         await roles.send(session.session_id, {"role": "user", "content": "hello"})
        ...         return await roles.send(session.session_id, {"role": "user", "content": "again"})
        >>> asyncio.run(main())
        {'role': 'assistant', 'content': '2 before'}
    """

    _session_class = RoleSession

    def __init__(
        self,
        handler: Handler,
        *,
        store: SessionStore,
        mailbox_size: int = 64,
        when_full: str = "wait",
        backoff_s: float = 0.1,
        max_backoff_s: float = 30.0,
        tenant_quota_bytes: int | None = None,
        probe: MemoryProbe | None = None,
        keep_expired_s: float = 3600.0,
        seed: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Start with no sessions."""
        self._store = store
        self._handler = handler
        self._options: dict[str, Any] = {
            "store": store,
            "mailbox_size": mailbox_size,
            "when_full": when_full,
            "backoff_s": backoff_s,
            "max_backoff_s": max_backoff_s,
            "rng": Random(seed),  # noqa: S311  spreads waits, guards nothing
            "clock": clock,
            "on_idle": self._put_away,
        }
        self._make_actor(RoleSession("any"))  # refuses what no actor takes
        self._quota = None if tenant_quota_bytes is None else read_count(tenant_quota_bytes, "tenant_quota_bytes")
        self._probe = probe
        self._is_probing = True
        self._next_probe = -math.inf
        self._keep_expired_s = deadlines.read_seconds(keep_expired_s, "keep_expired_s")
        self._tenants: dict[str, _Tenant] = {}
        self._actors: dict[RoleSession, RoleActor] = {}  # of those that have mail, or wait after a failure
        # One timer for all: by when each session is to be looked at; the number keeps sessions out of comparisons.
        self._due: list[tuple[float, int, RoleSession]] = []
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None
        self._is_sweeping = False
        self._is_closed = False

    def __repr__(self) -> str:
        """Show how many sessions there are, and how many at work."""
        return f"Supervisor(sessions={len(self)}, at_work={len(self._actors)})"

    def __len__(self) -> int:
        """Return how many sessions there are, expired ones that are still remembered among them."""
        return sum(len(tenant.sessions) for tenant in self._tenants.values())

    def start(
        self,
        role_id: str,
        *,
        session_id: str | None = None,
        tenant: str = "",
        timeout_s: float = 300.0,
        heartbeat_s: float | None = None,
    ) -> RoleSession:
        """Return a new session; if the store has messages of its id, they are loaded when the first one comes.

        The arguments are those of `RoleSession`.

        Raises:
            ArgumentError: see `RoleSession`.
            SessionError: a session of this id is held, and has not expired.
        """
        if self._is_closed:
            raise stopped()
        session = self._session_class(
            role_id, session_id=session_id, tenant=tenant, timeout_s=timeout_s, heartbeat_s=heartbeat_s
        )
        there = self._tenants.setdefault(tenant, _Tenant())
        held = there.sessions.get(session.session_id)
        if held is not None and not held.is_expired:
            msg = "a session of this id is held already; find it, or let it go with forget"
            raise SessionError(msg)
        there.sessions[session.session_id] = session
        if session.heartbeat_s is not None:
            session.next_beat = asyncio.get_running_loop().time() + session.heartbeat_s
            self._look_at(session, session.next_beat)
        return session

    def find(self, session_id: str, *, tenant: str = "") -> RoleSession:
        """Return a session that is held here.

        Raises:
            SessionNotFound: there is none.
        """
        there = self._tenants.get(tenant)
        session = None if there is None else there.sessions.get(session_id)
        if session is None:
            msg = "no session of this id is held; start makes one, revive takes one up that is in the store"
            raise SessionNotFound(msg)
        return session

    async def revive(
        self,
        role_id: str,
        session_id: str,
        *,
        tenant: str = "",
        timeout_s: float = 300.0,
        heartbeat_s: float | None = None,
    ) -> RoleSession:
        """Return the session if it is held and has not expired, else a new one with the messages that the store has.

        Raises:
            SessionNotFound: it is neither here nor in the store. Other errors of `start` and of the store.
        """
        record = None
        while True:
            there = self._tenants.get(tenant)
            session = None if there is None else there.sessions.get(session_id)
            if session is not None and not session.is_expired:
                return session
            if record is not None:
                break
            record = await self._store.load(session_id, tenant=tenant)  # meanwhile another may have revived it
        session = self.start(
            role_id, session_id=session_id, tenant=tenant, timeout_s=timeout_s, heartbeat_s=heartbeat_s
        )
        session.replace(record.messages)
        self._count(session)
        return session

    def pause(self, session_id: str, *, tenant: str = "") -> bool:
        """Pause a session now, and return whether it is PAUSED: one that is at work is left alone.

        Raises:
            SessionNotFound: see `find`.
        """
        session = self.find(session_id, tenant=tenant)
        if session not in self._actors:
            session.pause()
            self._count(session)
        return session.state is SessionState.PAUSED

    def forget(self, session_id: str, *, tenant: str = "") -> None:
        """Let go of a session that is not at work; the store keeps its turns.

        Raises:
            SessionNotFound: see `find`.
            SessionError: it is at work.
        """
        session = self.find(session_id, tenant=tenant)
        if session in self._actors:
            msg = "the session is at work; wait for its answers first"
            raise SessionError(msg)
        session.expire()  # whoever still holds it is told
        self._remove(session)

    async def send(self, session_id: str, message: Message | list[Message], *, tenant: str = "") -> Any:  # noqa: ANN401
        """Return the handler's reply, once the store has the turn; see `RoleActor.send`.

        Raises:
            SessionNotFound: see `find`. What `RoleActor.send` raises.
        """
        actor = self._find_actor(session_id, tenant)
        try:
            return await actor.send(message)
        finally:
            self._put_away(actor)

    async def post(self, session_id: str, message: Message | list[Message], *, tenant: str = "") -> asyncio.Future[Any]:
        """Return the future of the reply as soon as the mailbox has the message; see `RoleActor.post`.

        Raises:
            SessionNotFound: see `find`. What `RoleActor.post` raises.
        """
        actor = self._find_actor(session_id, tenant)
        try:
            return await actor.post(message)
        finally:
            self._put_away(actor)

    async def close(self) -> None:
        """Take no more messages, and return when those that were taken are done, at the deadline at the latest.

        What is left then gets ActorStopped. The store stays open. A second time does nothing.
        """
        self._is_closed = True
        await asyncio.gather(*(actor.stop() for actor in self._actors.values()))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Drain and close."""
        await self.close()

    def _make_actor(self, session: RoleSession) -> RoleActor:
        return RoleActor(session, self._handler, **self._options)

    def _find_actor(self, session_id: str, tenant: str) -> RoleActor:
        if self._is_closed:
            raise stopped()
        session = self.find(session_id, tenant=tenant)
        actor = self._actors.get(session)
        if actor is None:
            actor = self._actors[session] = self._make_actor(session)
            self._look_at(session, asyncio.get_running_loop().time() + session.timeout_s)
        return actor

    def _put_away(self, actor: RoleActor) -> None:
        """Let go of an actor that has nothing to do, and count what its session holds by now."""
        session = actor.session
        if actor.is_busy or self._actors.get(session) is not actor:
            return
        loop = asyncio.get_running_loop()
        if actor.ready_at > loop.time() and not self._is_closed:
            loop.call_at(actor.ready_at, self._put_away, actor, context=Context())
            return
        del self._actors[session]
        self._count(session)
        there = self._tenants[session.tenant]
        if self._quota is not None:
            self._evict(there, WATERMARK * self._quota)
        if self._is_probing and loop.time() >= self._next_probe:
            self._next_probe = loop.time() + PROBE_PERIOD_S
            self._relieve()

    def _count(self, session: RoleSession) -> None:
        there = self._tenants[session.tenant]
        there.nbytes += session.nbytes - session.counted_bytes
        session.counted_bytes = session.nbytes
        if session.nbytes:
            there.held[session.session_id] = session
            if session.state is SessionState.ACTIVE:
                there.held.move_to_end(session.session_id)
        elif there.held.get(session.session_id) is session:
            del there.held[session.session_id]

    def _evict(self, there: _Tenant, limit: float) -> None:
        for _ in range(len(there.held)):
            if there.nbytes <= limit:
                return
            session = next(iter(there.held.values()))
            if session in self._actors:
                there.held.move_to_end(session.session_id)
            else:
                session.unload()
                session.pause()
                self._count(session)

    def _relieve(self) -> None:
        try:
            memory = (self._probe or MemoryProbe()).read()
        except ArgumentError:
            if self._probe is not None:
                raise
            self._is_probing = False  # not Linux
            return
        if memory.usage <= WATERMARK:
            return
        tenants = sorted(self._tenants.values(), key=lambda there: -there.nbytes)
        total = sum(there.nbytes for there in tenants)
        left = total * (1 - RELIEF)
        share = left / len(tenants)
        for there in tenants:
            before = there.nbytes
            self._evict(there, max(share, before - (total - left)))
            total -= before - there.nbytes
            if total <= left:
                return

    def _look_at(self, session: RoleSession, at: float) -> None:
        """Look at a session by then, if not before; what was to be later is passed over when its time comes."""
        if at >= session.due_at:
            return
        session.due_at = at
        heapq.heappush(self._due, (at, next(self._numbers), session))
        if self._due[0][2] is session and not self._is_sweeping:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._due and not self._is_closed:
            self._timer = asyncio.get_running_loop().call_at(self._due[0][0], self._sweep, context=Context())

    def _sweep(self) -> None:
        self._timer = None
        self._is_sweeping = True
        now = asyncio.get_running_loop().time()
        looked = 0
        try:
            while self._due and self._due[0][0] <= now and looked < SLICE:
                at, _, session = heapq.heappop(self._due)
                looked += 1
                if at == session.due_at:
                    session.due_at = math.inf
                    self._look_at(session, self._check(session, now))
        finally:
            self._is_sweeping = False
            self._set_timer()

    def _check(self, session: RoleSession, now: float) -> float:
        """Do what is due for a session, and return when to look again."""
        there = self._tenants.get(session.tenant)
        if there is None or there.sessions.get(session.session_id) is not session:
            return math.inf
        is_at_work = session in self._actors
        if session.heartbeat_s is not None and session.next_beat <= now and not session.is_expired:
            session.next_beat = now + session.heartbeat_s
            if not is_at_work and session.miss():
                session.expire()
                session.next_beat = now + self._keep_expired_s
                self._count(session)
        if is_at_work:
            return now + session.timeout_s if session.is_expired else min(now + session.timeout_s, session.next_beat)
        if session.is_expired and not now < session.next_beat < math.inf:
            self._remove(session)
            return math.inf
        idle_at = session.used_at + session.timeout_s
        if session.state is SessionState.ACTIVE and idle_at <= now:
            session.pause()
            self._count(session)
        return min(idle_at, session.next_beat) if session.state is SessionState.ACTIVE else session.next_beat

    def _remove(self, session: RoleSession) -> None:
        self._count(session)
        there = self._tenants[session.tenant]
        del there.sessions[session.session_id]
        if not there.sessions:
            del self._tenants[session.tenant]
