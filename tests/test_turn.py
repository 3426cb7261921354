"""A turn end to end: its order, what failures leave behind, and how often the core is called."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from turn_parts import CALL, EMBEDDER, Acts, Agent, Fixed, ask, cache_of, router_of, run

import rolecore
from rolecore import (
    ArgumentError,
    Completion,
    ContextBudget,
    DeadlineExceeded,
    PolicyDenied,
    Role,
    RoleNotFound,
    RoleSession,
    Router,
    Supervisor,
    TurnHandler,
    TurnResult,
    Usage,
    VectorCache,
    run_turn,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolecore import SessionStore


@pytest.fixture(params=["memory", "sqlite"])
def open_store(request: pytest.FixtureRequest, tmp_path: Any) -> Callable[[], SessionStore]:
    return lambda: rolecore.open_store("memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/turns.db")


@pytest.fixture
def store() -> SessionStore:
    return rolecore.open_store("memory://")


def test_turn_is_in_the_store_when_it_is_answered(open_store: Callable[[], SessionStore]) -> None:
    agent = Agent(usage=Usage(7, 3))
    session, router = RoleSession("refunds", tenant="acme"), router_of(agent, instructions="Be brief.")

    async def main() -> None:
        async with open_store() as store:
            first = await ask("I want my money back", session=session, router=router, store=store)
            second = await ask({"role": "user", "content": "Why?"}, session=session, router=router, store=store)
            record = await store.load(session.session_id, tenant="acme")
        assert [first.text, second.text] == ["answer 1", "answer 2"]
        assert (first.role, first.cache, first.usage, first.dropped) == ("refunds", "off", Usage(7, 3), 0)
        assert first.decision is not None
        assert set(first.steps) == {"wait", "route", "context", "agent", "keep", "store"}
        assert first.duration_s >= sum(first.steps.values())
        said = ["I want my money back", "answer 1", "Why?", "answer 2"]
        assert [message["content"] for message in record.messages] == said
        assert session.messages == record.messages
        asked, context = agent.asked[1]
        assert asked == "Why?"
        assert [message["content"] for message in context] == ["Be brief.", *said[:2]]
        whole = [*context, {"role": "user", "content": "Why?"}]
        assert second.tokens == rolecore.tokenizer("o200k_base").count_messages(whole)

    run(main())


def test_supervisor_runs_the_same_road(store: SessionStore) -> None:
    agent = Agent()
    handler = TurnHandler(router_of(agent), cache=cache_of(), context=ContextBudget(probe=Fixed()))

    async def main() -> None:
        async with store, Supervisor(handler, store=store) as roles:
            session = roles.start("refunds")
            for _ in range(3):
                result = await roles.send(session.session_id, {"role": "user", "content": "I want my money back"})
                assert isinstance(result, TurnResult)
            assert session.version == 6
            other = roles.start("refunds")
            again = await roles.send(other.session_id, {"role": "user", "content": "I want my money back"})
            assert (again.cache, again.text) == ("exact", "answer 1")

    run(main())
    assert len(agent.asked) == 3


def test_turns_of_one_session_go_in_order(open_store: Callable[[], SessionStore]) -> None:
    agent, session = Agent(), RoleSession("refunds")
    router = router_of(agent)

    async def main() -> None:
        async with open_store() as store:
            turns = [ask(f"question {i}", session=session, router=router, store=store) for i in range(20)]
            answers = await asyncio.gather(*turns)
            assert [answer.text for answer in answers] == [f"answer {i + 1}" for i in range(20)]
            record = await store.load(session.session_id)
            assert [m["content"] for m in record.messages[::2]] == [f"question {i}" for i in range(20)]

    run(main())
    assert [len(context) for _, context in agent.asked] == [2 * i for i in range(20)]


def test_permission_denied_comes_before_anything_else(store: SessionStore) -> None:
    class Untouchable:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(name)

    agent = Agent()
    router = router_of(agent)
    role = router.roles["refunds"]
    boss = rolecore.Principal("boss", is_admin=True)
    role.assign_to_users(["ann"], by=boss)
    session = RoleSession("refunds")

    async def main() -> None:
        untouchable: Any = Untouchable()
        with pytest.raises(PolicyDenied):
            await ask("hello", session=session, router=router, store=untouchable)
        with pytest.raises(RoleNotFound):
            await ask("hello", session=RoleSession("nobody"), router=router, store=untouchable)
        with pytest.raises(ArgumentError, match="tenant"):
            await ask("hello", session=session, router=router, store=untouchable, tenant="acme")
        async with store:
            with rolecore.USER_ID.use("ann"):
                await ask("hello", session=session, router=router, store=store)

    before = rolecore.call_stats().read("refunds").outcomes.get("PolicyDenied", 0)
    run(main())
    assert rolecore.call_stats().read("refunds").outcomes["PolicyDenied"] == before + 1
    assert len(agent.asked) == 1


def test_turn_that_is_not_begun_leaves_one_record_too(store: SessionStore) -> None:
    seen: list[rolecore.AgentCall] = []
    subscription = rolecore.subscribe(seen.append)
    session, router = RoleSession("refunds"), router_of(Acts(_hang))

    async def main() -> None:
        async with store:
            road: dict[str, Any] = {"session": session, "router": router, "store": store}
            waiting = [ask(text, timeout_s=0.05, **road) for text in ("one", "two", "three")]
            ends = await asyncio.gather(*waiting, ask("late", timeout_s=0, **road), return_exceptions=True)
            assert [type(end) for end in ends] == [DeadlineExceeded] * 4
        # A session that has to be loaded, from a store that is closed.
        with pytest.raises(rolecore.StoreError):
            await ask("four", session=RoleSession("refunds", session_id="s"), router=router, store=store)

    run(main())
    subscription.close()
    assert [call.outcome for call in seen] == ["DeadlineExceeded"] * 4 + ["StoreError"]
    assert {call.role for call in seen} == {"refunds"}


def test_role_without_an_agent_and_wrong_arguments_are_typed_errors(store: SessionStore) -> None:
    router = Router([Role("refunds")], embedder=EMBEDDER)
    wrong: Any = object()

    async def main() -> None:
        async with store:
            session = RoleSession("refunds")
            with pytest.raises(ArgumentError, match="no agent"):
                await ask("hello", session=session, router=router, store=store)
            with pytest.raises(ArgumentError, match="message is of type"):
                await ask(wrong, session=session, router=router, store=store)
            for name in ("session", "router", "store"):
                road: dict[str, Any] = {"session": session, "router": router_of(Agent()), "store": store, name: wrong}
                with pytest.raises(ArgumentError, match=f"{name} is of type object; it must"):
                    await ask("hello", **road)
            with pytest.raises(ArgumentError, match="cache is of type"):
                await ask("hello", session=session, router=router, store=store, cache=wrong)
            whole = router_of(Agent())
            for message in ({"role": "user"}, {"role": "tool", "content": "1", "tool_call_id": "x"}):
                with pytest.raises(rolecore.MessageError):
                    await ask(message, session=session, router=whole, store=store)
            assert await store.list() == []

    run(main())


async def _hang() -> None:
    await asyncio.Event().wait()


async def _fail() -> None:
    msg = "down"
    raise rolecore.APIConnectionError(msg)


async def _bug() -> None:
    raise ZeroDivisionError


async def _cancel() -> None:
    raise asyncio.CancelledError


async def _wrong() -> str:
    return "no Completion"


async def _empty() -> Completion:
    return Completion({"role": "assistant", "content": None})


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (_hang, DeadlineExceeded),
        (_fail, rolecore.APIConnectionError),
        (_bug, ZeroDivisionError),
        (_cancel, rolecore.ActorStopped),
        (_wrong, rolecore.AdapterError),
        (_empty, rolecore.AdapterError),
    ],
)
def test_failing_agent_ends_in_its_error_and_leaves_nothing(
    act: Any, error: type[Exception], open_store: Callable[[], SessionStore]
) -> None:
    agent, good = Acts(act), Agent()
    router = router_of(agent)
    session, cache = RoleSession("refunds"), cache_of()

    async def main() -> None:
        async with open_store() as store:
            with pytest.raises(error):
                await ask("hello", session=session, router=router, store=store, cache=cache, timeout_s=0.05)
            assert await store.list() == []
            assert len(cache.cache) == 0
            result = await ask("hello", session=session, router=router_of(good), store=store, cache=cache)
            assert (result.text, session.version) == ("answer 1", 2)

    run(main())
    score = router.route("I want my money back").scores["refunds"]
    assert score.queue == 0
    is_failure = error in {DeadlineExceeded, rolecore.APIConnectionError, rolecore.AdapterError}
    assert (score.success < 1) == is_failure


def test_deadline_of_the_caller_ends_a_turn_that_waits_for_another(store: SessionStore) -> None:
    agent = Acts(_hang)
    router, session = router_of(agent), RoleSession("refunds")

    async def main() -> None:
        async with store:
            first = asyncio.ensure_future(ask("one", session=session, router=router, store=store))
            await asyncio.sleep(0)
            with pytest.raises(DeadlineExceeded), rolecore.deadline(0.02):
                await ask("two", session=session, router=router, store=store)
            with pytest.raises(DeadlineExceeded):
                await ask("three", session=session, router=router, store=store, timeout_s=0)
            assert session.actor is not None
            with rolecore.deadline(0):
                await session.actor.stop()
            with pytest.raises(rolecore.ActorStopped):
                await first
            assert await store.list() == []

    run(main())
    assert len(agent.asked) == 1


def test_turn_whose_caller_has_gone_is_stored_all_the_same(store: SessionStore) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def wait() -> Completion:
        began.set()
        await go_on.wait()
        return Completion({"role": "assistant", "content": "late"})

    session, router = RoleSession("refunds"), router_of(Acts(wait))

    async def main() -> None:
        async with store:
            turn = asyncio.ensure_future(ask("one", session=session, router=router, store=store))
            await began.wait()
            turn.cancel()
            with pytest.raises(asyncio.CancelledError):
                await turn
            go_on.set()
            result = await ask("two", session=session, router=router, store=store)
            assert result.text == "late"
            assert [message["content"] for message in session.messages] == ["one", "late", "two", "late"]

    run(main())


def test_session_outlives_the_event_loop_that_left_its_turn_behind(open_store: Callable[[], SessionStore]) -> None:
    hangs, answers, session = Acts(_hang), Agent(), RoleSession("refunds")

    async def leave_behind() -> None:
        async with open_store() as store:
            await ask("before", session=session, router=router_of(answers), store=store)
            turn = asyncio.ensure_future(ask("lost", session=session, router=router_of(hangs), store=store))
            for _ in range(5):
                await asyncio.sleep(0)
            assert hangs.asked
            turn.cancel()

    async def go_on() -> TurnResult:
        async with open_store() as store:
            return await ask("after", session=session, router=router_of(answers), store=store)

    run(leave_behind())
    assert run(go_on()).text == "answer 2"
    assert "lost" not in str(session.messages)


def test_session_at_work_is_not_run_with_another_store(store: SessionStore) -> None:
    session, router = RoleSession("refunds"), router_of(Acts(_hang))

    async def main() -> None:
        async with store, rolecore.open_store("memory://") as other:
            turn = asyncio.ensure_future(ask("one", session=session, router=router, store=store, timeout_s=0.05))
            await asyncio.sleep(0)
            with pytest.raises(ArgumentError, match="another store"):
                await ask("two", session=session, router=router, store=other)
            with pytest.raises(DeadlineExceeded):
                await turn
            result = await ask("two", session=session, router=router_of(Agent()), store=other)
            assert result.text == "answer 1"

    run(main())


def test_budget_with_an_embedder_keeps_a_sessions_vectors_by_tenant(store: SessionStore) -> None:
    vectors = VectorCache(EMBEDDER.dim, capacity=100)
    context = ContextBudget(200, reply_tokens=100, probe=Fixed(), embedder=EMBEDDER, vectors=vectors)
    router = router_of(Agent())

    async def main() -> None:
        async with store:
            session = RoleSession("refunds", tenant="acme")
            for i in range(12):
                text = f"what about invoice {i} and the ferry"
                await run_turn(text, session=session, router=router, store=store, context=context)
            assert vectors.get("what about invoice 3 and the ferry", tenant="acme", model_id=EMBEDDER.model_id)
            assert not vectors.get("what about invoice 3 and the ferry", model_id=EMBEDDER.model_id)
            session.pause()
            assert session.vectors is None

    run(main())


def test_two_processes_sessions_conflict_and_nothing_is_lost(open_store: Callable[[], SessionStore]) -> None:
    one, other = (RoleSession("refunds", session_id="s") for _ in range(2))
    router = router_of(Agent())

    async def main() -> None:
        async with open_store() as store:
            await ask("1", session=one, router=router, store=store)
            await ask("2", session=other, router=router, store=store)
            with pytest.raises(rolecore.SessionConflict):
                await ask("3", session=one, router=router, store=store)
            await ask("4", session=one, router=router, store=store)
            record = await store.load("s")
            assert [m["content"] for m in record.messages[::2]] == ["1", "2", "4"]

    run(main())


def test_tool_result_stays_with_the_role_that_called(store: SessionStore) -> None:
    calls = Agent(message={"role": "assistant", "content": None, "tool_calls": [CALL]}, finish_reason="tool_calls")
    answers = Agent()
    router = router_of(answers, calls)
    session = RoleSession("refunds")

    async def main() -> None:
        async with store:
            asked = await ask("when does the ferry leave", session=session, router=router, store=store)
            assert (asked.role, asked.text) == ("travel", "")
            result = {"role": "tool", "tool_call_id": "c1", "content": "I want my money back"}
            calls.completion = {}
            told = await ask(result, session=session, router=router, store=store)
            assert (told.role, told.decision) == ("travel", None)
            assert [message["role"] for message in calls.asked[1][1]] == ["user", "assistant"]
            calls.completion = {"message": {"role": "assistant", "content": None, "tool_calls": [CALL]}}
            await ask("when does the ferry leave", session=session, router=router, store=store)
            calls.completion = {}
            await ask("never mind the ferry, when does the ferry leave", session=session, router=router, store=store)
            sent = calls.asked[-1][1]
            assert rolecore.fit(sent, 10_000, on_orphans="raise").messages == sent
            assert sent[-1]["role"] == "user"

    run(main())


def test_hedged_answer_is_the_second_roles_and_is_kept_for_no_other(store: SessionStore) -> None:
    slow, quick = Acts(_hang), Agent()
    roles = [
        Role("a", examples=["when does the ferry leave"], agent=slow),
        Role("b", examples=["when does the ferry leave"], agent=quick, instructions="You are b."),
    ]
    router, cache = Router(roles, embedder=EMBEDDER, hedge_after_s=0.01), cache_of()

    async def main() -> None:
        async with store:
            session = RoleSession("a")
            result = await ask("when does the ferry leave", session=session, router=router, store=store, cache=cache)
            assert result.role == "b" if slow.asked else result.text == "answer 1"

    run(main())
    assert len(slow.asked) <= 1
    assert quick.asked[0][1][0]["content"] == "You are b."
    assert len(cache.cache) == (0 if slow.asked else 1)


def test_query_of_a_megabyte_is_answered_or_refused_by_its_size(store: SessionStore) -> None:
    text = "the ferry leaves at six " * 43_000
    router, session = router_of(Agent()), RoleSession("refunds")

    async def main() -> None:
        async with store:
            with pytest.raises(rolecore.BudgetError) as refused:
                await ask(text, session=session, router=router, store=store, cache=cache_of())
            assert refused.value.needed > refused.value.budget
            wide = ContextBudget(refused.value.needed + 1024, probe=Fixed())
            result = await ask(text, session=session, router=router, store=store, context=wide)
            assert result.tokens == refused.value.needed
            assert await store.list() == [session.session_id]

    run(main())


def test_statistics_that_are_no_number_are_a_typed_error(store: SessionStore) -> None:
    router, session = router_of(Agent(), Agent()), RoleSession("refunds")
    router._live.numbers[0] = float("nan")

    async def main() -> None:
        async with store:
            with pytest.raises(ArgumentError):
                await ask("I want my money back", session=session, router=router, store=store)
            assert await store.list() == []

    run(main())
