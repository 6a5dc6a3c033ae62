"""Answers that are known to be right: what an answer is compared with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

_SPACE = re.compile(r"\s+")
_CLOSING = ".!。！"
_LONGEST = 100_000
KINDS = ("exact", "one_of", "contains", "regex", "number")


class ExpectedError(ValueError):
    """What is expected cannot be checked; the message says how to write it."""


class Expected(Protocol):
    """One check of an answer."""

    def holds(self, answer: str) -> bool:
        """Whether the answer is right."""


@dataclass(frozen=True, slots=True)
class OneOf:
    """It is one of these texts; case, white space and a closing full stop do not count."""

    texts: frozenset[str]

    def holds(self, answer: str) -> bool:
        return _plain(answer) in self.texts


@dataclass(frozen=True, slots=True)
class Contains:
    """The text occurs in it; case and white space do not count."""

    text: str

    def holds(self, answer: str) -> bool:
        return self.text in _plain(answer)


@dataclass(frozen=True, slots=True)
class Number:
    """The last number in it is this one."""

    value: float

    def holds(self, answer: str) -> bool:
        numbers = list(_numbers(answer[-_LONGEST:]))
        return bool(numbers) and abs(numbers[-1] - self.value) <= 1e-9 * max(1.0, abs(self.value))


class Pattern:
    """The pattern, in RE2's syntax, is found in it: in linear time, whatever a model wrote."""

    def __init__(self, pattern: str) -> None:
        try:
            # An extra: only those who write patterns need it.
            import re2  # noqa: PLC0415
        except ImportError as error:
            raise ExpectedError("`regex` needs the package google-re2: pip install 'llmrouter[re2]'") from error
        try:
            self._pattern = re2.compile(pattern)
        except re2.error as error:
            raise ExpectedError(f"the pattern is none that RE2 knows: {error}") from error

    def holds(self, answer: str) -> bool:
        return self._pattern.search(answer[:_LONGEST].encode("utf-8", "replace").decode()) is not None


def expected_of(given: Any) -> Expected:
    """The check that a prompt set writes: a text or number, a list of texts, or an object with one of `KINDS`.

    Raises `ExpectedError`.
    """
    if isinstance(given, Mapping):
        if len(given) != 1 or (kind := next(iter(given))) not in KINDS:
            raise ExpectedError(f'`expected` has one of {", ".join(KINDS)}, such as {{"contains": "Paris"}}')
        return _of_kind(kind, given[kind])
    if isinstance(given, bool):
        return _of_kind("exact", str(given).lower())
    if isinstance(given, int | float):
        return Number(float(given))
    return _of_kind("one_of" if isinstance(given, list) else "exact", given)


def _of_kind(kind: str, value: Any) -> Expected:
    if kind == "number":
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ExpectedError("`number` is a number")
        return Number(float(value))
    if kind == "one_of":
        texts = [str(one) if isinstance(one, int | float) else one for one in value] if isinstance(value, list) else []
        if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
            raise ExpectedError("a list of expected answers holds texts, at least one")
        return OneOf(frozenset(_plain(text) for text in texts))
    if not isinstance(value, str) or not value.strip():
        raise ExpectedError(f"what is expected is text or a number, not {type(value).__name__}, and not empty")
    if kind == "regex":
        return Pattern(value)
    return Contains(_plain(value)) if kind == "contains" else OneOf(frozenset({_plain(value)}))


def _plain(text: str) -> str:
    return _SPACE.sub(" ", text).strip().rstrip(_CLOSING).rstrip().casefold()


_NUMBER = re.compile(r"(?a)(?<![\w.])-?\d{1,3}(?:,\d{3})+(?:\.\d+)?|(?<![\w.])-?\d+(?:\.\d+)?")


def _numbers(text: str) -> Iterator[float]:
    for found in _NUMBER.finditer(text):
        yield float(found[0].replace(",", ""))
