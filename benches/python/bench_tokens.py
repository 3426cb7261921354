"""Question: what does counting cost beside tiktoken 0.14.0, on text not seen before and on text seen before?

Input: real English, Chinese and code (texts.py), 600-byte messages, a fresh process a row (cold_warm.py). Peer:
tiktoken's `encode_ordinary`, and where requirements-token-peers.txt is installed the fastest other counters, all on
one thread. Oracle: every count is compared in the very calls that are timed, for after an earlier check no text would
be unseen. Then what one short message, a batch, a cut, the first use and the vocabularies cost. Hostile texts:
bench_tokens_hostile.py.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import cpu_seconds
from counters import PEERS, is_installed
from fresh import cost
from texts import KINDS, messages

import rolecore

if TYPE_CHECKING:
    from conftest import Figures, Interleaved

VOCABULARIES = ("o200k_base", "cl100k_base")
MIN_RATIO = {
    "cold": {"english": 3.0, "chinese": 4.0, "code": 5.0},
    "warm": {"english": 8.0, "chinese": 5.0, "code": 12.0},
}
MAX_MESSAGE_US = 3.0
MAX_TRUNCATE_US = 1000.0
MAX_FIRST_USE_MS = 150.0
MAX_FIRST_USE_MIB = 40.0
MAX_VOCABULARIES_MB = 1.5
HERE = Path(__file__).parent


def measure(peer: str, vocabulary: str, kind: str, folder: Path | None) -> dict[str, Any]:
    """Pairs of seconds of cold_warm.py."""
    command = [sys.executable, str(HERE / "cold_warm.py"), "--peer", peer, "--vocabulary", vocabulary, "--kind", kind]
    if folder:
        command += ["--texts", str(folder)]
    # One thread, for those that would take more.
    env = {**os.environ, "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, capture_output=True, check=False, text=True, env=env)
    assert not done.returncode, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def have(kind: str, folder: Path | None) -> None:
    """Skip without text of a kind."""
    if not messages(kind, 600, folder):
        pytest.skip(f"no {kind} text: make bench, or DATA=folder with recorded talk")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_count_against_tiktoken(
    interleaved: Interleaved, vocabulary_folder: Path, texts_folder: Path | None, vocabulary: str, kind: str
) -> None:
    assert vocabulary_folder
    have(kind, texts_folder)
    found = measure("tiktoken", vocabulary, kind, texts_folder)
    name = f"count/{vocabulary}/{kind}"
    ratios = {state: interleaved.add(f"{name}/{state} : tiktoken", found[state]) for state in MIN_RATIO}
    interleaved.add(f"A/A {name}/warm", found["same"])
    missed = {state: round(ratio.median, 2) for state, ratio in ratios.items() if ratio.median < MIN_RATIO[state][kind]}
    assert not missed


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("peer", PEERS)
def test_count_against_other_counters(
    interleaved: Interleaved, vocabulary_folder: Path, texts_folder: Path | None, peer: str, kind: str
) -> None:
    assert vocabulary_folder
    if not is_installed(peer):
        pytest.skip(f"{peer} is not installed: make bench-tokens")
    have(kind, texts_folder)
    found = measure(peer, "o200k_base", kind, texts_folder)
    for state in MIN_RATIO:
        interleaved.add(f"count/o200k_base/{kind}/{state} : {peer}", found[state])


@pytest.mark.parametrize("kind", KINDS[:2])
def test_count_of_a_short_message(figures: Figures, texts_folder: Path | None, kind: str) -> None:
    have(kind, texts_folder)
    count = rolecore.tokenizer("o200k_base").count
    different = messages(kind, 300, texts_folder)
    different, before = different[50:], different[:50]
    for text in before:
        count(text)
    rounds = [cpu_seconds(lambda: [count(text) for text in different], 1) / len(different) * 1e6 for _ in range(9)]
    same = statistics.median(cpu_seconds(partial(count, text), 500) * 1e6 for text in different[:30])
    name = f"count of 300 bytes/{kind}"
    figures(f"{name}/first sight", rounds[0], "us", note=f"{len(different)} messages")
    figures(f"{name}/many in turn, again", statistics.median(rounds[1:]), "us")
    assert figures(f"{name}/the same again", same, "us", bar=MAX_MESSAGE_US).is_met


def test_count_batch_against_a_loop(interleaved: Interleaved, texts_folder: Path | None) -> None:
    tokenizer = rolecore.tokenizer("o200k_base")
    texts = messages("english", 300, texts_folder)[:1000]
    assert tokenizer.count_batch(texts) == [tokenizer.count(text) for text in texts]
    interleaved(
        "count_batch/1k of 300 bytes : loop of count",
        lambda: tokenizer.count_batch(texts),
        lambda: [tokenizer.count(text) for text in texts],
    )
    interleaved.same("count_batch/1k of 300 bytes", lambda: tokenizer.count_batch(texts))


@pytest.mark.parametrize("side", ["head", "tail"])
@pytest.mark.parametrize("kind", KINDS[:2])
def test_truncate_long_text(figures: Figures, texts_folder: Path | None, kind: str, side: str) -> None:
    have(kind, texts_folder)
    tokenizer = rolecore.tokenizer("o200k_base")
    text = "\n".join(messages(kind, 600, texts_folder)).encode()[:400_000].decode("utf-8", "ignore")
    kept = tokenizer.truncate(text, 1000, side=side)
    assert text.startswith(kept) if side == "head" else text.endswith(kept)
    assert 990 <= tokenizer.count(kept) <= 1000
    us = statistics.median(cpu_seconds(lambda: tokenizer.truncate(text, 1000, side=side), 5) * 1e6 for _ in range(9))
    name = f"truncate of 400 kB to 1,000 tokens/{kind}/{side}"
    assert figures(name, us, "us", bar=MAX_TRUNCATE_US).is_met


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_first_use(figures: Figures, vocabulary: str) -> None:
    found = cost(f"import rolecore; rolecore.tokenizer({vocabulary!r}).count('hello, world')", rounds=7)
    rows = [
        figures(f"first count with {vocabulary}", found.cpu_ms, "ms", bar=MAX_FIRST_USE_MS, note="CPU, import and all"),
        figures(f"first count with {vocabulary}", found.rss_mib, "MiB", bar=MAX_FIRST_USE_MIB, note="resident"),
    ]
    assert all(row.is_met for row in rows)


def test_size_of_the_vocabularies(figures: Figures) -> None:
    sizes = [path.stat().st_size for path in (HERE.parent.parent / "rust" / "core" / "data").glob("*.zst")]
    assert len(sizes) >= 2
    assert figures("vocabularies in the tree", sum(sizes) / 1e6, "MB", bar=MAX_VOCABULARIES_MB).is_met
