"""What the caller of a stream has been shown and still believes."""

from __future__ import annotations

from collections.abc import Sequence

from router_service.domain.event import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from router_service.domain.logprob import Logprobs, TokenLogprob


class Transcript:
    """The output of one attempt, or of several that went on from one another. Empty until something was shown.

    `root` is the number of the attempt that began it, `None` while it is empty.
    """

    __slots__ = ("_has_tool_calls", "_joined", "_reasoning", "_speakers", "_text", "_tokens", "_truncated", "root")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Nothing is shown, or all of it was taken back."""
        self.root: int | None = None
        self._speakers: list[int] = []
        self._joined: set[int] = set()
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._tokens: list[TokenLogprob] = []
        self._truncated = False
        self._has_tool_calls = False

    @property
    def speakers(self) -> Sequence[int]:
        """The attempts that said it, in order."""
        return self._speakers

    @property
    def text(self) -> str:
        """All text shown."""
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        """All visible thinking shown."""
        return "".join(self._reasoning)

    @property
    def logprobs(self) -> Logprobs | None:
        """All log-probabilities shown; `None` where there were none."""
        return Logprobs(tuple(self._tokens), self._truncated) if self._tokens else None

    @property
    def prefix(self) -> str:
        """What another attempt could go on from; empty where none could, for a tool call cannot be continued."""
        return "" if self._has_tool_calls or not self._text else self.text

    @property
    def last(self) -> int:
        """The attempt that spoke last, 0 where none did."""
        return self._speakers[-1] if self._speakers else 0

    def holds(self, attempt: int) -> bool:
        """Whether the attempt's output belongs to what is shown."""
        return attempt in self._joined

    def join(self, attempt: int) -> None:
        """The attempt goes on from here: its output will belong to what is shown."""
        self._joined.add(attempt)

    def add(self, attempt: int, deltas: Sequence[Delta]) -> None:
        """Output of an attempt that is shown."""
        if self.root is None:
            self.root = attempt
            self._joined.add(attempt)
        if self.last != attempt:
            self._speakers.append(attempt)
        for delta in deltas:
            if isinstance(delta, TextDelta):
                self._text.append(delta.text)
            elif isinstance(delta, ReasoningDelta):
                self._reasoning.append(delta.text)
            elif isinstance(delta, ToolCallDelta):
                self._has_tool_calls = True
            else:
                self._tokens.extend(delta.tokens)
                self._truncated = self._truncated or delta.truncated
