"""What clients of OpenAI-compatible endpoints share: how they read their arguments, and errors by HTTP status."""

from __future__ import annotations

import re
import urllib.parse
from typing import TYPE_CHECKING, Any

from rolecore.adapters.retry import read_retry_after
from rolecore.errors import APIStatusError, ArgumentError, RateLimitError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500


def read_base_url(base_url: Any) -> str:  # noqa: ANN401  any argument
    """Return an endpoint's address without a slash at its end.

    Raises:
        ArgumentError: it is none, or holds what may be a secret or what a request line cannot hold.
    """
    try:
        parts = urllib.parse.urlsplit(base_url if isinstance(base_url, str) else "")
        is_plain = parts.port != 0 and not (parts.username or parts.password or parts.query or parts.fragment)
    except ValueError:
        is_plain = False
    if (
        not is_plain
        or parts.scheme not in {"http", "https"}
        or not parts.hostname
        or not re.fullmatch(r"[!-~]+", base_url)
    ):
        msg = "base_url must be http://host[:port][/path] or https://..., without a user, a password, ? or #"
        raise ArgumentError(msg)
    return str(base_url).rstrip("/")


def read_api_key(api_key: Any) -> str | None:  # noqa: ANN401  any argument
    """Return a key that a header can hold, or None.

    Raises:
        ArgumentError: it cannot; the message does not show it, as an HTTP client's would.
    """
    if api_key is None or (isinstance(api_key, str) and re.fullmatch(r"[!-~]+", api_key)):
        return api_key
    msg = "api_key is empty or has characters that no header can hold; it must be printable ASCII without blanks"
    raise ArgumentError(msg)


def read_model(model: Any) -> str:  # noqa: ANN401  any argument
    """Return a model's name.

    Raises:
        ArgumentError: it is none.
    """
    if isinstance(model, str) and model:
        return model
    msg = "model is empty or no str; it must be the model's name at the endpoint"
    raise ArgumentError(msg)


def read_timeout(timeout_s: Any) -> float:  # noqa: ANN401  any argument
    """Return a number of seconds above 0.

    Raises:
        ArgumentError: it is none.
    """
    if isinstance(timeout_s, int | float) and 0 < timeout_s < float("inf"):
        return timeout_s
    msg = f"timeout_s is {timeout_s!r}; it must be a finite number above 0"
    raise ArgumentError(msg)


def status_error(status: int, retry_after: str | None, way_out: Mapping[int, str]) -> APIStatusError:
    """Return the error of an HTTP status. What else an endpoint says may repeat the texts or the key: it is not shown.

    Args:
        status: no success.
        retry_after: the header.
        way_out: by status, what a user can do.
    """
    seconds = read_retry_after(retry_after)
    what = way_out.get(status, "try again later" if status >= _SERVER_ERROR else "check base_url")
    wait = "" if seconds is None else f" {seconds:g} s"
    kind = RateLimitError if status == _TOO_MANY_REQUESTS else APIStatusError
    return kind(f"the endpoint answered with status {status}; {what}{wait}", status, seconds)
