"""The wire form of OpenAI's chat completions: requests, whole answers, and answers that come as a stream of events.

What endpoints make of it differs: what is missing or null where the specification has a value is read as such.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import TYPE_CHECKING, Any

from rolecore.adapters.agent import Completion, Message, Usage
from rolecore.errors import AdapterError, APIConnectionError, MessageError

if TYPE_CHECKING:
    from rolecore.adapters.transport import Reply

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_FORM = '{"choices": [{"message": {"role": "assistant", "content": "..."}}]}'
_MAX_REPLY_BYTES = 32 << 20
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def encode(value: Any) -> bytes:  # noqa: ANN401  any JSON
    """Return JSON; lone surrogates as U+FFFD.

    Raises:
        TypeError, ValueError, RecursionError: it is none.
    """
    text = _encode(value)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text).encode()


def encode_messages(messages: list[Message]) -> bytes:
    """Return the messages as JSON.

    Raises:
        MessageError: one is no dict, or holds what JSON cannot.
    """
    try:
        encoded = encode(messages)
    except (TypeError, ValueError, RecursionError):
        encoded = b""
    if not encoded or not all(isinstance(message, dict) for message in messages):
        i = next((i for i, message in enumerate(messages) if not _is_message(message)), None)
        msg = f"message {i} is no dict, or holds what JSON has no form for"
        raise MessageError(msg, i)
    return encoded


def _is_message(message: Any) -> bool:  # noqa: ANN401  what may be none
    try:
        encode(message)
    except (TypeError, ValueError, RecursionError):
        return False
    return isinstance(message, dict)


async def read_whole(reply: Reply) -> bytes:
    """Return the body of a reply.

    Raises:
        APIConnectionError: it breaks off. AdapterError: it is longer than any answer.
    """
    first = await reply.read()
    if not (piece := await reply.read()):
        return first
    whole = bytearray(first)
    while piece:
        whole += piece
        if len(whole) > _MAX_REPLY_BYTES:
            raise _too_long()
        piece = await reply.read()
    return bytes(whole)


def read_completion(body: bytes) -> Completion:
    """Return the answer that a reply of status 200 holds.

    Raises:
        AdapterError: it holds none. Nothing of it is shown.
    """
    told = _read_json(body)
    choice = _only_choice(told)
    message = choice.get("message") if choice else None
    if not isinstance(message, dict):
        raise malformed()
    content, calls = message.get("content"), message.get("tool_calls")
    if not (content is None or isinstance(content, str)) or not (calls is None or isinstance(calls, list)):
        raise malformed()
    refusal = message.get("refusal")
    answer = _message(content, [_read_call(call) for call in calls or ()], refusal)
    return Completion(answer, _read_usage(told.get("usage")), _read_reason(choice))


class EventReader:
    """Reads an answer out of a stream of server-sent events, whatever the pieces it comes in.

    Attributes:
        is_done: the answer is complete; nothing that comes then is read.
    """

    def __init__(self) -> None:
        """Start with nothing."""
        self.is_done = False
        self._rest = b""
        self._content: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._usage: Usage | None = None
        self._reason: str | None = None
        self._refusal: list[str] = []
        self._n_events = 0
        self._has_choice = False
        self._n_bytes = 0

    def feed(self, piece: bytes) -> str:
        """Return what is said in a piece of the body.

        Raises:
            AdapterError: it is no such stream, or holds an error.
        """
        self._n_bytes += len(piece)
        if self._n_bytes > _MAX_REPLY_BYTES:
            raise _too_long()
        *lines, self._rest = (self._rest + piece).split(b"\n")
        said = ""
        for line in lines:
            said += self._read_line(line.rstrip(b"\r"))
        return said

    def end(self) -> str:
        """Return what is said in a last line without an end, when the body has ended.

        Raises:
            APIConnectionError: the answer is not complete.
            AdapterError: as `feed`.
        """
        line, self._rest = self._rest, b""
        said = self._read_line(line.rstrip(b"\r")) if _is_whole(line) else ""
        # Some endpoints never say [DONE].
        if not self.is_done and self._reason is None:
            if not self._n_events:
                raise malformed()
            msg = "the answer broke off before its end"
            raise APIConnectionError(msg)
        self.is_done = True
        return said

    @property
    def completion(self) -> Completion:
        """The answer so far."""
        calls = []
        for _, call in sorted(self._calls.items()):
            function = {"name": call["name"], "arguments": "".join(call["arguments"])}
            calls.append(_read_call({"id": call["id"], "function": function}))
        refusal = "".join(self._refusal) or None
        return Completion(_message("".join(self._content) or None, calls, refusal), self._usage, self._reason)

    def _read_line(self, line: bytes) -> str:
        if self.is_done or not line or line.startswith((b":", b"event:", b"id:", b"retry:")):
            return ""
        if not line.startswith(b"data:"):
            raise malformed()
        data = line[5:].strip()
        if data == b"[DONE]":
            # The next to say so may be of another answer.
            self._n_events += 1
            if not self._has_choice:
                raise malformed()
            _ = self.completion  # raises for calls that are none
            self.is_done = True
            return ""
        told = _read_json(data)
        self._n_events += 1
        if told.get("usage") is not None:
            self._usage = _read_usage(told["usage"])
        choice = _only_choice(told, may_be_none=True)
        if choice is None:
            return ""
        self._has_choice = True
        self._reason = _read_reason(choice) or self._reason
        return self._read_delta(choice.get("delta"))

    def _read_delta(self, delta: Any) -> str:  # noqa: ANN401  any JSON
        if delta is None:
            return ""
        content, calls = (delta.get("content"), delta.get("tool_calls")) if isinstance(delta, dict) else (0, None)
        if not (content is None or isinstance(content, str)) or not (calls is None or isinstance(calls, list)):
            raise malformed()
        if isinstance(refusal := delta.get("refusal"), str):
            self._refusal.append(refusal)
        for call in calls or ():
            self._read_call_delta(call)
        if content:
            self._content.append(content)
        return content or ""

    def _read_call_delta(self, delta: Any) -> None:  # noqa: ANN401  any JSON
        function = delta.get("function") if isinstance(delta, dict) else None
        if not isinstance(function, dict):
            raise malformed()
        # Who sends each call whole may leave its index out.
        index = delta.get("index", len(self._calls))
        if not isinstance(index, int):
            raise malformed()
        call = self._calls.setdefault(index, {"id": None, "name": None, "arguments": []})
        # Some repeat the id and the name, some send them once.
        call["id"] = delta.get("id") or call["id"]
        call["name"] = function.get("name") or call["name"]
        arguments = function.get("arguments")
        if arguments is not None:
            call["arguments"].append(arguments if isinstance(arguments, str) else _told(arguments))


def malformed() -> AdapterError:
    """Return the error for a reply of status 200 that is no answer."""
    return AdapterError(f"the reply is not of the form {_FORM}; check base_url and that it speaks chat completions")


def _too_long() -> AdapterError:
    return AdapterError(f"the reply is over {_MAX_REPLY_BYTES} bytes; ask for less by max_tokens in options")


def _is_whole(line: bytes) -> bool:
    """Whether a last line without an end may have come whole."""
    data = line.removeprefix(b"data:").strip()
    if not line.startswith(b"data:"):
        return False
    if data == b"[DONE]":
        return True
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def _read_json(data: bytes) -> dict[str, Any]:
    try:
        told = json.loads(data.decode())
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise malformed()
    if told.get("error"):
        msg = "the endpoint answered with an error in a reply of status 200; see its own log"
        raise AdapterError(msg)
    return told


def _only_choice(told: dict[str, Any], *, may_be_none: bool = False) -> dict[str, Any] | None:
    choices = told.get("choices")
    if may_be_none and not choices:
        return None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise malformed()
    return choices[0]


def _read_reason(choice: dict[str, Any] | None) -> str | None:
    reason = choice.get("finish_reason") if choice else None
    if reason is not None and not isinstance(reason, str):
        raise malformed()
    return reason


def _read_call(call: Any) -> dict[str, Any]:  # noqa: ANN401  any JSON
    function = call.get("function") if isinstance(call, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str) or not name:
        raise malformed()
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        arguments = "{}" if arguments is None else _told(arguments)
    named = call.get("id")
    # A result must name its call, and some endpoints give calls no id.
    call_id = named if isinstance(named, str) and named else f"call_{uuid.uuid4().hex}"
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _told(value: Any) -> str:  # noqa: ANN401  any JSON
    return json.dumps(value, ensure_ascii=False)


def _message(content: str | None, calls: list[dict[str, Any]], refusal: Any) -> Message:  # noqa: ANN401  any JSON
    """Return a message that can be sent back: no null where a text must be, no empty list of calls, nothing unknown."""
    message: Message = {"role": "assistant", "content": content if calls else content or ""}
    if calls:
        message["tool_calls"] = calls
    if isinstance(refusal, str) and refusal:
        message["refusal"] = refusal
    return message


def _read_usage(usage: Any) -> Usage | None:  # noqa: ANN401  any JSON
    """Return what was counted; None for what is no count, as nobody could tell what it means."""
    if not isinstance(usage, dict):
        return None
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    read = Usage(usage.get("prompt_tokens", -1), usage.get("completion_tokens", -1), cached or 0)
    return read if all(type(count) is int and count >= 0 for count in read) else None
