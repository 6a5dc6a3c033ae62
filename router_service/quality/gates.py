"""All gates of a policy together: each by itself, then weighted into one judgement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Found:
    """A gate with its verdict. One that does not `count` has no share in the combined score."""

    gate: Gate
    verdict: Verdict
    counts: bool = True


class Gates:
    """The gates of one policy or rule, compiled once. Raises what `judge_of` does.

    `judges` are those for which a model is asked, in their order; the rest is pure.
    """

    def __init__(self, escalation: Escalation) -> None:
        self._threshold = escalation.threshold
        self._gates = [(gate, judge_of(gate)) for gate in escalation.gates if gate.kind is not GateKind.JUDGE]
        self.judges = tuple(gate for gate in escalation.gates if gate.kind is GateKind.JUDGE)

    def look(self, call: Call, answer: GivenAnswer) -> list[Found]:
        """What each of the pure ones makes of an answer."""
        return [Found(gate, _verdict(gate, judge, call, answer)) for gate, judge in self._gates]

    def threshold(self, *, complexity: str, tier: str, deployment: str) -> float | None:
        """The score that the answer has to reach; `None` where every gate has to pass."""
        return self._threshold.of(complexity=complexity, tier=tier, deployment=deployment)


def is_open(found: Sequence[Found], judges: Sequence[Gate], threshold: float | None) -> bool:
    """Whether `judges`, who are still to be asked, could make the answer pass, and could make it fail."""
    if not judges or not _satisfied(found, threshold is None):
        return False
    if threshold is None:
        return True
    best = _score([*found, *(Found(gate, Verdict(gate.kind, True, 1.0, "")) for gate in judges)])
    worst = _score([*found, *(Found(gate, Verdict(gate.kind, False, 0.0, "")) for gate in judges)])
    may_fail = any(gate.required for gate in judges) or not _reaches(worst, threshold)
    return may_fail and _reaches(best, threshold)


def combined(found: Sequence[Found], threshold: float | None, *, attempt: int) -> Judgement:
    """What all of them together make of the answer of `attempt`.

    Without a threshold every gate has to pass. With one the weighted mean of the scores has to reach it, and every
    required gate has to pass.
    """
    score = _score(found)
    passed = _satisfied(found, threshold is None) and (threshold is None or _reaches(score, threshold))
    return Judgement(
        attempt=attempt,
        passed=passed,
        score=score,
        threshold=1.0 if threshold is None else threshold,
        verdicts=tuple(one.verdict for one in found),
    )


def _satisfied(found: Sequence[Found], all_required: bool) -> bool:
    return all(one.verdict.passed for one in found if all_required or one.gate.required)


def _reaches(score: float, threshold: float) -> bool:
    return score >= threshold - _ROUNDING


def _score(found: Sequence[Found]) -> float:
    """The weighted mean, 1 where nothing counts."""
    weight = sum(one.gate.weight for one in found if one.counts)
    return sum(one.gate.weight * one.verdict.score for one in found if one.counts) / weight if weight else 1.0


def _verdict(gate: Gate, judge: Judge, call: Call, answer: GivenAnswer) -> Verdict:
    if answer.calls_tools and gate.kind not in _OF_TOOL_CALLS:
        return Verdict(gate.kind, True, 1.0, "it calls a tool")
    return judge.judge(call, answer)
