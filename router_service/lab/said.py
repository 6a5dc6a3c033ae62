"""A prompt as files hold it: a text, or a conversation's messages, of which the last thing the user said counts."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Part(msgspec.Struct):
    """A piece of a message; what is no text, such as a picture, is empty."""

    text: str = ""


class Said(msgspec.Struct):
    """A message, as OpenAI has them."""

    role: str
    content: str | list[Part] | None = None

    @property
    def text(self) -> str:
        """All its text, as the router reads it when it serves: parts follow each other without a separator."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


def last_said(prompt: str | Sequence[Said]) -> str:
    """What a classifier looks at: the text, or the last thing the user said, else the last message."""
    if isinstance(prompt, str):
        return prompt
    said = [message for message in prompt if message.role == "user"] or prompt
    return said[-1].text if said else ""
