"""What answers a prompt: `AIAgent`, and what it answers with. Code that holds one need not know which."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from rolecore.adapters import loop_thread
from rolecore.errors import ArgumentError, MessageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Message: TypeAlias = dict[str, Any]


class Usage(NamedTuple):
    """What one call cost, as who answered counts it.

    Attributes:
        input_tokens: of the request.
        output_tokens: of the answer.
        cached_tokens: those of the request that a prompt cache had.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0


class Completion(NamedTuple):
    """One answer.

    Attributes:
        message: OpenAI-style, of the role assistant, with its tool calls if there are any: ready to go into a history.
        usage: None where nobody counted.
        finish_reason: as "stop", "length" or "tool_calls"; None where nobody says.
    """

    message: Message
    usage: Usage | None = None
    finish_reason: str | None = None

    @property
    def text(self) -> str:
        """What was said; "" where there are only tool calls."""
        content = self.message.get("content")
        return content if isinstance(content, str) else ""


class AIAgent(ABC):
    """Answers an input in a context: a model at an endpoint, a script, or code of your own.

    Make one of your own by writing `ainvoke`, or `acomplete` where you know what a call costs; the rest follows.

    Example:
        >>> class Echo(rolecore.AIAgent):
        ...     async def ainvoke(self, input, context=()):
        ...         return f"{len(list(context))} before: {input}"
        >>> Echo().invoke("hello", [{"role": "system", "content": "Be brief."}])
        '1 before: hello'
    """

    def invoke(self, input: str | Message, context: Iterable[Message] = ()) -> str:  # noqa: A002  the interface's name
        """Return the answer: `ainvoke` for code that has no event loop.

        It runs in an event loop of the package's own, in the caller's context: under its deadline.

        Args:
            input: what is asked: a text of the user's, or a message.
            context: the messages before it, as a window has them.

        Raises:
            ArgumentError: an event loop runs in this thread, which it would block. What `ainvoke` raises.
        """
        return loop_thread.run(self.ainvoke(input, context))

    @abstractmethod
    async def ainvoke(self, input: str | Message, context: Iterable[Message] = ()) -> str:  # noqa: A002  the interface's
        """Return the answer's text; "" where it is only tool calls.

        Raises:
            AdapterError: there is no usable answer. DeadlineExceeded: there was none in time.
        """

    async def acomplete(self, input: str | Message, context: Iterable[Message] = ()) -> Completion:  # noqa: A002
        """Return the whole answer: its message, what it cost and why it ended.

        Raises:
            AdapterError, DeadlineExceeded: as `ainvoke`.
        """
        return Completion({"role": "assistant", "content": await self.ainvoke(input, context)})

    async def astream(self, input: str | Message, context: Iterable[Message] = ()) -> AsyncIterator[str]:  # noqa: A002
        """Yield the answer's text in pieces, as they come; in one piece where it comes whole.

        Raises:
            AdapterError, DeadlineExceeded: as `ainvoke`; what was yielded before is part of no whole answer.
        """
        yield await self.ainvoke(input, context)


def as_messages(input: str | Message, context: Iterable[Message]) -> list[Message]:  # noqa: A002  the interface's
    """Return the request that an input and its context make.

    Raises:
        MessageError: the input is neither a text nor a dict. ArgumentError: the context cannot be iterated over.
    """
    if not isinstance(input, (str, dict)):
        msg = f"input is of type {type(input).__name__}; it must be a str or a message"
        raise MessageError(msg)
    if not isinstance(context, Iterable):
        msg = f"context is of type {type(context).__name__}; it must be an iterable of messages"
        raise ArgumentError(msg)
    return [*context, {"role": "user", "content": input} if isinstance(input, str) else input]


def text_of(message: str | Message) -> str:
    """Return the text of an input or a message, its parts a line each, without blank ones; "" where there is none."""
    content = message if isinstance(message, str) else message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list | tuple) else ()
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str) and text.strip())
