"""Prints what each signal of the choice is worth: what windows keep without it, less what they keep with all.

    python benches/eval/ablation.py DATA [--only SIGNAL] [--markdown]

Points of the mean over the four budgets. Needs a build with the feature `ablation`, in which the environment variable
ROLECORE_WITHOUT switches signals off; it is read once, so each row is a process of its own. Windows are not checked
here: `make eval` does that.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import agents
import retention
from check import said_in
from data import load
from measures import Collected, Exam

import rolecore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agents import Moment
    from data import Conversation, DataFile

SWITCH = "ROLECORE_WITHOUT"

# What to switch off, by what it can change: any window, windows for a query, windows of sessions with tools.
SIGNALS: dict[str, dict[str, str]] = {
    "told nothing": {
        "facts": "facts: topics for all",
        "topics": "topics: facts for all",
        "group-topic": "share of topics in a group's short turns",
        "long-turns": "long turns pay",
        "level": "the same spread everywhere",
        "vague-words": "vague words, praise and fillers left out",
        "fact-signs": "all signs of a fact",
        "topic-signs": "all signs of a topic",
        "names": "names",
        "quotes": "quotes and titles",
        "answer": "an answer follows a question",
        "echo": "what was said shortly before",
        "identifiers": "identifiers",
        "orders": "orders outweigh all",
        "repeats": "repeats wait",
    },
    "told the question": {
        "wide-match": "the wide stretch in groups",
        "feedback": "feedback",
        "relatives": "words that begin alike",
        "later-first": "later messages more than earlier",
        "speaker": "the speaker whom the query names",
        "meeting-words": "more for different words that meet",
        "minor-words": "less for names of speakers and requests",
    },
    "sessions with tools": {
        "values": "choice by values",
        "coverage": "a value held once counts nothing",
        "key-rates": "how often a key's values are taken up",
        "spoken-keys": "whether a key is spoken of",
        "holders": "who holds an identifier",
        "bundles": "a closed group opens by its best pieces",
    },
}
# Unit and measure that tell most on known data; any other is judged by the words of its answers.
TOLD_NOTHING: dict[str, list[tuple[str, str]]] = {
    "locomo": [("sentence", "span"), ("message", "evidence")],
    "vcsum": [("sentence", "gold")],
}

# Means over the budgets, by what was measured.
Row = dict[str, float]


def main() -> int:
    """Print the tables, or measure once and print that for the process that asked; return the exit status."""
    parser = argparse.ArgumentParser(prog="benches/eval/ablation.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", help="a folder or files, joined as in PATH")
    names = [name for names in SIGNALS.values() for name in names]
    parser.add_argument("--only", choices=names, help="leave out this signal only")
    parser.add_argument("--markdown", action="store_true", help="print the tables of docs/retention.md as well")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(measure(load(asked.data), asked.measure)))
        return 0
    began = time.monotonic()
    if is_deaf():
        sys.exit("this build of rolecore switches no signal off; `make eval-ablation` makes one that does")
    wanted = [(kind, name) for kind, names in SIGNALS.items() for name in names if asked.only in (None, name)]
    rows: list[tuple[str, str]] = [*((kind, "") for kind in dict.fromkeys(kind for kind, _ in wanted)), *wanted]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        measured = dict(zip(rows, pool.map(lambda row: measured_without(asked.data, *row), rows), strict=True))
    for kind, names in SIGNALS.items():
        everything = measured.get((kind, ""))
        if not everything:
            continue
        changes = {names[name]: less(row, everything) for (of, name), row in measured.items() if of == kind and name}
        print(table(kind, everything, changes))
        if asked.markdown:
            print(f"\n{markdown(kind, everything, changes)}")
    print(f"\n{len(rows)} rows in {time.monotonic() - began:.0f} s")
    return 0


def is_deaf() -> bool:
    """Whether this build pays no heed to the switch: any other does not take a name that is none."""
    command = [
        sys.executable,
        "-c",
        "import rolecore; rolecore.History([{'role': 'user', 'content': 'Hello 1.'}]).fit(99)",
    ]
    done = subprocess.run(command, env={**os.environ, SWITCH: "?"}, stderr=subprocess.DEVNULL, check=False)
    return done.returncode == 0


def measured_without(data: str, kind: str, signal: str) -> Row:
    """Measure in a process in which a signal is off; none is off if it has no name."""
    command = [sys.executable, __file__, data, "--measure", kind]
    done = subprocess.run(command, env={**os.environ, SWITCH: signal}, stdout=subprocess.PIPE, check=True)
    row: Row = json.loads(done.stdout)
    return row


def measure(files: Sequence[DataFile], kind: str) -> Row:
    """Measure what signals of this kind can change."""
    found: Row = {}
    for file in files:
        if file.conversations and kind == "told nothing":
            found |= told_nothing(file)
    for file in files:
        if file.conversations and kind in ("told nothing", "told the question"):
            found |= told_the_question(file)
    for file in files:
        if file.sessions and kind in ("told nothing", "sessions with tools"):
            found |= with_tools(file)
    return found


def told_nothing(file: DataFile) -> Row:
    """What windows keep for the questions of a file that are asked later."""
    name = short(file)
    wanted = TOLD_NOTHING.get(name, [("sentence", "terms")])
    collected = {unit: Collected() for unit, _ in wanted}
    for conversation in file.conversations:
        history, exam = prepared(conversation)
        for unit, into in collected.items():
            for i, share in enumerate(retention.SHARES):
                into.add(i, exam.mark(kept(history, int(history.tokens * share), unit=unit)))
    return {f"{name} {measure}": overall(collected[unit].values(measure)) for unit, measure in wanted}


def told_the_question(file: DataFile) -> Row:
    """What windows by message keep of the evidence for the question that they are told."""
    collected = Collected()
    for conversation in file.conversations:
        history, exam = prepared(conversation)
        for number, question in enumerate(exam.questions):
            for i, share in enumerate(retention.SHARES):
                collected.add(i, exam.mark(kept(history, int(history.tokens * share), query=question.text), [number]))
    return {f"{short(file)} query": overall(collected.values("evidence"))}


def with_tools(file: DataFile) -> Row:
    """What windows by sentence keep of the values that the next call needs."""
    collected = Collected()
    for session in file.sessions:
        for moment in agents.moments(session):
            for i, share in enumerate(agents.SHARES):
                collected.add(i, moment.marks(said_beside_system(moment, share)))
    return {f"needs {which}": overall(collected.values(which)) for which in ("all", "far")}


def said_beside_system(moment: Moment, share: float) -> list[str]:
    """What a window holds, without the system message."""
    budget = moment.system_tokens + int(sum(moment.costs) * share)
    return [text for at, text in kept(moment.history, budget, unit="sentence").items() if at]


def kept(history: rolecore.History, budget: int, *, unit: str = "message", query: str | None = None) -> dict[int, str]:
    """The text that a window holds of each message."""
    try:
        window = history.fit(budget, query=query, keep_last=0, unit=unit)
    except rolecore.BudgetError:
        return {}
    pairs = zip(window.sources, window.messages, strict=True)
    return {source: said_in(message) for source, message in pairs if isinstance(source, int)}


def prepared(conversation: Conversation) -> tuple[rolecore.History, Exam]:
    """Return a conversation's history and the questions on it."""
    return rolecore.History(conversation.messages()), Exam(conversation)


def overall(values: Sequence[float]) -> float:
    """The mean over the budgets; 0 where nothing was measured."""
    return sum(values) / max(1, len(values))


def less(row: Mapping[str, float], everything: Mapping[str, float]) -> Row:
    """What a row lacks of what is kept with everything on, below 0, or has beyond it."""
    return {name: row[name] - value for name, value in everything.items()}


def table(kind: str, everything: Row, changes: Mapping[str, Row]) -> str:
    """Return the rows in columns of plain text."""
    rows = cells(everything, changes)
    lines = [f"\n{kind}, without"]
    lines += [line("", parts) for parts in zip(*map(str.split, everything), strict=True)]
    return "\n".join(lines + [line(name, row) for name, row in rows.items()])


def line(name: str, row: Sequence[str]) -> str:
    """Return one line of columns."""
    return f"  {name:42}" + "".join(f"{cell:>14}" for cell in row)


def markdown(kind: str, everything: Row, changes: Mapping[str, Row]) -> str:
    """Return the rows as Markdown, for docs/retention.md."""
    lines = [f"| {kind}, without | {' | '.join(everything)} |", "|---" * (1 + len(everything)) + "|"]
    return "\n".join(lines + [f"| {name} | {' | '.join(row)} |" for name, row in cells(everything, changes).items()])


def cells(everything: Row, changes: Mapping[str, Row]) -> dict[str, list[str]]:
    """What the tables show: the means with nothing left out, then differences with their sign."""
    rows = {"nothing": [f"{value:.1f}" for value in everything.values()]}
    for name, row in changes.items():
        rows[name] = [f"{value:+.1f}" if round(value, 1) else "0" for value in row.values()]
    return rows


def short(file: DataFile) -> str:
    """A file's name without `_dev` or the like."""
    return file.stem.rsplit("_", 1)[0]


if __name__ == "__main__":
    sys.exit(main())
