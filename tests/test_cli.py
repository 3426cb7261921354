"""The command, in-process but for what only a process shows: pipes, streams and exit codes."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import rolecore
from rolecore import chatfile, terminal
from rolecore.cli import main

if TYPE_CHECKING:
    from pathlib import Path

WORDS = "the-users-own-words"


def chat(n_turns: int = 6) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": "Be brief."}]
    for i in range(n_turns):
        messages.append({"role": "user", "content": f"question {i} about the weather in town number {i}"})
        messages.append({"role": "assistant", "content": f"answer {i}: it rains, bring an umbrella and boots"})
    return messages


def tokens(messages: list[dict[str, Any]]) -> int:
    return rolecore.History(messages).tokens


def write(path: Path, data: object) -> str:
    path.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    return str(path)


def write_lines(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def refusal(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must be refused with one sentence, and return it."""
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("rolecore: ")
    assert err.count("\n") == 1
    assert WORDS not in err
    return err


def set_stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_fit_with_a_budget_writes_the_window(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    messages = chat(20)
    budget = tokens(messages) // 2
    assert main(["fit", write(tmp_path / "chat.json", messages), "--budget", str(budget)]) == 0
    out, err = capsys.readouterr()
    window = json.loads(out)
    assert window == rolecore.History(messages).fit(budget).messages
    assert tokens(window) <= budget
    assert err.count("\n") == 1
    assert f"{len(messages)} messages" in err
    assert f"{len(window)} messages" in err


def test_fit_with_a_ratio_and_a_budget_takes_the_smaller(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "chat.json", chat(20))
    assert main(["fit", path, "--budget", "1000000", "--ratio", "0.5"]) == 0
    assert json.loads(capsys.readouterr().out) == rolecore.History(chat(20)).fit(retain_ratio=0.5).messages


def test_fit_with_a_query_keeps_what_matches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    messages = chat(30)
    messages[5]["content"] = "the locksmith is called Haverkamp"
    path = write(tmp_path / "chat.json", messages)
    budget = str(tokens(messages) // 3)
    assert main(["fit", path, "--budget", budget, "--query", "who is the locksmith?", "--keep-last", "1"]) == 0
    assert messages[5] in json.loads(capsys.readouterr().out)


def test_fit_leaves_messages_exactly_as_they_were(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        '{"zeta": 1, "role": "user", "content": "今天好吗 🙂 é \\u0001", "x": {"b": null, "a": 123456789012345678901}}',
        '{"content": "a lone \\ud800 surrogate", "role": "assistant"}',
    ]
    (tmp_path / "chat.jsonl").write_text("\n".join(rows), encoding="utf-8")
    assert main(["fit", str(tmp_path / "chat.jsonl"), "--budget", "9999", "--jsonl"]) == 0
    assert capsys.readouterr().out.splitlines() == rows


@pytest.mark.parametrize("form", ["list", "object", "lines", "lines in .json", "one chat a line", "bom", "blank lines"])
def test_fit_reads_every_form_alike(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    messages = chat()
    lines = "".join(json.dumps(message) + "\n" for message in messages)
    name, text = {
        "list": ("c.json", json.dumps(messages, indent=2)),
        "object": ("c.json", json.dumps({"id": 7, "messages": messages})),
        "lines": ("c.jsonl", lines),
        "lines in .json": ("c.json", lines),
        "one chat a line": ("c.jsonl", json.dumps({"messages": messages}) + "\n"),
        "bom": ("c.json", "\ufeff" + json.dumps(messages)),
        "blank lines": ("c.jsonl", "\n" + lines.replace("\n", "\r\n\n")),
    }[form]
    (tmp_path / name).write_bytes(text.encode())
    assert main(["fit", str(tmp_path / name), "--budget", "9999"]) == 0
    assert json.loads(capsys.readouterr().out) == messages


def test_fit_with_a_dash_reads_stdin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    set_stdin(monkeypatch, json.dumps(chat()).encode())
    assert main(["fit", "-", "--budget", "9999"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == chat()
    assert err.startswith("stdin: ")


def test_fit_with_output_writes_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    path = write(tmp_path / "chat.json", chat())
    assert main(["fit", path, "--budget", "9999", "-o", str(out)]) == 0
    assert json.loads(out.read_text("utf-8")) == chat()
    assert capsys.readouterr().out == ""


def test_fit_of_an_empty_list_writes_an_empty_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", write(tmp_path / "chat.json", []), "--budget", "10"]) == 0
    assert capsys.readouterr().out == "[]\n"


def test_fit_under_its_needs_names_the_budget_that_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "chat.json", chat())
    err = refusal(["fit", path, "--budget", "3"], capsys)
    needed = err.split("pass --budget ")[1].split()[0]
    assert f"needs {needed} tokens, the budget is 3" in err
    assert main(["fit", path, "--budget", needed]) == 0
    capsys.readouterr()
    refusal(["fit", path, "--budget", str(int(needed) - 1)], capsys)


def test_fit_with_orphans_repairs_or_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    messages = [*chat(2), {"role": "tool", "tool_call_id": "x", "content": WORDS}, {"role": "user", "content": "so?"}]
    path = write_lines(tmp_path / "chat.jsonl", messages)
    assert main(["fit", path, "--budget", "9999"]) == 0
    out, err = capsys.readouterr()
    assert WORDS not in out
    assert "1 repaired" in err
    assert f"{path}, line 6: its tool call or results are missing" in refusal(
        ["fit", path, "--budget", "9999", "--on-orphans", "raise"], capsys
    )


BAD_FILES: dict[str, tuple[str, bytes, str]] = {
    "empty": ("c.json", b"", "c.json: the file is empty"),
    "only blanks": ("c.jsonl", b" \n\n", "c.jsonl: the file is empty"),
    "not utf-8": ("c.json", b'[{"role": "user", "content": "\xff"}]', "c.json: byte 30 is not UTF-8"),
    "not utf-8 in lines": (
        "c.jsonl",
        b'{"role": "user", "content": ""}\n{"a\xe9": 1}\n',
        "c.jsonl: byte 35 is not UTF-8",
    ),
    "not json": ("c.json", b'[\n  {"role": }\n]', "c.json, line 2, column 12: not JSON"),
    "not json in lines": (
        "c.jsonl",
        b'{"role": "user", "content": ""}\n{"role"\n',
        "c.jsonl, line 2, column 8: not JSON",
    ),
    "cut off": ("c.json", b'[{"role": "user"', "not JSON"),
    "nan": ("c.json", b'[{"role": "user", "content": "", "n": NaN}]', "NaN"),
    "huge number": ("c.json", b'[{"role": "user", "content": "", "n": 1e999}]', "out of range"),
    "endless number": ("c.json", b"[" + b"9" * 5000 + b"]", "out of range"),
    "too deep": ("c.json", b"[" * 100_000, "nested too deep"),
    "a number": ("c.json", b"42", "c.json: not a chat but a number"),
    "a string": ("c.json", f'"{WORDS}"'.encode(), "c.json: not a chat but a string"),
    "null": ("c.json", b"null", "c.json: not a chat but null"),
    "no messages": ("c.json", b'{"chat": []}', "c.json: messages is missing"),
    "messages no list": ("c.json", b'{"messages": {}}', "c.json: messages is an object; it must be a list"),
    "message of a list": ("c.json", b'[{"role": "user", "content": "a"}, {"role": "user"}]', "c.json, message 1: "),
    "message of lines": ("c.jsonl", b'{"role": "user", "content": "a"}\n\n{"role": "user"}\n', "c.jsonl, line 3: "),
    "message of a chat": ("c.jsonl", b'{"messages": [{"role": "user"}]}\n', "c.jsonl, line 1, message 0: "),
    "field": ("c.json", f'[{{"role": "user", "name": ["{WORDS}"], "content": "a"}}]'.encode(), "name is of type list"),
    "bad role": ("c.jsonl", f'{{"role": "{WORDS} and more", "content": "a"}}'.encode(), "line 1: role is a text of"),
    "no object": (
        "c.json",
        f'[{{"role": "user", "content": "a"}}, "{WORDS}"]'.encode(),
        "message 1: it is of type str",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
@pytest.mark.parametrize("command", ["fit", "analyze", "count"])
def test_bad_file_is_refused_with_its_place(
    case: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, data, expected = BAD_FILES[case]
    (tmp_path / name).write_bytes(data)
    options = {"fit": ["--budget", "100"], "analyze": [], "count": ["--messages"]}[command]
    assert expected in refusal([command, str(tmp_path / name), *options], capsys)


@pytest.mark.parametrize("command", [["fit", "--budget", "9"], ["analyze"], ["count"], ["demo", "--input"]])
def test_absent_file_or_folder_is_refused_by_name(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = str(tmp_path / "absent.json")
    assert f"{absent}: cannot be read: no such file" in refusal([*command, absent], capsys)
    assert f"{tmp_path}: cannot be read: is a directory" in refusal([*command, str(tmp_path)], capsys)
    assert "cannot be read: file name too long" in refusal([*command, "x" * 5000], capsys)


@pytest.mark.parametrize("value", ["0", "-1", "4k", "1.5", "", "nan", "²"])
def test_budget_that_is_no_whole_number_from_one_is_refused(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--budget" in refusal(["fit", "c.json", f"--budget={value}"], capsys)
    assert "--budgets" in refusal(["analyze", "c.jsonl", f"--budgets=100,{value}"], capsys)


@pytest.mark.parametrize("value", ["-0.1", "1.1", "nan", "half"])
def test_ratio_out_of_range_is_refused(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--ratio" in refusal(["fit", "c.json", f"--ratio={value}"], capsys)


def test_fit_without_budget_or_ratio_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--budget" in refusal(["fit", "c.json"], capsys)


@pytest.mark.parametrize("argv", [[], ["fi"], ["fit"], ["fit", "a", "b", "--budget", "1"], ["count", "--what"]])
def test_wrong_usage_is_one_sentence(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert "--help" in refusal(argv, capsys)


@pytest.mark.parametrize("command", ["fit", "analyze", "count"])
@pytest.mark.parametrize("option", ["--model", "--tokenizer"])
def test_unknown_model_is_refused(
    command: str, option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "chat.json", chat())
    budget = ["--budget", "9999"] if command == "fit" else []
    assert "no-such-model" in refusal([command, path, *budget, option, "no-such-model"], capsys)


def test_fit_of_more_than_one_chat_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_lines(tmp_path / "chats.jsonl", [chat(), chat()])
    assert f"{path}: the file holds more than one chat" in refusal(["fit", path, "--budget", "9"], capsys)


def test_output_that_cannot_be_written_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "chat.json", chat())
    absent = str(tmp_path / "absent" / "out.json")
    assert f"{absent}: cannot be written" in refusal(["fit", path, "--budget", "9999", "-o", absent], capsys)


def test_count_of_files_prints_each_and_the_total(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = rolecore.tokenizer("o200k_base")
    texts = {"a.txt": "Twelve drummers drumming.", "b.txt": "今天好吗"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert main(["count", *(str(tmp_path / name) for name in texts)]) == 0
    counts = [int(line.split()[0]) for line in capsys.readouterr().out.splitlines()]
    expected = [tokenizer.count(text) for text in texts.values()]
    assert counts == [*expected, sum(expected)]


def test_count_without_a_file_reads_stdin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    set_stdin(monkeypatch, b"hello there")
    assert main(["count"]) == 0
    assert capsys.readouterr().out == f"{rolecore.tokenizer('o200k_base').count('hello there')}\n"


def test_count_of_messages_adds_all_chats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_lines(tmp_path / "chats.jsonl", [chat(2), {"messages": chat(3)}])
    assert main(["count", "--messages", path]) == 0
    assert int(capsys.readouterr().out.split()[0]) == tokens(chat(2)) + tokens(chat(3))


def test_interrupt_exits_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(_: str) -> chatfile.Chat:
        raise KeyboardInterrupt

    monkeypatch.setattr(chatfile, "read_chat", interrupted)
    assert main(["fit", "c.json", "--budget", "1"]) == 130
    assert capsys.readouterr().err == "rolecore: interrupted\n"


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_version_and_help_exit_with_zero(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([option])
    assert caught.value.code == 0
    assert "rolecore" in capsys.readouterr().out


def test_module_run_as_a_process_fits_stdin() -> None:
    command = [sys.executable, "-m", "rolecore", "fit", "-", "--budget", "9999"]
    done = subprocess.run(command, input=json.dumps(chat()).encode(), capture_output=True, check=False)
    assert done.returncode == 0
    assert json.loads(done.stdout) == chat()


def test_process_with_ascii_streams_writes_utf8(tmp_path: Path) -> None:
    path = write(tmp_path / "柔火.json", [{"role": "user", "content": "今天好吗"}])
    done = subprocess.run(
        [sys.executable, "-m", "rolecore", "fit", path, "--budget", "9999"],
        env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert json.loads(done.stdout.decode("utf-8"))[0]["content"] == "今天好吗"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("fit CHAT --budget 1000 >&-", "stdout is closed"),
        ("fit - --budget 1000 <&-", "stdin: cannot be read"),
        ("count - <&-", "stdin: cannot be read"),
        ("fit CHAT --budget 1000 >/dev/full", "No space left"),
        ("analyze CHAT >/dev/full", "No space left"),
        ("count CHAT >/dev/full", "No space left"),
        ("fit CHAT --budget 1000 --tokenizer absent.json", "absent.json: No such file"),
        ("count CHAT --tokenizer absent.json", "absent.json: No such file"),
    ],
)
def test_process_with_a_closed_or_full_stream_or_no_tokenizer_says_one_sentence(
    tmp_path: Path, command: str, says: str
) -> None:
    path = write(tmp_path / "chat.json", chat())
    line = f"exec {shlex.quote(sys.executable)} -m rolecore {command.replace('CHAT', shlex.quote(path))}"
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("rolecore: ")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_process_whose_reader_went_away_is_quiet() -> None:
    command = [sys.executable, "-m", "rolecore", "fit", "-", "--budget", "9999"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write(json.dumps(chat()).encode())
        process.stdin.close()
        err = process.stderr.read()
        assert process.wait() == 141
    assert err == b""


def test_command_leaves_the_import_of_the_package_lazy() -> None:
    code = (
        "import sys, rolecore; "
        "print([m for m in sys.modules if m.startswith('rolecore.') or m in ('argparse', 'rich', 'numpy')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_fit_loads_neither_rich_nor_numpy(tmp_path: Path) -> None:
    path = write(tmp_path / "chat.json", chat())
    code = (
        "import sys; from rolecore.cli import main; "
        f"main(['fit', {path!r}, '--budget', '9999']); print([m for m in ('rich', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_complaint_without_stderr_goes_nowhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["count", "absent.txt"]) == 2
    assert capsys.readouterr().out == ""


def test_progress_without_rich_draws_one_line_and_clears_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(terminal, "is_rich", lambda _stream: False)
    with terminal.progress("replaying", 200) as advance:
        for done in range(201):
            advance(done)
    drawn = stream.getvalue()
    assert drawn.count("\rreplaying [") == 101
    assert "#] 100%" in drawn
    assert drawn.endswith("\r\x1b[K")
    assert "\n" not in drawn


def test_progress_off_a_terminal_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.progress("replaying", 10) as advance:
        advance(5)
    assert capsys.readouterr().err == ""
