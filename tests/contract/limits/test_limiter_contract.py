"""Limits on requests, tokens and concurrent calls: the same over every kind of counters."""

from __future__ import annotations

import asyncio

import pytest

from router_service.domain.error import LimitReached, Reason
from router_service.domain.limit import Dimension, LimitRules, Scope, Subject
from router_service.limits.limiter import Limiter
from tests.contract.limits.counters import (
    CALLER,
    PER_TENANT,
    Counters,
    concurrent,
    hold,
    requests,
    tokens,
)


async def refused(limiter: Limiter, subject: Subject = CALLER) -> LimitReached:
    with pytest.raises(LimitReached) as caught:
        await limiter.enter(subject)
    return caught.value


async def entered(limiter: Limiter, tries: int, subject: Subject = CALLER) -> int:
    """How many of so many calls at once get in."""
    results = await asyncio.gather(*(limiter.enter(subject) for _ in range(tries)), return_exceptions=True)
    assert all(not isinstance(one, BaseException) or isinstance(one, LimitReached) for one in results), results
    return sum(not isinstance(one, BaseException) for one in results)


async def test_a_request_limit_lets_exactly_its_amount_through(counters: Counters) -> None:
    assert await entered(counters.limiter(requests(7)), 20) == 7


async def test_a_refusal_names_the_limit_its_scope_and_when_to_come_back(counters: Counters) -> None:
    limiter = counters.limiter(requests(2, name="free-rpm"))
    await entered(limiter, 2)
    error = await refused(limiter)
    assert error.reason is Reason.RATE_LIMITED
    assert "free-rpm" in error.message
    assert "2 requests per 1m for tenant acme" in error.message
    assert error.metadata == {
        "limit": "free-rpm", "scope": "tenant acme", "unit": "requests", "amount": "2", "used": "2",
    }  # fmt: skip
    assert error.retry_after is not None
    assert 60 <= error.retry_after <= 62


async def test_coming_back_when_told_to_helps_and_a_moment_earlier_does_not(counters: Counters) -> None:
    limiter = counters.limiter(requests(3))
    await limiter.enter(CALLER)
    await counters.advance(20)
    await entered(limiter, 2)
    wait = (await refused(limiter)).retry_after
    assert wait is not None
    assert 40 <= wait <= 42
    await counters.advance(wait - 0.001)
    await refused(limiter)
    await counters.advance(0.002)
    await limiter.enter(CALLER)
    await refused(limiter)


async def test_no_interval_of_the_windows_length_sees_more_than_the_amount(counters: Counters) -> None:
    limiter = counters.limiter(requests(10, window=10))
    began, times = counters.now, []
    while counters.now < began + 45:
        if await entered(limiter, 1):
            times.append(counters.now)
        await counters.advance(0.21)
    assert max(sum(start <= time < start + 10 for time in times) for start in times) == 10
    assert len(times) >= 10 * 4


async def test_a_window_that_is_hit_all_the_time_still_lets_calls_through(counters: Counters) -> None:
    limiter = counters.limiter(requests(1, window=10))
    passed = 0
    for _ in range(40):
        passed += await entered(limiter, 1)
        await counters.advance(1)
    assert passed == 4


async def test_a_refused_call_does_not_count(counters: Counters) -> None:
    limiter = counters.limiter(requests(1, name="narrow"), requests(3, name="wide", scope=Scope()))
    await limiter.enter(CALLER)
    for _ in range(5):
        await refused(limiter)
    assert await entered(limiter, 1, Subject(tenant="other")) == 1
    assert {one.name: one.used for one in await limiter.state(CALLER)} == {"narrow": 1, "wide": 2}


async def test_each_combination_of_dimensions_has_its_own_counter(counters: Counters) -> None:
    limiter = counters.limiter(requests(1, scope=Scope(per=(Dimension.TENANT, Dimension.KEY, Dimension.FEATURE))))
    for subject in (
        Subject(tenant="a", key="k", feature="f"),
        Subject(tenant="b", key="k", feature="f"),
        Subject(tenant="a", key="l", feature="f"),
        Subject(tenant="a", key="k", feature="g"),
    ):
        assert await entered(limiter, 3, subject) == 1


async def test_a_filter_leaves_other_calls_alone(counters: Counters) -> None:
    limiter = counters.limiter(requests(1, scope=Scope(match={Dimension.TIER: frozenset({"free"})})))
    assert await entered(limiter, 3, Subject(tenant="a", tier="pro")) == 3
    assert await entered(limiter, 3, Subject(tenant="a", tier="free")) == 1


async def test_another_spelling_of_a_feature_is_no_way_around_its_limit(counters: Counters) -> None:
    limiter = counters.limiter(requests(1, scope=Scope(per=(Dimension.FEATURE,))))
    assert await entered(limiter, 1, Subject(tenant="a", feature="Chat")) == 1
    assert await entered(limiter, 1, Subject(tenant="a", feature="cHAT")) == 0


async def test_names_that_contain_the_separator_do_not_share_a_counter(counters: Counters) -> None:
    limiter = counters.limiter(requests(1, scope=Scope(per=(Dimension.TENANT, Dimension.FEATURE))))
    assert await entered(limiter, 1, Subject(tenant="a\x1ffeature=b", feature="c")) == 1
    assert await entered(limiter, 1, Subject(tenant="a", feature="b\x1ffeature=c")) == 1


async def test_a_token_limit_of_100_never_lets_663_through(counters: Counters) -> None:
    """LiteLLM #18730: tokens were counted after the calls, so that concurrent ones passed together."""
    limiter = counters.limiter(tokens(100))
    results = await asyncio.gather(*(hold(limiter, tokens=13) for _ in range(51)), return_exceptions=True)
    held = [one for one in results if not isinstance(one, BaseException)]
    assert len(held) * 13 <= 100 < (len(held) + 1) * 13
    for one in held:
        limiter.settle(one, tokens=13, nano_usd=0)
    await counters.counted()
    assert [one.used for one in await limiter.state(CALLER)] == [91]


async def test_tokens_that_were_not_used_are_given_back(counters: Counters) -> None:
    limiter = counters.limiter(tokens(100))
    first = await hold(limiter, tokens=90)
    with pytest.raises(LimitReached):
        await hold(limiter, tokens=20)
    limiter.settle(first, tokens=10, nano_usd=0)
    await hold(limiter, tokens=90)
    assert [one.used for one in await limiter.state(CALLER)] == [100]


async def test_tokens_beyond_the_reserve_count_too(counters: Counters) -> None:
    limiter = counters.limiter(tokens(100))
    limiter.settle(await hold(limiter, tokens=10), tokens=95, nano_usd=0)
    await counters.counted()
    with pytest.raises(LimitReached):
        await hold(limiter, tokens=6)


async def test_an_unknown_usage_lets_the_reserve_stand(counters: Counters) -> None:
    limiter = counters.limiter(tokens(100))
    limiter.settle(await hold(limiter, tokens=60), tokens=None, nano_usd=None)
    await counters.counted()
    assert [one.used for one in await limiter.state(CALLER)] == [60]


async def test_tokens_settled_after_their_window_are_forgotten(counters: Counters) -> None:
    limiter = counters.limiter(tokens(100))
    slow = await hold(limiter, tokens=50, lease=600)
    await counters.advance(70)
    await hold(limiter, tokens=40)
    limiter.settle(slow, tokens=90, nano_usd=0)
    await counters.counted()
    assert [one.used for one in await limiter.state(CALLER)] == [40]


async def test_a_call_that_can_never_fit_is_not_told_to_come_back(counters: Counters) -> None:
    with pytest.raises(LimitReached, match="more than the limit tokens ever allows: 100 tokens per 1m") as caught:
        await hold(counters.limiter(tokens(100)), tokens=101)
    assert caught.value.retry_after is None


async def test_a_refused_hold_reserves_nothing_on_any_limit(counters: Counters) -> None:
    limiter = counters.limiter(tokens(1000, name="wide", scope=Scope()), tokens(100, name="narrow"))
    await hold(limiter, tokens=60)
    with pytest.raises(LimitReached):
        await hold(limiter, tokens=60)
    assert {one.name: one.used for one in await limiter.state(CALLER)} == {"wide": 60, "narrow": 60}


async def test_of_several_reached_limits_the_one_that_lasts_longest_is_named(counters: Counters) -> None:
    limiter = counters.limiter(requests(1, 60, name="minute"), requests(1, 3600, name="hour"))
    await limiter.enter(CALLER)
    error = await refused(limiter)
    assert error.metadata["limit"] == "hour"
    assert error.retry_after is not None
    assert error.retry_after >= 3600


async def test_limits_per_model_apply_to_attempts(counters: Counters) -> None:
    limiter = counters.limiter(requests(1, scope=Scope(per=(Dimension.MODEL,))))
    await hold(limiter, model="a")
    with pytest.raises(LimitReached, match="for model a"):
        await hold(limiter, model="a")
    await hold(limiter, model="b")


async def test_calls_at_once_are_limited_until_one_leaves(counters: Counters) -> None:
    limiter = counters.limiter(concurrent(2))
    first = await limiter.enter(CALLER)
    await limiter.enter(CALLER)
    error = await refused(limiter)
    assert "2 concurrent calls for tenant acme" in error.message
    assert error.retry_after == 1.0
    limiter.leave(first)
    limiter.leave(first)
    await limiter.enter(CALLER)
    await refused(limiter)


async def test_a_slot_of_a_process_that_died_is_free_after_its_lease(counters: Counters) -> None:
    limiter = counters.limiter(concurrent(1))
    await limiter.enter(CALLER, lease=30)
    await counters.advance(29.9)
    await refused(limiter)
    await counters.advance(0.2)
    await limiter.enter(CALLER, lease=30)


async def test_a_reload_keeps_the_counters_of_rules_that_stay(counters: Counters) -> None:
    limiter = counters.limiter(requests(2))
    await entered(limiter, 2)
    limiter.use(LimitRules(limits=(requests(3), requests(1, name="new", scope=PER_TENANT))))
    assert await entered(limiter, 3) == 1


async def test_without_rules_nothing_is_counted(counters: Counters) -> None:
    limiter = counters.limiter()
    entry = await limiter.enter(CALLER)
    limiter.settle(await limiter.hold(entry, model="m", tokens=1, nano_usd=1, attempt_id="a"), tokens=1, nano_usd=1)
    limiter.leave(entry)
    assert await limiter.state(CALLER) == ()
