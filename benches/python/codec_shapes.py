"""Sessions of four shapes, about 1 MB each, made up from a fixed seed: text, Chinese text, vectors, one blob.

text: 1,900 turns of 480 bytes on average, a fifth of them tool calls and their results, one in 11 with typographic
marks. chinese: as many turns and bytes, of characters that follow Zipf's law. vectors: 680 x 384 float32 beside 20
turns of text. blob: a payload of 1 MiB and no turn.
"""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from conftest import Writer

import rolecore
from rolecore.codec import encode_snapshot, open_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Message = dict[str, Any]

SEED = 7
N_TURNS = 1900
TURN_BYTES = 480
VECTORS = (680, 384)
PAYLOAD_BYTES = 1 << 20
NAMES = ("text", "chinese", "vectors", "blob")
# The session's own fields, the same in all shapes.
FIELDS = {"session_id": "session-00000042", "role": "researcher", "summary": "Nothing was decided before."}


@dataclass(frozen=True)
class Shape:
    """A session as an agent holds it: messages as chat APIs take them, and what lies beside them."""

    name: str
    messages: list[Message]
    vectors: NDArray[np.float32] | None = None
    payload: bytes | None = None

    @property
    def options(self) -> dict[str, Any]:
        """What `encode_snapshot` takes beside the messages."""
        beside = {"vectors": self.vectors, "payload": self.payload}
        return FIELDS | {name: value for name, value in beside.items() if value is not None}

    @cached_property
    def history(self) -> rolecore.History:
        """The messages in a History, the first of them pinned."""
        history = rolecore.History()
        for index, message in enumerate(self.messages):
            history.append(message, pin=index == 0)
        return history

    @cached_property
    def snapshot(self) -> bytes:
        """What rolecore makes of the history."""
        return encode_snapshot(self.history, **self.options)

    @cached_property
    def tokens(self) -> list[int]:
        """Tokens of each message, which every format stores."""
        return [turn.tokens for turn in open_snapshot(self.snapshot).turns]

    @property
    def turn(self) -> int:
        """A message in the middle that is a text: the one that "one field" reads."""
        middle = len(self.messages) // 2
        return next(i for i in range(middle, len(self.messages)) if self.messages[i]["content"])


def english(n_bytes: int) -> Iterator[str]:
    """Yield texts without end; typographic marks stand in every eleventh."""
    text, draw = Writer(SEED).text(n_bytes), random.Random(SEED)  # noqa: S311  no secrets here
    for number in itertools.count():
        length = draw.randint(TURN_BYTES // 3, TURN_BYTES * 5 // 3)
        begin = draw.randrange(len(text) - length)
        yield text[begin : begin + length].replace(". ", " \N{EM DASH} " if number % 11 == 5 else ". ")


def chinese(n_chars: int) -> Iterator[str]:
    """Yield texts without end, of characters of three bytes."""
    draw = random.Random(SEED)  # noqa: S311  no secrets here
    letters = [chr(0x4E00 + i) for i in draw.sample(range(0x5000), 3000)]
    marks = "\N{FULLWIDTH COMMA}\N{IDEOGRAPHIC FULL STOP}"
    weights = list(itertools.accumulate(1 / (rank + 1) for rank in range(len(letters))))
    text = "".join(
        draw.choice(marks) if i % 12 == 11 else c
        for i, c in enumerate(draw.choices(letters, cum_weights=weights, k=n_chars))
    )
    while True:
        length = draw.randint(TURN_BYTES // 9, TURN_BYTES * 5 // 9)
        begin = draw.randrange(len(text) - length)
        yield text[begin : begin + length]


def messages(texts: Iterator[str], n: int) -> list[Message]:
    """Return `n` messages: a system message, then ten at a time, one of which calls a tool and one is the result."""
    made: list[Message] = [{"role": "system", "content": next(texts)}]
    while len(made) < n:
        made += [{"role": "assistant" if i % 2 else "user", "content": next(texts)} for i in range(8)]
        function = {"name": "search", "arguments": json.dumps({"query": next(texts)}, ensure_ascii=False)}
        call_id = f"call_{len(made):08d}"
        calls = [{"id": call_id, "type": "function", "function": function}]
        made.append({"role": "assistant", "content": None, "tool_calls": calls})
        made.append({"role": "tool", "tool_call_id": call_id, "content": next(texts)})
    return made[:n]


def shape(name: str, *, times: float = 1) -> Shape:
    """Return one of the shapes; `times`: how many times as large."""
    random_numbers = np.random.default_rng(SEED)
    if name in {"text", "chinese"}:
        texts = english(200_000) if name == "text" else chinese(100_000)
        return Shape(name, messages(texts, max(1, round(N_TURNS * times))))
    if name == "vectors":
        rows, dim = VECTORS
        vectors = random_numbers.standard_normal((max(1, round(rows * times)), dim), np.float32)
        return Shape(name, messages(english(20_000), max(1, round(20 * min(1, times)))), vectors=vectors)
    return Shape(name, [], payload=random_numbers.bytes(round(PAYLOAD_BYTES * times)))
