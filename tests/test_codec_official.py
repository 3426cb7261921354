"""The official Python runtime as an oracle: it reads what we write, and we read whatever it may write, each field."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import flatbuffers
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_codec import JSON, OTHERS, TEXT, messages
from test_wire import SCHEMAS, camel, read

import rolecore
from rolecore.codec import encode_snapshot, open_snapshot

if TYPE_CHECKING:
    from test_wire import Field

Fields = dict[str, Any]
SNAPSHOT = next(path for path in SCHEMAS if path.stem == "snapshot")
ROLES = ("system", "developer", "user", "assistant", "tool")
NULLABLE = ["content", "name", "refusal", "tool_calls", "tool_call_id"]
NUMBERS: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "ubyte": st.integers(0, 2**8 - 1),
    "ushort": st.integers(0, 2**16 - 1),
    "uint": st.integers(0, 2**32 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "ulong": st.integers(0, 2**64 - 1),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
}


@dataclass(frozen=True)
class Wire:
    """A schema with the code that was generated from it."""

    module: Any
    root: str
    identifier: bytes
    tables: dict[str, list[Field]]
    enums: dict[str, list[int]]


@cache
def wire(name: str) -> Wire:
    schema = read(next(path for path in SCHEMAS if path.stem == name))
    module = import_module(f"wire.{name}_generated")
    enums = {
        enum: [value for key, value in vars(getattr(module, enum)).items() if not key.startswith("_")]
        for enum in schema.enums()
    }
    identifier = schema.one(r'^file_identifier "(\w{4})";$').encode()
    return Wire(module, schema.root, identifier, schema.tables(), enums)


@dataclass(frozen=True)
class Style:
    """What a writer is free to choose."""

    writes_defaults: bool
    shares_texts: bool
    order: int
    is_newer: bool


STYLES = st.builds(Style, st.booleans(), st.booleans(), st.integers(0, 999), st.booleans())


def values(of: Wire, table: str, given: dict[tuple[str, str], st.SearchStrategy[Any]]) -> st.SearchStrategy[Fields]:
    """Any table: each field has a value, or its default, or is absent where it may be."""

    def value(field: Field) -> st.SearchStrategy[Any]:
        inner = field.type.strip("[]")
        if (table, field.name) in given:
            return given[table, field.name]
        if field.type in of.enums:
            return st.sampled_from(of.enums[field.type])
        if field.type in NUMBERS:
            return NUMBERS[field.type] | st.just(number(of, field))
        if inner in of.tables:
            one = values(of, inner, given)
            return st.none() | (st.lists(one, max_size=3) if field.type != inner else one)
        if inner == "string":
            return st.none() | TEXT
        return st.none() | (st.binary(max_size=9) if inner == "ubyte" else st.lists(NUMBERS[inner], max_size=9))

    return st.fixed_dictionaries({field.name: value(field) for field in of.tables[table]})


def number(of: Wire, field: Field) -> Any:
    assert field.default is not None
    if field.type in of.enums:
        return getattr(getattr(of.module, field.type), field.default)
    return json.loads(field.default)


def write(of: Wire, told: Fields, style: Style) -> bytes:
    builder = flatbuffers.Builder()
    builder.ForceDefaults(style.writes_defaults)
    builder.Finish(_write_table(of, of.root, told, style, builder), file_identifier=of.identifier)
    return bytes(builder.Output())


def _write_table(of: Wire, table: str, told: Fields, style: Style, builder: Any) -> int:
    def stored(field: Field, value: Any) -> Any:
        inner = field.type.strip("[]")
        if field.type == "string":
            return builder.CreateSharedString(value) if style.shares_texts else builder.CreateString(value)
        if field.type == "[ubyte]":
            return builder.CreateByteVector(value)
        if field.type == "[float]":
            return builder.CreateNumpyVector(np.array(value, np.float32))
        if field.type == inner:
            return _write_table(of, inner, value, style, builder) if inner in of.tables else value
        places = [_write_table(of, inner, one, style, builder) for one in value]
        builder.StartVector(4, len(places), 4)
        for place in reversed(places):
            builder.PrependUOffsetTRelative(place)
        return builder.EndVector()

    order = random.Random(style.order)  # noqa: S311  any order will do
    fields = order.sample(of.tables[table], len(of.tables[table]))
    ready = [(field, stored(field, told[field.name])) for field in fields if told[field.name] is not None]
    later = builder.CreateString("of a later version") if style.is_newer else 0
    order.shuffle(ready)
    n_fields = len(fields)
    builder.StartObject(n_fields + 3 * style.is_newer)
    for field, value in ready:
        getattr(of.module, f"{table}Add{camel(field.name)}")(builder, value)
    if style.is_newer:
        builder.PrependInt64Slot(n_fields, 7, 0)
        builder.PrependUOffsetTRelativeSlot(n_fields + 1, later, 0)
        builder.PrependUint16Slot(n_fields + 2, 7, 0)
    return int(builder.EndObject())


def official(of: Wire, data: bytes) -> Fields:
    root = getattr(of.module, of.root)
    assert getattr(root, f"{of.root}BufferHasIdentifier")(data, 0)
    return _read_table(of, of.root, root.GetRootAs(data))


def _read_table(of: Wire, table: str, found: Any) -> Fields:
    def value(field: Field) -> Any:
        name, inner = camel(field.name), field.type.strip("[]")
        if field.type == inner:
            value = getattr(found, name)()
            if inner in of.tables:
                return None if value is None else _read_table(of, inner, value)
            return value.decode() if isinstance(value, bytes) else value
        if getattr(found, f"{name}IsNone")():
            return None
        if inner in of.tables:
            each = range(getattr(found, f"{name}Length")())
            return [_read_table(of, inner, getattr(found, name)(index)) for index in each]
        array = getattr(found, f"{name}AsNumpy")()
        return array.tobytes() if inner == "ubyte" else array.tolist()

    return {field.name: value(field) for field in of.tables[table]}


def ours(data: bytes) -> Fields:
    """The same fields by our views, which know no difference between none and an empty one for some."""
    snapshot = open_snapshot(data)
    snapshot.verify()
    vectors, payload = snapshot.vectors, snapshot.payload
    return {
        "version": snapshot.version,
        "session_id": snapshot.session_id,
        "role": snapshot.role,
        "tokenizer": snapshot.tokenizer,
        "turns": [
            {
                "role": ROLES.index(turn.role),
                **{name: getattr(turn, name) for name in ("text", "parts", "name", "refusal")},
                "tool_calls": None
                if turn.tool_calls is None
                else [
                    {name: getattr(call, name) for name in ("id", "name", "arguments", "is_custom", "extra")}
                    for call in turn.tool_calls
                ],
                **{name: getattr(turn, name) for name in ("tool_call_id", "extra", "tokens")},
                "is_pinned": turn.pinned,
                "time_ms": turn.time_ms,
            }
            for turn in snapshot.turns
        ],
        "summary": snapshot.summary,
        "vector_dim": None if vectors is None else vectors.shape[1],
        "vectors": None if vectors is None else vectors.ravel().tolist(),
        "payload": None if payload is None else bytes(payload),
        "created_ms": snapshot.created_ms,
        "updated_ms": snapshot.updated_ms,
    }


def as_ours(told: Fields) -> Fields:
    # Which keys are null is seen in the messages.
    turns = [{name: turn[name] for name in turn if name != "nulls"} for turn in told["turns"] or []]
    empty = {"session_id": told["session_id"] or "", "role": told["role"] or "", "turns": turns}
    return {**told, **empty, "vector_dim": None if told["vectors"] is None else told["vector_dim"]}


def message(turn: Fields) -> Fields:
    """The message that a turn's fields make, as the schema says."""
    told: Fields = {"role": ROLES[turn["role"]]}
    told |= {key: None for bit, key in enumerate(NULLABLE) if turn["nulls"] & 1 << bit}
    told |= {"content": turn["text"]} if turn["text"] is not None else {}
    told |= {"content": json.loads(turn["parts"])} if turn["parts"] is not None else {}
    told |= {name: turn[name] for name in ("name", "refusal", "tool_call_id") if turn[name] is not None}
    if turn["tool_calls"] is not None:
        told["tool_calls"] = [
            {
                "id": call["id"],
                "type": "custom" if call["is_custom"] else "function",
                ("custom" if call["is_custom"] else "function"): {
                    "name": call["name"],
                    ("input" if call["is_custom"] else "arguments"): call["arguments"],
                },
            }
            | json.loads(call["extra"] or "{}")
            for call in turn["tool_calls"]
        ]
    told |= json.loads(turn["extra"] or "{}")
    return told


EXTRA = st.none() | OTHERS.map(json.dumps)
SESSIONS = values(
    wire("snapshot"),
    "Snapshot",
    {
        ("Snapshot", "version"): st.just(1),
        ("Snapshot", "vector_dim"): st.integers(0, 4) | st.just(2**32 - 1),
        ("Snapshot", "vectors"): st.none() | st.lists(NUMBERS["float"], max_size=12),
        ("Turn", "parts"): st.none() | st.lists(JSON, max_size=2).map(json.dumps),
        ("Turn", "extra"): EXTRA,
        ("Turn", "nulls"): st.integers(0, 31),
        ("ToolCall", "extra"): EXTRA,
    },
)


@st.composite
def sessions(draw: st.DrawFn) -> Fields:
    told = draw(SESSIONS)
    dim = told["vector_dim"]
    if told["vectors"] is not None:
        told["vectors"] = told["vectors"][: len(told["vectors"]) // dim * dim if dim else 0]
    return told


@pytest.mark.parametrize("name", [path.stem for path in SCHEMAS])
@given(data=st.data(), style=STYLES)
def test_any_table_comes_back_through_generated_code(name: str, data: st.DataObject, style: Style) -> None:
    of = wire(name)
    told = data.draw(values(of, of.root, {}))
    assert official(of, write(of, told, style)) == told


@given(sessions(), STYLES)
def test_we_read_what_the_official_builder_writes(told: Fields, style: Style) -> None:
    data = write(wire("snapshot"), told, style)
    assert official(wire("snapshot"), data) == told
    assert ours(data) == as_ours(told)
    snapshot = open_snapshot(data)
    said = [message(turn) for turn in told["turns"] or []]
    assert snapshot.to_dict()["messages"] == said
    assert [turn.to_dict() for turn in snapshot.turns] == said
    assert snapshot.to_dict()["pinned"] == [i for i, turn in enumerate(told["turns"] or []) if turn["is_pinned"]]
    try:
        expected = rolecore.History(said)
    except rolecore.MessageError:
        with pytest.raises(rolecore.MessageError):
            snapshot.to_history(tokenizer="o200k_base")
        return
    again = snapshot.to_history(tokenizer="o200k_base")
    assert again.to_messages() == said
    assert again.tokens == expected.tokens


@given(
    st.lists(st.tuples(messages(), st.booleans()), max_size=4),
    st.fixed_dictionaries({"session_id": TEXT, "role": TEXT, "summary": st.none() | TEXT}),
    st.none() | st.lists(st.lists(NUMBERS["float"], min_size=3, max_size=3), min_size=1, max_size=3),
    st.none() | st.binary(max_size=20),
)
def test_the_official_reader_reads_what_we_write(
    turns: list[tuple[Fields, bool]], texts: Fields, vectors: list[list[float]] | None, payload: bytes | None
) -> None:
    history = rolecore.History(tokenizer="cl100k_base")
    for told, pin in turns:
        history.append(told, pin=pin)
    given_vectors = None if vectors is None else np.array(vectors, np.float32)
    data = encode_snapshot(history, **texts, vectors=given_vectors, payload=payload)
    found = official(wire("snapshot"), data)
    assert ours(data) == as_ours(found)
    assert {name: found[name] for name in found if name != "turns"} == {
        "version": 1,
        "session_id": texts["session_id"] or None,
        "role": texts["role"] or None,
        "tokenizer": "cl100k_base",
        "summary": texts["summary"],
        "vector_dim": 0 if vectors is None else 3,
        "vectors": None if given_vectors is None else given_vectors.ravel().tolist(),
        "payload": payload,
        "created_ms": 0,
        "updated_ms": 0,
    }
    tokenizer = rolecore.tokenizer("cl100k_base")
    for (told, pin), turn in zip(turns, found["turns"] or [], strict=True):
        assert message(turn) == told
        assert (turn["is_pinned"], turn["time_ms"]) == (pin, 0)
        assert turn["tokens"] == tokenizer.count_messages([told])
        content = told["content"]
        assert turn["text"] == (content if isinstance(content, str) else None)
        assert (turn["parts"] is not None) == isinstance(content, list)
        for name in ("name", "refusal", "tool_call_id"):
            assert turn[name] == told.get(name)
