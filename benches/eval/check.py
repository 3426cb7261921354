"""Checks that a window is under its budget and made of nothing but its sources; says what it truly holds.

Shares no code with the library: what a window says of itself is not believed.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import rolecore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from data import Message

# Letters a made-up message may spend on words of its own, such as "earlier:".
OWN_LETTERS = 200
# What a log that was made smaller says in place of lines.
LINES_LEFT_OUT = re.compile(r"\[… \d+ lines[^\]\n]*\]")


@dataclass
class Tally:
    """Windows that were made, and what was wrong with them."""

    windows: int = 0
    refused: int = 0
    over: int = 0
    false: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)
    """The first few, in words."""

    def fit(
        self, fit: Callable[[], rolecore.Window], messages: Sequence[Message], budget: int
    ) -> dict[int, str] | None:
        """Return the text that a new window holds of each message, or None if the budget was refused."""
        began = time.perf_counter()
        try:
            window = fit()
        except rolecore.BudgetError:
            self.refused += 1
            return None
        finally:
            self.seconds += time.perf_counter() - began
            self.windows += 1
        return self.check(window, messages, budget)

    def check(self, window: rolecore.Window, messages: Sequence[Message], budget: int) -> dict[int, str]:
        """Return the text that a window holds of each message, and take note of what is wrong with it."""
        tokens = rolecore.tokenizer("o200k_base").count_messages(window.messages)
        kept, faults = held(window, messages)
        if tokens != window.tokens:
            faults.append(f"says {window.tokens} tokens, holds {tokens}")
        self.over += tokens > budget
        self.false += bool(faults)
        if tokens > budget:
            faults.append(f"{tokens} tokens, the budget is {budget}")
        self.faults += faults[: max(0, 5 - len(self.faults))]
        return kept

    def __str__(self) -> str:
        """One line for the end of a table."""
        ms = 1000 * self.seconds / max(1, self.windows)
        return (
            f"{self.windows} windows, {ms:.2f} ms each; {self.over} over budget, {self.false} falsified, "
            f"{self.refused} refused"
        )


def text_of(message: Message) -> str:
    """All text of a message's content; parts that are no text count as nothing."""
    content = message.get("content")
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or ())


def said_in(message: Message) -> str:
    """All text of a message, and the arguments of its calls."""
    return "\n".join([text_of(message), *(call["function"]["arguments"] for call in message.get("tool_calls") or ())])


def held(window: rolecore.Window, messages: Sequence[Message]) -> tuple[dict[int, str], list[str]]:
    """Return what a window holds of each message by its index, and what is wrong with the window, in words."""
    kept: dict[int, str] = {}
    faults: list[str] = []
    if len(window.messages) != len(window.sources):
        return kept, ["as many sources as messages are wanted"]
    singles = [source for source in window.sources if isinstance(source, int)]
    if any(later <= earlier for earlier, later in pairwise(singles)):
        faults.append("messages doubled or out of order")
    for message, source in zip(window.messages, window.sources, strict=True):
        if isinstance(source, int):
            fault = changed(message, messages[source])
            if fault:
                faults.append(f"message {source}: {fault}")
            else:
                kept[source] = said_in(message)
        else:
            own = folded(message, source or (), messages, kept)
            if own > OWN_LETTERS:
                faults.append(f"a made-up message with {own} letters that are of no source")
    is_waiting = bool(messages) and (messages[-1]["role"] == "tool" or bool(messages[-1].get("tool_calls")))
    return kept, faults + unanswered(window.messages, may_wait=is_waiting and len(messages) - 1 in singles)


def changed(message: Message, source: Message) -> str | None:
    """What is in a message that its source does not hold, in words."""
    if message is source:
        return None
    for key in ("role", "name", "tool_call_id"):
        if message.get(key) != source.get(key):
            return f"another {key}"
    calls = source.get("tool_calls") or []
    if any(call not in calls for call in message.get("tool_calls") or []):
        return "a call of its own"
    out, full = text_of(message), text_of(source)
    is_tool = message["role"] == "tool"
    if out == full or (is_tool and is_json_of(out, full)) or is_cut_of(out, full, is_log=is_tool):
        return None
    return "text that is not of its source"


def is_cut_of(out: str, full: str, *, is_log: bool = False) -> bool:
    """Whether `out` is pieces of `full`, in order, with marks between them."""
    if is_log:
        out = LINES_LEFT_OUT.sub(rolecore.CUT_MARK, out)
    at = 0
    for piece in filter(None, (piece.strip() for piece in out.split(rolecore.CUT_MARK))):
        at = full.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return True


def is_json_of(out: str, full: str) -> bool:
    """Whether both are JSON and every value of `out` stands in `full`, as often; the note of what went aside."""
    try:
        ours, theirs = json.loads(out), json.loads(full)
    except ValueError:
        return False
    if isinstance(ours, dict):
        ours = {key: value for key, value in ours.items() if key != rolecore.CUT_KEY}
    elif isinstance(ours, list):
        ours = [one for one in ours if not (isinstance(one, dict) and list(one) == [rolecore.CUT_KEY])]
    return Counter(leaves(ours)) <= Counter(leaves(theirs))


def leaves(value: Any) -> Iterator[str]:
    """The values of a JSON document that hold no others, each as JSON."""
    if isinstance(value, (dict, list)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from leaves(one)
    else:
        yield json.dumps(value)


def folded(message: Message, sources: Sequence[int], messages: Sequence[Message], kept: dict[int, str]) -> int:
    """Add to `kept` the lines of a made-up message that stand in one of its sources; return the other letters."""
    own = 0
    for line in text_of(message).splitlines():
        for piece in filter(None, (piece.strip() for piece in line.split(rolecore.CUT_MARK))):
            source = next((source for source in sources if piece in said_in(messages[source])), None)
            if source is None:
                own += len(piece)
            else:
                kept[source] = f"{kept[source]}\n{piece}" if source in kept else piece
    return own


def unanswered(messages: Sequence[Message], *, may_wait: bool) -> list[str]:
    """What no provider would take of tool calls and results, in words; calls at the end may wait for their results."""
    open_ids: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_ids:
                return ["a tool result without its call"]
            open_ids.remove(message["tool_call_id"])
        elif open_ids:
            break
        else:
            open_ids = [call["id"] for call in message.get("tool_calls") or ()]
    else:
        if may_wait:
            return []
    return ["a tool call without its result"] if open_ids else []
