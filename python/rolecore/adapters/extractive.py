"""An agent without a model: it answers with the sentences of the history that match the question."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from typing import TYPE_CHECKING

import rolecore
from rolecore import deadlines
from rolecore.adapters.agent import AIAgent, Completion, Message, Usage, as_messages, text_of
from rolecore.arguments import read_count
from rolecore.errors import BudgetError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

NOTHING = "Nothing said so far answers that."
NOTHING_ZH = "之前的对话里没有相关内容。"

# The window that sentences are chosen from, in answers' lengths.
_WINDOW = 16
# Of the best sentence's score that others need to be said too.
_SHARE = 0.5
_QUESTION = ("?", "\uff1f")
_CHINESE = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]+")
_WORD = re.compile(r"[^\W_\u3400-\u4dbf\u4e00-\u9fff]+")
# Behind full-width marks, behind others where a blank follows, at the end of a line.
_BREAK = re.compile("(?<=[\u3002\uff01\uff1f])|(?<=[.!?])(?=\\s)|\n")
# What questions are made of, and says nothing of what is asked for.
_STOP_WORDS = """
a about all an and any are as at be been but by can could did do does for from had has have he her his how i if in is
it its me much many my not of on or our please she so tell than that the their them then there these they this to us
was we were what when where which who whom whose why will with would you your s t
"""
_STOP = frozenset(_STOP_WORDS.split())
_STOP_ZH = frozenset("的了吗呢吧啊么是在有和与我你您他她它们这那哪什怎几多谁请问告诉一个不就都也还要会能可以")


class ExtractiveAgent(AIAgent):
    """Answers with what was said before: the sentences that share most with the question, in their order, as they are.

    English and Chinese. `History.fit` narrows a long context down to the sentences that matter to the question; of
    those, the ones that share rare words with it are the answer. Instructions and questions are never said back. Where
    nothing matches, it says so: "Nothing said so far answers that.", or the same in Chinese.

    Args:
        max_tokens: of an answer.
        tokenizer: counts.

    Raises:
        ArgumentError: `max_tokens` is no count.

    Cost: a window of the context; 4 ms for 200 turns.

    Example:
        >>> agent = rolecore.ExtractiveAgent()
        >>> said = [{"role": "user", "content": "It rains. Ana's train to Oslo leaves at 08:15. I like tea."}]
        >>> agent.invoke("When does the train leave?", said)
        "Ana's train to Oslo leaves at 08:15."
    """

    def __init__(self, *, max_tokens: int = 100, tokenizer: str | os.PathLike[str] = "o200k_base") -> None:
        """Take the limit."""
        self._max_tokens = read_count(max_tokens, "max_tokens")
        self._tokenizer = rolecore.tokenizer(tokenizer)

    async def ainvoke(self, input: str | Message, context: Iterable[Message] = ()) -> str:  # noqa: A002  the interface's
        """Return the answer. Raises what `acomplete` raises."""
        return (await self.acomplete(input, context)).text

    async def acomplete(self, input: str | Message, context: Iterable[Message] = ()) -> Completion:  # noqa: A002
        """Return the answer, with what it would cost.

        Raises:
            MessageError: a message is not of the form a chat API takes.
            DeadlineExceeded: the deadline is over.
        """
        deadlines.check("completion")
        request = as_messages(input, context)
        messages, question = request[:-1], text_of(input)
        answer = self._choose(self._sentences(messages, question), question)
        if not answer:
            answer = self._tokenizer.truncate(NOTHING_ZH if _CHINESE.search(question) else NOTHING, self._max_tokens)
        usage = Usage(self._tokenizer.count_messages(request), self._tokenizer.count(answer))
        return Completion({"role": "assistant", "content": answer}, usage, "stop")

    def __repr__(self) -> str:
        """Show the limit."""
        return f"ExtractiveAgent(max_tokens={self._max_tokens})"

    def _sentences(self, messages: list[Message], question: str) -> list[str]:
        """Return what was said that may answer, in order, once each."""
        said = [message for message in messages if message.get("role") not in {"system", "developer"}]
        history = rolecore.History(said, tokenizer=self._tokenizer)
        budget = _WINDOW * self._max_tokens
        try:
            window = history.fit(budget, query=question, keep_last=0, unit="sentence")
        except BudgetError as error:
            window = history.fit(error.needed, query=question, keep_last=0, unit="sentence")
        pieces = [piece for message in window.messages for piece in text_of(message).split(rolecore.CUT_MARK)]
        found = dict.fromkeys(sentence.strip() for piece in pieces for sentence in _BREAK.split(piece))
        return [text for text in found if text and not text.endswith(_QUESTION) and text not in {NOTHING, NOTHING_ZH}]

    def _choose(self, sentences: list[str], question: str) -> str:
        terms = [_terms(sentence) for sentence in sentences]
        n_with = Counter(term for found in terms for term in found)
        wanted = _terms(question)
        scores = [sum(math.log1p(len(sentences) / n_with[term]) for term in found & wanted) for found in terms]
        least = max(_SHARE * max(scores, default=0.0), math.ulp(0.0))
        ranked = sorted((i for i, score in enumerate(scores) if score >= least), key=lambda i: -scores[i])
        answer = ""
        chosen: list[int] = []
        for i in ranked:
            longer = _join([sentences[j] for j in sorted([*chosen, i])])
            if self._tokenizer.count(longer) <= self._max_tokens:
                answer, chosen = longer, [*chosen, i]
        # The best one may be too long as a whole.
        return answer or (self._tokenizer.truncate(sentences[ranked[0]], self._max_tokens) if ranked else "")


def _terms(text: str) -> frozenset[str]:
    """Return the words of a text without their endings, and each two Chinese characters that stand together."""
    words = {_stem(word) for word in _WORD.findall(text.lower()) if word not in _STOP}
    for run in _CHINESE.findall(text):
        words |= {pair for pair in map("".join, itertools.pairwise(run)) if not _STOP_ZH.intersection(pair)}
    return frozenset(words)


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) > 2:  # noqa: PLR2004  no word is left of less
            return word.removesuffix(ending)
    return word


def _join(sentences: list[str]) -> str:
    """Return the sentences as one text, without blanks between Chinese ones."""
    text = ""
    for sentence in sentences:
        text += sentence if not text or text[-1] in "\u3002\uff01\uff1f" else f" {sentence}"
    return text
