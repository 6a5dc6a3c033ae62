"""Taking away the beginning of an answer that a provider repeats before it goes on from there."""

from __future__ import annotations

LEAST_ECHO = 16
"""A beginning of so many characters does not come again by chance; a shorter one may."""


class PrefixEcho:
    """Takes `prefix` away from the front of what follows it, if all of it is there again.

    Text is held back only while it agrees with the prefix.
    """

    def __init__(self, prefix: str) -> None:
        self._left = prefix
        self._held = ""

    def new(self, text: str) -> str:
        """What of `text`, and of text held back before it, is new."""
        if not self._left:
            return text
        if self._left.startswith(text):
            self._left = self._left[len(text) :]
            self._held = self._held + text if self._left else ""
            return ""
        is_echo = text.startswith(self._left)
        new = text[len(self._left) :] if is_echo else self._held + text
        self._left = self._held = ""
        return new

    def rest(self) -> str:
        """What was held back and is no echo, because nothing more follows."""
        held, self._held, self._left = self._held, "", ""
        return held
