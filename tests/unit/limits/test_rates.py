"""Deployments that a provider would refuse are known before it does."""

from __future__ import annotations

import pytest

from router_service.domain.limit import DeploymentRate
from router_service.limits.local import LocalMeters
from router_service.limits.rates import DeploymentRates


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_deployment_without_rates_is_never_saturated(clock: Clock) -> None:
    rates = DeploymentRates({}, clock)
    for _ in range(1000):
        rates.dispatched("a", 1000)
    assert rates.saturated(10**6) == {}


def test_requests_beyond_the_rate_wait_for_the_window(clock: Clock) -> None:
    rates = DeploymentRates({"a": DeploymentRate(requests_per_minute=2)}, clock)
    rates.dispatched("a", 0)
    assert rates.saturated() == {}
    clock.now += 20
    rates.dispatched("a", 0)
    wait = rates.saturated()["a"]
    assert 40 <= wait <= 42
    clock.now += wait + 0.001
    assert rates.saturated() == {}


def test_tokens_count_as_reserved_until_their_true_number_is_known(clock: Clock) -> None:
    rates = DeploymentRates({"a": DeploymentRate(tokens_per_minute=1000)}, clock)
    flight = rates.dispatched("a", 900)
    assert rates.saturated(100) == {}
    assert "a" in rates.saturated(101)
    rates.landed(flight, 300)
    rates.landed(flight, 0)
    assert rates.saturated(700) == {}
    assert "a" in rates.saturated(701)


def test_a_call_that_never_fits_is_kept_away(clock: Clock) -> None:
    rates = DeploymentRates({"a": DeploymentRate(tokens_per_minute=1000)}, clock)
    rates.dispatched("a", 0)
    assert rates.saturated(1001) == {"a": 60.0}


def test_calls_at_once_are_counted_until_they_land(clock: Clock) -> None:
    rates = DeploymentRates({"a": DeploymentRate(max_concurrent=4)}, clock, replicas=2)
    flights = [rates.dispatched("a", 0) for _ in range(2)]
    assert rates.saturated() == {"a": 1.0}
    rates.landed(flights[0], None)
    assert rates.saturated() == {}


def test_what_the_provider_says_is_left_counts_too(clock: Clock) -> None:
    rates = DeploymentRates({}, clock)
    rates.observed("a", requests_left=1, requests_reset=6.0, tokens_left=500, tokens_reset=12.0)
    assert rates.saturated(500) == {}
    assert rates.saturated(501) == {"a": 12.0}
    rates.dispatched("a", 100)
    assert rates.saturated(0) == {"a": 6.0}
    clock.now += 6
    assert rates.saturated(400) == {}
    assert rates.saturated(401) == {"a": 6.0}
    clock.now += 6
    assert rates.saturated(401) == {}


def test_new_rates_apply_to_what_was_counted(clock: Clock) -> None:
    rates = DeploymentRates({"a": DeploymentRate(requests_per_minute=10)}, clock)
    rates.dispatched("a", 0)
    rates.use({"a": DeploymentRate(requests_per_minute=1)})
    assert "a" in rates.saturated()


async def test_replicas_know_of_each_other_after_an_exchange(clock: Clock) -> None:
    shared = LocalMeters(clock, clock)
    limits = {"a": DeploymentRate(requests_per_minute=10, tokens_per_minute=1000)}
    one, other = DeploymentRates(limits, clock), DeploymentRates(limits, clock)
    flights = [one.dispatched("a", 100) for _ in range(6)]
    other.dispatched("a", 100)
    await one.exchange(shared)
    await other.exchange(shared)
    assert other.saturated(300) == {}
    assert "a" in other.saturated(301)
    for _ in range(3):
        other.dispatched("a", 0)
    assert other.saturated() != {}
    await other.exchange(shared)
    await one.exchange(shared)
    assert "a" in one.saturated()
    for flight in flights:
        one.landed(flight, 0)
    await one.exchange(shared)
    await other.exchange(shared)
    assert one.saturated(901).keys() == {"a"}
    clock.now += 70
    assert one.saturated() == other.saturated() == {}
