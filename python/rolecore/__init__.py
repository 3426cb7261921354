"""Keep any chat history inside a token budget, without ever building a request a provider would refuse.

Nothing third-party is imported here, and the compiled core only when a name that needs it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rolecore import codec as codec
    from rolecore._core import CUT_KEY as CUT_KEY
    from rolecore._core import CUT_MARK as CUT_MARK
    from rolecore._core import Entry as Entry
    from rolecore._core import HashingEmbedder as HashingEmbedder
    from rolecore._core import History as History
    from rolecore._core import Hit as Hit
    from rolecore._core import Report as Report
    from rolecore._core import RetainController as RetainController
    from rolecore._core import RollingWindow as RollingWindow
    from rolecore._core import Tokenizer as Tokenizer
    from rolecore._core import TokenStream as TokenStream
    from rolecore._core import VectorCache as VectorCache
    from rolecore._core import Window as Window
    from rolecore._core import compute_retain_ratio as compute_retain_ratio
    from rolecore._core import gate as gate
    from rolecore._core import gate_reason as gate_reason
    from rolecore._core import tokenizer as tokenizer
    from rolecore.adapters.agent import AIAgent as AIAgent
    from rolecore.adapters.agent import Completion as Completion
    from rolecore.adapters.agent import Usage as Usage
    from rolecore.adapters.extractive import ExtractiveAgent as ExtractiveAgent
    from rolecore.adapters.limits import RateLimiter as RateLimiter
    from rolecore.adapters.openai import OpenAIAgent as OpenAIAgent
    from rolecore.adapters.scripted import ScriptedAgent as ScriptedAgent
    from rolecore.adapters.shared_limits import RedisRateLimiter as RedisRateLimiter
    from rolecore.breaker import CircuitBreaker as CircuitBreaker
    from rolecore.cache import Explanation as Explanation
    from rolecore.cache import SemanticCache as SemanticCache
    from rolecore.cached_embedder import CachedEmbedder as CachedEmbedder
    from rolecore.context import ContextBudget as ContextBudget
    from rolecore.context import fit as fit
    from rolecore.context_keys import TENANT as TENANT
    from rolecore.context_keys import TRACE_ID as TRACE_ID
    from rolecore.context_keys import USER_ID as USER_ID
    from rolecore.context_keys import ContextKey as ContextKey
    from rolecore.deadlines import deadline as deadline
    from rolecore.decision import Decision as Decision
    from rolecore.embedders.onnx import OnnxEmbedder as OnnxEmbedder
    from rolecore.embedders.openai import OpenAIEmbedder as OpenAIEmbedder
    from rolecore.errors import ActorStopped as ActorStopped
    from rolecore.errors import AdapterError as AdapterError
    from rolecore.errors import APIConnectionError as APIConnectionError
    from rolecore.errors import APIStatusError as APIStatusError
    from rolecore.errors import ArgumentError as ArgumentError
    from rolecore.errors import BudgetError as BudgetError
    from rolecore.errors import CacheError as CacheError
    from rolecore.errors import CircuitOpen as CircuitOpen
    from rolecore.errors import CodecError as CodecError
    from rolecore.errors import DeadlineExceeded as DeadlineExceeded
    from rolecore.errors import MailboxFull as MailboxFull
    from rolecore.errors import MessageDropped as MessageDropped
    from rolecore.errors import MessageError as MessageError
    from rolecore.errors import MissingExtraError as MissingExtraError
    from rolecore.errors import PolicyDenied as PolicyDenied
    from rolecore.errors import QuotaError as QuotaError
    from rolecore.errors import RateLimitError as RateLimitError
    from rolecore.errors import RolecoreError as RolecoreError
    from rolecore.errors import RoleNotFound as RoleNotFound
    from rolecore.errors import SessionConflict as SessionConflict
    from rolecore.errors import SessionError as SessionError
    from rolecore.errors import SessionExpired as SessionExpired
    from rolecore.errors import SessionNotFound as SessionNotFound
    from rolecore.errors import StoreError as StoreError
    from rolecore.errors import TokenizerError as TokenizerError
    from rolecore.index import FaissIndex as FaissIndex
    from rolecore.index import VectorIndex as VectorIndex
    from rolecore.memory import Memory as Memory
    from rolecore.memory import MemoryProbe as MemoryProbe
    from rolecore.roles.arguments import Principal as Principal
    from rolecore.roles.directory import RoleDirectory as RoleDirectory
    from rolecore.roles.role import Role as Role
    from rolecore.router import Router as Router
    from rolecore.sessions.actor import RoleActor as RoleActor
    from rolecore.sessions.session import RoleSession as RoleSession
    from rolecore.sessions.session import SessionState as SessionState
    from rolecore.sessions.supervisor import Supervisor as Supervisor
    from rolecore.sessions.threads import SupervisorThread as SupervisorThread
    from rolecore.stores import open_store as open_store
    from rolecore.stores.protocol import SessionRecord as SessionRecord
    from rolecore.stores.protocol import SessionStore as SessionStore
    from rolecore.stores.protocol import SupportsQuota as SupportsQuota
    from rolecore.stores.protocol import SupportsTTL as SupportsTTL
    from rolecore.trace import AgentCall as AgentCall
    from rolecore.trace import CallFigures as CallFigures
    from rolecore.trace import CallStats as CallStats
    from rolecore.trace import call_stats as call_stats
    from rolecore.trace import subscribe as subscribe
    from rolecore.trace import trace_agent_call as trace_agent_call
    from rolecore.turn import TurnHandler as TurnHandler
    from rolecore.turn import run_turn as run_turn
    from rolecore.turn_result import TurnResult as TurnResult
    from rolecore.types import Embedder as Embedder

    __version__: str

_HOME = {
    "AdapterError": "errors",
    "APIConnectionError": "errors",
    "APIStatusError": "errors",
    "ArgumentError": "errors",
    "BudgetError": "errors",
    "CacheError": "errors",
    "CodecError": "errors",
    "MessageError": "errors",
    "MissingExtraError": "errors",
    "RateLimitError": "errors",
    "RolecoreError": "errors",
    "TokenizerError": "errors",
    "codec": "codec",
    "CUT_KEY": "_core",
    "CUT_MARK": "_core",
    "Entry": "_core",
    "HashingEmbedder": "_core",
    "History": "_core",
    "Hit": "_core",
    "Report": "_core",
    "RollingWindow": "_core",
    "Tokenizer": "_core",
    "TokenStream": "_core",
    "VectorCache": "_core",
    "Window": "_core",
    "fit": "context",
    "ContextBudget": "context",
    "TurnHandler": "turn",
    "TurnResult": "turn_result",
    "run_turn": "turn",
    "tokenizer": "_core",
    "RetainController": "_core",
    "compute_retain_ratio": "_core",
    "CachedEmbedder": "cached_embedder",
    "Explanation": "cache",
    "SemanticCache": "cache",
    "gate": "_core",
    "gate_reason": "_core",
    "Memory": "memory",
    "MemoryProbe": "memory",
    "Embedder": "types",
    "OnnxEmbedder": "embedders.onnx",
    "OpenAIEmbedder": "embedders.openai",
    "FaissIndex": "index",
    "VectorIndex": "index",
    "ContextKey": "context_keys",
    "TENANT": "context_keys",
    "TRACE_ID": "context_keys",
    "USER_ID": "context_keys",
    "deadline": "deadlines",
    "DeadlineExceeded": "errors",
    "QuotaError": "errors",
    "SessionConflict": "errors",
    "SessionNotFound": "errors",
    "StoreError": "errors",
    "SessionRecord": "stores.protocol",
    "SessionStore": "stores.protocol",
    "SupportsQuota": "stores.protocol",
    "SupportsTTL": "stores.protocol",
    "open_store": "stores",
    "ActorStopped": "errors",
    "MailboxFull": "errors",
    "MessageDropped": "errors",
    "SessionError": "errors",
    "SessionExpired": "errors",
    "RoleActor": "sessions.actor",
    "RoleSession": "sessions.session",
    "SessionState": "sessions.session",
    "Supervisor": "sessions.supervisor",
    "SupervisorThread": "sessions.threads",
    "AIAgent": "adapters.agent",
    "Completion": "adapters.agent",
    "Usage": "adapters.agent",
    "RateLimiter": "adapters.limits",
    "ExtractiveAgent": "adapters.extractive",
    "OpenAIAgent": "adapters.openai",
    "ScriptedAgent": "adapters.scripted",
    "RedisRateLimiter": "adapters.shared_limits",
    "CircuitBreaker": "breaker",
    "CircuitOpen": "errors",
    "PolicyDenied": "errors",
    "RoleNotFound": "errors",
    "Decision": "decision",
    "Router": "router",
    "Principal": "roles.arguments",
    "Role": "roles.role",
    "RoleDirectory": "roles.directory",
    "AgentCall": "trace",
    "CallFigures": "trace",
    "CallStats": "trace",
    "call_stats": "trace",
    "subscribe": "trace",
    "trace_agent_call": "trace",
}

__all__ = sorted([*_HOME, "__version__"])  # noqa: PLE0605  one list of names, kept in _HOME


# Hidden from type checkers, which would take any misspelt name for a lazy one.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Load a public name from the module it lives in, once."""
        if name == "__version__":
            value: object = import_module("rolecore._core").__version__
        elif name in _HOME:
            module = import_module(f"rolecore.{_HOME[name]}")
            value = module if name == "codec" else getattr(module, name)
        else:
            msg = f"module 'rolecore' has no attribute {name!r}"
            raise AttributeError(msg)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return __all__
