"""The gate that calculates after the answer: `12 * 3 = 36` is checked, wherever it stands.

Only what is plainly arithmetic is looked at: numbers and signs on both sides of an equals sign. Where letters stand
between, as in `16 eggs - 3 = 13`, nothing is concluded.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from router_service.domain.call import Call
from router_service.domain.quality import GateKind, Verdict
from router_service.quality.given import GivenAnswer

_LONGEST_SIDE = 120
_MOST_EQUATIONS = 200
_DEEPEST = 12

_MATH = frozenset("0123456789.,+-*/()^$€£¥% ×·÷−–\\")
_SIGNS = {"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "x": "*", "X": "*"}
_DROPPED = str.maketrans("", "", "$€£¥\\")
_TOKEN = re.compile(r"\d[\d,]*(?:\.\d+)?|\.\d+|[-+*/()%^]")
_TIMES = re.compile(r"(?<=[\d) ])[xX](?=[\d( ])")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")


class Arithmetic:
    """Every calculation that the answer writes out is right."""

    def judge(self, call: Call, answer: GivenAnswer) -> Verdict:
        checked = wrong = 0
        for left, right in _equations(answer.excerpt):
            is_right = _agree(left, right)
            if is_right is not None:
                checked += 1
                wrong += not is_right
        if not checked:
            return Verdict(GateKind.ARITHMETIC, True, 1.0, "it writes no calculation out")
        score = 0.0 if wrong == checked else 0.5 * (1 - wrong / checked) if wrong else 1.0
        return Verdict(GateKind.ARITHMETIC, not wrong, score, f"{wrong} of {checked} calculations are wrong")


def _equations(text: str) -> Iterator[tuple[str, str]]:
    found = 0
    for line in text.splitlines():
        if "=" not in line:
            continue
        sides = line.replace("<<", " = ").replace(">>", " = ").split("=")
        for left, right in itertools.pairwise(sides):
            found += 1
            if found > _MOST_EQUATIONS:
                return
            yield _end_of(left[-_LONGEST_SIDE:]), _beginning_of(right[:_LONGEST_SIDE])


def _end_of(side: str) -> str:
    """The arithmetic that a text ends with."""
    side = _TIMES.sub("*", side)
    at = len(side)
    while at and side[at - 1] in _MATH:
        at -= 1
    # What touches a letter belongs to a word or a unit: "x2", "m/2".
    cut = at and side[at - 1].isalnum()
    found = side[at:]
    return found.partition(" ")[2] if cut and not found.startswith(" ") else found


def _beginning_of(side: str) -> str:
    """The arithmetic that a text begins with."""
    side = _TIMES.sub("*", side)
    at = 0
    while at < len(side) and side[at] in _MATH:
        at += 1
    return side[:at].rstrip(" .,+-*/(^–−×÷·\\")


def _agree(left: str, right: str) -> bool | None:
    """Whether two sides are equal, as far as the right one is written out; `None` where that cannot be said."""
    a, b = _tokens(left), _tokens(right)
    if len(a) < 2 and len(b) < 2:
        return None
    first, second = _value(a), _value(b)
    if first is None or second is None:
        return None
    unit = 10.0 ** -_decimals(right) if len(b) == 1 else 0.0
    # A rounded result is right, and so is one that was cut after at least one decimal.
    slack = unit if unit < 1 else 0.0
    # "20 / 100 * 40 = 8%" means 8 of a hundred, "0.2 = 20%" a fifth: people write both.
    return any(
        abs(one - second) <= max(slack, 1e-6 * max(1.0, abs(one), abs(second)))
        for one in ((first, first / 100) if right.rstrip().endswith("%") else (first,))
    )


def _decimals(side: str) -> int:
    digits = side.strip().rstrip("%. ").rpartition(".")
    return len(digits[2]) if digits[1] else 0


def _tokens(side: str) -> list[str]:
    text = side.translate(_DROPPED)
    for sign, plain in _SIGNS.items():
        text = text.replace(sign, plain)
    return _TOKEN.findall(text)


class _Unclear(Exception):
    """Not an expression, or one that no answer means as such."""


def _value(tokens: list[str]) -> float | None:
    """What it comes to; `None` where it is no expression. One that begins with a sign lost what stood before it."""
    if not tokens or tokens[0] in ("+", "*", "/", "^", "%", ")") or (tokens[0] == "-" and len(tokens) > 2):
        return None
    reader = _Reader(tokens)
    try:
        value = reader.sum(0)
    except (_Unclear, ZeroDivisionError, OverflowError, IndexError):
        return None
    return value if reader.at == len(tokens) else None


class _Reader:
    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self.at = 0

    @property
    def _next(self) -> str:
        return self._tokens[self.at] if self.at < len(self._tokens) else ""

    def sum(self, depth: int) -> float:
        value = self._product(depth)
        while (sign := self._next) in ("+", "-") and sign:
            self.at += 1
            more = self._product(depth)
            value = value + more if sign == "+" else value - more
        return value

    def _product(self, depth: int) -> float:
        value = self._power(depth)
        while (sign := self._next) in ("*", "/") and sign:
            self.at += 1
            more = self._power(depth)
            value = value * more if sign == "*" else value / more
        return value

    def _power(self, depth: int) -> float:
        value = self._one(depth)
        if self._next == "^":
            self.at += 1
            exponent = self._one(depth)
            if abs(exponent) > 64 or (value < 0 and exponent != int(exponent)):
                raise _Unclear
            return float(value**exponent)
        return value

    def _one(self, depth: int) -> float:
        if depth > _DEEPEST:
            raise _Unclear
        token = self._tokens[self.at]
        self.at += 1
        if token == "-":  # noqa: S105 - a sign
            return -self._one(depth + 1)
        if token == "(":  # noqa: S105 - a sign
            value = self.sum(depth + 1)
            if self._next != ")":
                raise _Unclear
            self.at += 1
        elif token[0].isdigit() or token[0] == ".":
            if "," in token and not _THOUSANDS.fullmatch(token):
                raise _Unclear
            value = float(token.replace(",", ""))
        else:
            raise _Unclear
        if self._next == "%":
            self.at += 1
            value /= 100
        return value
