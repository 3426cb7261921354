"""What windows keep of a conversation for the questions on it.

"agnostic": they are asked later. "query": each is known while its window is chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from baselines import SEEDS, at_random, newest
from measures import MEASURES, Collected, Exam
from table import Figure, mean

import rolecore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from check import Tally
    from data import Conversation, Message

SHARES = (0.40, 0.20, 0.10, 0.05)
UNITS = ("message", "sentence")

# Kept text by turn, under a budget of so many tokens.
Keeper = Callable[[int], Mapping[int, str]]


def run(conversations: Sequence[Conversation], tally: Tally, *, every: int) -> list[Figure]:
    """Return the figures of a file; by query, every so many questions are asked."""
    collected: dict[str, Collected] = {}
    for conversation in conversations:
        messages = conversation.messages()
        history = rolecore.History(messages)
        exam = Exam(conversation)

        def collect(name: str, keep: Keeper, asked: Sequence[int] | None = None) -> None:
            into = collected.setdefault(name, Collected())
            for i, share in enumerate(SHARES):
                into.add(i, exam.mark(keep(int(history.tokens * share)), asked))  # noqa: B023  used at once

        for unit in UNITS:
            collect(f"agnostic {unit}", fitted(history, messages, tally, unit=unit))
            for number in range(0, len(exam.questions), every):
                query = exam.questions[number].text
                collect(f"query {unit}", fitted(history, messages, tally, unit=unit, query=query), [number])
        for name, keep in baselines(messages).items():
            collect(name, keep)
    return figures(collected)


def figures(collected: Mapping[str, Collected]) -> list[Figure]:
    """Return a figure for each kind of window and measure, with the baselines beside it."""
    beside = {"newest": ["newest"], "random": [f"random {seed}" for seed in SEEDS]}
    found = []
    for name, ours in collected.items():
        if name.split()[0] in beside:
            continue
        for measure in MEASURES:
            if values := ours.values(measure):
                peers = {
                    peer: mean([collected[one].values(measure) for one in names]) for peer, names in beside.items()
                }
                found.append(Figure(f"{name} {measure}", values, ours.n(measure), peers))
    return found


def fitted(
    history: rolecore.History,
    messages: Sequence[Message],
    tally: Tally,
    *,
    unit: str = "message",
    query: str | None = None,
) -> Keeper:
    """Return what fits a budget and says what the window holds; each is checked."""

    def keep(budget: int) -> Mapping[int, str]:
        def fit() -> rolecore.Window:
            return history.fit(budget, query=query, keep_last=0, unit=unit)

        return tally.fit(fit, messages, budget) or {}

    return keep


def baselines(messages: Sequence[Message]) -> dict[str, Keeper]:
    """Return what keeps whole messages without judgement: the newest, and at random, once a seed."""
    tokenizer = rolecore.tokenizer("o200k_base")
    costs = [tokenizer.count_messages([message]) for message in messages]

    def keeper(choose: Callable[[int], Sequence[int]]) -> Keeper:
        return lambda budget: {i: messages[i]["content"] for i in choose(budget)}

    random = {f"random {seed}": keeper(lambda budget, seed=seed: at_random(costs, budget, seed)) for seed in SEEDS}
    return {"newest": keeper(lambda budget: newest(costs, budget)), **random}
