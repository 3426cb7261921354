"""Snapshots: what is encoded comes back as it was, in place, and nothing hostile gets further than a CodecError."""

from __future__ import annotations

import contextlib
import copy
import itertools
import mmap
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from chats import call, chat, parts
from hypothesis import given
from hypothesis import strategies as st

import rolecore
from rolecore import CodecError
from rolecore.codec import Snapshot, encode_snapshot, encode_snapshot_buffers, open_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from chats import Message

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OTHERS = st.dictionaries(TEXT.map("x_{}".format), JSON, max_size=2)


@st.composite
def calls(draw: st.DrawFn) -> Message:
    kind, given_as = draw(st.sampled_from([("function", "arguments"), ("custom", "input")]))
    inner: Message = {"name": draw(TEXT), given_as: draw(TEXT)}
    told: Message = {"id": draw(TEXT), "type": kind, kind: inner}
    if draw(st.booleans()):
        inner |= draw(OTHERS)
    if draw(st.booleans()):
        del told["type"]
    return told | draw(OTHERS)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    role = draw(st.sampled_from(["system", "developer", "user", "assistant", "tool"]))
    content = TEXT | st.lists(st.builds(lambda text: {"type": "text", "text": text}, TEXT), min_size=1, max_size=3)
    message: Message = {"role": role, "content": draw(content)} | draw(OTHERS)
    if draw(st.booleans()):
        message["name"] = draw(TEXT | st.none())
    if role == "tool":
        message["tool_call_id"] = draw(TEXT)
    if role == "assistant":
        if draw(st.booleans()):
            message["tool_calls"] = draw(st.lists(calls(), min_size=1, max_size=3))
            message["content"] = draw(st.none() | TEXT)
        if draw(st.booleans()):
            message["refusal"] = draw(TEXT | st.none())
    return message


@given(st.lists(st.tuples(messages(), st.booleans()), max_size=6))
def test_what_is_encoded_comes_back(turns: list[tuple[Message, bool]]) -> None:
    said = [message for message, _ in turns]
    history = rolecore.History()
    for message, pin in turns:
        history.append(copy.deepcopy(message), pin=pin)
    encoded = encode_snapshot(history, session_id="s", role="r")
    snapshot = open_snapshot(encoded)
    snapshot.verify()
    assert (snapshot.session_id, snapshot.role, snapshot.tokenizer) == ("s", "r", "o200k_base")
    again = snapshot.to_history()
    assert again.to_messages() == said
    assert again.tokens == history.tokens
    # Pins and counts, too.
    assert encode_snapshot(again, session_id="s", role="r") == encoded
    told = snapshot.to_dict()
    assert told["messages"] == said
    assert told["pinned"] == [index for index, (_, pin) in enumerate(turns) if pin]
    assert open_snapshot(encode_snapshot(said)).to_dict()["messages"] == said


def test_fields_are_read_one_by_one() -> None:
    history = rolecore.History(
        [
            {"role": "user", "content": "你好", "name": "Ana"},
            {"role": "assistant", "content": None, "tool_calls": [call("a")], "refusal": "no"},
            {"role": "tool", "tool_call_id": "a", "content": "42"},
        ]
    )
    history.append({"role": "user", "content": parts("look")}, pin=True)
    turns = open_snapshot(encode_snapshot(history)).turns
    assert isinstance(turns, Sequence)
    assert len(turns) == len(list(turns)) == 4
    assert [turn.role for turn in turns] == ["user", "assistant", "tool", "user"]
    assert [turn.text for turn in turns] == ["你好", None, "42", None]
    assert [turn.name for turn in turns] == ["Ana", None, None, None]
    assert [turn.refusal for turn in turns] == [None, "no", None, None]
    assert [turn.tool_call_id for turn in turns] == [None, None, "a", None]
    assert [turn.pinned for turn in turns] == [False, False, False, True]
    assert [turn.time_ms for turn in turns] == [0] * 4
    assert sum(turn.tokens for turn in turns) == history.tokens
    assert [turn.to_dict() for turn in turns[::-1]] == history.to_messages()[::-1]
    assert turns[-1].to_dict() == history[3]
    began = iter(turns)
    assert [next(began).role, *(turn.role for turn in began)] == ["user", "assistant", "tool", "user"]
    assert next(began, None) is None
    for index in (4, -5, 10**9):
        with pytest.raises(IndexError, match=f"index {index} is out of range: the snapshot has 4 turns"):
            _ = turns[index]


def test_an_empty_session_has_defaults() -> None:
    snapshot = open_snapshot(encode_snapshot([]))
    snapshot.verify()
    assert (snapshot.version, snapshot.session_id, snapshot.role) == (1, "", "")
    assert (snapshot.tokenizer, snapshot.summary, snapshot.vectors, snapshot.payload) == (None, None, None, None)
    assert len(snapshot.turns) == 0
    assert snapshot.nbytes == len(encode_snapshot([]))
    assert snapshot.to_history().to_messages() == []


def test_vectors_and_payload_are_views_that_outlive_the_snapshot() -> None:
    rows = np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32)
    snapshot = open_snapshot(encode_snapshot([], vectors=rows, payload=b"\0\xff" * 5, summary="short"))
    snapshot.verify()
    vectors, payload = snapshot.vectors, snapshot.payload
    assert vectors is not None
    assert snapshot.summary == "short"
    assert np.shares_memory(vectors, snapshot.vectors)
    del snapshot
    assert vectors.dtype == np.float32
    assert not vectors.flags.writeable
    np.testing.assert_array_equal(vectors, rows)
    assert payload is not None
    assert payload.readonly
    assert bytes(payload) == b"\0\xff" * 5


class Bytes(bytes):
    """A subclass: its bytes are its own to export."""


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, Bytes])
@pytest.mark.parametrize("options", [{}, {"copy": True}, {"copy": False}])
def test_each_kind_of_buffer_is_read_alike(kind: Callable[[bytes], bytes], options: dict[str, bool]) -> None:
    snapshot = open_snapshot(kind(encode_snapshot(chat())), **options)
    assert snapshot.to_dict()["messages"] == chat()
    assert [turn.to_dict() for turn in snapshot.turns] == chat()


@pytest.mark.parametrize("history", [[], rolecore.History(chat(30)), chat(3)], ids=["empty", "History", "dicts"])
@pytest.mark.parametrize("vectors", [None, np.ones((3, 5), np.float32), np.ones((2, 3)), [[1.5]]])
@pytest.mark.parametrize("payload", [None, b"", b"\0\xff" * 5, np.ones((2, 3), np.uint8)])
def test_in_pieces_it_is_the_same(history: Any, vectors: Any, payload: Any) -> None:
    options = {"session_id": "s", "vectors": vectors, "payload": payload}
    pieces = encode_snapshot_buffers(history, **options)
    assert all(type(piece) is memoryview and piece.format == "B" and piece.nbytes for piece in pieces)
    assert b"".join(pieces) == encode_snapshot(history, **options)


def test_pieces_are_views_of_what_was_given() -> None:
    vectors, payload = np.ones((50, 3), np.float32), bytearray(b"pay")
    pieces = encode_snapshot_buffers(chat(3), vectors=vectors, payload=payload)
    vectors[:], payload[:] = 7, b"day"
    assert b"".join(pieces) == encode_snapshot(chat(3), vectors=np.full((50, 3), 7, np.float32), payload=b"day")


def test_pieces_go_through_a_socket_at_once() -> None:
    here, there = socket.socketpair()
    with here, there:
        sent = here.sendmsg(encode_snapshot_buffers(chat(3), vectors=np.ones((5, 3), np.float32), payload=b"end"))
        snapshot = open_snapshot(there.recv(sent))
    assert snapshot.to_dict()["messages"] == chat(3)
    assert bytes(snapshot.payload or b"") == b"end"


def test_vectors_out_of_alignment_are_copied() -> None:
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    encoded = encode_snapshot([], vectors=rows)
    for shift in range(1, 4):
        shifted = memoryview(b"x" * shift + encoded)[shift:]
        vectors = open_snapshot(shifted).vectors
        assert vectors is not None
        np.testing.assert_array_equal(vectors, rows)
        assert not vectors.flags.writeable


def test_any_buffer_is_read_and_what_can_change_is_copied(tmp_path: Path) -> None:
    encoded = encode_snapshot(chat())
    file = tmp_path / "session"
    file.write_bytes(encoded)
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        snapshot = open_snapshot(mapped)
        assert snapshot.to_dict()["messages"] == chat()
        del snapshot
    written = bytearray(encoded)
    snapshot = open_snapshot(written)
    written[:] = bytes(len(written))
    assert snapshot.to_dict()["messages"] == chat()
    written = bytearray(encoded)
    snapshot = open_snapshot(written, copy=False)
    with pytest.raises(BufferError):
        written.append(0)
    assert snapshot.turns[0].text == "Be brief."


def test_opening_copies_nothing() -> None:
    encoded = encode_snapshot([], payload=bytes(10_000_000))
    payload = open_snapshot(encoded).payload
    assert payload is not None
    where = np.frombuffer(encoded, np.uint8).__array_interface__["data"][0]
    inside = np.frombuffer(payload, np.uint8).__array_interface__["data"][0] - where
    assert 0 <= inside < len(encoded)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({"role": "user", "content": "\ud800"}, "message 1: content has a lone surrogate"),
        ({"role": "user", "content": "hi", "x": "\ud800"}, "message 1: .* not the same once it was JSON"),
        ({"role": "user", "content": "hi", "x": (1, 2)}, "message 1: .* not the same once it was JSON"),
        ({"role": "user", "content": "hi", "x": {1: 2}}, "message 1: .* not the same once it was JSON"),
        ({"role": "user", "content": "hi", "x": float("nan")}, "message 1: .* not the same once it was JSON"),
        ({"role": "user", "content": "hi", "x": object()}, "message 1: .* not the same once it was JSON"),
        ({"role": "user", "content": "hi", 5: 1}, "message 1: a key is of type int; it must be a str"),
    ],
)
def test_what_no_snapshot_can_hold_is_refused(message: Any, why: str) -> None:
    said = [{"role": "user", "content": "hi"}, message]
    with pytest.raises(CodecError, match=why) as refused:
        encode_snapshot(rolecore.History(said))
    assert "ud800" not in str(refused.value)
    with pytest.raises(CodecError, match=why):
        encode_snapshot(said)


@pytest.mark.parametrize("said", [7, [7], [{}], [{"role": "nobody"}], [{"content": "x"}]])
def test_what_is_no_message_is_refused(said: Any) -> None:
    with pytest.raises((CodecError, rolecore.ArgumentError)):
        encode_snapshot(said)


@pytest.mark.parametrize("buffer", [7, "text", None, np.zeros((3, 3))[:, 1], [1, 2]])
def test_what_is_no_buffer_is_refused(buffer: Any) -> None:
    with pytest.raises(rolecore.ArgumentError, match=r"buffer is .*; it must be contiguous bytes"):
        open_snapshot(buffer)


@pytest.mark.parametrize("vectors", [np.zeros(3), np.zeros((1, 2, 3)), "text", object()])
def test_what_are_no_vectors_is_refused(vectors: Any) -> None:
    with pytest.raises(rolecore.ArgumentError, match=r"float32, shape \(n, dim\)"):
        encode_snapshot([], vectors=vectors)


def read_all(snapshot: Snapshot) -> None:
    for turn in snapshot.turns:
        turn.to_dict()
    snapshot.to_dict()
    snapshot.to_history()


@given(st.data())
def test_damaged_bytes_are_errors_and_no_more(data: st.DataObject) -> None:
    whole = encode_snapshot(rolecore.History(chat(2)), vectors=np.ones((2, 3), np.float32), payload=b"x")
    damaged = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for at in data.draw(st.lists(st.integers(0, max(len(damaged) - 1, 0)), max_size=4)):
        if damaged:
            damaged[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(CodecError, rolecore.MessageError, rolecore.TokenizerError):
        read_all(open_snapshot(bytes(damaged)))


def test_a_newer_version_and_another_file_are_refused() -> None:
    with pytest.raises(CodecError, match="no snapshot"):
        open_snapshot(b"x" * 100)
    with pytest.raises(CodecError, match="buffer has 0 bytes"):
        open_snapshot(b"")


NULLABLE = ["content", "name", "refusal", "tool_calls", "tool_call_id"]


@pytest.mark.parametrize("n_nulls", range(6))
def test_keys_that_are_null_come_back_null_and_cost_no_json(n_nulls: int) -> None:
    call = {"id": "call-1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    for nulls in itertools.combinations(NULLABLE, n_nulls):
        message: Message = {"role": "assistant", "content": "yes", "refusal": "no", "tool_calls": [call]}
        message |= dict.fromkeys(nulls)
        answers = [] if message["tool_calls"] is None else [{"role": "tool", "content": "7", "tool_call_id": "call-1"}]
        messages: list[Message] = [message, *answers]
        says_something = any(message[key] for key in ("content", "refusal", "tool_calls"))
        for history in (messages, rolecore.History(messages)) if says_something else (messages,):
            snapshot = open_snapshot(encode_snapshot(history))
            assert snapshot.to_dict()["messages"] == messages
            assert not says_something or snapshot.to_history().to_messages() == messages
            assert [turn.extra for turn in snapshot.turns] == [None] * len(messages)
