"""Counting messages: images by their size, audio and files without their bytes, what is refused and where."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rolecore

GPT_4O = rolecore.tokenizer("gpt-4o")
LOW, MOST = 85, 1445
MAGICS = (
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"\xff\xd8\xff",
    b"RIFF\0\0\0\0WEBPVP8 ",
    b"RIFF\0\0\0\0WEBPVP8L",
    b"RIFF\0\0\0\0WEBPVP8X",
)


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
