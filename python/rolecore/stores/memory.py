"""Sessions in this process's memory: for tests, demos, and what may be lost."""

from __future__ import annotations

import math
import time
from threading import Lock
from typing import TYPE_CHECKING, Any

from rolecore import deadlines
from rolecore.errors import ArgumentError
from rolecore.stores import rules, wire
from rolecore.stores.protocol import Ids, SessionRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Self


def open_url(url: str, *, durability: str, quota_bytes: int | None) -> MemoryStore:  # noqa: ARG001  memory knows one
    """Return a new, empty store.

    Raises:
        ArgumentError: the URL says more than "memory://", or the quota is none.
    """
    if url.lower() != "memory://":
        msg = "url says more than its scheme; for a store in memory it is 'memory://' and no more"
        raise ArgumentError(msg)
    return MemoryStore(quota_bytes=quota_bytes)


class _Session:
    __slots__ = ("created_at", "texts", "updated_at")

    def __init__(self, now: float) -> None:
        self.texts: list[str] = []
        self.created_at = now
        self.updated_at = now


class MemoryStore:
    """A `SessionStore` with `SupportsTTL` and `SupportsQuota` that forgets everything when it is closed.

    Nothing in it waits, so that a cancelled call has either not begun or is done. Safe to share between tasks, loops
    and threads.

    Args:
        quota_bytes: as in `open_store`.
        clock: returns seconds since 1970, UTC.

    Raises:
        ArgumentError: the quota is neither None nor an int from 1.

    Cost: `append` as long as its messages are, `load` as long as the session, however many sessions there are.
    """

    def __init__(self, *, quota_bytes: int | None = None, clock: Callable[[], float] = time.time) -> None:
        """Start empty."""
        self._quota = rules.check_quota(quota_bytes)
        self._clock = clock
        self._tenants: dict[str, dict[str, _Session]] = {}
        self._used: dict[str, int] = {}
        self._ends: dict[tuple[str, str], float] = {}
        self._appends = 0  # since ended sessions were last looked for
        self._is_closed = False
        self._lock = Lock()

    def __repr__(self) -> str:
        """Show how many sessions there are."""
        return f"MemoryStore(sessions={sum(map(len, self._tenants.values()))}, quota_bytes={self._quota})"

    async def append(
        self,
        session_id: str,
        messages: Iterable[dict[str, Any]],
        *,
        tenant: str = "",
        expected_version: int | None = None,
    ) -> int:
        """Append messages: see `SessionStore.append`."""
        rules.check_ids(tenant, session_id)
        expected = rules.check_expected_version(expected_version)
        texts = wire.encode(messages)
        n_bytes = sum(map(len, texts))
        with self._lock:
            self._begin("append")
            now = self._clock()
            session = self._find(tenant, session_id, now)
            version = 0 if session is None else len(session.texts)
            if expected is not None and expected != version:
                raise rules.conflict(expected, version)
            self._make_room(tenant, n_bytes, now)
            if session is None:
                session = self._tenants.setdefault(tenant, {})[session_id] = _Session(now)
            session.texts += texts
            session.updated_at = max(session.updated_at, now)  # a wall clock may be set back
            self._used[tenant] = self._used.get(tenant, 0) + n_bytes
            return version + len(texts)

    async def load(self, session_id: str, *, tenant: str = "") -> SessionRecord:
        """Return a session: see `SessionStore.load`."""
        rules.check_ids(tenant, session_id)
        with self._lock:
            self._begin("load")
            session = self._find(tenant, session_id, self._clock())
            if session is None:
                raise rules.not_found()
            texts, created_at, updated_at = list(session.texts), session.created_at, session.updated_at
        return SessionRecord(wire.decode(texts), len(texts), created_at, updated_at)

    async def list(self, *, tenant: str = "") -> Ids:
        """Return the ids of the tenant's sessions, sorted: see `SessionStore.list`."""
        rules.check_tenant(tenant)
        with self._lock:
            self._begin("list")
            self._drop_ended(self._clock())
            return sorted(self._tenants.get(tenant, {}))

    async def delete(self, session_id: str, *, tenant: str = "") -> None:
        """Remove a session: see `SessionStore.delete`."""
        rules.check_ids(tenant, session_id)
        with self._lock:
            self._begin("delete")
            if self._find(tenant, session_id, self._clock()) is None:
                raise rules.not_found()
            self._drop(tenant, session_id)

    async def expire(self, session_id: str, seconds: float | None, *, tenant: str = "") -> None:
        """Let a session end so many seconds from now: see `SupportsTTL.expire`."""
        rules.check_ids(tenant, session_id)
        left = None if seconds is None else deadlines.read_seconds(seconds)
        with self._lock:
            self._begin("expire")
            now = self._clock()
            if self._find(tenant, session_id, now) is None:
                raise rules.not_found()
            if left is None:
                self._ends.pop((tenant, session_id), None)
            else:
                self._ends[tenant, session_id] = now + left

    async def usage(self, *, tenant: str = "") -> int:
        """Return the bytes that the tenant's sessions take: see `SupportsQuota.usage`."""
        rules.check_tenant(tenant)
        with self._lock:
            self._begin("usage")
            self._drop_ended(self._clock())
            return self._used.get(tenant, 0)

    async def close(self) -> None:
        """Forget everything: see `SessionStore.close`."""
        with self._lock:
            self._is_closed = True
            for table in (self._tenants, self._used, self._ends):
                table.clear()

    async def __aenter__(self) -> Self:
        """Return itself; raises StoreError when it is closed."""
        if self._is_closed:
            raise rules.closed()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    def _begin(self, what: str) -> None:
        if self._is_closed:
            raise rules.closed()
        deadlines.check(what)

    def _find(self, tenant: str, session_id: str, now: float) -> _Session | None:
        if self._ends.get((tenant, session_id), math.inf) <= now:
            self._drop(tenant, session_id)
        return self._tenants.get(tenant, {}).get(session_id)

    def _make_room(self, tenant: str, n_bytes: int, now: float) -> None:
        self._appends += 1
        # Seldom enough that each append pays for one of those it looks at.
        if self._appends > len(self._ends):
            self._drop_ended(now)
        if self._quota is None or self._used.get(tenant, 0) + n_bytes <= self._quota:
            return
        self._drop_ended(now)
        needed = self._used.get(tenant, 0) + n_bytes
        if needed > self._quota:
            raise rules.over_quota(needed, self._quota)

    def _drop_ended(self, now: float) -> None:
        self._appends = 0
        for ids in [ids for ids, end in self._ends.items() if end <= now]:
            self._drop(*ids)

    def _drop(self, tenant: str, session_id: str) -> None:
        session = self._tenants[tenant].pop(session_id)
        self._ends.pop((tenant, session_id), None)
        self._used[tenant] -= sum(map(len, session.texts))
        if not self._tenants[tenant]:
            del self._tenants[tenant], self._used[tenant]
