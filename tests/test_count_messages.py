"""Counting whole requests: tools by the published rule, images by their size, what is refused and where."""

from __future__ import annotations

import base64
import json
import struct
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rolecore

if TYPE_CHECKING:
    from pathlib import Path

GPT_4O = rolecore.tokenizer("gpt-4o")
LOW, MOST = 85, 1445
LOCATION = {"type": "string", "description": "The city and state, e.g. San Francisco, CA"}
UNIT = {"type": "string", "description": "The unit of temperature to return", "enum": ["celsius", "fahrenheit"]}
WEATHER = {
    "name": "get_current_weather",
    "description": "Get the current weather in a given location",
    "parameters": {"type": "object", "properties": {"location": LOCATION, "unit": UNIT}, "required": ["location"]},
}
MAGICS = (
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"\xff\xd8\xff",
    b"RIFF\0\0\0\0WEBPVP8 ",
    b"RIFF\0\0\0\0WEBPVP8L",
    b"RIFF\0\0\0\0WEBPVP8X",
)


def tool(function: dict[str, Any] = WEATHER) -> dict[str, Any]:
    return {"type": "function", "function": function}


def cost(*parts: object, tok: rolecore.Tokenizer = GPT_4O) -> int:
    """Return what parts add to an empty user message."""
    message = {"role": "user", "content": list(parts)}
    return tok.count_messages([message]) - tok.count_messages([{"role": "user", "content": ""}])


def encoded(image: bytes) -> str:
    return base64.b64encode(image).decode()


def image_url(image: bytes, **more: object) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": f"data:image/any;base64,{encoded(image)}", **more}}


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height) + b"\x08\2\0\0\0"


def jpeg(width: int, height: int, before: int = 0) -> bytes:
    segment = b"\xff\xe1" + struct.pack(">H", 60_000 + 2) + bytes(60_000)
    return b"\xff\xd8" + segment * before + b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(9)


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + bytes(3)


def webp(width: int, height: int) -> bytes:
    sides = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + sides


@pytest.mark.parametrize(("model", "tokens"), [("gpt-4", 105), ("gpt-3.5-turbo", 105), ("gpt-4o", 101)])
def test_published_example_with_tools_costs_what_the_api_counted(model: str, tokens: int) -> None:
    messages = [
        {
            "role": "system",
            "content": "You are a helpful assistant that can answer to questions about the weather.",
        },
        {"role": "user", "content": "What's the weather like in San Francisco?"},
    ]
    tok = rolecore.tokenizer(model)
    assert tok.count_messages(messages, tools=[tool()]) + tok.reply_tokens == tokens


@pytest.mark.parametrize(("model", "per_tool"), [("gpt-4", 10), ("gpt-4o", 7)])
def test_tools_cost_the_sum_of_published_parts(model: str, per_tool: int) -> None:
    tok = rolecore.tokenizer(model)
    count = tok.count
    weather = (
        per_tool
        + count("get_current_weather:Get the current weather in a given location")
        + 3
        + (3 + count("location:string:The city and state, e.g. San Francisco, CA"))
        + (3 + count("unit:string:The unit of temperature to return"))
        + (-3 + 3 + count("celsius") + 3 + count("fahrenheit"))
    )
    now = per_tool + count("now:Tell the time")
    assert tok.count_messages([], tools=[tool()]) == 12 + weather
    bare = tool({"name": "now", "description": "Tell the time.", "parameters": {"type": "object", "properties": {}}})
    assert tok.count_messages([], tools=(bare, tool())) == 12 + now + weather
    assert tok.count_messages([], tools=[tool({"name": "now"})]) == 12 + per_tool + count("now:")


def test_tools_none_or_empty_cost_nothing() -> None:
    assert GPT_4O.count_messages([], tools=None) == GPT_4O.count_messages([], tools=[]) == 0


def test_tool_in_flat_form_costs_the_same() -> None:
    for name in ("gpt-4o", "gpt-oss-20b"):
        tok = rolecore.tokenizer(name)
        flat = {"type": "function", **WEATHER, "strict": True}
        assert tok.count_messages([], tools=[flat]) == tok.count_messages([], tools=[tool()])


def test_nested_schema_costs_more_than_its_texts() -> None:
    address = {"type": "object", "description": "Where to.", "properties": {"street": LOCATION, "unit": UNIT}}
    choices = {"anyOf": [{"type": "array", "items": address}, {"type": "null"}], "default": None}
    properties = {"to": choices, "ref": {"$ref": "#/$defs/A"}}
    parameters = {"type": "object", "properties": properties, "$defs": {"A": address}}
    flat = {"type": "object", "properties": {"to": {"type": "object"}, "ref": {"type": "object"}}}
    texts = ("Where to.", "The city and state, e.g. San Francisco, CA", "The unit of temperature to return")
    inner = 2 * sum(map(GPT_4O.count, texts))
    nested, plain = (
        GPT_4O.count_messages([], tools=[tool({"name": "send", "parameters": p})]) for p in (parameters, flat)
    )
    assert nested > plain + inner


@given(texts=st.lists(st.text(max_size=20), max_size=3), names=st.lists(st.text(max_size=10), max_size=3))
def test_request_costs_its_messages_and_its_tools(texts: list[str], names: list[str]) -> None:
    messages = [{"role": "user", "content": text} for text in texts]
    tools = [tool(WEATHER | {"name": name}) for name in names]
    for name in ("gpt-4o", "gpt-4", "gpt-oss-20b"):
        tok = rolecore.tokenizer(name)
        apart = tok.count_messages(messages) + tok.count_messages([], tools=tools)
        assert tok.count_messages(messages, tools=tools) == apart
        assert tok.count_messages([], tools=tools) >= tok.count_messages([], tools=tools[:1])


@pytest.mark.parametrize(
    ("special", "once", "indented"),
    [
        ("<|im_start|>", 107, False),
        ("<|start_header_id|>", 61, True),
        ("<\uff5cUser\uff5c>", 102, False),
        ("<s>", 107, True),
    ],
)
def test_templates_that_show_json_cost_its_text(tmp_path: Path, special: str, once: int, *, indented: bool) -> None:
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    letters = {chr(byte if byte in plain else next(others)): byte for byte in range(256)}
    file = {
        "added_tokens": [{"id": 300, "content": special, "special": True, "normalized": False}],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
        "model": {"type": "BPE", "vocab": letters, "merges": []},
    }
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(file), encoding="utf-8")
    shown = json.dumps(tool(), indent=2 if indented else None)
    flat = {"type": "function", **WEATHER}
    for tools in ([tool()], [flat]):
        assert rolecore.tokenizer(path).count_messages([], tools=tools) == once + 1 + len(shown)


DEEP: Any = {}
for _ in range(200):
    DEEP = {"items": DEEP}


@pytest.mark.parametrize(
    ("tools", "named"),
    [
        ("x", "tools is of type str; it must be an iterable of dicts"),
        (tool(), "tools is of type dict; it must be an iterable of dicts"),
        (3, "tools is of type int; it must be an iterable of dicts"),
        ([tool(), None], r"tools\[1\] is None; it must be a dict"),
        ([{}], r"tools\[0\].type is missing; it must be a str"),
        ([{"type": 1}], r"tools\[0\].type is of type int; it must be a str"),
        ([{"type": "secret"}], r'tools\[0\].type must be "function"'),
        ([{"type": "function"}], r"tools\[0\].name is missing; it must be a str"),
        ([{"type": "function", "function": "f"}], r"tools\[0\].function is of type str; it must be a dict"),
        ([tool({})], r"tools\[0\].function.name is missing; it must be a str"),
        ([tool({"name": b"f"})], r"tools\[0\].function.name is of type bytes; it must be a str"),
        ([tool({"name": "f", "description": 1})], r"tools\[0\].function.description is of type int; it must be a str"),
        ([tool({"name": "f", "parameters": []})], r"tools\[0\].function.parameters is of type list; it must be a dict"),
        ([tool({"name": "f", "parameters": {"secret": {1}}})], r"tools\[0\].function.parameters must be JSON"),
        ([tool({"name": "f", "parameters": {"secret": float("nan")}})], r"tools\[0\].function.parameters must be JSON"),
        ([tool({"name": "f", "parameters": {"secret": 10**400}})], r"tools\[0\].function.parameters must be JSON"),
        ([tool({"name": "f", "parameters": DEEP})], r"tools\[0\].function.parameters must be JSON.*127 levels"),
    ],
)
def test_bad_tools_are_refused_by_place(tools: Any, named: str) -> None:
    with pytest.raises(rolecore.ArgumentError, match=named) as raised:
        GPT_4O.count_messages([], tools=tools)
    assert "secret" not in str(raised.value)


def test_tools_are_keyword_only() -> None:
    with pytest.raises(TypeError):
        GPT_4O.count_messages([], [tool()])  # type: ignore[call-arg]


def test_tools_failing_iterable_raises_its_own_error() -> None:
    with pytest.raises(ZeroDivisionError):
        GPT_4O.count_messages([], tools=({"type": str(1 // n)} for n in (0,)))


@pytest.mark.parametrize("image", [png, jpeg, gif, webp])
def test_image_costs_its_tiles(image: Any) -> None:
    for width, height, tiles in ((512, 512, 1), (513, 512, 2), (1024, 1024, 4), (2048, 4096, 6), (4000, 1500, 8)):
        assert cost(image_url(image(width, height))) == 85 + 170 * tiles, (width, height)
    assert cost(image_url(image(4096, 8192), detail="low")) == LOW
    assert cost(image_url(image(512, 512), detail="high")) == 255


def test_image_in_each_form_costs_the_same() -> None:
    data = encoded(png(1024, 1024))
    url = f"data:image/png;base64,{data}"
    forms: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "input_image", "image_url": url, "detail": "auto"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
    ]
    assert [cost(form) for form in forms] == [765, 765, 765]
    assert cost({"type": "input_image", "image_url": url, "detail": "low"}) == LOW


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "image_url", "image_url": {}},
        {"type": "input_image", "image_url": "https://example.org/a.png"},
        {"type": "input_image", "image_url": None, "file_id": "file-1"},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
        {"type": "image", "url": "https://example.org/a.png"},
        image_url(png(0, 100)),
        image_url(b"BM" + bytes(60)),
        image_url(jpeg(100, 100, before=4)),
    ],
)
def test_image_of_unknown_size_costs_the_most(part: dict[str, Any]) -> None:
    assert cost(part) == MOST


def test_image_behind_large_segments_is_found() -> None:
    assert cost(image_url(jpeg(100, 100, before=3))) == 255


@given(magic=st.sampled_from(MAGICS), rest=st.binary(max_size=64), end=st.text(max_size=3))
def test_hostile_header_costs_from_low_to_most(magic: bytes, rest: bytes, end: str) -> None:
    data = encoded(magic + rest) + end
    source = {"type": "image", "source": {"type": "base64", "data": data}}
    assert LOW <= cost(source) <= MOST


def test_audio_and_files_leave_their_bytes_out() -> None:
    data = encoded(bytes(range(256)) * 1000)
    for part, left in (
        (
            {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}},
            {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
        ),
        (
            {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{data}", "filename": "a.pdf"}},
            {"type": "file", "file": {"file_data": "", "filename": "a.pdf"}},
        ),
        (
            {"type": "document", "source": {"type": "base64", "data": base64.encodebytes(data.encode()).decode()}},
            {"type": "document", "source": {"type": "base64", "data": ""}},
        ),
    ):
        assert cost(part) == GPT_4O.count(json.dumps(left))
    text = {"type": "note", "note": "no base64, but words " * 100}
    assert cost(text) == GPT_4O.count(json.dumps(text))


def test_parts_of_responses_are_text() -> None:
    for kind in ("text", "input_text", "output_text"):
        assert cost({"type": kind, "text": "hello world"}) == 2


@pytest.mark.parametrize(
    ("part", "named"),
    [
        ({"type": "input_text"}, r"content\[0\].text is missing; it must be a str"),
        ({"type": "input_text", "text": 1}, r"content\[0\].text is of type int; it must be a str"),
        ({"type": "image_url"}, r"content\[0\].image_url is missing; it must be a dict"),
        ({"type": "image_url", "image_url": "x"}, r"content\[0\].image_url is of type str; it must be a dict"),
        ({"type": "image_url", "image_url": {"url": b""}}, r"content\[0\].image_url.url is of type bytes"),
        ({"type": "image_url", "image_url": {"detail": 1}}, r"content\[0\].image_url.detail is of type int"),
        ({"type": "input_image", "image_url": {}}, r"content\[0\].image_url is of type dict; it must be a str"),
        ({"type": "input_image", "detail": 1}, r"content\[0\].detail is of type int; it must be a str"),
        ({"type": "image", "source": "x"}, r"content\[0\].source is of type str; it must be a dict"),
        ({"type": "image", "source": {"data": b""}}, r"content\[0\].source.data is of type bytes; it must be a str"),
    ],
)
def test_bad_parts_are_refused_by_place(part: dict[str, Any], named: str) -> None:
    with pytest.raises(rolecore.MessageError, match=f"message 0: {named}"):
        cost(part)


def test_history_counts_images_as_the_tokenizer_does() -> None:
    parts = [
        {"type": "input_text", "text": "What is this? And that?"},
        image_url(png(1024, 1024)),
        {"type": "input_audio", "input_audio": {"data": encoded(bytes(5000)), "format": "wav"}},
    ]
    history = rolecore.History([{"role": "user", "content": parts}, {"role": "assistant", "content": "A tree."}])
    assert history.tokens == GPT_4O.count_messages(history.to_messages()) > 765
    window = history.fit(history.tokens - 1, keep_last=0)
    assert window.tokens == GPT_4O.count_messages(window.messages) < history.tokens


def test_text_that_looks_like_base64_is_counted() -> None:
    words = "\n".join(f"identifier{i}" for i in range(2000))
    part = {"type": "tool_result", "tool_use_id": "x", "content": words}
    assert GPT_4O.count_messages([{"role": "user", "content": [part]}]) > GPT_4O.count(words)


def test_function_call_is_counted_beside_content() -> None:
    call = {"name": "f", "arguments": '{"x": "' + "word " * 200 + '"}'}
    alone = GPT_4O.count_messages([{"role": "assistant", "content": None, "function_call": call}])
    assert alone > 200
    assert GPT_4O.count_messages([{"role": "assistant", "content": "", "function_call": call}]) == alone
    beside = GPT_4O.count_messages([{"role": "assistant", "content": "hello", "function_call": call}])
    assert beside == alone + 1
