"""Question: how many times as fast is `encode_snapshot` as protobuf (upb), and how near to a copy of the same bytes?

Input: sessions of about 1 MB (codec_shapes.py). From a History against protobuf's `SerializeToString` of a message that
is there; from dicts against protobuf's message made from the same dicts and serialised; vectors and a blob against a
copy into fresh bytes. Each runner runs twice, in turns with the rest, in an order drawn anew (codec_contest.py); a bar
is held against the faster of the two. Oracle: what each writes reads back as what went in (codec_peers.py). A row's
name ends with what it must reach and what it aims for.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("google.protobuf", reason="needs the peers: make bench-codec")

import codec_proto
from codec_contest import Contest, reaches, stays_under
from codec_peers import memcpy_of, protobuf_of, rolecore_of
from codec_shapes import shape

from rolecore.codec import encode_snapshot, open_snapshot

if TYPE_CHECKING:
    from conftest import Interleaved


@pytest.mark.parametrize("name", ["text", "chinese"])
def test_text_from_history(interleaved: Interleaved, name: str) -> None:
    session = shape(name)
    ours, theirs = rolecore_of(session), protobuf_of(session)
    theirs.check(session)
    runs = {"rolecore": ours.encode, "protobuf": theirs.encode, "memcpy": memcpy_of(ours.check(session))}
    contest = Contest(runs, twice=runs)
    row = f"encode/{name}/History"
    faster = contest.against(interleaved, f"{row} : protobuf prebuilt (4; 6)", "rolecore", "protobuf")
    floor = contest.above(interleaved, f"{row}, times memcpy (at most 2; 1.5)", "rolecore", "memcpy")
    contest.noise(interleaved, row)
    assert reaches(4, faster)
    assert stays_under(2, floor)


@pytest.mark.parametrize("name", ["text", "chinese"])
def test_text_from_dicts(interleaved: Interleaved, name: str) -> None:
    session = shape(name)
    ours = partial(encode_snapshot, session.messages, **session.options)
    assert open_snapshot(ours()).to_dict()["messages"] == session.messages
    theirs = lambda: codec_proto.session(session).SerializeToString()  # noqa: E731  a runner as the others are
    assert [turn.text or None for turn in codec_proto.Session.FromString(theirs()).turns] == [
        message["content"] for message in session.messages
    ]
    runs = {"rolecore": ours, "protobuf": theirs}
    contest = Contest(runs, twice=runs)
    faster = contest.against(interleaved, f"encode/{name}/dicts : protobuf from dicts (6; 10)", "rolecore", "protobuf")
    contest.noise(interleaved, f"encode/{name}/dicts")
    assert reaches(6, faster)


@pytest.mark.parametrize("name", ["vectors", "blob"])
def test_bytes_against_a_copy(interleaved: Interleaved, name: str) -> None:
    session = shape(name)
    ours, theirs = rolecore_of(session), protobuf_of(session)
    theirs.check(session)
    runs = {"rolecore": ours.encode, "protobuf": theirs.encode, "memcpy": memcpy_of(ours.check(session))}
    contest = Contest(runs, twice=runs)
    floor = contest.above(interleaved, f"encode/{name}, times memcpy (at most 1.5; 1.2)", "rolecore", "memcpy")
    contest.against(interleaved, f"encode/{name} : protobuf prebuilt", "rolecore", "protobuf")
    contest.noise(interleaved, f"encode/{name}")
    assert stays_under(1.5, floor)
