"""The demo: two recorded chats, then turns with a model server; every claim is checked in the same run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import rolecore
from rolecore import _core, terminal
from rolecore.demo import replay as road
from rolecore.demo.oracle import Findings
from rolecore.demo.report_html import Report, page
from rolecore.demo.turns import TURN_COLUMNS, TURN_WIDTHS, take_turns
from rolecore.demo.verdicts import judge, judge_turns
from rolecore.errors import ArgumentError, MissingExtraError

if TYPE_CHECKING:
    from rolecore.demo.oracle import Sent
    from rolecore.demo.turns import TurnFacts

_COLUMNS = ("chat", "budget", "query", "fits", "tokens in", "kept", "saved", "prefix", "us/fit", "RSS")
_WIDTHS = (9, 6, 5, 4, 9, 7, 5, 6, 6, 4)


def run_demo(*, report_path: str, input_path: str | None = None) -> int:
    """Replay, check, print and write the report; return 0 if every verdict holds, else 1.

    Raises:
        ArgumentError: the input cannot be read, or the report cannot be written.
        MessageError: a message of the input is not of the form a chat API takes.
    """
    start = time.perf_counter()
    recordings = road.recordings(input_path)
    build = ", ".join(f"{name} {value}" for name, value in _core.build_info().items())
    terminal.say(f"rolecore demo: {build}, tokenizer {road.TOKENIZER}")
    for recording in recordings:
        users = sum(message["role"] == "user" for message in recording.messages)
        terminal.say(f"  {recording.name}: {len(recording.messages)} messages, {users} turns")

    rows = []
    with terminal.table(_COLUMNS, widths=_WIDTHS) as add_row:
        for recording in recordings:
            for budget in road.REPLAY_BUDGETS:
                for has_query in (False, True):
                    rows.append(road.replay(recording, budget, has_query=has_query))
                    add_row(*_cells(rows[-1]))
    sent = [window for row in rows for window in row.sent]

    memory_lines, windows = _by_memory(recordings)
    sent += windows
    for line in memory_lines:
        terminal.say(line)

    has_questions = any(recording.questions for recording in recordings)
    found = []
    for budget in road.EVIDENCE_BUDGETS if has_questions else ():
        evidence, windows = road.evidence(recordings, budget)
        found.append(evidence)
        sent += windows

    findings = Findings()
    tokenizer = rolecore.tokenizer(road.TOKENIZER)
    for window in sent:
        findings.check(window, tokenizer.count_messages)
    verdicts = judge(findings, found)
    turns = _take_turns(recordings) if input_path is None else None
    if turns is not None:
        verdicts += judge_turns(turns)
    for verdict in verdicts:
        terminal.say(f"{'ok  ' if verdict.holds else 'FAIL'}  {verdict.claim}  [{verdict.check}]")

    took_s = time.perf_counter() - start
    cells = [_cells(row) for row in rows]
    turn_cells = [] if turns is None else turns.cells
    html = page(Report(build, rows, found, memory_lines, verdicts, _COLUMNS, cells, TURN_COLUMNS, turn_cells))
    _write(report_path, html)
    terminal.say(f"report: {report_path}  ({took_s:.2f} s)")
    return 0 if all(verdict.holds for verdict in verdicts) else 1


def _by_memory(recordings: list[road.Recording]) -> tuple[list[str], list[Sent]]:
    """Fit each finished chat to the retain ratio that memory asks for; return what to say and the windows."""
    reading = road.read_memory()
    if reading is None:
        return [], []
    ratio = rolecore.RetainController().update(reading.used_bytes, reading.limit_bytes)
    used, limit = reading.used_bytes / 2**30, reading.limit_bytes / 2**30
    lines = [f"memory: {used:.2f} of {limit:.2f} GiB in use, so {ratio:.0%} of a history is retained"]
    sent = []
    for recording in recordings:
        row, window = road.fit_by_memory(recording, ratio)
        if window is not None:
            sent.append(window)
            lines.append(f"  {recording.name}: {row.tokens_in:,} -> {row.tokens_kept:,} tokens")
    return lines, sent


def _take_turns(recordings: list[road.Recording]) -> TurnFacts | None:
    """Take turns with a model server and show them; None where what asks it is not installed."""
    try:
        turns = take_turns(recordings[-1].messages)
    except MissingExtraError as error:
        terminal.say(f"turns with a model server are left out: {error}")
        return None
    with terminal.table(TURN_COLUMNS, widths=TURN_WIDTHS, left=4) as add_row:
        for cells in turns.cells:
            add_row(*cells)
    return turns


def _cells(row: road.Replay) -> tuple[str, ...]:
    fits = f"{len(row.window_tokens)}" + (f" (-{row.refused})" if row.refused else "")
    return (
        row.name,
        f"{row.budget_tokens:,}",
        "yes" if row.has_query else "no",
        fits,
        f"{row.tokens_in:,}",
        f"{row.tokens_kept:,}",
        f"{row.saved_share:.1%}",
        f"{row.prefix_share:.1%}",
        f"{row.median_us:,.0f}",
        "-" if row.rss_bytes is None else f"{row.rss_bytes / 2**20:.0f}M",
    )


def _write(path: str, html: str) -> None:
    try:
        Path(path).write_text(html, encoding="utf-8")
    except OSError as error:
        msg = f"{path}: cannot be written: {(error.strerror or type(error).__name__).lower()}"
        raise ArgumentError(msg) from error
