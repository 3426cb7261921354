"""Stores: where sessions outlive a process. `open_store` picks one by its URL and loads only that one's file."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rolecore.errors import ArgumentError

if TYPE_CHECKING:
    from rolecore.stores.protocol import SessionStore

# The file of each scheme. It has a function `open_url(url, *, durability, quota_bytes) -> SessionStore`, which checks
# the URL and touches neither disk nor network: a store connects when it is entered or first used.
_HOME = {
    "memory": "memory",
    "sqlite": "sqlite",
    "redis": "redis",
    "rediss": "redis",
    "postgresql": "postgres",
    "postgres": "postgres",
}
_DURABILITIES = ("full", "normal")


def open_store(url: str, *, durability: str = "full", quota_bytes: int | None = None) -> SessionStore:
    """Return the store that a URL names, to be used with `async with`; it connects then, not here.

    Args:
        url: "memory://": gone with the process. "sqlite:///relative.db", "sqlite:////absolute.db": in a file, which is
            made when it is absent. "redis://host:6379/0" or "rediss://": a Redis server. "postgresql://host/database":
            a PostgreSQL server.
        durability: "full": what `append` has returned survives a power cut, as far as the store can hold anything.
            "normal": it survives the death of the process; a power cut may take the newest.
        quota_bytes: bytes that the sessions of each tenant may take, as `SupportsQuota` counts; None for no limit.

    Raises:
        ArgumentError: no such scheme, durability or quota, or the URL is not of its scheme's form. The message shows no
            part of the URL, which may hold a password.
        MissingExtraError: the store needs an extra.

    Example:
        >>> import asyncio
        >>> async def main():
        ...     async with rolecore.open_store("memory://") as store:
        ...         await store.append("s1", [{"role": "user", "content": "Hello!"}])
        ...         return (await store.load("s1")).messages
        >>> asyncio.run(main())
        [{'role': 'user', 'content': 'Hello!'}]
    """
    if not isinstance(url, str):
        msg = f"url is of type {type(url).__name__}; it must be a str, as 'memory://'"
        raise ArgumentError(msg)
    home = _HOME.get(url.partition("://")[0].lower())
    if home is None or "://" not in url:
        msg = f"url has no scheme that is known; it must start with {', '.join(f'{scheme}://' for scheme in _HOME)}"
        raise ArgumentError(msg)
    if durability not in _DURABILITIES:
        msg = f"durability is {durability!r}, it must be one of {', '.join(map(repr, _DURABILITIES))}"
        raise ArgumentError(msg)
    module: Any = import_module(f"rolecore.stores.{home}")
    store: SessionStore = module.open_url(url, durability=durability, quota_bytes=quota_bytes)
    return store
