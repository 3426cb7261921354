"""Judges what is left of a conversation by the questions on it.

| measure | mean over | of |
|---|---|---|
| evidence | questions | the share of the evidence turns that are kept whole |
| terms | questions | of the answer's content words that stand in the evidence, the share still in what is kept of it |
| span | questions whose answer stands literally in their evidence | whether it still stands in what is kept of it |
| gold | sentences that a human marked as salient | whether they are kept whole |
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from data import Conversation, Question

MEASURES = ("evidence", "terms", "span", "gold")

# Marks in per cent, to be averaged, by measure.
Marks = dict[str, list[float]]


@lru_cache(maxsize=200_000)
def content_words(text: str) -> frozenset[str]:
    """Words of four letters or digits and more, in lower case, and pairs of Chinese characters."""
    words = set(re.findall(r"[a-z0-9]{4,}", text.lower()))
    for run in re.findall(r"[\u4e00-\u9fff]{2,}", text):
        words.update(map("".join, pairwise(run)))
    return frozenset(words)


@lru_cache(maxsize=200_000)
def plain(text: str) -> str:
    """Lower case, with single blanks."""
    return " ".join(text.lower().split())


class Exam:
    """The questions on one conversation, ready to mark many windows of it."""

    def __init__(self, conversation: Conversation) -> None:
        """Look up once what each question wants."""
        self.texts = [text for _, text in conversation.turns]
        self.questions = conversation.questions
        self.wanted = [self.answer_words(question) for question in self.questions]
        self.is_literal = [self.stands_in_evidence(question) for question in self.questions]

    def answer_words(self, question: Question) -> frozenset[str]:
        """The answer's words that its evidence holds."""
        return content_words(question.answer) & content_words(" ".join(self.texts[turn] for turn in question.evidence))

    def stands_in_evidence(self, question: Question) -> bool:
        """Whether the answer stands literally in a turn of its evidence."""
        answer = plain(question.answer)
        return bool(answer) and any(answer in plain(self.texts[turn]) for turn in question.evidence)

    def mark(self, kept: Mapping[int, str], asked: Iterable[int] | None = None) -> Marks:
        """Mark what is kept of each turn, by all questions or by those whose numbers are `asked`."""
        marks: Marks = {measure: [] for measure in MEASURES}
        for number in range(len(self.questions)) if asked is None else asked:
            question = self.questions[number]
            told = [kept.get(turn, "") for turn in question.evidence]
            whole = sum(self.texts[turn] in text for turn, text in zip(question.evidence, told, strict=True))
            marks["evidence"].append(100 * whole / len(told))
            if wanted := self.wanted[number]:
                marks["terms"].append(100 * len(wanted & content_words(" ".join(told))) / len(wanted))
            if self.is_literal[number]:
                marks["span"].append(100.0 * any(plain(question.answer) in plain(text) for text in told))
            marks["gold"] += [100.0 * (sentence in kept.get(turn, "")) for turn, sentence in question.marked]
        return marks


class Collected:
    """Marks by measure and budget, over conversations."""

    def __init__(self, n_budgets: int = 4) -> None:
        """Start with none."""
        self.marks: list[Marks] = [defaultdict(list) for _ in range(n_budgets)]

    def add(self, budget: int, marks: Marks) -> None:
        """Take the marks of one window under the budget of that number."""
        for measure, values in marks.items():
            self.marks[budget][measure] += values

    def values(self, measure: str) -> list[float]:
        """Means in per cent, one a budget; empty when nothing was measured."""
        if not self.marks[0][measure]:
            return []
        return [sum(marks[measure]) / len(marks[measure]) for marks in self.marks]

    def n(self, measure: str) -> int:
        """How many marks a mean is of."""
        return len(self.marks[0][measure])
