"""An answer that goes on where another attempt broke off: what of the provider's output really is new."""

from __future__ import annotations

from collections.abc import Sequence

from router_service.domain.event import Delta, ReasoningDelta, TextDelta

# Shorter beginnings recur by chance.
_LEAST_ECHO = 16


class Continuation:
    """Filters the output of an attempt that was asked to go on from `said`.

    Some providers repeat what they were given before they go on, and white space at its end may come again, for it was
    not sent (some refuse it). Neither reaches the caller twice. Thinking belongs before an answer, so that of a later
    attempt is left out.
    """

    __slots__ = ("_gap", "_held", "_may_echo", "prefix")

    def __init__(self, said: str) -> None:
        self.prefix = said.rstrip()
        """What the provider is given."""
        self._gap = said[len(self.prefix) :]
        self._may_echo = len(self.prefix) >= _LEAST_ECHO
        self._held = ""

    def take(self, deltas: Sequence[Delta]) -> list[Delta]:
        """What of the output may be shown now."""
        fresh: list[Delta] = []
        for delta in deltas:
            if isinstance(delta, TextDelta):
                if text := self._new(delta.text):
                    fresh.append(TextDelta(text))
            elif not isinstance(delta, ReasoningDelta):
                fresh += self.rest()
                fresh.append(delta)
        return fresh

    def rest(self) -> list[Delta]:
        """What was held back because it could have become an echo, and is none."""
        held, self._held = self._held, ""
        self._may_echo = False
        text = self._after_gap(held)
        return [TextDelta(text)] if text else []

    def _new(self, text: str) -> str:
        if not self._may_echo:
            return self._after_gap(text)
        held = self._held + text
        if len(held) < len(self.prefix) and self.prefix.startswith(held):
            self._held = held
            return ""
        self._held = ""
        self._may_echo = False
        return self._after_gap(held.removeprefix(self.prefix))

    def _after_gap(self, text: str) -> str:
        """The text without the white space that the caller has already."""
        while self._gap and text:
            if text[0] != self._gap[0]:
                self._gap = ""
            else:
                self._gap, text = self._gap[1:], text[1:]
        return text
