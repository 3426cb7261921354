"""An agent that says what is written down: for tests, demos and talks that must come out the same each time."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rolecore
from rolecore import deadlines
from rolecore.adapters.agent import AIAgent, Completion, Message, Usage, as_messages, text_of
from rolecore.errors import AdapterError, ArgumentError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

_WANTED = 'it must be a text, or {"answer": a text or a message} with "match": a text that the input must hold'


class ScriptedAgent(AIAgent):
    """Answers from a list or a file: a JSON list, or JSON Lines, one answer a line.

    An answer is a text, or {"match": ..., "answer": ...}. The first one whose `match` is in the input, whatever the
    case, is given, as often as it is asked for. Where none matches, those without `match` come in order, each once.
    `answer` may be a message, as one with tool calls.

    Args:
        answers: a path, or the answers themselves.
        tokenizer: counts what a call would cost.

    Raises:
        ArgumentError: the file cannot be read, or an answer is none.

    Example:
        >>> agent = rolecore.ScriptedAgent([{"match": "oslo", "answer": "At 08:15."}, "Good morning.", "Goodbye."])
        >>> agent.invoke("Hi"), agent.invoke("When does the train to Oslo leave?"), agent.invoke("Bye")
        ('Good morning.', 'At 08:15.', 'Goodbye.')
    """

    def __init__(
        self,
        answers: str | os.PathLike[str] | Iterable[str | dict[str, Any]],
        *,
        tokenizer: str | os.PathLike[str] = "o200k_base",
    ) -> None:
        """Read the answers."""
        is_path = isinstance(answers, str) or hasattr(answers, "__fspath__")
        items = _read(Path(answers)) if is_path else list(answers)  # type: ignore[arg-type]
        read = [_item(item, i) for i, item in enumerate(items)]
        self._matches = [(match.casefold(), message) for match, message in read if match is not None]
        self._rest = deque(message for match, message in read if match is None)
        self._n_answers = len(read)
        self._tokenizer = rolecore.tokenizer(tokenizer)

    async def ainvoke(self, input: str | Message, context: Iterable[Message] = ()) -> str:  # noqa: A002  the interface's
        """Return the answer's text; "" where it is only tool calls. Raises what `acomplete` raises."""
        return (await self.acomplete(input, context)).text

    async def acomplete(self, input: str | Message, context: Iterable[Message] = ()) -> Completion:  # noqa: A002
        """Return the answer, with what it would cost.

        Raises:
            AdapterError: the script has no answer to it.
            MessageError: a message is not of the form a chat API takes; no answer is used up.
            DeadlineExceeded: the deadline is over.
        """
        deadlines.check("completion")
        n_input = self._tokenizer.count_messages(as_messages(input, context))
        asked = text_of(input).casefold()
        message = next((message for match, message in self._matches if match in asked), None)
        if message is None:
            try:
                message = self._rest.popleft()
            except IndexError:
                msg = f"none of the script's {self._n_answers} answers matches, and those in order are used up; add one"
                raise AdapterError(msg) from None
        reason = "tool_calls" if message.get("tool_calls") else "stop"
        return Completion(dict(message), Usage(n_input, self._tokenizer.count_messages([message])), reason)

    def __repr__(self) -> str:
        """Show how many answers there are."""
        return f"ScriptedAgent({self._n_answers} answers)"


def _read(path: Path) -> list[Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        if text.lstrip().startswith("["):
            items: list[Any] = json.loads(text)
        else:
            items = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (OSError, ValueError, RecursionError) as error:
        what = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        msg = f"{path}: cannot be read: {what.lower()}; it must be a JSON list or one JSON a line"
        raise ArgumentError(msg) from None
    return items


def _item(item: Any, i: int) -> tuple[str | None, Message]:  # noqa: ANN401  any JSON
    """Return what an input must hold, and the message that answers it."""
    match, answer = (item.get("match"), item.get("answer")) if isinstance(item, dict) else (None, item)
    message = {"role": "assistant", "content": answer} if isinstance(answer, str) else answer
    is_known = not isinstance(item, dict) or item.keys() <= {"match", "answer"}
    if not is_known or not isinstance(message, dict) or not (match is None or (isinstance(match, str) and match)):
        msg = f"answer {i} is of another form; {_WANTED}"
        raise ArgumentError(msg)
    return match, {"role": "assistant", "content": None, **message}
