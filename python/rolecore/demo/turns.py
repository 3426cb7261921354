"""The whole road, one turn after the other, against a local model server: roles, sessions, cache, breaker, limits.

The verdicts go by what the server saw and what the store's file holds, not by what a turn says of itself.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections import defaultdict
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from operator import eq
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import rolecore
from rolecore.demo.model_server import ModelServer
from rolecore.errors import RolecoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rolecore.turn_result import TurnResult

TURN_COLUMNS = ("turn", "role", "outcome", "cache", "tokens", "saved", "ms")
TURN_WIDTHS = (30, 8, 16, 8, 6, 5, 5)
MAX_FAILURES = 3
RESET_S = 30.0
REQUESTS_PER_MINUTE = 3
SLOW_S = 0.05
USAGES = (0.4, 0.95, *[0.4] * 6)  # shares of the memory in use, turn by turn

_SILENT_S = 3600.0  # longer than any turn here: nobody waits for it
_PATIENT_S = 10.0  # for a busy machine; a rate limit that would take a minute is told at once
_MEMORY_KB = 16 << 20  # memory of the fixture's machine
_ROLES: dict[str, dict[str, Any]] = {
    "support": {
        "examples": ["How do I reset my router?", "The app does not start", "怎么重置路由器", "应用打不开"],
        "instructions": "You answer for the support team.",
        "standalone": True,
    },
    "research": {"examples": ["Summarise the report on batteries", "What does the study say?", "总结一下这份电池报告"]},
    "invoices": {"examples": ["Send me the invoice again", "How much is the invoice?", "请再发一次发票"]},
    "planning": {"examples": ["When does the train leave?", "Where do we stay in Lisbon?", "行程安排是什么"]},
}
_ASKED = (
    ("support", "How do I reset the router?"),
    ("research", "Summarise this report on batteries"),
    ("support", "应用打不开了"),
    ("research", "总结一下电池报告"),
)


@dataclass
class TurnFacts:
    """What was seen from outside while the turns ran.

    Attributes:
        routed: the role that each of the first questions is for, and the model that the server was asked for.
        cached: questions asked again, those that the cache answered, and the requests that reached the server.
        hung: seconds a role that hangs was given, and seconds until DeadlineExceeded ended its turn, inf if it did not.
        broken: requests that reached the failing role's model: while it failed, while its breaker was open, and
            after it was mended.
        limited: turns asked of a role with a rate limit, and the requests that reached its model.
        denied: requests that reached the server when a user took the turn of a role he is no member of; None if he
            was not refused.
        pressed: tokens of the requests for one question, turn by turn: with memory to spare, short of it, and with
            memory to spare again.
        kept: messages of the turns that were acknowledged, those of them that the store's file has in their places,
            and others that it has.
        turns, traced: turns taken, and trace records that a subscriber got.
        cells: of each turn, the cells to show.
    """

    routed: list[tuple[str, str]] = field(default_factory=list)
    cached: tuple[int, int, int] = (0, 0, 0)
    hung: tuple[float, float] = (0.0, math.inf)
    broken: tuple[int, int, int] = (0, 0, 0)
    limited: tuple[int, int] = (0, 0)
    denied: int | None = None
    pressed: list[int] = field(default_factory=list)
    kept: tuple[int, int, int] = (0, 0, 0)
    turns: int = 0
    traced: int = 0
    cells: list[tuple[str, ...]] = field(default_factory=list)


def take_turns(talk: Sequence[dict[str, Any]]) -> TurnFacts:
    """Take the turns, in a folder that is removed again.

    Args:
        talk: what was said before in the session that memory pressure is shown on.

    Raises:
        MissingExtraError: aiohttp is not installed.
    """
    traced: list[rolecore.AgentCall] = []
    subscription = rolecore.subscribe(traced.append)
    try:
        with TemporaryDirectory() as folder, _no_proxy():
            facts = asyncio.run(_take_turns(Path(folder), talk))
    finally:
        subscription.close(wait_s=10.0)
    facts.traced = len(traced)
    return facts


@contextmanager
def _no_proxy() -> Iterator[None]:
    """Ask this machine without the proxies that the environment names."""
    before = os.environ.get("no_proxy")
    os.environ["no_proxy"] = "127.0.0.1"
    try:
        yield
    finally:
        del os.environ["no_proxy"]
        if before is not None:
            os.environ["no_proxy"] = before


class _Road:
    """What all turns share."""

    def __init__(self, folder: Path) -> None:
        self.facts = TurnFacts()
        self.seen: list[dict[str, Any]] = []  # the requests that the server answered
        self.server = ModelServer(self._answer, delays_s={"research": SLOW_S}, statuses={"invoices": 500})
        self._url = f"sqlite:///{folder}/chats.db"
        self._folder = folder
        self._skipped_s = 0.0
        self._told: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)  # by session, what was acknowledged

    def _answer(self, request: dict[str, Any]) -> str:
        self.seen.append(request)
        return f"{request['model']}, answer {len(self.seen)}"

    async def open(self, opened: AsyncExitStack) -> None:
        """Start the server, and what asks it."""
        await opened.enter_async_context(self.server)
        self.store = await opened.enter_async_context(rolecore.open_store(self._url))
        self.agents = {}
        for name in _ROLES:
            limit = REQUESTS_PER_MINUTE if name == "planning" else None
            agent = rolecore.OpenAIAgent(
                base_url=self.server.base_url, model=name, max_retries=0, requests_per_minute=limit
            )
            self.agents[name] = await opened.enter_async_context(agent)
        self.roles = {name: rolecore.Role(name, agent=self.agents[name], **told) for name, told in _ROLES.items()}
        embedder = rolecore.HashingEmbedder()
        self.router = rolecore.Router(
            self.roles.values(), embedder=embedder, max_failures=MAX_FAILURES, reset_s=RESET_S, clock=self.clock
        )
        self.cache = rolecore.SemanticCache(embedder, rolecore.VectorCache(embedder.dim, capacity=100))
        self.set_memory(0.4)
        probe = rolecore.MemoryProbe("meminfo", self._folder)
        self.context = rolecore.ContextBudget(8192, keep_last=1, probe=probe, probe_period_s=0)

    def clock(self) -> float:
        """Return the time of the breakers, which can be told to wait without waiting."""
        return time.monotonic() + self._skipped_s

    def skip(self, seconds: float) -> None:
        """Let time pass for the breakers."""
        self._skipped_s += seconds

    def set_memory(self, usage: float) -> None:
        """Let the fixture's machine use a share of its memory."""
        path = self._folder / "proc" / "meminfo"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"MemTotal: {_MEMORY_KB} kB\nMemAvailable: {round(_MEMORY_KB * (1 - usage))} kB\n", "ascii")

    @property
    def n_requests(self) -> int:
        """Requests that have reached the server."""
        return self.server.n_requests.total()

    async def turn(
        self, label: str, text: str, session: rolecore.RoleSession, timeout_s: float | None = None
    ) -> TurnResult | RolecoreError:
        """Take a turn, note what it came to, and return its result or its error."""
        start = time.perf_counter()
        came: TurnResult | RolecoreError
        try:
            came = await rolecore.run_turn(
                text,
                session=session,
                router=self.router,
                store=self.store,
                cache=self.cache,
                context=self.context,
                timeout_s=timeout_s,
            )
        except RolecoreError as error:
            came = error
        took_ms = f"{(time.perf_counter() - start) * 1e3:,.1f}"
        facts = self.facts
        facts.turns += 1
        if isinstance(came, RolecoreError):
            facts.cells.append((label, "-", type(came).__name__, "-", "-", "-", took_ms))
        else:
            self._told[session.session_id] += [{"role": "user", "content": text}, *came.messages]
            counts = (f"{came.tokens:,}", f"{came.tokens_saved:,}", took_ms)
            facts.cells.append((label, came.role, "ok", came.cache, *counts))
        return came

    async def say(self, session_id: str, talk: Sequence[dict[str, Any]]) -> None:
        """Keep what was said before a session's first turn."""
        await self.store.append(session_id, talk)
        self._told[session_id] += talk

    async def compare(self) -> tuple[int, int, int]:
        """Return the messages that were told, those that the store's file has in their places, and others it has."""
        n_told = n_right = n_others = 0
        async with rolecore.open_store(self._url) as store:
            ids = await store.list()
            for session_id in {*self._told, *ids}:
                told = self._told[session_id]
                kept = (await store.load(session_id)).messages if session_id in ids else []
                right = sum(map(eq, told, kept))
                n_told += len(told)
                n_right += right
                n_others += len(kept) - right
        return n_told, n_right, n_others


async def _take_turns(folder: Path, talk: Sequence[dict[str, Any]]) -> TurnFacts:
    road = _Road(folder)
    async with AsyncExitStack() as opened:
        await road.open(opened)
        await _route(road)
        await _reuse(road)
        await _hang(road)
        await _fail(road)
        await _press(road, talk)
        await _limit(road)
        await _deny(road)
    road.facts.kept = await road.compare()
    return road.facts


async def _route(road: _Road) -> None:
    session = rolecore.RoleSession("support")
    for role, text in _ASKED:
        n = len(road.seen)
        await road.turn("a question", text, session)
        asked = road.seen[n:]
        road.facts.routed.append((role, ", ".join(request["model"] for request in asked)))


async def _reuse(road: _Road) -> None:
    before = road.n_requests
    again = ("how do i reset the ROUTER", "应用打不开了")
    came = [await road.turn("asked again, new session", text, rolecore.RoleSession("support")) for text in again]
    n_cached = sum(getattr(result, "cache", "") in {"exact", "semantic"} for result in came)
    road.facts.cached = len(again), n_cached, road.n_requests - before


async def _hang(road: _Road) -> None:
    given_s = SLOW_S / 2
    road.server.delays_s["research"] = _SILENT_S
    start = time.perf_counter()
    label, session = f"{given_s * 1e3:g} ms for a role that hangs", rolecore.RoleSession("support")
    came = await road.turn(label, "What does the study say?", session, given_s)
    took_s = time.perf_counter() - start if isinstance(came, rolecore.DeadlineExceeded) else math.inf
    road.facts.hung = given_s, took_s


async def _fail(road: _Road) -> None:
    session = rolecore.RoleSession("support")

    async def ask(label: str, n: int) -> int:
        before = road.server.n_requests["invoices"]
        for _ in range(n):
            await road.turn(label, "Send me the invoice again", session)
        return road.server.n_requests["invoices"] - before

    failed = await ask("the failing role", MAX_FAILURES)
    held = await ask("its breaker is open", 2)
    del road.server.statuses["invoices"]
    road.skip(RESET_S)
    healed = await ask(f"{RESET_S:g} s later, and mended", 2)
    road.facts.broken = failed, held, healed


async def _press(road: _Road, talk: Sequence[dict[str, Any]]) -> None:
    await road.say("long", talk)
    session = rolecore.RoleSession("support", session_id="long")
    for usage in USAGES:
        road.set_memory(usage)
        n = len(road.seen)
        await road.turn(f"a long session, memory at {usage:.0%}", "Send me the invoice again", session)
        counted = rolecore.tokenizer("o200k_base").count_messages
        asked = [request for request in road.seen[n:] if request["model"] == "invoices"]
        road.facts.pressed += [counted(request["messages"]) for request in asked]


async def _limit(road: _Road) -> None:
    before = road.server.n_requests["planning"]
    asked = REQUESTS_PER_MINUTE + 1
    session = rolecore.RoleSession("support")
    for _ in range(asked):
        await road.turn(f"{REQUESTS_PER_MINUTE} a minute allowed", "When does the train leave?", session, _PATIENT_S)
    road.facts.limited = asked, road.server.n_requests["planning"] - before


async def _deny(road: _Road) -> None:
    road.roles["support"].assign_to_users(["ann"], by=rolecore.Principal("root", is_admin=True))
    before = road.n_requests
    with rolecore.USER_ID.use("bob"):
        came = await road.turn("bob is no member", "The app does not start", rolecore.RoleSession("support"))
    if isinstance(came, rolecore.PolicyDenied):
        road.facts.denied = road.n_requests - before
