"""The demo end to end, and its oracle: each promise is broken once on purpose and must be caught."""

from __future__ import annotations

import math
import subprocess
import sys
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

import rolecore
from rolecore import terminal
from rolecore.cli import main
from rolecore.demo import replay
from rolecore.demo.oracle import Findings, Sent, orphans
from rolecore.demo.turns import MAX_FAILURES, REQUESTS_PER_MINUTE, TurnFacts
from rolecore.demo.verdicts import judge, judge_turns

if TYPE_CHECKING:
    from collections.abc import Sequence


def call(name: str) -> dict[str, Any]:
    return {"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}}


def calls(*names: str) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [call(name) for name in names]}


def result(name: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": name, "content": "ok"}


def user(text: str = "go") -> dict[str, Any]:
    return {"role": "user", "content": text}


HISTORY = [
    {"role": "system", "content": "be brief"},
    user("first"),
    calls("a", "b"),
    result("a"),
    result("b"),
    {"role": "assistant", "content": "done"},
    user("second"),
]


def count(messages: Sequence[dict[str, Any]]) -> int:
    return rolecore.History(messages).tokens


def window(*sources: int) -> Sent:
    messages = [HISTORY[i] for i in sources]
    return Sent(HISTORY, len(HISTORY), messages, sources, count(messages), 10_000, 1)


def findings(sent: Sent) -> dict[str, int]:
    """Return only what was found."""
    found = Findings()
    found.check(sent, count)
    kinds = ("over_budget", "miscounted", "orphaned", "not_own", "unordered", "left_out")
    return {kind: getattr(found, kind) for kind in kinds if getattr(found, kind)}


def test_oracle_on_good_windows_finds_nothing() -> None:
    assert findings(window(*range(7))) == {}
    assert findings(window(0, 6)) == {}
    assert findings(window(0, 2, 3, 4, 6)) == {}


def test_oracle_on_a_real_window_finds_nothing() -> None:
    fitted = rolecore.History(HISTORY).fit(count(HISTORY) - 1, keep_last=1)
    sent = Sent(HISTORY, 7, fitted.messages, fitted.sources, fitted.tokens, count(HISTORY) - 1, 1)
    assert findings(sent) == {}


def test_oracle_on_a_window_over_budget_says_so() -> None:
    good = window(0, 6)
    assert findings(replace(good, budget_tokens=good.tokens)) == {}
    assert findings(replace(good, budget_tokens=good.tokens - 1)) == {"over_budget": 1}


def test_oracle_on_a_wrong_count_says_so() -> None:
    good = window(0, 6)
    assert findings(replace(good, tokens=good.tokens - 1)) == {"miscounted": 1}


@pytest.mark.parametrize(("sources", "n"), [((0, 2, 3, 6), 1), ((0, 3, 4, 6), 2), ((0, 2, 6), 2), ((0, 2, 5, 6), 2)])
def test_oracle_on_a_torn_tool_group_says_so(sources: tuple[int, ...], n: int) -> None:
    assert findings(window(*sources)) == {"orphaned": n}


def test_oracle_on_a_result_that_is_not_right_behind_its_call_says_so() -> None:
    assert orphans([calls("a"), user(), result("a")], may_be_pending=True) == 2


def test_oracle_on_a_result_given_twice_says_so() -> None:
    assert orphans([calls("a"), result("a"), result("a")], may_be_pending=True) == 1


def test_oracle_takes_a_pending_call_only_at_the_end() -> None:
    assert orphans([user(), calls("a", "b"), result("a")], may_be_pending=True) == 0
    assert orphans([user(), calls("a", "b"), result("a")], may_be_pending=False) == 1


def test_oracle_on_a_window_that_ends_early_takes_no_pending_call() -> None:
    torn = window(0, 2)
    assert findings(replace(torn, keep_last=0)) == {"orphaned": 2}


def test_oracle_on_a_copy_says_so() -> None:
    good = window(0, 6)
    assert findings(replace(good, messages=[good.messages[0], {**HISTORY[6], "content": "zweite"}]))["not_own"] == 1


def test_oracle_takes_a_repaired_copy_but_no_other_change_of_it() -> None:
    history = [user(), calls("a", "b"), result("a"), user()]
    fitted = rolecore.History(history).fit(10_000)
    good = Sent(history, 4, fitted.messages, fitted.sources, fitted.tokens, 10_000, 1)
    assert fitted.messages[1] is not history[1]
    assert findings(good) == {}
    changed = {**fitted.messages[1], "content": ""}
    assert findings(replace(good, messages=[history[0], changed, *fitted.messages[2:]]))["not_own"] == 1


@pytest.mark.parametrize("sources", [(0, 6, 5), (0, 0, 6)])
def test_oracle_on_messages_out_of_order_says_so(sources: tuple[int, ...]) -> None:
    assert findings(window(*sources))["unordered"] == 1


@pytest.mark.parametrize("sources", [(6,), (0, 5), (0,)])
def test_oracle_on_a_window_without_what_must_stay_says_so(sources: tuple[int, ...]) -> None:
    assert findings(window(*sources)) == {"left_out": 1}


def test_verdicts_on_any_finding_fail() -> None:
    found = Findings()
    found.check(window(0, 6), count)
    assert all(verdict.holds for verdict in judge(found, []))
    for kind in ("over_budget", "miscounted", "orphaned", "not_own", "unordered", "left_out"):
        worse = copy(found)
        setattr(worse, kind, 1)
        assert sum(not verdict.holds for verdict in judge(worse, [])) == 1


def test_verdicts_on_evidence_fail_unless_it_beats_newest_first() -> None:
    found = Findings()
    found.check(window(0, 6), count)

    def holds(ours: int, newest: int) -> bool:
        evidence = replay.Evidence(1000, asked=4, with_query=ours, newest_first=newest)
        return all(verdict.holds for verdict in judge(found, [evidence]))

    assert holds(3, 2)
    assert holds(4, 4)
    assert not holds(3, 3)
    assert not holds(1, 2)


def test_verdicts_without_a_window_fail() -> None:
    assert not all(verdict.holds for verdict in judge(Findings(), []))


# As they are when all is well, and each changed so that one promise is broken.
FACTS = TurnFacts(
    routed=[("a", "a"), ("b", "b")],
    cached=(2, 2, 0),
    hung=(0.02, 0.03),
    broken=(MAX_FAILURES, 0, 2),
    limited=(REQUESTS_PER_MINUTE + 1, REQUESTS_PER_MINUTE),
    denied=0,
    pressed=[4000, 2000, 2500, 3200, 3900, 4000, 3990, 4000],
    kept=(10, 10, 0),
    turns=7,
    traced=7,
)
BROKEN: list[dict[str, Any]] = [
    {"routed": [("a", "a"), ("b", "a")]},
    {"routed": [("a", "a"), ("b", "")]},
    {"cached": (2, 1, 0)},
    {"cached": (2, 2, 1)},
    {"hung": (0.02, math.inf)},
    {"broken": (MAX_FAILURES + 1, 0, 2)},
    {"broken": (MAX_FAILURES, 1, 2)},
    {"broken": (MAX_FAILURES, 0, 0)},
    {"limited": (REQUESTS_PER_MINUTE + 1, REQUESTS_PER_MINUTE + 1)},
    {"limited": (REQUESTS_PER_MINUTE + 1, REQUESTS_PER_MINUTE - 1)},
    {"limited": (REQUESTS_PER_MINUTE, REQUESTS_PER_MINUTE)},
    {"denied": None},
    {"denied": 1},
    {"pressed": []},
    {"pressed": [4000, 3900, 3950, 4000, 4000, 4000, 4000, 4000]},
    {"pressed": [4000, 2000, 4000, 4000, 4000, 4000, 4000, 4000]},
    {"pressed": [4000, 2000, 2500, 3200, 3200, 3200, 3200, 3200]},
    {"pressed": [4000, 2000, 2500, 3200, 2800, 3300, 3900, 4000]},
    {"kept": (10, 9, 0)},
    {"kept": (10, 10, 1)},
    {"traced": 6},
]


def test_verdicts_on_turns_that_went_well_hold() -> None:
    assert all(verdict.holds for verdict in judge_turns(FACTS))


@pytest.mark.parametrize("change", BROKEN, ids=str)
def test_verdicts_on_turns_catch_each_broken_promise(change: dict[str, Any]) -> None:
    assert sum(not verdict.holds for verdict in judge_turns(replace(FACTS, **change))) == 1


def test_recordings_hold_what_they_promise() -> None:
    session, bilingual = replay.recordings(None)
    assert len(session.messages) >= 60
    assert any(len(message.get("tool_calls", ())) > 1 for message in session.messages)
    assert sum(message["role"] == "user" for message in bilingual.messages) >= 120
    assert any("一" <= letter <= "鿿" for letter in bilingual.messages[8]["content"])
    for recording in (session, bilingual):
        assert len(recording.questions) >= 8
        assert all(question.evidence for question in recording.questions)
        assert max(max(q.evidence) for q in recording.questions) < len(recording.messages)
        assert orphans(recording.messages, may_be_pending=False) == 0


def test_demo_holds_every_verdict_and_writes_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # where nobody listens
    report = tmp_path / "report.html"
    assert main(["demo", "--report", str(report)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert f"profile {rolecore._core.build_info()['profile']}" in out
    assert "windows over budget" in out
    assert "FAIL" not in out
    assert "27 trace records of 27 turns" in out
    assert f"report: {report}" in out
    html = report.read_text("utf-8")
    assert "Turns with a model server" in html
    assert html.count('class="ok"') == out.count("\nok  ")
    assert "<script" not in html
    assert "http" not in html
    assert "prefers-color-scheme:dark" in html
    svgs = ["<svg" + part.split("</svg>")[0] + "</svg>" for part in html.split("<svg")[1:]]
    assert len(svgs) == 3
    assert all(len(ET.fromstring(svg)) for svg in svgs)  # noqa: S314  our own


def test_demo_with_a_broken_window_exits_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*args: Any, **kwargs: Any) -> replay.Replay:
        row = whole(*args, **kwargs)
        row.sent[-1] = replace(row.sent[-1], messages=row.sent[-1].messages[:-1], sources=row.sent[-1].sources[:-1])
        return row

    whole = replay.replay
    monkeypatch.setattr(replay, "replay", broken)
    assert main(["demo", "--report", str(tmp_path / "report.html")]) == 1
    assert "FAIL" in capsys.readouterr().out
    assert 'class="fail"' in (tmp_path / "report.html").read_text("utf-8")


def test_demo_with_input_replays_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = Path(replay.__file__).parent / "session.jsonl"
    assert main(["demo", "--input", str(source), "--report", str(tmp_path / "report.html")]) == 0
    out = capsys.readouterr().out
    assert "chat 0" in out
    assert "evidence" not in out


def test_demo_without_aiohttp_says_what_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    assert main(["demo", "--report", str(tmp_path / "report.html")]) == 0
    out = capsys.readouterr().out
    assert "turns with a model server are left out" in out
    assert "pip install 'rolecore[openai]'" in out
    assert "trace records" not in out


def test_demo_with_an_answerless_input_fails_its_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "chat.json").write_text('[{"role": "user", "content": "hi"}]', "utf-8")
    report = str(tmp_path / "report.html")
    assert main(["demo", "--input", str(tmp_path / "chat.json"), "--report", report]) == 1
    assert "no window to check" in capsys.readouterr().out


def test_demo_with_a_report_that_cannot_be_written_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--report", str(tmp_path / "absent" / "report.html")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_demo_without_rich_prints_plain_lines(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rolecore", "demo"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert (tmp_path / "demo-report.html").exists()


def test_demo_on_a_terminal_with_rich_draws_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rich")
    monkeypatch.setattr(terminal, "is_rich", lambda _stream: True)
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["demo", "--report", str(tmp_path / "report.html")]) == 0
    assert "───" in capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["demo", "--report", str(tmp_path / "report.html")]) == 0
    assert capsys.readouterr().out.isascii()
