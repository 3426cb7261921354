"""Question: how many times as fast is reading a snapshot as parsing the same session with protobuf (upb) or msgspec?

Input: sessions of about 1 MB (codec_shapes.py), and of 1 kB and 100 MB for what must not grow. Rows: open and read one
field, against protobuf's parse and the same field; open and take the vectors as an array, against protobuf's parse and
`np.frombuffer` of a bytes field; `verify`, which checks all texts too, against protobuf's parse, which does; `to_dict`
against msgspec's decode of the same dicts, and of structs, which is told only, since `to_dict` makes dicts. Each runner
runs twice in turns with the rest (codec_contest.py); a bar is held against the faster of the two. "Open and one field"
leaves undone what a parse does: nothing is checked or built but the way to that field. Oracle: what each reads is what
went in.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("google.protobuf", reason="needs the peers: make bench-codec")

import codec_proto
import msgspec
import numpy as np
from codec_contest import Contest, reaches, stays_under
from codec_peers import msgspec_of, protobuf_of, rolecore_of
from codec_shapes import FIELDS, NAMES, shape

from rolecore.codec import encode_snapshot, open_snapshot

if TYPE_CHECKING:
    from codec_contest import Run
    from conftest import Figures, Interleaved

# Of times under 1 us, by what happens to lie in the processor's caches; a cost a byte would make it 100,000.
MAX_GROWTH = 1.5
LAST = {"role": "user", "content": "And what came last?"}
SIZES = {"1 kB": 1 / 1000, "1 MB": 1.0, "100 MB": 100.0}


def compare(interleaved: Interleaved, row: str, runs: dict[str, Run], bars: tuple[float, float], note: str) -> bool:
    """Keep the row of rolecore against protobuf and the A/A rows; return whether the bar is reached."""
    contest = Contest(runs, twice=("rolecore", "protobuf"))
    ratio = contest.against(interleaved, f"{row} : protobuf {note} ({bars[0]}; {bars[1]})", "rolecore", "protobuf")
    contest.noise(interleaved, row)
    return reaches(bars[0], ratio)


@pytest.mark.parametrize("name", NAMES)
def test_session_id(interleaved: Interleaved, name: str) -> None:
    session = shape(name)
    ours, theirs = rolecore_of(session).check(session), protobuf_of(session).check(session)
    parse = codec_proto.Session.FromString
    runs: dict[str, Run] = {
        "rolecore": lambda: open_snapshot(ours).session_id,
        "protobuf": lambda: parse(theirs).session_id,
    }
    assert runs["rolecore"]() == runs["protobuf"]() == FIELDS["session_id"]
    assert compare(interleaved, f"open + session_id/{name}", runs, (90, 200), "parse")


@pytest.mark.parametrize("name", ["text", "chinese", "vectors"])
def test_one_turn(interleaved: Interleaved, name: str) -> None:
    session = shape(name)
    ours, theirs = rolecore_of(session).check(session), protobuf_of(session).check(session)
    parse, turn = codec_proto.Session.FromString, session.turn
    runs: dict[str, Run] = {
        "rolecore": lambda: open_snapshot(ours).turns[turn].text,
        "protobuf": lambda: parse(theirs).turns[turn].text,
    }
    assert runs["rolecore"]() == runs["protobuf"]() == session.messages[turn]["content"]
    assert compare(interleaved, f"open + turns[k].text/{name}", runs, (90, 200), "parse")


@pytest.mark.parametrize("name", ["text", "vectors", "blob"])
def test_open_does_not_grow(figures: Figures, interleaved: Interleaved, name: str) -> None:
    runs: dict[str, Run] = {}
    for size, times in SIZES.items():
        session = shape(name, times=times)
        data = encode_snapshot([*session.messages, LAST], **session.options)
        runs[size] = partial(_two_fields, data)
        assert runs[size]() == (FIELDS["session_id"], LAST["content"])
    contest = Contest(runs, twice=runs)
    row = f"open + session_id + last turn/{name}"
    contest.noise(interleaved, row)
    rows = [
        contest.above(interleaved, f"{row}, {size}, times 1 kB (at most 1.5)", size, "1 kB") for size in list(runs)[1:]
    ]
    for size in runs:
        figures(f"{row}, {size}", contest.median_us(size), "us")
    assert all(stays_under(MAX_GROWTH, row) for row in rows)


def _two_fields(data: bytes) -> tuple[str, str | None]:
    opened = open_snapshot(data)
    return opened.session_id, opened.turns[-1].text


def test_vectors_as_array(interleaved: Interleaved) -> None:
    session = shape("vectors")
    ours, theirs, packed = (
        peer.check(session)
        for peer in (rolecore_of(session), protobuf_of(session), protobuf_of(session, is_packed=True))
    )
    parse = codec_proto.Session.FromString

    def of_bytes() -> Any:
        opened = parse(theirs)
        return np.frombuffer(opened.vector_bytes, np.float32).reshape(-1, opened.vector_dim)

    def of_floats() -> Any:
        opened = parse(packed)
        return np.asarray(opened.vectors, np.float32).reshape(-1, opened.vector_dim)

    runs: dict[str, Run] = {
        "rolecore": lambda: open_snapshot(ours).vectors,
        "protobuf": of_bytes,
        "protobuf, packed floats": of_floats,
    }
    assert all(np.array_equal(run(), session.vectors) for run in runs.values())
    contest = Contest(runs, twice=runs)
    row = "open + vectors as an array"
    ratio = contest.against(interleaved, f"{row} : protobuf bytes + frombuffer (80; 150)", "rolecore", "protobuf")
    contest.against(interleaved, f"{row} : protobuf packed floats + asarray", "rolecore", "protobuf, packed floats")
    contest.noise(interleaved, row)
    assert reaches(80, ratio)


@pytest.mark.parametrize("name", ["text", "chinese"])
def test_verify(interleaved: Interleaved, name: str) -> None:
    session = shape(name)
    ours, theirs = rolecore_of(session).check(session), protobuf_of(session).check(session)
    text = session.messages[session.turn]["content"].encode()
    # Both must look at every byte of a text, else this would be no comparison.
    with pytest.raises(ValueError, match="UTF-8"):
        open_snapshot(ours.replace(text, text[:-1] + b"\xff")).verify()
    with pytest.raises(codec_proto.DecodeError, match="UTF-8"):
        codec_proto.Session.FromString(theirs.replace(text, text[:-1] + b"\xff"))
    parse = codec_proto.Session.FromString
    runs: dict[str, Run] = {"rolecore": lambda: open_snapshot(ours).verify(), "protobuf": lambda: parse(theirs)}
    assert compare(interleaved, f"open + verify/{name}", runs, (1, 2), "parse")


@pytest.mark.parametrize("name", ["text", "chinese"])
def test_to_dict(interleaved: Interleaved, name: str) -> None:
    session = shape(name)
    ours, structs = rolecore_of(session).check(session), msgspec_of(session)
    told = open_snapshot(ours).to_dict()
    assert told["messages"] == session.messages
    same_dicts = msgspec.msgpack.encode(told)
    decode = msgspec.msgpack.Decoder().decode
    assert decode(same_dicts) == told
    runs: dict[str, Run] = {
        "rolecore": lambda: open_snapshot(ours).to_dict(),
        "msgspec": partial(decode, same_dicts),
        "msgspec structs": partial(structs.open, structs.check(session)),
    }
    contest = Contest(runs, twice=runs)
    row = f"open + to_dict/{name}"
    ratio = contest.against(interleaved, f"{row} : msgspec decode to dicts (0.8; 1)", "rolecore", "msgspec")
    contest.against(interleaved, f"{row} : msgspec decode to structs", "rolecore", "msgspec structs")
    contest.noise(interleaved, row)
    assert reaches(0.8, ratio)
