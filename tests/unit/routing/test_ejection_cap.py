"""How much of a pool may be kept away for failures."""

import pytest
from routing_values import call, deployment, rule, signals, table

from router_service.domain.decision import Decision
from router_service.domain.error import NoCandidate, Reason
from router_service.routing.decide import decide
from router_service.routing.world import Cooling, World


def away(*names: str, told: bool = False) -> World:
    """A world in which these cool down, each for a second more than the one before."""
    return World(cooling={name: Cooling("503", 5.0 + at, is_guess=not told) for at, name in enumerate(names)})


POOL = [deployment(name) for name in ("one", "two", "three", "four")]


def decision_on(names: list[str], world: World) -> Decision:
    pool = [one for one in POOL if one.id in names]
    return decide(call(), signals(), table(rule("r", pool)), world)


def candidates(names: list[str], world: World) -> list[str]:
    return [candidate.deployment.id for candidate in decision_on(names, world).candidates]


def test_at_most_half_of_a_pool_is_ejected_and_the_rest_is_asked_last() -> None:
    names = ["one", "two", "three", "four"]
    assert candidates(names, away("one", "two")) == ["three", "four"]
    assert candidates(names, away("two", "one", "three")) == ["four", "two"]
    assert candidates(names, away("one", "two", "three", "four")) == ["one", "two"]


def test_at_least_one_may_be_ejected() -> None:
    assert candidates(["one", "two"], away("one")) == ["two"]
    assert candidates(["one", "two"], away("two", "one")) == ["two"]
    with pytest.raises(NoCandidate):
        candidates(["one"], away("one"))


def test_what_the_provider_said_itself_is_never_capped() -> None:
    with pytest.raises(NoCandidate) as raised:
        candidates(["one", "two", "three"], away("one", "two", "three", told=True))
    assert raised.value.reason is Reason.ALL_CANDIDATES_COOLING


def test_deployments_that_are_out_for_good_are_no_part_of_the_pool() -> None:
    told = away("three", "four", told=True).cooling
    world = World(cooling={**told, **away("one").cooling})
    assert candidates(["one", "two", "three", "four"], world) == ["two"]


def test_a_last_resort_is_marked_and_the_cause_says_so() -> None:
    decision = decision_on(["one", "two"], away("one", "two"))
    assert [candidate.last_resort for candidate in decision.candidates] == [True]
    assert "last resort" in decision.cause
