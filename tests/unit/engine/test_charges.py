"""What calls and attempts count against limits and budgets."""

import asyncio

import pytest
from scripted_calls import COST, CUT, Recorder, Says, World, busy, call, deployment

from router_service.domain.decision import RejectionReason
from router_service.domain.deployment import Price, Rate
from router_service.domain.error import AttemptsFailed, BudgetSpent, LimitReached, Reason, UpstreamError, UpstreamFault
from router_service.domain.event import AttemptDiscarded
from router_service.domain.limit import (
    Budget,
    BudgetMode,
    DeploymentRate,
    Dimension,
    Limit,
    LimitRules,
    Period,
    Scope,
    Subject,
    Unit,
)
from router_service.domain.policy import Recovery, Retries
from router_service.domain.upstream import RateLeft
from router_service.engine.charges import unlimited

SUBJECT = Subject(tenant="acme", feature="chat", tier="free")
UNBILLED = Says(text="", error=UpstreamError(UpstreamFault.RATE_LIMITED, "busy", status=429))
CHEAP = Price(input=Rate(10**6), output=Rate(10**6), cached_input=Rate(10**6), cache_write=Rate(10**6), version="t")
PER_MODEL = Scope(per=(Dimension.MODEL,))


def limited(scripts, *, limits=(), budgets=(), deployments=None, **changes):
    scene = World(scripts, deployments=deployments, policy_changes={"retries": Retries(same_deployment=0), **changes})
    limiter = unlimited(asyncio.get_running_loop().time, lambda: 1_700_000_000.0)
    limiter.use(LimitRules(limits=tuple(limits), budgets=tuple(budgets)))
    scene.engine._limiter = limiter
    return scene


def spend(nano_usd, **changes):
    return Budget(name="month", nano_usd=nano_usd, period=Period.MONTH, **changes)


async def standing(scene, name):
    return {state.name: state for state in await scene.engine._limiter.state(SUBJECT, "a")}[name]


async def complete(scene, **changes):
    return await scene.engine.complete(call(**changes), Recorder())


async def test_an_answer_is_charged_what_it_cost_and_nothing_stays_reserved():
    scene = limited({"a": [Says()]}, budgets=[spend(10**12)])
    await complete(scene)
    state = await standing(scene, "month")
    assert (state.used, state.reserved) == (COST, 0)


async def test_every_attempt_of_a_call_is_charged():
    scene = limited({"a": [CUT], "b": [Says()]}, budgets=[spend(10**12)])
    answer = await complete(scene)
    assert (await standing(scene, "month")).used == answer.receipt.cost > COST


async def test_what_was_certainly_not_billed_gives_the_reserve_back():
    scene = limited({"a": [UNBILLED], "b": [Says()]}, budgets=[spend(10**12)])
    await complete(scene)
    assert (await standing(scene, "month")).used == COST


async def test_where_nobody_knows_what_was_billed_the_reserve_stands():
    scene = limited({"a": [busy()], "b": [Says()]}, budgets=[spend(10**12)])
    await complete(scene)
    state = await standing(scene, "month")
    assert state.reserved == 0
    assert state.used > COST + 100_000


async def test_a_cancelled_call_settles_what_it_produced():
    scene = limited({"a": [Says("Hel", silent=True)]}, budgets=[spend(10**12)])
    edge = Recorder()
    task = asyncio.create_task(scene.engine.complete(call(stream=True), edge))
    while not edge.events or type(edge.events[-1]).__name__ != "Deltas":
        edge.news.clear()
        await edge.news.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    state = await standing(scene, "month")
    assert state.reserved == 0
    assert state.used == scene.engine.receipt("acme", "r1").cost > 0


async def test_a_budget_without_room_for_the_attempt_refuses_it_undispatched():
    scene = limited({"a": [Says()]}, budgets=[spend(1000)])
    with pytest.raises(BudgetSpent):
        await complete(scene)
    assert not scene.provider("a").requests
    receipt = scene.engine.receipt("acme", "r1")
    assert (receipt.status, receipt.attempts) == ("RESOURCE_EXHAUSTED", ())


async def test_a_cheaper_candidate_is_asked_where_the_dear_one_does_not_fit():
    deployments = [deployment("a"), deployment("b", price=CHEAP)]
    scene = limited({"a": [Says()], "b": [Says("From b")]}, budgets=[spend(100_000)], deployments=deployments)
    answer = await complete(scene)
    assert answer.message.text == "From b"
    assert [attempt.number for attempt in answer.receipt.attempts] == [1]


async def test_a_limit_of_one_model_lets_another_serve():
    limit = Limit(name="a-rpm", unit=Unit.REQUESTS, amount=1, window=60.0, scope=PER_MODEL)
    scene = limited({"a": [Says("From a")], "b": [Says("From b")]}, limits=[limit])
    assert [(await complete(scene)).message.text for _ in range(2)] == ["From a", "From b"]
    with pytest.raises(LimitReached) as raised:
        await complete(scene)
    assert 0 < raised.value.retry_after <= 62


async def test_a_limit_on_calls_counts_a_call_once_however_many_attempts_it_takes():
    limit = Limit(name="rpm", unit=Unit.REQUESTS, amount=2, window=60.0)
    scene = limited({"a": [busy()], "b": [Says()]}, limits=[limit])
    await complete(scene)
    await complete(scene)
    with pytest.raises(LimitReached):
        await complete(scene)


async def test_a_slot_is_free_again_however_the_call_ends():
    limit = Limit(name="slots", unit=Unit.CONCURRENT, amount=1)
    scene = limited({"a": [busy(), Says()]}, limits=[limit])
    with pytest.raises(Exception, match="No provider answered"):
        await complete(scene)
    assert await complete(scene)


async def test_a_budget_that_is_spent_so_far_prefers_the_cheaper_candidate():
    dear, cheap = deployment("a"), deployment("b", price=CHEAP)
    budget = spend(10**9, mode=BudgetMode.DEGRADE, degrade_from=0.00001)
    scene = limited({"a": [Says("From a")], "b": [Says("From b")]}, budgets=[budget], deployments=[dear, cheap])
    assert [(await complete(scene)).message.text for _ in range(2)] == ["From a", "From b"]


async def test_a_refused_retry_is_told_as_the_failure_that_came_first():
    limit = Limit(name="b-rpm", unit=Unit.REQUESTS, amount=1, window=60.0, scope=PER_MODEL)
    scene = limited({"a": [busy()]}, limits=[limit], retries=Retries(same_deployment=1))
    with pytest.raises(Exception, match="No provider answered after 1 attempt"):
        await complete(scene)


async def test_a_refused_repeat_asks_nobody_who_could_only_begin_anew_behind_the_callers_back():
    limit = Limit(name="rpm", unit=Unit.REQUESTS, amount=1, window=60.0, scope=PER_MODEL)
    continuing = deployment("a", prefills=True)
    scene = limited(
        {"a": [CUT], "b": [Says("Whole")]},
        limits=[limit],
        deployments=[continuing, deployment("b")],
        retries=Retries(same_deployment=1),
        recovery=Recovery.CONTINUE,
    )
    edge = Recorder()
    with pytest.raises(AttemptsFailed) as raised:
        await scene.engine.complete(call(stream=True), edge)
    assert raised.value.reason is Reason.STREAM_TRUNCATED
    assert not scene.provider("b").requests
    assert not edge.of(AttemptDiscarded)


async def test_a_deployment_that_says_nothing_is_left_of_its_rate_is_not_asked_until_it_is():
    scene = World({"a": [Says("From a")], "b": [Says("From b")]})
    sent = scene.provider("a").stream

    async def used_up(request, reply, receive):
        reply.rate_left = RateLeft(requests=0, requests_reset=30.0)
        await sent(request, reply, receive)

    scene.provider("a").stream = used_up
    answers = [await complete(scene) for _ in range(2)]
    assert [answer.message.text for answer in answers] == ["From a", "From b"]
    [rejection] = answers[1].receipt.decision.rejections
    assert rejection.reason is RejectionReason.SATURATED
    assert 0 < rejection.retry_after <= 30


async def test_a_deployments_own_rate_sends_calls_elsewhere_before_it_refuses_them():
    scene = World({"a": [Says("From a")], "b": [Says("From b")]})
    scene.engine._rates.use({"a": DeploymentRate(requests_per_minute=2)})
    assert [(await complete(scene)).message.text for _ in range(3)] == ["From a", "From a", "From b"]
