"""The evaluation commands judge rightly: on made-up data, and on windows that lie."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from chats import Message, call

import rolecore

COMMANDS = Path(__file__).parents[1] / "benches" / "eval"


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Load a module of the commands by its name."""
    monkeypatch.syspath_prepend(str(COMMANDS))
    return importlib.import_module


def conversation(speakers: list[str], fact: str, n: int = 60) -> dict[str, Any]:
    said = "So that is nice. I saw item {0} lie there in the morning, {1} {2}!"
    turns = [{"s": speakers[i % len(speakers)], "t": said.format(i, fact, i * 7)} for i in range(n)]
    asked = [{"q": f"What about item {i}?", "a": f"{fact} {i * 7}", "e": [i], "c": 1} for i in range(0, n, 6)]
    return {"id": "made", "lang": "en", "turns": turns, "qa": [*asked, {"q": "?", "a": "", "e": [], "c": 5}]}


def sessions() -> dict[str, Any]:
    asks = {"role": "user", "content": "My order is A-1042, please look at it."}
    asked = {"name": "look", "arguments": '{"order": "A-1042"}'}
    looks = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": asked}]}
    found = {"role": "tool", "tool_call_id": "c1", "content": '{"total": 120, "lamp": "blue lantern"}'}
    return {
        "system": {"role": "system", "content": "Be brief."},
        "sessions": [{"messages": [asks, looks, found, looks]}],
    }


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(COMMANDS), *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    held = {
        "talks_dev": [conversation(["Ana", "Ben"], "lantern")],
        "meetings": [conversation(["A", "B", "C"], "budget")],
        "agents": sessions(),
        "notes": {"other": 1},
    }
    for name, what in held.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(what), encoding="utf-8")
    return tmp_path


def test_eval_folder_prints_a_table_for_each_file_it_knows(folder: Path) -> None:
    done = run(str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("talks_dev: 1 conv", "meetings: 1 conv", "agents: 1 tool", "needs all sentence query gain", "n=10"):
        assert part in done.stdout
    assert "notes" not in done.stdout
    assert done.stdout.count("0 over budget, 0 falsified") == 3


def test_eval_single_files_and_stress_run(folder: Path) -> None:
    done = run(f"{folder / 'talks_dev.json'}:{folder / 'meetings.json'}", "--stress")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "talks+meetings: talks" in done.stdout
    assert "talks +talk, all" in done.stdout


def test_eval_figure_under_its_bar_fails(folder: Path) -> None:
    (folder / "agents.json").rename(folder / "tau_airline_held.json")
    (folder / "talks_dev.json").rename(folder / "vcsum.json")
    done = run(str(folder))
    assert done.returncode == 1
    assert "FAILED vcsum: agnostic sentence gold could not be measured" in done.stdout


def test_ablation_knows_the_signals_of_the_core(commands: Any) -> None:
    core = (COMMANDS.parents[1] / "rust" / "core" / "src" / "compress" / "ablation.rs").read_text(encoding="utf-8")
    names = [name for names in commands("ablation").SIGNALS.values() for name in names]
    assert sorted(names) == sorted(re.findall(r'\("([a-z-]+)", Signal::', core))


def test_ablation_with_a_build_that_switches_nothing_off_says_so(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(COMMANDS / "ablation.py"), str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "switches no signal off" in done.stderr


def test_ablation_row_and_table_of_made_up_data(commands: Any, folder: Path) -> None:
    ablation = commands("ablation")
    everything = ablation.measure(commands("data").load(str(folder)), "told nothing")
    assert set(everything) == {
        "talks terms",
        "talks query",
        "meetings terms",
        "meetings query",
        "needs all",
        "needs far",
    }
    assert 0 < everything["talks terms"] <= 100
    same = ablation.less(everything, everything)
    worse = ablation.less({**everything, "needs all": 0.0}, everything)
    lines = ablation.markdown("told nothing", everything, {"names": same, "quotes": worse}).splitlines()
    assert "| names | 0 | 0 | 0 | 0 | 0 | 0 |" in lines
    assert any(line.startswith("| quotes |") and "-" in line for line in lines)
    assert "names" in ablation.table("told nothing", everything, {"names": same})


def test_eval_without_data_says_so(tmp_path: Path) -> None:
    done = run(str(tmp_path))
    assert done.returncode == 1
    assert "no evaluation data" in done.stderr


def window(messages: list[Message], sources: list[Any]) -> Any:
    tokens = rolecore.tokenizer("o200k_base").count_messages(messages)
    return SimpleNamespace(messages=messages, sources=sources, tokens=tokens)


SOURCE: list[Message] = [
    {"role": "user", "content": "I moved the lamp. It is blue. Never sell it."},
    {"role": "assistant", "content": None, "tool_calls": [call("c1")]},
    {"role": "tool", "tool_call_id": "c1", "content": '{"price": 40, "names": ["Ana", "Ben"], "is_old": true}'},
]
MARK, KEY = rolecore.CUT_MARK, rolecore.CUT_KEY


@pytest.mark.parametrize(
    ("messages", "sources"),
    [
        (SOURCE, [0, 1, 2]),
        ([{"role": "user", "content": f"{MARK} It is blue. {MARK}"}], [0]),
        ([*SOURCE[1:2], {**SOURCE[2], "content": f'{{"names": ["Ben"], "{KEY}": 3}}'}], [1, 2]),
        ([{"role": "user", "content": "earlier:\nIt is blue."}], [[0, 2]]),
    ],
    ids=["whole", "cut", "json", "folded"],
)
def test_check_true_window_passes(commands: Any, messages: list[Message], sources: list[Any]) -> None:
    kept, faults = commands("check").held(window(messages, sources), SOURCE)
    assert faults == []
    assert kept


@pytest.mark.parametrize(
    ("messages", "sources"),
    [
        ([{"role": "user", "content": f"Never sell it. {MARK} It is blue."}], [0]),
        ([{"role": "user", "content": "It is red."}], [0]),
        ([{"role": "assistant", "content": "It is blue."}], [0]),
        ([SOURCE[0], SOURCE[0]], [0, 0]),
        ([SOURCE[0]], [0, 1]),
        (SOURCE[1:2], [1]),
        ([SOURCE[2]], [2]),
        ([{**SOURCE[1], "tool_calls": [call("c2")]}], [1]),
        ([*SOURCE[1:2], {**SOURCE[2], "content": '{"price": 41}'}], [1, 2]),
        ([*SOURCE[1:2], {**SOURCE[2], "content": '{"names": ["Ana", "Ana"]}'}], [1, 2]),
        ([{"role": "user", "content": "It was said that " * 20}], [[0, 2]]),
    ],
    ids=["order", "text", "role", "doubled", "sources", "no-result", "no-call", "call", "value", "twice", "summary"],
)
def test_check_false_window_is_found(commands: Any, messages: list[Message], sources: list[Any]) -> None:
    assert commands("check").held(window(messages, sources), SOURCE)[1]


def test_stream_window_that_keeps_its_prefix_is_seen(commands: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Rolling:
        def __init__(self, history: rolecore.History, *, budget_tokens: int, keep_last: int) -> None:
            self.history, self.budget, self.keep_last = history, budget_tokens, keep_last

        def view(self) -> rolecore.Window:
            return self.history.fit(self.budget, keep_last=0)

    monkeypatch.setattr(rolecore, "RollingWindow", Rolling, raising=False)
    talk = commands("data").conversation(conversation(["Ana", "Ben"], "lantern"), "made", 0)
    tally = commands("check").Tally()
    prefix, evidence, share = commands("stream").run([talk], tally)
    assert 0 < prefix.values[0] < 100
    assert evidence.values == evidence.beside["one-shot"]
    assert share.values == [100]
    assert (tally.over, tally.false) == (0, 0)
