"""Arguments of the command as values, each refused in one sentence, and where its output goes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rolecore.errors import ArgumentError


def write(data: bytes, path: str | None) -> None:
    """Write to a file, or to standard output without a path or with "-"."""
    if path is None or path == "-":
        if sys.stdout is None:
            msg = "stdout is closed; pass -o OUT"
            raise ArgumentError(msg)
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        msg = f"{path}: cannot be written: {(error.strerror or type(error).__name__).lower()}"
        raise ArgumentError(msg) from error


def from_zero(text: str) -> int:
    """Return a whole number from 0."""
    return _whole_number(text, 0)


def positive(text: str) -> int:
    """Return a whole number from 1."""
    return _whole_number(text, 1)


def budgets(text: str) -> list[int]:
    """Return budgets that stand between commas, each once, the smallest first."""
    return sorted({positive(part) for part in text.split(",")})


def _whole_number(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        msg = f"{text!r} is not a whole number from {least}"
        raise argparse.ArgumentTypeError(msg)
    return value


def seconds(text: str) -> float:
    """Return a number of seconds above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        msg = f"{text!r} is not a number of seconds above 0"
        raise argparse.ArgumentTypeError(msg)
    return value


def ratio(text: str) -> float:
    """Return a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        msg = f"{text!r} is not a number from 0 to 1"
        raise argparse.ArgumentTypeError(msg)
    return value


def add_how_much(parser: argparse.ArgumentParser, what: str) -> None:
    """Add how many of `what` a command shows, and whether as JSON."""
    turns = parser.add_mutually_exclusive_group()
    turns.add_argument(
        "--turns",
        type=from_zero,
        default=10,
        metavar="N",
        help=f"most {what} that are shown, as many from either end (default: %(default)s)",
    )
    turns.add_argument("--all", dest="turns", action="store_const", const=None, help="show all of them")
    parser.add_argument("--json", action="store_true", help="write the same as JSON")
