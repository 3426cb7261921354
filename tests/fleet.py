"""A fleet of sessions on virtual time, with faults from a seed, and what must hold however it goes.

Each session has a client that sends numbered messages, one at a time or several at once, cancels some, falls silent,
and takes the session up again when it has expired or its process has died. The handler crashes and stalls; the line to
the store loses requests and replies, delivers some twice, stalls and is down; another process writes to sessions in
between; processes die with all they hold in memory; the wall clock steps forth and back.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import rolecore
from rolecore import deadlines
from rolecore.memory import Memory
from rolecore.sessions.session import SessionState
from rolecore.stores.memory import MemoryStore
from rolecore.testing import message, run_virtual

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from rolecore.stores.protocol import SessionRecord

N_SESSIONS = 500  # of one fleet: one seed, one virtual time
MOST_TURNS = 3
MAILBOX_SIZE = 2

# What a sender is told that means that its message is not in the store.
NOT_STORED = {
    "CrashError",
    "MailboxFull",
    "MessageDropped",
    "SessionConflict",
    "SessionExpired",
    "SessionNotFound",
}
# What says that it may be there or not.
UNKNOWN = {"DeadlineExceeded", "StoreError", "ActorStopped", "cancelled", "process died"}
REACHED_FROM = {
    SessionState.INIT: set(SessionState),
    SessionState.ACTIVE: {SessionState.ACTIVE, SessionState.PAUSED, SessionState.EXPIRED},
    SessionState.PAUSED: {SessionState.ACTIVE, SessionState.PAUSED, SessionState.EXPIRED},
    SessionState.EXPIRED: {SessionState.EXPIRED},
}


class Violation(AssertionError):  # noqa: N818  says what is
    """What must hold does not."""


class CrashError(Exception):
    """A handler's own."""


@dataclass
class Report:
    """What happened in a fleet, and a hash of all of it in order."""

    sessions: int = 0
    acknowledged: int = 0
    told: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)  # states of sessions, now and then
    trace: str = ""

    def add(self, other: Report) -> None:
        self.sessions += other.sessions
        self.acknowledged += other.acknowledged
        self.told += other.told
        self.faults += other.faults
        self.seen += other.seen
        self.trace = hashlib.blake2b((self.trace + other.trace).encode(), digest_size=16).hexdigest()


class Server:
    """A database: it outlives all processes, and finds a request that it has seen again by its token."""

    def __init__(self, fleet: Fleet) -> None:
        self.store = MemoryStore(clock=lambda: fleet.wall)
        self._done: dict[int, int] = {}

    async def apply(self, token: int, session_id: str, messages: Any, **options: Any) -> int:
        if token not in self._done:
            self._done[token] = await self.store.append(session_id, messages, **options)
        return self._done[token]


class Line(MemoryStore):
    """One process's connection to the server: a store that retries within, as `SessionStore` asks."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self._fleet = fleet

    def make_token(self, before: int | None) -> int:
        """Return the token of an append's next attempt."""
        return next(self._fleet.tokens) if before is None else before

    async def append(self, session_id: str, messages: Any, **options: Any) -> int:
        fleet, server = self._fleet, self._fleet.server
        token = None
        async with deadlines.within("append"):
            for _ in range(3):
                token = self.make_token(token)
                await asyncio.sleep(fleet.rng.random() * 0.02)
                fault = fleet.draw(down=0.01, request_lost=0.03, reply_lost=0.03, duplicate=0.05, store_stall=0.005)
                if fault == "down":
                    break
                if fault == "store_stall":
                    await asyncio.sleep(120)
                if fault == "request_lost":
                    continue
                if fault == "duplicate":
                    fleet.deliver_later(partial(server.apply, token, session_id, list(messages), **options))
                version = await server.apply(token, session_id, messages, **options)
                if fault != "reply_lost":
                    return version
        msg = "the line is broken"
        raise rolecore.StoreError(msg)

    async def load(self, session_id: str, *, tenant: str = "") -> SessionRecord:
        await asyncio.sleep(self._fleet.rng.random() * 0.02)
        if self._fleet.draw(load_down=0.01):
            msg = "the line is broken"
            raise rolecore.StoreError(msg)
        return await self._fleet.server.store.load(session_id, tenant=tenant)


class Probe(rolecore.MemoryProbe):
    """A process whose memory is short now and then."""

    __slots__ = ("fleet",)

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self.fleet = fleet

    def read(self) -> Memory:
        return Memory(900 if self.fleet.draw(memory_short=0.1) else 500, 1000, None, None, "made up")


class Fleet:
    """One seed's run. What is tested are its class attributes, so that a defect can be put in their place."""

    supervisor_class: type[rolecore.Supervisor] = rolecore.Supervisor
    line_class: type[Line] = Line

    def __init__(self, seed: int, n_sessions: int = N_SESSIONS) -> None:
        self.seed = seed
        self.n_sessions = n_sessions
        self.rng = Random(seed)  # noqa: S311  it is to be repeated
        self.wall = 1_700_000_000.0
        self.tokens = iter(range(10**12))
        self.report = Report(sessions=n_sessions)
        self.server = Server(self)
        self.handled: set[str] = set()
        self.at_work: set[str] = set()
        self.told: dict[str, str] = {}
        self.answers: list[asyncio.Future[Any]] = []
        self._acknowledged: dict[str, set[str]] = {}
        self._hash = hashlib.blake2b(digest_size=16)
        self._states: dict[rolecore.RoleSession, SessionState] = {}
        self._calls: dict[asyncio.Task[Any], None] = {}
        self._late: dict[asyncio.Task[Any], None] = {}

    def run(self) -> Report:
        """Run it to its end, check all that must hold, and return what happened."""
        run_virtual(self._main(), seed=self.seed)
        self.report.trace = self._hash.hexdigest()
        return self.report

    def draw(self, **faults: float) -> str | None:
        """Return one of the faults, each with its probability, or None; it is counted."""
        drawn = self.rng.random()
        for name, share in faults.items():
            drawn -= share
            if drawn < 0:
                self.report.faults[name] += 1
                return name
        return None

    def note(self, what: str) -> None:
        """Add to the trace."""
        self._hash.update(f"{asyncio.get_running_loop().time()!r} {what}\n".encode())

    def check(self, holds: object, what: str) -> None:
        """Raise unless it holds."""
        if not holds:
            raise Violation(what)

    def deliver_later(self, request: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Let a request reach the server after some time, whatever becomes of who sent it."""
        loop = asyncio.get_running_loop()

        async def deliver() -> None:
            with suppress(rolecore.StoreError):
                await request()

        def start() -> None:
            task = loop.create_task(deliver())
            self._late[task] = None
            task.add_done_callback(self._late.pop)

        loop.call_later(self.rng.random() ** 4 * 60, start, context=Context())

    async def handle(self, session: rolecore.RoleSession, item: dict[str, Any]) -> dict[str, Any]:
        """Be the handler."""
        text, key = item["content"], session.session_id
        self.note(f"handle {text}")
        self.check(text not in self.handled, f"{text} was handled twice")
        self.check(key not in self.at_work, f"{text} was handled beside another of its session")
        self.check(session.state is SessionState.ACTIVE, f"{text} was handled in {session.state}")
        self.handled.add(text)
        self.at_work.add(key)
        try:
            before = len(session.history if self.rng.random() < 0.1 else session.messages)
            await asyncio.sleep(self.rng.random() ** 3)
            fault = self.draw(crash=0.03, stall=0.01)
            if fault == "crash":
                raise CrashError
            if fault == "stall":
                await asyncio.sleep(1000)
        finally:
            self.at_work.discard(key)
        return message(f"{text}@{before}", "assistant")

    async def _main(self) -> None:
        self._start_process()
        world = asyncio.ensure_future(self._world())
        clients = asyncio.ensure_future(self._clients())
        await asyncio.wait([world, clients], return_when=asyncio.FIRST_COMPLETED)
        if world.done():
            await world  # it ends only by a violation
        await clients
        world.cancel()
        await asyncio.sleep(100)  # for what is still under way
        with rolecore.deadline(2000):
            await self.roles.close()
        self.check(all(answer.done() for answer in self.answers), "an answer never came")
        self._look()
        for i in range(self.n_sessions):
            await self._check_session(str(i))
        self.report.told.update(self.told.values())
        self.report.acknowledged = self.report.told["ok"]

    def _start_process(self) -> None:
        self._states.clear()
        self.at_work.clear()
        self.answers.clear()
        self.roles = self.supervisor_class(
            self.handle,
            store=self.line_class(self),
            mailbox_size=MAILBOX_SIZE,
            when_full=("wait", "reject", "drop_oldest")[self.seed % 3],
            tenant_quota_bytes=self.n_sessions * 100,
            probe=Probe(self),
            keep_expired_s=600,
            seed=self.seed,
            clock=lambda: self.wall,
        )

    def _kill_process(self) -> None:
        """Lose all that is in memory, at once: nothing of it runs any further."""
        self.note("process dies")
        roles: Any = self.roles
        calls = list(self._calls)
        roles._is_closed = True
        for actor in list(roles._actors.values()):
            actor._is_stopping = True
            actor._mailbox.stop(lambda: rolecore.ActorStopped("process died"))
            for waiting in (actor._task, actor._timer):
                if waiting is not None:
                    waiting.cancel()
        if roles._timer is not None:
            roles._timer.cancel()
        for call in calls:
            call.cancel()
        self._start_process()

    async def _world(self) -> None:
        while True:
            await asyncio.sleep(self.rng.expovariate(1 / 20))
            self._look()
            fault = self.draw(process_dies=0.05, clock_steps=0.2, other_writes=0.5)
            if fault == "process_dies":
                self._kill_process()
            elif fault == "clock_steps":
                self.wall += self.rng.choice([-(10.0**7), -3600.0, 3600.0, 10.0**7])
            elif fault == "other_writes":
                for _ in range(1 + self.n_sessions // 20):
                    session_id = str(self.rng.randrange(self.n_sessions))
                    await self.server.store.append(session_id, [message(f"other {next(self.tokens)}")])

    def _look(self) -> None:
        """Check what must hold at any time."""
        for there in self.roles._tenants.values():
            counted = sum(session.counted_bytes for session in there.sessions.values())
            self.check(there.nbytes == counted, f"{there.nbytes} bytes are counted, they are {counted}")
            for session in there.sessions.values():
                before = self._states.get(session, SessionState.INIT)
                self.check(session.state in REACHED_FROM[before], f"from {before} to {session.state}")
                self._states[session] = session.state
                self.report.seen[self._where(session)] += 1
                is_at_work = session in self.roles._actors
                self.check(is_at_work or session.counted_bytes == session.nbytes, "a session's bytes are miscounted")
                if session.state is not SessionState.ACTIVE:
                    self.check(session._history is None, f"{session.state} with a History")
                if session.state is SessionState.PAUSED:
                    self.check(session._tail is None, "PAUSED with more than a snapshot")
                    self.check(session.session_id not in self.at_work, "PAUSED at work")
        for actor in self.roles._actors.values():
            self.check(len(actor._mailbox) <= MAILBOX_SIZE, "more in a mailbox than it may hold")

    def _where(self, session: rolecore.RoleSession) -> str:
        is_in_store_only = session.version and not session.is_loaded and not session.is_expired
        return "in the store only" if is_in_store_only else session.state

    async def _clients(self) -> None:
        await asyncio.gather(*(self._client(str(i)) for i in range(self.n_sessions)))

    async def _client(self, session_id: str) -> None:
        numbers = iter(range(10**6))
        heartbeat_s = self.rng.choice([None, None, 20.0])
        self._begin(session_id, heartbeat_s)
        for _ in range(self.rng.randrange(MOST_TURNS) + 1):
            await self._think(session_id)
            if self.rng.random() < 0.3:
                burst = [f"{session_id}.{next(numbers)}" for _ in range(self.rng.randrange(2, 5))]
                await self._post(session_id, burst)
            else:
                await self._send(session_id, f"{session_id}.{next(numbers)}")
            if session_id not in self._held() or self.roles.find(session_id).is_expired:
                await self._take_up(session_id, heartbeat_s)

    def _held(self) -> dict[str, rolecore.RoleSession]:
        there = self.roles._tenants.get("")
        return {} if there is None else there.sessions

    def _begin(self, session_id: str, heartbeat_s: float | None) -> None:
        self.roles.start("support", session_id=session_id, timeout_s=60, heartbeat_s=heartbeat_s)

    async def _think(self, session_id: str) -> None:
        left = self.rng.choice([0.1, 1, 1, 5, 30, 100])
        is_silent = self.rng.random() < 0.1
        while left > 0:
            pause = min(left, 15.0)
            left -= pause
            await asyncio.sleep(pause)
            session = self._held().get(session_id)
            if session is not None and not session.is_expired and not is_silent:
                session.heartbeat()

    async def _take_up(self, session_id: str, heartbeat_s: float | None) -> None:
        try:
            await self.roles.revive("support", session_id, timeout_s=60, heartbeat_s=heartbeat_s)
        except (rolecore.SessionNotFound, rolecore.ActorStopped):
            if session_id not in self._held():
                self._begin(session_id, heartbeat_s)
        except rolecore.StoreError:
            pass  # next time

    async def _send(self, session_id: str, text: str) -> None:
        limit = self.rng.choice([0.5, 5.0, 30.0])
        began = asyncio.get_running_loop().time()
        with rolecore.deadline(limit):
            call = asyncio.ensure_future(self.roles.send(session_id, message(text)))
        if self.draw(sender_leaves=0.05):
            asyncio.get_running_loop().call_later(self.rng.random() * 2, call.cancel)
        await self._hear(text, call)
        self.check(asyncio.get_running_loop().time() - began <= limit + 1e-6, f"{text} was answered too late")

    async def _post(self, session_id: str, texts: list[str]) -> None:
        with rolecore.deadline(self.rng.choice([5.0, 30.0])):
            roles, answers = self.roles, []
            for text in texts:
                call = asyncio.ensure_future(roles.post(session_id, message(text)))
                answer = await self._hear(text, call)
                if answer is not None:
                    answer.add_done_callback(lambda done: done.cancelled() or done.exception())  # also if nobody waits
                    answers.append((text, answer))
                    if roles is self.roles:
                        self.answers.append(answer)
            for text, answer in answers:
                await self._hear(text, asyncio.ensure_future(self._wait(answer)))

    async def _wait(self, answer: asyncio.Future[Any]) -> Any:
        async with deadlines.within("wait"):
            return await answer

    async def _hear(self, text: str, call: asyncio.Task[Any]) -> Any:
        """Note what a sender is told; what it gets is its answer, or the future of one."""
        roles = self.roles
        self._calls[call] = None
        result = None
        try:
            result = await call
            what = "ok"
        except asyncio.CancelledError:
            what = "cancelled" if roles is self.roles else "process died"
        except (rolecore.RolecoreError, CrashError) as error:
            what = type(error).__name__
        finally:
            del self._calls[call]
        if isinstance(result, asyncio.Future):
            return result
        self.check(what in NOT_STORED | UNKNOWN | {"ok"}, f"{text}: {what}")
        if roles is not self.roles and what != "ok":
            what = "process died"
        self.told[text] = what
        if what == "ok":
            self._acknowledged.setdefault(text.split(".", maxsplit=1)[0], set()).add(text)
        self.note(f"{text}: {what}")
        return result

    async def _check_session(self, session_id: str) -> None:
        """Check what the store has of a session against what its senders were told."""
        try:
            texts = [item["content"] for item in (await self.server.store.load(session_id)).messages]
        except rolecore.SessionNotFound:
            texts = []
        self.note(f"{session_id} has {texts}")
        turns: list[int] = []
        ahead = iter(enumerate(texts))
        for i, text in ahead:
            if text.startswith("other"):
                continue
            _, reply = next(ahead, (0, ""))
            self.check(reply == f"{text}@{i}", f"{text} at {i} has the reply {reply!r}, made of another state")
            self.check(self.told.get(text) not in NOT_STORED, f"{text} is stored; its sender was told no")
            turns.append(int(text.split(".")[1]))
        self.check(turns == sorted(set(turns)), f"turns of {session_id} are doubled or out of order: {turns}")
        stored = {f"{session_id}.{turn}" for turn in turns}
        mine = self._acknowledged.get(session_id, set())
        self.check(mine <= stored, f"acknowledged and lost: {sorted(mine - stored)}")
