"""The gate that counts final answers: one that gives none, or several, has not decided."""

from __future__ import annotations

import re
from dataclasses import dataclass

from router_service.domain.call import Call
from router_service.domain.quality import Gate, GateKind, Verdict
from router_service.quality.given import GivenAnswer

# How a final answer is announced: the marks of mathematics, and the words of several languages. Every alternative
# begins with a fixed text and repeats nothing without a bound, so that a search is linear.
_ANNOUNCED = re.compile(
    r"(?im)^[ \t]{0,8}#{4}[ \t]{0,4}\S|\\boxed\{|\bfinal answer\b|\banswer[ \t]{0,2}:|\bthe answer is\b"
    r"|\bdie antwort (?:ist|lautet)\b|\bantwort[ \t]{0,2}:|\bla réponse est\b|\bréponse[ \t]{0,2}:"
    r"|\bla respuesta es\b|\brespuesta[ \t]{0,2}:|ответ[ \t]{0,2}:|答案是|答案[:：]|答えは|答え[:：]|정답은|답[:：]"
)


@dataclass(frozen=True, slots=True)
class NumberOfAnswers:
    """As many announced answers as wanted; those of one line count once."""

    at_least: int
    at_most: int

    @classmethod
    def of(cls, gate: Gate) -> NumberOfAnswers:
        least = 1 if gate.at_least is None else gate.at_least
        return cls(least, max(least, 1) if gate.at_most is None else gate.at_most)

    def judge(self, call: Call, answer: GivenAnswer) -> Verdict:
        text = answer.excerpt
        count = len({text.count("\n", 0, found.end()) for found in _ANNOUNCED.finditer(text)})
        passed = self.at_least <= count <= self.at_most
        wanted = str(self.at_least) if self.at_least == self.at_most else f"{self.at_least} to {self.at_most}"
        return Verdict(GateKind.NUMBER_OF_ANSWERS, passed, float(passed), f"it gives {count} answers of {wanted}")
