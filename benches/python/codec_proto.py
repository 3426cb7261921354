"""The schema of fbs/snapshot.fbs for protobuf, put together here so that no protoc is needed, and messages of it.

Two departures, both in protobuf's favour: it has no place for keys of a message that the schema does not know, and
vectors are there twice, as packed floats and as bytes, of which a message fills one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import google.protobuf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.internal import api_implementation
from google.protobuf.message import DecodeError

if TYPE_CHECKING:
    from codec_shapes import Shape

__all__ = ["ROLES", "VERSION", "DecodeError", "Session", "Turn", "counted", "session"]

VERSION = google.protobuf.__version__
# The fast one, in C. The one in Python would be no peer.
assert api_implementation.Type() == "upb"

ROLES = ("system", "developer", "user", "assistant", "tool")
ROLE_NUMBERS = {role: number for number, role in enumerate(ROLES)}
FIELDS = {
    "ToolCall": "id:string name:string arguments:string is_custom:bool extra:string",
    "Turn": "role:Role text:string? parts:string name:string refusal:string tool_calls:ToolCall* tool_call_id:string "
    "extra:string tokens:uint32 is_pinned:bool time_ms:int64",
    "Session": "version:uint32 session_id:string role:string tokenizer:string turns:Turn* summary:string "
    "vector_dim:uint32 vectors:float* payload:bytes created_ms:int64 updated_ms:int64 vector_bytes:bytes",
}


def classes() -> tuple[Any, Any]:
    """Return the classes of a session and of a turn."""
    kinds = descriptor_pb2.FieldDescriptorProto
    # Proto3, which packs floats and checks on parsing that strings are UTF-8.
    file = descriptor_pb2.FileDescriptorProto(name="session.proto", package="bench", syntax="proto3")
    file.enum_type.add(name="Role", value=[{"name": role.upper(), "number": n} for role, n in ROLE_NUMBERS.items()])
    for name, fields in FIELDS.items():
        message = file.message_type.add(name=name)
        for number, field in enumerate(fields.split(), 1):
            field_name, kind = field.rstrip("*?").split(":")
            added = message.field.add(name=field_name, number=number, label=kinds.LABEL_OPTIONAL)
            if field.endswith("*"):
                added.label = kinds.LABEL_REPEATED
            if field.endswith("?"):
                # That is what `optional` stands for: no text is not the empty text.
                added.proto3_optional, added.oneof_index = True, len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{field_name}")
            if kind[0].isupper():
                added.type = kinds.TYPE_ENUM if kind == "Role" else kinds.TYPE_MESSAGE
                added.type_name = f".bench.{kind}"
            else:
                added.type = getattr(kinds, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    made = message_factory.GetMessageClassesForFiles([file.name], pool)
    return made["bench.Session"], made["bench.Turn"]


Session, Turn = classes()


def session(shape: Shape, *, is_packed: bool = False) -> Any:
    """Return a message with all of a shape but counts and pins; `is_packed`: vectors as floats, not as bytes.

    Setting the fields of what `add` returns is the fastest way there is: a list of dicts takes 1.1 times as long,
    `add` with its fields by name 1.4 times, a list of messages 3.7 times.
    """
    made = Session(version=1, session_id=shape.options["session_id"], role=shape.options["role"])
    made.summary = shape.options["summary"]
    add = made.turns.add
    for message in shape.messages:
        turn = add()
        turn.role = ROLE_NUMBERS[message["role"]]
        if (text := message["content"]) is not None:
            turn.text = text
        if "tool_calls" in message:
            for call in message["tool_calls"]:
                added = turn.tool_calls.add()
                added.id, function = call["id"], call["function"]
                added.name, added.arguments = function["name"], function["arguments"]
        if "tool_call_id" in message:
            turn.tool_call_id = message["tool_call_id"]
    if shape.vectors is not None:
        made.vector_dim = shape.vectors.shape[1]
        if is_packed:
            made.vectors.extend(shape.vectors.ravel().tolist())
        else:
            made.vector_bytes = shape.vectors.tobytes()
    if shape.payload is not None:
        made.payload = shape.payload
    return made


def counted(shape: Shape, *, is_packed: bool = False) -> Any:
    """Return the same with what a History knows: tokens, the tokenizer, the pin."""
    made = session(shape, is_packed=is_packed)
    made.tokenizer = "o200k_base"
    for turn, tokens in zip(made.turns, shape.tokens, strict=True):
        turn.tokens = tokens
    for turn in made.turns[:1]:
        turn.is_pinned = True
    return made
