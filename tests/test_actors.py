"""One actor: order, back-pressure, cancellation, what is acknowledged and what is not, stopping; on virtual time."""

from __future__ import annotations

import asyncio
import gc
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rolecore
from rolecore import deadlines
from rolecore.sessions.mailbox import Letter
from rolecore.sessions.session import RoleSession, SessionState
from rolecore.stores.memory import MemoryStore
from rolecore.testing import VirtualLoop, message, run_virtual

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rolecore.sessions.actor import Message
    from rolecore.stores.protocol import SessionRecord


class Store(MemoryStore):
    """Fails once, in the way that is set, and counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.fault: str | None = None
        self.loads = 0

    async def append(self, session_id: str, messages: Any, **options: Any) -> int:
        fault, self.fault = self.fault, None
        if fault == "down":
            msg = "out of reach"
            raise rolecore.StoreError(msg)
        version = await super().append(session_id, messages, **options)
        if fault == "lost reply":
            msg = "the line broke off"
            raise rolecore.StoreError(msg)
        if fault == "stall":
            async with deadlines.within("append"):
                await asyncio.sleep(10**6)
        return version

    async def load(self, session_id: str, **options: Any) -> SessionRecord:
        self.loads += 1
        if self.fault == "load":
            self.fault = None
            msg = "out of reach"
            raise rolecore.StoreError(msg)
        return await super().load(session_id, **options)


class Desk:
    """A handler that answers after a second what it was told and how many messages it saw; it notes what it handled."""

    def __init__(self) -> None:
        self.handled: list[str] = []
        self.at_once = 0

    async def __call__(self, session: RoleSession, message: Message) -> Message:
        text = message["content"]
        self.handled.append(text)
        self.at_once += 1
        assert self.at_once == 1
        try:
            if text == "crash":
                raise ZeroDivisionError
            if text == "crash after harm":
                session.history.append({"role": "user", "content": "harm"})
                raise ZeroDivisionError
            if text == "cancel":
                raise asyncio.CancelledError
            if text == "refuse":
                raise rolecore.AdapterError
            if text == "odd reply":
                return {"role": "assistant", "content": {1, 2}}
            before = len(session.messages)
            await asyncio.sleep(1000 if text == "slow" else 1)
        finally:
            self.at_once -= 1
        return answer(text, before)


def answer(text: str, before: int) -> Message:
    return message(f"{text} after {before}", "assistant")


def texts(messages: list[Message]) -> list[str]:
    return [item["content"] for item in messages]


def run(test: Callable[[rolecore.RoleActor, Desk, Store], Awaitable[None]], seed: int = 1, **options: Any) -> None:
    async def main() -> None:
        desk = Desk()
        async with Store() as store:
            session = RoleSession("support", session_id="s", tenant="acme")
            actor = rolecore.RoleActor(session, desk, store=store, rng=Random(seed), **options)  # noqa: S311
            await test(actor, desk, store)
            if store.fault is None and session.is_loaded:
                try:
                    stored = (await store.load("s", tenant="acme")).messages
                except rolecore.SessionNotFound:
                    stored = []
                assert session.messages == stored

    run_virtual(main(), seed=seed)


def test_answer_comes_when_the_store_has_the_turn() -> None:
    async def test(actor: rolecore.RoleActor, desk: Desk, store: Store) -> None:
        assert await actor.send(message("a")) == answer("a", 0)
        assert texts((await store.load("s", tenant="acme")).messages) == ["a", "a after 0"]
        assert await actor.send(message("b")) == answer("b", 2)
        assert actor.session.version == 4
        assert actor.session.state is SessionState.ACTIVE
        assert not actor.is_busy
        assert desk.handled == ["a", "b"]

    run(test)


def test_reply_may_be_a_list_of_messages() -> None:
    async def handler(session: RoleSession, message: Message) -> list[Message]:
        calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
        return [
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "c", "content": "4"},
            {"role": "assistant", "content": f"{message['content']}: {session.version}"},
        ]

    async def main() -> None:
        async with Store() as store:
            actor = rolecore.RoleActor(RoleSession("support", session_id="s"), handler, store=store)
            reply = await actor.send(message("a"))
            assert reply[-1]["content"] == "a: 0"
            assert (await store.load("s")).messages == [message("a"), *reply] == actor.session.messages

    run_virtual(main(), seed=1)


@pytest.mark.parametrize("seed", range(10))
def test_messages_are_handled_in_the_order_they_were_posted_in(seed: int) -> None:
    async def test(actor: rolecore.RoleActor, desk: Desk, store: Store) -> None:
        answers = [await actor.post(message(str(i))) for i in range(20)]
        assert texts([await item for item in answers]) == [f"{i} after {2 * i}" for i in range(20)]
        assert desk.handled == [str(i) for i in range(20)]
        assert (await store.load("s", tenant="acme")).version == 40

    run(test, seed=seed, mailbox_size=3)


def test_handler_runs_in_its_senders_context() -> None:
    seen = []

    async def handler(session: RoleSession, message: Message) -> Message:
        seen.append((rolecore.TRACE_ID.get(), deadlines.remaining()))
        await asyncio.sleep(1)
        return {"role": "assistant", "content": session.session_id + message["content"]}

    async def main() -> None:
        async with Store() as store:
            actor = rolecore.RoleActor(RoleSession("support", session_id="s"), handler, store=store)
            with rolecore.TRACE_ID.use("t1"), rolecore.deadline(60):
                first = await actor.post(message("a"))
            with rolecore.TRACE_ID.use("t2"):
                second = await actor.post(message("b"))
            await asyncio.gather(first, second)
        assert seen == [("t1", 60), ("t2", None)]

    run_virtual(main(), seed=1)


def test_full_mailbox_rejects() -> None:
    async def test(actor: rolecore.RoleActor, desk: Desk, store: Store) -> None:  # noqa: ARG001
        answers = [await actor.post(message(str(i))) for i in range(3)]  # the first is being handled
        with pytest.raises(rolecore.MailboxFull, match="mailbox_size is 2"):
            await actor.send(message("x"))
        answers[1].cancel()  # makes room
        answers.append(await actor.post(message("y")))
        with pytest.raises(rolecore.MailboxFull):
            await actor.post(message("z"))
        await asyncio.gather(*answers, return_exceptions=True)
        assert desk.handled == ["0", "2", "y"]

    run(test, mailbox_size=2, when_full="reject")


def test_full_mailbox_drops_the_oldest_and_tells_its_sender() -> None:
    async def test(actor: rolecore.RoleActor, desk: Desk, store: Store) -> None:  # noqa: ARG001
        answers = [await actor.post(message(str(i))) for i in range(5)]
        results = await asyncio.gather(*answers, return_exceptions=True)
        assert [type(result) for result in results] == [
            dict,
            rolecore.MessageDropped,
            rolecore.MessageDropped,
            dict,
            dict,
        ]
        assert desk.handled == ["0", "3", "4"]

    run(test, mailbox_size=2, when_full="drop_oldest")


def test_full_mailbox_lets_senders_wait_in_turn() -> None:
    async def test(actor: rolecore.RoleActor, desk: Desk, store: Store) -> None:  # noqa: ARG001
        async def send(i: int) -> None:
            await asyncio.sleep(i / 100)
            await actor.send(message(str(i)))
            assert len(actor._mailbox) <= 2

        async def give_up() -> None:
            with rolecore.deadline(0.5), pytest.raises(rolecore.DeadlineExceeded):
                await actor.post(message("gone"))

        await asyncio.gather(*(send(i) for i in range(10)), send_later(give_up))
        assert desk.handled == [str(i) for i in range(10)]

    run(test, mailbox_size=2)


async def send_later(call: Callable[[], Awaitable[None]]) -> None:
    await asyncio.sleep(0.055)
    await call()


class Model:
    """What a mailbox should do, by plain lists."""

    def __init__(self, size: int, when_full: str) -> None:
        self.size, self.when_full = size, when_full
        self.waiting: list[int] = []
        self.begun: list[int] = []
        self.errors: dict[int, type[Exception]] = {}

    def post(self, number: int) -> None:
        self.waiting.append(number)
        if len(self.begun) == self.n_done:
            self.begin()
        elif len(self.waiting) > self.size and self.when_full != "wait":
            is_dropping = self.when_full == "drop_oldest"
            loser = self.waiting.pop(0 if is_dropping else -1)
            self.errors[loser] = rolecore.MessageDropped if is_dropping else rolecore.MailboxFull

    n_done = 0

    def begin(self) -> None:
        if self.waiting:
            self.begun.append(self.waiting.pop(0))

    def cancel(self, number: int) -> None:
        if number in self.waiting:
            self.waiting.remove(number)

    def tick(self) -> None:
        if self.n_done < len(self.begun):
            self.n_done += 1
            self.begin()


@given(
    when_full=st.sampled_from(["wait", "reject", "drop_oldest"]),
    size=st.integers(1, 3),
    steps=st.lists(st.tuples(st.sampled_from(["post", "post", "cancel", "tick"]), st.integers(0, 5)), max_size=25),
)
def test_mailbox_is_a_bounded_queue(when_full: str, size: int, steps: list[tuple[str, int]]) -> None:
    model = Model(size, when_full)

    async def test(actor: rolecore.RoleActor, desk: Desk, store: Store) -> None:  # noqa: ARG001
        tasks: list[asyncio.Task[Any]] = []
        for kind, i in steps:
            if kind == "post":
                model.post(len(tasks))
                tasks.append(asyncio.ensure_future(actor.send(message(str(len(tasks))))))
            elif kind == "tick":
                model.tick()
            elif i < len(tasks):
                model.cancel(i)
                tasks[i].cancel()
            # A handler takes 1 s: whatever else happens, it happens within far less.
            await asyncio.sleep(1 if kind == "tick" else 0.001)
            assert desk.handled == [str(number) for number in model.begun]
            assert len(actor._mailbox) <= size
        results = await asyncio.gather(*tasks, return_exceptions=True)
        errors = {i: type(item) for i, item in enumerate(results) if isinstance(item, Exception)}
        assert errors == model.errors
        assert desk.handled == [str(number) for number in model.begun + model.waiting]

    run(test, mailbox_size=size, when_full=when_full)


def test_senders_that_gave_up_waiting_for_room_leave_nothing_behind() -> None:
    async def test(actor: rolecore.RoleActor, desk: Desk, store: Store) -> None:  # noqa: ARG001
        kept = [await actor.post(message(text)) for text in ("begun", "waits")]
        for _ in range(20):
            with rolecore.deadline(0.01), pytest.raises(rolecore.DeadlineExceeded):
                await actor.send(message("gives up"))
        gc.collect()
        letters = [item for item in gc.get_objects() if isinstance(item, Letter)]
        # The last one is still in its error's traceback.
        assert sum(letter.message == message("gives up") for letter in letters) <= 1
        assert desk.handled == ["begun"]
        await asyncio.gather(*kept)

    run(test, mailbox_size=1)


def test_cancelled_before_it_is_begun_is_never_handled() -> None:
    async def test(actor: rolecore.RoleActor, desk: Desk, store: Store) -> None:  # noqa: ARG001
        first = await actor.post(message("first"))
        task = asyncio.ensure_future(actor.send(message("gone")))
        await asyncio.sleep(0.5)
        task.cancel()
        await first
        await asyncio.sleep(5)
        assert task.cancelled()
        assert desk.handled == ["first"]

    run(test)


def test_cancelled_after_it_is_begun_is_stored() -> None:
    async def test(actor: rolecore.RoleActor, desk: Desk, store: Store) -> None:  # noqa: ARG001
        task = asyncio.ensure_future(actor.send(message("a")))
        await asyncio.sleep(0.5)
        task.cancel()
        assert await actor.send(message("b")) == answer("b", 2)
        assert task.cancelled()

    run(test)


def test_deadline_cancels_the_handler_and_stores_nothing() -> None:
    async def test(actor: rolecore.RoleActor, desk: Desk, store: Store) -> None:
        with rolecore.deadline(5), pytest.raises(rolecore.DeadlineExceeded):
            await actor.send(message("slow"))
        assert asyncio.get_running_loop().time() == 5
        assert await actor.send(message("b")) == answer("b", 0)
        assert asyncio.get_running_loop().time() == 6  # and did not wait, as after a crash
        assert desk.handled == ["slow", "b"]
        assert (await store.load("s", tenant="acme")).version == 2

    run(test)


def test_deadline_passes_in_the_mailbox() -> None:
    async def test(actor: rolecore.RoleActor, desk: Desk, store: Store) -> None:  # noqa: ARG001
        slow = await actor.post(message("slow"))
        with rolecore.deadline(5), pytest.raises(rolecore.DeadlineExceeded):
            await actor.send(message("late"))
        await slow
        assert await actor.send(message("b")) == answer("b", 2)
        assert desk.handled == ["slow", "b"]

    run(test)


@pytest.mark.parametrize("text", ["crash", "crash after harm"])
def test_crash_goes_to_the_sender_and_leaves_no_trace(text: str) -> None:
    async def test(actor: rolecore.RoleActor, desk: Desk, store: Store) -> None:  # noqa: ARG001
        await actor.send(message("a"))
        with pytest.raises(ZeroDivisionError):
            await actor.send(message(text))
        assert await actor.send(message("b")) == answer("b", 2)

    run(test)


def test_crashes_in_a_row_are_backed_off_from_and_bounded() -> None:
    async def test(actor: rolecore.RoleActor, desk: Desk, store: Store) -> None:  # noqa: ARG001
        loop = asyncio.get_running_loop()
        waits = []
        for _ in range(8):
            began = loop.time()
            with pytest.raises(ZeroDivisionError):
                await actor.send(message("crash"))
            waits.append(loop.time() - began)
        for wait, most in zip(waits, [0, 1, 2, 4, 8, 10, 10, 10], strict=True):
            assert most / 2 <= wait <= most
        assert len({wait / most for wait, most in zip(waits[5:], [10, 10, 10], strict=True)}) == 3  # jitter
        await actor.send(message("a"))
        with pytest.raises(ZeroDivisionError):
            await actor.send(message("crash"))
        began = loop.time()
        await actor.send(message("b"))
        assert loop.time() - began <= 2  # success starts the row anew

    run(test, backoff_s=1, max_backoff_s=10)


def test_handlers_own_cancellation_and_typed_errors() -> None:
    async def test(actor: rolecore.RoleActor, desk: Desk, store: Store) -> None:  # noqa: ARG001
        with pytest.raises(rolecore.ActorStopped):
            await actor.send(message("cancel"))
        with pytest.raises(rolecore.RolecoreError):
            await actor.send(message("refuse"))
        with pytest.raises(rolecore.MessageError):
            await actor.send(message("odd reply"))
        assert asyncio.get_running_loop().time() == 0  # none of them is backed off from
        assert await actor.send(message("a")) == answer("a", 0)

    run(test)


def test_message_that_is_no_dict_and_no_list_of_them_is_refused() -> None:
    async def test(actor: rolecore.RoleActor, desk: Desk, store: Store) -> None:  # noqa: ARG001
        any_actor: Any = actor
        for bad in ("text", None, [], [message("a"), "text"], (message("a"),)):
            with pytest.raises(rolecore.ArgumentError):
                await any_actor.send(bad)
        assert desk.handled == []

    run(test)


def test_store_that_is_down_changes_nothing() -> None:
    async def test(actor: rolecore.RoleActor, desk: Desk, store: Store) -> None:
        await actor.send(message("a"))
        store.fault = "down"
        with pytest.raises(rolecore.StoreError, match="out of reach"):
            await actor.send(message("lost"))
        store.fault = "load"
        with pytest.raises(rolecore.StoreError, match="out of reach"):
            await actor.send(message("still down"))
        assert desk.handled == ["a", "lost"]
        assert await actor.send(message("b")) == answer("b", 2)

    run(test)


@pytest.mark.parametrize(("fault", "error"), [("lost reply", "StoreError"), ("stall", "DeadlineExceeded")])
def test_turn_that_may_be_stored_is_looked_for(fault: str, error: str) -> None:
    async def test(actor: rolecore.RoleActor, desk: Desk, store: Store) -> None:  # noqa: ARG001
        store.fault = fault
        with rolecore.deadline(10), pytest.raises(getattr(rolecore, error)):
            await actor.send(message("a"))
        assert await actor.send(message("b")) == answer("b", 2)
        assert actor.session.version == 4

    run(test)


def test_conflict_is_told_and_the_others_turns_are_loaded() -> None:
    async def test(actor: rolecore.RoleActor, desk: Desk, store: Store) -> None:  # noqa: ARG001
        await actor.send(message("a"))
        await store.append("s", [message("other")], tenant="acme")
        with pytest.raises(rolecore.SessionConflict) as caught:
            await actor.send(message("b"))
        assert (caught.value.expected, caught.value.actual) == (2, 3)
        assert texts(actor.session.messages) == ["a", "a after 0", "other"]
        assert await actor.send(message("b")) == answer("b", 3)
        await store.delete("s", tenant="acme")
        with pytest.raises(rolecore.SessionConflict):
            await actor.send(message("c"))
        assert await actor.send(message("c")) == answer("c", 0)

    run(test)


def test_first_message_finds_what_the_store_has_and_no_later_one_asks() -> None:
    async def test(actor: rolecore.RoleActor, desk: Desk, store: Store) -> None:  # noqa: ARG001
        await store.append("s", [message("old")], tenant="acme")
        assert await actor.send(message("a")) == answer("a", 1)
        actor.session.pause()
        assert await actor.send(message("b")) == answer("b", 3)
        assert store.loads == 1

    run(test)


def test_expired_session_is_refused_and_what_waits_too() -> None:
    async def test(actor: rolecore.RoleActor, desk: Desk, store: Store) -> None:
        first, second = await actor.post(message("first")), await actor.post(message("second"))
        await asyncio.sleep(0.5)
        actor.session.expire()
        with pytest.raises(rolecore.SessionExpired):
            await actor.send(message("third"))
        assert await first == answer("first", 0)  # begun, and stored
        with pytest.raises(rolecore.SessionExpired):
            await second
        assert desk.handled == ["first"]
        assert (await store.load("s", tenant="acme")).version == 2
        assert (actor.session.nbytes, actor.session.state) == (0, SessionState.EXPIRED)

    run(test)


def test_stop_drains_and_refuses() -> None:
    async def test(actor: rolecore.RoleActor, desk: Desk, store: Store) -> None:  # noqa: ARG001
        answers = [await actor.post(message(str(i))) for i in range(3)]
        stopping = asyncio.ensure_future(actor.stop())
        await asyncio.sleep(0.1)
        with pytest.raises(rolecore.ActorStopped):
            await actor.send(message("late"))
        await stopping
        assert texts([item.result() for item in answers]) == ["0 after 0", "1 after 2", "2 after 4"]
        await actor.stop()

    run(test)


def test_stop_at_its_deadline_tells_all_that_wait() -> None:
    async def test(actor: rolecore.RoleActor, desk: Desk, store: Store) -> None:
        await actor.send(message("a"))
        tasks = []
        for text in ("slow", "queued", "waits for room"):
            tasks.append(asyncio.ensure_future(actor.send(message(text))))
            await asyncio.sleep(1)
        with rolecore.deadline(5):
            await actor.stop()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [rolecore.ActorStopped] * 3
        assert asyncio.get_running_loop().time() == 9
        assert desk.handled == ["a", "slow"]
        assert (await store.load("s", tenant="acme")).version == 2

    run(test, mailbox_size=1)


def test_loop_that_ends_leaves_no_task_behind() -> None:
    desk = Desk()

    async def main() -> list[asyncio.Future[Any]]:
        actor = rolecore.RoleActor(RoleSession("support"), desk, store=MemoryStore())
        return [await actor.post(message(str(i))) for i in range(3)]

    answers = asyncio.run(main())
    assert [type(answer.exception()) for answer in answers] == [rolecore.ActorStopped] * 3
    assert len(desk.handled) <= 1


def test_actor_that_a_dead_loop_left_behind_begins_nothing_in_another() -> None:
    desk = Desk()

    async def leave() -> rolecore.RoleActor:
        actor = rolecore.RoleActor(RoleSession("support"), desk, store=MemoryStore())
        for i in range(3):
            await actor.post(message(str(i)))
        await asyncio.sleep(0.5)
        return actor

    loop = VirtualLoop(1)
    actor = loop.run_until_complete(leave())
    task: Any = actor._task

    async def other() -> None:
        task.get_coro().close()  # as the garbage collector does
        await asyncio.sleep(5)

    run_virtual(other(), seed=1)
    loop.close()
    task._log_destroy_pending = False
    assert desk.handled == ["0"]


def test_stop_does_not_wait_out_a_back_off_beyond_its_deadline() -> None:
    async def test(actor: rolecore.RoleActor, desk: Desk, store: Store) -> None:  # noqa: ARG001
        with pytest.raises(ZeroDivisionError):
            await actor.send(message("crash"))
        waits = await actor.post(message("a"))
        with rolecore.deadline(5):
            await actor.stop()
        with pytest.raises(rolecore.ActorStopped):
            await waits
        assert desk.handled == ["crash"]

    run(test, backoff_s=1000, max_backoff_s=1000)


def test_stop_that_waits_for_a_back_off_ends_when_another_stops_at_its_deadline() -> None:
    async def test(actor: rolecore.RoleActor, desk: Desk, store: Store) -> None:  # noqa: ARG001
        with pytest.raises(ZeroDivisionError):
            await actor.send(message("crash"))
        waits = await actor.post(message("a"))
        patient = asyncio.ensure_future(actor.stop())
        with rolecore.deadline(5):
            await actor.stop()
        await patient
        with pytest.raises(rolecore.ActorStopped):
            await waits
        assert asyncio.get_running_loop().time() < 10

    run(test, backoff_s=1000, max_backoff_s=1000)


class Outcome(BaseException):
    """What is no Exception, as those of pytest and gevent."""


def test_handlers_error_that_is_no_exception_goes_to_the_sender_too() -> None:
    async def handler(session: RoleSession, message: Message) -> Message:  # noqa: ARG001
        raise Outcome

    async def main() -> None:
        actor = rolecore.RoleActor(RoleSession("support"), handler, store=MemoryStore())
        for _ in range(2):
            with pytest.raises(Outcome):
                await actor.send(message("a"))
        await actor.stop()

    run_virtual(main(), seed=1)


def test_handler_that_exits_ends_the_loop_and_not_only_its_actor() -> None:
    async def handler(session: RoleSession, message: Message) -> Message:  # noqa: ARG001
        raise SystemExit(3)

    async def main() -> None:
        async with rolecore.Supervisor(handler, store=MemoryStore()) as roles:
            await roles.send(roles.start("support").session_id, message("a"))

    with pytest.raises(SystemExit):
        run_virtual(main(), seed=1)


@pytest.mark.parametrize("options", [{"mailbox_size": 0}, {"when_full": "burst"}, {"backoff_s": -1}])
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    async def handler(session: RoleSession, message: Message) -> Message:  # noqa: ARG001
        return message

    with pytest.raises(rolecore.ArgumentError):
        rolecore.RoleActor(RoleSession("support"), handler, store=MemoryStore(), **options)
