"""`unit="sentence"`: what is left of a message is its own text, marked, counted, and the rest stays as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest

import rolecore

TALE = (
    "I met Ana at the harbour. She sells blue lanterns! Do you like lanterns? Well. "
    "On 12 May I bought 3 of them, 42 euros each. They hang in the garden now. Rain does not hurt them."
)
LISTING = json.dumps(
    {
        "order_id": "A-1042",
        "customer": {"name": "Ana Ito", "email": "ana@example.org", "phone": None},
        "items": [{"sku": f"LAN-{i}", "price": 40 + i, "tags": ["blue", "paper"]} for i in range(8)],
        "notes": {},
    },
)


def call(name: str = "look_up", arguments: str = '{"order_id": "A-1042"}', call_id: str = "c1") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": call_id, "type": "function", "function": function}],
    }


def result(content: Any, call_id: str = "c1") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def pieces(text: str) -> list[str]:
    return [piece.strip() for piece in text.split(rolecore.CUT_MARK) if piece.strip()]


def fitted(messages: list[dict[str, Any]], share: float, **options: Any) -> rolecore.Window:
    history = rolecore.History(messages)
    window = history.fit(int(history.tokens * share), unit="sentence", **{"keep_last": 0, **options})
    assert window.tokens <= int(history.tokens * share)
    assert window.tokens == rolecore.tokenizer("o200k_base").count_messages(window.messages)
    return window


def test_cut_message_keeps_pieces_of_its_text_in_order_and_marks_every_gap() -> None:
    source = {"role": "user", "name": "ben", "content": TALE, "id": 7}
    window = fitted([source], 0.6)
    (cut,) = window.messages
    assert cut is not source
    assert {**cut, "content": None} == {**source, "content": None}
    assert rolecore.CUT_MARK in cut["content"]
    at = 0
    for piece in pieces(cut["content"]):
        at = TALE.index(piece, at) + len(piece)
    assert "On 12 May I bought 3 of them, 42 euros each." in cut["content"]
    assert source["content"] == TALE
    assert window.sources == [0]
    assert window.dropped == []


def test_neighbours_are_joined_by_what_stands_between_them() -> None:
    text = "One lantern in Oslo.\n\n  Two lanterns in Rome.   Three in Bern. " + "Well, that is that. " * 12
    for share in (0.3, 0.4, 0.5):
        (cut,) = fitted([{"role": "user", "content": text}], share).messages
        assert all(piece in text for piece in pieces(cut["content"]))


def test_list_of_parts_stays_one_and_other_parts_stay() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}
    parts = [
        {"type": "text", "text": TALE, "cache": True},
        image,
        {"type": "text", "text": "Nice. Really. So. Ok then. Fine."},
    ]
    window = fitted([{"role": "user", "content": parts}], 0.75)
    (cut,) = window.messages
    assert [part["type"] for part in cut["content"]] == ["text", "image_url", "text"]
    assert cut["content"][1] is image
    assert cut["content"][0]["cache"] is True
    assert all(piece in TALE for piece in pieces(cut["content"][0]["text"]))


@pytest.mark.parametrize("share", [0.35, 0.5, 0.7, 0.9])
def test_json_result_stays_json_with_its_own_values_and_a_count(share: float) -> None:
    messages = [{"role": "user", "content": "Where is my order A-1042?"}, call(), result(LISTING)]
    messages += [{"role": "assistant", "content": "It is on its way. It left Oslo at 08:15."}]
    window = fitted(messages, share)
    cut = next(message for message in window.messages if message["role"] == "tool")
    left, whole = json.loads(cut["content"]), json.loads(LISTING)

    def leaves(value: Any) -> list[str]:
        if isinstance(value, dict) and value:
            return [leaf for item in value.values() for leaf in leaves(item)]
        if isinstance(value, list) and value:
            return [leaf for item in value for leaf in leaves(item)]
        return [json.dumps(value)]

    gone = left.pop(rolecore.CUT_KEY)
    kept = leaves(left) if left else []
    assert gone == len(leaves(whole)) - len(kept) > 0
    assert set(kept) <= set(leaves(whole))
    assert cut["tool_call_id"] == "c1"
    assert window.messages[window.messages.index(cut) - 1] is messages[1]


def test_json_result_keeps_what_the_talk_is_about_first() -> None:
    listing = json.dumps([{"flight": f"HX{i:03}", "seats": i, "gate": f"B{i}"} for i in range(40)])
    messages = [
        {"role": "user", "content": "Book me on flight HX017 please."},
        call("search", '{"to": "Oslo"}'),
        result(listing),
        {"role": "assistant", "content": "There are forty flights to Oslo. HX017 has seats."},
        {"role": "user", "content": "Good."},
    ]
    text = json.dumps(fitted(messages, 0.15).messages)
    assert "HX017" in text


def test_lone_surrogates_and_replacement_characters_are_never_cut() -> None:
    for odd in ("\ud83d", "\ufffd"):
        messages = [{"role": "user", "content": f"{odd} " + TALE}, {"role": "assistant", "content": TALE}]
        for share in (0.2, 0.5, 0.8):
            window = fitted(messages, share)
            assert all(m is messages[0] for m in window.messages if m["content"].startswith(odd))
            assert not any(odd in m["content"] for m in window.messages if m is not messages[0])


def test_what_must_stay_stays_whole() -> None:
    history = rolecore.History([{"role": "system", "content": TALE}, {"role": "user", "content": TALE * 5}])
    history.append({"role": "assistant", "content": TALE}, pin=True)
    history.append({"role": "user", "content": TALE})
    history.append({"role": "assistant", "content": TALE * 3})
    window = history.fit(history.tokens * 3 // 4, unit="sentence", keep_last=1)
    whole = {index for index, message in zip(window.sources, window.messages, strict=True) if message is history[index]}
    assert {0, 2, 3, 4} <= whole


def smallest(history: rolecore.History, budget: int) -> int:
    """The budget, or the smallest that works where that is more."""
    try:
        history.fit(budget, unit="sentence", keep_last=0)
    except rolecore.BudgetError as error:
        needed = error.needed
    else:
        return budget
    assert needed > budget
    with pytest.raises(rolecore.BudgetError):
        history.fit(needed - 1, unit="sentence", keep_last=0)
    return needed


@pytest.mark.parametrize(
    "content",
    [
        "",
        " \n\t\n ",
        "x" * 200_000,
        "字" * 50_000,
        "🙂" * 2_000,
        "مرحبا بالعالم؟ كيف الحال؟ " * 300,
        "שלום עולם. " * 300 + "Hello. " * 300 + "你好。" * 300,
        ". " * 5_000,
        "。" * 5_000,
        rolecore.CUT_MARK * 500,
        "a\u0300" * 3_000 + ". " + "é. " * 100,
    ],
    ids=lambda content: f"{content[:3]!r} x {len(content)}",
)
def test_any_text_gives_a_legal_window_or_the_smallest_budget(content: str) -> None:
    tokenizer = rolecore.tokenizer("o200k_base")
    history = rolecore.History(
        [{"role": "user", "content": content}, {"role": "assistant", "content": "Yes. No. 3 lanterns."}]
    )
    for share in (0.0, 0.05, 0.3, 0.9, 1.0):
        budget = int(history.tokens * share)
        budget = smallest(history, budget)
        window = history.fit(budget, unit="sentence", keep_last=0)
        assert window.messages
        assert window.tokens == tokenizer.count_messages(window.messages) <= budget


def test_history_of_one_message_is_cut_to_what_fits() -> None:
    window = fitted([{"role": "user", "content": TALE}], 0.4)
    assert len(window.messages) == 1


def test_report_covers_the_whole_history() -> None:
    messages = [{"role": "user", "content": TALE}, {"role": "assistant", "content": TALE * 2}, call(), result(LISTING)]
    for share in (0.2, 0.5, 0.8):
        report = fitted(messages, share, keep_last=0).report()
        assert sum(messages for messages, _ in report.reasons.values()) == report.history_messages == 4
        assert sum(tokens for _, tokens in report.reasons.values()) == report.history_tokens
