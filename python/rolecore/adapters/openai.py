"""An agent behind any endpoint that speaks OpenAI's chat completions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, NoReturn

import rolecore
from rolecore import deadlines, endpoints
from rolecore.adapters import chat_wire
from rolecore.adapters.agent import AIAgent, Completion, Message, as_messages
from rolecore.adapters.attempts import Attempts
from rolecore.adapters.limits import RateLimiter
from rolecore.adapters.transport import AiohttpTransport
from rolecore.arguments import read_count
from rolecore.breaker import CircuitBreaker
from rolecore.errors import ArgumentError, TokenizerError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from rolecore._core import Tokenizer
    from rolecore.adapters.limits import Limiter
    from rolecore.adapters.transport import Transport

_STEP = "completion"
_OURS = {"model", "messages", "tools", "stream", "stream_options", "n"}
# Counts for a limit on tokens where the model's own is not known; the endpoint's count takes its place.
_ANY_TOKENIZER = "o200k_base"


class OpenAIAgent(AIAgent):
    """Answers by a model at any endpoint that speaks OpenAI's chat completions: OpenAI, vLLM, Ollama, llama.cpp.

    TLS certificates are checked, redirects are errors, proxies are taken from the environment as Python does. All of a
    call, its waits and retries included, is within the `rolecore.deadline` around it. What is tried again: connections
    that fail before an answer begins, and the statuses 408, 409, 429 and from 500 on; a wait that the endpoint asks for
    is kept, and one that is past the deadline raises at once. Safe to share between threads and event loops; close it
    with `aclose()` or `async with`. Needs `rolecore[openai]`.

    Args:
        base_url: all before /chat/completions, as "https://api.openai.com/v1" or "http://127.0.0.1:11434/v1".
        model: the model's name there.
        api_key: sent as a bearer token and shown nowhere; None for an endpoint that wants none.
        tools: what the model may call, as OpenAI describes them.
        options: any other parameters of the request, as {"temperature": 0, "max_tokens": 500}.
        timeout_s: for a call without a deadline, in seconds.
        max_retries: attempts after the first, 0 or more.
        requests_per_minute: attempts in any minute, as `RateLimiter` counts them; None for any number.
        tokens_per_minute: tokens in any minute: each attempt is counted before, with `max_tokens` of `options` for its
            answer, and by the endpoint's own count after. None for any number.
        limiter: limits both instead, as one that is shared with other agents or processes.
        max_concurrent: requests at once in each event loop; None for any number.
        breaker: keeps requests from an endpoint that is down: failed connections, timeouts and statuses from 500 on.
            None: one of its own.
        transport: sends the requests; None: aiohttp.

    Raises:
        ArgumentError: an argument is of a wrong form or out of its range.
        MissingExtraError: aiohttp is not installed.

    Example:
        >>> agent = rolecore.OpenAIAgent(base_url="http://127.0.0.1:11434/v1", model="qwen3", options={"seed": 7})
        >>> agent
        OpenAIAgent(base_url='http://127.0.0.1:11434/v1', model='qwen3')
    """

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key: str | None = None,
        tools: Sequence[Mapping[str, Any]] = (),
        options: Mapping[str, Any] | None = None,
        timeout_s: float = 60.0,
        max_retries: int = 3,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        limiter: Limiter | None = None,
        max_concurrent: int | None = None,
        breaker: CircuitBreaker | None = None,
        transport: Transport | None = None,
    ) -> None:
        """Check the arguments; nothing is sent yet."""
        self._base_url = endpoints.read_base_url(base_url)
        key = endpoints.read_api_key(api_key)
        self._model = endpoints.read_model(model)
        self._timeout_s = endpoints.read_timeout(timeout_s)
        self._begun = _begin_body(self._model, tools, options)
        self._tools = [dict(tool) for tool in tools]
        self._n_answer_tokens = _answer_tokens(options or {})
        if requests_per_minute is not None or tokens_per_minute is not None:
            if limiter is not None:
                msg = "limiter is given beside requests_per_minute or tokens_per_minute; make it of those limits"
                raise ArgumentError(msg)
            limiter = RateLimiter(requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute)
        self._is_counted = limiter is not None
        self._tokenizer: Tokenizer | None = None
        headers = _Headers({"Content-Type": "application/json", "Accept": "*/*", "User-Agent": "rolecore"})
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        self._transport = AiohttpTransport() if transport is None else transport
        self._attempts = Attempts(
            self._transport,
            f"{self._base_url}/chat/completions",
            headers,
            limiter=limiter,
            breaker=CircuitBreaker() if breaker is None else breaker,
            max_retries=read_count(max_retries, "max_retries", 0),
            max_concurrent=None if max_concurrent is None else read_count(max_concurrent, "max_concurrent"),
        )

    async def ainvoke(self, input: str | Message, context: Iterable[Message] = ()) -> str:  # noqa: A002  the interface's
        """Return the answer's text; "" where it is only tool calls. Raises what `acomplete` raises."""
        return (await self.acomplete(input, context)).text

    async def acomplete(self, input: str | Message, context: Iterable[Message] = ()) -> Completion:  # noqa: A002
        """Return the whole answer: its message, ready for a history, what it cost and why it ended.

        Raises:
            APIConnectionError: the endpoint cannot be reached, or breaks off.
            RateLimitError: it wants fewer requests; `.retry_after_s` is the wait it asks for.
            APIStatusError: it answers with another status that is no success, which `.status` is.
            AdapterError: its reply is no answer, or the agent is closed.
            CircuitOpen: it has failed too often in a row; nothing was sent.
            DeadlineExceeded: there was no answer in time.
            MessageError: a message is no dict, or holds what JSON cannot.
        """
        messages = as_messages(input, context)
        body = b"%b%b}" % (self._begun, chat_wire.encode_messages(messages))
        with deadlines.deadline(self._timeout_s if deadlines.remaining() is None else None):
            async with deadlines.within(_STEP):
                attempt = await self._attempts.send(body, self._count(messages))
                try:
                    completion = chat_wire.read_completion(await chat_wire.read_whole(attempt.reply))
                except BaseException as error:
                    await attempt.end(error)
                    raise
            # Out here no deadline takes the answer away, whatever a limiter waits for.
            await attempt.end(usage=completion.usage)
        return completion

    def astream(self, input: str | Message, context: Iterable[Message] = ()) -> AnswerStream:  # noqa: A002
        """Return a stream of the answer's text, in pieces as they come; at its end it has the whole `completion`.

        Nothing is tried again once the answer has begun. One that is stopped before its end has its connection closed.

        Raises:
            AdapterError, DeadlineExceeded, MessageError: as `acomplete`, while it is read.
        """
        return AnswerStream(self._stream(as_messages(input, context)))

    async def aclose(self) -> None:
        """Close all connections; calls that are on their way fail."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        """Return the agent."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close all connections."""
        await self.aclose()

    def __repr__(self) -> str:
        """Show where it asks, never the key."""
        return f"OpenAIAgent(base_url={self._base_url!r}, model={self._model!r})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled, as its key would be too."""
        msg = "an OpenAIAgent holds a key and connections, which must not be pickled; make one where it is needed"
        raise TypeError(msg)

    async def _stream(self, messages: list[Message]) -> AsyncGenerator[str | Completion]:
        """Yield the pieces, then the whole."""
        more = b',"stream":true,"stream_options":{"include_usage":true}}'
        body = b"%b%b%b" % (self._begun, chat_wire.encode_messages(messages), more)
        enter = deadlines.hold(self._timeout_s if deadlines.remaining() is None else None)
        with enter():
            async with deadlines.within(_STEP):
                attempt = await self._attempts.send(body, self._count(messages))
        reader = chat_wire.EventReader()
        try:
            while not reader.is_done:
                with enter():
                    async with deadlines.within(_STEP):
                        piece = await attempt.reply.read()
                if said := reader.feed(piece) if piece else reader.end():
                    yield said
            completion = reader.completion
        except BaseException as error:
            with enter():
                await attempt.end(error)
            raise
        with enter():
            await attempt.end(usage=completion.usage)
        yield completion

    def _count(self, messages: list[Message]) -> int:
        """Return what a limiter is told of a request; 0 where none asks."""
        if not self._is_counted:
            return 0
        if self._tokenizer is None:
            try:
                self._tokenizer = rolecore.tokenizer(self._model)
            except TokenizerError:
                self._tokenizer = rolecore.tokenizer(_ANY_TOKENIZER)
        return self._tokenizer.count_messages(messages, tools=self._tools or None) + self._n_answer_tokens


class AnswerStream(AsyncIterator[str]):
    """The pieces of an answer's text, as they come.

    Attributes:
        completion: the whole answer, once the stream has ended; None before.
    """

    def __init__(self, pieces: AsyncGenerator[str | Completion]) -> None:
        """Take the pieces, and the whole after them."""
        self.completion: Completion | None = None
        self._pieces = pieces

    async def __anext__(self) -> str:
        """Return the next piece."""
        piece = await anext(self._pieces)
        if isinstance(piece, str):
            return piece
        self.completion = piece
        await self._pieces.aclose()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop before the end."""
        await self._pieces.aclose()


class _Headers(dict[str, str]):
    """Headers that no traceback shows."""

    def __repr__(self) -> str:
        return "<headers>"


def _answer_tokens(options: Mapping[str, Any]) -> int:
    limit = options.get("max_completion_tokens", options.get("max_tokens"))
    return limit if type(limit) is int and limit > 0 else 0


def _begin_body(model: str, tools: Sequence[Mapping[str, Any]], options: Mapping[str, Any] | None) -> bytes:
    """Return a request up to its messages, which is the same for all."""
    try:
        told: dict[str, Any] = {"model": model, **(options or {})}
        if tools:
            told["tools"] = [dict(tool) for tool in tools]
        encoded = chat_wire.encode(told)
    except (TypeError, ValueError, RecursionError):
        msg = "tools or options is none, or holds what JSON has no form for; tools are dicts, options a mapping"
        raise ArgumentError(msg) from None
    if ours := sorted(_OURS & (options or {}).keys()):
        msg = f"options has {', '.join(ours)}, which the agent sets itself; leave it out"
        raise ArgumentError(msg)
    return encoded[:-1] + b',"messages":'
