"""SemanticCache and CachedEmbedder: what hits, what runs once, what is embedded, and every bad input."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import rolecore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RESET = "How do I reset my password?"
NEAR = "How can I reset my password, please?"
OTHER = "How do I not reset my password?"


class Embedder:
    """Looks a text's angle up; others stand far off. Keeps what it was asked."""

    dim = 2

    def __init__(self, model_id: str = "plane", angles: dict[str, float] | None = None) -> None:
        self.model_id = model_id
        self.angles = {RESET: 0.0, NEAR: 0.1, OTHER: 0.05, **(angles or {})}
        self.asked: list[list[str]] = []

    def embed(self, texts: Sequence[str], /) -> Any:
        self.asked.append(list(texts))
        at = [self.angles.get(text, 2.0 + len(text)) for text in texts]
        return np.array([[np.cos(x), np.sin(x)] for x in at], np.float32)


def store(**options: Any) -> rolecore.VectorCache:
    return rolecore.VectorCache(2, **{"capacity": 1000, **options})


def test_get_finds_the_same_text_without_the_embedder() -> None:
    embedder = Embedder()
    cache = rolecore.SemanticCache(embedder, store())
    cache.put(RESET, "Under Settings.")
    assert cache.get(f"  {RESET.replace(' ', chr(10))} ") == "Under Settings."
    assert cache.explain(RESET) == ("exact", "Under Settings.", RESET, 1.0)
    assert len(embedder.asked) == 1
    cache.put("caf\u00e9", "")
    assert cache.get("cafe\u0301") == ""


def test_get_finds_a_paraphrase_and_embeds_once() -> None:
    embedder = Embedder()
    cache = rolecore.SemanticCache(embedder, store())
    cache.put(RESET, "Under Settings.")
    found = cache.explain(NEAR)
    assert found[:3] == ("semantic", "Under Settings.", RESET)
    assert found.score == pytest.approx(np.cos(0.1))
    assert embedder.asked == [[RESET], [NEAR]]
    assert cache.explain("Something else") == ("miss", None, None, None)


def test_get_below_the_threshold_is_a_miss() -> None:
    for threshold, stage in ((0.99, "semantic"), (0.9999, "miss")):
        cache = rolecore.SemanticCache(Embedder(), store(), threshold=threshold)
        cache.put(RESET, "Under Settings.")
        assert cache.explain(NEAR).stage == stage


def test_get_refused_by_the_gate_tells_what_was_refused() -> None:
    cache = rolecore.SemanticCache(Embedder(), store())
    cache.put(RESET, "Under Settings.")
    found = cache.explain(OTHER)
    assert found[:3] == ("refused", None, RESET)
    assert cache.get(OTHER) is None


def test_gate_is_given_the_new_text_and_the_cached_one_best_first() -> None:
    calls: list[tuple[str, str]] = []

    def gate(text: str, cached_text: str) -> bool:
        calls.append((text, cached_text))
        return cached_text == "c"

    cache = rolecore.SemanticCache(Embedder(angles={"a": 0.01, "b": 0.02, "c": 0.03, "d": 0.04}), store(), gate=gate)
    for text in "dcba":
        cache.put(text, text.upper())
    assert cache.get(f" {RESET}\n") == "C"
    assert calls == [(RESET, "a"), (RESET, "b"), (RESET, "c")]


def test_gate_refusing_four_ends_the_search() -> None:
    calls: list[str] = []

    def gate(_text: str, cached_text: str) -> bool:
        calls.append(cached_text)
        return False

    cache = rolecore.SemanticCache(Embedder(angles={f"q{i}": i / 1000 for i in range(9)}), store(), gate=gate)
    for i in range(9):
        cache.put(f"q{i}", "a")
    assert cache.explain(NEAR).stage == "refused"
    assert len(calls) == 4


def test_rows_without_an_answer_hide_none() -> None:
    embedder = Embedder(angles={f"turn {i}": 0.1 + i / 10_000 for i in range(50)})
    vectors = store()
    cache = rolecore.SemanticCache(embedder, vectors)
    cache.put(RESET, "Under Settings.")
    remembers = rolecore.CachedEmbedder(embedder, vectors)
    remembers.embed([NEAR, *(f"turn {i}" for i in range(50))])
    asked = len(embedder.asked)
    assert cache.explain(NEAR)[:3] == ("semantic", "Under Settings.", RESET)
    assert len(embedder.asked) == asked  # the turn's vector is used
    assert cache.explain(OTHER).stage == "refused"
    vectors.remove(RESET, model_id=embedder.model_id)
    assert cache.explain(NEAR).stage == "miss"


def test_put_of_a_known_text_keeps_its_vector() -> None:
    embedder = Embedder()
    cache = rolecore.SemanticCache(embedder, store())
    cache.put(RESET, "old")
    cache.put(RESET, "new")
    assert cache.get(RESET) == "new"
    assert embedder.asked == [[RESET]]


def test_tenants_and_models_see_only_their_own() -> None:
    vectors = store()
    cache = rolecore.SemanticCache(Embedder(), vectors)
    cache.put(RESET, "for ana", tenant="ana")
    assert cache.get(RESET) is cache.get(NEAR, tenant="bob") is None
    assert cache.get(NEAR, tenant="ana") == "for ana"
    other = rolecore.SemanticCache(Embedder("other"), vectors)
    assert other.get(RESET, tenant="ana") is other.get(NEAR, tenant="ana") is None


def test_stampede_of_threads_computes_once() -> None:
    embedder = Embedder()
    cache = rolecore.SemanticCache(embedder, store())
    barrier = threading.Barrier(32)
    runs: list[int] = []
    answers: list[str] = []

    def compute() -> str:
        runs.append(1)
        return "Under Settings."

    def ask() -> None:
        barrier.wait()
        answers.append(cache.get_or_compute_in_thread(RESET, compute))

    threads = [threading.Thread(target=ask) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(runs), answers) == (1, ["Under Settings."] * 32)
    assert embedder.asked == [[RESET]]
    assert cache._flights == {}


def test_stampede_of_tasks_computes_once() -> None:
    embedder = Embedder()
    cache = rolecore.SemanticCache(embedder, store())
    runs: list[int] = []

    async def compute() -> str:
        runs.append(1)
        await asyncio.sleep(0)
        return "Under Settings."

    async def main() -> list[str]:
        return await asyncio.gather(*(cache.get_or_compute(RESET, compute) for _ in range(100)))

    assert asyncio.run(main()) == ["Under Settings."] * 100
    assert (len(runs), embedder.asked) == (1, [[RESET]])


def test_event_loops_and_threads_wait_for_one_another() -> None:
    cache = rolecore.SemanticCache(Embedder(), store())
    started, goes_on = threading.Event(), threading.Event()
    runs: list[int] = []
    answers: list[str] = []

    def compute() -> str:
        runs.append(1)
        started.set()
        assert goes_on.wait(20)
        return "Under Settings."

    def in_loop() -> None:
        answers.append(asyncio.run(cache.get_or_compute(RESET, compute)))

    def in_thread() -> None:
        answers.append(cache.get_or_compute_in_thread(RESET, compute))

    threads = [threading.Thread(target=target) for target in (in_loop, in_loop, in_thread)]
    threads[0].start()
    assert started.wait(20)
    for thread in threads[1:]:
        thread.start()
    goes_on.set()
    for thread in threads:
        thread.join()
    assert (len(runs), answers) == (1, ["Under Settings."] * 3)


def test_get_or_compute_of_a_hit_runs_nothing() -> None:
    cache = rolecore.SemanticCache(Embedder(), store())
    cache.put(RESET, "Under Settings.")
    for text in (RESET, NEAR):
        assert cache.get_or_compute_in_thread(text, pytest.fail) == "Under Settings."
        assert asyncio.run(cache.get_or_compute(text, pytest.fail)) == "Under Settings."


def test_exception_goes_to_all_who_wait_and_the_next_call_computes_anew() -> None:
    cache = rolecore.SemanticCache(Embedder(), store())
    error = OSError("no route")
    runs: list[int] = []

    async def fails() -> str:
        runs.append(1)
        await asyncio.sleep(0)
        raise error

    async def main() -> list[Any]:
        return await asyncio.gather(*(cache.get_or_compute(RESET, fails) for _ in range(10)), return_exceptions=True)

    assert asyncio.run(main()) == [error] * 10
    assert len(runs) == 1
    assert cache.get_or_compute_in_thread(RESET, lambda: "now") == "now"


def test_leader_cancelled_lets_another_take_over() -> None:
    cache = rolecore.SemanticCache(Embedder(), store())
    runs: list[int] = []

    async def main() -> list[Any]:
        is_running, never = asyncio.Event(), asyncio.Event()

        async def compute() -> str:
            runs.append(1)
            if len(runs) == 1:
                is_running.set()
                await never.wait()
            return "Under Settings."

        leader = asyncio.create_task(cache.get_or_compute(RESET, compute))
        await is_running.wait()
        others = [asyncio.create_task(cache.get_or_compute(RESET, compute)) for _ in range(3)]
        await asyncio.sleep(0)
        leader.cancel()
        return await asyncio.gather(leader, *others, return_exceptions=True)

    first, *rest = asyncio.run(main())
    assert isinstance(first, asyncio.CancelledError)
    assert (rest, len(runs)) == (["Under Settings."] * 3, 2)


def test_waiter_cancelled_disturbs_nobody() -> None:
    cache = rolecore.SemanticCache(Embedder(), store())

    async def main() -> tuple[str | BaseException, ...]:
        is_running, goes_on = asyncio.Event(), asyncio.Event()

        async def compute() -> str:
            is_running.set()
            await goes_on.wait()
            return "Under Settings."

        leader = asyncio.create_task(cache.get_or_compute(RESET, compute))
        await is_running.wait()
        waiter = asyncio.create_task(cache.get_or_compute(RESET, compute))
        await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.sleep(0)
        goes_on.set()
        return await asyncio.gather(leader, waiter, return_exceptions=True)

    answer, cancelled = asyncio.run(main())
    assert answer == "Under Settings."
    assert isinstance(cancelled, asyncio.CancelledError)


def test_answer_over_the_budget_is_returned_and_not_kept() -> None:
    cache = rolecore.SemanticCache(Embedder(), store(capacity=None, max_bytes=20_000))
    long = "x" * 50_000
    assert cache.get_or_compute_in_thread(RESET, lambda: long) == long
    assert asyncio.run(cache.get_or_compute(RESET, lambda: long)) == long
    assert cache.get(RESET) is None
    with pytest.raises(rolecore.CacheError):
        cache.put(RESET, long)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: rolecore.SemanticCache(3, store()), "embedder is of type int"),  # type: ignore[arg-type]
        (lambda: rolecore.SemanticCache(Embedder(), {}), "cache is of type dict"),  # type: ignore[arg-type]
        (lambda: rolecore.SemanticCache(Embedder(), store(), threshold=1.5), "threshold is 1.5; it must be a cosine"),
        (lambda: rolecore.SemanticCache(Embedder(), store(), threshold=float("nan")), "threshold is nan"),
        (lambda: rolecore.SemanticCache(Embedder(), store(), threshold="0.9"), "threshold is of type str"),  # type: ignore[arg-type]
        (lambda: rolecore.SemanticCache(Embedder(), store(), gate=3), "gate is of type int"),  # type: ignore[arg-type]
        (lambda: rolecore.CachedEmbedder(Embedder(), store(), tenant=3), "tenant is of type int"),  # type: ignore[arg-type]
        (lambda: rolecore.CachedEmbedder(Embedder(), store(), probe=3), "probe is of type int"),  # type: ignore[arg-type]
    ],
)
def test_bad_arguments_of_the_makers_raise(make: Callable[[], object], what: str) -> None:
    with pytest.raises(rolecore.ArgumentError, match=what):
        make()


@pytest.mark.parametrize(("text", "what"), [(3, "of type int"), (None, "of type NoneType"), (" \n", "blank")])
def test_bad_text_raises(text: Any, what: str) -> None:
    cache = rolecore.SemanticCache(Embedder(), store())
    calls: list[Callable[[], object]] = [
        lambda: cache.get(text),
        lambda: cache.put(text, "a"),
        lambda: cache.get_or_compute_in_thread(text, str),
        lambda: asyncio.run(cache.get_or_compute(text, str)),
    ]
    for call in calls:
        with pytest.raises(rolecore.ArgumentError, match=f"text is {what}"):
            call()


def test_answer_that_is_no_string_raises_and_is_not_kept() -> None:
    cache = rolecore.SemanticCache(Embedder(), store())
    with pytest.raises(rolecore.ArgumentError, match="answer is of type bytes"):
        cache.put(RESET, b"a")  # type: ignore[arg-type]
    with pytest.raises(rolecore.ArgumentError, match="what fn returned is of type int"):
        cache.get_or_compute_in_thread(RESET, lambda: 3)  # type: ignore[arg-type,return-value]
    assert cache.get(RESET) is None
    assert cache._flights == {}


def test_embedder_of_another_dim_or_with_bad_rows_raises() -> None:
    cache = rolecore.SemanticCache(Embedder(), rolecore.VectorCache(3, capacity=9))
    with pytest.raises(rolecore.CacheError):
        cache.get(RESET)
    broken = Embedder()
    broken.embed = lambda texts: np.zeros((len(texts), 2))  # type: ignore[method-assign]
    with pytest.raises(rolecore.ArgumentError, match="nothing but zeros"):
        rolecore.SemanticCache(broken, store()).put(RESET, "a")


def test_history_embeds_through_the_cache_and_the_oldest_goes() -> None:
    embedder = Embedder()
    vectors = store(capacity=4)
    remembers = rolecore.CachedEmbedder(embedder, vectors)
    turns = [f"turn number {i} of this talk" for i in range(4)]
    history = rolecore.History([{"role": "user", "content": turn} for turn in turns[:3]])
    history.fit(15, query="what then?", keep_last=0, embedder=remembers)
    assert embedder.asked == [[*turns[:3], "what then?"]]
    history.append({"role": "user", "content": turns[3]})
    history.fit(15, query="what  then?", keep_last=0, embedder=remembers)
    assert embedder.asked[1:] == [[turns[3]]]  # the query is known
    kept = [vectors.get(turn, model_id="plane") is not None for turn in turns]
    assert kept == [False, True, True, True]


def test_history_and_questions_share_vectors_and_answers_stay() -> None:
    embedder = Embedder()
    vectors = store()
    answers = rolecore.SemanticCache(embedder, vectors)
    answers.put(RESET, "Under Settings.")
    rows = rolecore.CachedEmbedder(embedder, vectors).embed([RESET, NEAR, RESET])
    assert embedder.asked == [[RESET], [NEAR]]
    assert rows.shape == (3, 2)
    assert rows.dtype == np.float32
    assert answers.get(RESET) == "Under Settings."
    answers.put(NEAR, "There.")
    assert embedder.asked == [[RESET], [NEAR]]


def test_embed_keeps_only_the_summary_while_memory_is_short() -> None:
    usage = SimpleNamespace(usage=0.5)
    probe: Any = SimpleNamespace(read=lambda: usage)
    embedder = Embedder()
    vectors = store()
    remembers = rolecore.CachedEmbedder(embedder, vectors, probe=probe)
    answers = rolecore.SemanticCache(embedder, vectors)
    answers.put(RESET, "Under Settings.")
    remembers.embed(["one", "two", RESET])
    assert len(vectors) == 3
    usage.usage = 0.9
    expected = Embedder().embed(["one", "two", "three", RESET])
    assert np.allclose(remembers.embed(["one", "two", "three", RESET]), expected, atol=1e-6)
    assert len(vectors) == 1  # what has an answer
    remembers.embed_summary("they spoke of passwords")
    remembers.embed(["one", "they spoke of passwords"])
    assert len(vectors) == 2
    remembers.embed_summary("they spoke of ferries")
    found = [vectors.get(text, model_id="plane") for text in ("they spoke of passwords", "they spoke of ferries")]
    assert [entry is not None for entry in found] == [False, True]
    usage.usage = 0.5
    remembers.embed(["one"])
    assert len(vectors) == 3
    assert answers.get(RESET) == "Under Settings."


def test_embed_of_nothing_gives_no_rows() -> None:
    remembers = rolecore.CachedEmbedder(Embedder(), store())
    assert remembers.embed([]).shape == (0, 2)
    assert (remembers.dim, remembers.model_id) == (2, "plane")
    with pytest.raises(rolecore.ArgumentError, match=r"texts\[1\] is of type int"):
        remembers.embed(["a", 3])  # type: ignore[list-item]
