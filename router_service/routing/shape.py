"""The shape of a prompt: how long, how many numbers, signs, lines and options. Case plays no part."""

from __future__ import annotations

import re
from math import log1p

from router_service.routing.excerpt import Excerpt

SHAPE = (
    "length", "length of the question", "words", "length of words", "different words", "numbers", "digits",
    "signs of mathematics", "questions", "lines", "commas", "sentences", "options", "length of options",
    "options of numbers", "blanks",
)  # fmt: skip
"""What is counted, in the order in which `shape_of` says it."""

_NUMBER = re.compile("[0-9]+")
_DIGITS, _SIGNS = b"0123456789", b"-+*/=^<>\\$(){}"
_DIGITS_ONLY = bytes(byte if byte in _DIGITS else 32 for byte in range(256))
_LETTERS, _AFTER_LETTER = frozenset("abcdefghij"), frozenset(".)")


def shape_of(said: Excerpt) -> tuple[float, ...]:
    """One figure for each of `SHAPE`, counts as the logarithm of one more."""
    lower, words = said.lower, said.words
    # To delete bytes and see what is left counts many signs at once.
    encoded = lower.encode("utf-8", "surrogatepass")
    digits = len(encoded) - len(encoded.translate(None, _DIGITS))
    numbers = len(encoded.translate(_DIGITS_ONLY).split()) if digits else 0
    options = _options(lower) if "\nb" in lower or "\n(b" in lower else []
    length_of_options = sum(map(len, options))
    return (
        log1p(said.length),
        log1p(max(said.length - length_of_options, 0)),
        log1p(len(words)),
        len("".join(words)) / max(len(words), 1),
        len(set(words)) / max(len(words), 1),
        log1p(numbers),
        log1p(digits),
        log1p(len(encoded) - len(encoded.translate(None, _SIGNS))),
        log1p(lower.count("?")),
        log1p(lower.count("\n")),
        log1p(lower.count(",")),
        log1p(lower.count(". ")),
        log1p(len(options)),
        log1p(length_of_options / len(options)) if options else 0.0,
        1.0 if options and all(map(_NUMBER.search, options)) else 0.0,
        1.0 if "__" in lower or " _ " in lower else 0.0,
    )


def _options(lower: str) -> list[str]:
    """The texts of lines such as "b) blue", "(b) blue" and "b. blue"."""
    lines = [line.removeprefix("(") for line in lower.split("\n")]
    return [line[2:].lstrip(" ") for line in lines if line[:1] in _LETTERS and line[1:2] in _AFTER_LETTER]
