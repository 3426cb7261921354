"""The rules of every store: which ids and versions there are, one key for both ids, and the errors' words."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from rolecore.arguments import read_count
from rolecore.errors import ArgumentError, QuotaError, SessionConflict, SessionNotFound, StoreError

# Bytes in UTF-8. Long enough for any URL or hash, short enough for every database's index.
MAX_ID_BYTES = 512


def check_ids(tenant: str, session_id: str) -> None:
    """Raise unless both can name a session in every store.

    Raises:
        ArgumentError: one is no str, too long, holds NUL or a lone surrogate, or the session's is empty.
    """
    check_tenant(tenant)
    check_id(session_id, "session_id")
    if not session_id:
        msg = "session_id is empty; it must be a str of 1 byte or more"
        raise ArgumentError(msg)


def check_tenant(tenant: str) -> None:
    """Raise unless it can name a tenant in every store; "" can.

    Raises:
        ArgumentError: as `check_ids`.
    """
    check_id(tenant, "tenant")


def check_id(value: Any, name: str) -> None:  # noqa: ANN401  any argument
    """Raise unless it is text that can be part of a key in every store; "" is.

    Raises:
        ArgumentError: as `check_ids`; its message calls the value `name`.
    """
    if not isinstance(value, str):
        msg = f"{name} is of type {type(value).__name__}; it must be a str"
        raise ArgumentError(msg)
    # Only then is it worth encoding.
    n_bytes = len(value)
    if n_bytes <= MAX_ID_BYTES:
        try:
            n_bytes = len(value.encode())
        except UnicodeEncodeError:
            msg = f"{name} holds a lone surrogate, which has no form in UTF-8; leave it out"
            raise ArgumentError(msg) from None
    if n_bytes > MAX_ID_BYTES:
        msg = f"{name} is {n_bytes} bytes long or more, it may have {MAX_ID_BYTES}; take a hash of it"
        raise ArgumentError(msg)
    if "\0" in value:
        msg = f"{name} holds NUL, which databases refuse; leave it out"
        raise ArgumentError(msg)


def key(tenant: str, session_id: str) -> str:
    r"""Return one key for both ids, never the same for two sessions, for stores that have keys only.

    It is ASCII, at most 3073 characters, without `*`, `?`, `[`, `\`, spaces and braces: all of a tenant's keys, and no
    others, match the glob `key_prefix(tenant) + "*"`.

    Raises:
        ArgumentError: as `check_ids`.

    Example:
        >>> from rolecore.stores import rules
        >>> rules.key("acme", "chat:7")
        'acme:chat%3A7'
    """
    check_ids(tenant, session_id)
    return key_prefix(tenant) + quote(session_id, safe="")


def key_prefix(tenant: str) -> str:
    """Return what all keys of a tenant start with, and no others.

    Raises:
        ArgumentError: as `check_tenant`.
    """
    check_tenant(tenant)
    return quote(tenant, safe="") + ":"


def check_expected_version(value: Any) -> int | None:  # noqa: ANN401  any argument
    """Return the version, or None.

    Raises:
        ArgumentError: it is neither None nor an int from 0.
    """
    if value is None or (type(value) is int and value >= 0):
        return value
    shown = value if type(value) is int else f"of type {type(value).__name__}"
    msg = f"expected_version is {shown}; it must be an int from 0 (0: no such session yet), or None"
    raise ArgumentError(msg)


def check_quota(quota_bytes: int | None) -> int | None:
    """Return the quota, or None.

    Raises:
        ArgumentError: it is neither None nor an int from 1.
    """
    return None if quota_bytes is None else read_count(quota_bytes, "quota_bytes")


def not_found() -> SessionNotFound:
    """Return the error for a session that is absent; ids are the user's, so it shows none."""
    return SessionNotFound("the tenant has no session of this id; append makes one, list names those there are")


def conflict(expected: int, actual: int) -> SessionConflict:
    """Return the error for a session at another version than expected."""
    msg = f"the session is at version {actual}, expected_version is {expected}; load it and decide anew"
    return SessionConflict(msg, expected, actual)


def over_quota(needed: int, quota: int) -> QuotaError:
    """Return the error for an append that takes a tenant over its quota, in bytes."""
    msg = f"the tenant's sessions would take {needed} bytes, quota_bytes is {quota}; delete some or raise it"
    return QuotaError(msg, needed, quota)


def closed(owner: str = "store") -> StoreError:
    """Return the error for a store that is used after it was closed."""
    return StoreError(f"the {owner} is closed; open another")
