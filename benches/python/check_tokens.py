"""Compare every token id with the library that defines it, on many odd strings.

    python benches/python/check_tokens.py --n 200000 [tokenizer.json ...]

Needs `tiktoken`, with TIKTOKEN_CACHE_DIR pointing at a folder that holds its vocabularies, and `tokenizers` for the
files given. Strings are made from a fixed seed: scripts mixed, runs of white space, emoji with joiners, unassigned and
private characters, contractions in odd case, special tokens; then the sources of Python's standard library, and Chinese
text.
Exits with 1 at the first differences of any tokenizer.
"""

from __future__ import annotations

import argparse
import random
import sysconfig
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rolecore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SEED = 20261123
MIXED = """
the of and to I'm don't we'LL THEY'VE it'\u017f he'D naïve façade HTTPServer getElementById snake_case x86_64
你好 世界 中文分词 臺灣 今日は カタカナ 한국어 русский язык ελληνικά עברית العربية हिन्दी ไทย ქართული
😀 👨‍👩‍👧‍👦 🧙🏽‍♂️ 🇨🇭 ❤️ ☕ ① ² ½ Ⅷ ٣ ৪ ǅ ﬁ ẞ İ ı K Å e\u0301 \u0301 ก\u0e47 \u1100\u1161\u11a8
== != -> :: /// \\n \\\\ {} [] () <|endoftext|> <|im_start|> <think> </think> ... — “ ” ‘s ’s `` $$ %
{"a":1} "key": null, 3.14159 1234567890 0x1F 2026-11-23T10:00:00Z https://example.org/a?b=c#d
"""
WORDS = MIXED.split()
SPACES = [*" \t\n\r\u00a0\u3000\u2003\u0085\u2028\x0b\x0c\x1c", "  ", "   ", "\r\n", "\n\n", " \n", "\n "]
ODD = "\x00\x7f\ufeff\u200b\u200d\ufe0f\u00ad\ue000\uffff\U0010ffff\U000e0041\u0378\ufffd"
RANGES = [
    *[(0x20, 0x7F), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x530), (0x600, 0x700), (0x900, 0xE80), (0x2000, 0x2C00)],
    *[(0x3000, 0x3200), (0x4E00, 0x9FFF), (0xAC00, 0xD7A4), (0x1F300, 0x1FAFF), (0, 0xD800), (0xE000, 0x110000)],
]
CHINESE = (
    "上下文窗口必须在预算之内。每条消息只计算一次,工具调用与其结果必须保持在一起;"
    "系统提示永远保留。如果最新的消息已经超过预算,就应当报错,而不是悄悄截断。\n"
    "“多轮对话”里,用户说:价格是¥1,299.00(含税),2026年11月23日前有效。谢谢!\n"
)


def fuzz(rng: random.Random) -> str:
    """Return one odd string."""
    out = []
    for _ in range(rng.randint(1, 14)):
        kind = rng.random()
        if kind < 0.45:
            word = rng.choice(WORDS)
            out.append(rng.choice([word, word.upper(), word.title(), word]) + rng.choice(["", " ", " "]))
        elif kind < 0.65:
            out.append(rng.choice(SPACES) * rng.choice([1, 1, 2, 3, rng.randint(1, 40)]))
        elif kind < 0.72:
            out.append(rng.choice(ODD))
        elif kind < 0.92:
            low, high = rng.choice(RANGES)
            out.append("".join(chr(rng.randrange(low, high)) for _ in range(rng.randint(1, 8))))
        else:
            out.append(rng.choice(WORDS)[0] * rng.randint(2, 60))
    return "".join(c for c in "".join(out) if not 0xD800 <= ord(c) < 0xE000)


def sources() -> Iterator[str]:
    """Yield the sources of the standard library, whole and in lines."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        text = path.read_text("utf-8", "replace")
        yield text
        yield from text.splitlines(keepends=True)[::7]


def compare(ours: rolecore.Tokenizer, theirs: Callable[[str], list[int]], n: int) -> int:
    """Print and return the number of texts whose ids differ."""
    rng = random.Random(SEED)  # noqa: S311  test data
    texts = [fuzz(rng) for _ in range(n)]
    texts += [*sources(), *(CHINESE[i : i + rng.randint(1, 60)] for i in range(len(CHINESE))), CHINESE * 50]
    bad = 0
    n_bytes = 0
    started = time.perf_counter()
    for text in texts:
        n_bytes += len(text.encode())
        expected = theirs(text)
        if ours.encode(text) != expected or ours.count(text) != len(expected):
            bad += 1
            if bad <= 5:
                print(f"  differs: {text[:200]!a}")
                print(f"    ours   {ours.encode(text)[:40]}\n    theirs {expected[:40]}")
    took = time.perf_counter() - started
    print(f"{ours.name}: {len(texts)} texts, {n_bytes} bytes, {bad} differ ({took:.0f} s)")
    return bad


def ids_of(peer: Any) -> Callable[[str], list[int]]:
    """Return what encodes with a peer of `tokenizers`, special tokens left out."""
    return lambda text: peer.encode(text, add_special_tokens=False).ids


def main() -> int:
    """Compare all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=20_000, help="fuzzed strings for each tokenizer")
    parser.add_argument("files", nargs="*", help="tokenizer.json files to compare with `tokenizers`")
    args = parser.parse_args()
    bad = 0
    if not args.files:
        import tiktoken

        for name in ("o200k_base", "cl100k_base"):
            bad += compare(rolecore.tokenizer(name), tiktoken.get_encoding(name).encode_ordinary, args.n)
    for file in args.files:
        import tokenizers

        peer = tokenizers.Tokenizer.from_file(file)
        peer.encode_special_tokens = True
        peer.no_truncation()
        bad += compare(
            rolecore.tokenizer(file), lambda text, peer=peer: peer.encode(text, add_special_tokens=False).ids, args.n
        )
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
