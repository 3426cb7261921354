"""An embedder behind an HTTP endpoint that speaks OpenAI's /embeddings."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from rolecore import deadlines, endpoints
from rolecore.arguments import read_count, read_texts, unit_rows
from rolecore.errors import AdapterError, APIConnectionError, ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

# A row of 4,096 numbers takes 90 kB of JSON; 2,048 texts, OpenAI's limit, then 190 MB.
_MAX_REPLY_BYTES = 256 << 20
_PIECE_BYTES = 1 << 20
_STEP = "embedding"
_WAY_OUT = {
    400: "check model, the texts' lengths and batch_size",
    401: "check api_key",
    403: "check what api_key may do",
    404: "check base_url and model",
    413: "lower batch_size",
    429: "wait, or send less",
}


def _read(response: http.client.HTTPResponse) -> bytes:
    """Return the body, up to one byte more than is allowed; a deadline may pass while it drips in."""
    reply = bytearray()
    while piece := response.read(min(_PIECE_BYTES, _MAX_REPLY_BYTES + 1 - len(reply))):
        deadlines.check(_STEP)
        reply += piece
    return bytes(reply)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would send the texts, and the key, to where nobody wanted them."""

    def redirect_request(self, *_args: object, **_kwargs: object) -> None:
        return None


class OpenAIEmbedder:
    """Embeds texts at any endpoint that speaks OpenAI's /embeddings: OpenAI, vLLM, Ollama, llama.cpp and the like.

    Every `embed` sends the texts over the network. TLS certificates are checked, redirects are errors, proxies are
    taken from the environment as Python does. Nothing is tried twice: what may work later raises `RateLimitError`,
    `APIConnectionError` or an `APIStatusError` from 500 on. Safe to share between threads.

    Args:
        base_url: all before /embeddings, as "https://api.openai.com/v1" or "http://127.0.0.1:11434/v1".
        model: the model's name there.
        api_key: sent as a bearer token and shown nowhere; None for an endpoint that wants none.
        dim: numbers a row must have; a reply with others is an error. None: known from the first reply.
        batch_size: texts a request; OpenAI takes up to 2,048, others fewer.
        timeout_s: longest silence of the endpoint, in seconds.

    Raises:
        ArgumentError: an argument is of a wrong form or out of its range.

    Example:
        >>> embedder = rolecore.OpenAIEmbedder(base_url="http://127.0.0.1:11434/v1", model="bge-m3", dim=1024)
        >>> embedder.model_id
        'openai:http://127.0.0.1:11434/v1:bge-m3'
    """

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key: str | None = None,
        dim: int | None = None,
        batch_size: int = 64,
        timeout_s: float = 30.0,
    ) -> None:
        """Check the arguments; nothing is sent yet."""
        self._base_url = endpoints.read_base_url(base_url)
        api_key = endpoints.read_api_key(api_key)
        self._model = endpoints.read_model(model)
        self._timeout_s = endpoints.read_timeout(timeout_s)
        self._dim = None if dim is None else read_count(dim, "dim")
        self._batch_size = read_count(batch_size, "batch_size")
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if api_key is not None:
            self._headers["Authorization"] = f"Bearer {api_key}"
        # Made once: reading the machine's certificates takes longer than many a request.
        tls = urllib.request.HTTPSHandler(context=ssl.create_default_context())
        self._opener = urllib.request.build_opener(_NoRedirect, tls)

    @property
    def dim(self) -> int:
        """Numbers of a row.

        Raises:
            ArgumentError: it was not given, and nothing was embedded yet.
        """
        if self._dim is None:
            msg = "dim is not known before the first reply; give it, or embed a text first"
            raise ArgumentError(msg)
        return self._dim

    @property
    def model_id(self) -> str:
        """The endpoint and the model's name there. That the model stays the same is up to the endpoint."""
        return f"openai:{self._base_url}:{self._model}"

    def embed(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """Return a unit row a text: a new array, float32, shape (n, dim).

        Args:
            texts: an iterable of strings, not one string; lone surrogates are sent as U+FFFD. Most endpoints refuse an
                empty one.

        Raises:
            ArgumentError: `texts` is a string or no iterable, or an item is not a string.
            APIConnectionError: the endpoint cannot be reached, breaks off or is silent for too long.
            DeadlineExceeded: the `rolecore.deadline` around it is over; no silence is waited out for longer.
            RateLimitError: it wants fewer requests; `.retry_after_s` is the wait it asks for.
            APIStatusError: it answers with another status that is no success, which `.status` is.
            AdapterError: its reply is not one row a text, of `dim` finite numbers and not all zeros.

        Cost: a request and a connection for each `batch_size` texts, one after another.
        """
        import numpy as np

        read = read_texts(texts)
        batches = [read[i : i + self._batch_size] for i in range(0, len(read), self._batch_size)]
        rows = []
        for batch in batches:
            found = unit_rows(
                self._ask(batch), name="the reply's rows", error=AdapterError, n=len(batch), dim=self._dim
            )
            self._dim = found.shape[1]
            rows.append(found)
        return np.concatenate(rows) if rows else np.empty((0, self._dim or 0), np.float32)

    def _ask(self, texts: list[str]) -> list[Any]:
        """Return what the endpoint says of each text, in order."""
        body = json.dumps({"model": self._model, "input": texts}, ensure_ascii=False).encode()
        url = f"{self._base_url}/embeddings"
        deadlines.check(_STEP)
        left = deadlines.remaining()
        timeout_s = self._timeout_s if left is None else min(self._timeout_s, left)
        request = urllib.request.Request(url, body, self._headers, method="POST")  # noqa: S310  http or https, as read
        try:
            with self._opener.open(request, timeout=timeout_s) as response:
                reply = _read(response)
                length = response.headers.get("Content-Length", "")
        except urllib.error.HTTPError as error:
            with error:
                raise endpoints.status_error(error.code, error.headers.get("Retry-After"), _WAY_OUT) from None
        except (OSError, http.client.HTTPException, UnicodeError) as error:  # the last: a host that cannot be one
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError) and timeout_s == left:
                raise deadlines.exceeded(_STEP) from None
            what = f"no whole reply from {self._base_url}: {type(reason).__name__}"
            msg = f"{what}; check base_url and timeout_s={self._timeout_s}"
            raise APIConnectionError(msg) from None
        if len(reply) > _MAX_REPLY_BYTES:
            msg = f"the reply is over {_MAX_REPLY_BYTES} bytes; lower batch_size"
            raise AdapterError(msg)
        # `read` itself tells a broken chunk, not a body that ends early.
        if length.isdecimal() and len(reply) < int(length):
            msg = f"{self._base_url} broke off after {len(reply)} of {int(length)} bytes"
            raise APIConnectionError(msg)
        return _in_order(reply, len(texts))

    def __repr__(self) -> str:
        """Show all but the key."""
        return (
            f"OpenAIEmbedder(base_url={self._base_url!r}, model={self._model!r}, dim={self._dim}, "
            f"batch_size={self._batch_size}, timeout_s={self._timeout_s})"
        )


def _in_order(reply: bytes, n: int) -> list[Any]:
    """Return the rows of a reply by their index."""
    try:
        data = json.loads(reply)["data"]
        rows = {item["index"]: item["embedding"] for item in data}
    except (ValueError, TypeError, KeyError, RecursionError):
        msg = 'the reply is not of the form {"data": [{"index": 0, "embedding": [...]}, ...]}; check base_url'
        raise AdapterError(msg) from None
    if len(data) != n or rows.keys() != set(range(n)):
        msg = f"the reply has {len(data)} rows for {n} texts, or their indices are not those from 0 to {n - 1}"
        raise AdapterError(msg)
    return [rows[i] for i in range(n)]
