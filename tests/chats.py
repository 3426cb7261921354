"""Messages that tests make: a chat of facts, a tool call, a list of parts."""

from __future__ import annotations

from typing import Any

Message = dict[str, Any]


def call(call_id: str) -> Message:
    return {"id": call_id, "type": "function", "function": {"name": "find", "arguments": '{"q": "lantern"}'}}


def parts(text: str) -> list[Message]:
    return [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": "data:", "detail": "low"}}]


def chat(n_turns: int = 30) -> list[Message]:
    said = "I moved lantern {0} to shelf {0} on Monday and paid {0} euros."
    return [{"role": "system", "content": "Be brief."}] + [
        {"role": "user" if i % 2 == 0 else "assistant", "content": said.format(i)} for i in range(2 * n_turns)
    ]
