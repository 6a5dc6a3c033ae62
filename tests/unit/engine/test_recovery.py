"""A stream that breaks after output: what the caller is shown, and what each part costs."""

import asyncio

import pytest
from scripted_calls import CUT, Recorder, Says, World, busy, call, deployment

from router_service.domain.call import Wishes
from router_service.domain.chat import Chat, Message, Parameters, Role, TextPart
from router_service.domain.error import AttemptsFailed, Reason, UpstreamError, UpstreamFault
from router_service.domain.event import (
    AttemptDiscarded,
    AttemptStarted,
    Deltas,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from router_service.domain.money import CostStatus, Usage
from router_service.domain.policy import Recovery, Retries
from router_service.domain.receipt import AttemptReason

DISCARDS = Wishes(accept_discard=True)
REFUSED = Says(text="", error=UpstreamError(UpstreamFault.BAD_REQUEST, "no prefill here", status=400))
NO_RETRIES = Retries(same_deployment=0)


def world(scripts, *, prefills="b", recovery=Recovery.CONTINUE, **changes):
    deployments = [deployment(name, prefills=name in prefills, **changes) for name in scripts]
    return World(scripts, deployments=deployments, policy_changes={"recovery": recovery, "retries": NO_RETRIES})


def shown(edge):
    """What the caller reads in the end, by the rules of the protocol."""
    text = []
    for event in edge.events:
        if isinstance(event, AttemptDiscarded):
            text = [(number, said) for number, said in text if number < event.attempt]
        elif isinstance(event, Deltas):
            text += [(event.attempt, delta.text) for delta in event.deltas if isinstance(delta, TextDelta)]
    return "".join(said for _, said in text)


async def complete(scene, **changes):
    edge = Recorder()
    return await scene.engine.complete(call(stream=True, **changes), edge), edge


async def test_a_fallback_goes_on_from_what_was_said():
    scene = world({"a": [CUT], "b": [Says("lo!")]})
    answer, edge = await complete(scene)
    assert scene.provider("b").requests[0].prefix == "Hel"
    assert shown(edge) == answer.message.text == "Hello!"
    assert not edge.of(AttemptDiscarded)
    assert [(event.number, event.continues) for event in edge.of(AttemptStarted)] == [(1, 0), (2, 1)]
    assert [attempt.continues for attempt in answer.receipt.attempts] == [0, 1]


async def test_both_parts_of_a_continued_answer_are_paid_for_and_compared_as_one():
    scene = world({"a": [CUT], "b": [Says("lo!", usage=Usage(input_tokens=13, output_tokens=2))]})
    receipt = (await complete(scene))[0].receipt
    first, second = receipt.attempts
    assert (first.cost_status, second.cost_status) == (CostStatus.PARTIAL, CostStatus.ACTUAL)
    assert receipt.cost == first.cost.total + second.cost.total
    spoken = first.usage.output_tokens + 2
    assert receipt.baseline_cost == first.usage.input_tokens * 1_000 + spoken * 2_000


async def test_a_continuation_may_only_say_what_is_left_of_the_token_limit():
    said = "word " * 20
    scene = world({"a": [Says(said, error=CUT.error)], "b": [Says("end")]})
    chat = Chat(
        messages=(Message(role=Role.USER, parts=(TextPart("Say hello"),)),),
        parameters=Parameters(max_output_tokens=50),
    )
    await complete(scene, chat=chat)
    assert scene.provider("a").requests[0].max_output_tokens == 50
    assert 20 <= scene.provider("b").requests[0].max_output_tokens <= 35
    assert scene.provider("b").requests[0].prefix == said.rstrip()


async def test_a_continuation_that_breaks_is_continued_in_turn():
    scene = world({"a": [CUT], "b": [Says("lo", error=CUT.error)], "c": [Says(" there")]}, prefills="bc")
    answer, edge = await complete(scene)
    assert scene.provider("c").requests[0].prefix == "Hello"
    assert shown(edge) == answer.message.text == "Hello there"
    assert [attempt.continues for attempt in answer.receipt.attempts] == [0, 1, 2]


async def test_a_continuation_that_says_nothing_more_still_ends_the_answer():
    scene = world({"a": [Says("Hello", error=CUT.error)], "b": [Says("")]})
    answer, edge = await complete(scene)
    assert shown(edge) == answer.message.text == "Hello"


async def test_thinking_stays_part_of_the_message_and_is_not_thought_again():
    thought = Says("", then=(ReasoningDelta("hm"), TextDelta("Hel")), error=CUT.error)
    scene = world({"a": [thought], "b": [Says("", then=(ReasoningDelta("again"), TextDelta("lo")))]})
    answer, edge = await complete(scene)
    assert (answer.message.reasoning, answer.message.text) == ("hm", "Hello")
    assert shown(edge) == "Hello"


async def test_where_nobody_can_continue_the_answer_restarts():
    scene = world({"a": [CUT], "b": [Says("Whole")]}, prefills="")
    answer, edge = await complete(scene, wishes=DISCARDS)
    assert scene.provider("b").requests[0].prefix == ""
    assert shown(edge) == answer.message.text == "Whole"
    assert edge.of(AttemptDiscarded) == [AttemptDiscarded(attempt=1, reason=Reason.STREAM_TRUNCATED)]


async def test_a_restart_that_says_nothing_still_takes_back_what_it_replaces():
    scene = world({"a": [CUT], "b": [Says("")]}, prefills="")
    answer, edge = await complete(scene, wishes=DISCARDS)
    assert shown(edge) == answer.message.text == ""
    assert edge.of(AttemptDiscarded) == [AttemptDiscarded(attempt=1, reason=Reason.STREAM_TRUNCATED)]


@pytest.mark.parametrize(
    ("stream", "recovery", "wishes"),
    [(False, Recovery.FAIL, Wishes()), (True, Recovery.RESTART, DISCARDS), (True, Recovery.CONTINUE, Wishes())],
)
async def test_a_stall_leaves_a_fallback_its_share_of_a_short_deadline(stream, recovery, wishes):
    scene = world({"a": [Says("Hel", silent=True)], "b": [Says("lo")]}, recovery=recovery)
    deadline = asyncio.get_running_loop().time() + 0.4
    answer = await scene.engine.complete(call(stream=stream, wishes=wishes, deadline=deadline), Recorder())
    assert answer.receipt.attempts[0].error_type == "stall_timeout"
    assert answer.message.text == ("Hello" if recovery is Recovery.CONTINUE else "lo")
    assert not scene.engine.health.is_open("a")


async def test_a_restart_takes_back_a_continuation_with_what_it_went_on_from():
    scene = world({"a": [CUT], "b": [Says("lo", error=CUT.error)], "c": [Says("Whole")]}, prefills="b")
    answer, edge = await complete(scene, wishes=DISCARDS)
    assert edge.of(AttemptDiscarded) == [AttemptDiscarded(attempt=1, reason=Reason.STREAM_TRUNCATED)]
    assert shown(edge) == answer.message.text == "Whole"


async def test_candidates_that_cannot_continue_are_passed_over_where_nothing_may_be_discarded():
    scene = world({"a": [CUT], "b": [Says("Whole")], "c": [Says("lo")]}, prefills="c")
    answer, _ = await complete(scene)
    assert answer.message.text == "Hello"
    assert not scene.provider("b").requests


async def test_a_refused_prefill_becomes_a_restart_at_the_same_deployment():
    scene = world({"a": [CUT], "b": [REFUSED, Says("Whole")]})
    answer, edge = await complete(scene, wishes=DISCARDS)
    assert [request.prefix for request in scene.provider("b").requests] == ["Hel", ""]
    assert shown(edge) == answer.message.text == "Whole"
    assert [attempt.reason for attempt in answer.receipt.attempts] == [
        AttemptReason.PRIMARY,
        AttemptReason.FALLBACK,
        AttemptReason.RETRY,
    ]


async def test_a_refused_prefill_is_no_verdict_on_the_request():
    scene = world({"a": [CUT], "b": [REFUSED], "c": [Says("lo")]}, prefills="bc")
    answer, _ = await complete(scene)
    assert answer.message.text == "Hello"


async def test_where_nothing_can_be_continued_or_discarded_the_stream_fails_loudly():
    scene = world({"a": [CUT], "b": [REFUSED]})
    with pytest.raises(AttemptsFailed) as raised:
        await complete(scene)
    assert raised.value.reason is Reason.STREAM_TRUNCATED


@pytest.mark.parametrize(
    "begun",
    [
        Says("", then=(ToolCallDelta(index=0, id="1", name="f"),), error=CUT.error),
        Says("", then=(ReasoningDelta("hm"),), error=CUT.error),
        Says(" \n", error=CUT.error),
    ],
    ids=["tool call", "thinking alone", "white space alone"],
)
async def test_what_no_provider_could_go_on_from_is_not_continued(begun):
    scene = world({"a": [begun], "b": [Says("Whole")]})
    answer, edge = await complete(scene, wishes=DISCARDS)
    assert scene.provider("b").requests[0].prefix == ""
    assert answer.message.text == "Whole"
    assert len(edge.of(AttemptDiscarded)) == 1


async def test_a_cancelled_continuation_is_accounted_for_with_what_it_said():
    scene = world({"a": [CUT], "b": [Says("lo", silent=True, usage=None)]})
    edge = Recorder()
    task = asyncio.create_task(scene.engine.complete(call(stream=True), edge))
    while len(edge.of(Deltas)) < 2:
        edge.news.clear()
        await edge.news.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    last = scene.engine.receipt("acme", "r1").attempts[-1]
    assert (last.continues, last.cost_status) == (1, CostStatus.PARTIAL)
    assert last.usage.estimated
    assert scene.provider("b").closed == 1


async def test_a_unary_call_is_answered_anew_rather_than_continued():
    scene = world({"a": [CUT], "b": [Says("Whole")]})
    answer = await scene.engine.complete(call(), Recorder())
    assert scene.provider("b").requests[0].prefix == ""
    assert answer.message.text == "Whole"


async def test_an_outage_does_not_multiply_what_a_provider_is_asked():
    scene = World({"a": [busy()]}, policy_changes={"retries": Retries(same_deployment=3)})
    scene.engine.health.failed = lambda *_: None  # the breaker would end it sooner
    await fail_often(scene)


async def fail_often(scene):
    """A hundred calls in vain: no more requests may come of them than a fifth on top, and ten a second."""
    loop = asyncio.get_running_loop()
    calls, began = 100, loop.time()
    for _ in range(calls):
        with pytest.raises(AttemptsFailed):
            await scene.engine.complete(call(), Recorder())
    assert calls < len(scene.provider("a").requests) <= calls * 1.2 + 10 * (1 + loop.time() - began)


async def test_another_deployment_at_a_provider_that_was_asked_is_a_repeat_too():
    one, two = deployment("a"), deployment("b", provider="a-provider")
    scene = World({"a": [busy()], "b": [busy()]}, deployments=[one, two], policy_changes={"retries": NO_RETRIES})
    scene.engine.health.failed = lambda *_: None
    await fail_often(scene)
