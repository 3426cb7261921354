"""`rolecore analyze`: what windows would have saved on recorded chats, replayed request by request."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from operator import is_
from typing import TYPE_CHECKING, Any

import rolecore
from rolecore.errors import BudgetError
from rolecore.newest_first import NewestFirst

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass
class BudgetFigures:
    """What one budget would have done, summed over all requests that could be sent.

    A request is all that stands before an assistant's message. One that is refused is left out of every sum of tokens.

    Attributes:
        budget_tokens: the budget.
        requests: requests sent.
        requests_over: requests whose history was over the budget, refused ones included.
        requests_refused: requests in which what must stay is over the budget.
        chats_over: chats with a request over the budget.
        chats_refused: chats with a refused request.
        needed_tokens: smallest budget at which nothing is refused, as far as it was refused; 0 if nothing was.
        tokens_in: tokens of the whole histories.
        tokens_sent: tokens of the windows.
        messages_dropped: messages left out of the windows, counted anew in each request.
        prefix_tokens: tokens of the windows' leading messages that are the previous request's too, byte by byte.
        newest_tokens_sent: what newest-first trimming at this budget would have sent.
        newest_prefix_tokens: and how much of it is a prefix of its previous request.
    """

    budget_tokens: int
    requests: int = 0
    requests_over: int = 0
    requests_refused: int = 0
    chats_over: int = 0
    chats_refused: int = 0
    needed_tokens: int = 0
    tokens_in: int = 0
    tokens_sent: int = 0
    messages_dropped: int = 0
    prefix_tokens: int = 0
    newest_tokens_sent: int = 0
    newest_prefix_tokens: int = 0

    @property
    def saved_share(self) -> float:
        """Share of the tokens that were not sent."""
        return 1 - self.tokens_sent / self.tokens_in if self.tokens_in else 0.0

    @property
    def prefix_share(self) -> float:
        """Share of the tokens sent that a provider's prompt cache would have held."""
        return self.prefix_tokens / self.tokens_sent if self.tokens_sent else 0.0

    @property
    def newest_prefix_share(self) -> float:
        """The same share for newest-first trimming."""
        return self.newest_prefix_tokens / self.newest_tokens_sent if self.newest_tokens_sent else 0.0

    def to_dict(self) -> dict[str, int | float]:
        """Return all figures as a new dict of plain numbers."""
        shares = {
            "saved_share": self.saved_share,
            "prefix_share": self.prefix_share,
            "newest_prefix_share": self.newest_prefix_share,
        }
        return {**vars(self), **{name: round(share, 6) for name, share in shares.items()}}


@dataclass
class Analysis:
    """Figures of all chats taken in so far, one row a budget.

    Args:
        budgets: budgets in tokens.
        tokenizer: an encoding, a model's name or the path of a tokenizer.json.
        keep_last: newest turns that must stay.
    """

    budgets: Sequence[int]
    tokenizer: str
    keep_last: int
    chats: int = 0
    messages: int = 0
    rows: list[BudgetFigures] = field(init=False)

    def __post_init__(self) -> None:
        """Make the rows."""
        self.rows = [BudgetFigures(budget) for budget in self.budgets]

    def add(self, messages: Sequence[Any]) -> None:
        """Replay one chat.

        Raises:
            MessageError: a message is not of the form a chat API takes.
            TokenizerError: the tokenizer is unknown.

        Cost: one history a chat, appended to message by message; one fit a request and budget.
        """
        history = rolecore.History(tokenizer=self.tokenizer)
        costs: list[int] = []
        replays = [_Replay(row, self, messages, costs) for row in self.rows]
        for index, message in enumerate(messages):
            if index and isinstance(message, dict) and message.get("role") == "assistant":
                for replay in replays:
                    replay.request(history)
            before = history.tokens
            history.append(message)
            costs.append(history.tokens - before)
            for replay in replays:
                replay.newest.append(message["role"], costs[-1])
        for replay in replays:
            replay.close()
        self.chats += 1
        self.messages += len(messages)


class _Replay:
    """One chat at one budget."""

    def __init__(self, row: BudgetFigures, settings: Analysis, messages: Sequence[Any], costs: list[int]) -> None:
        self.newest = NewestFirst(row.budget_tokens)
        self._row = row
        self._settings = settings
        self._messages = messages
        self._costs = costs
        self._was_over = False
        self._was_refused = False
        self._sent: list[Any] = []
        self._sent_tokens = 0
        self._newest_window: list[int] = []
        self._newest_tokens = 0

    def request(self, history: rolecore.History) -> None:
        row = self._row
        is_over = history.tokens > row.budget_tokens
        self._was_over |= is_over
        row.requests_over += is_over
        try:
            window = history.fit(row.budget_tokens, keep_last=self._settings.keep_last)
        except BudgetError as error:
            self._was_refused = True
            row.requests_refused += 1
            row.needed_tokens = max(row.needed_tokens, error.needed)
            return
        sent = window.messages
        row.requests += 1
        row.tokens_in += history.tokens
        row.tokens_sent += window.tokens
        row.messages_dropped += len(history) - len(sent)
        row.prefix_tokens += self._prefix(sent, window.sources)
        self._sent, self._sent_tokens = sent, window.tokens

        newest = self.newest.window()
        row.newest_tokens_sent += self.newest.tokens
        row.newest_prefix_tokens += self._newest_prefix(newest)
        self._newest_window, self._newest_tokens = newest, self.newest.tokens

    def close(self) -> None:
        self._row.chats_over += self._was_over
        self._row.chats_refused += self._was_refused

    def _prefix(self, sent: list[Any], sources: list[int]) -> int:
        """Tokens of the leading messages of `sent` that the previous request began with."""
        old = self._sent
        if len(old) <= len(sent) and all(map(is_, old, sent)):
            return self._sent_tokens
        tokens = 0
        for ours, theirs, source in zip(sent, old, sources, strict=False):
            if ours is not theirs and json.dumps(ours) != json.dumps(theirs):
                break
            # A repaired message is a copy that costs less than its source.
            tokens += self._costs[source] if ours is self._messages[source] else self._recount(ours)
        return tokens

    def _recount(self, message: dict[str, Any]) -> int:
        return rolecore.History([message], tokenizer=self._settings.tokenizer).tokens

    def _newest_prefix(self, window: list[int]) -> int:
        old = self._newest_window
        if window[: len(old)] == old:
            return self._newest_tokens
        tokens = 0
        for ours, theirs in zip(window, old, strict=False):
            if ours != theirs:
                break
            tokens += self._costs[ours]
        return tokens


COLUMNS = (
    "budget",
    "over",
    "refused",
    "tokens in",
    "sent",
    "saved",
    "dropped",
    "prefix",
    "newest-first",
)


def cells(row: BudgetFigures) -> tuple[str, ...]:
    """Return one row of the table a person reads, in the order of `COLUMNS`."""
    return (
        f"{row.budget_tokens:,}",
        f"{row.chats_over:,}",
        f"{row.chats_refused:,}",
        f"{row.tokens_in:,}",
        f"{row.tokens_sent:,}",
        f"{row.saved_share:.1%}",
        f"{row.messages_dropped:,}",
        f"{row.prefix_share:.1%}",
        f"{row.newest_prefix_share:.1%}",
    )
