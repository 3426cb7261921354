"""Reads chats from JSON and JSON Lines files, and writes messages back as they came.

A JSON file holds a list of messages, an object with "messages", or a list of chats of either form. A JSON Lines file
holds one message a line (one chat) or one chat a line. Errors name the file, the line and the field, never what a user
wrote.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from rolecore.errors import ArgumentError, MessageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LINES_SUFFIXES = {".jsonl", ".ndjson"}
_FORMS = 'a list of messages, an object with "messages", or one message a line'
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Chat:
    """One chat and where it stands.

    Attributes:
        messages: the parsed messages, not checked yet.
        place: file, and line or number of the chat in it.
        lines: line of each message when they stand on lines of their own.
        end_bytes: bytes of the file read so far, for a progress bar.
    """

    messages: list[Any]
    place: str
    lines: tuple[int, ...] | None = None
    end_bytes: int = 0

    def located(self, error: MessageError) -> MessageError:
        """Return `error` with the file, and the line where there is one, in its message."""
        if error.index is None:
            return MessageError(f"{self.place}: {error}")
        if self.lines is None:
            return MessageError(f"{self.place}, {error}", error.index)
        why = str(error).removeprefix(f"message {error.index}: ")
        return MessageError(f"{self.place}, line {self.lines[error.index]}: {why}", error.index)


@dataclass(frozen=True)
class _Line:
    number: int
    value: Any
    end_bytes: int


def read_chat(path: str) -> Chat:
    """Return the one chat of a file; "-" reads standard input.

    Raises:
        ArgumentError: the file cannot be read, is no JSON or JSON Lines, or holds no chat or more than one.
    """
    chats = read_chats(path)
    first = next(chats, None)
    if first is None:
        msg = f"{display_name(path)}: the file holds no chat; expected {_FORMS}"
        raise ArgumentError(msg)
    if next(chats, None) is not None:
        msg = f"{display_name(path)}: the file holds more than one chat; take one, or use rolecore analyze"
        raise ArgumentError(msg)
    return first


def read_chats(path: str) -> Iterator[Chat]:
    """Yield the chats of a file; one chat a line is read line by line, never all at once.

    Raises:
        ArgumentError: as in `read_chat`, when the place that is wrong is reached.
    """
    name = display_name(path)
    try:
        if path != "-" and Path(path).suffix.lower() in _LINES_SUFFIXES:
            with Path(path).open("rb") as file:
                yield from _chats_of_lines(_lines(file, name), name)
        else:
            yield from _chats_of_document(read_bytes(path), name)
    except OSError as error:
        raise unreadable(name, error) from error


def read_text(path: str) -> str:
    """Return a file's text; "-" reads standard input.

    Raises:
        ArgumentError: the file cannot be read or is not UTF-8.
    """
    return _decode(read_bytes(path), display_name(path), 0)


def read_bytes(path: str) -> bytes:
    """Return a file's bytes; "-" reads standard input.

    Raises:
        ArgumentError: the file cannot be read.
    """
    if path == "-" and sys.stdin is None:
        msg = "stdin: cannot be read: it is closed"
        raise ArgumentError(msg)
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise unreadable(display_name(path), error) from error


def size_bytes(path: str) -> int:
    """Return a file's size; 0 where that is not known."""
    try:
        return 0 if path == "-" else Path(path).stat().st_size
    except OSError:
        return 0


def display_name(path: str) -> str:
    """Return what messages call this input."""
    return "stdin" if path == "-" else path


def unreadable(name: str, error: OSError) -> ArgumentError:
    """Return what says that a file cannot be read."""
    return ArgumentError(f"{name}: cannot be read: {(error.strerror or type(error).__name__).lower()}")


def dump_messages(messages: Iterable[Any], *, as_lines: bool) -> bytes:
    """Return messages as UTF-8 JSON, a list with one message a line, or as JSON Lines.

    Keys keep their order and text is not escaped, but for lone surrogates, which UTF-8 cannot hold.
    """
    rows = [json.dumps(message, ensure_ascii=False, allow_nan=False) for message in messages]
    if as_lines or not rows:
        text = "".join(row + "\n" for row in rows) if as_lines else "[]\n"
    else:
        text = "[\n" + ",\n".join(rows) + "\n]\n"
    # A surrogate can only stand inside a JSON string, where Python's escape is JSON's.
    return text.encode("utf-8", "backslashreplace")


def _decode(raw: bytes, name: str, offset: int) -> str:
    start = len(_BOM) if offset == 0 and raw.startswith(_BOM) else 0
    try:
        return raw[start:].decode()
    except UnicodeDecodeError as error:
        msg = f"{name}: byte {offset + start + error.start} is not UTF-8; save the file as UTF-8"
        raise ArgumentError(msg) from None


def _parse(text: str, name: str, line: int | None) -> Any:  # noqa: ANN401  any JSON value
    """Parse one JSON value; `line` is its number in a file of lines, None for a whole document."""
    place = name if line is None else f"{name}, line {line}"
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno if line is None else line}, column {error.colno}"
        # From None, here and below: the error's context holds the document.
        msg = f"{name}, {where}: not JSON: {error.msg.lower()}"
        raise ArgumentError(msg) from None
    except RecursionError:
        msg = f"{place}: not a chat: nested too deep"
        raise ArgumentError(msg) from None
    except ValueError:
        msg = f"{place}: not JSON: NaN, Infinity or a number out of range"
        raise ArgumentError(msg) from None


def _refuse_constant(_: str) -> float:
    raise ValueError


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError
    return value


def _lines(file: BinaryIO | list[bytes], name: str) -> Iterator[_Line]:
    offset = 0
    for number, raw in enumerate(file, start=1):
        text = _decode(raw, name, offset)
        offset += len(raw)
        if text.strip():
            yield _Line(number, _parse(text.rstrip(), name, number), offset)


def _chats_of_lines(lines: Iterator[_Line], name: str) -> Iterator[Chat]:
    first = next(lines, None)
    if first is None:
        raise _empty(name)
    if _is_message(first.value):
        every = [first, *lines]
        yield Chat([line.value for line in every], name, tuple(line.number for line in every), every[-1].end_bytes)
        return
    yield _chat_of_line(first, name)
    for line in lines:
        yield _chat_of_line(line, name)


def _chat_of_line(line: _Line, name: str) -> Chat:
    place = f"{name}, line {line.number}"
    return Chat(_messages(line.value, place), place, None, line.end_bytes)


def _chats_of_document(raw: bytes, name: str) -> Iterator[Chat]:
    text = _decode(raw, name, 0)
    if not text.strip():
        raise _empty(name)
    try:
        value = _parse(text, name, None)
    except ArgumentError:
        if not _starts_with_a_line_of_json(text):
            raise
        yield from _chats_of_lines(_lines(raw.splitlines(keepends=True), name), name)
        return
    if _is_message(value):
        value = [value]
    if isinstance(value, list) and value and _is_chat(value[0]):
        for i, chat in enumerate(value):
            place = f"{name}, chat {i}"
            yield Chat(_messages(chat, place), place, None, len(raw))
    else:
        yield Chat(_messages(value, name), name, None, len(raw))


def _starts_with_a_line_of_json(text: str) -> bool:
    """Whether this is JSON Lines under another suffix: more than one line, and the first is a value by itself."""
    first, _, rest = text.strip().partition("\n")
    try:
        return bool(rest) and isinstance(json.loads(first), (dict, list))
    except (ValueError, RecursionError):
        return False


def _messages(value: object, place: str) -> list[Any]:
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        msg = f"{place}: not a chat but {_kind(value)}; expected {_FORMS}"
        raise ArgumentError(msg)
    if "messages" not in value:
        msg = f"{place}: messages is missing; expected {_FORMS}"
        raise ArgumentError(msg)
    messages = value["messages"]
    if not isinstance(messages, list):
        msg = f"{place}: messages is {_kind(messages)}; it must be a list"
        raise ArgumentError(msg)
    return messages


def _is_message(value: object) -> bool:
    return isinstance(value, dict) and "role" in value and "messages" not in value


def _is_chat(value: object) -> bool:
    return isinstance(value, list) or (isinstance(value, dict) and "messages" in value)


def _kind(value: object) -> str:
    """Return what JSON calls the type of a value."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", dict: "an object", list: "a list"}
    return names[type(value)]


def _empty(name: str) -> ArgumentError:
    return ArgumentError(f"{name}: the file is empty; expected {_FORMS}")
