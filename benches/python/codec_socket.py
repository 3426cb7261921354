"""Receives sessions through a Unix socket, opens each and reads a field; the other end is bench_codec_socket.py.

    python codec_socket.py FD TURN

A message is a header, which says what wrote it and how long it is, and its bytes. They are received into a bytearray
that is made once for each writer, and read there: `open_snapshot(copy=False)`, protobuf's `FromString`, which takes a
bytearray as it is. After `END` the answer is the number of characters in all fields that were read, or of bytes where
nothing is opened.
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import TYPE_CHECKING

import codec_proto

from rolecore.codec import open_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

HEADER = struct.Struct("<BI")
ANSWER = struct.Struct("<Q")
ROLECORE, PROTOBUF, RAW, END = range(4)


def readers(turn: int) -> dict[int, Callable[[bytearray], int]]:
    """Return what reads a message, by its writer."""

    def from_rolecore(data: bytearray) -> int:
        opened = open_snapshot(data, copy=False)
        return len(opened.session_id) + len(opened.turns[turn].text)

    def from_protobuf(data: bytearray) -> int:
        opened = codec_proto.Session.FromString(data)
        return len(opened.session_id) + len(opened.turns[turn].text)

    return {ROLECORE: from_rolecore, PROTOBUF: from_protobuf, RAW: len}


def fill(end: socket.socket, into: bytearray) -> bool:
    """Receive until `into` is full; False: the other end has closed."""
    view, at = memoryview(into), 0
    while at < len(into):
        received = end.recv_into(view[at:], 0, socket.MSG_WAITALL)
        if not received:
            return False
        at += received
    return True


def main() -> None:
    """Receive until the other end closes."""
    read = readers(int(sys.argv[2]))
    buffers = {kind: bytearray() for kind in read}
    header, total = bytearray(HEADER.size), 0
    with socket.socket(fileno=int(sys.argv[1])) as end:
        while fill(end, header):
            kind, n_bytes = HEADER.unpack(header)
            if kind == END:
                end.sendall(ANSWER.pack(total))
                total = 0
                continue
            if len(buffers[kind]) != n_bytes:
                buffers[kind] = bytearray(n_bytes)
            fill(end, buffers[kind])
            total += read[kind](buffers[kind])


if __name__ == "__main__":
    main()
