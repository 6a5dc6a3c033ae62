"""What shadow calls may spend: the same over every kind of counters."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from router_service.domain.error import BudgetSpent, LimitReached, Overloaded
from router_service.domain.limit import Budget, LimitRules, Period, Scope, SettledSpend, Subject
from router_service.limits.limiter import Limiter
from router_service.limits.shared import SharedMeters
from tests.contract.limits.counters import CALLER, NOON, Counters, budget, hold, requests, tokens

USD = 10**9
SHADOW = Subject(tenant="", shadow="default/try")
OTHER = Subject(tenant="", shadow="default/other")


def caps(nano_usd: int = 20 * USD) -> LimitRules:
    """Two shadows, beside a budget and a limit that everybody else shares."""
    made = {
        subject.shadow: Budget(name=f"shadow {subject.shadow}", nano_usd=nano_usd, period=Period.DAY)
        for subject in (SHADOW, OTHER)
    }
    others = budget(1000 * USD, scope=Scope())
    return LimitRules(limits=(tokens(10),), budgets=(others,), shadows=made)


def limiter_of(counters: Counters, rules: LimitRules, meters: SharedMeters | None = None) -> Limiter:
    return Limiter(rules, meters or counters.meters, wall=lambda: counters.now)


async def spend(limiter: Limiter, nano_usd: int, *, actual: int | None = None, subject: Subject = SHADOW) -> bool:
    try:
        held = await hold(limiter, subject=subject, nano_usd=nano_usd, tokens=1_000_000)
    except BudgetSpent:
        return False
    await asyncio.sleep(0)
    limiter.settle(held, tokens=1, nano_usd=nano_usd if actual is None else actual)
    return True


async def test_replicas_never_spend_more_than_the_cap_together(counters: Counters) -> None:
    replicas = [limiter_of(counters, caps())]
    if isinstance(counters.meters, SharedMeters):
        replicas += [limiter_of(counters, caps(), await counters.connect()) for _ in range(2)]
    granted = await asyncio.gather(*(spend(replicas[number % len(replicas)], USD) for number in range(120)))
    assert sum(granted) == 20
    await asyncio.sleep(0)
    assert await spend(replicas[0], USD, subject=OTHER)


async def test_what_was_held_and_not_used_can_be_spent(counters: Counters) -> None:
    limiter = limiter_of(counters, caps(2 * USD))
    for _ in range(10):
        assert await spend(limiter, 2 * USD - 10, actual=1)
        await counters.counted()
    assert not await spend(limiter, 2 * USD)


async def test_shadows_and_callers_do_not_touch_each_others_money(counters: Counters) -> None:
    limiter = limiter_of(counters, caps())
    assert await spend(limiter, 20 * USD)
    await counters.counted()
    states = {state.name: state.used for state in await limiter.state(CALLER)}
    assert states["money"] == 0
    held = await hold(limiter, nano_usd=5 * USD, tokens=1)
    limiter.settle(held, tokens=1, nano_usd=5 * USD)
    assert not await spend(limiter, 1)
    assert await spend(limiter, 20 * USD, subject=OTHER)


async def test_shadows_count_against_no_limit_on_calls(counters: Counters) -> None:
    limiter = limiter_of(counters, replace(caps(), limits=(requests(1, scope=Scope()),)))
    assert await spend(limiter, 1)
    assert await spend(limiter, 1)
    await limiter.enter(CALLER)
    with pytest.raises(LimitReached):
        await limiter.enter(CALLER)


async def test_a_budget_of_the_same_name_is_another_counter(counters: Counters) -> None:
    namesake = Budget(name="shadow default/try", nano_usd=20 * USD, period=Period.DAY)
    limiter = limiter_of(counters, replace(caps(), budgets=(namesake,), limits=()))
    assert await spend(limiter, 20 * USD)
    assert await spend(limiter, 20 * USD, subject=CALLER)


async def test_caps_are_told_with_what_is_held_and_when_they_renew(counters: Counters) -> None:
    limiter = limiter_of(counters, caps())
    assert await spend(limiter, 3 * USD, actual=2 * USD)
    held = await hold(limiter, subject=SHADOW, nano_usd=5 * USD, tokens=1)
    await counters.counted()
    told = {state.name: state for state in await limiter.shadow_caps()}
    assert {name: (state.used, state.reserved) for name, state in told.items()} == {
        "default/try": (7 * USD, 5 * USD),
        "default/other": (0, 0),
    }
    assert {(state.amount, state.unit, state.window) for state in told.values()} == {(20 * USD, "nano_usd", "day")}
    assert 0 < (told["default/try"].resets_in or 0) <= 86_400
    limiter.settle(held, tokens=1, nano_usd=USD)
    await counters.counted()
    assert [(state.used, state.reserved) for state in await limiter.shadow_caps()] == [(3 * USD, 0), (0, 0)]
    assert await limiter_of(counters, LimitRules()).shadow_caps() == ()


async def test_a_shadow_without_a_cap_may_spend_nothing(counters: Counters) -> None:
    limiter = limiter_of(counters, LimitRules())
    with pytest.raises(Overloaded, match="default/try has no cap"):
        await hold(limiter, subject=SHADOW, nano_usd=1)


async def test_a_hold_whose_process_died_is_settled_on_the_cap(counters: Counters) -> None:
    limiter = limiter_of(counters, caps(2 * USD))
    await hold(limiter, subject=SHADOW, nano_usd=2 * USD, attempt_id="lost", lease=10)
    await counters.advance(11)
    assert not await spend(limiter, 1)
    (lapsed,) = await limiter.sweep()
    assert (lapsed.attempt_id, lapsed.subject) == ("lost", SHADOW)
    limiter.settle_lapsed(lapsed, tokens=1, nano_usd=USD)
    await counters.counted()
    assert await spend(limiter, USD)
    assert not await spend(limiter, 1)


async def test_the_ledger_brings_back_what_a_shadow_has_spent(counters: Counters) -> None:
    limiter = limiter_of(counters, caps(2 * USD))
    # The ledger knows whose call was copied; the cap is the shadow's all the same.
    rows = [SettledSpend(subject=replace(CALLER, shadow="default/try"), model="m", at=NOON, nano_usd=2 * USD)]
    await limiter.rebuild(rows)
    assert not await spend(limiter, 1)
    assert {state.name: state.used for state in await limiter.state(CALLER)}["money"] == 0
