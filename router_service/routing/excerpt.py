"""The piece of a prompt by which language and complexity are judged: the last thing the user said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from router_service.domain.chat import Message, Role

_HEAD, _TAIL = 1200, 400
_WORD = re.compile(r"[^\W\d_]+")
# In what is ASCII, blanks for all that is no letter find the same words in a third of the time.
_LETTERS_ONLY = bytes(byte if chr(byte).isalpha() and byte < 128 else 32 for byte in range(256))


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Beginning and end of a text, also in lower case and as words. `length` is the whole text's, in characters."""

    text: str
    lower: str
    words: list[str]
    length: int


def last_said(messages: Sequence[Message]) -> Excerpt:
    """An excerpt of the last user message, or of the last message where no user speaks."""
    for message in reversed(messages):
        if message.role is Role.USER:
            return excerpt(message.text)
    return excerpt(messages[-1].text if messages else "")


def excerpt(text: str) -> Excerpt:
    """What is asked stands at the beginning or the end; what lies between is mostly material."""
    length = len(text)
    if length > _HEAD + _TAIL:
        text = f"{text[:_HEAD]}\n{text[-_TAIL:]}"
    lower = text.lower()
    return Excerpt(text, lower, words_of(lower), length)


def words_of(lower: str) -> list[str]:
    """The words of a text that is in lower case already."""
    if lower.isascii():
        return lower.encode().translate(_LETTERS_ONLY).decode().split()
    return _WORD.findall(lower)
