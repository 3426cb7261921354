"""Makes the pairs of the suite from its own sentences: pairs that must not match, and paraphrases that should.

A sentence holds slots. `{o:enable|disable}`: opposites, the first of which is the sentence's own; likewise `e` names,
`u` units, `q` quantities, `w` what is asked for, `x` negation. `{city}`: filled from slots.py. `[a]` and `[b]` change
places. Each pair differs in one slot, or in a negation that a rule puts in; its second text comes once as it is and
once with a paraphrase's frame around it.
"""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import NamedTuple

from slots import LISTS, fillings, half

FOLDER = Path(__file__).parent
KINDS = {"o": "opposite", "e": "name", "u": "unit", "q": "quantity", "w": "asked", "x": "negation"}
NUMBERS = {"n", "dec", "pct", "ver", "year", "date", "time", "phone"}
CODES = {"path", "user", "host", "order", "email", "url", "ident", "flag", "seat", "flight"}
HAN = re.compile("[\u4e00-\u9fff]")
SLOT = re.compile(r"\{([^{}]*)\}")

# A negation put in: after the first of these.
AUXILIARY = re.compile(
    r"\b(can|could|should|does|do|did|is|are|was|will|has|must)\b(?! (?:not|\w+n't)\b)", re.IGNORECASE
)
NEGATED = {"can": "can't", "will": "won't", "must": "must not"}
ZH_VERB = re.compile(r"(可以|应该|需要|会(?!议|话)|能|该|要(?!多|什么)|怎么(?!样))(?!不|没)")


class Pair(NamedTuple):
    """Two texts; `kind` says what differs between them, or how the second says the same."""

    kind: str
    language: str
    half: int
    first: str
    second: str


def sentences(language: str) -> list[str]:
    """Return the lines of one language's sentences."""
    return (FOLDER / f"sentences_{language}.txt").read_text(encoding="utf-8").splitlines()


def false_pairs() -> list[Pair]:
    """Return the pairs that must not match, each once; then the same with the second text said in other words too."""
    found: dict[tuple[str, str], Pair] = {}
    for language in ("en", "zh"):
        for line in sentences(language):
            for kind, first, second in _variants(line, is_chinese=language == "zh"):
                if _digits(first) != _digits(second):
                    pair = Pair(kind, language, half(line), first, second)
                    found.setdefault((min(first, second), max(first, second)), pair)
    plain = list(found.values())
    reworded = []
    for i, pair in enumerate(plain):
        patterns = EN_PATTERNS if pair.language == "en" else ZH_PATTERNS
        second = patterns[i % len(patterns)][1](pair.second)
        if second != pair.second:
            reworded.append(pair._replace(kind="reworded", second=second))
    return plain + reworded


def true_pairs() -> list[Pair]:
    """Return 500 pairs that mean the same: those written by hand, and 246 made from the sentences by a pattern."""
    found = []
    for language in ("en", "zh"):
        lines = (FOLDER / f"paraphrases_{language}.txt").read_text(encoding="utf-8").splitlines()
        found += [Pair("written", language, half(line), *line.split(" = ")) for line in lines]
    for language, n in (("en", 120), ("zh", 126)):
        patterns = EN_PATTERNS if language == "en" else ZH_PATTERNS
        lines = random.Random(7).sample(sentences(language), n)  # noqa: S311  the same every time
        for i, line in enumerate(lines):
            is_chinese = language == "zh"
            base = _fill(line, line, is_chinese=is_chinese)
            kind, pattern = patterns[i % len(patterns)]
            second = pattern(base)
            found.append(Pair(kind, language, half(line), base, second if second != base else f"{base} "))
    return found


def unseen_pairs(mark: str) -> list[Pair]:
    """Return the pairs of unseen_pairs.txt that are marked "≠", which must not match, or "=", which should."""
    lines = (FOLDER / "unseen_pairs.txt").read_text(encoding="utf-8").splitlines()
    found = [line.partition(f" {mark} ") for line in lines]
    return [
        Pair("unseen", "zh" if HAN.search(first + second) else "en", 1, first, second)
        for first, is_marked, second in found
        if is_marked and ("≠" not in first + second)
    ]


def _fill(line: str, seed: str, *, is_chinese: bool, changed: int = -1, choice: int = 0) -> str:
    """Fill all slots, the `changed`-th with its other choice number `choice`; the same words for the same seed."""
    seen: dict[str, list[str]] = {}
    count = -1

    def one(match: re.Match[str]) -> str:
        nonlocal count
        count += 1
        name = match[1]
        if name[1:2] == ":":
            return name[2:].split("|")[choice + 1 if count == changed else 0]
        kind = name.rstrip("2") if name not in LISTS else name
        if kind not in seen:
            words = fillings(kind, is_chinese=is_chinese, part=half(seed))
            seen[kind] = random.Random(seed + kind).sample(words, len(words))  # noqa: S311  likewise
        words = seen[kind]
        own = words[name != kind]
        return words[2 + choice % (len(words) - 2)] if count == changed else own

    return SLOT.sub(one, line).replace("[", "").replace("]", "")


def _variants(line: str, *, is_chinese: bool) -> list[tuple[str, str, str]]:
    base = _fill(line, line, is_chinese=is_chinese)
    made = []
    for i, name in enumerate(SLOT.findall(line)):
        if name[1:2] == ":":
            kind, n = KINDS[name[0]], name.count("|")
        else:
            bare = name if name in LISTS else name.rstrip("2")
            kind = "number" if bare in NUMBERS else "code" if bare in CODES else "name"
            n = 3
        others = (_fill(line, line, is_chinese=is_chinese, changed=i, choice=choice) for choice in range(n))
        made += [(kind, base, other) for other in others]
    swapped = re.sub(r"\[([^]]*)\](.*)\[([^]]*)\]", r"[\3]\2[\1]", line)
    if swapped != line:
        made.append(("swap", base, _fill(swapped, line, is_chinese=is_chinese)))
    if "{x:" not in line:
        made.append(("negation", base, _negate(base, is_chinese=is_chinese)))
    return made


def _negate(text: str, *, is_chinese: bool) -> str:
    if is_chinese:
        return ZH_VERB.sub(lambda m: m[1] + "不" if m[1] == "怎么" else "不" + m[1], text, count=1)
    if re.match(r"(how|when|where) (do|can|should) i ", text, re.IGNORECASE):
        return re.sub(r"^(\w+ \w+ I) ", r"\1 not ", text, count=1)
    return AUXILIARY.sub(lambda m: NEGATED.get(m[1].lower(), m[1] + "n't"), text, count=1)


EN_NUMBERS = (
    "two=2 three=3 four=4 five=5 six=6 seven=7 eight=8 nine=9 ten=10 eleven=11 twelve=12 fifteen=15 twenty=20 "
    "thirty-five=35 forty=40 sixty=60 a_hundred=100 1,500=1500 2,000=2000"
)
ZH_NUMBERS = "三十五=35 十二=12 二十=20 两百=200 一百=100 两=2 三=3 四=4 五=5 六=6 七=7 八=8 九=9 十=10"


def _digits(text: str) -> str:
    """Write the numbers of slots.txt in digits, so that 3 and three make no pair."""
    for word, _, number in (pair.partition("=") for pair in EN_NUMBERS.split()):
        text = re.sub(rf"\b{word.replace('_', ' ')}\b", number, text)
    for word, _, number in (pair.partition("=") for pair in ZH_NUMBERS.split()):
        text = text.replace(word, number)
    return text


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


def _wide(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def _contract(text: str) -> str:
    return re.sub(r"\b(What|Who|Where|How) (is|are)\b", lambda m: m[1] + ("'s" if m[2] == "is" else "'re"), text)


def _tag(text: str) -> str:
    return text.rstrip("吗？。") + "，对不对？" if text.endswith("吗？") else f"那么，{text}"


def _how(text: str) -> str:
    return text.replace("怎么", "如何").replace("多少", "多少呢") if "怎么" in text else text.rstrip("？。") + "呢？"


EN_PATTERNS = [
    ("polite", lambda t: f"Hi there, {_lower(t)} Thanks a lot!"),
    ("polite", lambda t: f"Hello! I have a quick question. {t}"),
    ("polite", lambda t: f"{t.rstrip('.?')}, please{t[-1]}"),
    ("polite", lambda t: f"Sorry to bother you, but {_lower(t)}"),
    ("written otherwise", lambda t: t.rstrip("?.")),
    ("written otherwise", lambda t: t.lower()),
    ("written otherwise", lambda t: t.upper()),
    ("written otherwise", lambda t: f"  {t.replace(' ', '  ')}\n"),
    ("written otherwise", lambda t: t.replace("'", "’").replace("?", " ???").replace(".", ".")),
    ("contracted", _contract),
    ("other words", lambda t: t.replace("How do I", "What do I have to do to").replace("Show me", "Let me see")),
    ("other words", lambda t: t.replace("How do I", "How does one").replace("Give me", "I need")),
]
ZH_PATTERNS = [
    ("polite", lambda t: f"你好，请问{t}谢谢！"),
    ("polite", lambda t: f"麻烦问一下，{t}"),
    ("polite", lambda t: f"您好，我想知道{t}"),
    ("written otherwise", lambda t: t.rstrip("？。")),
    ("written otherwise", lambda t: t.replace("，", ",").replace("？", "?").replace("。", ".")),
    ("written otherwise", _wide),
    ("other words", _how),
    ("other words", _tag),
    ("other words", lambda t: t.replace("为什么", "为啥").replace("什么时候", "何时").replace("怎么", "怎样")),
]
