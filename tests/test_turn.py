"""A turn end to end: what is reused and what never, what failures leave behind, and how often the core is called."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest

import rolecore
from rolecore import (
    AIAgent,
    ArgumentError,
    Completion,
    ContextBudget,
    DeadlineExceeded,
    HashingEmbedder,
    PolicyDenied,
    Role,
    RoleNotFound,
    RoleSession,
    Router,
    SemanticCache,
    Supervisor,
    TurnHandler,
    TurnResult,
    Usage,
    VectorCache,
    run_turn,
)
from rolecore.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from rolecore import SessionStore

Message = dict[str, Any]


class Agent(AIAgent):
    """Answers "answer 1", "answer 2"...; keeps what it was asked."""

    def __init__(self, **completion: Any) -> None:
        self.asked: list[tuple[str | Message, list[Message]]] = []
        self.completion = completion

    async def ainvoke(self, input: str | Message, context: Iterable[Message] = ()) -> str:  # noqa: A002
        return (await self.acomplete(input, context)).text

    async def acomplete(self, input: str | Message, context: Iterable[Message] = ()) -> Completion:  # noqa: A002
        self.asked.append((input, list(context)))
        message = {"role": "assistant", "content": f"answer {len(self.asked)}"}
        return Completion(**{"message": message, **self.completion})


class Acts(Agent):
    """Does what a function does in place of answering."""

    def __init__(self, act: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        super().__init__()
        self.act = act

    async def acomplete(self, input: str | Message, context: Iterable[Message] = ()) -> Completion:  # noqa: A002
        self.asked.append((input, list(context)))
        completion: Completion = await self.act()
        return completion


class Fixed:
    """A probe that reads what it is told."""

    def __init__(self, used: int = 10) -> None:
        self.used = used
        self.readings = 0

    def read(self) -> Memory:
        self.readings += 1
        return Memory(self.used, 100, None, None, "fixture")


EMBEDDER = HashingEmbedder()


def router_of(*agents: AIAgent, **options: Any) -> Router:
    examples = [["I want my money back"], ["when does the ferry leave"], ["is this contract legal"]]
    names = ["refunds", "travel", "legal"]
    roles = [
        Role(name, examples=given, agent=agent, **options)
        for name, given, agent in zip(names, examples, agents, strict=False)
    ]
    return Router(roles, embedder=EMBEDDER, fallback="refunds")


def cache_of(embedder: Any = EMBEDDER, **options: Any) -> SemanticCache:
    return SemanticCache(embedder, VectorCache(EMBEDDER.dim, capacity=1000), **options)


@pytest.fixture(params=["memory", "sqlite"])
def open_store(request: pytest.FixtureRequest, tmp_path: Any) -> Callable[[], SessionStore]:
    return lambda: rolecore.open_store("memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/turns.db")


@pytest.fixture
def store() -> SessionStore:
    return rolecore.open_store("memory://")


def run(main: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(main)


def ask(text: str | Message, **options: Any) -> Coroutine[Any, Any, TurnResult]:
    return run_turn(text, **{"context": ContextBudget(probe=Fixed()), **options})


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


def test_answer_is_reused_in_a_first_turn_of_the_same_tenant_and_role_only(store: SessionStore) -> None:
    agent, other = Agent(), Agent()
    router, cache = router_of(agent, other), cache_of()
    plain = "When does the ferry to Oslo leave, please?"

    async def first(text: str, tenant: str = "", **options: Any) -> TurnResult:
        session = RoleSession("refunds", tenant=tenant)
        return await ask(text, session=session, store=store, **{"router": router, "cache": cache, **options})

    async def main() -> None:
        async with store:
            assert (await first(plain)).cache == "miss"
            hit = await first(f"  {plain} ")
            assert (hit.cache, hit.text, hit.tokens, hit.usage) == ("exact", "answer 1", 0, None)
            assert hit.tokens_saved > 0
            near = await first("when does the ferry to oslo leave please")
            assert (near.cache, near.text) == ("semantic", "answer 1")
            assert (await first("When does the ferry to Bergen leave, please?")).cache == "miss"
            assert (await first(plain, "acme")).cache == "miss"
            assert (await first(plain, ":")).cache == "miss"
            assert (await first(plain, cache=None)).cache == "off"
            alone = Router([Role("travel", agent=Agent())], embedder=EMBEDDER)
            session = RoleSession("travel")
            same = await ask(plain, session=session, router=alone, store=store, cache=cache)
            assert same.cache == "exact"
            renamed = Router([Role("travel:", agent=Agent())], embedder=EMBEDDER)
            session = RoleSession("travel:")
            assert (await ask(plain, session=session, router=renamed, store=store, cache=cache)).cache == "miss"

    run(main())


def test_nothing_is_reused_in_the_middle_of_a_conversation_unless_the_role_stands_alone(store: SessionStore) -> None:
    text = "when does the ferry leave"

    async def main() -> None:
        async with store:
            for is_alone, outcomes in ((False, ["miss", "off", "off"]), (True, ["miss", "exact", "exact"])):
                agent = Agent()
                role = Role("travel", agent=agent, standalone=is_alone)
                session, cache = RoleSession("travel"), cache_of()
                router = Router([role], embedder=EMBEDDER)
                results = [await ask(text, session=session, router=router, store=store, cache=cache) for _ in range(3)]
                assert [result.cache for result in results] == outcomes
                assert session.version == 6
                assert len(agent.asked) == (1 if is_alone else 3)

    run(main())


CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    "completion",
    [
        {"finish_reason": "length"},
        {"message": {"role": "assistant", "content": "so", "tool_calls": [CALL]}, "finish_reason": "tool_calls"},
        {"message": {"role": "assistant", "content": None, "tool_calls": [CALL]}},
        {"message": {"role": "assistant", "content": ""}},
        {"message": {"role": "assistant", "content": None, "refusal": "no"}},
    ],
)
def test_answer_that_is_not_whole_is_never_kept(completion: dict[str, Any], store: SessionStore) -> None:
    agent, cache = Agent(**completion), cache_of()

    async def main() -> None:
        async with store:
            for _ in range(2):
                session, router = RoleSession("refunds"), router_of(agent)
                result = await ask("when", session=session, router=router, store=store, cache=cache)
                assert result.cache == "miss"

    run(main())
    assert len(agent.asked) == 2


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "text", "text": "what is this"}]},
        {"role": "user", "content": "what is this", "name": "ann"},
        {"role": "user", "content": "x" * 4097},
        {"role": "user", "content": "  "},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]},
    ],
)
def test_message_of_another_form_is_never_looked_up(message: Message, store: SessionStore) -> None:
    agent, cache = Agent(), cache_of()

    async def main() -> None:
        async with store:
            for _ in range(2):
                session, router = RoleSession("refunds"), router_of(agent)
                assert (await ask(message, session=session, router=router, store=store, cache=cache)).cache == "off"

    run(main())
    assert len(agent.asked) == 2
    assert len(cache.cache) == 0


def test_question_with_a_sensitive_word_is_never_kept(store: SessionStore) -> None:
    agent, cache = Agent(), cache_of()
    router = router_of(agent, sensitive_words=["lawsuit"])

    async def main() -> None:
        async with store:
            session = RoleSession("refunds")
            result = await ask("a lawsuit about it", session=session, router=router, store=store, cache=cache)
            assert result.cache == "off"

    run(main())
    assert len(cache.cache) == 0


class Broken:
    """An embedder that fails, or whose rows are none."""

    dim = EMBEDDER.dim
    model_id = "broken"

    def __init__(self, rows: Any = None) -> None:
        self.rows = rows

    def embed(self, _texts: Any) -> Any:
        if self.rows is None:
            raise StopIteration
        return self.rows


@pytest.mark.parametrize("rows", [None, [[1.0, 2.0]], [[float("nan")] * EMBEDDER.dim]])
def test_failing_embedder_of_the_cache_loses_no_answer(rows: Any, store: SessionStore) -> None:
    agent, cache = Agent(), cache_of(Broken(rows))

    async def main() -> None:
        async with store:
            session, router = RoleSession("refunds"), router_of(agent)
            result = await ask("when", session=session, router=router, store=store, cache=cache)
            assert (result.text, result.cache) == ("answer 1", "miss")

    run(main())


def test_cache_of_another_dimension_or_without_room_loses_no_answer(store: SessionStore) -> None:
    agent = Agent()
    narrow = SemanticCache(EMBEDDER, VectorCache(3, capacity=10))
    full = SemanticCache(EMBEDDER, VectorCache(EMBEDDER.dim, max_bytes=10))

    async def main() -> None:
        async with store:
            for cache in (narrow, full):
                session, router = RoleSession("refunds"), router_of(agent)
                result = await ask("when", session=session, router=router, store=store, cache=cache)
                assert (result.cache, session.version) == ("miss", 2)

    run(main())
    assert len(agent.asked) == 2


def test_gate_and_embedder_of_ones_own_are_used(store: SessionStore) -> None:
    class Other:
        dim, model_id, calls = EMBEDDER.dim, "other", 0

        def embed(self, texts: Any) -> Any:
            self.calls += 1
            return EMBEDDER.embed(texts)

    other = Other()
    trusting = cache_of(gate=lambda _text, _cached: True, threshold=0.5)
    foreign = cache_of(other)

    async def main() -> None:
        async with store:
            for cache, outcome in ((trusting, "semantic"), (foreign, "miss")):
                router = router_of(Agent())
                results = [
                    await ask(text, session=RoleSession("refunds"), router=router, store=store, cache=cache)
                    for text in ("Does the ferry to Oslo leave at 5?", "Does the ferry to Oslo leave at 6?")
                ]
                assert [result.cache for result in results] == ["miss", outcome]
            session = RoleSession("refunds")
            again = await ask(
                "Does the ferry to Oslo leave at 6?", session=session, router=router, store=store, cache=foreign
            )
            assert (again.cache, again.text) == ("exact", "answer 2")
        assert other.calls == 2

    run(main())


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


def test_turn_goes_into_the_core_three_times(store: SessionStore) -> None:
    crossings: list[str] = []
    role = Role("travel", examples=["when does the ferry leave"], agent=Agent(), standalone=True)
    router, cache, probe = Router([role], embedder=EMBEDDER), cache_of(), Fixed()
    context = ContextBudget(2000, probe=probe)
    session = RoleSession("travel")

    def note(_frame: Any, event: str, called: Any) -> None:
        owner = getattr(called, "__self__", None)
        home = owner.__name__ if type(owner) is type(sys) else type(owner).__module__
        if event == "c_call" and home in {"rolecore", "rolecore._core"}:
            crossings.append(called.__name__)

    async def turn(text: str) -> TurnResult:
        sys.setprofile(note)
        try:
            return await run_turn(text, session=session, router=router, store=store, cache=cache, context=context)
        finally:
            sys.setprofile(None)

    async def main() -> None:
        async with store:
            for i in range(30):
                await turn(f"When does ferry number {i} to the island of the day leave?")
            crossings.clear()
            assert (await turn("And what does it cost to take a dog along?")).cache == "miss"
            assert crossings == ["choose", "plan_turn", "put"]
            crossings.clear()
            assert (await turn("And what does it cost to take a dog along?")).cache == "exact"
            assert crossings == ["choose", "plan_turn"]
            crossings.clear()
            assert (await turn("and what does it cost to take a dog along")).cache == "semantic"
            assert crossings == ["choose", "plan_turn"]

    run(main())
