"""The window in one call, for callers that keep no History."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from rolecore._core import History

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    from rolecore._core import Tokenizer, Window


class FitOptions(TypedDict, total=False):
    """The keyword arguments of `History.fit`."""

    retain_ratio: float | None
    query: str | None
    keep_last: int
    unit: str
    shrink_tool_outputs: bool
    summary: str | Callable[..., str] | None
    on_orphans: str
    start_with_user: bool
    embedder: Any


def fit(
    messages: Iterable[dict[str, Any]],
    budget_tokens: int | None = None,
    *,
    tokenizer: str | os.PathLike[str] | Tokenizer = "o200k_base",
    **options: Unpack[FitOptions],
) -> Window:
    """Return the best legal request of at most `budget_tokens` that `messages` make.

    One shot: every message is counted anew. Keep a `History` where the same chat is fitted again.

    Args:
        messages: OpenAI-style dicts.
        budget_tokens: most tokens the window may have; reply priming not included.
        tokenizer: an encoding, a model's name, the path of a tokenizer.json, or a Tokenizer.
        **options: as in `History.fit`.

    Returns:
        A Window. Its whole messages are the caller's own objects.

    Raises:
        MessageError: a message is not of the form a chat API takes.
        BudgetError: what must stay needs more; `.needed` is the smallest budget that works.
        ArgumentError: neither budget nor ratio, or one out of its range.

    Cost: one token count of all text, then that of `History.fit`.

    Example:
        >>> import rolecore
        >>> window = rolecore.fit([{"role": "user", "content": "hello"}], 100)
        >>> window.tokens
        5
    """
    return History(messages, tokenizer=tokenizer).fit(budget_tokens, **options)
