"""Hostile bytes through every door of Python: what is wrong is a CodecError that says what and where."""

from __future__ import annotations

import json
import re
import struct
from functools import partial
from typing import TYPE_CHECKING, Any

import flatbuffers
import numpy as np
import pytest
from chats import call, parts
from wire import snapshot_generated as wire

import rolecore
from rolecore import ArgumentError, CodecError, History
from rolecore.cli import main
from rolecore.codec import Snapshot, Turn, encode_snapshot, open_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OF_SNAPSHOT = [
    "version",
    "session_id",
    "role",
    "tokenizer",
    "summary",
    "vectors",
    "payload",
    "turns",
    "created_ms",
    "updated_ms",
    "nbytes",
]
OF_TURN = [
    "role",
    "text",
    "parts",
    "name",
    "refusal",
    "tool_calls",
    "tool_call_id",
    "extra",
    "tokens",
    "pinned",
    "time_ms",
]
OF_CALL = ["id", "name", "arguments", "is_custom", "extra"]
# What is wrong and in which place, and what to do about it.
SAYS = re.compile(r"(\S+ at byte \d+: .+|the buffer (has|is) .+|the snapshot's version is .+|a turn's \w+ is .+); .+")
HOSTILE = [0, 1, 2, 3, 5, 0xFF, 0xFFFF, 0x10000, 0x0FFFFFFF, 0x3FFFFFFF, 0x40000000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


def small() -> bytes:
    history = History(
        [
            {"role": "user", "content": "你好", "name": "Ana", "x": 1},
            {"role": "assistant", "content": None, "refusal": "no", "tool_calls": [call("a"), call("b") | {"x": 1}]},
            {"role": "tool", "tool_call_id": "a", "content": "42"},
        ]
    )
    history.append({"role": "user", "content": parts("look")}, pin=True)
    beside: dict[str, Any] = {"session_id": "s", "role": "r", "summary": "short", "payload": b"\0\xff"}
    return encode_snapshot(history, vectors=np.ones((2, 3)), **beside)


def doors(snapshot: Snapshot) -> Iterator[Callable[[], object]]:
    """All that can be asked of a snapshot, but for what parses JSON."""
    yield from (partial(getattr, snapshot, name) for name in OF_SNAPSHOT)
    yield from (snapshot.sizes, partial(repr, snapshot))
    try:
        turns = list(snapshot.turns)
    except CodecError:
        return
    for turn in turns:
        yield from (partial(getattr, turn, name) for name in OF_TURN)
        yield from (turn.sizes, partial(repr, turn))
        yield from doors_of_calls(turn)


def doors_of_calls(turn: Turn) -> Iterator[Callable[[], object]]:
    try:
        calls = turn.tool_calls or ()
    except CodecError:
        return
    for told in calls:
        yield from (partial(getattr, told, name) for name in OF_CALL)
        yield from (told.sizes, partial(repr, told))


def is_refused(read: Callable[[], object]) -> bool:
    try:
        read()
    except CodecError as error:
        said = str(error)
    else:
        return False
    assert SAYS.fullmatch(said), said
    return True


def check(data: bytes) -> bool:
    """Go through every door; whether all of it is sound."""
    if is_refused(lambda: open_snapshot(data)):
        return False
    snapshot = open_snapshot(data)
    is_sound = not is_refused(snapshot.verify)
    for read in doors(snapshot):
        assert not (is_refused(read) and is_sound)
    for whole in (snapshot.to_dict, lambda: snapshot.to_history(tokenizer="o200k_base")):
        try:
            is_refused(whole)
        except rolecore.MessageError:
            # Sound, and no chat.
            assert whole != snapshot.to_dict
    return is_sound


def test_snapshot_cut_anywhere_is_refused() -> None:
    whole = small()
    assert check(whole)
    assert not any(check(whole[:n]) for n in range(len(whole)))


def test_any_bit_flipped_is_refused_or_read() -> None:
    whole = small()
    for at in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[at] ^= 1 << bit
            check(bytes(damaged))


def test_any_word_that_leads_nowhere_in_circles_or_to_too_much_is_refused_or_read() -> None:
    whole = small()
    sound = set()
    for at in range(0, len(whole) - 3, 4):
        for word in (*HOSTILE, 2**32 - at, len(whole) - at, len(whole)):
            damaged = bytearray(whole)
            struct.pack_into("<I", damaged, at, word & 0xFFFFFFFF)
            sound.add(check(bytes(damaged)))
    # Of vectors and counts of tokens any value is good.
    assert sound == {True, False}


def built(turn_texts: dict[str, str], *, n_turns: int = 1, version: int = 1, times: tuple[int, int] = (0, 0)) -> bytes:
    """A snapshot whose turns are all the same one, as no writer of ours makes it."""
    builder = flatbuffers.Builder()
    texts = {name: builder.CreateString(text) for name, text in turn_texts.items()}
    wire.TurnStart(builder)
    for name, text in texts.items():
        getattr(wire, f"TurnAdd{name}")(builder, text)
    turn = wire.TurnEnd(builder)
    wire.SnapshotStartTurnsVector(builder, n_turns)
    for _ in range(n_turns):
        builder.PrependUOffsetTRelative(turn)
    turns = builder.EndVector()
    wire.SnapshotStart(builder)
    wire.SnapshotAddVersion(builder, version)
    wire.SnapshotAddTurns(builder, turns)
    wire.SnapshotAddCreatedMs(builder, times[0])
    wire.SnapshotAddUpdatedMs(builder, times[1])
    builder.Finish(wire.SnapshotEnd(builder), file_identifier=b"RCSS")
    return bytes(builder.Output())


@pytest.mark.parametrize("field", ["Parts", "Extra"])
@pytest.mark.parametrize("text", ["", "{", "nil", "'x'", "[" * 100_000, '{"a":' * 100_000, "9" * 5000, "\ufeff[]"])
def test_text_that_is_no_json_is_refused_when_it_is_parsed(field: str, text: str, tmp_path: Path) -> None:
    snapshot = open_snapshot(built({field: text}))
    snapshot.verify()
    assert getattr(snapshot.turns[0], field.lower()) == text
    (tmp_path / "s").write_bytes(built({field: text}))
    for whole in (snapshot.turns[0].to_dict, snapshot.to_dict, snapshot.to_history):
        assert is_refused(whole)
    with pytest.raises(
        CodecError, match=f"{tmp_path / 's'} cannot be loaded: a turn's {field.lower()} is not the JSON"
    ):
        History.load(tmp_path / "s")


@pytest.mark.parametrize("text", ["[]", "7", "null", '"x"'])
def test_other_keys_that_are_no_object_are_refused(text: str) -> None:
    assert is_refused(open_snapshot(built({"Extra": text})).to_dict)
    assert json.loads(text) is None or is_refused(open_snapshot(built({"Extra": text})).to_history)


@pytest.mark.parametrize("text", ["{}", "7", "null", '"x"'])
def test_parts_that_are_no_list_are_refused(text: str) -> None:
    snapshot = open_snapshot(built({"Parts": text}))
    for whole in (snapshot.turns[0].to_dict, snapshot.to_dict, snapshot.to_history):
        with pytest.raises(CodecError, match="a turn's parts is not the JSON it must be"):
            whole()


@pytest.mark.parametrize("raised", [KeyboardInterrupt, MemoryError, SystemError])
@pytest.mark.parametrize("field", ["Parts", "Extra"])
def test_what_ends_the_parsing_of_sound_json_is_no_damage(
    field: str, raised: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = open_snapshot(built({field: "[]"}))

    def loads(_: str) -> None:
        raise raised

    monkeypatch.setattr(json, "loads", loads)
    with pytest.raises(raised):
        snapshot.to_dict()


def test_dict_holds_the_times_of_the_session() -> None:
    snapshot = open_snapshot(built({"Text": "hi"}, times=(1_700_000_000_000, 1_700_000_360_000)))
    told = snapshot.to_dict()
    assert (told["created_ms"], told["updated_ms"]) == (1_700_000_000_000, 1_700_000_360_000)
    assert set(told) - {"messages", "pinned"} == set(OF_SNAPSHOT) - {"turns", "nbytes"}


@pytest.mark.parametrize("dim", [0, 3])
@pytest.mark.parametrize("shift", range(4))
def test_no_vectors_have_the_shape_of_none(dim: int, shift: int) -> None:
    # Ours leaves the field away.
    builder = flatbuffers.Builder()
    vectors = builder.CreateNumpyVector(np.zeros(0, np.float32))
    wire.SnapshotStart(builder)
    wire.SnapshotAddVectorDim(builder, dim)
    wire.SnapshotAddVectors(builder, vectors)
    builder.Finish(wire.SnapshotEnd(builder), file_identifier=b"RCSS")
    snapshot = open_snapshot(memoryview(b"x" * shift + bytes(builder.Output()))[shift:])
    assert snapshot.vectors is not None
    assert snapshot.vectors.shape == (0, dim)


def test_texts_that_stand_for_far_more_than_there_is_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # 20 GB of text in 1 MB.
    data = built({"Text": "x" * 1_000_000}, n_turns=20_000)
    snapshot = open_snapshot(data)
    assert len(snapshot.turns[19_999].text or "") == 1_000_000
    with pytest.raises(CodecError, match=r"shares its texts or tables so much .*; write each text where it is used"):
        snapshot.verify()
    (tmp_path / "s").write_bytes(data)
    with pytest.raises(CodecError, match=r"cannot be loaded: .* shares its texts"):
        History.load(tmp_path / "s")
    assert main(["inspect", str(tmp_path / "s")]) == 2
    assert "shares its texts" in capsys.readouterr().err


def test_newer_version_is_refused_with_both_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = built({}, version=2)
    (tmp_path / "s").write_bytes(data)
    why = "version is 2, this release reads up to 1; upgrade rolecore"
    with pytest.raises(CodecError, match=why):
        open_snapshot(data)
    with pytest.raises(CodecError, match=why):
        History.load(tmp_path / "s")
    assert main(["inspect", str(tmp_path / "s")]) == 2
    assert why in capsys.readouterr().err


@pytest.mark.parametrize(
    "buffer",
    [
        memoryview(bytes(64))[::2],
        memoryview(bytes(64))[::-1],
        memoryview(bytes(64)).cast("I"),
        np.zeros(16, np.float32),
        np.zeros((8, 8), np.uint8).T[1:],
    ],
)
def test_buffer_that_is_no_run_of_bytes_is_refused(buffer: Any) -> None:
    with pytest.raises(ArgumentError, match=r"buffer is .*; it must be contiguous bytes"):
        open_snapshot(buffer)


def test_wrong_kinds_of_arguments_are_refused() -> None:
    with pytest.raises(ArgumentError, match="copy is of type int; it must be a bool"):
        open_snapshot(small(), copy=7)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError):
        open_snapshot(small()).to_history(tokenizer=7)  # type: ignore[arg-type]
    for index in (2**70, -(2**70)):
        with pytest.raises(IndexError, match="out of range"):
            _ = open_snapshot(small()).turns[index]
    with pytest.raises(TypeError):
        _ = open_snapshot(small()).turns["0"]
