"""Several gates together: thresholds, weights, and what refuses by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from router_service.domain.asking import Asking
from router_service.domain.call import Call, Caller
from router_service.domain.chat import Chat, FinishReason, Message, Role, TextPart
from router_service.domain.quality import Escalation, Gate, GateKind, Judgement, Panel, Threshold, Verdict
from router_service.quality.gates import Found, Gates, combined, is_open
from router_service.quality.given import GivenAnswer

LONG = Gate(kind=GateKind.LONG_ENOUGH, at_least=40)
SURE = Gate(kind=GateKind.NOT_HEDGING)


def judged(
    text: str,
    *gates: Gate,
    threshold: Threshold = Threshold(),  # noqa: B008 - frozen
    complexity: str = "simple",
    tier: str = "",
    calls_tools: bool = False,
) -> Judgement:
    call = Call(
        request_id="r",
        tenant="t",
        caller=Caller(tier=tier),
        chat=Chat(messages=(Message(role=Role.USER, parts=(TextPart("Why?"),)),)),
    )
    given = GivenAnswer(text=text, finish_reason=FinishReason.STOP, calls_tools=calls_tools)
    together = Gates(Escalation(gates=gates, threshold=threshold))
    least = together.threshold(complexity=complexity, tier=call.caller.tier, deployment="strong")
    return combined(together.look(call, given), least, attempt=3)


def test_without_a_threshold_every_gate_has_to_pass() -> None:
    judgement = judged("Twenty characters ok", LONG, SURE)
    assert (judgement.attempt, judgement.passed, judgement.threshold) == (3, False, 1.0)
    assert judgement.refused_by == ("long_enough",)
    assert judgement.score == pytest.approx(0.75)


def test_with_a_threshold_the_weighted_mean_has_to_reach_it() -> None:
    gates = (LONG, Gate(kind=GateKind.NOT_HEDGING, weight=3))
    assert judged("Twenty characters ok", *gates, threshold=Threshold(least=0.85)).passed
    assert not judged("Twenty characters ok", *gates, threshold=Threshold(least=0.9)).passed
    assert judged("Twenty characters ok", *gates).score == pytest.approx((0.5 + 3) / 4)


def test_a_required_gate_refuses_by_itself() -> None:
    required = Gate(kind=GateKind.NOT_HEDGING, required=True)
    assert judged("I don't know, " * 5, LONG, SURE, threshold=Threshold(least=0.1)).passed
    assert not judged("I don't know, " * 5, LONG, required, threshold=Threshold(least=0.1)).passed


@pytest.mark.parametrize(
    ("complexity", "tier", "wanted"), [("simple", "", 0.5), ("complex", "", 0.8), ("complex", "Pro", 0.9)]
)
def test_the_highest_threshold_that_applies_counts(complexity: str, tier: str, wanted: float) -> None:
    threshold = Threshold(least=0.5, by_complexity={"complex": 0.8}, by_tier={"pro": 0.9})
    assert judged("Yes", LONG, threshold=threshold, complexity=complexity, tier=tier).threshold == wanted


def test_a_score_of_all_ones_reaches_a_threshold_of_one() -> None:
    gates = tuple(Gate(kind=kind, weight=0.1) for kind in (GateKind.NOT_EMPTY, GateKind.NOT_REFUSAL, GateKind.JSON))
    assert judged("[1]", *gates, threshold=Threshold(least=1.0)).passed


def test_a_tool_call_is_judged_only_by_what_it_can_have() -> None:
    assert judged("", LONG, SURE, Gate(kind=GateKind.NOT_EMPTY), Gate(kind=GateKind.JSON), calls_tools=True).passed


JUDGE = Gate(kind=GateKind.JUDGE, weight=1, panel=Panel(asking=Asking(deployments=(), timeout=1, max_cost_nano_usd=1)))


def found(passed: bool, score: float, **changes: Any) -> Found:
    return Found(replace(SURE, **changes), Verdict(GateKind.NOT_HEDGING, passed, score, ""))


@pytest.mark.parametrize(
    ("before", "threshold", "judge", "is_worth_it"),
    [
        ([], None, JUDGE, True),
        ([found(True, 1.0)], None, JUDGE, True),
        ([found(False, 0.9)], None, JUDGE, False),
        ([found(False, 0.9)], 0.5, JUDGE, True),
        ([found(False, 0.9, required=True)], 0.5, JUDGE, False),
        ([found(False, 0.0)], 0.6, JUDGE, False),
        ([found(False, 0.2)], 0.6, JUDGE, True),
        ([found(True, 1.0)], 0.5, JUDGE, False),
        ([found(True, 1.0)], 0.5, replace(JUDGE, required=True), True),
        ([found(True, 1.0)], 0.5, replace(JUDGE, weight=2), True),
    ],
)
def test_a_model_is_asked_only_while_its_grade_can_make_a_difference(
    before: list[Found], threshold: float | None, judge: Gate, is_worth_it: bool
) -> None:
    assert is_open(before, [judge], threshold) is is_worth_it


def test_what_is_skipped_makes_no_difference_indeed() -> None:
    for passed, score in ((True, 1.0), (False, 0.0), (True, 0.7)):
        grade = Found(JUDGE, Verdict(GateKind.JUDGE, passed, score, ""))
        for before, threshold in (([found(False, 0.0)], 0.6), ([found(True, 1.0)], 0.5), ([found(False, 0.9)], None)):
            without = combined(before, threshold, attempt=1).passed
            assert combined([*before, grade], threshold, attempt=1).passed is without
