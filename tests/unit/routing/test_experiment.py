"""Which arm a call falls to, and what it does to the decision."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from routing_values import call, deployment, one_of, price, rule, signals, table

from router_service.domain.call import Call, Wishes
from router_service.domain.chat import Parameters
from router_service.domain.decision import Decision
from router_service.domain.error import NoCandidate
from router_service.domain.identity import Grants, Identity, IdentityKind
from router_service.domain.policy import Arm, ArmKey, Experiment, StickyKey, Strategy, TextMatch, When
from router_service.domain.quality import Escalation, Gate, GateKind
from router_service.routing.decide import decide, reordered
from router_service.routing.experiment import arm_of
from router_service.routing.explain import explain
from router_service.routing.world import Cooling, World

STRONG = deployment("strong", price=price(10, 40))
SPARE = deployment("spare", price=price(5, 20))
WEAK = deployment("weak", price=price(0.1, 0.4))
OTHER = deployment("other", price=price(0.2, 0.8))


def experiment(*arms: Arm, **changes: Any) -> Experiment:
    return Experiment(name="cheap", arms=arms, **changes)


CONTROL = Arm(name="control", weight=0)
TREATED = Arm(name="treated", weight=1, candidates=(WEAK, OTHER))
ALL_TREATED = experiment(CONTROL, TREATED)


def route(*experiments: Experiment, asked: Call | None = None, world: World | None = None, **policy: Any) -> Decision:
    rules = table(
        rule("all", [STRONG, SPARE], parameters=Parameters(temperature=1.0, seed=7)),
        others=[WEAK, OTHER],
        experiments=experiments,
        **policy,
    )
    return decide(asked or call(user="u1"), signals(), rules, world or World())


def order(decision: Decision) -> list[str]:
    return [candidate.deployment.id for candidate in decision.candidates]


def fell_to(decision: Decision) -> tuple[str, str, bool]:
    """Experiment, arm, and whether it is honoured."""
    found = decision.assignment
    assert found is not None
    return found.experiment, found.arm, found.honoured


def arms_of(tested: Experiment, keys: int) -> list[str]:
    drawn = [arm_of(tested, call(user=f"user-{number}")) for number in range(keys)]
    return [arm.name for arm in drawn if arm is not None]


def test_what_is_a_fallback_of_the_rule_keeps_its_place_in_the_arm_that_names_it() -> None:
    rules = table(
        rule("all", [STRONG, WEAK], strategy=Strategy.ORDER, fallbacks=("weak",)),
        others=[OTHER],
        experiments=[ALL_TREATED],
    )
    assert order(decide(call(user="u1"), signals(), rules, World())) == ["weak", "other", "strong"]


# Who falls to which arm


@given(st.lists(st.integers(min_value=0, max_value=20), min_size=2, max_size=5).filter(any))
def test_each_arm_gets_its_share_of_the_keys(weights: list[int]) -> None:
    keys = 3000
    got = Counter(arms_of(experiment(*(Arm(name=f"arm-{at}", weight=one) for at, one in enumerate(weights))), keys))
    for at, weight in enumerate(weights):
        share = weight / sum(weights)
        # Five standard deviations of a binomial.
        assert abs(got[f"arm-{at}"] - keys * share) <= 5 * (keys * share * (1 - share)) ** 0.5


@given(
    st.lists(st.integers(min_value=1, max_value=20), min_size=2, max_size=5),
    st.integers(min_value=1, max_value=40),
    st.randoms(use_true_random=False),
)
def test_a_changed_weight_moves_only_the_keys_that_its_arm_gains_or_loses(
    weights: list[int], weight: int, random: Any
) -> None:
    arms = [Arm(name=f"arm-{at}", weight=one) for at, one in enumerate(weights)]
    before = arms_of(experiment(*arms), 500)
    changed = [replace(arms[0], weight=weight), *arms[1:]]
    random.shuffle(changed)
    moved = [(was, now) for was, now in zip(before, arms_of(experiment(*changed), 500), strict=True) if was != now]
    assert all((now if weight > weights[0] else was) == "arm-0" for was, now in moved)


def test_an_arm_that_is_added_takes_its_keys_from_all_and_moves_no_others() -> None:
    arms = [Arm(name="a", weight=1), Arm(name="b", weight=1)]
    before = arms_of(experiment(*arms), 1000)
    after = arms_of(experiment(Arm(name="c", weight=1), *arms), 1000)
    assert {now for was, now in zip(before, after, strict=True) if was != now} == {"c"}


def test_another_version_draws_anew() -> None:
    arms = (Arm(name="a", weight=1), Arm(name="b", weight=1))
    first, second = arms_of(experiment(*arms), 400), arms_of(experiment(*arms, version=2), 400)
    assert 120 < sum(was != now for was, now in zip(first, second, strict=True)) < 280


def test_the_draw_is_the_same_in_every_version_of_the_router() -> None:
    """A changed hash would move every key of every running experiment."""
    arms = (Arm(name="a", weight=1), Arm(name="b", weight=1))
    assert "".join(arms_of(experiment(*arms), 24)) == PINNED


PINNED = "aaabababbabbabaaaaaaaaba"


@pytest.mark.parametrize(
    ("key", "same", "other"),
    [
        (ArmKey.USER, {"user": "u"}, {"user": "v"}),
        (ArmKey.CONVERSATION, {"conversation_id": "c"}, {"conversation_id": "d"}),
        (ArmKey.REQUEST, {"request_id": "r"}, {"request_id": "s"}),
    ],
)
def test_an_arm_is_kept_by_its_key_alone(key: ArmKey, same: dict[str, str], other: dict[str, str]) -> None:
    arms = [Arm(name=f"arm-{at}", weight=1) for at in range(500)]
    tested = experiment(*arms, key=key)
    assert arm_of(tested, call(feature="a", **same)) == arm_of(tested, call(feature="b", **same))
    assert arm_of(tested, call(**same)) != arm_of(tested, call(**other))


def test_equal_users_of_two_tenants_are_two_keys() -> None:
    tested = experiment(*(Arm(name=f"arm-{at}", weight=1) for at in range(500)))
    assert arm_of(tested, call(user="u")) != arm_of(tested, replace(call(user="u"), tenant="other"))


def test_an_assignment_tells_keys_apart_and_names_nobody() -> None:
    def key_of(user: str, feature: str = "") -> str:
        found = route(ALL_TREATED, asked=call(user=user, feature=feature)).assignment
        assert found is not None
        return found.key

    assert key_of("ann", "a") == key_of("ann", "b") != key_of("bob", "a")
    assert "ann" not in key_of("ann")
    assert len(key_of("ann")) == 16


# What the arm does to the decision


def test_an_arms_candidates_come_before_the_rules_own() -> None:
    decision = route(ALL_TREATED)
    assert order(decision) == ["weak", "other", "strong", "spare"]
    assert fell_to(decision) == ("cheap", "treated", True)
    assert decision.rule_name == "all"
    assert 'experiment "cheap" draws arm "treated" by user' in decision.cause
    assert "experiment  cheap, arm treated" in explain(decision)


def test_an_arms_candidates_come_first_also_where_the_rules_own_are_cheaper() -> None:
    dear = [deployment("dear", price=price(30, 90)), deployment("dearest", price=price(60, 180))]
    arm = Arm(name="treated", weight=1, candidates=(dear[1], dear[0]), strategy=Strategy.CHEAPEST)
    assert order(route(experiment(CONTROL, arm))) == ["dear", "dearest", "spare", "strong"]


def test_an_arm_without_candidates_leaves_the_rules_choice() -> None:
    decision = route(experiment(replace(CONTROL, weight=1), replace(TREATED, weight=0)))
    assert order(decision) == ["strong", "spare"]
    assert fell_to(decision) == ("cheap", "control", True)


def test_an_arm_may_have_its_own_strategy_parameters_and_gates() -> None:
    gates = Escalation(gates=(Gate(kind=GateKind.NOT_EMPTY),))
    arm = Arm(
        name="treated", weight=1, strategy=Strategy.CHEAPEST, parameters=Parameters(temperature=0.0), escalation=gates
    )
    decision = route(experiment(CONTROL, arm))
    assert order(decision) == ["spare", "strong"]
    assert (decision.parameters.temperature, decision.parameters.seed) == (0.0, 7)
    assert decision.policy.escalation_of(decision.rule) is gates


def test_calls_that_name_a_model_are_in_no_experiment() -> None:
    decision = route(ALL_TREATED, asked=call(user="u1", wishes=Wishes(model="strong")))
    assert (order(decision), decision.assignment) == (["strong"], None)


def test_calls_without_the_key_are_in_no_experiment_and_the_cause_says_so() -> None:
    decision = route(ALL_TREATED, asked=call())
    assert (order(decision), decision.assignment) == (["strong", "spare"], None)
    assert 'not in experiment "cheap", for the caller names no user' in decision.cause


def test_a_call_is_in_the_first_experiment_whose_conditions_hold() -> None:
    first = replace(ALL_TREATED, name="drafts", when=When(feature=one_of("draft")))
    second = replace(ALL_TREATED, name="others", tenants=TextMatch(none_of=frozenset({"globex"})))

    def named(asked: Call) -> str:
        found = route(first, second, asked=asked).assignment
        return found.experiment if found else ""

    assert named(call(user="u", feature="Draft")) == "drafts"
    assert named(call(user="u", feature="chat")) == "others"
    assert named(replace(call(user="u", feature="chat"), tenant="globex")) == ""


# What an arm cannot do


@pytest.mark.parametrize(
    ("weak", "policy", "reason"),
    [
        ({"region": "cn"}, {"regions": frozenset({"eu"})}, "REGION"),
        ({"has_credentials": False}, {}, "CREDENTIALS"),
        ({"context_window": 20}, {}, "CONTEXT_WINDOW"),
        ({"price": price(900, 900)}, {"max_cost_nano_usd": 50_000_000}, "PRICE_CEILING"),
    ],
)
def test_an_arm_widens_nothing_and_the_rule_serves_instead(
    weak: dict[str, Any], policy: dict[str, Any], reason: str
) -> None:
    unfit = replace(WEAK, **weak)
    home = replace(STRONG, region="eu")
    rules = table(
        rule("all", [home]),
        others=[unfit],
        experiments=(experiment(CONTROL, replace(TREATED, candidates=(unfit,))),),
        **policy,
    )
    decision = decide(call(user="u1"), signals(), rules, World())
    assert order(decision) == ["strong"]
    assert [(one.deployment.id, one.reason.value) for one in decision.rejections] == [("weak", reason)]
    assert fell_to(decision) == ("cheap", "treated", False)
    assert 'arm "treated" is not honoured' in decision.cause
    assert "arm treated, which is not honoured" in explain(decision)


def test_an_arm_gives_no_model_to_callers_who_may_not_use_it() -> None:
    grants = Grants(features=frozenset({"*"}), models=frozenset({"strong"}), policies=frozenset({"*"}))
    asked = replace(
        call(user="u1"),
        identity=Identity(tenant="acme", principal="k", kind=IdentityKind.API_KEY, grants=grants),
    )
    decision = route(ALL_TREATED, asked=asked)
    assert order(decision) == ["strong"]
    assert decision.assignment is not None
    assert not decision.assignment.honoured


def test_where_nobody_is_left_an_arm_changes_nothing() -> None:
    with pytest.raises(NoCandidate):
        route(ALL_TREATED, regions=frozenset({"moon"}))


def test_an_arm_that_cools_down_is_not_honoured() -> None:
    cooling = {"weak": Cooling("503", 5.0), "other": Cooling("503", 5.0)}
    decision = route(ALL_TREATED, world=World(cooling=cooling))
    assert order(decision) == ["strong", "spare"]
    assert decision.assignment is not None
    assert not decision.assignment.honoured


def test_a_spent_budget_comes_before_an_arm() -> None:
    dear = experiment(CONTROL, Arm(name="dear", weight=1, candidates=(deployment("dear", price=price(99, 99)),)))
    decision = route(dear, world=World(prefer_cheaper=True))
    assert order(decision) == ["spare", "strong", "dear"]
    assert fell_to(decision) == ("cheap", "dear", False)


# Conversations


def test_a_conversation_is_kept_within_its_arm_only() -> None:
    kept = {"sticky": StickyKey.CONVERSATION}
    asked = call(user="u1", conversation_id="c1")
    assert order(route(ALL_TREATED, asked=asked, world=World(conversation_deployment="other"), **kept))[0] == "other"
    # It began before the experiment.
    assert order(route(ALL_TREATED, asked=asked, world=World(conversation_deployment="spare"), **kept))[0] == "weak"
    assert order(route(asked=asked, world=World(conversation_deployment="spare"), **kept))[0] == "spare"


def test_candidates_in_a_promised_order_tell_whether_the_arm_is_honoured() -> None:
    rules = table(rule("all", [STRONG]), others=[WEAK], experiments=(experiment(CONTROL, TREATED),))
    decision = decide(call(user="u1"), signals(), rules, World())
    turned = reordered(decision, decision.candidates[::-1], rules, call(user="u1"))
    assert (decision.assignment is not None, turned.assignment is not None) == (True, True)
    assert decision.assignment
    assert turned.assignment
    assert (decision.assignment.honoured, turned.assignment.honoured) == (True, False)
