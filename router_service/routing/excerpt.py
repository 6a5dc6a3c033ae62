"""The piece of a prompt by which language and complexity are judged: the last thing the user said."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from router_service.domain.chat import Message, Role

_HEAD, _TAIL = 1200, 400
_WORD = re.compile(r"[^\W\d_]+")
# Blanks for all that is no letter find the same words in a third of the time.
_LETTERS_ONLY = bytes(byte if byte > 127 or chr(byte).isalpha() else 32 for byte in range(256))
_ASCII = bytes(range(128))
# In UTF-8 these bytes begin the characters from U+3000 to U+DFFF, and are in no others.
_EAST_ASIAN = bytes(range(0xE3, 0xEE))
# So many different characters beyond ASCII are few, and one in so many is rare.
_FEW, _RARE = 16, 8


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
    """The words of a text that is in lower case already: letters of any script, and nothing else."""
    plain = with_plain_signs(lower, _is_letter)
    return _WORD.findall(lower) if plain is None else words_between_blanks(plain, _LETTERS_ONLY)


def with_plain_signs(text: str, is_part_of_word: Callable[[str], bool]) -> str | None:
    """The text with a blank for each character beyond ASCII that is no part of a word: curly quotes, dashes, arrows.

    None where more than an eighth of the text is beyond ASCII, or more than 16 different characters: there a regular
    expression is as fast.
    """
    if text.isascii():
        return text
    beyond = _encoded(text).translate(None, _ASCII).decode("utf-8", "surrogatepass")
    if _RARE * len(beyond) > len(text) or len(set(beyond)) > _FEW:
        return None
    for character in set(beyond):
        if not is_part_of_word(character):
            text = text.replace(character, " ")
    return text


def words_between_blanks(text: str, ascii_in_words: bytes) -> list[str]:
    """The words of a text whose characters beyond ASCII are blanks or parts of words.

    `ascii_in_words` maps each byte to itself, where it is a part of a word, or to a blank; from 128 up to itself.
    """
    return _encoded(text).translate(ascii_in_words).decode("utf-8", "surrogatepass").split()


def is_east_asian(text: str) -> bool:
    """Whether Han characters, kana or hangul occur."""
    if text.isascii():
        return False
    encoded = _encoded(text)
    return len(encoded.translate(None, _EAST_ASIAN)) < len(encoded)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _is_letter(character: str) -> bool:
    return character.isalnum() and not character.isdecimal()
