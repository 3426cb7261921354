"""LangChain's agents, doing what a turn does, at their best settings: what `turns_overhead.py` measures beside ours."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware, wrap_model_call
from langchain_core.caches import InMemoryCache
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.messages.utils import count_tokens_approximately, trim_messages
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.checkpoint.memory import InMemorySaver

N_CACHED = 10_000
TURNS_A_THREAD = 20


class AtOnce(BaseChatModel):
    """A chat model that answers at once, without a thread's hop."""

    @property
    def _llm_type(self) -> str:
        return "at-once"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:  # noqa: ARG002
        return ChatResult(generations=[ChatGeneration(message=AIMessage("At once."))])

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return self._generate(messages, stop, run_manager, **kwargs)


class Peer:
    """An agent over threads of 200 turns that an InMemorySaver keeps."""

    def __init__(self, history: list[dict[str, Any]], middleware: list[Any]) -> None:
        cache = InMemoryCache()
        for i in range(N_CACHED):
            cache.update(f"prompt {i}", "at-once", [ChatGeneration(message=AIMessage("Before."))])
        self.agent: Any = create_agent(
            AtOnce(cache=cache), tools=[], middleware=middleware, checkpointer=InMemorySaver()
        )
        kinds = {"user": HumanMessage, "assistant": AIMessage}
        self.history = [kinds[m["role"]](m["content"], id=str(i)) for i, m in enumerate(history)]
        self.n_threads = self.left = 0
        self.config: dict[str, Any] = {}

    async def turn(self, kind: str, asked: str) -> float:
        """Return the seconds of one turn."""
        if kind == "exact":  # the prompt is the key, so the same was said before
            await self.renew()
            await self.ask(asked)
            await self.renew()
            self.left = 0
        elif self.left == 0:
            await self.renew()
            await self.ask("And now?")
        self.left = max(0, self.left - 1)
        began = perf_counter()
        await self.ask(asked)
        return perf_counter() - began

    async def ask(self, text: str) -> None:
        await self.agent.ainvoke({"messages": [HumanMessage(text)]}, self.config)

    async def renew(self) -> None:
        self.n_threads += 1
        self.left = TURNS_A_THREAD
        self.config = {"configurable": {"thread_id": str(self.n_threads)}}
        await self.agent.aupdate_state(self.config, {"messages": self.history})


def trimming(history: list[dict[str, Any]], budget_tokens: int) -> Peer:
    """Return an agent that sends the newest messages up to the budget, by the counter that is the faster one."""

    @wrap_model_call
    async def trim(request: Any, handler: Any) -> Any:
        kept = trim_messages(
            request.messages,
            max_tokens=budget_tokens,
            token_counter=count_tokens_approximately,
            strategy="last",
            start_on="human",
        )
        return await handler(request.override(messages=kept))

    return Peer(history, [trim])


def summarising(history: list[dict[str, Any]], budget_tokens: int) -> Peer:
    """Return an agent whose thread becomes a summary and half a budget of messages when it outgrows the budget."""
    summarise: Any = SummarizationMiddleware(
        AtOnce(), trigger=("tokens", budget_tokens), keep=("tokens", budget_tokens // 2)
    )
    return Peer(history, [summarise])


ARMS = {"LangChain, trim_messages": trimming, "LangChain, SummarizationMiddleware": summarising}
