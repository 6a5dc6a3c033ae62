"""How good an answer is, by the best evidence there is of it without asking anybody.

What is expected comes first, then the prompt's JSON Schema, then what gates make of the answer. A judge, where one is
asked, stands between the last two.
"""

from __future__ import annotations

from dataclasses import dataclass

from router_service.domain.call import Call, Caller
from router_service.domain.chat import FinishReason, JsonSchemaFormat
from router_service.domain.quality import Escalation, Gate, GateKind
from router_service.lab.prompt_set import EvalPrompt
from router_service.lab.trials import Source
from router_service.quality.gates import Gates, combined, judge_of
from router_service.quality.given import GivenAnswer
from router_service.routing.excerpt import last_said
from router_service.routing.language import detect_language, language_of_answer

DEFAULT_GATES = (
    GateKind.NOT_EMPTY, GateKind.NOT_TRUNCATED, GateKind.NOT_REFUSAL, GateKind.NOT_HEDGING, GateKind.NOT_REPETITIVE,
    GateKind.SAME_LANGUAGE, GateKind.ARITHMETIC, GateKind.CODE_PARSES,
)  # fmt: skip
"""What judges an answer where nothing else does and the configuration's default policy has no gates."""

ITS_OWN_FAULT = frozenset(
    {"UPSTREAM_REJECTED", "CONTEXT_TOO_LONG", "CONTENT_FILTERED", "QUALITY_NOT_MET", "NO_ELIGIBLE_CANDIDATE"}
)
"""Failures that say something of the subject and this prompt, which it would meet again: an answer of quality 0. All
others, such as a provider that is away, say nothing of either and leave the quality unknown."""


@dataclass(frozen=True, slots=True)
class Grade:
    """A quality from 0 to 1 and what it rests on."""

    quality: float
    source: Source


class Grader:
    """Grades answers without a judge; `escalation` is of the policy whose gates are used, `None` for the default ones.

    An answer that the gates would let through has the quality 1, any other 0: what they score is no measure of how good
    an answer is.
    """

    def __init__(self, escalation: Escalation | None = None) -> None:
        chosen = escalation if escalation and escalation.gates else None
        self._gates = Gates(chosen or Escalation(gates=tuple(Gate(kind=kind) for kind in DEFAULT_GATES)))
        self._of_schema = judge_of(Gate(kind=GateKind.JSON_SCHEMA))

    def certain(self, prompt: EvalPrompt, answer: str, finish_reason: FinishReason) -> Grade | None:
        """What is expected, and the schema; `None` where the prompt has neither. A schema that is followed says little
        of what stands in it, so that it is left to a judge where there is one: see `settles`."""
        given = GivenAnswer(text=answer, finish_reason=finish_reason)
        follows = self._of_schema.judge(_call(prompt), given).passed
        if prompt.expected is not None:
            return Grade(float(follows and prompt.expected.holds(answer)), Source.EXPECTED)
        if isinstance(prompt.chat.response_format, JsonSchemaFormat):
            return Grade(float(follows), Source.SCHEMA)
        return None

    def by_gates(self, prompt: EvalPrompt, answer: str, finish_reason: FinishReason) -> Grade:
        """What the gates make of it."""
        asked = detect_language(last_said(prompt.chat.messages)).partition("-")[0]
        given = GivenAnswer(
            text=answer,
            finish_reason=finish_reason,
            language=language_of_answer(answer, asked),
            asked_language=asked,
        )
        threshold = self._gates.threshold(complexity="", tier="", deployment="")
        judged = combined(self._gates.look(_call(prompt), given), threshold, attempt=1)
        return Grade(float(judged.passed), Source.GATES)


def settles(grade: Grade | None) -> bool:
    """Whether a judge has nothing to add."""
    return grade is not None and (grade.source is Source.EXPECTED or grade.quality == 0.0)


def _call(prompt: EvalPrompt) -> Call:
    caller = Caller(feature=prompt.feature, tier=prompt.tier)
    return Call(request_id="", tenant="", caller=caller, chat=prompt.chat)
