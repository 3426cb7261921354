"""Reads evaluation data: conversations with questions, and tool-calling sessions, told apart by their content.

A conversation is `{turns: [{s: speaker, t: text}], qa: [{q: question, a: answer, e: [turn], g: [[turn, marked
sentence]]}]}`; a file holds a list of them. A file of sessions is `{system: message, sessions: [{messages:
[...]}]}`. Other JSON files are passed over.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Message = dict[str, Any]

# LoCoMo's category of questions whose answer is not in the conversation.
UNANSWERABLE = 5


@dataclass(frozen=True)
class Question:
    """What is asked later, its answer, and the turns that hold it."""

    text: str
    answer: str
    evidence: tuple[int, ...]
    marked: tuple[tuple[int, str], ...] = ()
    """Sentences that a human marked as salient, each with its turn."""

    def later(self, turns: int) -> Question:
        """Return the question about a conversation that comes `turns` turns later."""
        evidence = tuple(turn + turns for turn in self.evidence)
        return Question(self.text, self.answer, evidence, tuple((turn + turns, what) for turn, what in self.marked))


@dataclass(frozen=True)
class Conversation:
    """Turns as (speaker, text), and the questions on them that have evidence."""

    name: str
    language: str
    turns: tuple[tuple[str, str], ...]
    questions: tuple[Question, ...]

    @property
    def speakers(self) -> list[str]:
        """Who speaks, in the order of their first turns."""
        return list(dict.fromkeys(speaker for speaker, _ in self.turns))

    def messages(self) -> list[Message]:
        """Return one message a turn; the first speaker is the user, all others the assistant."""
        user = self.turns[0][0]
        return [
            {
                "role": "user" if speaker == user else "assistant",
                "name": "".join(letter if letter.isalnum() else "_" for letter in speaker),
                "content": f"{speaker}: {text}",
            }
            for speaker, text in self.turns
        ]


@dataclass(frozen=True)
class Session:
    """One tool-calling session: the system message and what follows it."""

    system: Message
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class DataFile:
    """What one file holds; one of the two lists is empty."""

    stem: str
    conversations: tuple[Conversation, ...] = ()
    sessions: tuple[Session, ...] = ()


def load(where: str) -> list[DataFile]:
    """Return the data of a folder or of single files, their paths joined as in PATH.

    Raises:
        SystemExit: nothing there is evaluation data.
    """
    paths: list[Path] = []
    for name in where.split(os.pathsep):
        path = Path(name)
        paths += sorted(path.glob("*.json")) if path.is_dir() else [path]
    files = [file for path in paths if (file := read(path))]
    if not files:
        sys.exit(
            f"no evaluation data in {where!r}: wanted is a folder, or files, of the form told in benches/eval/data.py"
        )
    return files


def read(path: Path) -> DataFile | None:
    """Return what a JSON file holds, or None if it is no evaluation data."""
    held = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(held, list) and held and all(isinstance(one, dict) and {"turns", "qa"} <= set(one) for one in held):
        return DataFile(path.stem, conversations=tuple(conversation(one, path.stem, i) for i, one in enumerate(held)))
    if isinstance(held, dict) and held.get("sessions") and "messages" in held["sessions"][0]:
        sessions = (Session(held["system"], tuple(one["messages"])) for one in held["sessions"])
        return DataFile(path.stem, sessions=tuple(sessions))
    return None


def conversation(one: dict[str, Any], stem: str, number: int) -> Conversation:
    """Return one conversation of a file."""
    questions = (
        Question(
            asked["q"], str(asked["a"]), tuple(asked["e"]), tuple((turn, what) for turn, what in asked.get("g") or ())
        )
        for asked in one["qa"]
        if asked["e"] and asked.get("c") != UNANSWERABLE
    )
    turns = tuple((turn["s"], turn["t"]) for turn in one["turns"])
    language = one.get("lang") or ("zh" if any("\u4e00" <= c <= "\u9fff" for c in turns[0][1]) else "en")
    return Conversation(str(one.get("id", f"{stem}-{number}")), language, turns, tuple(questions))
