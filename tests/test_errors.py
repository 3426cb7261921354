"""The error tree: builtins, pickling, and one class for each variant of the core's error."""

from __future__ import annotations

import inspect
import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import rolecore
from rolecore import errors

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
CLASSES = {name: cls for name, cls in vars(errors).items() if inspect.isclass(cls) and issubclass(cls, Exception)}

# Each class and what a stranger would catch it as.
CAUGHT_AS: dict[str, type[Exception]] = {
    "RolecoreError": Exception,
    "AdapterError": errors.RolecoreError,
    "APIConnectionError": ConnectionError,
    "APIStatusError": errors.AdapterError,
    "RateLimitError": errors.APIStatusError,
    "ArgumentError": ValueError,
    "BudgetError": ValueError,
    "CacheError": ValueError,
    "CircuitOpen": errors.AdapterError,
    "CodecError": ValueError,
    "DeadlineExceeded": TimeoutError,
    "MessageError": ValueError,
    "PolicyDenied": PermissionError,
    "QuotaError": errors.StoreError,
    "RoleNotFound": LookupError,
    "ActorStopped": errors.SessionError,
    "MailboxFull": errors.SessionError,
    "MessageDropped": errors.SessionError,
    "SessionConflict": errors.StoreError,
    "SessionError": errors.RolecoreError,
    "SessionExpired": errors.SessionError,
    "SessionNotFound": LookupError,
    "StoreError": errors.RolecoreError,
    "TokenizerError": ValueError,
    "MissingExtraError": ImportError,
}
# What a class is made of, where that is more than a message.
MADE_OF: dict[str, tuple[Any, ...]] = {
    "APIStatusError": ("answered 503", 503),
    "BudgetError": ("too small", 7, 5),
    "CircuitOpen": ("failed 5 times", 2.5),
    "MessageError": ("no role", 3),
    "QuotaError": ("too much", 7, 5),
    "RateLimitError": ("answered 429", 429, 2.5),
    "SessionConflict": ("written meanwhile", 2, 3),
}

# One call for each variant of the core's error that ends in it.
PROVOKED_BY: dict[str, Callable[[], object]] = {
    "Argument": lambda: rolecore.History([{"role": "user", "content": "hello"}]).fit(),
    "Budget": lambda: rolecore.History([{"role": "user", "content": "hello"}]).fit(1),
    "Message": lambda: rolecore.History([{"role": "nobody", "content": 7}]),
    "Tokenizer": lambda: rolecore.tokenizer("no such encoding"),
    "Cache": lambda: rolecore.VectorCache(2, capacity=2).put("key", [0, 0]),
    "Codec": lambda: rolecore.codec.open_snapshot(b""),
    "Os": lambda: rolecore.VectorCache.load(ROOT / "no such file"),
}
# What the operating system refuses is Python's own class for it.
NAMED_OTHERWISE = {"Os": "FileNotFoundError"}


def test_every_class_is_listed_here() -> None:
    assert set(CLASSES) == set(CAUGHT_AS)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_error_is_caught_as_its_builtin(name: str) -> None:
    assert issubclass(CLASSES[name], errors.RolecoreError)
    assert issubclass(CLASSES[name], CAUGHT_AS[name])
    assert CLASSES[name].__doc__


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_error_survives_pickle_with_its_numbers(name: str) -> None:
    error = CLASSES[name](*MADE_OF.get(name, ("a message",)))
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        copy = pickle.loads(pickle.dumps(error, protocol))
        assert type(copy) is type(error)
        assert str(copy) == str(error)
        assert vars(copy) == vars(error)


def variants() -> list[str]:
    source = (ROOT / "rust" / "core" / "src" / "error.rs").read_text(encoding="utf-8")
    body = source.split("pub enum Error {", 1)[1].split("\n}", 1)[0]
    return re.findall(r"^    (\w+)", body, re.MULTILINE)


def test_every_variant_is_provoked_here() -> None:
    assert variants() == list(PROVOKED_BY)


@pytest.mark.parametrize("variant", PROVOKED_BY)
def test_variant_becomes_the_class_of_its_name(variant: str) -> None:
    with pytest.raises((errors.RolecoreError, OSError)) as caught:
        PROVOKED_BY[variant]()
    assert type(caught.value).__name__ == NAMED_OTHERWISE.get(variant, f"{variant}Error")
