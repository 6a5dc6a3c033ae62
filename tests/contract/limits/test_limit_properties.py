"""Whatever happens in whatever order: caps hold, and nothing stays reserved for ever."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from router_service.domain.error import BudgetSpent, LimitReached
from router_service.domain.limit import Period
from router_service.limits.limiter import Entry, Hold
from tests.contract.limits.counters import CALLER, Counters, budget, concurrent, opened, tokens

T = TypeVar("T")

MONEY = 1000
TOKENS = 500
AT_ONCE = 3
WINDOW = 60.0
LEASE = 100.0


@dataclass(slots=True)
class Held:
    """An attempt as the model knows it."""

    entry: Entry
    hold: Hold
    at: float
    tokens: int
    nano_usd: int
    open: bool = True


class Callers(RuleBasedStateMachine):
    """Calls that enter, hold, settle, leave and crash, beside a model of what must be counted."""

    held = Bundle("held")

    def __init__(self, url: str | None) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.counters: Counters = self.run(self.stack.enter_async_context(opened(url)))
        self.limiter = self.counters.limiter(budget(MONEY, Period.TOTAL), tokens(TOKENS, WINDOW), concurrent(AT_ONCE))
        self.numbers = itertools.count()
        self.attempts: list[Held] = []
        self.inside: dict[str, float] = {}

    def run(self, awaitable: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(awaitable)

    @rule(target=held, amount=st.integers(0, 400), money=st.integers(0, 600))
    def call(self, amount: int, money: int) -> Any:
        now = self.counters.now
        inside = sum(until > now for until in self.inside.values())
        try:
            entry = self.run(self.limiter.enter(CALLER, lease=LEASE))
        except LimitReached:
            assert inside == AT_ONCE
            return multiple()
        assert inside < AT_ONCE
        self.inside[entry.ident] = now + LEASE
        attempt_id = f"a{next(self.numbers)}"
        left = MONEY - self.money()
        try:
            hold = self.run(
                self.limiter.hold(entry, model="m", tokens=amount, nano_usd=money, attempt_id=attempt_id, lease=LEASE)
            )
        except LimitReached:
            # A part of the window leaves it as a whole: up to a 30th late.
            assert amount > TOKENS - self.tokens_within(WINDOW * 31 / 30)
        except BudgetSpent:
            assert money > left or not left
        else:
            assert money <= left
            assert left
            made = Held(entry, hold, now, amount, money)
            self.attempts.append(made)
            return made
        self.run(self.leave(entry))
        return multiple()

    @rule(attempt=held, share=st.floats(0, 1))
    def settle(self, attempt: Held, share: float) -> None:
        used, paid = int(attempt.tokens * share), int(attempt.nano_usd * share)
        self.run(self.end(attempt, used, paid))
        if attempt.open:
            attempt.open, attempt.tokens, attempt.nano_usd = False, used, paid
        self.inside.pop(attempt.entry.ident, None)

    @rule(attempt=held)
    def settle_without_knowing(self, attempt: Held) -> None:
        self.run(self.end(attempt, None, None))
        attempt.open = False
        self.inside.pop(attempt.entry.ident, None)

    @rule(seconds=st.floats(0.001, 80))
    def time_passes(self, seconds: float) -> None:
        self.run(self.counters.advance(seconds))

    @rule(share=st.floats(0, 1))
    def reconcile(self, share: float) -> None:
        self.run(self.sweep(share))

    @invariant()
    def counters_say_what_the_model_says(self) -> None:
        used, inside, money = self.run(self.limiter.state(CALLER))
        assert money.used == self.money() <= MONEY
        assert money.reserved == sum(one.nano_usd for one in self.attempts if one.open)
        assert self.tokens_within(WINDOW - 0.01) <= used.used <= TOKENS
        assert inside.used <= AT_ONCE

    async def end(self, attempt: Held, tokens: int | None, nano_usd: int | None) -> None:
        self.limiter.settle(attempt.hold, tokens=tokens, nano_usd=nano_usd)
        self.limiter.leave(attempt.entry)
        await self.counters.counted()

    async def leave(self, entry: Entry) -> None:
        self.limiter.leave(entry)
        self.inside.pop(entry.ident, None)
        await self.counters.counted()

    async def sweep(self, share: float) -> None:
        for lapsed in await self.limiter.sweep():
            (attempt,) = (one for one in self.attempts if one.hold.ident == lapsed.ident)
            assert attempt.open
            assert (lapsed.tokens, lapsed.nano_usd) == (attempt.tokens, attempt.nano_usd)
            attempt.open, attempt.nano_usd = False, int(attempt.nano_usd * share)
            self.limiter.settle_lapsed(lapsed, tokens=None, nano_usd=attempt.nano_usd)
        await self.counters.counted()

    def money(self) -> int:
        return sum(one.nano_usd for one in self.attempts)

    def tokens_within(self, seconds: float = WINDOW) -> int:
        return sum(one.tokens for one in self.attempts if one.at > self.counters.now - seconds - 0.001)

    def teardown(self) -> None:
        """Everybody crashes: after the leases and a sweep nothing is reserved."""
        try:
            self.run(self.counters.advance(LEASE + 1))
            self.run(self.sweep(0.5))
            assert self.run(self.limiter.sweep()) == ()
            self.counters_say_what_the_model_says()
            assert not any(one.open for one in self.attempts)
        finally:
            self.run(self.stack.aclose())
            self.runner.close()


@pytest.mark.parametrize("kind", ["in-process", "redis"])
def test_caps_hold_and_nothing_leaks(kind: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("redis").url if kind == "redis" else None
    run_state_machine_as_test(
        lambda: Callers(url),
        settings=settings(
            max_examples=40 if kind == "in-process" else 20,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
