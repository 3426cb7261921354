"""Roles in TOML: read as they are, and refused in one sentence that says where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rolecore import chat_cli
from rolecore.adapters.agent import AIAgent
from rolecore.errors import ArgumentError
from rolecore.roles.file import read_roles


class Echo(AIAgent):
    async def ainvoke(self, input: Any, context: Any = ()) -> str:  # noqa: A002
        return f"{input}{context}"


AGENT = Echo()
ROLES = """\
[[role]]
name = "support"
description = "Parcels that are late."
examples = ["Where is my parcel?", "我的包裹在哪里？"]
instructions = "Be brief."
sensitive_words = ["密码"]
standalone = true

[[role]]
name = "sales"
"""


def test_roles_are_read_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "roles.toml").write_text("\ufeff" + ROLES, "utf-8")
    support, sales = read_roles(str(tmp_path / "roles.toml"), AGENT)
    assert (support.name, support.description, support.instructions) == (
        "support",
        "Parcels that are late.",
        "Be brief.",
    )
    assert support.examples == ("Where is my parcel?", "我的包裹在哪里？")
    assert support.sensitive_words == ("密码",)
    assert support.standalone
    assert (sales.name, sales.examples, sales.standalone) == ("sales", (), False)
    assert support.agent is sales.agent is AGENT


def test_roles_that_come_with_the_chat_are_read() -> None:
    roles = read_roles(str(Path(chat_cli.__file__).with_name("chat_roles.toml")), AGENT)
    assert [role.name for role in roles] == ["notes", "travel", "compliance"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it must hold one [[role]] or more"),
        ("[role]\nname = 'a'", "it must hold one [[role]] or more"),
        ("role = []", "it must hold one [[role]] or more"),
        ("role = ['a']", "it must hold one [[role]] or more"),
        ("model = 'x'\n[[role]]\nname = 'a'", "unknown key 'model'; known: role"),
        ("[[role]]\nname = 'a'\nexmaples = []", "role 1: unknown key 'exmaples'; known: name, description, examples, "),
        ("[[role]]\ndescription = 'a'", "role 1: name is missing"),
        ("[[role]]\nname = ''", "role 1: name "),
        ("[[role]]\nname = 1", "role 1: name is"),
        ("[[role]]\nname = 'a'\n[[role]]\nname = 'b'\nexamples = 'x'", "role 2: examples is"),
        ("[[role]]\nname = 'a'\nexamples = ['x', 1]", "role 1: examples"),
        ("[[role]]\nname = 'a'\nstandalone = 1", "role 1: standalone is"),
        ("[[role]]\nname = 'a'\n[[role]]\nname = 'a'", "role 2: an earlier one has its name"),
        ("[[role]\nname = 'a'", "no TOML: "),
        ("x = " + "[" * 5000, "no TOML"),
        ("x = " + "9" * 5000, "no TOML"),
    ],
)
def test_file_that_is_not_as_said_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "roles.toml").write_text(text, "utf-8")
    with pytest.raises(ArgumentError) as refused:
        read_roles(str(tmp_path / "roles.toml"), AGENT)
    assert str(refused.value).startswith(f"{tmp_path / 'roles.toml'}: ")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_file_that_is_absent_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="cannot be read"):
        read_roles(str(tmp_path / "absent.toml"), AGENT)
    with pytest.raises(ArgumentError, match="cannot be read"):
        read_roles(str(tmp_path), AGENT)
    (tmp_path / "roles.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ArgumentError, match="UTF-8"):
        read_roles(str(tmp_path / "roles.toml"), AGENT)
