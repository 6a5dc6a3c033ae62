"""A second attempt beside a silent one: who is heard, what becomes of the other, and what it may cost."""

import asyncio
from dataclasses import replace

import pytest
from scripted_calls import CUT, Recorder, Says, World, busy, call, deployment

from router_service.domain.chat import Parameters
from router_service.domain.error import AttemptsFailed, DeadlineExceeded
from router_service.domain.event import AttemptStarted, Deltas
from router_service.domain.money import CostStatus
from router_service.domain.policy import Hedge, Retries, Timeouts
from router_service.domain.receipt import AttemptOutcome, AttemptReason
from router_service.engine.hedge import HedgePurse

AT_ONCE = Hedge(after=0.0, max_cost_share=1.0)
SILENT = Says(text="", silent=True)


def world(scripts, hedge=AT_ONCE, deployments=None, **changes):
    policy = {"hedge": hedge, "timeouts": Timeouts(first_token=0.05), **changes}
    return World(scripts, deployments=deployments, policy_changes=policy)


def outcomes(receipt):
    return [(one.deployment.id, one.reason.value, one.outcome.value) for one in receipt.attempts]


@pytest.mark.parametrize("stream", [True, False])
async def test_the_next_candidate_is_heard_where_the_first_stays_silent(stream):
    scene, edge = world({"a": [SILENT], "b": [Says("From b")]}), Recorder()
    answer = await scene.engine.complete(call(stream=stream), edge)
    assert answer.message.text == "From b"
    assert outcomes(answer.receipt) == [("a", "primary", "cancelled"), ("b", "hedge", "success")]
    assert scene.provider("a").closed == 1
    assert answer.receipt.answered_by.deployment.id == "b"


async def test_the_loser_may_have_been_billed_and_the_receipt_says_so():
    scene = world({"a": [SILENT], "b": [Says("From b")]})
    receipt = (await scene.engine.complete(call(), Recorder())).receipt
    assert receipt.attempts[0].cost_status is CostStatus.INDETERMINATE
    assert receipt.cost_status is CostStatus.INDETERMINATE
    assert receipt.cost == receipt.attempts[1].cost.total


async def test_only_the_winner_is_shown():
    scene, edge = world({"a": [SILENT], "b": [Says("From b")]}), Recorder()
    await scene.engine.complete(call(stream=True), edge)
    assert [event.attempt for event in edge.of(Deltas)] == [2]
    assert [event.number for event in edge.of(AttemptStarted)] == [1, 2]


async def test_a_provider_that_speaks_in_time_is_not_hedged():
    scene = world({"a": [Says("Hello")], "b": [Says("From b")]}, replace(AT_ONCE, after=30.0))
    answer = await scene.engine.complete(call(), Recorder())
    assert outcomes(answer.receipt) == [("a", "primary", "success")]


async def test_a_first_candidate_that_fails_in_time_falls_back_as_ever():
    scene = world(
        {"a": [busy()], "b": [Says("From b")]}, replace(AT_ONCE, after=30.0), retries=Retries(same_deployment=0)
    )
    answer = await scene.engine.complete(call(), Recorder())
    assert outcomes(answer.receipt) == [("a", "primary", "error"), ("b", "fallback", "success")]


async def test_a_hedge_that_fails_leaves_the_first_running():
    scene = world({"a": [SILENT], "b": [busy()], "c": [Says("From c")]}, retries=Retries(same_deployment=0))
    answer = await scene.engine.complete(call(), Recorder())
    assert outcomes(answer.receipt) == [
        ("a", "primary", "error"),
        ("b", "hedge", "error"),
        ("c", "fallback", "success"),
    ]
    assert answer.receipt.attempts[0].error_type == "first_token_timeout"


async def test_where_both_fail_the_call_fails_with_both_on_the_receipt():
    scene = world({"a": [SILENT], "b": [busy()]})
    with pytest.raises(AttemptsFailed):
        await scene.engine.complete(call(), Recorder())
    assert outcomes(scene.engine.receipt("acme", "r1")) == [("a", "primary", "error"), ("b", "hedge", "error")]


async def test_a_hedge_may_use_all_the_time_that_is_left():
    scene = world({"a": [SILENT], "b": [SILENT]}, timeouts=Timeouts(first_token=30.0))
    deadline = asyncio.get_running_loop().time() + 0.2
    with pytest.raises(DeadlineExceeded):
        await scene.engine.complete(call(deadline=deadline), Recorder())


async def test_a_winner_that_breaks_later_may_still_fall_back_to_the_loser():
    scene = world({"a": [CUT], "b": [SILENT, Says("From b")]}, retries=Retries(same_deployment=0))
    speak = asyncio.Event()
    sent = scene.provider("a").stream

    async def once_b_runs(request, reply, receive):
        await speak.wait()
        await sent(request, reply, receive)

    async def edge(event):
        if isinstance(event, AttemptStarted) and event.number == 2:
            speak.set()

    scene.provider("a").stream = once_b_runs
    answer = await scene.engine.complete(call(), edge)
    assert outcomes(answer.receipt) == [
        ("a", "primary", "error"),
        ("b", "hedge", "cancelled"),
        ("b", "fallback", "success"),
    ]


async def test_a_cancelled_call_ends_and_accounts_for_both():
    scene, edge = world({"a": [SILENT], "b": [SILENT]}), Recorder()
    task = asyncio.create_task(scene.engine.complete(call(), edge))
    while len(edge.of(AttemptStarted)) < 2:
        edge.news.clear()
        await edge.news.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (scene.provider("a").closed, scene.provider("b").closed) == (1, 1)
    receipt = scene.engine.receipt("acme", "r1")
    assert [attempt.outcome for attempt in receipt.attempts] == [AttemptOutcome.CANCELLED] * 2
    assert receipt.attempts[1].reason is AttemptReason.HEDGE


async def test_an_answer_that_comes_whole_is_hedged_too():
    scene = world({"a": [SILENT], "b": [Says("From b")]}, stream_upstream=False)
    answer = await scene.engine.complete(call(), Recorder())
    assert outcomes(answer.receipt) == [("a", "primary", "cancelled"), ("b", "hedge", "success")]


async def test_a_candidate_without_a_price_is_not_hedged_to():
    scene = world({"a": [SILENT], "b": [Says("From b")]}, deployments=[deployment("a"), deployment("b", price=None)])
    answer = await scene.engine.complete(call(), Recorder())
    assert outcomes(answer.receipt) == [("a", "primary", "error"), ("b", "fallback", "success")]


async def test_a_hedge_dearer_than_allowed_does_not_run():
    scene = world({"a": [SILENT], "b": [Says("From b")]}, replace(AT_ONCE, max_cost_nano_usd=1))
    answer = await scene.engine.complete(call(), Recorder())
    assert [attempt.reason for attempt in answer.receipt.attempts] == [AttemptReason.PRIMARY, AttemptReason.FALLBACK]


async def test_hedges_cost_at_most_their_share_of_what_the_calls_cost():
    scene = world(
        {"a": [SILENT], "b": [Says("From b")]},
        Hedge(after=0.0, max_cost_share=0.25),
        retries=Retries(same_deployment=0),
        timeouts=Timeouts(first_token=0.01),
    )
    scene.engine.health.failed = lambda *_: None  # it would be ejected before long
    short = replace(call().chat, parameters=Parameters(max_output_tokens=5))
    hedged = 0
    for _ in range(20):
        receipt = (await scene.engine.complete(call(chat=short), Recorder())).receipt
        hedged += any(attempt.reason is AttemptReason.HEDGE for attempt in receipt.attempts)
    assert hedged == 5


def test_a_quiet_week_saves_up_no_more_than_a_thousand_calls_worth():
    hedge, purse = Hedge(after=1.0, max_cost_share=0.05), HedgePurse()
    for _ in range(5000):
        purse.deposit(hedge, 100)
    assert purse.withdraw(hedge, 5000)
    assert not purse.withdraw(hedge, 1)


def test_an_estimate_is_settled_with_what_the_loser_cost():
    hedge, purse = Hedge(after=1.0, max_cost_share=1.0), HedgePurse()
    purse.deposit(hedge, 100)
    assert purse.withdraw(hedge, 100)
    purse.settle(100, 40)
    assert not purse.withdraw(hedge, 61)
    assert purse.withdraw(hedge, 60)
