"""The command `rolecore sessions`: its arguments and what it shows; `session_moves` does the work."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from rolecore import cli_arguments, terminal

if TYPE_CHECKING:
    import argparse

    from rolecore.session_moves import Moved

Parser = TypeVar("Parser", bound="argparse.ArgumentParser")


def add(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the command and its own commands."""
    sessions = commands.add_parser(
        "sessions",
        help="list, show, export and move the sessions of a store",
        description="List, show, export and move the sessions of a store, one tenant's at a time. Nothing that was "
        "said is shown but by export.",
    )
    verbs = sessions.add_subparsers(title="commands", metavar="COMMAND", required=True)
    ls = verbs.add_parser("ls", help="list the sessions", description="List the sessions of a tenant with their sizes.")
    _add_store(ls)
    ls.add_argument("--json", action="store_true", help="write the same as JSON")
    ls.set_defaults(run=_ls)

    show = verbs.add_parser("show", help="show one session", description="Show a session's messages with their sizes.")
    _add_store(show, "session")
    cli_arguments.add_how_much(show, "messages")
    show.set_defaults(run=_show)

    export = verbs.add_parser(
        "export",
        help="write the messages of one session",
        description="Write the messages of a session: JSON Lines, or by the ending of OUT a JSON list (.json) or a "
        "snapshot (.rcss).",
    )
    _add_store(export, "session")
    export.add_argument("-o", "--output", metavar="OUT", help="write here instead of stdout")
    export.set_defaults(run=_export)

    migrate = verbs.add_parser(
        "migrate",
        help="copy or move sessions to another store",
        description="Copy sessions to another store and check each there. What is there already is passed over, what "
        "has grown since is continued, and what is there with other messages is a conflict: it is told, changed in "
        "neither store, and makes the exit code 1. Run it again after an interruption.",
    )
    _add_store(migrate)
    migrate.add_argument("to_url", metavar="TO_URL", help="the store to append to")
    migrate.add_argument("--move", action="store_true", help="delete each session here once it is checked there")
    migrate.add_argument("--json", action="store_true", help="write what became of each session as JSON")
    migrate.set_defaults(run=_migrate)


def _add_store(parser: argparse.ArgumentParser, *more: str) -> None:
    parser.add_argument("url", metavar="URL", help="the store, as sqlite:///chats.db")
    for name in more:
        parser.add_argument(name, metavar=name.upper(), help=f"id of the {name}")
    parser.add_argument("--tenant", default="", metavar="T", help="whose sessions (default: the tenant without a name)")


def _ls(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from rolecore import session_moves

    found = session_moves.summaries(args.url, args.tenant)
    if args.json:
        terminal.say_json([asdict(session) for session in found])
        return 0
    rows = [session.cells() for session in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    with terminal.table(session_moves.COLUMNS, widths=widths) as add_row:
        for row in rows:
            add_row(*row)
    return 0


def _show(args: argparse.Namespace) -> int:
    from rolecore import session_moves

    record = session_moves.load(args.url, args.session, args.tenant)
    told = session_moves.describe(args.session, record, args.turns)
    if args.json:
        terminal.say_json(told)
    else:
        terminal.tree(session_moves.rows(told))
    return 0


def _export(args: argparse.Namespace) -> int:
    from rolecore import session_moves

    data = session_moves.export(session_moves.load(args.url, args.session, args.tenant), args.session, args.output)
    if data is not None:
        cli_arguments.write(data, args.output)
    return 0


def _migrate(args: argparse.Namespace) -> int:
    from collections import Counter
    from dataclasses import asdict

    from rolecore import session_moves

    def tell(moved: Moved) -> None:
        if moved.outcome == "conflict" and not args.json:
            terminal.warn(f"{moved} is there with other messages; left as it is")

    done = session_moves.migrate(args.url, args.to_url, args.tenant, is_move=args.move, tell=tell)
    counts = Counter(moved.outcome for moved in done)
    if args.json:
        terminal.say_json([asdict(moved) for moved in done])
    else:
        told = ", ".join(f"{counts[outcome]:,} {outcome}" for outcome in session_moves.OUTCOMES if counts[outcome])
        terminal.say(f"{len(done):,} sessions{': ' if told else ''}{told}")
    return 1 if counts["conflict"] else 0
