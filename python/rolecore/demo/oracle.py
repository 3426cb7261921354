"""A second opinion on windows: slow, plain Python, and it shares no code with what made them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Message = dict[str, Any]


@dataclass(frozen=True)
class Sent:
    """One window as it would have been sent, beside all that went in.

    Attributes:
        history: the chat; `length` of its messages had been appended.
        length: how many.
        messages: the window.
        sources: index in the history of each message of the window.
        tokens: what the window says it costs.
        budget_tokens: what it may cost.
        keep_last: newest turns that had to stay.
    """

    history: Sequence[Message]
    length: int
    messages: Sequence[Message]
    sources: Sequence[int]
    tokens: int
    budget_tokens: int
    keep_last: int


@dataclass
class Findings:
    """Windows that break a promise, a count each.

    Attributes:
        windows: windows looked at.
        over_budget: recounted from their messages, they cost more than the budget.
        miscounted: they cost something else than they say.
        orphaned: tool calls without a result or results without a call, in all windows together.
        not_own: messages that are neither the caller's own object nor a copy that only lost unanswered calls.
        unordered: windows whose messages are not in the order of the history, or twice there.
        left_out: instructions or messages of the newest turns that had to stay and did not.
        messages: messages looked at, in all windows together.
        copies: of them, copies that only lost unanswered calls.
    """

    windows: int = 0
    over_budget: int = 0
    miscounted: int = 0
    orphaned: int = 0
    not_own: int = 0
    unordered: int = 0
    left_out: int = 0
    messages: int = 0
    copies: int = 0
    _costs: dict[int, tuple[Message, int]] = field(default_factory=dict, repr=False)

    def check(self, sent: Sent, count: Callable[[Sequence[Message]], int]) -> None:
        """Look at one window; `count` costs a list of messages, each of which is counted anew, by itself, once."""
        tokens = sum(self._cost(message, count) for message in sent.messages)
        self.windows += 1
        self.messages += len(sent.messages)
        self.over_budget += tokens > sent.budget_tokens
        self.miscounted += tokens != sent.tokens
        self.orphaned += orphans(sent.messages, may_be_pending=_ends_with(sent))
        for message, source in zip(sent.messages, sent.sources, strict=True):
            if message is not sent.history[source]:
                is_repaired = _is_repaired(message, sent.history[source])
                self.copies += is_repaired
                self.not_own += not is_repaired
        self.unordered += any(a >= b for a, b in zip(sent.sources, sent.sources[1:], strict=False))
        self.left_out += len(must_stay(sent) - set(sent.sources))

    def _cost(self, message: Message, count: Callable[[Sequence[Message]], int]) -> int:
        # The message is kept beside its cost: while it lives, nothing else has its id.
        if id(message) not in self._costs:
            self._costs[id(message)] = (message, count([message]))
        return self._costs[id(message)][1]


def orphans(messages: Sequence[Message], *, may_be_pending: bool) -> int:
    """Return how many tool calls have no result, plus how many results have no call.

    A provider takes a call's results only right behind it. Calls in the last group may still be waiting.
    """
    found = 0
    open_ids: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            if message.get("tool_call_id") in open_ids:
                open_ids.remove(message["tool_call_id"])
            else:
                found += 1
        else:
            found += len(open_ids)
            open_ids = [call["id"] for call in message.get("tool_calls") or ()]
    return found + (0 if may_be_pending else len(open_ids))


def must_stay(sent: Sent) -> set[int]:
    """Return the indices that every window of this history holds, but for orphans, which no request may hold."""
    history = sent.history[: sent.length]
    users = [i for i, message in enumerate(history) if message["role"] == "user"]
    newest = users[-sent.keep_last :][:1] if sent.keep_last else []
    first = newest[0] if newest else len(history)
    instructions = {i for i, message in enumerate(history) if message["role"] in {"system", "developer"}}
    return instructions | set(range(first, len(history))) - _orphaned(history)


def _orphaned(history: Sequence[Message]) -> set[int]:
    """Indices of results without a call, and of calls that no result answers, the last group apart."""
    found: set[int] = set()
    open_calls: list[tuple[str, int]] = []
    for i, message in enumerate(history):
        if message["role"] == "tool":
            matching = [at for at, call in enumerate(open_calls) if call[0] == message.get("tool_call_id")]
            if matching:
                del open_calls[matching[-1]]
            else:
                found.add(i)
        else:
            found.update(index for _, index in open_calls)
            open_calls = [(call["id"], i) for call in message.get("tool_calls") or ()]
    return found


def _ends_with(sent: Sent) -> bool:
    """Whether the window ends where the history ends: only then calls may be waiting."""
    if not sent.sources:
        return False
    last = sent.length - 1
    while last >= 0 and sent.history[last]["role"] == "tool":
        last -= 1
    return sent.sources[-1] >= last


def _is_repaired(message: Message, source: Message) -> bool:
    """Whether a copy lost nothing but tool calls."""
    calls, original = message.get("tool_calls") or [], source.get("tool_calls") or []
    rest, original_rest = ({k: v for k, v in m.items() if k != "tool_calls"} for m in (message, source))
    return rest == original_rest and len(calls) < len(original) and all(call in original for call in calls)
