"""An answer that goes on where another attempt broke off: what of the provider's output the caller lacks."""

from __future__ import annotations

from collections.abc import Sequence

from router_service.domain.event import Delta, ReasoningDelta, TextDelta


class Continuation:
    """Filters the output of an attempt that was asked to go on from `said`.

    White space at its end was not sent, for some providers refuse it; what comes again of it does not reach the caller
    twice. Thinking belongs before an answer, so that of a later attempt is left out.
    """

    __slots__ = ("_gap", "prefix")

    def __init__(self, said: str) -> None:
        self.prefix = said.rstrip()
        """What the provider is given."""
        self._gap = said[len(self.prefix) :]

    def take(self, deltas: Sequence[Delta]) -> list[Delta]:
        """What of the output is to be shown."""
        fresh: list[Delta] = []
        for delta in deltas:
            if isinstance(delta, TextDelta):
                if text := self._after_gap(delta.text):
                    fresh.append(TextDelta(text))
            elif not isinstance(delta, ReasoningDelta):
                fresh.append(delta)
        return fresh

    def _after_gap(self, text: str) -> str:
        """The text without the white space that the caller has already."""
        while self._gap and text:
            if text[0] != self._gap[0]:
                self._gap = ""
            else:
                self._gap, text = self._gap[1:], text[1:]
        return text
