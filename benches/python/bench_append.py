"""Question: what does an append cost beyond counting its tokens?

Input: made-up messages of 150 and 15,000 bytes (conftest.Writer, seed 1). The count itself is `count_batch` of the
same texts in one call; above it are parsing the dict, the tokens around the text and reading its words.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from conftest import cpu_seconds

import rolecore

if TYPE_CHECKING:
    from conftest import Writer

MAX_US_150_BYTES = 5.0
MAX_NS_PER_BYTE = 20.0


def above_the_count_us(texts: list[str]) -> float:
    """Microseconds a message that `append` takes beyond the count, median of nine interleaved rounds."""
    tokenizer = rolecore.tokenizer("o200k_base")
    messages = [{"role": "user", "content": text} for text in texts]

    alive = []

    def append() -> None:
        history = rolecore.History()
        alive.append(history)  # freeing a history is not part of appending to it
        for message in messages:
            history.append(message)

    rounds = [cpu_seconds(append, 1) - cpu_seconds(lambda: tokenizer.count_batch(texts), 1) for _ in range(10)]
    return statistics.median(rounds[1:]) / len(texts) * 1e6


def test_append_cost_above_the_count(benchmark: Any, writer: Writer, capsys: Any) -> None:
    short = above_the_count_us([writer.text(150) for _ in range(5000)])
    long = above_the_count_us([writer.text(15_000) for _ in range(100)])
    ns_per_byte = (long - short) * 1000 / (15_000 - 150)
    with capsys.disabled():
        print(f"\nappend above the count: {short:.2f} us for 150 bytes, {ns_per_byte:.2f} ns each byte beyond")
    history = rolecore.History()
    benchmark(history.append, {"role": "user", "content": writer.text(150)})
    assert short <= MAX_US_150_BYTES
    assert ns_per_byte <= MAX_NS_PER_BYTE
