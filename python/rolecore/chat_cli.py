"""The command `rolecore chat`: a chat with several roles in the terminal, or through pipes: lines in, answers out."""

from __future__ import annotations

import os
import re
import sys
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rolecore import cli_arguments, terminal
from rolecore.errors import ArgumentError, BudgetError, RolecoreError, SessionConflict

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    from rolecore.adapters.agent import AIAgent
    from rolecore.roles.role import Role
    from rolecore.sessions.session import RoleSession
    from rolecore.turn_result import TurnResult

    TakeTurn = Callable[[str], TurnResult]

Parser = TypeVar("Parser", bound="argparse.ArgumentParser")

_NO_STORE = "memory://"
_KEY_VARIABLE = "OPENAI_API_KEY"
_CACHED_ANSWERS = 1000
_HELP = """\
/roles  the roles there are
/why    why the last answer is its role's
/stats  calls, seconds and tokens by role
/quit   end, as Ctrl-D does; Ctrl-C stops an answer
//text  say /text"""
_REASONS = {
    "match": "no other matches the message as well",
    "policy": "others match as well, and it is expected to answer first",
    "held": "the session is with it, and no other matches so much better",
    "fallback": "none matches the message, or could be reached",
    "sensitive word": "one of its sensitive words stands in the message",
}
# What would move a terminal's cursor, or worse; line breaks and tabs stay.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command."""
    chat = commands.add_parser(
        "chat",
        help="talk with several roles",
        description="Talk with several roles; each message goes to the one it suits best. Offline, answers are the "
        "sentences of the chat that match the question best; with --base-url and --model they are a model's. Lines "
        "that come through a pipe are answered one by one: answers on stdout, figures and errors on stderr.",
    )
    chat.add_argument("--roles", metavar="FILE", help="roles in TOML (default: three for a try)")
    chat.add_argument("--base-url", metavar="URL", help="an OpenAI-compatible endpoint, as http://127.0.0.1:11434/v1")
    chat.add_argument("--model", metavar="NAME", help="the model's name there")
    chat.add_argument(
        "--api-key-env",
        metavar="NAME",
        help=f"the environment variable that holds the endpoint's key (default: {_KEY_VARIABLE})",
    )
    chat.add_argument("--store", default=_NO_STORE, metavar="URL", help="where it is kept, as sqlite:///chats.db")
    chat.add_argument("--session", metavar="ID", help="go on with this session of the store")
    chat.add_argument(
        "--timeout",
        type=cli_arguments.seconds,
        default=120.0,
        metavar="S",
        help="seconds an answer may take (default: %(default)g)",
    )
    chat.set_defaults(run=_chat)


def _chat(args: argparse.Namespace) -> int:
    import asyncio

    from rolecore import HashingEmbedder, RoleSession, SemanticCache, VectorCache, open_store
    from rolecore.roles.file import read_roles
    from rolecore.router import Router
    from rolecore.turn import run_turn

    if args.session is not None and args.store == _NO_STORE:
        msg = "--session goes with --store URL, in which the chat is kept"
        raise ArgumentError(msg)
    agent = _agent(args)
    roles = read_roles(args.roles or str(Path(__file__).with_name("chat_roles.toml")), agent)
    embedder = HashingEmbedder()
    router = Router(roles, embedder=embedder, fallback=roles[0].name)
    cache = SemanticCache(embedder, VectorCache(embedder.dim, capacity=_CACHED_ANSWERS))
    session = RoleSession(roles[0].name, session_id=args.session)
    opened = AsyncExitStack()
    # One loop for all turns, which stands still between them; Ctrl-C cancels the turn that runs.
    with asyncio.Runner() as runner:
        store = runner.run(opened.enter_async_context(open_store(args.store)))

        async def turn(text: str) -> TurnResult:
            with _stopped_by_ctrl_c():
                return await run_turn(
                    text, session=session, router=router, store=store, cache=cache, timeout_s=args.timeout
                )

        def take_turn(text: str) -> TurnResult:
            nonlocal session
            try:
                return runner.run(turn(text))
            except (KeyboardInterrupt, asyncio.CancelledError):
                # Its answer would still come, and be kept, and the next turn wait for that.
                runner.run(_abandon(session))
                session = RoleSession(session.role_id, session_id=session.session_id)
                raise KeyboardInterrupt from None

        if isinstance(agent, AbstractAsyncContextManager):  # one with connections
            opened.push_async_exit(agent)
        try:
            _greet(args, session.session_id)
            return _talk(take_turn, roles)
        finally:
            runner.run(opened.aclose())


@contextmanager
def _stopped_by_ctrl_c() -> Iterator[None]:
    """Cancel the running task at Ctrl-C.

    The loop is woken for it. A runner's own handler is not called while the loop waits, if the signal came in the
    instant before.
    """
    import asyncio
    import signal

    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101  a coroutine runs in one
    with suppress(NotImplementedError, RuntimeError):  # on Windows, or in another thread: the runner's will do
        loop.add_signal_handler(signal.SIGINT, task.cancel)
    try:
        yield
    finally:
        with suppress(NotImplementedError, RuntimeError):
            loop.remove_signal_handler(signal.SIGINT)


async def _abandon(session: RoleSession) -> None:
    """Cancel what a session is at."""
    from rolecore import deadline

    if session.actor is not None:
        with deadline(0):
            await session.actor.stop()


def _agent(args: argparse.Namespace) -> AIAgent:
    if args.base_url is None:
        if args.model is not None or args.api_key_env is not None:
            msg = "--model and --api-key-env go with --base-url URL"
            raise ArgumentError(msg)
        from rolecore.adapters.extractive import ExtractiveAgent

        return ExtractiveAgent()
    if args.model is None:
        msg = "--base-url needs --model NAME"
        raise ArgumentError(msg)
    key = os.environ.get(args.api_key_env or _KEY_VARIABLE) or None
    if key is None and args.api_key_env is not None:
        # Without the name: it may be a key, given where a name belongs.
        msg = "--api-key-env names a variable that is not set; export it, with the key as its value"
        raise ArgumentError(msg)
    from rolecore.adapters.openai import OpenAIAgent

    return OpenAIAgent(base_url=args.base_url, model=args.model, api_key=key)


def _greet(args: argparse.Namespace, session_id: str) -> None:
    if _is_terminal():
        how = "offline: answers are sentences of this chat" if args.base_url is None else f"answers by {args.model}"
        terminal.warn(f"{how}; /help lists the commands")
    if args.session is None and args.store != _NO_STORE:
        terminal.warn(f"new session; --session {session_id} goes on with it later")


def _talk(take_turn: TakeTurn, roles: Sequence[Role]) -> int:
    """Answer line by line; return the exit code."""
    last: TurnResult | None = None
    code = 0
    for line in _lines():
        try:
            if line is None:
                msg = "the line is not UTF-8; it was not sent"
                raise ArgumentError(msg)
            text = line.strip()
            if text == "/quit":
                break
            if text.startswith("/") and not text.startswith("//"):
                _obey(text, roles, last)
            elif text:
                last = take_turn(text.removeprefix("/"))
                _say(last.text)
                _note(last)
        except RolecoreError as error:
            terminal.warn(f"rolecore: {_told(error)}")
            code = 1
        except KeyboardInterrupt:
            if not _is_terminal():
                raise
            terminal.warn("stopped")
    return code


def _told(error: RolecoreError) -> str:
    """Say what went wrong, with a way out that there is in a chat."""
    if isinstance(error, BudgetError):
        return f"this and the newest turns need {error.needed:,} tokens, there is room for {error.budget:,}; say less"
    if isinstance(error, SessionConflict):
        return "another chat has written to the session meanwhile; say it again"
    return str(error)


def _is_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def _lines() -> Iterator[str | None]:
    """Yield what is said, line by line; None for a line that is not UTF-8."""
    if _is_terminal():
        with suppress(ImportError):
            import readline  # noqa: F401  lines can be edited, and earlier ones called up
        while True:
            try:
                yield input("> ")
            except EOFError:
                terminal.say("")
                return
            except UnicodeDecodeError:
                yield None
    for raw in () if sys.stdin is None else sys.stdin.buffer:
        try:
            yield raw.decode("utf-8")
        except UnicodeDecodeError:
            yield None


def _obey(command: str, roles: Sequence[Role], last: TurnResult | None) -> None:
    if command == "/help":
        terminal.say(_HELP)
    elif command == "/roles":
        for role in roles:
            _say(f"{role.name}: {role.description}" if role.description else role.name)
    elif command == "/why":
        _explain(last)
    elif command == "/stats":
        _tell_stats()
    else:
        msg = "there is no such command; /help lists them, //text says /text"
        raise ArgumentError(msg)


def _say(text: str) -> None:
    terminal.say(_plain(text) if sys.stdout is not None and sys.stdout.isatty() else text)


def _plain(text: str) -> str:
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _note(result: TurnResult) -> None:
    """Tell what a turn came to in one line, dim on a terminal."""
    usage = result.usage
    tokens_in, tokens_out = (result.tokens, 0) if usage is None else usage[:2]
    line = (
        f"{_plain(result.role)}: {tokens_in:,} tokens in, {tokens_out:,} out, {result.tokens_saved:,} saved; "
        f"cache {result.cache}; {result.duration_s * 1e3:,.1f} ms"
    )
    is_dim = sys.stderr is not None and sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    terminal.warn(f"\x1b[2m{line}\x1b[0m" if is_dim else line)


def _explain(last: TurnResult | None) -> None:
    """Tell why the last answer is its role's."""
    if last is None or last.decision is None:
        _say("nothing was decided yet")
        return
    decision = last.decision
    _say(f"{decision.role.name}: {_REASONS[decision.reason]}")
    shares = decision.weights
    rows = []
    for name, score in decision.scores.items():
        share = "blocked" if score.is_blocked else f"{shares[name]:.0%}"
        factors = f"{score.queue:g}", f"{score.seconds * 1e3:,.1f}", f"{score.success:.0%}"
        rows.append((name, f"{score.similarity:.2f}", *factors, share))
    if rows:
        _show(("role", "similarity", "queue", "expected ms", "success", "share"), rows)


def _tell_stats() -> None:
    from rolecore import call_stats

    stats = call_stats()
    rows = []
    for label in stats.roles:
        figures = stats.read(label)
        numbers = (
            figures.calls,
            figures.calls - figures.outcomes.get("ok", 0),
            figures.quantile(0.5) * 1e3,
            figures.quantile(0.99) * 1e3,
            figures.input_tokens,
            figures.output_tokens,
            figures.tokens_saved,
            figures.cache["exact"] + figures.cache["semantic"],
        )
        rows.append((label, *(f"{number:,}" if isinstance(number, int) else f"{number:,.1f}" for number in numbers)))
    _show(("role", "calls", "failed", "p50 ms", "p99 ms", "tokens in", "out", "saved", "cached"), rows)


def _show(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    with terminal.table(columns, widths=widths) as add_row:
        for row in rows:
            add_row(*map(_plain, row))
