"""All gates of a policy together: each by itself, then weighted into one judgement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from router_service.domain.call import Call
from router_service.domain.quality import Escalation, Gate, GateKind, Judgement, Verdict
from router_service.quality.arithmetic import Arithmetic
from router_service.quality.confidence import Confident
from router_service.quality.counted import NumberOfAnswers
from router_service.quality.formats import CodeParses, Json, JsonOfSchema, OfPattern
from router_service.quality.given import GivenAnswer, Judge
from router_service.quality.shape import LongEnough, NotEmpty, NotRepetitive, NotTruncated, SameLanguage, Structured
from router_service.quality.wording import NotHedging, NotRefusal

_JUDGES: Mapping[GateKind, Callable[[Gate], Judge]] = {
    GateKind.NOT_EMPTY: lambda gate: NotEmpty(),
    GateKind.LONG_ENOUGH: LongEnough.of,
    GateKind.NOT_TRUNCATED: lambda gate: NotTruncated(),
    GateKind.NOT_REFUSAL: lambda gate: NotRefusal(),
    GateKind.NOT_HEDGING: lambda gate: NotHedging(),
    GateKind.NOT_REPETITIVE: lambda gate: NotRepetitive(),
    GateKind.STRUCTURED: lambda gate: Structured(),
    GateKind.SAME_LANGUAGE: lambda gate: SameLanguage(),
    GateKind.JSON: lambda gate: Json(),
    GateKind.JSON_SCHEMA: JsonOfSchema,
    GateKind.REGEX: OfPattern.of,
    GateKind.NUMBER_OF_ANSWERS: NumberOfAnswers.of,
    GateKind.ARITHMETIC: lambda gate: Arithmetic(),
    GateKind.CODE_PARSES: lambda gate: CodeParses(),
    GateKind.CONFIDENT: Confident.of,
}
# What a call of a tool is judged by: it has no words of its own.
_OF_TOOL_CALLS = frozenset({GateKind.NOT_EMPTY, GateKind.NOT_TRUNCATED})
# So that a weighted mean of ones reaches a threshold of one.
_ROUNDING = 1e-9


def judge_of(gate: Gate) -> Judge:
    """The gate itself. Raises `SchemaUnclear` or `re2.error` for one whose schema or pattern is none."""
    return _JUDGES[gate.kind](gate)


class Gates:
    """The gates of one policy or rule, compiled once. Raises what `judge_of` does."""

    def __init__(self, escalation: Escalation) -> None:
        self._threshold = escalation.threshold
        self._gates = [(gate, judge_of(gate)) for gate in escalation.gates]

    def judge(self, call: Call, answer: GivenAnswer, *, attempt: int, complexity: str, deployment: str) -> Judgement:
        """What they make of the answer of `attempt`.

        Without a threshold every gate has to pass. With one the weighted mean of the scores has to reach it, and every
        required gate has to pass.
        """
        verdicts = [(gate, _verdict(gate, judge, call, answer)) for gate, judge in self._gates]
        score = _mean(verdicts)
        threshold = self._threshold.of(complexity=complexity, tier=call.caller.tier, deployment=deployment)
        passed = all(verdict.passed for gate, verdict in verdicts if gate.required or threshold is None)
        if threshold is not None:
            passed = passed and score >= threshold - _ROUNDING
        return Judgement(
            attempt=attempt,
            passed=passed,
            score=score,
            threshold=1.0 if threshold is None else threshold,
            verdicts=tuple(verdict for _, verdict in verdicts),
        )


def _verdict(gate: Gate, judge: Judge, call: Call, answer: GivenAnswer) -> Verdict:
    if answer.calls_tools and gate.kind not in _OF_TOOL_CALLS:
        return Verdict(gate.kind, True, 1.0, "it calls a tool")
    return judge.judge(call, answer)


def _mean(verdicts: Sequence[tuple[Gate, Verdict]]) -> float:
    weight = sum(gate.weight for gate, _ in verdicts)
    if not weight:
        return 1.0
    return sum(gate.weight * verdict.score for gate, verdict in verdicts) / weight
