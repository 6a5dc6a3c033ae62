"""Answers that gates refuse: who is asked next, what the caller sees, and what is accounted for."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from scripted_calls import COST, CUT, Recorder, Says, World, busy, call, deployment

from router_service.domain.call import Wishes
from router_service.domain.chat import FinishReason
from router_service.domain.decision import RejectionReason
from router_service.domain.error import BudgetSpent, QualityNotMet
from router_service.domain.event import AttemptDiscarded, AttemptFinished, AttemptStarted, Deltas, Judged
from router_service.domain.policy import Recovery, Retries, Rule, When
from router_service.domain.quality import Escalation, Gate, GateDelivery, GateKind, Quality, Threshold, Unsatisfied
from router_service.domain.receipt import AttemptReason

UNSURE, SURE = Says("I don't know."), Says("It is the moon, mostly, and the sun to a lesser degree.")
REFUSAL = Says("I'm sorry, but I can't help with that.")
GATES = (Gate(kind=GateKind.NOT_EMPTY), Gate(kind=GateKind.NOT_REFUSAL), Gate(kind=GateKind.NOT_HEDGING))


def world(scripts, *, to=(), rule_changes=None, recovery=Recovery.FAIL, **changes):
    """An engine whose only rule names `weak` and whatever else of the scripts is not in `to`."""
    deployments = {name: deployment(name, prefills=True) for name in scripts}
    changes = {"gates": GATES, "to": tuple(deployments[name] for name in to), **changes}
    rule = Rule(
        name="all",
        when=When(),
        candidates=tuple(one for name, one in deployments.items() if name not in to),
        **(rule_changes or {}),
    )
    policy_changes = {"rules": (rule,), "escalation": Escalation(**changes), "recovery": recovery}
    return World(scripts, deployments=list(deployments.values()), policy_changes=policy_changes)


def text(events):
    """What the caller of a stream is left with."""
    said = []
    for event in events:
        if isinstance(event, Deltas):
            said += [(event.attempt, delta.text) for delta in event.deltas]
        elif isinstance(event, AttemptDiscarded):
            said = []
    return "".join(piece for _, piece in said)


async def test_a_refused_answer_escalates_to_the_models_named_for_it():
    it = world({"weak": [UNSURE], "strong": [SURE]}, to=["strong"])
    answer = await it.engine.complete(call(), Recorder())
    receipt = answer.receipt
    assert answer.message.text == SURE.text
    assert [attempt.deployment.id for attempt in receipt.attempts] == ["weak", "strong"]
    assert [attempt.reason for attempt in receipt.attempts] == [AttemptReason.PRIMARY, AttemptReason.ESCALATION]
    assert [(one.attempt, one.passed, one.refused_by) for one in receipt.judgements] == [
        (1, False, ("not_hedging",)),
        (2, True, ()),
    ]
    assert (receipt.quality, receipt.answered_by.deployment.id) == (Quality.PASSED, "strong")
    assert receipt.cost == 2 * COST


async def test_without_models_named_for_it_the_next_candidates_are_asked_in_order():
    it = world({"weak": [UNSURE], "middle": [REFUSAL], "strong": [SURE]})
    answer = await it.engine.complete(call(), Recorder())
    assert [attempt.deployment.id for attempt in answer.receipt.attempts] == ["weak", "middle", "strong"]
    assert answer.receipt.escalations == 2


async def test_an_answer_that_passes_costs_one_attempt():
    it = world({"weak": [SURE], "strong": [SURE]})
    answer = await it.engine.complete(call(), Recorder())
    assert len(answer.receipt.attempts) == 1
    assert answer.receipt.quality is Quality.PASSED


async def test_what_a_fallback_answered_is_judged_as_well():
    it = world({"weak": [busy()], "other": [UNSURE], "strong": [SURE]}, to=["strong"])
    answer = await it.engine.complete(call(), Recorder())
    reasons = [attempt.reason for attempt in answer.receipt.attempts]
    assert reasons[-2:] == [AttemptReason.FALLBACK, AttemptReason.ESCALATION]


async def test_where_no_answer_passes_the_best_one_is_given_and_marked():
    better = Says("Maybe it is the moon, perhaps the sun, I think, possibly.")
    it = world({"weak": [better], "strong": [UNSURE]}, to=["strong"])
    answer = await it.engine.complete(call(), Recorder())
    assert answer.message.text == better.text
    assert answer.receipt.quality is Quality.BELOW_THRESHOLD
    assert answer.receipt.answered_by.deployment.id == "weak"
    assert answer.receipt.status == "OK"


async def test_where_no_answer_passes_the_policy_may_want_an_error():
    it = world({"weak": [UNSURE], "strong": [REFUSAL]}, unsatisfied=Unsatisfied.FAIL)
    recorder = Recorder()
    with pytest.raises(QualityNotMet) as raised:
        await it.engine.complete(call(), recorder)
    receipt = recorder.events[-1].receipt
    assert raised.value.metadata["gates"] == "not_refusal"
    assert (receipt.status, receipt.error_reason) == ("FAILED_PRECONDITION", "QUALITY_NOT_MET")
    assert receipt.answered_by is None
    assert receipt.cost == 2 * COST


async def test_an_escalation_that_fails_leaves_the_answer_there_is():
    it = world({"weak": [UNSURE], "strong": [busy()]}, to=["strong"])
    answer = await it.engine.complete(call(), Recorder())
    assert answer.message.text == UNSURE.text
    assert answer.receipt.quality is Quality.BELOW_THRESHOLD
    assert answer.receipt.answered_by.number == 1


async def test_an_escalation_falls_back_like_any_other_candidate():
    it = world({"weak": [UNSURE], "first": [busy()], "second": [SURE]}, to=["first", "second"])
    answer = await it.engine.complete(call(), Recorder())
    reasons = [attempt.reason for attempt in answer.receipt.attempts]
    assert reasons == [
        AttemptReason.PRIMARY,
        AttemptReason.ESCALATION,
        AttemptReason.RETRY,
        AttemptReason.FALLBACK,
    ]
    assert answer.receipt.quality is Quality.PASSED


async def test_no_more_answers_are_asked_for_than_the_policy_allows():
    scripts = {name: [UNSURE] for name in ("a", "b", "c", "d")}
    it = world(scripts, most=1)
    answer = await it.engine.complete(call(), Recorder())
    assert [attempt.deployment.id for attempt in answer.receipt.attempts] == ["a", "b"]


async def test_escalations_count_among_the_attempts_of_a_call():
    it = world({"weak": [UNSURE], "strong": [SURE]})
    rule = it.engine._runtime.table.policies["default"]
    it.engine._runtime.table.policies["default"] = replace(rule, retries=Retries(max_attempts=1))
    answer = await it.engine.complete(call(), Recorder())
    assert len(answer.receipt.attempts) == 1
    assert answer.receipt.quality is Quality.BELOW_THRESHOLD


async def test_without_time_nobody_else_is_asked():
    it = world({"weak": [UNSURE], "strong": [SURE]})
    now = asyncio.get_running_loop().time()
    answer = await it.engine.complete(call(deadline=now + 0.015), Recorder())
    assert len(answer.receipt.attempts) == 1
    assert answer.receipt.status == "OK"


async def test_a_budget_spent_before_the_escalation_leaves_the_answer_there_is(monkeypatch):
    it = world({"weak": [UNSURE], "strong": [SURE]}, to=["strong"])
    limiter, held = it.engine._limiter, []
    hold = limiter.hold

    async def spent_after_one(entry, **asked):
        held.append(asked["model"])
        if len(held) > 1:
            raise BudgetSpent("The budget is spent.")
        return await hold(entry, **asked)

    monkeypatch.setattr(limiter, "hold", spent_after_one)
    answer = await it.engine.complete(call(), Recorder())
    assert held == ["weak", "strong"]
    assert (answer.message.text, answer.receipt.quality) == (UNSURE.text, Quality.BELOW_THRESHOLD)
    assert len(answer.receipt.attempts) == 1


async def test_whoever_names_a_model_gets_its_answer_unjudged():
    it = world({"weak": [UNSURE], "strong": [SURE]})
    answer = await it.engine.complete(call(wishes=Wishes(model="weak")), Recorder())
    assert (answer.message.text, answer.receipt.quality) == (UNSURE.text, Quality.UNJUDGED)


async def test_a_rule_may_judge_differently_or_not_at_all():
    it = world({"weak": [UNSURE], "strong": [SURE]}, rule_changes={"escalation": Escalation()})
    answer = await it.engine.complete(call(), Recorder())
    assert answer.receipt.judgements == ()


async def test_a_threshold_by_deployment_rises_with_the_tier():
    gates = (Gate(kind=GateKind.LONG_ENOUGH, at_least=20),)
    threshold = Threshold(least=0.5, by_deployment={"strong": 0.9})
    scripts = {"weak": [Says("ten chars.")], "strong": [Says("fifteen letters")]}
    it = world(scripts, gates=gates, threshold=threshold)
    answer = await it.engine.complete(call(), Recorder())
    assert [one.passed for one in answer.receipt.judgements] == [True]
    it = world(dict(reversed(scripts.items())), gates=gates, threshold=threshold)
    answer = await it.engine.complete(call(), Recorder())
    assert [one.passed for one in answer.receipt.judgements] == [False, True]


async def test_a_cut_answer_is_refused_only_where_a_gate_says_so():
    it = world({"weak": [replace(SURE, finish=FinishReason.LENGTH)], "strong": [SURE]})
    assert len((await it.engine.complete(call(), Recorder())).receipt.attempts) == 1
    it = world(
        {"weak": [replace(SURE, finish=FinishReason.LENGTH)], "strong": [SURE]},
        gates=(Gate(kind=GateKind.NOT_TRUNCATED),),
    )
    assert len((await it.engine.complete(call(), Recorder())).receipt.attempts) == 2


async def test_a_held_stream_shows_nothing_of_what_is_refused():
    it = world({"weak": [UNSURE], "strong": [SURE]})
    recorder = Recorder()
    answer = await it.engine.complete(call(stream=True), recorder)
    assert text(recorder.events) == SURE.text == answer.message.text
    assert {event.attempt for event in recorder.of(Deltas)} == {2}
    assert recorder.of(AttemptDiscarded) == []
    kinds = [type(event) for event in recorder.events]
    assert kinds.index(Deltas) > max(at for at, kind in enumerate(kinds) if kind is Judged)


async def test_the_wait_for_a_held_answer_is_part_of_the_time_to_first_output():
    it = world({"weak": [UNSURE], "strong": [SURE]})
    answer = await it.engine.complete(call(stream=True), Recorder())
    first = answer.receipt.attempts[0]
    assert answer.receipt.time_to_first_output >= first.duration


async def test_a_held_stream_that_breaks_is_answered_anew_for_nothing_was_shown():
    it = world({"weak": [CUT], "strong": [SURE]})
    recorder = Recorder()
    await it.engine.complete(call(stream=True), recorder)
    assert text(recorder.events) == SURE.text
    assert recorder.of(AttemptDiscarded) == []


async def test_an_optimistic_stream_takes_back_what_a_gate_refused():
    it = world({"weak": [UNSURE], "strong": [SURE]}, delivery=GateDelivery.OPTIMISTIC)
    recorder = Recorder()
    answer = await it.engine.complete(call(stream=True, wishes=Wishes(accept_discard=True)), recorder)
    assert [(one.attempt, one.reason) for one in recorder.of(AttemptDiscarded)] == [(1, "GATE")]
    assert [event.attempt for event in recorder.of(Deltas)] == [1, 2]
    assert text(recorder.events) == SURE.text == answer.message.text


async def test_an_optimistic_stream_is_held_for_callers_that_accept_no_discards():
    it = world({"weak": [UNSURE], "strong": [SURE]}, delivery=GateDelivery.OPTIMISTIC)
    recorder = Recorder()
    await it.engine.complete(call(stream=True), recorder)
    assert {event.attempt for event in recorder.of(Deltas)} == {2}


async def test_an_escalation_never_goes_on_from_a_refused_answer():
    it = world({"weak": [UNSURE], "strong": [SURE]}, delivery=GateDelivery.OPTIMISTIC, recovery=Recovery.CONTINUE)
    await it.engine.complete(call(stream=True, wishes=Wishes(accept_discard=True)), Recorder())
    assert it.provider("strong").requests[0].prefix == ""


async def test_the_first_answer_is_shown_again_where_the_escalation_breaks_after_output():
    it = world({"weak": [UNSURE], "strong": [CUT]}, delivery=GateDelivery.OPTIMISTIC, to=["strong"])
    recorder = Recorder()
    answer = await it.engine.complete(call(stream=True, wishes=Wishes(accept_discard=True)), recorder)
    assert text(recorder.events) == UNSURE.text == answer.message.text
    assert [(one.attempt, one.reason) for one in recorder.of(AttemptDiscarded)] == [
        (1, "GATE"),
        (2, "STREAM_TRUNCATED"),
    ]
    assert answer.receipt.answered_by.number == 1


async def test_a_refused_answer_stays_where_the_escalation_says_nothing():
    it = world({"weak": [UNSURE], "strong": [busy()]}, delivery=GateDelivery.OPTIMISTIC)
    recorder = Recorder()
    await it.engine.complete(call(stream=True, wishes=Wishes(accept_discard=True)), recorder)
    assert recorder.of(AttemptDiscarded) == []
    assert text(recorder.events) == UNSURE.text


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_cancelled_during_its_escalation_accounts_for_both_attempts(stream):
    it = world({"weak": [UNSURE], "strong": [Says("Hel", silent=True)]})
    recorder = it.observed
    task = asyncio.create_task(it.engine.complete(call(stream=stream), Recorder()))
    while len(recorder.of(AttemptStarted)) < 2 or not it.provider("strong").requests:  # noqa: ASYNC110 - no event here
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert it.provider("strong").closed == 1
    assert [event.attempt.number for event in recorder.of(AttemptFinished)] == [1, 2]
    receipt = it.engine.receipt("acme", "r1")
    assert (receipt.status, receipt.answered_by) == ("CANCELLED", None)
    assert receipt.cost >= COST


async def test_a_candidate_that_is_hopeless_for_the_prompt_is_passed_over():
    it = world({"weak": [SURE], "strong": [SURE]}, skip={"weak": 0.0})
    answer = await it.engine.complete(call(), Recorder())
    assert [attempt.deployment.id for attempt in answer.receipt.attempts] == ["strong"]
    assert "weak passed over" in answer.receipt.decision.cause


async def test_where_every_candidate_is_hopeless_those_above_them_are_asked_first():
    it = world({"weak": [SURE], "strong": [busy()]}, to=["strong"], skip={"weak": 0.0})
    answer = await it.engine.complete(call(), Recorder())
    assert [one.deployment.id for one in answer.receipt.decision.candidates] == ["strong", "weak"]
    assert answer.receipt.answered_by.deployment.id == "weak"


async def test_nobody_escalates_to_a_hopeless_candidate():
    it = world({"weak": [SURE], "strong": [UNSURE]}, skip={"weak": 0.0})
    answer = await it.engine.complete(call(), Recorder())
    assert [attempt.deployment.id for attempt in answer.receipt.attempts] == ["strong"]


async def test_a_model_that_may_not_serve_is_no_escalation_and_says_why():
    it = world({"weak": [UNSURE], "strong": [SURE]}, to=["strong"])
    policies = it.engine._runtime.table.policies
    strong = replace(it.deployments[1], has_credentials=False)
    escalation = replace(policies["default"].escalation, to=(strong,))
    policies["default"] = replace(policies["default"], escalation=escalation)
    answer = await it.engine.complete(call(), Recorder())
    assert answer.receipt.quality is Quality.BELOW_THRESHOLD
    reasons = {one.deployment.id: one.reason for one in answer.receipt.decision.rejections}
    assert reasons == {"strong": RejectionReason.CREDENTIALS}
