"""What a call costs the client: OpenAIAgent against the openai SDK, both at a local server in a process of its own.

    python turn_openai_agent.py [--calls 1000] [--rounds 7] [--concurrent 50]

CPU time of this process, the client's, by time.process_time, in which so many calls are made, so many at once: a prompt
of 120 words, a short answer, whole. The SDK as it comes, and with its aiohttp extra, its fastest; each with one client
for all calls, as its documentation wants it. Interleaved: each round runs all rows one after another, ours twice (A/A),
and a ratio is of one round. Every answer and its usage is checked. Prints a table; exits with 1 when either row of the
SDK misses the bar.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from statistics import median
from typing import TYPE_CHECKING, Any

import aiohttp
import openai

import rolecore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MUST, AIM = 10.0, 25.0
PROMPT = " ".join(["the invoice says that a parcel was late and comes again tomorrow"] * 10)  # 120 words
MODEL = "demo"


async def cpu_us(call: Callable[[], Awaitable[Any]], n: int, n_at_once: int) -> float:
    """CPU time of a call, in microseconds."""
    left = iter(range(n))

    async def work() -> None:
        for _ in left:
            await call()

    gc.collect()
    began = time.process_time()
    await asyncio.gather(*(work() for _ in range(n_at_once)))
    return (time.process_time() - began) / n * 1e6


def check(text: str | None, n_input: int, n_output: int, expected: rolecore.Completion) -> None:
    assert (text, n_input, n_output) == (expected.text, *expected.usage[:2])  # type: ignore[index]


async def measure(url: str, args: argparse.Namespace) -> bool:
    agent = rolecore.OpenAIAgent(base_url=url, model=MODEL, api_key="any")
    sdk = openai.AsyncOpenAI(base_url=url, api_key="any")
    sdk_aiohttp = openai.AsyncOpenAI(base_url=url, api_key="any", http_client=openai.DefaultAioHttpClient())
    session = aiohttp.ClientSession(headers={"Authorization": "Bearer any"})
    request: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}]}
    expected = await agent.acomplete(PROMPT)

    async def ours() -> None:
        answer = await agent.acomplete(PROMPT)
        assert answer == expected

    async def peers(client: openai.AsyncOpenAI) -> None:
        answer = await client.chat.completions.create(**request)
        assert answer.usage is not None
        usage = answer.usage
        check(answer.choices[0].message.content, usage.prompt_tokens, usage.completion_tokens, expected)

    async def bare() -> None:
        async with session.post(f"{url}/chat/completions", json=request) as reply:
            told = await reply.json()
        usage = told["usage"]
        text = told["choices"][0]["message"]["content"]
        check(text, usage["prompt_tokens"], usage["completion_tokens"], expected)

    rows: dict[str, Callable[[], Awaitable[None]]] = {
        "OpenAIAgent": ours,
        "openai SDK": lambda: peers(sdk),
        "openai SDK, aiohttp": lambda: peers(sdk_aiohttp),
        "aiohttp's session, bare": bare,
        "OpenAIAgent again (A/A)": ours,
    }
    us: dict[str, list[float]] = {name: [] for name in rows}
    for call in rows.values():
        await cpu_us(call, 2 * args.concurrent, args.concurrent)
    for _ in range(args.rounds):
        for name, call in rows.items():
            us[name].append(await cpu_us(call, args.calls, args.concurrent))
    await asyncio.gather(agent.aclose(), sdk.close(), sdk_aiohttp.close(), session.close())

    peers_are = ", ".join(f"{name} {version(name)}" for name in ("openai", "httpx2", "aiohttp"))
    print(f"CPU of the client a call, {args.concurrent} at once, {args.rounds} rounds of {args.calls} calls each")
    print(f"rolecore {rolecore.__version__}, {peers_are}, Python {platform.python_version()}")
    print(f"  {'':26}{'us, median':>12}{'of ours: median':>18}{'least':>8}{'most':>8}")
    ratios = {}
    for name, found in us.items():
        of_ours = [theirs / ours for theirs, ours in zip(found, us["OpenAIAgent"], strict=True)]
        ratios[name] = median(of_ours)
        print(f"  {name:26}{median(found):12.0f}{ratios[name]:17.1f}x{min(of_ours):7.1f}x{max(of_ours):7.1f}x")
    print(f"  (the SDK: must {MUST:g}x, aim {AIM:g}x)")
    return min(ratios["openai SDK"], ratios["openai SDK, aiohttp"]) >= MUST


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--concurrent", type=int, default=50)
    args = parser.parse_args()
    command = [sys.executable, "-m", "rolecore.demo.model_server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            return 0 if asyncio.run(measure(server.stdout.readline().strip(), args)) else 1
        finally:
            server.stdin.close()


if __name__ == "__main__":
    sys.exit(main())
