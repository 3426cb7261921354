"""What `rolecore inspect` shows: a snapshot or a batch file as a tree with sizes, which add up to the file's.

Nothing that was said is shown: of texts only their bytes, and by name only the session, its role, its tokenizer, and
tools with the ids of their calls.
"""

from __future__ import annotations

import mmap
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rolecore.codec import Batch, Snapshot, open_batch, open_snapshot
from rolecore.errors import ArgumentError, CodecError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from rolecore.codec import ToolCall, Turn


# What a batch file begins with; no snapshot does.
_BATCH_MAGIC = b"\x89rbatch\n"


class Row(NamedTuple):
    """A line of the tree: how deep it is, what it says, and its bytes, those of its children among them."""

    depth: int
    label: str
    n_bytes: int


def open_file(path: str, index: int | None = None) -> Snapshot | Batch:
    """Return the snapshot or the batch of a file, which is mapped and all checked.

    Args:
        path: of the file.
        index: of the snapshot of a batch file to return; None: what the file is.

    Raises:
        OSError: the file cannot be read.
        CodecError: it is no regular file, no snapshot and no batch file, or damaged.
        ArgumentError: there is no such snapshot. This message and that of CodecError begin with the path.
    """
    kind = Path(path).stat().st_mode
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
        # Opening one might wait for ever. A directory the system refuses in its own words.
        msg = f"{path}: it is no regular file; give the path of one"
        raise CodecError(msg)
    with Path(path).open("rb") as file:
        # An empty file cannot be mapped.
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if file.seek(0, 2) else b""
    # A part of it will do: a crash may have come as the file was made. What open_batch raises names the path itself.
    batch = open_batch(path) if data and _BATCH_MAGIC.startswith(data[: len(_BATCH_MAGIC)]) else None
    try:
        opened: Snapshot | Batch = open_snapshot(data) if batch is None else batch
        opened.verify()
    except CodecError as error:
        msg = f"{path}: {error}"
        raise CodecError(msg) from error
    return opened if index is None else _pick(opened, index, path)


def _pick(opened: Snapshot | Batch, index: int, path: str) -> Snapshot:
    if isinstance(opened, Snapshot):
        msg = f"{path}: it is no batch file; leave out --snapshot"
        raise ArgumentError(msg)
    if index >= len(opened):
        way = f"; pass --snapshot 0 to {len(opened) - 1}" if len(opened) else ": it is empty; leave out --snapshot"
        msg = f"{path}: it has no snapshot {index}{way}"
        raise ArgumentError(msg)
    snapshot: Snapshot = opened[index]
    return snapshot


def describe(opened: Snapshot | Batch, most: int | None) -> dict[str, Any]:
    """Return what the tree shows as a dict that JSON can hold.

    Args:
        opened: of `open_file`.
        most: turns, or snapshots of a batch, that are told one by one, as many from either end; None: all. The others
            are added up.
    """
    return _describe_batch(opened, most) if isinstance(opened, Batch) else _describe_snapshot(opened, most)


def _describe_batch(batch: Batch, most: int | None) -> dict[str, Any]:
    told = (
        {
            "index": index,
            "session_id": snapshot.session_id,
            "role": snapshot.role,
            "turns": len(snapshot.turns),
            "bytes": snapshot.nbytes,
        }
        for index, snapshot in enumerate(batch)
    )
    snapshots = _shorten(told, len(batch), most, ("turns", "bytes"))
    return {
        "bytes": batch.nbytes + batch.n_torn_bytes,
        "snapshots": snapshots,
        "torn_bytes": batch.n_torn_bytes,
        "rest_bytes": batch.nbytes - snapshots["all"]["bytes"],
    }


def _describe_snapshot(snapshot: Snapshot, most: int | None) -> dict[str, Any]:
    sizes = snapshot.sizes()
    told = (_describe_turn(index, turn) for index, turn in enumerate(snapshot.turns))
    turns = _shorten(told, len(snapshot.turns), most, ("tokens", "pinned", "bytes"))
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
    return _rows_of_batch(told) if "snapshots" in told else _rows_of_snapshot(told)


def _rows_of_batch(told: dict[str, Any]) -> Iterator[Row]:
    yield Row(0, "batch of snapshots, nothing damaged", told["bytes"])
    if told["snapshots"]["all"]["count"]:
        yield from _rows_of_list("snapshots", told["snapshots"], _rows_of_entry)
    if told["torn_bytes"]:
        why = "a crash left it, or it is being written"
        yield Row(1, f"torn at the end, ignored: {why}", told["torn_bytes"])
    yield Row(1, "headers, indexes, padding", told["rest_bytes"])


def _rows_of_entry(entry: dict[str, Any]) -> Iterator[Row]:
    names = "".join(f"{name} {shown(entry[name])}, " for name in ("session_id", "role") if entry[name])
    yield Row(2, f"{entry['index']} {names}{entry['turns']:,} turns", entry["bytes"])


def _rows_of_snapshot(told: dict[str, Any]) -> Iterator[Row]:
    sizes = told["sizes"]
    yield Row(0, f"snapshot, version {told['version']}, nothing damaged", told["bytes"])
    for name in ("session_id", "role", "tokenizer"):
        if name in sizes:
            yield Row(1, f"{name} {shown(told[name])}", sizes[name])
    if "summary" in sizes:
        yield Row(1, "summary", sizes["summary"])
    if told["turns"]["all"]["count"]:
        yield from _rows_of_list("turns", told["turns"], _rows_of_turn)
    if told["vectors"] is not None:
        dtype, shape, alignment = (told["vectors"][name] for name in ("dtype", "shape", "alignment"))
        place = f"aligned to {alignment}" if alignment >= 4 else "out of alignment: copied when read"  # noqa: PLR2004  a float32
        yield Row(1, f"vectors: {dtype}, shape ({shape[0]}, {shape[1]}), {place}", sizes["vectors"])
    if "payload" in sizes:
        yield Row(1, "payload", sizes["payload"])
    rest = told["rest_bytes"]
    yield Row(1, "tables, offsets, padding" if rest >= 0 else "texts that are shared, counted once", rest)


def _shorten(told: Iterable[dict[str, Any]], count: int, most: int | None, sums: tuple[str, ...]) -> dict[str, Any]:
    most = count if most is None else min(most, count)
    head, tail = (most + 1) // 2, count - most // 2
    all_of_them, left_out = (dict.fromkeys(("count", *sums), 0) for _ in range(2))
    shown = []
    for one in told:
        is_shown = not head <= one["index"] < tail
        if is_shown:
            shown.append(one)
        for added in (all_of_them,) if is_shown else (all_of_them, left_out):
            added["count"] += 1
            for name in sums:
                added[name] += one[name]
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


def _rows_of_list(name: str, told: dict[str, Any], rows_of: Callable[[dict[str, Any]], Iterator[Row]]) -> Iterator[Row]:
    left_out = told["left_out"]
    yield Row(1, f"{name}: {_counts(told['all'])}", told["all"]["bytes"])
    at = 0
    for one in told["shown"]:
        if one["index"] != at:
            yield Row(2, f"... {_counts(left_out)}: --all shows them", left_out["bytes"])
        at = one["index"] + 1
        yield from rows_of(one)
    if at != told["all"]["count"]:
        yield Row(2, f"... {_counts(left_out)}: --all shows them", left_out["bytes"])


def _rows_of_turn(turn: dict[str, Any]) -> Iterator[Row]:
    about = f"{turn['index']} {turn['role']}, {turn['tokens']:,} tokens{', pinned' if turn['pinned'] else ''}"
    yield Row(2, about + _list(turn["sizes"]), turn["bytes"])
    for call in turn["tool_calls"]:
        kind = "custom call" if call["custom"] else "call"
        about = f"{kind} {shown(call['name'])} {shown(call['id'])}"
        yield Row(3, about + _list(call["sizes"]), sum(call["sizes"].values()))


def _list(sizes: dict[str, int]) -> str:
    return f": {', '.join(f'{name} {n_bytes:,}' for name, n_bytes in sizes.items())}" if sizes else ""


def _counts(of: dict[str, int]) -> str:
    sums = (f", {n:,} {name}" for name, n in of.items() if name in ("tokens", "turns") or (name == "pinned" and n))
    return f"{of['count']:,}{''.join(sums)}"


def shown(name: str | None) -> str:
    """Return a name in quotes, no longer than a line, with what a terminal would obey or cannot show as escapes."""
    if name is None:
        return "-"
    most = 60
    # As repr does, but in one kind of quotes.
    whole = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name[:most])
    return f'"{whole}{"..." if len(name) > most else ""}"'
