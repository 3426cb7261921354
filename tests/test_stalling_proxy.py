"""The proxy does to a connection what it says, at the byte it says."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest
from stalling_proxy import Fault, StallingProxy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TEXT = b"0123456789" * 10


def run(test: Callable[[StallingProxy], Awaitable[None]]) -> None:
    """Run a test with a proxy before a server that sends back what it gets."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server, StallingProxy("127.0.0.1", server.sockets[0].getsockname()[1], seed=1) as proxy:
            await test(proxy)

    asyncio.run(main())


async def ask(proxy: StallingProxy) -> tuple[bytes, str]:
    """Send TEXT; return what came back, and how it ended: whole, end, reset or silence."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(TEXT)
    got = b""
    try:
        while len(got) < len(TEXT):
            try:
                data = await asyncio.wait_for(reader.read(1000), 0.3)
            except TimeoutError:
                return got, "silence"
            if not data:
                return got, "end"
            got += data
    except ConnectionResetError:
        return got, "reset"
    finally:
        writer.transport.abort()
    return got, "whole"


@pytest.mark.parametrize("after", [0, 1, 50, 99])
@pytest.mark.parametrize(("kind", "ending"), [("stall", "silence"), ("reset", "reset"), ("truncate", "end")])
@pytest.mark.parametrize("of", ["reply", "request"])
def test_fault_comes_after_the_byte_and_once(kind: str, ending: str, of: str, after: int) -> None:
    async def test(proxy: StallingProxy) -> None:
        assert await ask(proxy) == (TEXT, "whole")
        proxy.set(Fault(kind, after, of))  # type: ignore[arg-type]
        got, how = await ask(proxy)
        assert how == ending
        # A reset may overtake what was sent before it, and a request that is cut off gets no reply.
        assert TEXT.startswith(got[:after])
        assert len(got) == after or (len(got) < after and (kind == "reset" or of == "request"))
        assert proxy.n_passed[of] == after
        assert proxy.n_met == 1
        assert await ask(proxy) == (TEXT, "whole")

    run(test)


@pytest.mark.parametrize("kind", ["stall", "reset", "truncate", "drip", "delay"])
def test_fault_behind_the_last_byte_does_not_come(kind: str) -> None:
    async def test(proxy: StallingProxy) -> None:
        proxy.set(Fault(kind, len(TEXT)))  # type: ignore[arg-type]
        assert await ask(proxy) == (TEXT, "whole")
        assert proxy.n_met == 0

    run(test)


@pytest.mark.parametrize("kind", ["drip", "delay"])
def test_slow_bytes_all_come(kind: str) -> None:
    async def test(proxy: StallingProxy) -> None:
        proxy.set(Fault(kind, 7, times=sys.maxsize, seconds=0.001))  # type: ignore[arg-type]
        assert await ask(proxy) == (TEXT, "whole")
        assert proxy.n_met >= 1

    run(test)


def test_server_that_is_not_there_ends_the_connection() -> None:
    async def main() -> None:
        server = await asyncio.start_server(lambda _, __: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        async with StallingProxy("127.0.0.1", port) as proxy:
            assert (await ask(proxy))[1] in {"end", "reset"}

    asyncio.run(main())
