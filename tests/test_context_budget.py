"""The budget of a turn: it follows memory, both ways, and what it sends is legal and within what the model takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rolecore
from rolecore import ArgumentError, BudgetError, ContextBudget, HashingEmbedder, History, MessageError, VectorCache
from rolecore.memory import Memory, MemoryProbe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Message = dict[str, Any]


class Fixed:
    """A probe that reads what it is told."""

    def __init__(self, used: int = 10) -> None:
        self.used = used
        self.readings = 0

    def read(self) -> Memory:
        self.readings += 1
        return Memory(self.used, 100, None, None, "fixture")


def talk(n_turns: int) -> list[Message]:
    said = [
        (
            {"role": "user", "content": f"Question {i}: when does ferry {i} to the island leave, and from which pier?"},
            {"role": "assistant", "content": f"Ferry {i} leaves at {i % 12} from pier {i}. Bring a coat."},
        )
        for i in range(n_turns)
    ]
    return [message for turn in said for message in turn]


def asked(text: str = "And what does ferry 3 cost?") -> Message:
    return {"role": "user", "content": text}


def count(messages: list[Message]) -> int:
    return rolecore.tokenizer("o200k_base").count_messages(messages)


def test_request_is_counted_to_the_token() -> None:
    history, message = History(talk(100)), asked()
    budget = ContextBudget(1500, reply_tokens=500, probe=Fixed(85))
    request = budget.fit(history, message, instructions="Be brief.", query="ferry 3")
    whole = [*request.messages, message]
    assert request.tokens == count(whole) <= request.budget_tokens == 400
    assert request.messages[0] == {"role": "system", "content": "Be brief."}
    assert request.whole_tokens == count([{"role": "system", "content": "Be brief."}, *talk(100), message])
    assert request.dropped == 200 - (len(request.messages) - 1)
    assert request.messages[-4:] == talk(100)[-4:]
    assert any("Ferry 3 leaves" in str(message["content"]) for message in request.messages)


def test_unread_messages_are_appended_once_or_not_at_all() -> None:
    history, unread = History(talk(1)), talk(2)
    budget = ContextBudget(probe=Fixed())
    assert len(budget.fit(history, asked(), unread=unread).messages) == 6
    assert (len(history), unread) == (6, [])
    unread = [asked(), {"role": "nobody"}]
    with pytest.raises(MessageError) as error:
        budget.fit(history, asked(), unread=unread)
    assert (error.value.index, len(history), len(unread)) == (7, 6, 2)


def test_what_must_stay_may_have_all_that_the_model_takes() -> None:
    history = History(talk(3))
    needed = count(talk(3)[-4:]) + count([asked()])
    tight = ContextBudget(needed + 10, reply_tokens=10, probe=Fixed(99))
    assert tight.fit(history, asked()).tokens == needed
    with pytest.raises(BudgetError) as error:
        ContextBudget(needed + 9, reply_tokens=10, probe=Fixed()).fit(history, asked())
    assert (error.value.needed, error.value.budget) == (needed, needed - 1)


def test_memory_is_read_once_in_a_period() -> None:
    now, probe = [0.0], Fixed()
    budget = ContextBudget(probe=probe, clock=lambda: now[0])
    history = History(talk(1))
    for at, readings in ((0.0, 1), (0.05, 1), (0.0999, 1), (0.1, 2), (0.15, 2), (0.25, 3)):
        now[0] = at
        budget.fit(history, asked())
        assert probe.readings == readings


def test_ratio_window_and_cache_follow_memory_within_a_turn_and_come_back_in_steps() -> None:
    now, probe, embedder = [0.0], Fixed(20), HashingEmbedder()
    vectors = VectorCache(embedder.dim, capacity=1000)
    budget = ContextBudget(
        1500, reply_tokens=100, probe=probe, clock=lambda: now[0], embedder=embedder, vectors=vectors
    )
    history, remembers = History(talk(100)), budget.new_embedder("acme")

    def turn(used: int) -> rolecore.context.Request:
        now[0] += 1
        probe.used = used
        return budget.fit(history, asked(f"And at {now[0]}?"), query="which ferry leaves first", embedder=remembers)

    easy = turn(20)
    assert budget.ratio == pytest.approx(0.725)
    assert easy.summary is None
    assert len(vectors) == 201
    short = turn(95)
    assert (budget.ratio, budget.is_short) == (0.4, True)
    assert short.tokens <= short.budget_tokens == 560
    assert short.tokens < 0.6 * easy.tokens
    assert short.summary is not None
    assert len(vectors) == 2  # the query's, which no history has, and the summary's
    assert vectors.get(rolecore.cache.normal_text(short.summary), tenant="acme", model_id=embedder.model_id)
    still = turn(95)
    assert len(vectors) == 2
    assert still.tokens <= 560
    ratios, tokens = [], []
    for used in (83, 60, 20, 20, 20, 20, 20, 20):
        back = turn(used)
        ratios.append(budget.ratio)
        tokens.append(back.tokens)
    steps = [b - a for a, b in zip([0.4, *ratios[:-1]], ratios, strict=True)]  # type: ignore[operator]
    assert all(0 <= step <= 0.1 + 1e-9 for step in steps)
    assert ratios[0] == 0.4
    assert ratios[-1] == pytest.approx(0.725)
    assert tokens == sorted(tokens)
    assert len(vectors) > 200


def test_similar_text_skips_the_encoder() -> None:
    class Counting:
        dim, model_id, texts = 384, "counting", 0

        def embed(self, texts: Sequence[str], /) -> Any:
            self.texts += len(texts)
            return HashingEmbedder().embed(texts)

    embedder = Counting()
    budget = ContextBudget(
        700, reply_tokens=100, probe=Fixed(), embedder=embedder, vectors=VectorCache(384, capacity=999)
    )
    for _ in range(2):
        budget.fit(History(talk(50)), asked(), query="which ferry leaves first", embedder=budget.new_embedder())
    assert embedder.texts == 101


def write_cgroup(root: Path, used: int, limit: int) -> None:
    files = {
        "proc/self/cgroup": "0::/a\n",
        "proc/self/mountinfo": "30 23 0:27 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
        "sys/fs/cgroup/a/memory.max": f"{limit}\n",
        "sys/fs/cgroup/a/memory.current": f"{used}\n",
        "sys/fs/cgroup/a/memory.stat": "inactive_file 0\n",
    }
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def test_budget_follows_the_files_of_a_cgroup(tmp_path: Path) -> None:
    now = [0.0]
    write_cgroup(tmp_path, 20, 100)
    budget = ContextBudget(1500, reply_tokens=500, probe=MemoryProbe("cgroup", tmp_path), clock=lambda: now[0])
    history = History(talk(100))
    assert budget.fit(history, asked()).budget_tokens == 725
    write_cgroup(tmp_path, 90, 100)
    now[0] = 1
    assert budget.fit(history, asked()).budget_tokens == 400
    write_cgroup(tmp_path, 20, 100)
    for step, expected in enumerate((500, 600, 700, 725), 2):
        now[0] = step
        assert budget.fit(history, asked()).budget_tokens == expected


@pytest.mark.parametrize(
    "options",
    [
        {"context_tokens": 0},
        {"context_tokens": 100, "reply_tokens": 100},
        {"keep_last": 0},
        {"unit": "word"},
        {"vectors": VectorCache(3, capacity=1)},
        {"probe_period_s": -1},
        {"embedder": object(), "vectors": VectorCache(3, capacity=1)},
    ],
)
def test_argument_out_of_range_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        ContextBudget(**options)


def test_embedder_of_another_dimension_is_a_typed_error() -> None:
    class Turning:
        dim, model_id, n = 384, "turning", 384

        def embed(self, texts: Sequence[str], /) -> Any:
            self.n -= 1
            return HashingEmbedder(self.n).embed(texts)

    budget = ContextBudget(700, reply_tokens=100, probe=Fixed(), embedder=Turning())
    history, embedder = History(talk(50)), budget.new_embedder()
    budget.fit(history, asked(), query="ferry", embedder=embedder)
    with pytest.raises(ArgumentError, match="embedder"):
        budget.fit(history, asked(), query="ferry", embedder=embedder)


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
MESSAGES = st.sampled_from(
    [
        {"role": "user", "content": "When does the ferry leave, and from which pier?"},
        {"role": "assistant", "content": "At six."},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL, {**CALL, "id": "d"}]},
        {"role": "tool", "tool_call_id": "c", "content": "six"},
        {"role": "tool", "tool_call_id": "d", "content": "pier 4"},
        {"role": "system", "content": "Be brief."},
    ]
)


@settings(deadline=None, max_examples=300)
@given(messages=st.lists(MESSAGES, max_size=20), message=MESSAGES, most=st.integers(1, 200), used=st.integers(0, 100))
def test_any_request_is_legal_and_within_the_budget(
    messages: list[Message], message: Message, most: int, used: int
) -> None:
    history = History(messages)
    budget = ContextBudget(most + 1, reply_tokens=1, keep_last=2, probe=Fixed(used))
    try:
        request = budget.fit(history, message, query="ferry")
    except BudgetError as error:
        needed = error.needed
    except MessageError:
        assert message["role"] == "tool"
        return
    else:
        needed = 0
    if needed:
        assert needed > most
        wide = ContextBudget(needed + 1, reply_tokens=1, keep_last=2, probe=Fixed(used))
        assert wide.fit(history, message).tokens == needed
        return
    whole = [*request.messages, message]
    assert request.tokens == count(whole) <= most
    legal = rolecore.fit(whole, 10_000, on_orphans="raise")
    assert legal.messages == whole
    newest = [m for m in messages if m["role"] in {"user", "system"}]
    assert all(m in request.messages for m in newest[-1:])
