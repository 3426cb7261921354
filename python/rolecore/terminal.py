"""What the commands show: tables, a tree, and progress while they work; with rich on a terminal, plain otherwise."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib.util import find_spec
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_BAR_CELLS = 30


def say(line: str) -> None:
    """Print a line on standard output; what its encoding lacks, as escapes."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    line = line.encode(encoding, "backslashreplace").decode(encoding)
    print(line, flush=True)  # noqa: T201  this file is what prints


def say_json(value: Any) -> None:  # noqa: ANN401  what JSON can hold
    """Print a value as JSON on standard output."""
    import json

    say(json.dumps(value, indent=2))


def warn(line: str) -> None:
    """Print a line on standard error; nowhere if that is closed."""
    if sys.stderr is not None:
        print(line, file=sys.stderr, flush=True)  # noqa: T201


def is_rich(stream: TextIO | None) -> bool:
    """Whether `stream` is open, a terminal, and rich is installed."""
    return stream is not None and stream.isatty() and find_spec("rich") is not None


@contextmanager
def table(columns: Sequence[str], *, widths: Sequence[int] = (), left: int = 1) -> Iterator[Callable[..., None]]:
    """Yield a function that adds a row of cells and shows it at once, on standard output.

    Where a drawn table is wider than the terminal, plain lines are printed: a cell cut short would be a wrong figure.

    Args:
        columns: the headers.
        widths: least width of each column, since a plain line is printed before the next is known.
        left: how many leading columns are text, aligned to the left.
    """
    least = [max(pair) for pair in zip(map(len, columns), widths or [0] * len(columns), strict=True)]
    drawn_width = sum(least) + 3 * len(columns) + 1
    if is_rich(sys.stdout) and drawn_width <= get_terminal_size().columns:
        with _rich_table(columns, left) as add_row:
            yield add_row
        return

    def show(*cells: str) -> None:
        aligned = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, least, strict=True))
        ]
        say("  ".join(aligned).rstrip())

    show(*columns)
    yield show


@contextmanager
def _rich_table(columns: Sequence[str], left: int) -> Iterator[Callable[..., None]]:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

    rich = Table(box=SIMPLE_HEAD)
    for i, column in enumerate(columns):
        rich.add_column(column, justify="left" if i < left else "right")
    with Live(rich, console=Console(file=sys.stdout), refresh_per_second=12, vertical_overflow="visible"):
        yield rich.add_row


def tree(rows: Iterable[tuple[int, str, int]]) -> None:
    """Print rows of depth, label and bytes on standard output; the first is the root and has the most bytes."""
    rows = iter(rows)
    _, label, most = next(rows)
    if not is_rich(sys.stdout):
        width = len(f"{most:,}")
        for depth, text, n_bytes in ((0, label, most), *rows):
            say(f"{n_bytes:>{width},}  {'  ' * depth}{text}")
        return
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    def drawn(text: str, n_bytes: int) -> Text:
        return Text.assemble(text, "  ", (f"{n_bytes:,} bytes", "cyan"))

    nodes = [Tree(drawn(label, most))]
    for depth, text, n_bytes in rows:
        del nodes[depth:]
        nodes.append(nodes[-1].add(drawn(text, n_bytes)))
    Console(file=sys.stdout).print(nodes[0])


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that takes how much of `total` is done, shown on standard error if that is a terminal."""
    if total <= 0 or sys.stderr is None or not sys.stderr.isatty():
        yield lambda _done: None
    elif is_rich(sys.stderr):
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(file=sys.stderr), transient=True) as bar:
            task = bar.add_task(label, total=total)
            yield lambda done: bar.update(task, completed=done)
    else:
        shown = -1

        def draw(done: int) -> None:
            nonlocal shown
            per_cent = min(100, 100 * done // total)
            if per_cent != shown:
                shown = per_cent
                full = per_cent * _BAR_CELLS // 100
                sys.stderr.write(f"\r{label} [{'#' * full}{'.' * (_BAR_CELLS - full)}] {per_cent:3}%")
                sys.stderr.flush()

        try:
            yield draw
        finally:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
