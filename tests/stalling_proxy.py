"""A TCP proxy that fails on purpose: it stalls, resets, cuts off, drips or delays after a given byte of what passes."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

Kind = Literal["stall", "reset", "truncate", "drip", "delay"]
_PIECE = 1 << 16


@dataclass(frozen=True)
class Fault:
    """What to do to the bytes of one direction, counted on each connection from when the fault was set.

    Attributes:
        kind: "stall": nothing passes any more. "reset": both sides get RST. "truncate": both get an orderly end.
            "drip": what follows comes in pieces of 1 to 3 bytes. "delay": what follows waits once for `seconds`.
        after: so many bytes pass before.
        of: "reply": from the server, "request": to it.
        times: how often it may happen, on whichever connections come to that byte.
        seconds: of a delay, or between two drips.
    """

    kind: Kind
    after: int = 0
    of: Literal["reply", "request"] = "reply"
    times: int = 1
    seconds: float = 0.0


class StallingProxy:
    """Passes connections on to a server. Enter it, connect to `port`, `set` a fault.

    Args:
        host: of the server.
        port: of the server.
        seed: of the sizes of drips.
    """

    def __init__(self, host: str, port: int, *, seed: int = 0) -> None:
        self._target = (host, port)
        self._draw = random.Random(seed)  # noqa: S311  no secret
        self._fault: Fault | None = None
        self._epoch = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.n_met = 0  # how often the fault that is set has happened
        self.n_passed = {"reply": 0, "request": 0}  # bytes since the fault was set, of all connections

    def set(self, fault: Fault | None) -> None:
        """Replace the fault and count anew. What was stalled before stays so until its connection ends."""
        self._fault = fault
        self._epoch += 1
        self.n_met = 0
        self.n_passed = {"reply": 0, "request": 0}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(server_writer)
        both = (writer, server_writer)
        pumps = [
            asyncio.create_task(self._pump("request", reader, server_writer, both)),
            asyncio.create_task(self._pump("reply", server_reader, writer, both)),
        ]
        self._tasks |= set(pumps)
        try:
            await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            self._tasks -= set(pumps)
            self._writers -= set(both)
            for side in both:
                side.transport.abort()

    async def _pump(
        self,
        direction: Literal["reply", "request"],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        both: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
    ) -> None:
        epoch, n_passed = self._epoch, 0
        with suppress(OSError):
            while data := await reader.read(_PIECE):
                if epoch != self._epoch:
                    epoch, n_passed = self._epoch, 0
                fault = self._fault
                if fault is None or fault.of != direction or self.n_met >= fault.times:
                    fault = None
                room = len(data) if fault is None else min(len(data), max(0, fault.after - n_passed))
                n_passed += len(data)
                await self._pass(direction, writer, data[:room])
                # With all that was wished passed, the next byte is the one that meets the fault.
                if fault is None or room == len(data):
                    continue
                self.n_met += 1
                if not await self._happen(fault, reader, writer, both, data[room:]):
                    return
        with suppress(OSError):
            writer.write_eof()

    async def _pass(self, direction: str, writer: asyncio.StreamWriter, data: bytes) -> None:
        if data:
            writer.write(data)
            self.n_passed[direction] += len(data)
            await writer.drain()

    async def _happen(
        self,
        fault: Fault,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        both: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
        rest: bytes,
    ) -> bool:
        """Do it; whether more may pass."""
        if fault.kind == "stall":
            # Read on, so that the end of the connection is seen.
            while await reader.read(_PIECE):
                pass
            return False
        if fault.kind == "reset":
            for side in both:
                _reset(side)
            return False
        if fault.kind == "truncate":
            for side in both:
                side.close()
            return False
        if fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
            await self._pass(fault.of, writer, rest)
            return True
        while rest:
            n = self._draw.randint(1, 3)
            await self._pass(fault.of, writer, rest[:n])
            rest = rest[n:]
            await asyncio.sleep(fault.seconds)
        return True


def _reset(writer: asyncio.StreamWriter) -> None:
    kernel_socket = writer.get_extra_info("socket")
    with suppress(OSError):
        # Lingering for no time is what makes the kernel send RST instead of FIN.
        kernel_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
