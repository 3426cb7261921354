"""Question: how many sessions a second are encoded, sent through a Unix socket to another process, and opened there?

Input: text and vectors of about 1 MB (codec_shapes.py), offered without pause: a block of sessions, each encoded anew
from a History or from protobuf's message, sent, received into a buffer that is there, opened, and two fields read
(codec_socket.py). rolecore's bytes are sent in pieces, as `encode_snapshot_buffers` gives them; protobuf has only whole
ones. Wall clock from the first to the answer to the last. Beside it the same bytes as rolecore's, neither
encoded nor opened: what the socket alone takes. Oracle: the sizes of the fields that were read.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("google.protobuf", reason="needs the peers: make bench-codec")

from codec_contest import Contest, reaches
from codec_peers import protobuf_of, rolecore_of
from codec_shapes import FIELDS, Shape, shape
from codec_socket import ANSWER, END, HEADER, PROTOBUF, RAW, ROLECORE

from rolecore.codec import encode_snapshot_buffers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from codec_contest import Run
    from conftest import Interleaved

BLOCK = 40
SETUPS = [("text", 2, 3), ("vectors", 1.2, 1.5)]


@pytest.fixture(params=SETUPS, ids=[name for name, *_ in SETUPS])
def setup(request: pytest.FixtureRequest) -> Iterator[tuple[Shape, float, float, socket.socket]]:
    """Start the process that receives."""
    name, must, aim = request.param
    session = shape(name)
    ours, theirs = socket.socketpair()
    script = Path(__file__).with_name("codec_socket.py")
    command = [sys.executable, str(script), str(theirs.fileno()), str(session.turn)]
    with ours, subprocess.Popen(command, pass_fds=[theirs.fileno()]) as process:
        theirs.close()
        yield session, must, aim, ours
        ours.close()
        assert process.wait(10) == 0


def sender(end: socket.socket, kind: int, encode: Callable[[], Sequence[bytes | memoryview]], answer: int) -> Run:
    """Return what sends a block and waits for the answer, which must be `answer` a message."""

    def run() -> None:
        for _ in range(BLOCK):
            pieces = encode()
            n_bytes = sum(map(len, pieces))
            # All of it: the socket waits.
            sent = end.sendmsg([HEADER.pack(kind, n_bytes), *pieces])
            assert sent == HEADER.size + n_bytes
        end.sendall(HEADER.pack(END, 0))
        (found,) = ANSWER.unpack(end.recv(ANSWER.size, socket.MSG_WAITALL))
        assert found == answer * BLOCK

    return run


def test_through_a_socket(interleaved: Interleaved, setup: tuple[Shape, float, float, socket.socket]) -> None:
    session, must, aim, end = setup
    ours, theirs = rolecore_of(session), protobuf_of(session)
    theirs.check(session)
    data = ours.check(session)
    fields = len(FIELDS["session_id"]) + len(session.messages[session.turn]["content"])
    runs = {
        "rolecore": sender(end, ROLECORE, partial(encode_snapshot_buffers, session.history, **session.options), fields),
        "protobuf": sender(end, PROTOBUF, lambda: [theirs.encode()], fields),
        "raw bytes": sender(end, RAW, lambda: [data], len(data)),
    }
    contest = Contest(runs, twice=runs, clock=time.perf_counter)
    row = f"{BLOCK} x encode + send + open/{session.name}/wall"
    ratio = contest.against(interleaved, f"{row} : protobuf ({must}; {aim})", "rolecore", "protobuf")
    contest.above(interleaved, f"{row}, times raw bytes", "rolecore", "raw bytes")
    contest.noise(interleaved, row)
    assert reaches(must, ratio)
