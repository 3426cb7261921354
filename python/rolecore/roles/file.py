"""Reads roles from a TOML file, strictly: a key nobody knows is refused."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from rolecore import chatfile
from rolecore.errors import ArgumentError
from rolecore.roles.role import Role

if TYPE_CHECKING:
    from rolecore.adapters.agent import AIAgent

_KEYS = ("name", "description", "examples", "instructions", "sensitive_words", "standalone")


def read_roles(path: str, agent: AIAgent) -> list[Role]:
    """Return the roles of a file, all with one agent; "-" reads standard input.

    Raises:
        ArgumentError: the file cannot be read, is no TOML, holds no role, or one that cannot be; it names the file, the
            role by its place, and the key.
    """
    name = chatfile.display_name(path)
    text = chatfile.read_text(path).removeprefix("\ufeff")
    try:
        found = tomllib.loads(text)
    except ValueError as error:  # also of a number with too many digits
        msg = f"{name}: no TOML: {error}"
        raise ArgumentError(msg) from error
    except RecursionError:
        msg = f"{name}: no TOML that can be read: it is nested too deep"
        raise ArgumentError(msg) from None
    _refuse_unknown(found, ("role",), name)
    tables = found.get("role")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        msg = f"{name}: it must hold one [[role]] or more"
        raise ArgumentError(msg)
    roles: dict[str, Role] = {}
    for number, table in enumerate(tables, 1):
        role = _read(table, agent, f"{name}: role {number}")
        if roles.setdefault(role.name, role) is not role:
            msg = f"{name}: role {number}: an earlier one has its name"
            raise ArgumentError(msg)
    return list(roles.values())


def _read(table: dict[str, Any], agent: AIAgent, place: str) -> Role:
    _refuse_unknown(table, _KEYS, place)
    if "name" not in table:
        msg = f"{place}: name is missing"
        raise ArgumentError(msg)
    try:
        return Role(**table, agent=agent)
    except ArgumentError as error:
        msg = f"{place}: {error}"
        raise ArgumentError(msg) from error


def _refuse_unknown(table: dict[str, Any], known: tuple[str, ...], place: str) -> None:
    for key in table:
        if key not in known:
            msg = f"{place}: unknown key {key!r}; known: {', '.join(known)}"
            raise ArgumentError(msg)
