"""Edits that leave a prompt's difficulty alone: its case, a typo, a word of politeness."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from random import Random

_WORD = re.compile(r"[^\W\d_]{5,}")
_BEFORE = ("Please help me with this: ", "Hi! ", "Hello, could you please answer this? ", "Quick question: ")
_AFTER = (" Thanks!", " Thank you in advance.", " Please.", "")
_CHARACTERS_PER_TYPO = 200


def _typo(text: str, draw: Random) -> str:
    """Two neighbouring letters swapped within a word, once for each 200 characters, at least once."""
    spans = [(word.start(), word.end()) for word in _WORD.finditer(text)]
    letters = list(text)
    for _ in range(1 + len(text) // _CHARACTERS_PER_TYPO if spans else 0):
        start, end = draw.choice(spans)
        at = draw.randrange(start, end - 1)
        letters[at], letters[at + 1] = letters[at + 1], letters[at]
    return "".join(letters)


def _filler(text: str, draw: Random) -> str:
    return f"{draw.choice(_BEFORE)}{text}{draw.choice(_AFTER)}"


EDITS: Mapping[str, Callable[[str, Random], str]] = {
    "lower case": lambda text, _: text.lower(),
    "upper case": lambda text, _: text.upper(),
    "typos": _typo,
    "filler": _filler,
}
