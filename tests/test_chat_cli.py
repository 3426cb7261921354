"""`rolecore chat`: through pipes and on a terminal, offline and with a model, and what goes wrong in one sentence."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import select
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import rolecore
from rolecore.cli import main
from rolecore.demo.model_server import ModelServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WAIT_S = 20.0
KEY = "sk-not-to-be-seen"
ROLES = """\
[[role]]
name = "parcels"
examples = ["Where is my parcel?", "我的包裹在哪里？"]

[[role]]
name = "invoices"
examples = ["Pay the invoice", "How much is the invoice?", "发票多少钱？"]
"""


class Talk:
    """Runs the command with lines on its standard input."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        monkeypatch.setenv("no_proxy", "127.0.0.1")

    def __call__(self, lines: str | bytes, *argv: str, code: int = 0) -> tuple[list[str], list[str]]:
        """Return the lines on standard output and on standard error."""
        raw = lines if isinstance(lines, bytes) else lines.encode()
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw), "utf-8"))
        assert main(["chat", *argv]) == code
        out, err = self._capsys.readouterr()
        assert KEY not in out + err
        return out.splitlines(), err.splitlines()


@pytest.fixture
def talk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Talk:
    return Talk(monkeypatch, capsys)


@pytest.fixture
def roles(tmp_path: Path) -> str:
    path = tmp_path / "roles.toml"
    path.write_text(ROLES, "utf-8")
    return str(path)


@contextmanager
def serving(*args: Any, **options: Any) -> Iterator[ModelServer]:
    """Serve in a loop of its own, in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = ModelServer(*args, **options)
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(WAIT_S)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result(WAIT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WAIT_S)
        loop.close()


def test_lines_in_are_answers_out_and_figures_apart(talk: Talk) -> None:
    out, err = talk("The release is on Friday and Ana signs it off.\n\n  \nWhen is the release?\n")
    assert out[-1] == "The release is on Friday and Ana signs it off."
    assert len(err) == 2
    assert all("tokens in" in line and "cache" in line and line.endswith(" ms") for line in err)
    assert "\x1b" not in "".join(out + err)


def test_chinese_is_answered_from_what_was_said_in_chinese(talk: Talk) -> None:
    out, _ = talk("我们决定周五发布，由小安签字。\n发布是哪一天？\n")
    assert "周五发布" in out[-1]


def test_each_line_goes_to_the_role_it_suits(talk: Talk, roles: str) -> None:
    _, err = talk("Where is my parcel?\nHow much is the invoice?\n我的包裹在哪里？\n", "--roles", roles)
    assert [line.split(":")[0] for line in err] == ["parcels", "invoices", "parcels"]


def test_session_goes_on_in_another_run(talk: Talk, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/chats.db"
    _, err = talk("The release is on Friday.\n", "--store", url)
    said = "new session; --session "
    assert err[0].startswith(said)
    session_id = err[0].removeprefix(said).split()[0]
    out, err = talk("When is the release?\n", "--store", url, "--session", session_id)
    assert out == ["The release is on Friday."]
    assert len(err) == 1


def test_commands_tell_and_change_nothing(talk: Talk, roles: str) -> None:
    out, err = talk("/why\n/roles\n/help\n/quit\nnever read\n", "--roles", roles)
    assert out[:3] == ["nothing was decided yet", "parcels", "invoices"]
    assert "/stats" in "\n".join(out)
    assert err == []


def test_why_names_the_role_and_stats_its_calls(talk: Talk, roles: str) -> None:
    out, _ = talk("Where is my parcel?\n/why\n/stats\n", "--roles", roles)
    assert "parcels" in out[1]
    assert any(line.split()[:1] == ["parcels"] for line in out[2:])


def test_slash_twice_says_a_slash(talk: Talk) -> None:
    with serving(lambda request: request["messages"][-1]["content"]) as server:
        out, _ = talk("//etc is full\n", "--base-url", server.base_url, "--model", "m")
    assert out == ["/etc is full"]


@pytest.mark.parametrize("line", [b"/nope", b"/etc is full", b"caf\xe9", b"/"])
def test_line_that_cannot_be_is_told_and_the_chat_goes_on(talk: Talk, line: bytes) -> None:
    out, err = talk(line + b"\nhello there\n", code=1)
    assert len(out) == 1
    assert err[0].startswith("rolecore: ")
    assert len(err) == 2


def test_model_answers_whole_with_its_own_count(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving("On Friday.\nSigned by Ana.", api_key=KEY) as server:
        out, err = talk("When?\n", "--base-url", server.base_url, "--model", "m")
    assert out == ["On Friday.", "Signed by Ana."]
    assert len(err) == 1
    assert ", 7 out," in err[0] or " out," in err[0]


def test_key_comes_from_the_variable_that_is_named(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "another")
    monkeypatch.setenv("THE_KEY", KEY)
    with serving("Yes.", api_key=KEY) as server:
        where = ("--base-url", server.base_url, "--model", "m")
        assert talk("Well?\n", *where, "--api-key-env", "THE_KEY")[0] == ["Yes."]
        out, err = talk("Well?\n", *where, code=1)
    assert out == []
    assert "401" in err[0]


@pytest.mark.parametrize(
    "argv",
    [
        ["--model", "m"],
        ["--api-key-env", "PATH"],
        ["--base-url", "http://127.0.0.1:1/v1"],
        ["--base-url", "http://127.0.0.1:1/v1", "--model", "m", "--api-key-env", KEY],
        ["--base-url", f"http://127.0.0.1:1/v1?key={KEY}", "--model", "m"],
        ["--store", "nowhere://x"],
        ["--roles", "absent.toml"],
        ["--timeout", "0"],
        ["--timeout", "nan"],
        ["--session", ""],
        ["--session", "trip"],
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(talk: Talk, argv: list[str]) -> None:
    out, err = talk("hello\n", *argv, code=2)
    assert out == []
    assert len(err) == 1
    assert err[0].startswith("rolecore: ")


def test_key_that_no_header_can_hold_is_refused_unseen(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\nX-Evil: 1")
    talk("hello\n", "--base-url", "http://127.0.0.1:1/v1", "--model", "m", code=2)


def test_model_that_fails_is_one_sentence_and_the_chat_goes_on(talk: Talk) -> None:
    with serving("Yes.", statuses={"m": 400}) as server:
        out, err = talk("one\ntwo\n/roles\n", "--base-url", server.base_url, "--model", "m", code=1)
    assert len(out) == 3
    assert len(err) == 2
    assert all(line.startswith("rolecore: ") and "400" in line for line in err)


def test_answer_that_takes_too_long_is_one_sentence(talk: Talk) -> None:
    with serving("Yes.", delay_s=60) as server:
        _, err = talk("one\n", "--base-url", server.base_url, "--model", "m", "--timeout", "0.2", code=1)
    assert len(err) == 1
    assert "deadline" in err[0]


def test_message_too_long_is_told_by_its_size(talk: Talk) -> None:
    out, err = talk("word " * 20_000 + "\nhello there\n", code=1)
    assert len(out) == 1
    assert "there is room for 7,168; say less" in err[0]


def test_session_that_another_chat_has_written_to_goes_on_with_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/chats.db"

    async def write() -> None:
        async with rolecore.open_store(url) as store:
            await store.append("s", [{"role": "user", "content": "The box is red."}])

    def lines() -> Iterator[bytes]:
        yield b"hello there\n"
        another = threading.Thread(target=asyncio.run, args=(write(),))
        another.start()
        another.join(WAIT_S)
        yield b"What colour is the box?\n"
        yield b"What colour is the box?\n"

    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=lines(), isatty=lambda: False))
    assert main(["chat", "--store", url, "--session", "s"]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[1:] == ["The box is red."]
    assert "rolecore: another chat has written to the session meanwhile; say it again" in err.splitlines()


def test_reader_that_goes_away_ends_it() -> None:
    command = [sys.executable, "-m", "rolecore", "chat"]
    chat = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert chat.stdout is not None
    chat.stdout.close()
    chat.stdout = None
    _, err = chat.communicate(b"hello there\n" * 3, timeout=WAIT_S)
    assert chat.returncode == 141
    assert b"Traceback" not in err


def test_other_commands_load_nothing_of_it() -> None:
    code = "import sys, rolecore.cli; sys.exit('asyncio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# On a terminal.


# Takes its standard input for its terminal, so that what is typed there can interrupt it.
ON_A_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "rolecore", "chat", *sys.argv[1:]])
"""


class Terminal:
    """The command on a terminal of its own."""

    def __init__(self, *argv: str) -> None:
        self._side, theirs = pty.openpty()
        self._chat = subprocess.Popen(
            [sys.executable, "-c", ON_A_TERMINAL, *argv],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={**os.environ, "TERM": "dumb", "PYTHONUTF8": "1"},
        )
        os.close(theirs)

    def type(self, text: str) -> None:
        os.write(self._side, text.encode())

    def read_to(self, what: str, *, pressing: str = "") -> str:
        """Return what is shown up to and with `what`.

        Args:
            what: as it is shown.
            pressing: typed while nothing is shown: Python's readline misses an interrupt just before it waits for one.
        """
        shown = b""
        until = time.monotonic() + WAIT_S
        while what.encode() not in shown:
            assert time.monotonic() < until, shown
            if select.select([self._side], [], [], 0.5)[0]:
                shown += os.read(self._side, 1)
            else:
                self.type(pressing)
        return shown.decode()

    def end(self) -> int:
        """Return the exit code, once it has ended."""
        with open(self._side, "rb", buffering=0) as side, suppress(OSError):  # noqa: PTH123  a descriptor
            while side.read(1024):  # OSError: how Linux says that the other side is gone
                pass
        return self._chat.wait(WAIT_S)


def test_terminal_prompts_and_ends_with_ctrl_d() -> None:
    terminal = Terminal()
    terminal.read_to("offline: ")
    terminal.read_to("> ")
    terminal.type("我们决定周五发布。\n")
    terminal.read_to("\x1b[2m")
    assert "tokens in" in terminal.read_to("\x1b[0m")
    terminal.read_to("> ")
    terminal.type("\x04")
    assert terminal.end() == 0


def test_ctrl_c_stops_an_answer_and_then_the_chat(talk: Talk) -> None:
    del talk
    asked = threading.Event()

    async def wait(_seconds: float) -> None:
        if not asked.is_set():
            asked.set()
            await asyncio.Event().wait()

    with serving(lambda request: str(request["messages"][1:]), delay_s=1, wait=wait) as server:
        terminal = Terminal("--base-url", server.base_url, "--model", "m")
        terminal.read_to("> ")
        terminal.type("hello there\n")
        assert asked.wait(WAIT_S)
        terminal.type("\x03")
        terminal.read_to("stopped")
        terminal.read_to("> ")
        terminal.type("once more\n")
        terminal.read_to("[{'role': 'user', 'content': 'once more'}]")
        terminal.read_to("> ")
        terminal.read_to("rolecore: interrupted", pressing="\x03")
        assert terminal.end() == 130


def test_answer_moves_no_cursor(talk: Talk) -> None:
    del talk
    with serving("a\x1b[2Jb\rc\x9bd") as server:
        terminal = Terminal("--base-url", server.base_url, "--model", "m")
        terminal.read_to("> ")
        terminal.type("hello there\n")
        assert r"a\x1b[2Jb\x0dc\x9bd" in terminal.read_to("tokens in")
        terminal.read_to("> ")
        terminal.type("/quit\n")
        assert terminal.end() == 0
