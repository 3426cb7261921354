"""Subscribers: every event at least once and in order, whatever fails, and nobody waits for another."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from test_role_directory import TENANT, Store, granting, run

import rolecore
from rolecore.roles.log import SEGMENT, START, Place, RoleLog

if TYPE_CHECKING:
    from rolecore.roles.events import RoleEvent


class Heard:
    """A handler that notes what it hears, and fails where it is told to."""

    def __init__(self, fails_at: dict[int, int] | None = None) -> None:
        self.sequences: list[int] = []
        self.fails_at = fails_at or {}

    async def __call__(self, event: RoleEvent) -> None:
        await asyncio.sleep(0)
        if self.fails_at.get(event.sequence, 0) > 0:
            self.fails_at[event.sequence] -= 1
            msg = "the gateway is away"
            raise OSError(msg)
        self.sequences.append(event.sequence)


async def fill(roles: rolecore.RoleDirectory, n: int, first: int = 0) -> None:
    if "clerk" not in roles:
        await roles.change(lambda draft: draft.create("clerk"))
    for i in range(first, first + n):
        await roles.change(granting("clerk", f"p{i}"))


def test_subscriber_hears_what_was_and_what_comes_in_order() -> None:
    async def test(store: Store) -> None:
        async with rolecore.RoleDirectory(store) as roles:
            await fill(roles, 3)
            heard = Heard()
            plain: list[RoleEvent] = []
            roles.subscribe("audit", heard)
            roles.subscribe("gateway", plain.append)
            await fill(roles, 3, first=3)
            await rolecore.RoleDirectory(store).change(granting("clerk", "elsewhere"))
            await asyncio.sleep(2)
            assert heard.sequences == list(range(1, 9))
            assert [event.sequence for event in plain] == heard.sequences

    run(test)


def test_subscriber_goes_on_where_it_was() -> None:
    async def test(store: Store) -> None:
        heard = Heard()
        for i in range(5):
            async with rolecore.RoleDirectory(store) as roles:
                roles.subscribe("audit", heard)
                await fill(roles, SEGMENT // 2, first=i * 100)
                await asyncio.sleep(1)
        assert heard.sequences == list(range(1, 5 * SEGMENT // 2 + 2))

    run(test)


def test_failing_handler_is_tried_again_in_order_and_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)

    async def test(store: Store) -> None:
        async with rolecore.RoleDirectory(store) as roles:
            failing, dead, well = Heard({3: 4, 5: 1}), Heard({2: 10**9}), Heard()
            subscribers = [roles.subscribe(name, it) for name, it in (("f", failing), ("d", dead), ("w", well))]
            await fill(roles, 6)
            await asyncio.sleep(0.05)
            assert well.sequences == list(range(1, 8))
            assert failing.sequences == [1, 2]
            await asyncio.sleep(10)
            assert failing.sequences == list(range(1, 8))
            assert dead.sequences == [1]
            assert [subscriber.place.offset for subscriber in subscribers] == [7, 1, 7]
            assert subscribers[0].n_failures == 0
            assert 5 < subscribers[1].n_failures < 12, "waits grow"
            await asyncio.sleep(3600)
            assert subscribers[1].n_failures < 300

    run(test)
    assert "the gateway is away" not in caplog.text


def test_handler_that_awaits_a_cancelled_task_is_tried_again() -> None:
    async def test(store: Store) -> None:
        sequences = []

        async def handle(event: RoleEvent) -> None:
            sequences.append(event.sequence)
            if len(sequences) == 1:
                task = asyncio.create_task(asyncio.sleep(5))
                task.cancel()
                await task

        async with rolecore.RoleDirectory(store) as roles:
            await fill(roles, 1)
            roles.subscribe("audit", handle)
            await asyncio.sleep(5)
            assert sequences == [1, 1, 2]

    run(test)


def test_slow_handler_holds_up_neither_writers_nor_others() -> None:
    async def test(store: Store) -> None:
        async with rolecore.RoleDirectory(store) as roles:
            well = Heard()
            loop = asyncio.get_running_loop()

            async def slow(event: RoleEvent) -> None:  # noqa: ARG001  a handler's
                await asyncio.sleep(1e6)

            roles.subscribe("slow", slow)
            roles.subscribe("well", well)
            await asyncio.sleep(1)
            before = loop.time()
            await fill(roles, 3 * SEGMENT)
            assert loop.time() == before
            await asyncio.sleep(0.1)
            assert len(well.sequences) == 3 * SEGMENT + 1

    run(test)


def test_event_of_a_change_that_was_handled_is_not_handed_again_when_a_later_one_fails() -> None:
    async def test(store: Store) -> None:
        async with rolecore.RoleDirectory(store) as roles:
            heard = Heard({2: 2})
            roles.subscribe("audit", heard)
            await roles.change(lambda draft: draft.create("clerk").grant_permission("read", by=rolecore.Principal("a")))
            await asyncio.sleep(10)
            assert heard.sequences == [1, 2]

    run(test)


def test_event_that_was_handled_and_not_noted_comes_again_after_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(store: Store) -> None:
        heard = Heard()
        async with rolecore.RoleDirectory(store) as roles:
            await fill(roles, 4)

            async def crash(*_: Any) -> None:
                await asyncio.sleep(1e9)  # the process is gone before it can note anything

            monkeypatch.setattr(RoleLog, "note_cursor", crash)
            roles.subscribe("audit", heard)
            await asyncio.sleep(1)
            assert heard.sequences == [1, 2, 3, 4, 5]
            monkeypatch.undo()
        async with rolecore.RoleDirectory(store) as roles:
            roles.subscribe("audit", heard)
            await asyncio.sleep(1)
            assert heard.sequences == [1, 2, 3, 4, 5] * 2

    run(test)


def test_note_that_fails_hands_nothing_over_again() -> None:
    async def test(store: Store) -> None:
        heard = Heard()
        async with rolecore.RoleDirectory(store) as roles:
            await fill(roles, 4)
            store.lost_replies = 3
            subscriber = roles.subscribe("audit", heard)
            await asyncio.sleep(10)
            assert heard.sequences == [1, 2, 3, 4, 5]
            assert subscriber.n_failures == 0
        async with rolecore.RoleDirectory(store) as roles:
            roles.subscribe("audit", heard)
            await asyncio.sleep(1)
            assert heard.sequences == [1, 2, 3, 4, 5]

    run(test)


def test_cursor_takes_bounded_room() -> None:
    async def test(store: Store) -> None:
        async with rolecore.RoleDirectory(store) as roles:
            roles.subscribe("audit", Heard())
            for i in range(6 * SEGMENT):
                await fill(roles, 1, first=i)
                await asyncio.sleep(0.01)
            notes = [await store.load(name, tenant=TENANT) for name in ("cursor-0-audit", "cursor-1-audit")]
            assert all(record.version <= SEGMENT for record in notes)
            newest = max((note["segment"], note["offset"]) for record in notes for note in record.messages)
            assert newest == divmod(roles.position, SEGMENT)

    run(test)


@pytest.mark.parametrize("crash_after", range(8))
def test_cursor_is_lost_by_no_crash(crash_after: int) -> None:
    class Crash(Exception):  # noqa: N818
        pass

    class Crashing(Store):
        n_left = crash_after

        async def delete(self, session_id: str, *, tenant: str = "") -> None:
            self.step()
            await super().delete(session_id, tenant=tenant)

        async def append(self, *args: Any, **options: Any) -> int:
            self.step()
            return await super().append(*args, **options)

        def step(self) -> None:
            self.n_left -= 1
            if self.n_left < 0:
                raise Crash

    async def test(_: Store) -> None:
        store = Crashing()
        log = RoleLog(store, "")
        noted = START
        try:
            for place in (Place(0, 1), Place(0, 63), Place(1, 0), Place(1, 5), Place(2, 0), Place(3, 0)):
                await log.note_cursor("audit", noted, place)
                noted = place
        except Crash:
            assert await log.read_cursor("audit") == noted
        else:
            pytest.fail("it made fewer steps")

    run(test)


@pytest.mark.parametrize("note", [{}, {"segment": 0}, {"segment": 0, "offset": "1"}, {"segment": [], "offset": 1}])
def test_damaged_cursor_is_refused(note: dict[str, Any]) -> None:
    async def test(store: Store) -> None:
        await store.append("cursor-0-audit", [note], tenant=TENANT)
        with pytest.raises(rolecore.StoreError, match="what a subscriber has noted is damaged"):
            await RoleLog(store, "").read_cursor("audit")

    run(test)


@pytest.mark.parametrize("name", ["", "x" * 600, "\0", None, 3])
def test_subscriber_of_a_bad_name_is_refused(name: Any) -> None:
    async def test(store: Store) -> None:
        async with rolecore.RoleDirectory(store) as roles:
            with pytest.raises(rolecore.ArgumentError):
                roles.subscribe(name, print)

    run(test)


def test_what_cannot_be_called_is_refused_before_it_is_called() -> None:
    wrong: Any = None

    async def test(store: Store) -> None:
        async with rolecore.RoleDirectory(store) as roles:
            with pytest.raises(rolecore.ArgumentError, match="handler is of type NoneType; it must be a function"):
                roles.subscribe("audit", wrong)
            roles.subscribe("audit", print)  # the name was not taken
            with pytest.raises(rolecore.ArgumentError, match="decide is of type NoneType; it must be a function"):
                await roles.change(wrong)

    run(test)


def test_subscriber_needs_an_open_directory_and_a_name_of_its_own() -> None:
    async def test(store: Store) -> None:
        roles = rolecore.RoleDirectory(store)
        with pytest.raises(rolecore.StoreError, match="not open"):
            roles.subscribe("audit", print)
        async with roles:
            roles.subscribe("audit", Heard())
            with pytest.raises(rolecore.ArgumentError, match="there is a subscriber 'audit' already"):
                roles.subscribe("audit", Heard())
        with pytest.raises(rolecore.StoreError, match="not open"):
            roles.subscribe("other", print)

    run(test)
