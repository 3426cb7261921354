"""What windows of tool-calling sessions keep of the values that the agent is about to use.

Before every tool call of a session, what came before it is cut to a share of its tokens; the system message stays
and is not counted in. A need is an argument's value (four characters or more, a number of three digits or more)
that stands literally in an earlier message. It is far if it was last seen before the newest six messages. The query
is the newest user message.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from baselines import SEEDS, at_random, newest
from check import said_in, text_of
from measures import Collected, Marks
from table import Figure, mean

import rolecore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from check import Tally
    from data import Message, Session

SHARES = (0.60, 0.40, 0.20, 0.10)
FAR_MESSAGES = 6
PEERS = {"newest": ["newest"], "skipping": ["skipping"], "random": [f"random {seed}" for seed in SEEDS]}


class Moment:
    """A session just before a tool call, and what the call needs."""

    def __init__(self, system: Message, before: Sequence[Message], call: Message) -> None:
        """Look up what is needed and where it stands."""
        self.messages = [system, *before]
        texts = [said_in(message) for message in before]
        places = {value: [i for i, text in enumerate(texts) if stands(value, text)] for value in needs(call)}
        self.near = [value for value, at in places.items() if at and at[-1] >= len(before) - FAR_MESSAGES]
        self.far = [value for value, at in places.items() if at and at[-1] < len(before) - FAR_MESSAGES]

    def prepare(self) -> None:
        """Count what there is to choose from."""
        tokenizer = rolecore.tokenizer("o200k_base")
        self.history = rolecore.History(self.messages)
        self.system_tokens = tokenizer.count_messages(self.messages[:1])
        self.groups = calls_with_results(self.messages[1:])
        self.costs = [tokenizer.count_messages(group) for group in self.groups]
        newest_user = next((message for message in reversed(self.messages) if message["role"] == "user"), None)
        self.query = text_of(newest_user) if newest_user else None

    def windows(self, share: float, tally: Tally, units: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
        """Each kind of window at one share, ours and the baselines', with the texts that it holds."""
        budget = int(sum(self.costs) * share)
        for unit in units:
            for name, options in kinds(self.query):
                yield f"{unit}{name}", self.kept(self.system_tokens + budget, tally, {"unit": unit, **options})
        chosen = {"newest": newest(self.costs, budget), "skipping": newest(self.costs, budget, skips=True)}
        chosen |= {f"random {seed}": at_random(self.costs, budget, seed) for seed in SEEDS}
        for name, taken in chosen.items():
            yield name, [said_in(message) for i in taken for message in self.groups[i]]

    def kept(self, budget: int, tally: Tally, options: Mapping[str, Any]) -> list[str]:
        """What our window keeps of each message but the system's."""

        def fit() -> rolecore.Window:
            return self.history.fit(budget, keep_last=0, **options)

        kept = tally.fit(fit, self.messages, budget) or {}
        return [text for at, text in kept.items() if at]

    def marks(self, said: Sequence[str]) -> Marks:
        """100 for each need that still stands, 0 for each that does not."""
        near, far = (
            [100.0 * any(stands(value, text) for text in said) for value in values] for values in (self.near, self.far)
        )
        return {"all": near + far, "far": far}


def run(sessions: Sequence[Session], tally: Tally, *, units: Sequence[str]) -> list[Figure]:
    """Return the figures of a file."""
    collected: dict[str, Collected] = {}
    for session in sessions:
        for moment in moments(session):
            for i, share in enumerate(SHARES):
                for name, said in moment.windows(share, tally, units):
                    collected.setdefault(name, Collected()).add(i, moment.marks(said))
    return figures(collected)


def figures(collected: Mapping[str, Collected]) -> list[Figure]:
    """Return a figure for each kind of window and measure, with the baselines beside it, and what a query gains."""
    found: dict[str, Figure] = {}
    peers_names = {name for names in PEERS.values() for name in names}
    for name, ours in collected.items():
        for measure in ("all", "far"):
            if name in peers_names or not ours.n(measure):
                continue
            beside = {peer: mean([collected[one].values(measure) for one in names]) for peer, names in PEERS.items()}
            named = f"needs {measure} {name}"
            found[named] = Figure(named, ours.values(measure), ours.n(measure), beside)
    for name, figure in list(found.items()):
        if with_query := found.get(f"{name} query"):
            gain = [ours - plain for ours, plain in zip(with_query.values, figure.values, strict=True)]
            found[f"{name} query gain"] = Figure(f"{name} query gain", gain, figure.n)
    return [found[name] for name in sorted(found)]


def moments(session: Session) -> Iterator[Moment]:
    """Each moment before a call that needs something."""
    for i, message in enumerate(session.messages):
        if message.get("tool_calls"):
            moment = Moment(session.system, session.messages[:i], message)
            if moment.near or moment.far:
                moment.prepare()
                yield moment


def kinds(query: str | None) -> list[tuple[str, dict[str, Any]]]:
    """Name and options of each kind of window there is."""
    found: list[tuple[str, dict[str, Any]]] = [("", {}), (" query", {"query": query})]
    if can_shrink():
        found.append((" shrunk", {"shrink_tool_outputs": True}))
    return found


@cache
def can_shrink() -> bool:
    """Whether `fit` can make tool outputs smaller."""
    try:
        rolecore.History().fit(10, shrink_tool_outputs=True)
    except TypeError:
        return False
    return True


def calls_with_results(messages: Sequence[Message]) -> list[list[Message]]:
    """Messages that only make sense together: a call and its results, any other message alone."""
    groups: list[list[Message]] = []
    for message in messages:
        if message["role"] == "tool" and groups:
            groups[-1].append(message)
        else:
            groups.append([message])
    return groups


def needs(call: Message) -> list[str]:
    """The values among the arguments of a message's calls that say something by themselves."""
    arguments = [json.loads(one["function"]["arguments"] or "{}") for one in call["tool_calls"]]
    return list(dict.fromkeys(telling(arguments)))


def telling(value: Any) -> Iterator[str]:
    """Strings of four characters and more, and numbers of three digits and more, inside a JSON value."""
    if isinstance(value, (dict, list)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from telling(one)
    elif isinstance(value, str):
        if len(value) >= 4:
            yield value
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) >= 100:
        yield str(value)


def stands(value: str, text: str) -> bool:
    """Whether a value stands in a text as a word, not as part of one."""
    return value in text and bool(word(value).search(text))


@cache
def word(value: str) -> re.Pattern[str]:
    """Match a value where no letter, digit or underscore touches it."""
    return re.compile(rf"(?<![A-Za-z0-9_]){re.escape(value)}(?![A-Za-z0-9_])")
