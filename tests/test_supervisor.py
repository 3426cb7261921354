"""The supervisor: starts, finds, pauses, expires, revives and evicts sessions, on virtual time; its other face."""

from __future__ import annotations

import asyncio
import math
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rolecore
from rolecore import deadlines
from rolecore.memory import Memory
from rolecore.sessions.session import SessionState
from rolecore.sessions.threads import SupervisorThread
from rolecore.stores.memory import MemoryStore
from rolecore.testing import message, run_virtual

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rolecore.sessions.actor import Message


async def handler(session: rolecore.RoleSession, message: Message) -> Message:
    if message["content"] == "crash":
        raise ZeroDivisionError
    before = len(session.history)
    await asyncio.sleep(1000 if message["content"] == "slow" else 0.01)
    return {"role": "assistant", "content": f"{message['content']} after {before}"}


class Probe(rolecore.MemoryProbe):
    __slots__ = ("usage",)

    def __init__(self) -> None:
        super().__init__()
        self.usage = 0.5

    def read(self) -> Memory:
        return Memory(int(self.usage * 1000), 1000, None, None, "made up")


def run(test: Callable[[rolecore.Supervisor, MemoryStore], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with MemoryStore() as store, rolecore.Supervisor(handler, store=store, **options) as roles:
            await test(roles, store)

    run_virtual(main(), seed=1)


def state(session: rolecore.RoleSession) -> SessionState:
    return session.state  # mypy would take it for what it was last compared with


def held(roles: rolecore.Supervisor, tenant: str = "") -> list[str]:
    return sorted(name for name, session in roles._tenants[tenant].sessions.items() if session.nbytes)


def test_sessions_are_apart_by_id_and_tenant() -> None:
    async def test(roles: rolecore.Supervisor, store: MemoryStore) -> None:
        ids = [("s", "a"), ("s", "b"), ("t", "a")]
        for name, tenant in ids:
            roles.start("support", session_id=name, tenant=tenant)
        for i, (name, tenant) in enumerate(ids):
            for j in range(i + 1):
                reply = await roles.send(name, message(f"{i}.{j}"), tenant=tenant)
                assert reply["content"] == f"{i}.{j} after {2 * j}"
        for i, (name, tenant) in enumerate(ids):
            assert (
                roles.find(name, tenant=tenant).version == (await store.load(name, tenant=tenant)).version == 2 * i + 2
            )
        assert len(roles) == 3

    run(test)


def test_unknown_session_is_not_found() -> None:
    async def test(roles: rolecore.Supervisor, store: MemoryStore) -> None:
        roles.start("support", session_id="s", tenant="a")
        for name, tenant in (("t", "a"), ("s", "b"), ("s", "")):
            for call in (roles.find, roles.pause, roles.forget):
                with pytest.raises(rolecore.SessionNotFound):
                    call(name, tenant=tenant)
            with pytest.raises(rolecore.SessionNotFound):
                await roles.send(name, message("a"), tenant=tenant)
            with pytest.raises(rolecore.SessionNotFound):
                await roles.revive("support", name, tenant=tenant)
        assert await store.list(tenant="a") == []

    run(test)


def test_start_of_one_that_is_held_is_refused() -> None:
    async def test(roles: rolecore.Supervisor, store: MemoryStore) -> None:  # noqa: ARG001
        roles.start("support", session_id="s")
        with pytest.raises(rolecore.SessionError, match="held already"):
            roles.start("support", session_id="s")

    run(test)


def test_idle_session_pauses_when_its_time_is_over_and_wakes_with_its_context() -> None:
    async def test(roles: rolecore.Supervisor, store: MemoryStore) -> None:  # noqa: ARG001
        session = roles.start("support", timeout_s=300)
        assert state(session) is SessionState.INIT
        await asyncio.sleep(1000)
        assert state(session) is SessionState.INIT
        for _ in range(3):
            await roles.send(session.session_id, message("a"))
            await asyncio.sleep(299)
            assert state(session) is SessionState.ACTIVE
        await asyncio.sleep(2)
        assert state(session) is SessionState.PAUSED
        assert session._history is None
        reply = await roles.send(session.session_id, message("b"))
        assert reply["content"] == "b after 6"
        assert state(session) is SessionState.ACTIVE

    run(test)


def naive_states(timeout: int, heartbeat: int | None, happens: dict[int, str], end: int) -> list[str]:
    """Return the state at each second and a quarter; things happen at half seconds, timers are due at whole ones."""
    seen, state, missed, used_at = [], "init", 0, 0
    is_beaten = False
    for second in range(1, end):
        if heartbeat and second % heartbeat == 0:
            missed = 0 if is_beaten else missed + 1
            is_beaten = False
            state = "expired" if missed == 3 else state
        if state == "active" and second - used_at > timeout:
            state = "paused"
        seen.append(state)
        what = happens.get(second) if state != "expired" else None
        is_beaten |= what is not None
        if what == "message":
            state, used_at = "active", second
    return seen


@given(
    timeout=st.integers(1, 12),
    heartbeat=st.none() | st.integers(1, 12),
    events=st.lists(st.tuples(st.integers(1, 9), st.sampled_from(["message", "heartbeat"])), max_size=12),
)
def test_states_over_time_are_those_of_a_naive_model(
    timeout: int, heartbeat: int | None, events: list[tuple[int, str]]
) -> None:
    happens: dict[int, str] = {}
    for gap, what in events:
        happens[max(happens, default=0) + gap] = what
    end = max(happens, default=0) + 4 * max(timeout, heartbeat or 0) + 2

    async def test(roles: rolecore.Supervisor, store: MemoryStore) -> None:  # noqa: ARG001
        session = roles.start("support", session_id="s", timeout_s=timeout, heartbeat_s=heartbeat)
        seen = []
        loop = asyncio.get_running_loop()
        for second in range(1, end):
            await asyncio.sleep(second + 0.25 - loop.time())
            seen.append(str(session.state))
            await asyncio.sleep(second + 0.5 - loop.time())
            with suppress(rolecore.SessionExpired):
                if happens.get(second) == "message":
                    await roles.send("s", message("a"))
                elif second in happens:
                    session.heartbeat()
        assert seen == naive_states(timeout, heartbeat, happens, end)

    run(test, keep_expired_s=1000)


def test_session_at_work_is_neither_paused_nor_expired() -> None:
    async def test(roles: rolecore.Supervisor, store: MemoryStore) -> None:  # noqa: ARG001
        session = roles.start("support", timeout_s=10, heartbeat_s=10)
        task = asyncio.ensure_future(roles.send(session.session_id, message("slow")))
        await asyncio.sleep(500)
        assert state(session) is SessionState.ACTIVE
        assert not roles.pause(session.session_id)
        with pytest.raises(rolecore.SessionError, match="at work"):
            roles.forget(session.session_id)
        assert (await task)["content"] == "slow after 0"
        await asyncio.sleep(20)
        assert state(session) is SessionState.PAUSED
        await asyncio.sleep(30)
        assert state(session) is SessionState.EXPIRED

    run(test)


def test_idle_sessions_have_no_task_and_no_timer_of_their_own() -> None:
    async def test(roles: rolecore.Supervisor, store: MemoryStore) -> None:  # noqa: ARG001
        for i in range(1000):
            roles.start("support", session_id=str(i), timeout_s=10)
            await roles.send(str(i), message("a"))
        loop: Any = asyncio.get_running_loop()
        assert len(asyncio.all_tasks()) == 1
        assert len([timer for timer in loop._scheduled if not timer.cancelled()]) == 1
        assert roles._actors == {}
        await asyncio.sleep(20)
        assert {session.state for session in roles._tenants[""].sessions.values()} == {SessionState.PAUSED}
        assert [timer for timer in loop._scheduled if not timer.cancelled()] == []
        assert roles._due == []

    run(test)


def test_sweep_lets_others_run_between_its_slices() -> None:
    slices = []

    class Counting(rolecore.Supervisor):
        def _sweep(self) -> None:
            before = len(self._due)
            super()._sweep()
            slices.append(before - len(self._due))

    async def main() -> None:
        async with MemoryStore() as store, Counting(handler, store=store) as roles:
            for i in range(1000):
                roles._look_at(roles.start("support", session_id=str(i), timeout_s=10), 10.0)
            await asyncio.sleep(11)

    run_virtual(main(), seed=1)
    assert slices == [256, 256, 256, 232]


def test_three_missed_heartbeats_expire_and_free() -> None:
    async def test(roles: rolecore.Supervisor, store: MemoryStore) -> None:
        session = roles.start("support", session_id="s", heartbeat_s=10)
        silent = roles.start("support", session_id="silent", heartbeat_s=10)
        await roles.send("s", message("a"))
        for _ in range(20):
            await asyncio.sleep(9)
            session.heartbeat()
        assert state(session) is SessionState.ACTIVE
        assert state(silent) is SessionState.EXPIRED
        await asyncio.sleep(50)
        assert state(session) is SessionState.EXPIRED
        assert held(roles) == []
        assert roles._tenants[""].nbytes == 0
        with pytest.raises(rolecore.SessionExpired):
            await roles.send("s", message("b"))
        with pytest.raises(rolecore.SessionExpired):
            session.heartbeat()
        assert (await store.load("s")).version == 2
        assert roles.find("s") is session

    run(test)


def test_expired_session_is_taken_up_again_by_its_id() -> None:
    async def test(roles: rolecore.Supervisor, store: MemoryStore) -> None:  # noqa: ARG001
        roles.start("support", session_id="s", heartbeat_s=10)
        await roles.send("s", message("a"))
        await asyncio.sleep(100)
        roles.start("support", session_id="s")
        assert (await roles.send("s", message("b")))["content"] == "b after 2"
        roles.forget("s")
        await roles.revive("support", "s")
        assert (await roles.send("s", message("c")))["content"] == "c after 4"

    run(test)


def test_expired_session_is_forgotten_in_the_end() -> None:
    async def test(roles: rolecore.Supervisor, store: MemoryStore) -> None:  # noqa: ARG001
        roles.start("support", session_id="s", heartbeat_s=10)
        await asyncio.sleep(31)
        assert len(roles) == 1
        await asyncio.sleep(100)
        assert len(roles) == 0
        assert roles._tenants == {}
        with pytest.raises(rolecore.SessionNotFound):
            await roles.send("s", message("b"))

    run(test, keep_expired_s=100)


def test_session_expired_by_hand_is_no_longer_counted() -> None:
    async def test(roles: rolecore.Supervisor, store: MemoryStore) -> None:  # noqa: ARG001
        for name in ("s", "t"):
            roles.start("support", session_id=name, timeout_s=10)
            await roles.send(name, message("a"))
        roles.find("s").expire()
        await asyncio.sleep(20)
        assert len(roles) == 1
        assert roles._tenants[""].nbytes == roles.find("t").nbytes

    run(test)


def test_forgotten_session_tells_whoever_still_holds_it() -> None:
    async def test(roles: rolecore.Supervisor, store: MemoryStore) -> None:
        session = roles.start("support", session_id="s")
        await roles.send("s", message("a"))
        roles.forget("s")
        assert len(roles) == 0
        with pytest.raises(rolecore.SessionExpired):
            session.heartbeat()
        assert (await store.load("s")).version == 2

    run(test)


def test_new_process_revives_from_the_store() -> None:
    async def main() -> None:
        async with MemoryStore() as store:
            async with rolecore.Supervisor(handler, store=store) as roles:
                roles.start("support", session_id="s", tenant="acme")
                await roles.send("s", message("a"), tenant="acme")
            async with rolecore.Supervisor(handler, store=store) as roles:
                first, second = await asyncio.gather(
                    *(roles.revive("support", "s", tenant="acme", timeout_s=7) for _ in range(2))
                )
                assert first is second is await roles.revive("support", "s", tenant="acme")
                assert (first.version, first.timeout_s, first.state) == (2, 7, SessionState.INIT)
                assert (await roles.send("s", message("b"), tenant="acme"))["content"] == "b after 2"

    run_virtual(main(), seed=1)


def test_pause_by_hand() -> None:
    async def test(roles: rolecore.Supervisor, store: MemoryStore) -> None:  # noqa: ARG001
        roles.start("support", session_id="s")
        assert not roles.pause("s")  # it is in INIT
        await roles.send("s", message("a"))
        assert roles.pause("s")
        assert roles._tenants[""].nbytes == roles.find("s").nbytes > 0

    run(test)


def test_tenant_over_its_quotas_watermark_gives_way_longest_unused_first() -> None:
    async def test(roles: rolecore.Supervisor, store: MemoryStore) -> None:  # noqa: ARG001
        for tenant in ("a", "b"):
            for i in range(4):
                roles.start("support", session_id=str(i), tenant=tenant)
        await roles.send("0", message("x" * 100), tenant="b")
        for i in (0, 1, 2):
            await roles.send(str(i), message("x" * 1000), tenant="a")
        assert held(roles, "a") == ["0", "1", "2"]
        await roles.send("0", message("y"), tenant="a")
        await roles.send("3", message("x" * 1000), tenant="a")
        assert held(roles, "a") == ["0", "2", "3"]
        assert roles._tenants["a"].nbytes <= 8000
        assert held(roles, "b") == ["0"]
        gone = roles.find("1", tenant="a")
        assert (gone.state, gone.is_loaded) == (SessionState.PAUSED, False)
        assert (await roles.send("1", message("again"), tenant="a"))["content"] == "again after 2"

    run(test, tenant_quota_bytes=10_000)


def test_process_over_its_watermark_takes_from_those_who_hold_most() -> None:
    probe = Probe()

    async def test(roles: rolecore.Supervisor, store: MemoryStore) -> None:  # noqa: ARG001
        roles.start("support", session_id="small", tenant="b")
        await roles.send("small", message("x"), tenant="b")
        for i in range(20):
            roles.start("support", session_id=f"{i:02}", tenant="a")
            await roles.send(f"{i:02}", message("x" * 1000), tenant="a")
        roles.pause("00", tenant="a")
        total = sum(there.nbytes for there in roles._tenants.values())
        probe.usage = 0.9
        await asyncio.sleep(1)
        await roles.send("small", message("y"), tenant="b")
        assert held(roles, "b") == ["small"]
        assert held(roles, "a") == [f"{i:02}" for i in range(3, 20)]
        assert sum(there.nbytes for there in roles._tenants.values()) <= total * 7 / 8 + 100
        for _ in range(8):
            await asyncio.sleep(1)
            await roles.send("small", message("y"), tenant="b")
        assert held(roles, "b") == ["small"]
        assert 1 <= len(held(roles, "a")) <= 9
        probe.usage = 0.5
        for i in range(20):
            assert (await roles.send(f"{i:02}", message("z"), tenant="a"))["content"] == "z after 2"

    run(test, probe=probe)


def test_failed_actor_is_kept_until_its_back_off_is_over() -> None:
    async def test(roles: rolecore.Supervisor, store: MemoryStore) -> None:  # noqa: ARG001
        roles.start("support", session_id="s")
        with pytest.raises(ZeroDivisionError):
            await roles.send("s", message("crash"))
        assert (await roles.send("s", message("a")))["content"] == "a after 0"
        assert asyncio.get_running_loop().time() >= 5
        with pytest.raises(ZeroDivisionError):
            await roles.send("s", message("crash"))
        await asyncio.sleep(11)
        assert roles._actors == {}

    run(test, backoff_s=10)


def test_close_drains_and_refuses() -> None:
    async def test(roles: rolecore.Supervisor, store: MemoryStore) -> None:
        for name in ("s", "t"):
            roles.start("support", session_id=name)
        answers = [await roles.post(name, message(str(i))) for i in range(3) for name in ("s", "t")]
        await roles.close()
        assert all(answer.done() for answer in answers)
        assert (await store.load("s")).version == (await store.load("t")).version == 6
        with pytest.raises(rolecore.ActorStopped):
            await roles.send("s", message("late"))
        with pytest.raises(rolecore.ActorStopped):
            roles.start("support")
        await roles.close()

    run(test)


def test_close_at_its_deadline_tells_who_waits() -> None:
    async def test(roles: rolecore.Supervisor, store: MemoryStore) -> None:  # noqa: ARG001
        roles.start("support", session_id="s")
        answers = [await roles.post("s", message("slow")) for _ in range(2)]
        with rolecore.deadline(5):
            await roles.close()
        assert [type(item) for item in await asyncio.gather(*answers, return_exceptions=True)] == [
            rolecore.ActorStopped
        ] * 2
        assert asyncio.get_running_loop().time() == 5

    run(test)


def test_deadline_of_a_sender_does_not_leak_into_timers() -> None:
    async def test(roles: rolecore.Supervisor, store: MemoryStore) -> None:  # noqa: ARG001
        session = roles.start("support", timeout_s=10)
        with rolecore.deadline(5):
            await roles.send(session.session_id, message("a"))
        await asyncio.sleep(20)
        assert state(session) is SessionState.PAUSED

    run(test)


def test_wall_clock_that_steps_moves_no_timer() -> None:
    wall = [1_700_000_000.0]

    async def test(roles: rolecore.Supervisor, store: MemoryStore) -> None:  # noqa: ARG001
        session = roles.start("support", timeout_s=300, heartbeat_s=100)
        for step in (10**6, -(10**6), -(10**9)):
            wall[0] += step
            await roles.send(session.session_id, message("a"))
            await asyncio.sleep(200)
            assert (session.state, session.last_active) == (SessionState.ACTIVE, wall[0])

    run(test, clock=lambda: wall[0])


def test_bad_options_are_refused() -> None:
    bad: list[dict[str, Any]] = [
        {"mailbox_size": 0},
        {"when_full": "no"},
        {"backoff_s": math.inf},
        {"tenant_quota_bytes": 0},
        {"keep_expired_s": -1},
    ]
    for options in bad:
        with pytest.raises(rolecore.ArgumentError):
            rolecore.Supervisor(handler, store=MemoryStore(), **options)


def test_synchronous_face() -> None:
    with SupervisorThread(handler, store=rolecore.open_store("memory://")) as roles:
        session = roles.start("support", session_id="s")
        assert roles.send("s", message("a"))["content"] == "a after 0"
        answers: list[str] = []
        senders = [
            threading.Thread(target=lambda: answers.append(roles.send("s", message("b"))["content"])) for _ in range(8)
        ]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        assert sorted(answers) == sorted(f"b after {2 + 2 * i}" for i in range(8))
        assert session.version == 18
        with rolecore.deadline(0.05), pytest.raises(rolecore.DeadlineExceeded):
            roles.send("s", message("slow"))
        with pytest.raises(rolecore.SessionNotFound):
            roles.send("t", message("a"))
        roles.call(lambda supervisor: supervisor.forget("s"))
        assert roles.revive("support", "s").version == 18
    with pytest.raises(rolecore.SessionError):
        roles.send("s", message("late"))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_synchronous_face_whose_loop_has_ended_is_stopped() -> None:
    async def leave(session: rolecore.RoleSession, message: Message) -> Message:  # noqa: ARG001
        raise SystemExit(3)

    with SupervisorThread(leave, store=rolecore.open_store("memory://")) as roles:
        roles.start("support", session_id="s")
        with pytest.raises(rolecore.ActorStopped):
            roles.send("s", message("a"))
        roles._thread.join()
        with pytest.raises(rolecore.ActorStopped):
            roles.start("support")


def test_synchronous_face_takes_the_callers_context() -> None:
    seen = []

    async def notes(session: rolecore.RoleSession, message: Message) -> Message:  # noqa: ARG001
        seen.append((rolecore.TRACE_ID.get(), deadlines.remaining() is not None))
        return message

    with SupervisorThread(notes, store=rolecore.open_store("memory://")) as roles:
        roles.start("support", session_id="s")
        with rolecore.TRACE_ID.use("t1"), rolecore.deadline(10):
            roles.send("s", message("a"))
        roles.send("s", message("a"))
    assert seen == [("t1", True), (None, False)]
