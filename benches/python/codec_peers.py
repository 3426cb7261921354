"""What each serialiser does with a shape, at its best settings, checked against the shape before anything is timed.

A peer encodes from what it likes best, made beforehand: rolecore from a History, protobuf from messages, msgspec from
array-like structs with one encoder, orjson and pickle (protocol 5) from dicts. Vectors and payloads travel as raw
bytes wherever there is a type for them; msgspec reads them back as memoryviews, without a copy, pickle with one.
orjson writes vectors as decimal numbers and has no place for a blob. memcpy makes fresh bytes of a bytearray.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import codec_proto
import msgspec
import numpy as np
import orjson

from rolecore.codec import encode_snapshot, open_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from codec_shapes import Shape

Read = list[tuple[str, str | None, int]]


class Call(msgspec.Struct, array_like=True, gc=False):
    """A tool call."""

    id: str
    name: str
    arguments: str


class Turn(msgspec.Struct, array_like=True, gc=False):
    """A message."""

    role: str
    text: str | None
    tokens: int
    is_pinned: bool = False
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None


class Session(msgspec.Struct, array_like=True, gc=False):
    """A session; a memoryview is read without a copy."""

    session_id: str
    role: str
    summary: str
    turns: list[Turn]
    vector_dim: int = 0
    vectors: memoryview | None = None
    payload: memoryview | None = None


def record(shape: Shape) -> dict[str, Any]:
    """Return a shape as plain dicts, with tokens; vectors stay an array."""
    turns = []
    for index, message in enumerate(shape.messages):
        turn = {"role": message["role"], "text": message["content"], "tokens": shape.tokens[index]}
        if index == 0:
            turn["is_pinned"] = True
        if calls := message.get("tool_calls"):
            turn["tool_calls"] = [{"id": call["id"]} | call["function"] for call in calls]
        if "tool_call_id" in message:
            turn["tool_call_id"] = message["tool_call_id"]
        turns.append(turn)
    fields = {name: value for name, value in shape.options.items() if name not in {"vectors", "payload"}}
    return fields | {"turns": turns, "vectors": shape.vectors, "payload": shape.payload}


def structs(shape: Shape) -> Session:
    """Return a shape as msgspec's structs."""
    beside: dict[str, Any] = {}
    if shape.vectors is not None:
        beside = {"vector_dim": shape.vectors.shape[1], "vectors": memoryview(shape.vectors).cast("B")}
    if shape.payload is not None:
        beside["payload"] = memoryview(shape.payload)
    turns = msgspec.convert([_in_order(turn) for turn in record(shape)["turns"]], list[Turn])
    return Session(*(shape.options[name] for name in ("session_id", "role", "summary")), turns, **beside)


def _in_order(turn: dict[str, Any]) -> list[Any]:
    calls = turn.get("tool_calls")
    rows = calls and [[call["id"], call["name"], call["arguments"]] for call in calls]
    return [turn["role"], turn["text"], turn["tokens"], turn.get("is_pinned", False), rows, turn.get("tool_call_id")]


@dataclass(frozen=True)
class Peer:
    """A serialiser and a shape. `open` returns a session of its own kind, which the other functions take."""

    name: str
    encode: Callable[[], bytes]
    open: Callable[[bytes], Any]
    session_id: Callable[[Any], str]
    text: Callable[[Any, int], str]
    all_turns: Callable[[Any], Read]
    vectors: Callable[[Any], Any]
    payload: Callable[[Any], Any]

    def check(self, shape: Shape) -> bytes:
        """Return the bytes, once what comes back is what went in."""
        data = self.encode()
        opened = self.open(data)
        assert self.session_id(opened) == shape.options["session_id"]
        told = [(m["role"], m["content"], n) for m, n in zip(shape.messages, shape.tokens, strict=True)]
        assert [(_role(role), text or None, n) for role, text, n in self.all_turns(opened)] == told
        if shape.messages:
            assert self.text(opened, shape.turn) == shape.messages[shape.turn]["content"]
        if shape.vectors is not None:
            assert np.array_equal(self.vectors(opened), shape.vectors)
        if shape.payload is not None:
            assert bytes(self.payload(opened)) == shape.payload
        return data


def _role(role: str | int) -> str:
    return role if isinstance(role, str) else codec_proto.ROLES[role]


def _attributes(opened: Any) -> Read:
    return [(turn.role, turn.text, turn.tokens) for turn in opened.turns]


def _items(opened: Any) -> Read:
    return [(turn["role"], turn["text"], turn["tokens"]) for turn in opened["turns"]]


def of_item(peer: str, encode: Callable[[], bytes], opener: Callable[[bytes], Any]) -> Peer:
    """Return a peer whose sessions are dicts."""
    return Peer(
        peer,
        encode,
        opener,
        lambda opened: opened["session_id"],
        lambda opened, index: opened["turns"][index]["text"],
        _items,
        lambda opened: np.asarray(opened["vectors"], np.float32),
        lambda opened: opened["payload"],
    )


def of_attribute(
    peer: str, encode: Callable[[], bytes], opener: Callable[[bytes], Any], vectors: Callable[[Any], Any]
) -> Peer:
    """Return a peer whose sessions have attributes."""
    return Peer(
        peer,
        encode,
        opener,
        lambda opened: opened.session_id,
        lambda opened, index: opened.turns[index].text,
        _attributes,
        vectors,
        lambda opened: opened.payload,
    )


def rolecore_of(shape: Shape) -> Peer:
    """Return rolecore, which encodes from a History."""
    encode = partial(encode_snapshot, shape.history, **shape.options)
    return of_attribute("rolecore", encode, open_snapshot, lambda opened: opened.vectors)


def protobuf_of(shape: Shape, *, is_packed: bool = False) -> Peer:
    """Return protobuf, which serialises a message that is there; `is_packed`: vectors as repeated float."""
    if is_packed:
        # By the buffer that the field gives away: a list of its numbers takes a thousand times as long.
        def vectors(opened: Any) -> Any:
            return np.asarray(opened.vectors, np.float32).reshape(-1, opened.vector_dim)
    else:

        def vectors(opened: Any) -> Any:
            return np.frombuffer(opened.vector_bytes, np.float32).reshape(-1, opened.vector_dim)

    encode = codec_proto.counted(shape, is_packed=is_packed).SerializeToString
    name = "protobuf, packed floats" if is_packed else "protobuf"
    return of_attribute(name, encode, codec_proto.Session.FromString, vectors)


def msgspec_of(shape: Shape) -> Peer:
    """Return msgspec, which writes MessagePack of structs."""
    encode = partial(msgspec.msgpack.Encoder().encode, structs(shape))
    opener = msgspec.msgpack.Decoder(Session).decode
    return of_attribute(
        "msgspec",
        encode,
        opener,
        lambda opened: np.frombuffer(opened.vectors, np.float32).reshape(-1, opened.vector_dim),
    )


def pickle_of(shape: Shape) -> Peer:
    """Return pickle, with everything in one string of bytes."""
    return of_item("pickle 5", partial(pickle.dumps, record(shape), protocol=5), pickle.loads)


def orjson_of(shape: Shape) -> Peer:
    """Return orjson, which has no place for a blob."""
    encode = partial(orjson.dumps, record(shape), option=orjson.OPT_SERIALIZE_NUMPY)
    return of_item("orjson", encode, orjson.loads)


def peers(shape: Shape) -> list[Peer]:
    """Return all that can take a shape."""
    found = [rolecore_of(shape), protobuf_of(shape), msgspec_of(shape), pickle_of(shape)]
    if shape.vectors is not None:
        found.insert(2, protobuf_of(shape, is_packed=True))
    return found if shape.payload is not None else [*found, orjson_of(shape)]


def memcpy_of(data: bytes) -> Callable[[], bytes]:
    """Return what copies as many bytes into fresh ones."""
    return partial(bytes, bytearray(data))
