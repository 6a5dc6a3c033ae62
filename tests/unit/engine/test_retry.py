"""Retrying one deployment: how often, and how long to wait."""

from dataclasses import dataclass

import pytest

from router_service.domain.error import UpstreamError, UpstreamFault
from router_service.domain.policy import Retries
from router_service.engine.retry import RetryPlan

TWO_RETRIES = Retries(same_deployment=2)


class Waits:
    def __init__(self):
        self.seconds = []

    async def __call__(self, seconds):
        self.seconds.append(seconds)


def failing(times, error):
    """An attempt that fails so many times, and a list of the tries it saw."""
    tries = []

    async def attempt(number):
        tries.append(number)
        if number <= times:
            raise error

    return attempt, tries


def plan(waits, *, retries=TWO_RETRIES, time_left=60.0, random=0.5, **more):
    retry_plan = RetryPlan(retries, time_left=lambda: time_left, random=lambda: random, sleep=waits)
    return Planned(retry_plan, **more)


@dataclass
class Planned:
    plan: RetryPlan
    allowed: bool = True
    asked: int = 0

    def _may_repeat(self):
        self.asked += 1
        return self.allowed

    async def run(self, attempt, **more):
        return await self.plan.run(attempt, may_repeat=self._may_repeat, **more)


async def test_a_passing_fault_is_tried_again_after_a_jittered_growing_wait():
    waits = Waits()
    attempt, tries = failing(2, UpstreamError(UpstreamFault.SERVER, "503", status=503))
    await plan(waits).run(attempt)
    assert tries == [1, 2, 3]
    assert waits.seconds == [0.125, 0.25]


async def test_the_providers_hint_replaces_the_backoff():
    waits = Waits()
    attempt, _ = failing(1, UpstreamError(UpstreamFault.RATE_LIMITED, "429", status=429, retry_after=3.5))
    await plan(waits).run(attempt)
    assert waits.seconds == [3.5]


async def test_a_long_hint_is_waited_for_where_the_deadline_allows_and_nobody_else_could_serve():
    waits = Waits()
    attempt, _ = failing(1, UpstreamError(UpstreamFault.RATE_LIMITED, "429", status=429, retry_after=30.0))
    await plan(waits, time_left=60.0).run(attempt)
    assert waits.seconds == [30.0]


@pytest.mark.parametrize(
    ("hint", "time_left", "fallbacks"),
    [(30.0, 30.5, 0), (4.0, 600.0, 1)],
    ids=["no time for the answer", "another candidate is at hand"],
)
async def test_a_hint_that_does_not_fit_is_never_shortened_but_ends_the_retries(hint, time_left, fallbacks):
    waits = Waits()
    error = UpstreamError(UpstreamFault.RATE_LIMITED, "429", status=429, retry_after=hint)
    attempt, tries = failing(1, error)
    with pytest.raises(UpstreamError) as raised:
        await plan(waits, time_left=time_left).run(attempt, fallbacks_left=fallbacks)
    assert raised.value is error
    assert tries == [1]
    assert waits.seconds == []


async def test_the_policy_bounds_the_number_of_tries():
    attempt, tries = failing(99, UpstreamError(UpstreamFault.SERVER, "500", status=500))
    with pytest.raises(UpstreamError):
        await plan(Waits(), retries=Retries(same_deployment=1)).run(attempt)
    assert tries == [1, 2]


async def test_nothing_is_repeated_once_the_caller_has_seen_output():
    attempt, tries = failing(1, UpstreamError(UpstreamFault.TRUNCATED, "cut"))
    with pytest.raises(UpstreamError):
        await plan(Waits(), allowed=False).run(attempt)
    assert tries == [1]


async def test_other_errors_are_not_retried():
    async def attempt(_):
        raise ValueError("a defect")

    with pytest.raises(ValueError, match="a defect"):
        await plan(Waits()).run(attempt)
