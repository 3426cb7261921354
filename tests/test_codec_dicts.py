"""Dicts that `encode_snapshot` takes apart, whatever their keys are made of and whatever those do meanwhile."""

from __future__ import annotations

import enum
import json
from typing import TYPE_CHECKING, Any

import pytest

from rolecore.codec import encode_snapshot, open_snapshot
from rolecore.errors import CodecError

if TYPE_CHECKING:
    from collections.abc import Callable

CALL = {"id": "call-1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "\N{EM DASH} 你好", "name": "ada"},
    {"role": "assistant", "content": None, "tool_calls": [CALL, {**CALL, "index": 3}], "z": 1, "refusal": None},
    {"role": "tool", "tool_call_id": "call-1", "content": "7"},
    {"role": "assistant", "content": [{"type": "text", "text": "hi"}], "refusal": "no"},
]


class Text(str):
    """A str of another class, with code of its own."""

    __slots__ = ()


class Key(enum.StrEnum):
    """Keys as some keep them."""

    ROLE = "role"
    CONTENT = "content"


class Table(dict[Any, Any]):
    """A dict of another class, which answers for itself when it is asked."""

    def __getitem__(self, key: object) -> Any:
        raise KeyError(key)

    def __len__(self) -> int:
        return 0


class Meddler(str):
    """A key that does something whenever its hash is asked for, once it may."""

    __slots__ = ("does",)
    does: Callable[[], object]

    def __hash__(self) -> int:
        getattr(self, "does", int)()
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        getattr(self, "does", int)()
        return super().__eq__(other)


def other_keys(value: Any) -> Any:
    """Return the same with keys and texts that are objects of their own, of another class."""
    if isinstance(value, dict):
        return {Text(key): other_keys(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [other_keys(inner) for inner in value]
    return Text(value) if isinstance(value, str) else value


def test_keys_are_known_by_what_they_say_whatever_objects_they_are() -> None:
    expected = encode_snapshot(MESSAGES)
    assert open_snapshot(expected).to_dict()["messages"] == MESSAGES
    lines = [json.loads(json.dumps(message)) for message in MESSAGES]
    for same in (
        json.loads(json.dumps(MESSAGES)),
        lines,
        other_keys(MESSAGES),
        [Table(message) for message in MESSAGES],
        (message for message in MESSAGES),
    ):
        assert encode_snapshot(same) == expected
    mixed = [message for pair in zip(MESSAGES, lines, other_keys(MESSAGES), strict=True) for message in pair]
    assert encode_snapshot(mixed) == encode_snapshot([message for message in MESSAGES for _ in range(3)])
    named: dict[str, Any] = {Key.ROLE: "user", Key.CONTENT: "hi"}
    assert encode_snapshot([named]) == encode_snapshot([{"role": "user", "content": "hi"}])


def test_other_keys_keep_their_order() -> None:
    message = {"z": 1, "role": "user", "a": 2, "content": "hi", "m": 3}
    extra = open_snapshot(encode_snapshot([message])).turns[0].extra
    assert extra is not None
    assert list(json.loads(extra)) == ["z", "a", "m"]


def test_dict_that_a_key_changes_while_it_is_read_is_no_crash() -> None:
    for change in ("add", "clear", "replace"):
        for at in ("message", "call"):
            key = Meddler("odd")
            inner: dict[str, Any] = {**CALL, key: 1, "more": "x" * 1000}
            message: dict[str, Any] = {"role": "user", "content": "t" * 1000, "tool_calls": [inner]}
            target = inner
            if at == "message":
                target = message = {"role": "user", key: 1, "content": "t" * 1000, "more": "x" * 1000}
            said = [message, {"role": "user", "content": "last"}]
            numbers = iter(range(10_000))

            def meddle(target: dict[str, Any] = target, change: str = change, numbers: Any = numbers) -> None:
                if change == "add":
                    target.update({f"new {next(numbers)}": "y" * 100 for _ in range(20)})
                    return
                target.clear()
                if change == "replace":
                    target.update({f"new {next(numbers)}": "y" * 100 for _ in range(4)})

            key.does = meddle
            snapshot = encode_snapshot(said)
            del key.does
            first, last = open_snapshot(snapshot).to_dict()["messages"]
            assert first["content"] == "t" * 1000
            assert last == said[1]
            assert (first if at == "message" else first["tool_calls"][0])["more"] == "x" * 1000


def test_list_that_a_key_empties_while_it_is_read_ends_there() -> None:
    key = Meddler("odd")
    said: list[dict[str, Any]] = [{"role": "user", "content": "t" * 1000, key: 1}, {"role": "user", "content": "last"}]
    key.does = said.clear
    snapshot = encode_snapshot(said)
    del key.does
    assert [turn.text for turn in open_snapshot(snapshot).turns] == ["t" * 1000]


def test_no_code_of_a_key_decides_what_it_is() -> None:
    class Liar:
        def __hash__(self) -> int:
            return hash("content")

        def __eq__(self, other: object) -> bool:
            said[0].clear()
            return True

    said: list[dict[Any, Any]] = [{"role": "user", Liar(): "hi"}]
    with pytest.raises(CodecError, match="message 0: a key is of type Liar; it must be a str"):
        encode_snapshot(said)
    assert len(said[0]) == 2


def test_key_with_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(CodecError, match=r"message 0: .* not the same once it was JSON"):
        encode_snapshot([{"role": "user", "content": "hi", "\ud800": 1}])
