"""Fleets of sessions on virtual time with faults from a seed: they hold, they repeat, and they find what is wrong.

`make bench-stores` runs hundreds of thousands of sessions; see fleet.py for the faults and for what must hold.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fleet import MAILBOX_SIZE, Fleet, Line, Report, Violation

import rolecore
from rolecore.sessions.mailbox import Letter, Mailbox
from rolecore.sessions.session import Event, SessionState

if TYPE_CHECKING:
    from rolecore.sessions.actor import Message

N_SESSIONS = 60
SEEDS = range(12)


def test_fleets_hold_and_meet_every_fault() -> None:
    report = Report()
    for seed in SEEDS:
        report.add(Fleet(seed, N_SESSIONS).run())
    assert report.acknowledged > 2 * report.sessions
    assert set(report.faults) == {
        "clock_steps",
        "crash",
        "down",
        "duplicate",
        "load_down",
        "memory_short",
        "other_writes",
        "process_dies",
        "reply_lost",
        "request_lost",
        "sender_leaves",
        "stall",
        "store_stall",
    }
    assert set(report.seen) == {*SessionState, "in the store only"}
    assert {"ok", "CrashError", "DeadlineExceeded", "MailboxFull", "MessageDropped"} <= set(report.told)
    assert {"SessionConflict", "SessionExpired", "SessionNotFound", "StoreError", "process died"} <= set(report.told)


def test_one_seed_repeats_a_run_exactly() -> None:
    runs = [Fleet(seed, N_SESSIONS).run() for seed in (5, 5, 6)]
    assert runs[0] == runs[1]
    assert runs[0].trace != runs[2].trace


@pytest.mark.parametrize("hash_seed", ["1", "4711"])
def test_run_does_not_depend_on_hashes(hash_seed: str) -> None:
    script = f"from fleet import Fleet; print(Fleet(5, {N_SESSIONS}).run().trace)"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).parent)}
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, env=environment)
    assert run.stdout.strip() == Fleet(5, N_SESSIONS).run().trace


class HastyActor(rolecore.RoleActor):
    """Acknowledges before the store has the turn."""

    __slots__ = ()

    async def _append(self, turn: list[Message], version: int) -> None:
        append = self._store.append(self.session.session_id, turn, expected_version=version)
        later = asyncio.ensure_future(append)
        later.add_done_callback(lambda done: done.cancelled() or done.exception())


class BlindActor(rolecore.RoleActor):
    """Appends whatever the store has by then."""

    __slots__ = ()

    async def _append(self, turn: list[Message], version: int) -> None:  # noqa: ARG002
        await self._store.append(self.session.session_id, turn, tenant=self.session.tenant)


class StubbornActor(rolecore.RoleActor):
    """Handles a message again when the store fails."""

    __slots__ = ()

    async def _turn(self, message: Message | list[Message]) -> Any:
        try:
            return await super()._turn(message)
        except rolecore.StoreError:
            return await super()._turn(message)


class HurriedActor(rolecore.RoleActor):
    """Begins a message while another is handled."""

    __slots__ = ()

    async def _post(self, message: Message | list[Message]) -> asyncio.Future[Any]:
        answer = await super()._post(message)
        self._next()
        return answer


class PatientActor(rolecore.RoleActor):
    """Knows no deadline while it waits for an answer."""

    __slots__ = ()

    async def send(self, message: Message | list[Message]) -> Any:
        answer = await self._post(message)
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(answer)


class ForgetfulActor(rolecore.RoleActor):
    """Goes on from what it remembers when the handler has failed or the store may have the turn."""

    __slots__ = ()

    async def _load(self) -> None:
        self.session._is_current = True

    async def _append(self, turn: list[Message], version: int) -> None:  # noqa: ARG002
        await self._store.append(self.session.session_id, turn, tenant=self.session.tenant)


class LastFirst(Mailbox):
    """Takes the newest first."""

    __slots__ = ()

    def take(self) -> Letter | None:
        self._letters.reverse()
        letter = super().take()
        self._letters.reverse()
        return letter


class Boundless(Mailbox):
    """Has room for one more than it may."""

    __slots__ = ()

    async def put(self, letter: Letter) -> None:
        self.size = MAILBOX_SIZE + 1
        await super().put(letter)


class Silent(Mailbox):
    """Drops the oldest without a word."""

    __slots__ = ()

    async def put(self, letter: Letter) -> None:
        if len(self._letters) >= self.size:
            self._letters.popleft()
        await super().put(letter)


def with_mailbox(kind: type[Mailbox]) -> type[rolecore.RoleActor]:
    class Actor(rolecore.RoleActor):
        __slots__ = ()

        def _make_mailbox(self, size: int, when_full: str) -> Mailbox:
            return kind(size, when_full)

    return Actor


class Hoarding(rolecore.RoleSession):
    """Keeps its History while it is paused."""

    __slots__ = ()

    def pause(self) -> None:
        self._move(Event.IDLE)


class Undead(rolecore.RoleSession):
    """Is ACTIVE after it has expired."""

    __slots__ = ()

    def touch(self, loop_time: float, wall_time: float) -> None:
        self.state = SessionState.ACTIVE
        super().touch(loop_time, wall_time)


class Tokenless(Line):
    """Makes a new token for each attempt."""

    def make_token(self, before: int | None) -> int:  # noqa: ARG002
        return super().make_token(None)


def supervisor(actor: Any = rolecore.RoleActor, session: Any = rolecore.RoleSession) -> type[rolecore.Supervisor]:
    class Supervisor(rolecore.Supervisor):
        _session_class = session

        def _make_actor(self, session: rolecore.RoleSession) -> rolecore.RoleActor:
            made: rolecore.RoleActor = actor(session, self._handler, **self._options)
            return made

    return Supervisor


@pytest.mark.parametrize(
    ("defects", "found"),
    [
        ({"supervisor_class": supervisor(HastyActor)}, "acknowledged and lost|made of another state"),
        ({"supervisor_class": supervisor(BlindActor)}, "made of another state"),
        ({"supervisor_class": supervisor(StubbornActor)}, "handled twice"),
        ({"supervisor_class": supervisor(HurriedActor)}, "beside another"),
        ({"supervisor_class": supervisor(PatientActor)}, "answered too late"),
        ({"supervisor_class": supervisor(ForgetfulActor)}, "made of another state|doubled|lost"),
        ({"supervisor_class": supervisor(with_mailbox(LastFirst))}, "out of order"),
        ({"supervisor_class": supervisor(with_mailbox(Boundless))}, "more in a mailbox"),
        ({"supervisor_class": supervisor(with_mailbox(Silent))}, "an answer never came"),
        ({"supervisor_class": supervisor(session=Hoarding)}, "paused with a History"),
        ({"supervisor_class": supervisor(session=Undead)}, "from expired to"),
        ({"line_class": Tokenless}, "its sender was told no"),
    ],
    ids=[
        "hasty",
        "blind",
        "stubborn",
        "hurried",
        "patient",
        "forgetful",
        "last first",
        "boundless",
        "silent",
        "hoarding",
        "undead",
        "tokenless",
    ],
)
def test_defects_are_found(defects: dict[str, Any], found: str) -> None:
    kind: Any = type("Broken", (Fleet,), defects)
    for seed in range(40):
        try:
            kind(seed, N_SESSIONS).run()
        except Violation as error:
            assert any(what in str(error) for what in found.split("|")), error  # noqa: PT017
            assert error.__notes__[0].startswith(f"seed {seed}, ")  # noqa: PT017
            return
    pytest.fail("not found in 40 fleets")
