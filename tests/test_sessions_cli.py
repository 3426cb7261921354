"""`rolecore sessions`: what a store holds, and moving it into another without losing or overwriting anything."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

import rolecore
from rolecore import session_moves
from rolecore.cli import main
from rolecore.testing import ODD_TEXTS, message

if TYPE_CHECKING:
    from pathlib import Path

WORDS = "the-users-own-words"
TALK: list[dict[str, Any]] = [
    message(WORDS, "system"),
    message(f"{WORDS}?"),
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "a", "content": WORDS},
]


def fill(url: str, sessions: dict[str, list[dict[str, Any]]], tenant: str = "") -> None:
    async def work() -> None:
        async with rolecore.open_store(url) as store:
            for session_id, messages in sessions.items():
                await store.append(session_id, messages, tenant=tenant)

    asyncio.run(work())


def content(url: str, tenant: str = "") -> dict[str, list[dict[str, Any]]]:
    async def work() -> dict[str, list[dict[str, Any]]]:
        async with rolecore.open_store(url) as store:
            ids = await store.list(tenant=tenant)
            return {session_id: (await store.load(session_id, tenant=tenant)).messages for session_id in ids}

    return asyncio.run(work())


@pytest.fixture
def here(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/here.db"


@pytest.fixture
def there(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/there.db"


def refusal(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["sessions", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("rolecore: ")
    assert err.count("\n") == 1
    assert WORDS not in err
    return err


def test_ls_shows_the_tenants_sessions_and_no_words(here: str, capsys: pytest.CaptureFixture[str]) -> None:
    fill(here, {"b": TALK, "a\n\x1b[31m": TALK[:1]}, tenant="acme")
    fill(here, {"other": TALK})
    assert main(["sessions", "ls", here, "--tenant", "acme"]) == 0
    out = capsys.readouterr().out
    header, first, second = out.splitlines()
    assert header.split() == ["id", "messages", "bytes", "created", "updated"]
    assert first.startswith(r'"a\n\x1b[31m"')
    assert second.split()[:2] == ['"b"', "4"]
    assert WORDS not in out
    assert main(["sessions", "ls", here, "--tenant", "acme", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(session["id"], session["version"]) for session in told] == [("a\n\x1b[31m", 1), ("b", 4)]


def test_ls_of_no_sessions_is_a_header_alone(here: str, capsys: pytest.CaptureFixture[str]) -> None:
    fill(here, {"s": TALK})
    assert main(["sessions", "ls", here, "--tenant", "nobody"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_show_is_a_tree_with_sizes_that_add_up(here: str, capsys: pytest.CaptureFixture[str]) -> None:
    fill(here, {"s": TALK})
    assert main(["sessions", "show", here, "s"]) == 0
    out = capsys.readouterr().out
    assert WORDS not in out
    rows = [line.split(maxsplit=1) for line in out.splitlines()]
    assert rows[0][1].startswith('session "s", version 4, created ')
    assert int(rows[0][0]) == sum(int(n_bytes) for n_bytes, _ in rows[1:])
    assert [label for _, label in rows[1:]] == ['0 "system"', '1 "user"', '2 "assistant", 1 tool calls', '3 "tool"']
    assert main(["sessions", "show", here, "s", "--turns", "2"]) == 0
    labels = [line.split(maxsplit=1)[1] for line in capsys.readouterr().out.splitlines()]
    assert labels[1:] == ['0 "system"', "... 2: --all shows them", '3 "tool"']
    assert main(["sessions", "show", here, "s", "--turns", "0", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["messages"] == []
    assert told["left_out"] == {"count": 4, "bytes": told["bytes"]}


def test_show_of_any_messages_does_not_fail(here: str, capsys: pytest.CaptureFixture[str]) -> None:
    fill(here, {"s": [{}, {"role": 7, "tool_calls": 1}, {"role": "\x1b"}]})
    assert main(["sessions", "show", here, "s"]) == 0
    labels = [line.split(maxsplit=1)[1] for line in capsys.readouterr().out.splitlines()]
    assert labels[1:] == ["0 -", "1 -", r'2 "\x1b"']


def test_export_writes_lines_a_list_or_a_snapshot(
    here: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(here, {"s": TALK})
    assert main(["sessions", "export", here, "s"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == TALK
    for name in ("out.jsonl", "out.json", "out.rcss"):
        assert main(["sessions", "export", here, "s", "-o", str(tmp_path / name)]) == 0
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == TALK
    assert json.loads((tmp_path / "out.json").read_text()) == TALK
    assert rolecore.History.load(tmp_path / "out.rcss").to_messages() == TALK
    snapshot = rolecore.codec.open_snapshot((tmp_path / "out.rcss").read_bytes())
    assert snapshot.session_id == "s"


def test_export_of_what_no_snapshot_holds_is_refused(
    here: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(here, {"s": [message("\ud800")], "t": [{}]})
    assert "message 0" in refusal(["export", here, "s", "-o", str(tmp_path / "out.rcss")], capsys)
    assert "message 0" in refusal(["export", here, "t", "-o", str(tmp_path / "out.rcss")], capsys)
    assert not (tmp_path / "out.rcss").exists()


@pytest.mark.parametrize("verb", [["ls"], ["show"], ["export"], ["migrate"]])
def test_file_that_does_not_exist_is_refused_and_not_made(
    verb: list[str], here: str, there: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {"ls": [], "migrate": [there]}.get(verb[0], ["s"])
    assert "no such file" in refusal([*verb, here, *more], capsys)
    assert list(tmp_path.iterdir()) == []


def test_bad_urls_and_absent_sessions_are_refused(here: str, capsys: pytest.CaptureFixture[str]) -> None:
    fill(here, {"s": TALK})
    assert "no session of this id" in refusal(["show", here, WORDS], capsys)
    assert "url has no scheme that is known" in refusal(["ls", f"nosql://{WORDS}"], capsys)
    assert "both URLs are the same" in refusal(["migrate", here, here], capsys)
    assert "sessions" in refusal([], capsys)


@pytest.mark.parametrize("argv", [["ls", "URL", "URL"], ["URL"], ["show", "URL", "s", "--turns", "URL"]])
def test_url_in_a_wrong_place_is_not_shown(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    url = f"redis://user:{WORDS}@127.0.0.1/0"
    assert "--help" in refusal([url if part == "URL" else part for part in argv], capsys)


def test_migrate_copies_exactly_and_again_does_nothing(
    here: str, there: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sessions = {"odd": [message(text) for text in ODD_TEXTS], "s": TALK}
    fill(here, sessions, tenant="acme")
    fill(here, {"other": TALK})
    command = ["sessions", "migrate", here, there, "--tenant", "acme"]
    assert main(command) == 0
    assert capsys.readouterr().out == "2 sessions: 2 copied\n"
    assert main(command) == 0
    assert capsys.readouterr().out == "2 sessions: 2 there\n"
    assert content(there, "acme") == content(here, "acme") == sessions
    assert content(there) == {}


def test_migrate_continues_what_has_grown(here: str, there: str, capsys: pytest.CaptureFixture[str]) -> None:
    fill(here, {"s": TALK})
    fill(there, {"s": TALK[:2]})
    assert main(["sessions", "migrate", here, there]) == 0
    assert capsys.readouterr().out == "1 sessions: 1 continued\n"
    assert content(there) == {"s": TALK}


@pytest.mark.parametrize("more", [[], ["--move"]])
@pytest.mark.parametrize("other", [[message("other")], [*TALK, message("more")], [TALK[0], message("other")]])
def test_migrate_of_other_content_is_a_conflict_that_changes_nothing(
    other: list[dict[str, Any]], more: list[str], here: str, there: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(here, {"a": TALK, "s": TALK, "z": TALK})
    fill(there, {"s": other})
    assert main(["sessions", "migrate", here, there, *more]) == 1
    out, err = capsys.readouterr()
    assert out == "3 sessions: 2 copied, 1 conflict\n"
    assert err == 'conflict: "s" is there with other messages; left as it is\n'
    assert content(there) == {"a": TALK, "s": other, "z": TALK}
    assert content(here) == ({"s": TALK} if more else {"a": TALK, "s": TALK, "z": TALK})
    assert main(["sessions", "migrate", here, there, "--json"]) == 1
    told = {moved["id"]: moved["outcome"] for moved in json.loads(capsys.readouterr().out)}
    assert told["s"] == "conflict"


def test_migrate_with_move_deletes_what_is_there(here: str, there: str, capsys: pytest.CaptureFixture[str]) -> None:
    fill(here, {"s": TALK, "t": TALK})
    fill(there, {"t": TALK})
    assert main(["sessions", "migrate", here, there, "--move"]) == 0
    assert capsys.readouterr().out == "2 sessions: 1 copied, 1 there\n"
    assert content(there) == {"s": TALK, "t": TALK}
    assert content(here) == {}


def test_migrate_with_move_to_the_same_store_by_another_name_deletes_nothing(
    here: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(here, {"s": TALK, "t": TALK})
    monkeypatch.chdir(tmp_path)
    assert "the same store" in refusal(["migrate", here, "sqlite:///here.db", "--move"], capsys)
    assert content(here) == {"s": TALK, "t": TALK}


def test_migrate_that_is_interrupted_is_finished_by_the_next(here: str, there: str) -> None:
    fill(here, {f"s{i}": TALK for i in range(5)})

    class Cut(Exception):  # noqa: N818
        pass

    def cut(moved: session_moves.Moved) -> None:
        if moved.id == "s2":
            raise Cut

    with pytest.raises(Cut):
        session_moves.migrate(here, there, "", is_move=True, tell=cut)
    assert sorted({**content(here), **content(there)}) == [f"s{i}" for i in range(5)]
    moved = session_moves.migrate(here, there, "", is_move=True)
    assert [session.outcome for session in moved] == ["copied"] * 2
    assert content(here) == {}
    assert content(there) == {f"s{i}": TALK for i in range(5)}


def test_migrate_with_move_takes_along_what_is_appended_meanwhile(
    here: str, there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(here, {"s": TALK})
    copy = session_moves._copy
    appended: list[bool] = []

    async def copy_slowly(target: Any, session_id: str, tenant: str, messages: list[Any]) -> str:
        if not appended:
            appended.append(True)
            async with rolecore.open_store(here) as store:
                await store.append("s", [message("late")])
        return await copy(target, session_id, tenant, messages)

    monkeypatch.setattr(session_moves, "_copy", copy_slowly)
    (moved,) = session_moves.migrate(here, there, "", is_move=True)
    assert (moved.outcome, moved.messages) == ("continued", 5)
    assert content(there) == {"s": [*TALK, message("late")]}
    assert content(here) == {}
