"""What the tests of turns are made of: agents, roles, a probe that is told what to read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from rolecore import (
    AIAgent,
    Completion,
    ContextBudget,
    HashingEmbedder,
    Role,
    Router,
    SemanticCache,
    TurnResult,
    VectorCache,
    run_turn,
)
from rolecore.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

Message = dict[str, Any]
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


class Agent(AIAgent):
    """Answers "answer 1", "answer 2"...; keeps what it was asked."""

    def __init__(self, **completion: Any) -> None:
        self.asked: list[tuple[str | Message, list[Message]]] = []
        self.completion = completion

    async def ainvoke(self, input: str | Message, context: Iterable[Message] = ()) -> str:  # noqa: A002
        return (await self.acomplete(input, context)).text

    async def acomplete(self, input: str | Message, context: Iterable[Message] = ()) -> Completion:  # noqa: A002
        self.asked.append((input, list(context)))
        message = {"role": "assistant", "content": f"answer {len(self.asked)}"}
        return Completion(**{"message": message, **self.completion})


class Acts(Agent):
    """Does what a function does in place of answering."""

    def __init__(self, act: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        super().__init__()
        self.act = act

    async def acomplete(self, input: str | Message, context: Iterable[Message] = ()) -> Completion:  # noqa: A002
        self.asked.append((input, list(context)))
        completion: Completion = await self.act()
        return completion


class Fixed:
    """A probe that reads what it is told."""

    def __init__(self, used: int = 10) -> None:
        self.used = used
        self.readings = 0

    def read(self) -> Memory:
        self.readings += 1
        return Memory(self.used, 100, None, None, "fixture")


EMBEDDER = HashingEmbedder()


def router_of(*agents: AIAgent, **options: Any) -> Router:
    examples = [["I want my money back"], ["when does the ferry leave"], ["is this contract legal"]]
    names = ["refunds", "travel", "legal"]
    roles = [
        Role(name, examples=given, agent=agent, **options)
        for name, given, agent in zip(names, examples, agents, strict=False)
    ]
    return Router(roles, embedder=EMBEDDER, fallback="refunds")


def cache_of(embedder: Any = EMBEDDER, **options: Any) -> SemanticCache:
    return SemanticCache(embedder, VectorCache(EMBEDDER.dim, capacity=1000), **options)


def run(main: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(main)


def ask(text: str | Message | list[Message], **options: Any) -> Coroutine[Any, Any, TurnResult]:
    return run_turn(text, **{"context": ContextBudget(probe=Fixed()), **options})
