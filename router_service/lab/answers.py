"""What an answer shows of itself: arithmetic that does not hold, no final answer, hedging, an end in mid-sentence.

The figures are for learning which answers of a cheap model to believe; they need no model and no reference.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, log1p

_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?|\.\d+")
_ANNOTATION = re.compile(r"<<([^<>=]+)=([^<>]+)>>(\$?-?[\d,]*\.?\d+)?")
_EQUATION = re.compile(
    r"((?:\$?[\d.,]+%?|\([^()=]*\))(?:\s*[-+*/x×÷]\s*\$?(?:[\d.,]+%?|\([^()=]*\)))+)\s*=\s*\$?(-?[\d,]*\.?\d+)"
)
_FINAL = re.compile(r"####\s*\$?(-?[\d,]*\.?\d+)")
_ARITHMETIC = re.compile(r"[\d.+\-*/() ]{1,80}")
_PERCENT = re.compile(r"([\d.]+)%")
_HEDGES = (
    "however", "assum", "not possible", "cannot", "can't", "unclear", "approximat", "since you", "not specified",
    "doesn't", "does not", "actually", "round", "impossible", "unknown", "mistake", "i'm not sure", "i don't know",
    "depends", "insufficient", "unfortunately",
)  # fmt: skip
_WORDS = {
    "one": 1.0, "two": 2.0, "three": 3.0, "four": 4.0, "five": 5.0, "six": 6.0, "seven": 7.0, "eight": 8.0,
    "nine": 9.0, "ten": 10.0, "eleven": 11.0, "twelve": 12.0, "dozen": 12.0, "half": 0.5, "twice": 2.0, "double": 2.0,
    "triple": 3.0, "thrice": 3.0,
}  # fmt: skip
_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip
_ENDS = frozenset(".!?\"')]}`*:;")

FIGURES = (
    "no final answer", "several final answers", "wrong equation", "wrong equations", "wrong annotation",
    "wrong annotations", "equations", "annotations", "numbers not used", "share not used", "not whole", "negative",
    "zero", "final is not the last result", "final is in the question", "size of the final answer", "hedges", "length",
    "lines", "ends in the middle", "ends with a line", "repeats a line", "results not used", "fractional result",
    "paragraphs", "more after the final answer", "numbers of the question", "answer over question",
)  # fmt: skip
"""What `figures_of` says, in this order."""


@dataclass(frozen=True, slots=True)
class _Working:
    """The equations of an answer: left sides, stated results, and how many do not hold."""

    left: list[str]
    results: list[float]
    wrong: int


def figures_of(question: str, answer: str) -> tuple[float, ...]:
    """One figure for each of `FIGURES`."""
    text = answer.strip()
    lower, lines = text.lower(), [line for line in text.splitlines() if line.strip()]
    plain = re.sub(r"<<[^<>]*>>", "", text)
    finals, working = _FINAL.findall(text), _working(plain)
    annotations = _ANNOTATION.findall(text)
    wrong_annotations = sum(not _holds(*one) for one in annotations)
    asked = set(_numbers(question))
    told = _numbers(plain)
    final = _value(finals[-1]) if finals else (told[-1] if told else None)
    unused = len(asked - set(told))
    known = asked | {_WORDS[word] for word in re.findall(r"[a-z]+", question.lower()) if word in _WORDS}
    tail = _numbers(text[text.rfind("####") :]) if finals else []
    return (
        float(not finals),
        float(len(set(finals)) > 1),
        float(working.wrong > 0),
        float(working.wrong),
        float(wrong_annotations > 0),
        float(wrong_annotations),
        log1p(len(working.results)),
        log1p(len(annotations)),
        float(unused),
        unused / max(len(asked), 1),
        float(final is not None and not final.is_integer()),
        float(final is not None and final < 0),
        float(final == 0),
        float(bool(working.results) and final is not None and final != working.results[-1]),
        float(final in known),
        log1p(abs(final)) if final is not None else 0.0,
        log1p(sum(lower.count(hedge) for hedge in _HEDGES)),
        log1p(len(text)),
        float(len(lines)),
        float(_is_cut(text)),
        float(answer.endswith("\n")),
        float(len(set(lines)) < len(lines)),
        log1p(_results_not_used(working, final)),
        float(any(not result.is_integer() for result in working.results)),
        log1p(text.count("\n\n")),
        float(len(tail) > 1),
        log1p(len(asked)),
        log1p(len(text) / max(len(question), 1)),
    )


def _is_cut(text: str) -> bool:
    if text.rfind("<<") > text.rfind(">>"):
        return True
    return not text or not (text[-1] in _ENDS or text[-1].isdigit())


def arithmetic(expression: str) -> float | None:
    """The value of an expression of numbers, + - * / and brackets; `None` where it is none."""
    text = expression.replace(",", "").replace("$", "").replace("\\", "")
    text = text.replace("x", "*").replace("×", "*").replace("÷", "/")
    text = _PERCENT.sub(r"(\1/100)", text).strip()
    if not _ARITHMETIC.fullmatch(text):
        return None
    try:
        return _evaluated(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, OverflowError, RecursionError, MemoryError):
        return None


def _evaluated(node: ast.expr) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_evaluated(node.left), _evaluated(node.right))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_evaluated(node.operand)
    raise ValueError("no arithmetic")


def _working(plain: str) -> _Working:
    left, results, wrong = [], [], 0
    for expression, stated in _EQUATION.findall(plain):
        value, result = arithmetic(expression), _value(stated)
        if value is None or result is None:
            continue
        left.append(expression)
        results.append(result)
        wrong += not _close(value, result)
    return _Working(left, results, wrong)


def _holds(expression: str, stated: str, shown: str) -> bool:
    """Whether an annotation such as <<6*8=48>>48 is right, and what stands behind it says the same."""
    value, result = arithmetic(expression), _value(stated)
    if value is None or result is None or not _close(value, result):
        return False
    repeated = _value(shown) if shown else None
    return repeated is None or abs(repeated - result) <= 0.01 * max(1.0, abs(result))


def _results_not_used(working: _Working, final: float | None) -> int:
    later: set[float] = set() if final is None else {final}
    unused = 0
    for expression, result in zip(reversed(working.left[1:]), reversed(working.results[:-1]), strict=True):
        later.update(_numbers(expression))
        unused += result not in later
    return unused


def _close(value: float, result: float) -> bool:
    return abs(value - result) <= 0.0055 * max(1.0, abs(value))


def _numbers(text: str) -> list[float]:
    return [number for found in _NUMBER.findall(text) if (number := _value(found)) is not None]


def _value(text: str) -> float | None:
    try:
        value = float(text.replace(",", "").replace("$", "").strip().rstrip("."))
    except ValueError:
        return None
    return value if isfinite(value) else None
