"""Newest-first trimming, the way everyone starts: here only to be compared with."""

from __future__ import annotations

_INSTRUCTIONS = frozenset({"system", "developer"})


class NewestFirst:
    """Keeps all instructions and as many of the newest messages as fit, as messages come in.

    It never starts in the middle of a tool call's results, so what it keeps is legal. The caller counts the messages.
    """

    def __init__(self, budget_tokens: int) -> None:
        """Start with no message."""
        self.budget_tokens = budget_tokens
        self.tokens = 0
        self.start = 0
        self._roles: list[str] = []
        self._costs: list[int] = []
        self._instructions: list[int] = []

    def append(self, role: str, tokens: int) -> None:
        """Take one more message in and let the oldest go. Cost: O(1), spread over all calls."""
        if role in _INSTRUCTIONS:
            self._instructions.append(len(self._roles))
        self._roles.append(role)
        self._costs.append(tokens)
        self.tokens += tokens
        while self.start < len(self._roles) and (self.tokens > self.budget_tokens or self._starts_in_a_group()):
            self.tokens -= 0 if self._roles[self.start] in _INSTRUCTIONS else self._costs[self.start]
            self.start += 1

    def window(self) -> list[int]:
        """Return the indices of what is kept, ascending."""
        older = [index for index in self._instructions if index < self.start]
        return older + list(range(self.start, len(self._roles)))

    def _starts_in_a_group(self) -> bool:
        return self.start > 0 and self._roles[self.start] == "tool"
