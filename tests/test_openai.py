"""The embedder behind an HTTP endpoint, against a real local server that misbehaves in every way one can."""

from __future__ import annotations

import json
import logging
import math
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import rolecore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET = "hunter2"  # noqa: S105 - texts and keys that no error may show
KEY = "sk-hunter2"


def row_of(text: str) -> list[float]:
    return [float(len(text)), 1.0, 2.0]


def unit(text: str) -> list[float]:
    return [x / math.hypot(*row_of(text)) for x in row_of(text)]


def honest(texts: list[str]) -> Any:
    data = [{"object": "embedding", "index": i, "embedding": row_of(text)} for i, text in enumerate(texts)]
    return {"object": "list", "model": "m", "data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}}


class Server(ThreadingHTTPServer):
    """Answers as it is told to and keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.reply: Callable[[list[str]], Any] = honest
        self.status = 200
        self.extra: dict[str, str] = {}
        self.cut: int | None = None
        self.gate: threading.Event | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, *_args: object) -> None:
        """Say nothing of clients that went away."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server = self.server
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server.asked.append(asked)
        server.headers.append(dict(self.headers))
        server.paths.append(self.path)
        if server.gate:
            server.gate.wait(20)
        reply = server.reply(asked["input"])
        body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        if server.cut == 0:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(server.status)
        for name, value in server.extra.items():
            self.send_header(name, value)
        if "Transfer-Encoding" in server.extra:
            body = b"%x\r\n%s" % (len(body) + 9, body)
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.cut])
        self.close_connection = True

    def log_message(self, template: str, *values: object) -> None:
        logging.getLogger("server").debug(template, *values)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "*")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def embedder(server: Server, **options: Any) -> rolecore.OpenAIEmbedder:
    return rolecore.OpenAIEmbedder(**{"base_url": server.url, "model": "m", "api_key": KEY, "timeout_s": 20, **options})


def fails(server: Server, error: type[Exception], match: str, **options: Any) -> Any:
    """Embed a secret and return the error, in which it must not be."""
    with pytest.raises(error, match=match) as caught:
        embedder(server, **options).embed([f"text {SECRET}", "two"])
    assert type(caught.value) is error
    assert caught.value.__cause__ is None
    assert SECRET not in str(caught.value) + repr(vars(caught.value))
    return caught.value


@pytest.mark.parametrize("batch_size", [1, 2, 3, 64])
def test_embed_asks_in_batches_and_gives_unit_rows(server: Server, batch_size: int) -> None:
    texts = ["one", "你好，世界", "a\ud800", ""]
    rows = embedder(server, batch_size=batch_size).embed(text for text in texts)
    assert rows.dtype == np.float32
    assert rows == pytest.approx(np.array([unit(text) for text in texts]))
    asked = [text for request in server.asked for text in request["input"]]
    assert asked == ["one", "你好，世界", "a\ufffd", ""]
    assert len(server.asked) == -(-4 // batch_size)
    assert all(request.keys() == {"model", "input"} and request["model"] == "m" for request in server.asked)
    assert set(server.paths) == {"/v1/embeddings"}


def test_embed_sends_the_key_only_if_there_is_one(server: Server) -> None:
    embedder(server).embed(["one"])
    embedder(server, api_key=None, base_url=server.url + "/").embed(["one"])
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert "Authorization" not in server.headers[1]
    assert server.headers[0]["Content-Type"] == "application/json"
    assert server.paths == ["/v1/embeddings"] * 2


def test_embed_no_texts_asks_nothing(server: Server) -> None:
    assert embedder(server).embed([]).shape == (0, 0)
    assert embedder(server, dim=3).embed([]).shape == (0, 3)
    assert server.asked == []


def test_dim_is_given_or_known_from_the_first_reply(server: Server) -> None:
    assert embedder(server, dim=7).dim == 7
    unknown = embedder(server)
    with pytest.raises(rolecore.ArgumentError, match="dim is not known before the first reply; give it"):
        _ = unknown.dim
    unknown.embed(["one"])
    assert unknown.dim == 3
    server.reply = lambda texts: {"data": [{"index": i, "embedding": [1, 2]} for i in range(len(texts))]}
    with pytest.raises(rolecore.AdapterError, match=r"shape \(1, 2\); it must be numbers, shape \(1, 3\)"):
        unknown.embed(["one"])


def test_embed_rows_in_another_order_come_back_in_that_of_the_texts(server: Server) -> None:
    def reply(texts: list[str]) -> Any:
        told = honest(texts)
        told["data"] = told["data"][1:][::-1] + told["data"][:1]
        return told

    server.reply = reply
    assert embedder(server).embed(["a", "bb", "ccc"]) == pytest.approx(np.array([unit("a"), unit("bb"), unit("ccc")]))


def with_rows(*rows: Any, first: int = 0) -> Callable[[list[str]], Any]:
    return lambda _: {"data": [{"index": i, "embedding": row} for i, row in enumerate(rows, first)]}


@pytest.mark.parametrize(
    ("reply", "what"),
    [
        (with_rows([1, 2]), "the reply has 1 rows for 2 texts"),
        (with_rows(*[[1, 2]] * 3), "the reply has 3 rows for 2 texts"),
        (with_rows([1, 2], [3, 4], first=1), "indices are not those from 0 to 1"),
        (lambda _: {"data": [{"index": 0, "embedding": [1]}] * 2}, "indices are not those"),
        (lambda _: {"data": [{"index": "0", "embedding": [1]}, {"index": "1", "embedding": [1]}]}, "indices are not"),
        (lambda _: {"data": [{"embedding": [1]}, {"embedding": [1]}]}, "not of the form"),
        (lambda _: {"data": [{"index": [0], "embedding": [1]}] * 2}, "not of the form"),
        (lambda _: {"data": SECRET}, "not of the form"),
        (lambda _: {"data": None}, "not of the form"),
        (lambda _: {"error": {"message": SECRET}}, "not of the form"),
        (lambda _: [SECRET], "not of the form"),
        (lambda _: b"", "not of the form"),
        (lambda _: b"<html>" + SECRET.encode(), "not of the form"),
        (lambda _: b'{"data": "\xff' + SECRET.encode(), "not of the form"),
        (lambda _: b"[" * 100_000, "not of the form"),
        (with_rows([1, 2], [1, 2, 3]), "the reply's rows is no array, as with rows of different lengths"),
        (with_rows([], []), r"has shape \(2, 0\)"),
        (with_rows(1, 2), r"has shape \(2,\)"),
        (with_rows([[1]], [[2]]), r"has shape \(2, 1, 1\)"),
        (with_rows(SECRET, SECRET), "of dtype str"),
        (with_rows([True], [False]), "of dtype bool"),
        (with_rows([None], [1]), "of dtype object"),
        (with_rows([1, 2], [0, 0]), "nothing but zeros in row 1"),
        (with_rows([1, 2], [float("nan"), 0]), "not finite in row 1"),
        (with_rows([float("inf"), 2], [1, 0]), "not finite in row 0"),
        (
            lambda _: b'{"data": [{"index": 0, "embedding": [1e999]}, {"index": 1, "embedding": [1]}]}',
            "not finite in row 0",
        ),
        (
            lambda _: b'{"data": [{"index": 0, "embedding": [1' + b"0" * 400 + b']}, {"index": 1, "embedding": [1]}]}',
            "of dtype object",
        ),
    ],
)
def test_embed_wrong_reply_raises_saying_what(server: Server, reply: Callable[[list[str]], Any], what: str) -> None:
    server.reply = reply
    fails(server, rolecore.AdapterError, what)
    server.reply = honest
    assert embedder(server).embed(["one"]).shape == (1, 3)


def test_embed_huge_and_tiny_numbers_make_unit_rows(server: Server) -> None:
    server.reply = with_rows([3e300, 4e300], [3e-300, 4e-300])
    assert embedder(server).embed(["a", "b"]) == pytest.approx(np.array([[0.6, 0.8], [0.6, 0.8]]))


@pytest.mark.parametrize(
    ("status", "way_out"),
    [
        (400, "check model"),
        (401, "check api_key"),
        (404, "check base_url and model"),
        (413, "lower batch_size"),
        (418, "check base_url"),
    ],
)
def test_embed_refusal_raises_its_status(server: Server, status: int, way_out: str) -> None:
    server.status, server.reply = status, lambda texts: {"error": {"message": f"{texts} {KEY}"}}
    assert fails(server, rolecore.APIStatusError, f"status {status}; {way_out}").status == status
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("after", "seconds"), [("2", 2), ("1.5", 1.5), ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("soon", None), ("", None)]
)
def test_embed_too_many_requests_raises_with_the_wait(server: Server, after: str, seconds: float | None) -> None:
    server.status, server.extra = 429, {"Retry-After": after}
    error = fails(server, rolecore.RateLimitError, "status 429; wait, or send less")
    assert (error.status, error.retry_after_s) == (429, seconds)
    assert isinstance(error, rolecore.APIStatusError)


@pytest.mark.parametrize("status", [500, 503])
def test_embed_broken_endpoint_raises_its_status(server: Server, status: int) -> None:
    server.status = status
    assert fails(server, rolecore.APIStatusError, f"status {status}; try again later").retry_after_s is None


def test_embed_redirect_is_not_followed(server: Server) -> None:
    server.status, server.extra = 307, {"Location": server.url + "/elsewhere"}
    assert fails(server, rolecore.APIStatusError, "status 307; check base_url").status == 307
    assert server.paths == ["/v1/embeddings"]


@pytest.mark.parametrize("cut", [0, 1, 40])
def test_embed_cut_connection_raises(server: Server, cut: int) -> None:
    server.cut = cut
    fails(server, rolecore.APIConnectionError, "no whole reply from|broke off after")


def test_embed_cut_chunk_raises(server: Server) -> None:
    server.extra = {"Transfer-Encoding": "chunked"}
    fails(server, rolecore.APIConnectionError, r"no whole reply from .*: IncompleteRead")


def test_embed_silent_endpoint_raises_at_the_deadline(server: Server) -> None:
    server.gate = threading.Event()
    with rolecore.deadline(0.05), pytest.raises(rolecore.DeadlineExceeded, match="embedding"):
        embedder(server).embed(["a"])
    server.gate.set()
    with rolecore.deadline(0), pytest.raises(rolecore.DeadlineExceeded, match="embedding"):
        embedder(server).embed(["a"])


def test_embed_silent_endpoint_raises_after_the_timeout(server: Server) -> None:
    server.gate = threading.Event()
    error = fails(
        server, rolecore.APIConnectionError, r"TimeoutError; check base_url and timeout_s=0\.05", timeout_s=0.05
    )
    server.gate.set()
    assert isinstance(error, ConnectionError)


def test_embed_nobody_listens_raises(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    fails(server, rolecore.APIConnectionError, "ConnectionRefusedError", base_url=url)
    fails(server, rolecore.APIConnectionError, "Error", base_url=f"http://{'x' * 70}/v1")


def test_embed_wrong_certificate_raises(server: Server) -> None:
    # The server speaks no TLS at all: what matters is that nothing is sent before the handshake.
    fails(server, rolecore.APIConnectionError, "SSL", base_url=server.url.replace("http:", "https:"))
    assert server.asked == []


def test_embed_failing_batch_leaves_the_embedder_as_it_was(server: Server) -> None:
    def reply(texts: list[str]) -> Any:
        return {} if "bad" in texts else honest(texts)

    server.reply = reply
    one = embedder(server, batch_size=1)
    with pytest.raises(rolecore.AdapterError):
        one.embed(["good", "bad"])
    assert one.embed(["good"]).shape == (1, 3)


def test_embed_from_threads_gives_each_its_own_rows(server: Server) -> None:
    shared = embedder(server)
    found: list[bool] = []

    def work(i: int) -> None:
        texts = ["x" * (i + k) for k in range(5)]
        found.append(np.allclose(shared.embed(texts), [unit(text) for text in texts], atol=1e-6))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 8


@pytest.mark.parametrize("texts", ["one", None, ["one", 2]])
def test_embed_what_are_no_texts_raises(server: Server, texts: Any) -> None:
    with pytest.raises(rolecore.ArgumentError, match=r"texts(\[1\])? is of type (str|NoneType|int); it must be"):
        embedder(server).embed(texts)
    assert server.asked == []


def test_repr_and_model_id_do_not_show_the_key(server: Server) -> None:
    one = embedder(server)
    expected = f"OpenAIEmbedder(base_url={server.url!r}, model='m', dim=None, batch_size=64, timeout_s=20)"
    assert repr(one) == expected
    assert one.model_id == f"openai:{server.url}:m"


@pytest.mark.parametrize(
    "bad",
    [
        *(
            {"base_url": url}
            for url in ("", "api.openai.com/v1", "ftp://x/v1", "file:///etc/passwd", "http://", None, 7)
        ),
        *(
            {"base_url": f"http://{rest}"}
            for rest in ("u:hunter2@x/v1", "x/v1?key=hunter2", "x/#hunter2", "x:hunter2/v1")
        ),
        *({"base_url": f"http://x/{rest}"} for rest in ("a b", "a\r\nHost: y", "ü")),
        *({"api_key": key} for key in ("", "hunter2\r\nX: y", "hunter2 x", "hünter2", 7, b"hunter2")),
        *({"model": model} for model in ("", None, 7)),
        *({"dim": dim} for dim in (0, -1, 1.5, "3", True)),
        *({"batch_size": n} for n in (0, -1, None, "3")),
        *({"timeout_s": t} for t in (0, -1, float("inf"), float("nan"), None, "3")),
    ],
)
def test_embedder_of_bad_argument_raises_naming_it(bad: dict[str, Any]) -> None:
    name = next(iter(bad))
    with pytest.raises(rolecore.ArgumentError, match=rf"^{name} (is|must be) ") as caught:
        rolecore.OpenAIEmbedder(**{"base_url": "http://x/v1", "model": "m", **bad})
    assert SECRET not in str(caught.value)
