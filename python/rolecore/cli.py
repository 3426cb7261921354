"""The command `rolecore`: fit a chat, count tokens, analyze logs, inspect snapshots, move sessions, chat, run the demo.

Thin: it reads arguments and maps errors to one sentence and an exit code. Exit codes: 0 done, 1 a verdict of the demo
failed, sessions were in conflict or a turn of a chat failed, 2 bad input, 130 interrupted, 141 the reader of our output
went away.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from typing import TYPE_CHECKING, NoReturn

import rolecore
from rolecore import chat_cli, chatfile, cli_arguments, sessions_cli, terminal
from rolecore.errors import ArgumentError, BudgetError, MessageError, RolecoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

_BAD_INPUT = 2
_INTERRUPTED = 130
_PIPE_CLOSED = 141
_DEFAULT_TOKENIZER = "o200k_base"
_DEFAULT_BUDGETS = "1000,2000,4000,8000,16000,32000"

_EXAMPLES = """\
examples:
  rolecore fit chat.json --budget 4096            the best legal window of one chat, as JSON
  rolecore fit - --ratio 0.5 --query "the invoice" <chat.jsonl
  rolecore analyze chats.jsonl --budgets 4000,8000   what windows would have saved on your logs
  rolecore count README.md                        tokens of a text
  rolecore inspect session.rcss                   what a snapshot holds and what takes the room
  rolecore sessions ls sqlite:///chats.db         what a store holds; show, export, migrate
  rolecore chat                                   talk with several roles, offline or with a model's --base-url
  rolecore demo                                   recorded chats and turns with a local server, every claim checked

Nothing is sent anywhere, but by chat to its --base-url. `rolecore COMMAND --help` lists the options of a command.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        args = _parser().parse_args(argv)
        code: int = args.run(args)
        if sys.stdout is not None:
            sys.stdout.flush()
    except RolecoreError as error:
        terminal.warn(f"rolecore: {error}")
        return _BAD_INPUT
    except BrokenPipeError:
        _mute_stdout()
        return _PIPE_CLOSED
    except OSError as error:
        # A full disk behind stdout, or a tokenizer.json that cannot be read; the error names the file, if any.
        _mute_stdout()
        terminal.warn(f"rolecore: {error}")
        return _BAD_INPUT
    except KeyboardInterrupt:
        terminal.warn("rolecore: interrupted")
        return _INTERRUPTED
    return code


def _mute_stdout() -> None:
    """Let what is still buffered go nowhere: the interpreter flushes stdout once more at its end."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one sentence, like all others."""

    def error(self, message: str) -> NoReturn:
        """Raise what `main` prints, without what follows a URL's scheme, such as a password."""
        shown = re.sub("://.*", "://...", message, flags=re.DOTALL)
        msg = f"{shown} (see {self.prog} --help)"
        raise ArgumentError(msg)


def _parser() -> _Parser:
    parser = _Parser(
        prog="rolecore",
        description="Keep any chat history inside a token budget, without ever building a request a provider refuses.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"rolecore {rolecore.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_fit(commands)
    _add_analyze(commands)
    _add_count(commands)
    _add_inspect(commands)
    sessions_cli.add(commands)
    chat_cli.add(commands)
    _add_demo(commands)
    return parser


def _add_fit(commands: argparse._SubParsersAction[_Parser]) -> None:
    fit = commands.add_parser(
        "fit",
        help="write the best window of one chat",
        description="Write the best legal request under a budget that a chat makes; one line of figures on stderr. "
        "Instructions and the newest turns stay, tool calls and their results stay together, messages come out as they "
        "went in.",
    )
    fit.add_argument("chat", metavar="CHAT", help='JSON (a list, or an object with "messages") or JSONL; - reads stdin')
    fit.add_argument("--budget", type=cli_arguments.positive, metavar="TOKENS", help="most tokens the window may have")
    fit.add_argument(
        "--ratio", type=cli_arguments.ratio, metavar="R", help="share of the tokens to keep, 0 to 1; the smaller rules"
    )
    fit.add_argument("--query", metavar="TEXT", help="what the next request is about: what matches is kept first")
    _add_keep_last(fit)
    _add_tokenizer(fit)
    fit.add_argument(
        "--on-orphans",
        choices=("repair", "raise"),
        default="repair",
        help="leave out tool results without calls and calls without results, or refuse them",
    )
    fit.add_argument("--jsonl", action="store_true", help="write one message a line instead of a JSON list")
    fit.add_argument("-o", "--output", metavar="OUT", help="write here instead of stdout")
    fit.set_defaults(run=_fit)


def _add_analyze(commands: argparse._SubParsersAction[_Parser]) -> None:
    analyze = commands.add_parser(
        "analyze",
        help="what windows would have saved on your logs",
        description="Replay recorded chats: before each assistant message stands a request, which is fitted to each "
        "budget. 'over' counts chats that pass the budget, 'refused' chats in which what must stay passes it, and "
        "'dropped' messages left out, in each request anew. 'prefix' is the share of the sent tokens that is a "
        "byte-identical prefix of the previous request, what a provider's prompt cache can hold; 'newest-first' is "
        "that share when the oldest messages are cut instead.",
    )
    analyze.add_argument("chats", metavar="CHATS", help="JSONL with one chat a line, or JSON with a list of chats")
    analyze.add_argument(
        "--budgets",
        type=cli_arguments.budgets,
        default=_DEFAULT_BUDGETS,
        metavar="N,N,...",
        help="budgets in tokens (default: %(default)s)",
    )
    analyze.add_argument("--limit", type=cli_arguments.positive, metavar="N", help="read only the first N chats")
    _add_keep_last(analyze)
    _add_tokenizer(analyze)
    analyze.add_argument("--json", action="store_true", help="write the figures as JSON")
    analyze.set_defaults(run=_analyze)


def _add_count(commands: argparse._SubParsersAction[_Parser]) -> None:
    count = commands.add_parser(
        "count",
        help="count tokens",
        description="Count the tokens of text files, or of chats with --messages.",
    )
    count.add_argument("files", metavar="FILE", nargs="*", help="what to count; stdin when none is given")
    count.add_argument("--messages", action="store_true", help="the files are chats: count what their requests cost")
    _add_tokenizer(count)
    count.set_defaults(run=_count)


def _add_inspect(commands: argparse._SubParsersAction[_Parser]) -> None:
    inspect = commands.add_parser(
        "inspect",
        help="what a snapshot or a batch file holds, with sizes",
        description="Check a snapshot or a batch file and show it as a tree with sizes in bytes, which add up to the "
        "file's. Nothing that was said is shown: of texts only their sizes, and the names of the session, its role, "
        "its tokenizer, tools and calls.",
    )
    inspect.add_argument("file", metavar="FILE", help="what History.save or BatchWriter wrote; it must not shrink")
    inspect.add_argument(
        "--snapshot", type=cli_arguments.from_zero, metavar="N", help="show snapshot N of a batch file, from 0 on"
    )
    cli_arguments.add_how_much(inspect, "turns, or snapshots of a batch,")
    inspect.set_defaults(run=_inspect)


def _add_demo(commands: argparse._SubParsersAction[_Parser]) -> None:
    demo = commands.add_parser(
        "demo",
        help="replay recorded chats, take turns with a local server, and check every claim",
        description="Replay a tool-calling session and a bilingual conversation through tokenizer, history, memory "
        "probe and fit, and check every window with a slow second opinion. Then take turns with a local model server, "
        "through router, cache, breaker, limits and store, checked from outside. Write a report in one HTML file.",
    )
    demo.add_argument("--input", metavar="FILE", help="replay the first 4 chats of this file, and nothing else")
    demo.add_argument("--report", metavar="OUT", default="demo-report.html", help="the report (default: %(default)s)")
    demo.set_defaults(run=_demo)


def _add_keep_last(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep-last",
        type=cli_arguments.from_zero,
        default=3,
        metavar="N",
        help="newest turns that must stay (default: %(default)s)",
    )


def _add_tokenizer(parser: argparse.ArgumentParser) -> None:
    name = parser.add_mutually_exclusive_group()
    name.add_argument(
        "--model",
        dest="tokenizer",
        default=_DEFAULT_TOKENIZER,
        metavar="NAME",
        help="count as this model does, such as gpt-4o",
    )
    name.add_argument(
        "--tokenizer",
        default=_DEFAULT_TOKENIZER,
        metavar="NAME",
        help="an encoding or the path of a tokenizer.json (default: %(default)s)",
    )


def _fit(args: argparse.Namespace) -> int:
    if args.budget is None and args.ratio is None:
        msg = "fit needs --budget TOKENS, --ratio R or both"
        raise ArgumentError(msg)
    chat = chatfile.read_chat(args.chat)
    history = rolecore.History(tokenizer=args.tokenizer)
    try:
        history.extend(chat.messages)
        start = time.perf_counter()
        window = history.fit(
            args.budget,
            retain_ratio=args.ratio,
            query=args.query,
            keep_last=args.keep_last,
            on_orphans=args.on_orphans,
        )
        took_us = (time.perf_counter() - start) * 1e6
    except BudgetError as error:
        way = f"--budget {error.needed}" + ("" if args.ratio is None else " without --ratio")
        msg = f"{chat.place}: what must stay needs {error.needed} tokens, the budget is {error.budget}; pass {way}"
        raise ArgumentError(msg + " or a smaller --keep-last") from error
    except MessageError as error:
        raise chat.located(error) from error
    cli_arguments.write(chatfile.dump_messages(window.messages, as_lines=args.jsonl), args.output)
    report = window.report()
    repaired = len(report.orphans_dropped) + len(report.calls_removed)
    terminal.warn(
        f"{chat.place}: {len(history):,} messages, {history.tokens:,} tokens -> {len(window):,} messages, "
        f"{window.tokens:,} tokens (budget {report.budget_tokens:,}; {len(window.dropped):,} left out"
        f"{f', {repaired} repaired' if repaired else ''}; {took_us:,.0f} us)"
    )
    return 0


def _analyze(args: argparse.Namespace) -> int:
    from rolecore.analyze import COLUMNS, Analysis, cells

    analysis = Analysis(args.budgets, args.tokenizer, args.keep_last)
    with terminal.progress("replaying", chatfile.size_bytes(args.chats)) as advance:
        for chat in chatfile.read_chats(args.chats):
            try:
                analysis.add(chat.messages)
            except MessageError as error:
                raise chat.located(error) from error
            advance(chat.end_bytes)
            if analysis.chats == args.limit:
                break
    if args.json:
        budgets = [row.to_dict() for row in analysis.rows]
        head = {"file": args.chats, "tokenizer": args.tokenizer, "keep_last": args.keep_last}
        totals = {"chats": analysis.chats, "messages": analysis.messages}
        terminal.say_json({**head, **totals, "budgets": budgets})
        return 0
    requests = max(row.requests + row.requests_refused for row in analysis.rows)
    name = chatfile.display_name(args.chats)
    terminal.say(f"{name}: {analysis.chats:,} chats, {analysis.messages:,} messages, {requests:,} requests")
    rows = [cells(row) for row in analysis.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    with terminal.table(COLUMNS, widths=widths, left=0) as add_row:
        for row in rows:
            add_row(*row)
    needed = max(row.needed_tokens for row in analysis.rows)
    if needed:
        terminal.warn(f"refused: what must stay is over the budget; {needed:,} tokens suffice, or lower --keep-last")
    return 0


def _count(args: argparse.Namespace) -> int:
    tokenizer = rolecore.tokenizer(args.tokenizer)
    total = 0
    for path in args.files or ["-"]:
        if args.messages:
            tokens = 0
            for chat in chatfile.read_chats(path):
                try:
                    tokens += tokenizer.count_messages(chat.messages)
                except MessageError as error:
                    raise chat.located(error) from error
        else:
            tokens = tokenizer.count(chatfile.read_text(path))
        total += tokens
        terminal.say(f"{tokens:>9} {path}" if args.files else str(tokens))
    if len(args.files) > 1:
        terminal.say(f"{total:>9} total")
    return 0


def _inspect(args: argparse.Namespace) -> int:
    from rolecore import snapshot_tree

    try:
        told = snapshot_tree.describe(snapshot_tree.open_file(args.file, args.snapshot), args.turns)
    except OSError as error:
        raise chatfile.unreadable(args.file, error) from error
    if args.json:
        terminal.say_json(told)
    else:
        terminal.tree(snapshot_tree.rows(told))
    return 0


def _demo(args: argparse.Namespace) -> int:
    from rolecore.demo.run import run_demo

    return run_demo(report_path=args.report, input_path=args.input)
