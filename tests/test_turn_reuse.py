"""Which answers a turn reuses, and which it never keeps; what a failing cache does to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from turn_parts import CALL, EMBEDDER, Agent, Message, ask, cache_of, router_of, run

import rolecore
from rolecore import (
    Role,
    RoleSession,
    Router,
    SemanticCache,
    TurnResult,
    Usage,
    VectorCache,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rolecore import SessionStore


@pytest.fixture
def store() -> SessionStore:
    return rolecore.open_store("memory://")


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


def test_role_that_stands_alone_is_told_nothing_that_was_said_before(store: SessionStore) -> None:
    agent, cache = rolecore.ExtractiveAgent(), cache_of()
    router = Router([Role("faq", agent=agent, standalone=True)], embedder=EMBEDDER)
    ann, bob = RoleSession("faq"), RoleSession("faq")

    async def main() -> None:
        async with store:
            await ask("My parcel number is 12345.", session=ann, router=router, store=store, cache=cache)
            for session in (ann, bob):
                text = "What is my parcel number?"
                told = await ask(text, session=session, router=router, store=store, cache=cache)
                assert "12345" not in told.text
            assert (ann.version, bob.version) == (4, 2)

    run(main())


def test_role_that_stands_alone_sees_the_calls_that_results_answer(store: SessionStore) -> None:
    agent = Agent(message={"role": "assistant", "content": None, "tool_calls": [CALL]})
    router = Router([Role("faq", agent=agent, standalone=True)], embedder=EMBEDDER)
    session, result = RoleSession("faq"), {"role": "tool", "tool_call_id": "c1", "content": "found"}

    async def main() -> None:
        async with store:
            await ask("look it up", session=session, router=router, store=store)
            await ask(result, session=session, router=router, store=store)

    run(main())
    assert [message["role"] for message in agent.asked[-1][1]] == ["user", "assistant"]


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


class Other:
    """An embedder that is not the core's."""

    dim, model_id = EMBEDDER.dim, "other"

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.error: Exception | None = None

    def embed(self, texts: Sequence[str], /) -> Any:
        self.texts += texts
        if self.error is not None:
            raise self.error
        return EMBEDDER.embed(texts)


def test_router_and_cache_of_one_embedder_embed_a_question_once(store: SessionStore) -> None:
    other = Other()
    role = Role("a", examples=["the ferry"], agent=Agent(), sensitive_words=["lawsuit"])
    router, cache = Router([role], embedder=other), cache_of(other)

    async def main() -> None:
        async with store:
            other.texts.clear()
            for text, outcome in (("when?", "miss"), ("when?", "exact"), ("When ?", "semantic"), ("a lawsuit", "off")):
                session = RoleSession("a")
                result = await ask(text, session=session, router=router, store=store, cache=cache)
                assert result.cache == outcome
            assert other.texts == ["when?", "when?", "When ?"]

    run(main())


@pytest.mark.parametrize(
    ("error", "raised"),
    [(rolecore.APIConnectionError("down"), rolecore.APIConnectionError), (StopIteration(), RuntimeError)],
)
def test_failing_embedder_of_the_router_ends_the_turn_in_its_error(
    error: Exception, raised: type[Exception], store: SessionStore
) -> None:
    other = Other()
    router = Router([Role("a", examples=["the ferry"], agent=Agent())], embedder=other)
    other.error = error

    async def main() -> None:
        async with store:
            with pytest.raises(raised):
                await ask("when?", session=RoleSession("a"), router=router, store=store, timeout_s=10)
            assert await store.list() == []

    run(main())


@pytest.mark.parametrize("usage", [Usage(-1, 2), Usage(1.5, 2), (None, "x")])  # type: ignore[arg-type]
def test_usage_that_counts_nothing_loses_no_answer(usage: Any, store: SessionStore) -> None:
    async def main() -> None:
        async with store:
            router, cache = router_of(Agent(usage=usage)), cache_of()
            result = await ask("when?", session=RoleSession("refunds"), router=router, store=store, cache=cache)
            assert (result.usage, result.cache, len(cache.cache)) == (None, "miss", 1)

    run(main())
