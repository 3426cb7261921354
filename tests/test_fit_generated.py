"""Every window of generated histories, against a slow oracle that shares no code with the library."""

from __future__ import annotations

import pytest
from chats import Message, call, parts
from hypothesis import example, given, settings
from hypothesis import strategies as st

import rolecore

TEXTS = st.sampled_from(
    [
        "",
        "ok",
        "Where is the blue lantern?",
        "I bought three lanterns in Oslo yesterday, for 40 euros each.",
        "我昨天在北京买了三个灯笼。",
        "灯笼在哪里？",
        '{"order_id": "A-1042", "total": 120}',
        "🙂\x00 thanks! \ud83d",
    ]
)
IDS = st.sampled_from(["c1", "c2", "c3"])


plain = st.builds(
    lambda role, text, extra: {"role": role, "content": text, **extra},
    st.sampled_from(["system", "developer", "user", "user", "user", "assistant", "assistant"]),
    TEXTS | TEXTS.map(parts),
    st.sampled_from([{}, {"name": "Ana"}, {"x_unknown": {"kept": [1, None]}}]),
)
calls = st.builds(
    lambda text, ids: {"role": "assistant", "content": text, "tool_calls": [call(i) for i in ids]},
    st.none() | TEXTS,
    st.lists(IDS, min_size=1, max_size=3),
)
results = st.builds(lambda text, call_id: {"role": "tool", "tool_call_id": call_id, "content": text}, TEXTS, IDS)
histories = st.lists(st.one_of(plain, plain, calls, results, results), max_size=16)


def repair(messages: list[Message]) -> dict[int, Message]:
    """What a provider takes of the messages, by index; a pending group at the end stays."""
    out: dict[int, Message] = {}
    at = 0
    while at < len(messages):
        head, start = messages[at], at
        at += 1
        while at < len(messages) and messages[at]["role"] == "tool":
            at += 1
        if head["role"] == "tool":
            continue
        open_calls = list(head.get("tool_calls") or [])
        answered = []
        for i in range(start + 1, at):
            matching = [one for one in open_calls if one["id"] == messages[i]["tool_call_id"]]
            if matching:
                open_calls = [one for one in open_calls if one is not matching[-1]]
                answered.append(i)
        left = [c for c in head.get("tool_calls") or [] if not any(c is o for o in open_calls)]
        if not open_calls or at == len(messages):
            out[start] = head
        elif left or head["content"]:
            out[start] = {k: v for k, v in head.items() if k != "tool_calls"} | ({"tool_calls": left} if left else {})
        else:
            continue
        out.update({i: messages[i] for i in answered})
    return out


def illegal(messages: list[Message]) -> str | None:
    open_ids: list[str] = []
    for m in messages:
        if m["role"] == "tool":
            if m["tool_call_id"] not in open_ids:
                return "result without call"
            open_ids.remove(m["tool_call_id"])
        elif open_ids:
            return "call without result"
        else:
            open_ids = [c["id"] for c in m.get("tool_calls") or []]
    return None


def check(window: rolecore.Window, messages: list[Message], budget: int, keep_last: int) -> None:
    legal = repair(messages)
    assert window.messages == [legal[i] for i in window.sources]
    pairs = list(zip(window.messages, window.sources, strict=True))
    assert all(m is messages[i] for m, i in pairs if legal[i] is messages[i])
    assert window.sources == sorted(set(window.sources))
    assert sorted([*window.sources, *window.dropped]) == list(range(len(messages)))
    assert illegal(window.messages) is None
    assert rolecore.tokenizer("o200k_base").count_messages(window.messages) == window.tokens <= budget
    users = [i for i, m in enumerate(messages) if m["role"] == "user"]
    newest = users[max(0, len(users) - keep_last)] if users and keep_last else len(messages)
    must = {i for i in legal if i >= newest or messages[i]["role"] in {"system", "developer"}}
    assert must <= set(window.sources)
    if rolecore.tokenizer("o200k_base").count_messages(list(legal.values())) <= budget:
        assert window.sources == list(legal)
    again = rolecore.fit(window.messages, budget, keep_last=keep_last)
    assert len(again.messages) == len(window.messages)
    assert all(a is b for a, b in zip(again.messages, window.messages, strict=True))


@settings(max_examples=2000, deadline=None)
@given(histories, st.integers(0, 1100), st.integers(0, 3), st.sampled_from([None, "where is the lantern", "灯笼"]))
@example([], 0, 3, None)
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_fit_generated_history_gives_legal_window(
    messages: list[Message], per_mille: int, keep_last: int, query: str | None
) -> None:
    history = rolecore.History(messages)
    refused: rolecore.BudgetError | None
    budget = history.tokens * per_mille // 1000
    assert history.tokens == rolecore.tokenizer("o200k_base").count_messages(history.to_messages())
    assert all(a is b for a, b in zip(history.to_messages(), messages, strict=True))
    try:
        window = history.fit(budget, keep_last=keep_last, query=query)
        refused = None
    except rolecore.BudgetError as error:
        refused = error
    if refused:
        assert refused.budget == budget < refused.needed
        with pytest.raises(rolecore.BudgetError):
            history.fit(refused.needed - 1, keep_last=keep_last, query=query)
        budget = refused.needed
        window = history.fit(budget, keep_last=keep_last, query=query)
    check(window, messages, budget, keep_last)
