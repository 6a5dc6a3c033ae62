"""What the router asks models for itself: classifications before a decision, grades of answers, and their accounts."""

from __future__ import annotations

import asyncio

import pytest
from scripted_calls import COST, Recorder, Says, World, busy, call, deployment

from router_service.domain.asking import Asking
from router_service.domain.call import Wishes
from router_service.domain.classifier import Classification
from router_service.domain.decision import ComplexitySource
from router_service.domain.error import UpstreamError, UpstreamFault
from router_service.domain.event import AttemptStarted, Decided, Deltas, Finished
from router_service.domain.limit import Budget, Dimension, LimitRules, Period, Scope, Subject
from router_service.domain.policy import Retries, Rule, TextMatch, When
from router_service.domain.quality import (
    Escalation,
    Gate,
    GateDelivery,
    GateKind,
    Panel,
    Quality,
    Threshold,
    Unavailable,
)
from router_service.domain.receipt import AttemptOutcome, AttemptReason
from router_service.engine.book import JournalBook
from router_service.ledger.journal import Journal, JournalLimits
from router_service.ledger.records import AttemptIntent, AttemptTerminal, OperationClosed, OperationOpened
from router_service.ledger.segment import scan

MINI, OTHER, WEAK, STRONG = (deployment(name) for name in ("mini", "other", "weak", "strong"))
GOOD, POOR = Says('{"reason": "right", "score": 9}'), Says('{"reason": "wrong", "score": 2}')
OK, BETTER = Says("ok"), Says("A better answer.")
SILENT = Says(text="", silent=True)
CLASSIFIER, JUDGE, PRIMARY = AttemptReason.CLASSIFIER, AttemptReason.JUDGE, AttemptReason.PRIMARY


def asking(*deployments, timeout=5.0, most=10_000_000):
    return Asking(deployments=deployments or (MINI,), timeout=timeout, max_cost_nano_usd=most)


def world(mini, *, weak=(OK,), ask=None, remembered=10, **policy):
    """Complex calls go to `strong`, others to `weak`; `mini` says which those are."""
    hard = Rule(name="hard", when=When(complexity=TextMatch(any_of=frozenset({"complex"}))), candidates=(STRONG,))
    rest = Rule(name="rest", when=When(), candidates=(WEAK, STRONG))
    classification = Classification(use="llm", asking=ask or asking(), remembered=remembered)
    changes = {"rules": (hard, rest), "classification": classification, **policy}
    scripts = {"mini": list(mini), "other": [Says("complex")], "weak": list(weak), "strong": [OK]}
    return World(scripts, deployments=[MINI, OTHER, WEAK, STRONG], policy_changes=changes)


def path(receipt):
    return [(attempt.deployment.id, attempt.reason, attempt.outcome.value) for attempt in receipt.attempts]


async def left_while_asking(it):
    """The end of a call whose caller leaves as soon as `mini` was asked."""
    calling = asyncio.create_task(it.engine.complete(call(), Recorder()))
    await it.provider("mini").asked.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    (finished,) = it.observed.of(Finished)
    return finished


async def test_a_label_decides_and_its_question_is_on_the_receipt():
    it = world([Says(" Complex.")])
    recorder = Recorder()
    receipt = (await it.engine.complete(call(), recorder)).receipt

    assert path(receipt) == [("mini", CLASSIFIER, "success"), ("strong", PRIMARY, "success")]
    assert [attempt.number for attempt in receipt.attempts] == [1, 2]
    assert (receipt.cost, receipt.answered_by.deployment.id) == (2 * COST, "strong")
    assert (receipt.retries, receipt.fallbacks, receipt.escalations) == (0, 0, 0)
    known = receipt.decision.signals
    assert (known.complexity, known.complexity_source, known.classified_by) == ("complex", ComplexitySource.LLM, "mini")
    assert known.complexity_cause.endswith("; mini said complex")
    assert not receipt.decision.is_provisional
    # Callers hear of the answer's attempt only; telemetry hears of both.
    assert [event.number for event in recorder.of(AttemptStarted)] == [2]
    kinds = [type(event) for event in it.observed.events]
    assert kinds.index(AttemptStarted) < kinds.index(Decided)
    (request,) = it.provider("mini").requests
    assert (request.parameters.temperature, request.max_output_tokens) == (0.0, 16)
    assert "Say hello" in request.chat.messages[1].text


async def test_a_question_takes_none_of_the_answers_attempts_and_is_not_shown():
    it = world([Says("simple")], weak=[busy()], retries=Retries(same_deployment=0, max_attempts=2))
    recorder = Recorder()
    answer = await it.engine.complete(call(stream=True), recorder)
    assert path(answer.receipt)[1:] == [("weak", PRIMARY, "error"), ("strong", AttemptReason.FALLBACK, "success")]
    assert {event.attempt for event in recorder.of(Deltas)} == {3}


@pytest.mark.parametrize(
    ("mini", "cause"),
    [
        ([busy()], "no model was heard: mini failed (503)"),
        ([Says(text="", error=UpstreamError(UpstreamFault.RATE_LIMITED, "mini answered 429.", status=429))], "(429)"),
        ([SILENT], "mini failed (first_token_timeout)"),
        ([Says("com", error=UpstreamError(UpstreamFault.TRUNCATED, "cut"))], "mini failed (stream_interrupted)"),
    ],
)
async def test_a_question_that_fails_leaves_the_heuristic_and_is_accounted_for(mini, cause):
    it = world(mini, ask=asking(timeout=0.1 if SILENT in mini else 5.0))
    receipt = (await it.engine.complete(call(), Recorder())).receipt
    assert path(receipt) == [("mini", CLASSIFIER, "error"), ("weak", PRIMARY, "success")]
    known = receipt.decision.signals
    assert (known.complexity, known.complexity_source, known.classifier) == ("simple", "heuristic", "heuristic")
    assert cause in known.complexity_cause


async def test_an_unusable_label_means_moderate():
    it = world([Says("Hello! How can I help?")])
    receipt = (await it.engine.complete(call(), Recorder())).receipt
    assert (receipt.decision.signals.complexity, receipt.decision.rule_name) == ("moderate", "rest")


async def test_the_next_model_is_asked_where_one_fails():
    it = world([busy()], ask=asking(MINI, OTHER))
    receipt = (await it.engine.complete(call(), Recorder())).receipt
    assert path(receipt)[:2] == [("mini", CLASSIFIER, "error"), ("other", CLASSIFIER, "success")]
    assert receipt.decision.signals.classified_by == "other"


async def test_a_question_that_would_cost_too_much_is_not_asked():
    it = world([Says("complex")], ask=asking(most=50_000))
    receipt = (await it.engine.complete(call(), Recorder())).receipt
    assert path(receipt) == [("weak", PRIMARY, "success")]
    assert "mini would cost more than a question may" in receipt.decision.signals.complexity_cause
    assert it.provider("mini").requests == []


async def test_a_question_obeys_the_policys_regions():
    it = world([Says("complex")], regions=frozenset({"eu"}))
    with pytest.raises(Exception, match="No deployment"):
        await it.engine.complete(call(), Recorder())
    assert it.provider("mini").requests == []


async def test_a_model_that_cools_down_is_not_asked():
    denied = UpstreamError(UpstreamFault.AUTH, "mini refused the key.", status=401)
    it = world([Says(text="", error=denied)])
    for _ in range(2):
        receipt = (await it.engine.complete(call(), Recorder())).receipt
    assert len(it.provider("mini").requests) == 1
    assert "mini cools down" in receipt.decision.signals.complexity_cause


async def test_a_question_leaves_the_answer_half_of_the_time():
    it = world([SILENT], ask=asking(timeout=60))
    began = asyncio.get_running_loop().time()
    answer = await it.engine.complete(call(deadline=began + 0.6), Recorder())
    assert answer.receipt.attempts[0].duration == pytest.approx(0.3, abs=0.15)
    assert answer.message.text == "ok"


async def test_a_caller_that_leaves_ends_the_question_and_it_is_accounted_for():
    it = world([Says("comp", silent=True)])
    finished = await left_while_asking(it)
    (attempt,) = finished.receipt.attempts
    assert (attempt.reason, attempt.outcome) == (CLASSIFIER, AttemptOutcome.CANCELLED)
    assert attempt.usage.estimated
    assert attempt.cost.total > 0
    assert finished.receipt.decision is None
    assert it.provider("mini").closed == 1


async def test_the_same_prompt_is_not_paid_for_again():
    it = world([Says("complex")])
    for _ in range(2):
        receipt = (await it.engine.complete(call(), Recorder())).receipt
    assert path(receipt) == [("strong", PRIMARY, "success")]
    assert receipt.decision.signals.complexity_cause.endswith("mini said complex before")
    await it.engine.complete(call(tenant="another"), Recorder())
    assert len(it.provider("mini").requests) == 2
    # What is known already costs Route nothing either.
    assert not (await it.engine.route(call())).is_provisional


@pytest.mark.parametrize(("mini", "remembered", "asked"), [(Says("complex"), 0, 2), (Says("no idea"), 10, 2)])
async def test_only_usable_labels_are_remembered_and_no_more_than_wanted(mini, remembered, asked):
    it = world([mini], remembered=remembered)
    for _ in range(2):
        await it.engine.complete(call(), Recorder())
    assert len(it.provider("mini").requests) == asked


async def test_route_pays_nothing_and_its_token_keeps_what_it_said():
    it = world([Says("complex")])
    decision = await it.engine.route(call())
    assert (decision.is_provisional, decision.rule_name, decision.signals.complexity) == (True, "rest", "simple")
    assert it.provider("mini").requests == []

    token, _ = it.engine.sign(call(), decision)
    receipt = (await it.engine.complete(call(wishes=Wishes(decision_token=token)), Recorder())).receipt
    assert path(receipt) == [("weak", PRIMARY, "success")]
    assert receipt.decision.signals.complexity_cause.endswith("the decision token keeps simple")


async def test_a_token_outlives_the_label_it_was_made_with():
    it, another = world([Says("complex")]), world([Says("simple")])
    await it.engine.complete(call(), Recorder())
    decision = await it.engine.route(call())
    assert decision.rule_name == "hard"
    token, _ = it.engine.sign(call(), decision)
    # Another replica remembers no label of this prompt.
    receipt = (await another.engine.complete(call(wishes=Wishes(decision_token=token)), Recorder())).receipt
    assert path(receipt) == [("strong", PRIMARY, "success")]
    assert (receipt.decision.rule_name, receipt.decision.signals.complexity) == ("hard", "complex")
    assert another.provider("mini").requests == []


async def test_nobody_is_asked_for_a_call_that_names_its_model():
    it = world([Says("complex")])
    receipt = (await it.engine.complete(call(wishes=Wishes(model="weak")), Recorder())).receipt
    assert path(receipt) == [("weak", PRIMARY, "success")]


async def test_a_question_is_charged_to_the_callers_budget_and_nothing_stays_reserved():
    it = world([Says("complex")])
    limiter = it.engine._limiter
    limiter.use(LimitRules(budgets=(Budget(name="month", nano_usd=10**12, period=Period.MONTH),)))
    await it.engine.complete(call(), Recorder())
    (state,) = await limiter.state(Subject(tenant="acme", feature="chat", tier="free"), "mini")
    assert (state.used, state.reserved) == (2 * COST, 0)


async def test_a_question_that_no_budget_has_room_for_is_not_asked():
    it = world([Says("complex")])
    scope = Scope(match={Dimension.MODEL: frozenset({"mini"})})
    it.engine._limiter.use(LimitRules(budgets=(Budget(name="m", nano_usd=1, period=Period.MONTH, scope=scope),)))
    receipt = (await it.engine.complete(call(), Recorder())).receipt
    assert [(attempt.number, attempt.deployment.id) for attempt in receipt.attempts] == [(1, "weak")]
    assert "a limit or budget has no room for mini" in receipt.decision.signals.complexity_cause


async def test_the_call_is_in_the_journal_before_its_question_and_again_with_its_decision(tmp_path):
    """Were the router killed in any of these moments, the ledger would have the call and what it may owe."""
    journal = Journal(tmp_path, "router-1", limits=JournalLimits(sync_interval=3600))
    it = world([Says("complex", silent=True), Says("complex")])
    it.engine._book = JournalBook(journal)
    calling = asyncio.create_task(it.engine.complete(call(), Recorder()))
    await it.provider("mini").asked.wait()
    # Read while the question is open: what the kernel has is what a killed process leaves.
    records = recorded(tmp_path)
    assert [type(record) for record in records] == [OperationOpened, AttemptIntent]
    assert (records[0].fingerprint, records[1].kind, records[1].reason) == ("", "classifier", "classifier")
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    await it.engine.complete(call(), Recorder())
    journal.close()

    records = recorded(tmp_path)[4:]
    assert [type(record) for record in records] == [
        *(OperationOpened, AttemptIntent, AttemptTerminal),
        *(OperationOpened, AttemptIntent, AttemptTerminal, OperationClosed),
    ]
    undecided, _, asked, decided, *_, closed = records
    assert undecided.operation_id == decided.operation_id
    assert (undecided.complexity, decided.complexity, decided.complexity_source) == ("", "complex", "llm")
    assert (asked.kind, asked.status, asked.cost_nano_usd) == ("classifier", "settled", COST)
    assert (closed.cost_nano_usd, closed.attempts) == (2 * COST, 2)


def recorded(folder):
    return [record for path in sorted(folder.rglob("*.journal")) for record in scan(path).records]


# Grades


def judged(judge, *gates, answer="An answer.", panel=None, **escalation):
    """`weak` answers, `mini` grades, `strong` is asked next."""
    panel = panel or Panel(asking=asking())
    changes = {"gates": (*gates, Gate(kind=GateKind.JUDGE, panel=panel)), "to": (STRONG,), **escalation}
    scripts = {"mini": list(judge), "weak": [Says(answer)], "strong": [BETTER]}
    policy = {
        "rules": (Rule(name="all", when=When(), candidates=(WEAK,)),),
        "escalation": Escalation(**changes),
    }
    return World(scripts, deployments=[MINI, WEAK, STRONG], policy_changes=policy)


async def test_a_poor_grade_escalates_and_everything_is_paid_for_on_one_receipt():
    it = judged([POOR, GOOD])
    answer = await it.engine.complete(call(), Recorder())
    receipt = answer.receipt
    assert answer.message.text == "A better answer."
    assert path(receipt) == [
        ("weak", PRIMARY, "success"),
        ("mini", JUDGE, "success"),
        ("strong", AttemptReason.ESCALATION, "success"),
        ("mini", JUDGE, "success"),
    ]
    assert (receipt.cost, receipt.answered_by.number, receipt.quality) == (4 * COST, 3, Quality.PASSED)
    first, second = receipt.judgements
    assert (first.attempt, first.passed, first.score, second.attempt, second.passed) == (1, False, 0.2, 3, True)
    (verdict,) = first.verdicts
    assert (verdict.gate, verdict.reason, verdict.asked) == ("judge", "mini grades it 0.20 of 0.70", 2)
    assert [started.judges for started in it.observed.of(AttemptStarted)] == [0, 1, 0, 3]
    question = it.provider("mini").requests[0].chat.messages[1].text
    assert "Say hello" in question
    assert "An answer." in question


async def test_the_model_that_grades_may_still_be_escalated_to():
    it = judged([POOR, Says("Mine."), GOOD], to=(MINI,))
    answer = await it.engine.complete(call(), Recorder())
    assert (answer.message.text, answer.receipt.answered_by.deployment.id) == ("Mine.", "mini")


async def test_nobody_is_asked_where_the_pure_gates_refuse_already():
    it = judged([GOOD], Gate(kind=GateKind.NOT_HEDGING), answer="I don't know.")
    receipt = (await it.engine.complete(call(), Recorder())).receipt
    assert [attempt.deployment.id for attempt in receipt.attempts] == ["weak", "strong", "mini"]


@pytest.mark.parametrize(("least", "asked"), [(0.3, 0), (0.8, 1)])
async def test_nobody_is_asked_where_a_grade_could_change_nothing(least, asked):
    it = judged([GOOD], Gate(kind=GateKind.NOT_EMPTY, weight=2), threshold=Threshold(least=least))
    receipt = (await it.engine.complete(call(), Recorder())).receipt
    assert len(it.provider("mini").requests) == asked
    assert receipt.quality is Quality.PASSED


async def test_a_grade_has_its_share_of_the_weighted_mean():
    it = judged([POOR], Gate(kind=GateKind.NOT_EMPTY, weight=3), threshold=Threshold(least=0.79))
    receipt = (await it.engine.complete(call(), Recorder())).receipt
    assert receipt.judgements[0].score == pytest.approx((3 + 0.2) / 4)
    assert receipt.judgements[0].passed


@pytest.mark.parametrize(
    ("judge", "why", "asked"),
    [
        (busy(), "mini failed (503)", 0),
        (SILENT, "mini failed (first_token_timeout)", 0),
        (Says("Fine."), "mini gave no usable grade", 2),
    ],
)
@pytest.mark.parametrize("unavailable", list(Unavailable))
async def test_an_answer_that_nobody_could_grade_passes_or_not_as_the_policy_says(judge, why, asked, unavailable):
    it = judged([judge], panel=Panel(asking=asking(timeout=0.1 if judge is SILENT else 5.0), unavailable=unavailable))
    receipt = (await it.engine.complete(call(), Recorder())).receipt
    passes = unavailable is Unavailable.PASS
    (verdict,) = receipt.judgements[0].verdicts
    assert (verdict.passed, verdict.reason, verdict.asked) == (passes, f"could not be judged: {why}", asked)
    assert receipt.escalations == (not passes)


async def test_a_grade_that_did_not_come_has_no_share_in_the_score():
    hedging = Gate(kind=GateKind.NOT_HEDGING)
    it = judged([busy()], hedging, answer="I don't know.", threshold=Threshold(least=0.4))
    receipt = (await it.engine.complete(call(), Recorder())).receipt
    assert receipt.judgements[0].verdicts[-1].passed
    assert receipt.judgements[0].score == 0.0
    assert receipt.escalations == 1


async def test_of_a_share_of_answers_the_rest_is_not_graded():
    """Chance draws 0 here, which every share above 0 takes in."""
    it = judged([POOR], panel=Panel(asking=asking(), share=0.01))
    it.engine._random = lambda: 0.5
    receipt = (await it.engine.complete(call(), Recorder())).receipt
    assert path(receipt) == [("weak", PRIMARY, "success")]
    assert receipt.quality is Quality.PASSED


@pytest.mark.parametrize("delivery", list(GateDelivery))
async def test_streams_are_held_or_taken_back_by_a_grade(delivery):
    it = judged([POOR, GOOD], delivery=delivery)
    recorder = Recorder()
    await it.engine.complete(call(stream=True, wishes=Wishes(accept_discard=True)), recorder)
    shown = [event.attempt for event in recorder.of(Deltas)]
    assert shown == ([3] if delivery is GateDelivery.HOLD else [1, 3])
    assert [event.number for event in recorder.of(AttemptStarted)] == [1, 3]


async def test_a_caller_that_leaves_while_its_answer_is_graded_pays_for_both():
    it = judged([SILENT])
    finished = await left_while_asking(it)
    assert path(finished.receipt) == [("weak", PRIMARY, "success"), ("mini", JUDGE, "cancelled")]
