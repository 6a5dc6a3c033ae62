"""One call from top to bottom, over providers that do as they are told."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from scripted_calls import COST, CUT, Recorder, Says, World, busy, call, deployment

from router_service.domain.call import Caller, Wishes
from router_service.domain.chat import FinishReason
from router_service.domain.error import AttemptsFailed, DeadlineExceeded, NotFound, Reason, UpstreamError, UpstreamFault
from router_service.domain.event import (
    AttemptDiscarded,
    AttemptFinished,
    AttemptStarted,
    CallStarted,
    Decided,
    Deltas,
    Finished,
)
from router_service.domain.money import CostStatus
from router_service.domain.policy import Recovery, StickyKey, Timeouts
from router_service.domain.receipt import AttemptOutcome, AttemptReason


async def test_a_call_is_answered_priced_and_kept():
    world = World({"a": [Says("Hello")]})
    answer = await world.engine.complete(call(), Recorder())
    assert answer.message.text == "Hello"
    assert answer.finish_reason is FinishReason.STOP
    assert answer.receipt.cost == COST
    assert answer.receipt.cost_status is CostStatus.ACTUAL
    assert answer.receipt.baseline_cost == COST
    assert answer.receipt.status == "OK"
    assert world.engine.receipt("acme", "r1") is answer.receipt
    assert world.engine.receipt("other", "r1") is None


async def test_events_come_in_the_drawn_order():
    world, edge = World({"a": [Says("Hello")]}), Recorder()
    await world.engine.complete(call(stream=True), edge)
    assert [type(event) for event in edge.events] == [Decided, AttemptStarted, Deltas, Finished]
    assert [type(event) for event in world.observed.events] == [
        CallStarted,
        Decided,
        AttemptStarted,
        Deltas,
        AttemptFinished,
        Finished,
    ]


async def test_a_passing_error_is_retried_and_both_attempts_are_on_the_receipt():
    world = World({"a": [busy(), Says("Hello")]})
    receipt = (await world.engine.complete(call(), Recorder())).receipt
    assert [attempt.reason for attempt in receipt.attempts] == [AttemptReason.PRIMARY, AttemptReason.RETRY]
    assert receipt.attempts[0].error_type == "503"
    assert receipt.attempts[0].cost_status is CostStatus.INDETERMINATE
    assert receipt.cost_status is CostStatus.INDETERMINATE
    assert receipt.cost == COST
    assert len(world.waits) == 1


async def test_a_rate_limit_waits_as_long_as_the_provider_says():
    limited = Says(text="", error=UpstreamError(UpstreamFault.RATE_LIMITED, "a is busy.", status=429, retry_after=1.25))
    world = World({"a": [limited, Says("Hello")]})
    receipt = (await world.engine.complete(call(), Recorder())).receipt
    assert world.waits == [1.25]
    assert receipt.attempts[0].cost_status is CostStatus.UNBILLED


async def test_a_lasting_error_falls_back_to_the_next_candidate():
    refused = Says(text="", error=UpstreamError(UpstreamFault.AUTH, "a refuses the key.", status=401))
    world = World({"a": [refused], "b": [Says("From b")]})
    answer = await world.engine.complete(call(), Recorder())
    assert answer.message.text == "From b"
    assert [attempt.reason for attempt in answer.receipt.attempts] == [AttemptReason.PRIMARY, AttemptReason.FALLBACK]
    assert answer.receipt.fallbacks == 1


async def test_when_every_attempt_failed_the_error_says_so_and_the_receipt_is_kept():
    world, edge = World({"a": [busy()], "b": [busy()]}), Recorder()
    with pytest.raises(AttemptsFailed) as raised:
        await world.engine.complete(call(), edge)
    assert raised.value.reason is Reason.ATTEMPTS_EXHAUSTED
    assert raised.value.metadata["attempts"] == "4"
    receipt = world.engine.receipt("acme", "r1")
    assert receipt.status == "UNAVAILABLE"
    assert receipt.error_reason == "ATTEMPTS_EXHAUSTED"
    assert edge.of(Finished)[0].receipt is receipt


async def test_a_request_that_a_provider_rejects_is_not_sent_elsewhere():
    rejected = Says(text="", error=UpstreamError(UpstreamFault.BAD_REQUEST, "a rejects it.", status=400))
    world = World({"a": [rejected], "b": [Says()]})
    with pytest.raises(AttemptsFailed) as raised:
        await world.engine.complete(call(), Recorder())
    assert raised.value.reason is Reason.UPSTREAM_REJECTED
    assert not world.provider("b").requests


async def test_a_prompt_too_long_for_one_goes_only_to_a_larger_context():
    too_long = Says(text="", error=UpstreamError(UpstreamFault.CONTEXT_LENGTH, "too long", status=400))
    small, equal, large = (
        deployment("small", context_window=8_000),
        deployment("equal", context_window=8_000),
        deployment("large", context_window=100_000),
    )
    world = World({"small": [too_long], "equal": [Says()], "large": [Says("ok")]}, deployments=[small, equal, large])
    answer = await world.engine.complete(call(), Recorder())
    assert [attempt.deployment.id for attempt in answer.receipt.attempts] == ["small", "large"]


async def test_keys_refused_everywhere_are_the_operators_matter():
    refused = Says(text="", error=UpstreamError(UpstreamFault.AUTH, "key refused", status=401))
    world = World({"a": [refused], "b": [refused]})
    with pytest.raises(AttemptsFailed) as raised:
        await world.engine.complete(call(), Recorder())
    assert raised.value.reason is Reason.PROVIDER_REFUSES_KEY


async def test_a_unary_call_recovers_from_a_cut_stream():
    world = World({"a": [CUT, Says("Hello")]})
    answer = await world.engine.complete(call(), Recorder())
    assert answer.message.text == "Hello"
    assert answer.receipt.attempts[0].cost_status is CostStatus.PARTIAL


async def test_a_stream_cut_after_output_fails_loudly_with_its_cost():
    world, edge = World({"a": [CUT], "b": [Says()]}), Recorder()
    with pytest.raises(AttemptsFailed) as raised:
        await world.engine.complete(call(stream=True), edge)
    assert raised.value.reason is Reason.STREAM_TRUNCATED
    assert not world.provider("b").requests
    attempt = world.engine.receipt("acme", "r1").attempts[0]
    assert attempt.outcome is AttemptOutcome.ERROR
    assert attempt.usage.estimated
    assert attempt.cost.total > 0


async def test_a_stream_cut_after_output_restarts_for_a_caller_that_accepts_discards():
    world = World({"a": [CUT], "b": [Says("Whole")]}, policy_changes={"recovery": Recovery.RESTART})
    edge = Recorder()
    answer = await world.engine.complete(call(stream=True, wishes=Wishes(accept_discard=True)), edge)
    assert answer.message.text == "Whole"
    shown = [event for event in edge.events if isinstance(event, Deltas | AttemptDiscarded)]
    # "a" is asked twice: a cut is retried once before the fallback.
    assert [(type(event).__name__, event.attempt) for event in shown] == [
        ("Deltas", 1),
        ("AttemptDiscarded", 1),
        ("Deltas", 2),
        ("AttemptDiscarded", 2),
        ("Deltas", 3),
    ]
    assert [attempt.cost_status for attempt in answer.receipt.attempts[:2]] == [CostStatus.PARTIAL] * 2


async def test_a_restart_nobody_can_carry_out_discards_nothing():
    world = World({"a": [CUT, busy()], "b": [busy()]}, policy_changes={"recovery": Recovery.RESTART})
    edge = Recorder()
    with pytest.raises(AttemptsFailed) as raised:
        await world.engine.complete(call(stream=True, wishes=Wishes(accept_discard=True)), edge)
    assert raised.value.reason is Reason.STREAM_TRUNCATED
    assert not edge.of(AttemptDiscarded)


async def test_a_caller_that_cannot_discard_gets_no_restart():
    world = World({"a": [CUT], "b": [Says()]}, policy_changes={"recovery": Recovery.RESTART})
    with pytest.raises(AttemptsFailed) as raised:
        await world.engine.complete(call(stream=True), Recorder())
    assert raised.value.reason is Reason.STREAM_TRUNCATED


async def test_a_stream_cut_before_output_falls_back_unseen():
    world, edge = World({"a": [busy()], "b": [Says("From b")]}), Recorder()
    await world.engine.complete(call(stream=True), edge)
    assert [event.deltas[0].text for event in edge.of(Deltas)] == ["From b"]


async def test_a_silent_provider_leaves_time_for_the_fallback():
    world = World({"a": [Says(text="", silent=True)], "b": [Says("From b")]})
    loop = asyncio.get_running_loop()
    answer = await world.engine.complete(call(deadline=loop.time() + 0.2), Recorder())
    assert answer.message.text == "From b"
    first = answer.receipt.attempts[0]
    assert first.error_type == "first_token_timeout"
    assert first.duration == pytest.approx(0.1, abs=0.08)
    assert world.provider("a").closed == 1


async def test_a_stall_after_output_ends_the_attempt():
    world = World(
        {"a": [Says("Hel", silent=True)], "b": [Says("Whole")]},
        policy_changes={"timeouts": Timeouts(stall=0.02)},
    )
    answer = await world.engine.complete(call(), Recorder())
    assert answer.message.text == "Whole"
    assert answer.receipt.attempts[0].error_type == "stall_timeout"


async def test_a_slow_reader_is_not_taken_for_the_providers_silence():
    world = World({"a": [Says("Hello")]}, policy_changes={"timeouts": Timeouts(stall=0.01)})

    async def slow(event):
        if isinstance(event, Deltas):
            await asyncio.sleep(0.05)

    answer = await world.engine.complete(call(stream=True), slow)
    assert answer.message.text == "Hello"


async def test_a_hurried_caller_ejects_nobody_for_the_others():
    world = World({"a": [Says(text="", silent=True)]})
    for _ in range(6):
        with pytest.raises(DeadlineExceeded):
            await world.engine.complete(call(deadline=asyncio.get_running_loop().time() + 0.01), Recorder())
    assert not world.engine.health.cooling()


async def test_a_deadline_in_the_past_asks_nobody():
    world = World({"a": [Says()]})
    with pytest.raises(DeadlineExceeded):
        await world.engine.complete(call(deadline=asyncio.get_running_loop().time() - 1), Recorder())
    assert not world.provider("a").requests


async def test_waiting_for_usage_after_a_verified_finish_costs_no_answer():
    world = World({"a": [Says("Hello", lingers=True)]})
    answer = await world.engine.complete(call(deadline=asyncio.get_running_loop().time() + 0.05), Recorder())
    assert answer.message.text == "Hello"
    assert not world.engine.health.cooling()


async def test_a_reader_that_stops_until_the_deadline_gets_no_success_and_charges_nobody():
    world = World({"a": [Says("Hello", lingers=True)]})

    async def stopped(event):
        if isinstance(event, Deltas):
            await asyncio.Event().wait()

    with pytest.raises(DeadlineExceeded):
        await world.engine.complete(call(stream=True, deadline=asyncio.get_running_loop().time() + 0.03), stopped)
    assert not world.engine.health.cooling()


async def test_reading_time_is_not_counted_against_the_provider():
    world = World({"a": [Says("Hello")]}, policy_changes={"timeouts": Timeouts(total=0.02)})

    async def slow(event):
        if isinstance(event, Deltas):
            await asyncio.sleep(0.05)

    assert (await world.engine.complete(call(stream=True), slow)).message.text == "Hello"


async def test_a_fallback_that_cools_down_before_its_turn_is_not_asked():
    world = World({"a": [busy()], "b": [Says()], "c": [Says("From c")]})
    limited = UpstreamError(UpstreamFault.RATE_LIMITED, "b is busy.", status=429, retry_after=60.0)
    provider = world.provider("a")
    sent = provider.stream

    async def meanwhile(request, reply, receive):
        world.engine.health.failed(world.engine.health.dispatched("b"), limited)
        await sent(request, reply, receive)

    provider.stream = meanwhile
    answer = await world.engine.complete(call(), Recorder())
    assert answer.message.text == "From c"
    assert not world.provider("b").requests


async def test_the_callers_deadline_ends_the_call():
    world = World({"a": [Says(text="", silent=True)]})
    with pytest.raises(DeadlineExceeded):
        await world.engine.complete(call(deadline=asyncio.get_running_loop().time() + 0.03), Recorder())
    assert world.engine.receipt("acme", "r1").status == "DEADLINE_EXCEEDED"


async def test_cancelling_closes_the_upstream_and_accounts_for_what_was_produced():
    world, edge = World({"a": [Says("Hel", silent=True)]}), Recorder()
    task = asyncio.create_task(world.engine.complete(call(stream=True), edge))
    await edge.saw(Deltas)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.provider("a").closed == 1
    receipt = world.engine.receipt("acme", "r1")
    assert receipt.status == "CANCELLED"
    assert receipt.attempts[0].outcome is AttemptOutcome.CANCELLED
    assert receipt.attempts[0].cost_status is CostStatus.PARTIAL
    assert receipt.cost > 0


async def test_usage_that_was_not_reported_is_counted_and_flagged():
    world = World({"a": [Says("Hello there", usage=None)]})
    receipt = (await world.engine.complete(call(), Recorder())).receipt
    assert receipt.usage.estimated
    assert receipt.cost_status is CostStatus.ESTIMATED


async def test_an_unknown_price_is_a_status_and_never_zero():
    world = World({"a": [Says()]}, deployments=[deployment("a", price=None)])
    receipt = (await world.engine.complete(call(), Recorder())).receipt
    assert receipt.cost is None
    assert receipt.cost_status is CostStatus.UNPRICED


async def test_a_deployment_that_keeps_failing_is_passed_over():
    world = World({"a": [busy()], "b": [Says()]})
    for _ in range(3):
        await world.engine.complete(call(), Recorder())
    seen = len(world.provider("a").requests)
    receipt = (await world.engine.complete(call(), Recorder())).receipt
    assert len(world.provider("a").requests) == seen
    assert [rejection.reason.value for rejection in receipt.decision.rejections] == ["HEALTH"]


async def test_a_conversation_stays_on_its_deployment_where_the_policy_says_so():
    world = World({"a": [busy(), busy(), Says()], "b": [Says()]}, policy_changes={"sticky": StickyKey.CONVERSATION})
    talk = call(caller=Caller(conversation_id="c1"))
    first = (await world.engine.complete(talk, Recorder())).receipt
    second = (await world.engine.complete(talk, Recorder())).receipt
    other = (await world.engine.complete(call(caller=Caller(conversation_id="c2")), Recorder())).receipt
    assert [receipt.attempts[-1].deployment.id for receipt in (first, second, other)] == ["b", "b", "a"]


async def test_route_pays_for_nothing_and_its_token_is_redeemed():
    world = World({"a": [Says()], "b": [Says("From b")]})
    decision = await world.engine.route(call())
    assert not world.provider("a").requests
    swapped = replace(decision, candidates=decision.candidates[::-1])
    token, _ = world.engine.sign(call(), swapped)
    answer = await world.engine.complete(call(wishes=Wishes(decision_token=token)), Recorder())
    assert answer.message.text == "From b"


async def test_routing_is_observed_like_a_call_without_attempts():
    world = World({"a": [Says()]})
    await world.engine.route(call())
    assert [type(event) for event in world.observed.events] == [CallStarted, Decided, Finished]
    with pytest.raises(NotFound):
        await world.engine.route(call(wishes=Wishes(model="nobody")))
    assert world.observed.events[-1].receipt.error_reason == "MODEL_NOT_FOUND"


async def test_a_defect_is_accounted_for_before_it_goes_on():
    world = World({"a": [Says()]})

    async def broken(event):
        if isinstance(event, Deltas):
            raise ValueError("the edge has a defect")

    with pytest.raises(ValueError, match="defect"):
        await world.engine.complete(call(stream=True), broken)
    receipt = world.engine.receipt("acme", "r1")
    assert receipt.status == "INTERNAL"
    assert len(receipt.attempts) == 1


async def test_a_reload_serves_new_calls_and_keeps_receipts():
    world = World({"a": [Says("old")]})
    await world.engine.complete(call(), Recorder())
    fresh = World({"b": [Says("new")]})
    world.engine.use(fresh.engine._runtime)
    answer = await world.engine.complete(call(request_id="r2"), Recorder())
    assert answer.message.text == "new"
    assert world.engine.receipt("acme", "r1") is not None


async def test_an_answer_without_a_verified_finish_is_never_a_success():
    world = World({"a": [Says("Hello", finish=None)]})
    with pytest.raises(AttemptsFailed) as raised:
        await world.engine.complete(call(), Recorder())
    assert raised.value.metadata["last_error"] == "stream_interrupted"
