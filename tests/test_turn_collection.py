"""The garbage collector may run at any allocation of a turn; it looks into histories, and never finds one locked."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own: what waits for a lock for ever cannot be interrupted.
CODE = """
import gc

import rolecore

CALLS = [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]
PARTS = [{"type": "text", "text": "and a part"}]
SAID = [
    {"role": "user", "content": PARTS},
    {"role": "assistant", "content": None, "tool_calls": CALLS},
    {"role": "tool", "tool_call_id": "c1", "content": "found"},
    {"role": "assistant", "content": "yes"},
]
embedder = rolecore.HashingEmbedder()
budget = rolecore.ContextBudget(300, reply_tokens=100, embedder=embedder)
for n_before in range(40):
    for said in ([], SAID):
        gc.disable()
        history = rolecore.History(SAID)  # young, so that each collection looks into it
        garbage = [[] for _ in range(n_before)]
        gc.set_threshold(20)
        gc.enable()
        message = {"role": "user", "content": PARTS}
        budget.fit(history, message, query="a part", unread=list(said), embedder=budget.new_embedder())
print("done")
"""


def test_plan_with_a_collection_at_any_allocation_ends() -> None:
    run = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=20, check=True)
    assert run.stdout == "done\n"
