"""Replays chats through the whole road, as an agent would: append, read memory, fit before each answer."""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import islice
from typing import TYPE_CHECKING, Any

import rolecore
from rolecore import chatfile
from rolecore.demo.oracle import Sent
from rolecore.errors import ArgumentError, BudgetError, MessageError
from rolecore.newest_first import NewestFirst

if TYPE_CHECKING:
    from collections.abc import Sequence

REPLAY_BUDGETS = (2500, 4000)
EVIDENCE_BUDGETS = (1000, 2500, 4000)
TOKENIZER = "o200k_base"
# A turn of the session holds many tool calls; more of them than the newest would fill a small window by themselves.
KEEP_LAST = 1
# A demo is one screen; `rolecore analyze` takes any number.
MOST_INPUT_CHATS = 4


@dataclass(frozen=True)
class Recording:
    """A chat with its name, and the questions asked of it."""

    name: str
    messages: list[dict[str, Any]]
    questions: list[Question] = field(default_factory=list)


@dataclass(frozen=True)
class Question:
    """What is asked, and the indices of the messages that answer it."""

    text: str
    evidence: frozenset[int]


@dataclass
class Replay:
    """One chat at one budget, request by request.

    Attributes:
        refused: requests in which what must stay is over the budget.
        history_tokens: of each request, tokens of all that had been said.
        window_tokens: of each request, tokens of its window.
        prefix_tokens: tokens of windows that are the history's own beginning.
        fit_us: microseconds of each fit.
        rss_bytes: resident memory of this process at the end; None where it cannot be read.
        sent: the windows, for the oracle.
    """

    name: str
    budget_tokens: int
    has_query: bool
    refused: int = 0
    history_tokens: list[int] = field(default_factory=list)
    window_tokens: list[int] = field(default_factory=list)
    prefix_tokens: int = 0
    fit_us: list[float] = field(default_factory=list)
    rss_bytes: int | None = None
    sent: list[Sent] = field(default_factory=list)

    @property
    def tokens_in(self) -> int:
        """Tokens of all histories."""
        return sum(self.history_tokens)

    @property
    def tokens_kept(self) -> int:
        """Tokens of all windows."""
        return sum(self.window_tokens)

    @property
    def saved_share(self) -> float:
        """Share of the tokens that need not be sent."""
        return 1 - self.tokens_kept / self.tokens_in if self.tokens_in else 0.0

    @property
    def prefix_share(self) -> float:
        """Share of the window that is the history's own beginning."""
        return self.prefix_tokens / self.tokens_kept if self.tokens_kept else 0.0

    @property
    def median_us(self) -> float:
        """Median microseconds of a fit that had to choose, or of all when none had to."""
        timed = zip(self.fit_us, self.history_tokens, strict=True)
        chosen = [took for took, tokens in timed if tokens > self.budget_tokens] or self.fit_us
        return statistics.median(chosen) if chosen else 0.0


@dataclass
class Evidence:
    """At one budget, how much of what the questions need is in the window.

    Attributes:
        asked: answers to find, over all questions.
        with_query: of them, in the window fitted with the question as its query.
        without_query: in the window fitted without.
        newest_first: in the newest messages that fit the same budget.
    """

    budget_tokens: int
    asked: int = 0
    with_query: int = 0
    without_query: int = 0
    newest_first: int = 0

    def share(self, found: int) -> float:
        """Return `found` as a share of what was asked."""
        return found / self.asked if self.asked else 0.0


def recordings(input_path: str | None) -> list[Recording]:
    """Return the chats of a file, or the two that come with the package."""
    if input_path is not None:
        chats = islice(chatfile.read_chats(input_path), MOST_INPUT_CHATS)
        return [_checked(chat, f"chat {i}") for i, chat in enumerate(chats)]
    folder = files("rolecore.demo")
    lines = (folder / "questions.jsonl").read_text("utf-8").splitlines()
    asked = [json.loads(line) for line in lines]
    made = []
    for name in ("session", "bilingual"):
        messages = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text("utf-8").splitlines()]
        questions = [Question(q["question"], frozenset(q["evidence"])) for q in asked if q["chat"] == name]
        made.append(Recording(name, messages, questions))
    return made


def _checked(chat: chatfile.Chat, name: str) -> Recording:
    try:
        rolecore.History(chat.messages, tokenizer=TOKENIZER)
    except MessageError as error:
        raise chat.located(error) from error
    return Recording(name, chat.messages)


def replay(recording: Recording, budget_tokens: int, *, has_query: bool) -> Replay:
    """Append message by message and fit before each answer; with a query, it is what the user said last."""
    row = Replay(recording.name, budget_tokens, has_query)
    history = rolecore.History(tokenizer=TOKENIZER)
    asked = None
    for index, message in enumerate(recording.messages):
        if message["role"] == "assistant" and index:
            query = asked if has_query else None
            start = time.perf_counter()
            try:
                window = history.fit(budget_tokens, query=query, keep_last=KEEP_LAST)
            except BudgetError:
                row.refused += 1
            else:
                row.fit_us.append((time.perf_counter() - start) * 1e6)
                row.history_tokens.append(history.tokens)
                row.window_tokens.append(window.tokens)
                row.prefix_tokens += window.reused_prefix_tokens
                row.sent.append(_sent(recording, index, window, budget_tokens))
        history.append(message)
        if message["role"] == "user" and isinstance(message.get("content"), str):
            asked = message["content"]
    memory = read_memory()
    row.rss_bytes = memory.rss_bytes if memory else None
    return row


def read_memory() -> rolecore.Memory | None:
    """Return one reading of the memory probe; None where there is nothing to read."""
    try:
        return rolecore.MemoryProbe().read()
    except ArgumentError:
        return None


def fit_by_memory(recording: Recording, retain_ratio: float) -> tuple[Replay, Sent | None]:
    """Fit the finished chat to a share of its tokens, as memory pressure would; no window when too much must stay."""
    row = Replay(recording.name, 0, has_query=False)
    history = rolecore.History(recording.messages, tokenizer=TOKENIZER)
    row.history_tokens.append(history.tokens)
    try:
        window = history.fit(retain_ratio=retain_ratio, keep_last=KEEP_LAST)
    except BudgetError:
        row.refused += 1
        return row, None
    row.window_tokens.append(window.tokens)
    sent = _sent(recording, len(history), window, int(retain_ratio * history.tokens))
    return row, sent


def evidence(made: Sequence[Recording], budget_tokens: int) -> tuple[Evidence, list[Sent]]:
    """Ask every question of its finished chat, at one budget."""
    found = Evidence(budget_tokens)
    sent = []
    for recording in made:
        if not recording.questions:
            continue
        history = rolecore.History(tokenizer=TOKENIZER)
        newest = NewestFirst(budget_tokens)
        for message in recording.messages:
            before = history.tokens
            history.append(message)
            newest.append(message["role"], history.tokens - before)
        plain = history.fit(budget_tokens, keep_last=KEEP_LAST)
        sent.append(_sent(recording, len(history), plain, budget_tokens))
        for question in recording.questions:
            window = history.fit(budget_tokens, query=question.text, keep_last=KEEP_LAST)
            sent.append(_sent(recording, len(history), window, budget_tokens))
            found.asked += len(question.evidence)
            found.with_query += len(question.evidence.intersection(window.sources))
            found.without_query += len(question.evidence.intersection(plain.sources))
            found.newest_first += len(question.evidence.intersection(newest.window()))
    return found, sent


def _sent(recording: Recording, length: int, window: rolecore.Window, budget_tokens: int) -> Sent:
    return Sent(recording.messages, length, window.messages, window.sources, window.tokens, budget_tokens, KEEP_LAST)
