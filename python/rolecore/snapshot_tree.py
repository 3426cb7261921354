"""What `rolecore inspect` shows: a snapshot as a tree with sizes, which add up to the file's.

Nothing that was said is shown: of texts only their bytes, and by name only the session, its role, its tokenizer, and
tools with the ids of their calls.
"""

from __future__ import annotations

import mmap
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rolecore.codec import Snapshot, open_snapshot
from rolecore.errors import CodecError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from rolecore.codec import ToolCall, Turn


class Row(NamedTuple):
    """A line of the tree: how deep it is, what it says, and its bytes, those of its children among them."""

    depth: int
    label: str
    n_bytes: int


def open_file(path: str) -> Snapshot:
    """Return the checked snapshot of a file, which is mapped.

    Raises:
        OSError: the file cannot be read.
        CodecError: it is no regular file, no snapshot, or damaged; the message begins with the path.
    """
    kind = Path(path).stat().st_mode
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
        # Opening one might wait for ever. A directory the system refuses in its own words.
        msg = f"{path}: it is no regular file; give the path of one"
        raise CodecError(msg)
    with Path(path).open("rb") as file:
        # An empty file cannot be mapped.
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if file.seek(0, 2) else b""
    try:
        # A file of many snapshots, which begins otherwise, is to be told apart here.
        snapshot = open_snapshot(data)
        snapshot.verify()
    except CodecError as error:
        msg = f"{path}: {error}"
        raise CodecError(msg) from error
    return snapshot


def describe(snapshot: Snapshot, n_turns: int | None) -> dict[str, Any]:
    """Return what the tree shows as a dict that JSON can hold.

    Args:
        snapshot: of `open_file`.
        n_turns: most turns that are told one by one, as many from either end; None: all. The others are added up.
    """
    sizes = snapshot.sizes()
    turns = _describe_turns(snapshot, n_turns)
    vectors = snapshot.vectors
    return {
        "bytes": snapshot.nbytes,
        "version": snapshot.version,
        "session_id": snapshot.session_id,
        "role": snapshot.role,
        "tokenizer": snapshot.tokenizer,
        "sizes": sizes,
        "turns": turns,
        "vectors": None if vectors is None else _describe_vectors(vectors),
        # Negative where texts are shared, so that they are told more than once.
        "rest_bytes": snapshot.nbytes - sum(sizes.values()) - turns["all"]["bytes"],
    }


def rows(told: dict[str, Any]) -> Iterator[Row]:
    """Yield the lines for what `describe` returned."""
    sizes = told["sizes"]
    yield Row(0, f"snapshot, version {told['version']}, nothing damaged", told["bytes"])
    for name in ("session_id", "role", "tokenizer"):
        if name in sizes:
            yield Row(1, f"{name} {_shown(told[name])}", sizes[name])
    if "summary" in sizes:
        yield Row(1, "summary", sizes["summary"])
    if told["turns"]["all"]["count"]:
        yield from _rows_of_turns(told["turns"])
    if told["vectors"] is not None:
        dtype, shape, alignment = (told["vectors"][name] for name in ("dtype", "shape", "alignment"))
        place = f"aligned to {alignment}" if alignment >= 4 else "out of alignment: copied when read"  # noqa: PLR2004  a float32
        yield Row(1, f"vectors: {dtype}, shape ({shape[0]}, {shape[1]}), {place}", sizes["vectors"])
    if "payload" in sizes:
        yield Row(1, "payload", sizes["payload"])
    rest = told["rest_bytes"]
    yield Row(1, "tables, offsets, padding" if rest >= 0 else "texts that are shared, counted once", rest)


def _describe_turns(snapshot: Snapshot, most: int | None) -> dict[str, Any]:
    count = len(snapshot.turns)
    most = count if most is None else min(most, count)
    head, tail = (most + 1) // 2, count - most // 2
    all_of_them, left_out = (dict.fromkeys(("count", "tokens", "pinned", "bytes"), 0) for _ in range(2))
    shown = []
    for index, turn in enumerate(snapshot.turns):
        told = _describe_turn(index, turn)
        is_shown = not head <= index < tail
        if is_shown:
            shown.append(told)
        for sums in (all_of_them,) if is_shown else (all_of_them, left_out):
            sums["count"] += 1
            for name in ("tokens", "pinned", "bytes"):
                sums[name] += told[name]
    return {"all": all_of_them, "left_out": left_out, "shown": shown}


def _describe_turn(index: int, turn: Turn) -> dict[str, Any]:
    sizes = turn.sizes()
    calls = [_describe_call(call) for call in turn.tool_calls or ()]
    n_bytes = sum(sizes.values()) + sum(sum(call["sizes"].values()) for call in calls)
    about = {"index": index, "role": turn.role, "tokens": turn.tokens, "pinned": turn.pinned, "bytes": n_bytes}
    return {**about, "sizes": sizes, "tool_calls": calls}


def _describe_call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "name": call.name, "custom": call.is_custom, "sizes": call.sizes()}


def _describe_vectors(vectors: NDArray[np.float32]) -> dict[str, Any]:
    # A map begins at a page, so that addresses are as good as places in the file. What lies wrong is a copy by now.
    is_even = vectors.__array_interface__["data"][0] % 16 == 0
    alignment = 1 if vectors.flags.owndata else 16 if is_even else 4
    return {"dtype": str(vectors.dtype), "shape": list(vectors.shape), "alignment": alignment}


def _rows_of_turns(turns: dict[str, Any]) -> Iterator[Row]:
    left_out = turns["left_out"]
    yield Row(1, f"turns: {_counts(turns['all'])}", turns["all"]["bytes"])
    at = 0
    for turn in turns["shown"]:
        if turn["index"] != at:
            yield Row(2, f"... {_counts(left_out)}: --all shows them", left_out["bytes"])
        at = turn["index"] + 1
        yield from _rows_of_turn(turn)
    if at != turns["all"]["count"]:
        yield Row(2, f"... {_counts(left_out)}: --all shows them", left_out["bytes"])


def _rows_of_turn(turn: dict[str, Any]) -> Iterator[Row]:
    about = f"{turn['index']} {turn['role']}, {turn['tokens']:,} tokens{', pinned' if turn['pinned'] else ''}"
    yield Row(2, about + _list(turn["sizes"]), turn["bytes"])
    for call in turn["tool_calls"]:
        kind = "custom call" if call["custom"] else "call"
        about = f"{kind} {_shown(call['name'])} {_shown(call['id'])}"
        yield Row(3, about + _list(call["sizes"]), sum(call["sizes"].values()))


def _list(sizes: dict[str, int]) -> str:
    return f": {', '.join(f'{name} {n_bytes:,}' for name, n_bytes in sizes.items())}" if sizes else ""


def _counts(of: dict[str, int]) -> str:
    pinned = f", {of['pinned']:,} pinned" if of["pinned"] else ""
    return f"{of['count']:,}, {of['tokens']:,} tokens{pinned}"


def _shown(name: str | None) -> str:
    """Return a name in quotes, no longer than a line, with what a terminal would obey or cannot show as escapes."""
    if name is None:
        return "-"
    most = 60
    # As repr does, but in one kind of quotes.
    whole = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name[:most])
    return f'"{whole}{"..." if len(name) > most else ""}"'
