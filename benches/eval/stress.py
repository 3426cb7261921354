"""Histories that are made hard: chats with long answers, and a change of register halfway.

Prints tables, gates nothing but the windows themselves. Made from the data itself. A chat is a conversation of two,
a meeting one of more. Long answers: the second speaker's turns get a tail of consecutive sentences out of meetings
in the same language, or out of the file's other chats. In one variant turns that hold evidence stay as they are,
which flatters, since they are the short ones then; in another all get a tail; in a third the turns without evidence
are such material only. Change of register: a chat and a meeting as one history, in both orders; each half is judged
by its own questions, beside what a fit of that half alone keeps at the same share. All windows are by sentence.
"""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

from baselines import SEEDS
from check import Tally
from data import Conversation
from measures import Collected, Exam
from retention import SHARES, baselines, fitted
from table import Figure, heading, mean, row

import rolecore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from data import DataFile
    from retention import Keeper

# A measure is shown where at least this share of the questions has it.
SHOWN_FROM = 0.2
MEASURES = ("terms", "span", "gold")
PEERS = {"alone": ["alone"], "newest": ["newest"], "random": [f"random {seed}" for seed in SEEDS]}
# Sentences of a tail, and letters of a sentence that is long material, by language.
TAIL = {"en": (5, 15), "zh": (4, 10)}
LETTERS = {"en": (40, 300), "zh": (15, 150)}
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？；])")


def run(files: Sequence[DataFile]) -> list[str]:
    """Print both tables; return what was wrong with the windows, in words."""
    tally = Tally()
    chats = [file for file in files if file.conversations and max(n_speakers(file)) <= 2]
    meetings = [file for file in files if file.conversations and min(n_speakers(file)) > 2]
    print(heading("chats with long answers", SHARES))
    for file in chats:
        for name, histories in with_long_answers(file, meetings):
            show(name, collect(histories, tally))
    print(heading("a change of register halfway", SHARES))
    for chat in chats:
        for meeting in meetings:
            for name, collected in changing(chat, meeting, tally):
                show(name, collected)
    print(f"  {tally}")
    return [f"stress: {fault}" for fault in tally.faults]


def show(name: str, collected: dict[str, Collected]) -> None:
    """Print a row a measure."""
    for measure in MEASURES:
        values = collected["ours"].values(measure)
        if values and collected["ours"].n(measure) >= SHOWN_FROM * collected["ours"].n("evidence"):
            beside = {
                peer: mean([collected[one].values(measure) for one in names])
                for peer, names in PEERS.items()
                if names[0] in collected
            }
            print(row(Figure(f"{name} {measure}", values, collected["ours"].n(measure), beside)))


def with_long_answers(file: DataFile, meetings: Sequence[DataFile]) -> Iterator[tuple[str, list[Conversation]]]:
    """Name and conversations of each variant of a file of chats."""
    language = file.conversations[0].language
    talk = sentences(c for meeting in meetings for c in meeting.conversations if c.language == language)
    chats = {one.name: sentences(c for c in file.conversations if c is not one) for one in file.conversations}
    for source in ("talk", "chats"):
        for variant in ("spared", "all", "replaced"):
            histories = [
                lengthened(one, talk if source == "talk" else chats[one.name], variant) for one in file.conversations
            ]
            if all(histories):
                yield f"{short(file)} +{source}, {variant}", [one for one in histories if one]


def lengthened(one: Conversation, material: Sequence[str], variant: str) -> Conversation | None:
    """Return a chat whose second speaker answers at length, or None if there is too little material."""
    least, most = TAIL.get(one.language, TAIL["en"])
    if len(material) <= most:
        return None
    draw = random.Random(1)  # noqa: S311  no secrets here
    blank = "" if one.language == "zh" else " "
    evidence = {turn for question in one.questions for turn in question.evidence}
    user = one.turns[0][0]
    turns = []
    for i, (speaker, text) in enumerate(one.turns):
        if speaker == user or (variant != "all" and i in evidence):
            turns.append((speaker, text))
            continue
        n = draw.randint(least, most)
        start = draw.randrange(len(material) - n)
        tail = blank.join(material[start : start + n])
        turns.append((speaker, tail if variant == "replaced" else text + blank + tail))
    return Conversation(one.name, one.language, tuple(turns), one.questions)


def changing(chats: DataFile, meetings: DataFile, tally: Tally) -> Iterator[tuple[str, dict[str, Collected]]]:
    """Name and marks of each half of a chat and a meeting in one history, in both orders."""
    n = min(len(chats.conversations), len(meetings.conversations))
    step = len(meetings.conversations) / n
    pairs = [(chats.conversations[i], meetings.conversations[int(i * step)]) for i in range(n)]
    for is_swapped in (False, True):
        halves: list[dict[str, Collected]] = [{}, {}]
        for pair in pairs:
            first, second = reversed(pair) if is_swapped else pair
            joined, exam, keepers = prepare(join(first, second), tally)
            asked = (range(len(first.questions)), range(len(first.questions), len(joined.questions)))
            for half, questions in enumerate(asked):
                add(halves[half], exam, keepers, questions)
            for half, alone in enumerate((first, second)):
                _, own_exam, own = prepare(alone, tally)
                add(halves[half], own_exam, {"alone": own["ours"]}, range(len(alone.questions)))
        names = [short(meetings), short(chats)] if is_swapped else [short(chats), short(meetings)]
        for half in (0, 1):
            yield f"{names[0]}+{names[1]}: {names[half]}", halves[half]


def join(first: Conversation, second: Conversation) -> Conversation:
    """Return two conversations as one, with the questions on both."""
    later = tuple(question.later(len(first.turns)) for question in second.questions)
    name = f"{first.name}+{second.name}"
    return Conversation(name, first.language, first.turns + second.turns, first.questions + later)


def collect(conversations: Sequence[Conversation], tally: Tally) -> dict[str, Collected]:
    """Return the marks of ours and of the baselines over conversations."""
    collected: dict[str, Collected] = {}
    for one in conversations:
        _, exam, keepers = prepare(one, tally)
        add(collected, exam, keepers, range(len(one.questions)))
    return collected


def prepare(one: Conversation, tally: Tally) -> tuple[Conversation, Exam, dict[str, tuple[int, Keeper]]]:
    """Return a conversation with its questions, and each way to cut it with the tokens there are."""
    messages = one.messages()
    history = rolecore.History(messages)
    keepers = {"ours": fitted(history, messages, tally, unit="sentence"), **baselines(messages)}
    return one, Exam(one), {name: (history.tokens, keep) for name, keep in keepers.items()}


def add(
    collected: dict[str, Collected], exam: Exam, keepers: dict[str, tuple[int, Keeper]], asked: Sequence[int]
) -> None:
    """Mark what each way keeps at each share, by the questions of these numbers."""
    for name, (tokens, keep) in keepers.items():
        for i, share in enumerate(SHARES):
            collected.setdefault(name, Collected()).add(i, exam.mark(keep(int(tokens * share)), asked))


def sentences(conversations: Iterator[Conversation]) -> list[str]:
    """The sentences of conversations that are neither short nor endless, in order."""
    found = []
    for one in conversations:
        least, most = LETTERS.get(one.language, LETTERS["en"])
        for _, text in one.turns:
            found += [part.strip() for part in SENTENCE_END.split(text) if least <= len(part.strip()) <= most]
    return found


def n_speakers(file: DataFile) -> list[int]:
    """How many speak in each conversation."""
    return [len(one.speakers) for one in file.conversations]


def short(file: DataFile) -> str:
    """A file's name without what follows an underscore."""
    return file.stem.split("_")[0]
