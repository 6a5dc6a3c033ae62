"""Retry budgets: a fifth of what is asked for the first time, and ten a second, per provider and per tenant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_service.domain.policy import RetryAllowance
from router_service.engine.retry_budget import RetryBudgets


class ManualClock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def budgets(clock):
    return RetryBudgets(clock)


def repeats(budgets, wanted, *, provider="p", tenant="t"):
    return sum(budgets.may_repeat(provider, tenant) for _ in range(wanted))


def test_a_quiet_provider_may_be_asked_again(budgets):
    budgets.asked("p", "t")
    assert budgets.may_repeat("p", "t")


def test_a_burst_without_traffic_is_ten_repeats(budgets):
    assert repeats(budgets, 100) == 10


def test_ten_repeats_come_back_every_second(budgets, clock):
    repeats(budgets, 100)
    clock.now += 0.5
    assert repeats(budgets, 100) == 5
    clock.now += 60
    assert repeats(budgets, 100) == 10


def test_a_fifth_of_the_calls_may_be_repeated_on_top(budgets):
    for _ in range(100):
        budgets.asked("p", "t")
    assert repeats(budgets, 100) == 10 + 20


def test_what_is_saved_up_is_bounded(budgets):
    for _ in range(10_000):
        budgets.asked("p", "t")
    assert repeats(budgets, 1000) == 10 + 100


def test_one_tenant_cannot_use_up_what_the_others_need(budgets):
    for number in range(100):
        budgets.asked("p", f"tenant-{number % 10}")
    assert repeats(budgets, 100, tenant="tenant-0") == 10 + 2
    assert budgets.may_repeat("p", "tenant-1")


def test_a_refused_repeat_costs_neither_of_the_two_anything(budgets):
    repeats(budgets, 10, provider="down")  # the tenant has nothing left either
    assert not budgets.may_repeat("p", "t")
    assert repeats(budgets, 100, tenant="other") == 10


@given(st.lists(st.tuples(st.sampled_from(["ask", "repeat"]), st.floats(0, 0.3)), max_size=300))
def test_no_sequence_of_events_amplifies_beyond_the_bound(steps):
    clock = ManualClock()
    budgets = RetryBudgets(clock)
    asked = repeated = 0
    for kind, pause in steps:
        clock.now += pause
        if kind == "ask":
            budgets.asked("p", "t")
            asked += 1
        else:
            repeated += budgets.may_repeat("p", "t")
        assert repeated <= asked * 0.2 + 10 * clock.now + 10 + 1e-6


def test_the_operator_may_allow_more_or_nothing(budgets):
    budgets.allowance = RetryAllowance(share=0, per_second=0)
    budgets.asked("p", "t")
    assert repeats(budgets, 10) == 0
    budgets.allowance = RetryAllowance(share=1, per_second=0)
    for _ in range(7):
        budgets.asked("p", "t")
    assert repeats(budgets, 10) == 7
