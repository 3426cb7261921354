"""Prints the tables of docs/codecs.md as Markdown: the bars of a run of bench_codec*.py, and every peer on every shape.

    python codec_table.py [RATIOS]

RATIOS: what `pytest --ratios` wrote; without it, only the peers. Times are medians of CPU microseconds, all peers
and operations timed in turns (codec_contest.py); each peer also runs against itself, and the last row of a shape shows
the widest quartiles that any of these gave. Memory is what lives on while a session is open (codec_memory.py).
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from codec_contest import AGAIN, Contest
from codec_memory import is_possible, told
from codec_peers import memcpy_of, peers
from codec_shapes import NAMES, shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from codec_contest import Run
    from codec_peers import Peer
    from codec_shapes import Shape

# From here on a ratio is told without decimals.
TENS = 20
COLUMNS = ("encode", "open", "open + one field", "open + all fields")
BARS = re.compile(r"(?P<what>.*) \((?P<most>at most )?(?P<must>[\d.]+)(?:; (?P<aim>[\d.]+))?\)$")


def bars(path: str) -> None:
    """Print the rows that have something to reach."""
    print("| what | ratio | quartiles | A/A | must; aim |\n|---|---|---|---|---|")
    rows = json.loads(Path(path).read_text("utf-8"))
    for row in rows:
        found = BARS.match(row["name"])
        if not found:
            continue
        must, ratio = float(found["must"]), round(row["median"], 2)
        is_met = ratio <= must if found["most"] else ratio >= must
        shown = f"{ratio:.2f}x" if ratio < TENS else f"{ratio:.0f}x"
        limits = f"{found['most'] or ''}{found['must']}{'; ' + found['aim'] if found['aim'] else ''}"
        # The A/A rows of the same contest begin as this one does.
        contest = "A/A " + re.split(" : |, ", found["what"])[0] + ", "
        noise = [same for same in rows if same["name"].startswith(contest)]
        cells = (found["what"], shown if is_met else f"**{shown}**", quartiles([row]), quartiles(noise), limits)
        print(f"| {' | '.join(cells)} |")


def quartiles(rows: list[dict[str, float]]) -> str:
    """Return the widest quartiles of some rows."""
    low, high = min(row["low"] for row in rows), max(row["high"] for row in rows)
    return f"{low:.2f} .. {high:.2f}" if high < TENS else f"{low:.0f} .. {high:.0f}"


def operations(peer: Peer, session: Shape, data: bytes) -> dict[str, Run]:
    """Return what is timed of a peer, by column."""
    turn = session.turn if session.messages else None

    def one() -> object:
        opened = peer.open(data)
        return peer.session_id(opened) if turn is None else peer.text(opened, turn)

    reads: list[Callable[[object], object]] = [peer.session_id, peer.all_turns]
    reads += [peer.vectors] if session.vectors is not None else []
    reads += [peer.payload] if session.payload is not None else []

    def everything() -> object:
        opened = peer.open(data)
        return [read(opened) for read in reads]

    return dict(zip(COLUMNS, (peer.encode, lambda: peer.open(data), one, everything), strict=True))


def table(name: str) -> None:
    """Print every peer on one shape."""
    session = shape(name)
    found = {peer.name: (peer, peer.check(session)) for peer in peers(session)}
    runs = {peer_name: operations(peer, session, data) for peer_name, (peer, data) in found.items()}
    runs["memcpy"] = {"encode": memcpy_of(found["rolecore"][1])}
    # All in one contest, so that columns can be compared as well as peers.
    each = {f"{peer}, {column}": run for peer, columns in runs.items() for column, run in columns.items()}
    contest = Contest(each, twice=each)
    cells = {peer: [cell(contest, f"{peer}, {column}") for column in COLUMNS] for peer in runs}
    noise = [widest(contest, [one for one in each if one.endswith(f", {column}")]) for column in COLUMNS]
    live = told(name) if is_possible() else {}
    print(f"\n| {name} | bytes | {' | '.join(COLUMNS)} | lives while open |\n|---|{'---|' * (len(COLUMNS) + 2)}")
    for peer, row in cells.items():
        size = f"{len(found[peer][1]):,}" if peer in found else ""
        memory = f"{live[peer]['open']:,.0f} B" if peer in live else ""
        print(f"| {peer} | {size} | {' | '.join(row)} | {memory} |")
    print(f"| A/A, the widest | | {' | '.join(noise)} | |")


def cell(contest: Contest, run: str) -> str:
    """Return the time of a runner, nothing where there is none."""
    return figure(contest.median_us(run)) if run in contest.seconds else ""


def widest(contest: Contest, runs: list[str]) -> str:
    """Return the widest quartiles of some runners against themselves."""
    found = [
        quartile
        for run in runs
        for quartile in statistics.quantiles([b / a for a, b in contest.pairs(run, run + AGAIN)], n=4)
    ]
    return f"{min(found):.2f} .. {max(found):.2f}"


def figure(us: float) -> str:
    """Return microseconds with the digits that mean something."""
    return f"{us:,.0f}" if us >= 100 else f"{us:.3g}"


def main() -> None:
    """Print all."""
    if len(sys.argv) > 1:
        bars(sys.argv[1])
    for name in NAMES:
        table(name)


if __name__ == "__main__":
    main()
