"""A RollingWindow over a history that grows turn by turn: what of its prefix stays, what it still knows at the end.

prefix: share of a view's messages that are still the next view's first ones, unchanged, over the last 150 turns (a
provider's prompt cache keeps those). evidence of one-shot: evidence in the last view, as a share of what one fit of
the whole history keeps of it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from measures import Collected, Exam
from retention import fitted
from table import Figure

import rolecore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from check import Tally
    from data import Conversation, Message

SHARE = 0.2
LAST_TURNS = 150


def run(conversations: Sequence[Conversation], tally: Tally) -> list[Figure]:
    """Return the figures of a file; none if there is no RollingWindow."""
    if not hasattr(rolecore, "RollingWindow"):
        return []
    rolling, one_shot = Collected(1), Collected(1)
    same = seen = 0
    for conversation in conversations:
        messages = conversation.messages()
        whole = rolecore.History(messages)
        budget = int(whole.tokens * SHARE)
        exam = Exam(conversation)
        kept, stayed, shown = follow(messages, budget, tally)
        rolling.add(0, exam.mark(kept))
        one_shot.add(0, exam.mark(fitted(whole, messages, tally)(budget)))
        same += stayed
        seen += shown
    ours, theirs = rolling.values("evidence"), one_shot.values("evidence")
    n = rolling.n("evidence")
    return [
        Figure("stream prefix", [100 * same / max(1, seen)], seen),
        Figure("stream evidence", ours, n, {"one-shot": theirs}),
        Figure("stream evidence of one-shot", [100 * ours[0] / max(theirs[0], 1e-9)], n),
    ]


def follow(messages: Sequence[Message], budget: int, tally: Tally) -> tuple[dict[int, str], int, int]:
    """Append one by one; return what the last view holds, how many of the views' messages stayed, and of how many."""
    history = rolecore.History()
    rolling = rolecore.RollingWindow(history, budget_tokens=budget, keep_last=3)
    kept: dict[int, str] = {}
    before: list[str] = []
    same = seen = 0
    for i, message in enumerate(messages):
        history.append(message)
        last_view = rolling.view()
        kept = tally.fit(lambda view=last_view: view, messages, budget) or {}
        now = [json.dumps(one, sort_keys=True) for one in last_view.messages]
        if i >= len(messages) - LAST_TURNS:
            seen += len(before)
            pairs = zip(before, now, strict=False)
            same += next((at for at, (old, new) in enumerate(pairs) if old != new), min(len(before), len(now)))
        before = now
    return kept, same, seen
