"""Strings that tokenizers get wrong, from a fixed seed, and plain text of many languages."""

from __future__ import annotations

import base64
import random
import sysconfig
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = 20261123
MIXED = """
the of and to I'm don't we'LL THEY'VE it'\u017f he'D naïve façade HTTPServer getElementById snake_case x86_64 iPhone
LaTeX JSONDecodeError McDonald's O'Neill l'été aujourd'hui Straße ÉCOLE ǆungla Ǆ İstanbul ŉ ΑΒΓΔς Ⴀⴀ Ꭰꭰ 𐐀𐐨 𝐀𝐚
你好 世界 中文分词 臺灣 今日は カタカナ 한국어 русский язык ελληνικά עברית العربية हिन्दी ไทย ქართული
你好,世界 第1章 3月5日 用Python写 GPT-4模型 “引号” 《书名》 价格¥100
こんにちは世界 東京タワー ｶﾀｶﾅ ＡＢＣ１２３ 안녕하세요 ᄒᆞᆫ글
😀 👨‍👩‍👧‍👦 🧙🏽‍♂️ 🇨🇭 ❤️ ☕ ① ² ½ Ⅷ ٣ ৪ ǅ ﬁ ẞ İ ı K Å e\u0301 \u0301 ก\u0e47 \u1100\u1161\u11a8
🏴󠁧󠁢󠁥󠁮󠁧󠁿 👩🏿‍🤝‍👩🏻 🏳️‍🌈 1️⃣ #️⃣ 🇺🇦🇯🇵 👩‍❤️‍💋‍👩 ☝🏻 ⌚️ ㊗️ 🫱🏽‍🫲🏿
== != -> :: /// \\n \\\\ {} [] () <|endoftext|> <|im_start|> <think> </think> ... — “ ” ‘s ’s `` $$ %
{"a":1} "key": null, 3.14159 1234567890 0x1F 2026-11-23T10:00:00Z https://example.org/a?b=c#d
"""
WORDS = MIXED.split()
SPACES = [*" \t\n\r\u00a0\u3000\u2003\u0085\u2028\x0b\x0c\x1c", "  ", "   ", "\r\n", "\n\n", " \n", "\n "]
ODD = "\x00\x7f\ufeff\u200b\u200d\ufe0f\u00ad\ue000\uffff\U0010ffff\U000e0041\u0378\ufffd"
BIDI = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u061c"
MARKS = "\u0300\u0301\u0302\u0308\u0323\u0327\u0345\u05b0\u064b\u0670\u093c\u094d\u0e31\u0e47\u20dd\u302a\u3099\ufe0f"
ZEROS = (0x30, 0x660, 0x9E6, 0x966, 0xFF10, 0x1D7CE, 0x104A0)
DIGITS = [*("".join(map(chr, range(zero, zero + 10))) for zero in ZEROS), "①②③½¾Ⅷⅸ²³", "一二三〇〡"]
CONTRACTIONS = ["s", "t", "re", "ve", "m", "ll", "d", "\u017f", "x", "l", "r", "v", ""]
LETTERS = {
    "latin": "abcdefghijklmnopqrstuvwxyz",
    "hex": "0123456789abcdef",
    "capitals": "ABCDEFGHIJabcdefghij",
    "han": "".join(map(chr, range(0x4E00, 0x9FFF, 7))),
    "common han": "的一是不了在人有我他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可",
    "hangul": "".join(map(chr, range(0xAC00, 0xD7A4, 5))),
    "kana": "".join(map(chr, range(0x3041, 0x30FF))),
    "thai": "".join(map(chr, range(0x0E01, 0x0E3B))),
    "devanagari": "".join(map(chr, range(0x0904, 0x0950))),
}
# Code points that no version of Unicode may ever fill, and some that none has filled.
UNASSIGNED = [chr(c) for c in (*range(0xFDD0, 0xFDF0), 0x378, 0x530, 0x1FFFE, 0x3FFFF, 0x50000, 0x8FFFF, 0xDFFFE)]
RANGES = [
    *[(0x20, 0x7F), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x530), (0x600, 0x700), (0x900, 0xE80), (0x2000, 0x2C00)],
    *[(0x3000, 0x3200), (0x4E00, 0x9FFF), (0xAC00, 0xD7A4), (0x1F300, 0x1FAFF), (0, 0xD800), (0xE000, 0x110000)],
]
LANGUAGES = {
    "Chinese": (
        "上下文窗口必须在预算之内。每条消息只计算一次,工具调用与其结果必须保持在一起;"
        "系统提示永远保留。如果最新的消息已经超过预算,就应当报错,而不是悄悄截断。\n"
        "“多轮对话”里,用户说:价格是¥1,299.00(含税),2026年11月23日前有效。谢谢!\n"
    ),
    "Japanese": "文章を数えるのは簡単ではありません。カタカナと漢字が混ざっています。価格は1,299円です。ｱﾘｶﾞﾄｳ!\n",
    "Korean": "메시지는 한 번만 세어야 합니다. 도구 호출과 그 결과는 함께! 가격은 1,299원(세금 포함)입니다.\n",
    "Arabic": "يجب أن تبقى المحادثة ضمن الميزانية، ولا تُحذف الرسالة الأخيرة. السعر ١٬٢٩٩ ريالًا؛ شُكْرًا جَزِيلًا!\n",
    "Hindi": "बातचीत बजट के भीतर रहनी चाहिए, और हर संदेश एक ही बार गिना जाता है। कीमत ₹१,२९९ है; धन्यवाद!\n",
    "Thai": "บทสนทนาต้องอยู่ในงบประมาณ และแต่ละข้อความถูกนับเพียงครั้งเดียว ราคา ๑,๒๙๙ บาท ขอบคุณครับ!\n",
    "Russian": "Разговор должен уложиться в бюджет, и каждое сообщение считается один раз. Цена — 1 299 ₽; спасибо!\n",
}


def piece(rng: random.Random) -> str:  # noqa: PLR0911  a table of kinds
    """Return one part of an odd string."""
    kind = rng.random()
    if kind < 0.36:
        word = rng.choice(WORDS)
        cased: str = rng.choice([word, word.upper(), word.title(), word, word.swapcase()])
        return cased + rng.choice(["", " ", " "])
    if kind < 0.52:
        return rng.choice(SPACES) * rng.choice([1, 1, 2, 3, rng.randint(1, 40)])
    if kind < 0.58:
        return rng.choice([rng.choice(ODD), rng.choice(BIDI), rng.choice(UNASSIGNED)])
    if kind < 0.74:
        low, high = rng.choice(RANGES)
        return "".join(chr(rng.randrange(low, high)) for _ in range(rng.randint(1, 8)))
    if kind < 0.79:
        return "".join(rng.choices(MARKS, k=rng.randint(1, 12)))
    if kind < 0.85:
        mark = rng.choice("''''\u2019`") + rng.choice(CONTRACTIONS)
        return "".join(rng.choice((c.upper(), c)) for c in mark) + rng.choice(["", "", " ", "x", "é", "中", "\u0301"])
    if kind < 0.90:
        return "".join(rng.choices(rng.choice(DIGITS), k=rng.randint(1, 9)))
    if kind < 0.95:
        letters = rng.choice(list(LETTERS.values()))
        return "".join(rng.choices(letters, k=rng.randint(2, 20))) + rng.choice(["", "", "，", "。", ", ", "\n"])
    if kind < 0.96:
        return "\u200d".join(rng.choice(WORDS) for _ in range(rng.randint(2, 5)))
    return rng.choice(WORDS)[0] * rng.randint(2, 60)


def long_piece(rng: random.Random) -> str:
    """Return one long word, or a run of equal or alternating characters: where an engine works in windows."""
    kind = rng.random()
    if kind < 0.5:
        unit: str = rng.choice(
            [rng.choice(WORDS)[0], rng.choice(WORDS)[:2], rng.choice(SPACES), "ab", "\x00", "é", "中"]
        )
        return unit * (rng.randint(60, 300) // len(unit.encode()) + 1)
    if kind < 0.6:
        return base64.b64encode(rng.randbytes(rng.randint(75, 1500))).decode()
    letters = rng.choice(list(LETTERS.values()))
    return "".join(rng.choices(letters, k=rng.randint(100, 2000)))


def fuzz(rng: random.Random) -> str:
    """Return one odd string; one of a hundred holds a long word or run."""
    parts = [piece(rng) for _ in range(rng.randint(1, 14))]
    if rng.random() < 0.01:
        parts.insert(rng.randint(0, len(parts)), long_piece(rng))
    text = "".join(parts)
    if rng.random() < 0.05:
        text = unicodedata.normalize(rng.choice(["NFC", "NFD"]), text)
    return "".join(c for c in text if not 0xD800 <= ord(c) < 0xE000)


def fuzzed(n: int, part: int) -> Iterator[str]:
    """Yield `n` odd strings; each part has its own."""
    rng = random.Random(SEED + part)  # noqa: S311  test data
    for _ in range(n):
        yield fuzz(rng)


def sources() -> Iterator[str]:
    """Yield the sources of the standard library, whole and in lines."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        text = path.read_text("utf-8", "replace")
        yield text
        yield from text.splitlines(keepends=True)[::7]


def languages() -> Iterator[str]:
    """Yield text of each language: long, whole, and in pieces that begin and end anywhere."""
    rng = random.Random(SEED)  # noqa: S311  test data
    for text in LANGUAGES.values():
        yield text
        yield text * 50
        yield from (text[i : i + rng.randint(1, 60)] for i in range(len(text)))
        yield unicodedata.normalize("NFD", text)
