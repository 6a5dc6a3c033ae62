"""Budgets: the same over every kind of counters."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from router_service.domain.error import BudgetSpent, LimitReached, Reason
from router_service.domain.limit import BudgetMode, Dimension, LapsedHold, Period, Scope, SettledSpend, Subject
from router_service.limits.limiter import Limiter
from tests.contract.limits.counters import CALLER, NOON, Counters, budget, concurrent, hold, tokens

USD = 10**9


async def used(limiter: Limiter, subject: Subject = CALLER) -> tuple[int, int]:
    """Spent and reserved of the only budget, in nano-USD."""
    (state,) = await limiter.state(subject)
    return state.used - state.reserved, state.reserved


async def test_a_budget_of_k_calls_lets_exactly_k_through_and_leaks_nothing(counters: Counters) -> None:
    """LiteLLM #34732, #36926: budgets were checked, then incremented. #27639: reservations leaked."""
    limiter = counters.limiter(budget(20 * USD))

    async def call() -> bool:
        try:
            held = await hold(limiter, nano_usd=USD)
        except BudgetSpent:
            return False
        await asyncio.sleep(0)
        limiter.settle(held, tokens=1, nano_usd=USD)
        return True

    assert sum(await asyncio.gather(*(call() for _ in range(100)))) == 20
    await counters.counted()
    assert await used(limiter) == (20 * USD, 0)


async def test_a_refusal_names_the_budget_and_when_its_period_ends(counters: Counters) -> None:
    limiter = counters.limiter(budget(USD))
    limiter.settle(await hold(limiter, nano_usd=USD), tokens=1, nano_usd=USD)
    with pytest.raises(BudgetSpent, match=r"The budget money is spent: \$1.00 per day for tenant acme") as caught:
        await hold(limiter, nano_usd=1)
    error = caught.value
    assert error.reason is Reason.BUDGET_EXHAUSTED
    assert error.metadata["budget"] == "money"
    assert error.retry_after == pytest.approx(11.5 * 3600)


async def test_an_attempt_that_does_not_fit_is_told_what_is_left(counters: Counters) -> None:
    limiter = counters.limiter(budget(USD))
    await hold(limiter, nano_usd=USD // 2)
    with pytest.raises(BudgetSpent, match=r"\$0.5 left of \$1.00 per day for tenant acme; the attempt may cost \$0.6"):
        await hold(limiter, nano_usd=6 * USD // 10)
    await hold(limiter, nano_usd=USD // 2)


async def test_a_free_attempt_is_refused_too_once_everything_is_spent(counters: Counters) -> None:
    limiter = counters.limiter(budget(USD))
    await hold(limiter, nano_usd=0)
    await hold(limiter, nano_usd=USD)
    with pytest.raises(BudgetSpent):
        await hold(limiter, nano_usd=0)


async def test_what_was_reserved_and_not_spent_is_available_again(counters: Counters) -> None:
    limiter = counters.limiter(budget(USD))
    held = await hold(limiter, nano_usd=USD)
    assert await used(limiter) == (0, USD)
    limiter.settle(held, tokens=1, nano_usd=USD // 4)
    await hold(limiter, nano_usd=3 * USD // 4)
    assert await used(limiter) == (USD // 4, 3 * USD // 4)


async def test_settling_twice_counts_once(counters: Counters) -> None:
    """LiteLLM #30460: counters drifted from what was spent."""
    limiter = counters.limiter(budget(USD))
    held = await hold(limiter, nano_usd=USD)
    for amount in (3, 3, 7):
        limiter.settle(held, tokens=1, nano_usd=amount)
    await counters.counted()
    assert await used(limiter) == (3, 0)


async def test_an_overrun_by_an_unenforced_ceiling_is_counted_in_full(counters: Counters) -> None:
    limiter = counters.limiter(budget(USD))
    limiter.settle(await hold(limiter, nano_usd=USD), tokens=1, nano_usd=3 * USD)
    await counters.counted()
    assert await used(limiter) == (3 * USD, 0)
    with pytest.raises(BudgetSpent):
        await hold(limiter, nano_usd=1)


async def test_amounts_are_exact_beyond_what_a_float_prints(counters: Counters) -> None:
    large = 4_000_000_000_000_001
    limiter = counters.limiter(budget(2 * large, Period.TOTAL))
    limiter.settle(await hold(limiter, nano_usd=large), tokens=1, nano_usd=large - 1)
    await counters.counted()
    await hold(limiter, nano_usd=large)
    assert await used(limiter) == (large - 1, large)
    with pytest.raises(BudgetSpent):
        await hold(limiter, nano_usd=2)
    await hold(limiter, nano_usd=1)


@pytest.mark.parametrize(
    ("period", "before", "after"),
    [
        (Period.HOUR, datetime(2026, 11, 25, 12, 59, 59, tzinfo=UTC), datetime(2026, 11, 25, 13, 0, 0, 1, tzinfo=UTC)),
        (Period.DAY, datetime(2028, 2, 28, 23, 59, 59, tzinfo=UTC), datetime(2028, 2, 29, 0, 0, 0, 1, tzinfo=UTC)),
        (Period.MONTH, datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC), datetime(2028, 3, 1, 0, 0, 0, 1, tzinfo=UTC)),
        (Period.MONTH, datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2027, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
    ],
)
async def test_a_period_ends_with_the_calendar(
    counters: Counters, period: Period, before: datetime, after: datetime
) -> None:
    await counters.set(before)
    limiter = counters.limiter(budget(USD, period))
    limiter.settle(await hold(limiter, nano_usd=USD), tokens=1, nano_usd=USD)
    with pytest.raises(BudgetSpent) as caught:
        await hold(limiter, nano_usd=1)
    assert caught.value.retry_after == pytest.approx(1, abs=0.001)
    await counters.set(after)
    await hold(limiter, nano_usd=USD)


async def test_a_total_never_ends(counters: Counters) -> None:
    limiter = counters.limiter(budget(USD, Period.TOTAL))
    limiter.settle(await hold(limiter, nano_usd=USD), tokens=1, nano_usd=USD)
    await counters.advance(400 * 86400)
    with pytest.raises(BudgetSpent, match=r"\$1.00 in all") as caught:
        await hold(limiter, nano_usd=1)
    assert caught.value.retry_after is None


async def test_a_call_over_midnight_is_booked_to_the_day_it_was_held_in(counters: Counters) -> None:
    limiter = counters.limiter(budget(USD))
    late = await hold(limiter, nano_usd=USD, lease=86400)
    await counters.advance(12 * 3600)
    await hold(limiter, nano_usd=USD // 2)
    limiter.settle(late, tokens=1, nano_usd=USD)
    await counters.counted()
    assert await used(limiter) == (0, USD // 2)


async def test_a_soft_budget_only_warns(counters: Counters) -> None:
    limiter = counters.limiter(budget(USD, mode=BudgetMode.SOFT))
    assert (await limiter.enter(CALLER)).overspent == ()
    limiter.settle(await hold(limiter, nano_usd=USD), tokens=1, nano_usd=USD)
    await counters.counted()
    entry = await limiter.enter(CALLER)
    assert entry.overspent == ("money",)
    await limiter.hold(entry, model="m", tokens=1, nano_usd=USD, attempt_id="over")


async def test_a_degrading_budget_asks_for_cheaper_candidates_from_its_share_on(counters: Counters) -> None:
    limiter = counters.limiter(budget(USD, mode=BudgetMode.DEGRADE, degrade_from=0.8))
    limiter.settle(await hold(limiter, nano_usd=USD), tokens=1, nano_usd=8 * USD // 10 - 1)
    await counters.counted()
    assert (await limiter.enter(CALLER)).degraded is False
    assert await limiter.degraded(CALLER) == 0
    limiter.settle(await hold(limiter, nano_usd=1), tokens=1, nano_usd=1)
    await counters.counted()
    assert (await limiter.enter(CALLER)).degraded is True
    assert await limiter.degraded(CALLER) == pytest.approx(0.8)
    await hold(limiter, nano_usd=5 * USD)


async def test_a_hard_budget_may_degrade_before_it_refuses(counters: Counters) -> None:
    limiter = counters.limiter(budget(USD, degrade_from=0.5))
    await hold(limiter, nano_usd=USD // 2)
    assert (await limiter.enter(CALLER)).degraded is True
    with pytest.raises(BudgetSpent):
        await hold(limiter, nano_usd=USD)


async def test_a_call_enters_also_when_everything_is_spent(counters: Counters) -> None:
    limiter = counters.limiter(budget(USD, degrade_from=0.5))
    await hold(limiter, nano_usd=USD)
    entry = await limiter.enter(CALLER)
    with pytest.raises(BudgetSpent):
        await limiter.hold(entry, model="m", tokens=1, nano_usd=1, attempt_id="a")
    with pytest.raises(BudgetSpent):
        await limiter.hold(entry, model="cheaper", tokens=1, nano_usd=1, attempt_id="a")


async def test_a_refused_budget_gives_back_the_tokens_held_with_it(counters: Counters) -> None:
    limiter = counters.limiter(tokens(100), budget(USD))
    with pytest.raises(BudgetSpent):
        await hold(limiter, tokens=50, nano_usd=2 * USD)
    assert [one.used for one in await limiter.state(CALLER)] == [0, 0]


async def test_budgets_count_by_what_they_are_per(counters: Counters) -> None:
    limiter = counters.limiter(budget(USD, scope=Scope(per=(Dimension.FEATURE, Dimension.MODEL))))
    await hold(limiter, model="a", nano_usd=USD)
    await hold(limiter, model="b", nano_usd=USD)
    await hold(limiter, subject=Subject(tenant="acme", feature="other"), model="a", nano_usd=USD)
    with pytest.raises(BudgetSpent, match="feature chat, model a"):
        await hold(limiter, subject=Subject(tenant="another", feature="chat"), model="a", nano_usd=1)
    assert await limiter.state(CALLER) == ()
    assert [one.used for one in await limiter.state(CALLER, "a")] == [USD]


async def test_state_says_how_a_budget_stands(counters: Counters) -> None:
    limiter = counters.limiter(budget(USD))
    await hold(limiter, nano_usd=7)
    (state,) = await limiter.state(CALLER)
    assert (state.name, state.unit, state.amount, state.window) == ("money", "nano_usd", USD, "day")
    assert (state.used, state.reserved, state.scope) == (7, 7, "tenant acme")
    assert state.mode is BudgetMode.HARD
    assert state.resets_in == pytest.approx(11.5 * 3600)


async def test_what_a_dead_process_held_is_swept_and_stays_reserved_until_it_is_booked(counters: Counters) -> None:
    limiter = counters.limiter(budget(USD), tokens(1000), concurrent(1))
    entry = await limiter.enter(CALLER, lease=60)
    held = await limiter.hold(entry, model="gpt-x", tokens=50, nano_usd=400, attempt_id="lost", lease=60)
    assert await limiter.sweep() == ()
    await counters.advance(61)
    lost = LapsedHold(
        ident=held.ident,
        attempt_id="lost",
        subject=CALLER,
        model="gpt-x",
        tokens=50,
        nano_usd=400,
        taken_at=pytest.approx(NOON),
    )
    assert await limiter.sweep() == (lost,)
    assert await limiter.sweep() == (lost,)
    assert {one.name: one.used for one in await limiter.state(CALLER)}["money"] == 400
    limiter.settle_lapsed((await limiter.sweep())[0], tokens=50, nano_usd=300)
    await counters.counted()
    assert await limiter.sweep() == ()
    states = {one.name: (one.used, one.reserved) for one in await limiter.state(CALLER)}
    assert states["money"] == (300, 0)
    assert states["at-once"] == (0, 0)


async def test_an_owner_that_comes_back_after_the_sweep_changes_nothing(counters: Counters) -> None:
    limiter = counters.limiter(budget(USD))
    slow = await hold(limiter, nano_usd=400, lease=60)
    await counters.advance(61)
    (lapsed,) = await limiter.sweep()
    limiter.settle_lapsed(lapsed, tokens=None, nano_usd=None)
    limiter.settle(slow, tokens=1, nano_usd=100)
    await counters.counted()
    assert await used(limiter) == (400, 0)


async def test_a_reconciler_does_not_overrule_an_owner_that_was_only_slow(counters: Counters) -> None:
    limiter = counters.limiter(budget(USD))
    slow = await hold(limiter, nano_usd=400, lease=60)
    await counters.advance(61)
    (lapsed,) = await limiter.sweep()
    limiter.settle(slow, tokens=1, nano_usd=100)
    limiter.settle_lapsed(lapsed, tokens=None, nano_usd=None)
    await counters.counted()
    assert await used(limiter) == (100, 0)


async def test_counters_are_rebuilt_from_the_ledger_however_often(counters: Counters) -> None:
    limiter = counters.limiter(budget(USD))
    limiter.settle(await hold(limiter, nano_usd=5), tokens=1, nano_usd=5)
    await counters.counted()
    rows = [SettledSpend(subject=CALLER, model="m", at=NOON - 60, nano_usd=USD // 4) for _ in range(3)]
    rows.append(SettledSpend(subject=CALLER, model="m", at=NOON - 86400, nano_usd=USD))
    rows.append(SettledSpend(subject=Subject(tenant="other"), model="m", at=NOON, nano_usd=USD))
    for _ in range(2):
        await limiter.rebuild(rows)
        assert await used(limiter) == (3 * USD // 4, 0)
    with pytest.raises(BudgetSpent):
        await hold(limiter, nano_usd=USD // 3)
    with pytest.raises(BudgetSpent):
        await hold(limiter, subject=Subject(tenant="other"), nano_usd=1)


async def test_attempts_whose_reserve_stands_are_known(counters: Counters) -> None:
    limiter = counters.limiter(budget(USD))
    settled = await hold(limiter, nano_usd=500, attempt_id="settled")
    await hold(limiter, nano_usd=500, attempt_id="running")
    limiter.settle(settled, tokens=1, nano_usd=400)
    await counters.counted()
    assert await limiter.held() & {"settled", "running"} == {"running"}


async def test_rebuilding_does_not_forget_what_the_ledger_does_not_know_yet(counters: Counters) -> None:
    limiter = counters.limiter(budget(USD))
    limiter.settle(await hold(limiter, nano_usd=500), tokens=1, nano_usd=500)
    await counters.counted()
    await limiter.rebuild([SettledSpend(subject=CALLER, model="m", at=NOON, nano_usd=300)])
    assert await used(limiter) == (500, 0)


async def test_a_limit_and_a_budget_refuse_together_and_the_longer_wait_is_told(counters: Counters) -> None:
    limiter = counters.limiter(tokens(10), budget(USD))
    await hold(limiter, tokens=10, nano_usd=USD)
    with pytest.raises(BudgetSpent):
        await hold(limiter, tokens=10, nano_usd=USD)
    with pytest.raises(LimitReached):
        await hold(limiter, subject=CALLER, tokens=11, nano_usd=0)


async def test_how_full_the_fullest_subjects_budget_is_and_what_was_refused_is_known(counters: Counters) -> None:
    limiter = counters.limiter(budget(4 * USD), tokens(10))
    other = Subject(tenant="other", key="k2")
    for subject, amount in ((CALLER, 3 * USD), (other, USD)):
        limiter.settle(await hold(limiter, subject=subject, nano_usd=amount), tokens=1, nano_usd=amount)
    await counters.counted()
    for subject in (CALLER, other):
        limiter.settle(await hold(limiter, subject=subject), tokens=0, nano_usd=0)
    assert limiter.counts().used == {"money": 0.75}

    with pytest.raises(BudgetSpent):
        await hold(limiter, nano_usd=2 * USD)
    with pytest.raises(LimitReached):
        await hold(limiter, tokens=11)
    assert limiter.counts().refusals == {("money", "budget"): 1, ("tokens", "limit"): 1}

    await counters.advance(86400)
    assert limiter.counts().used == {}
