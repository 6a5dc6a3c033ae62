from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from routing_values import USD, call, deployment, one_of, price, rule, said, signals, table

from router_service.domain.call import Call, Wishes
from router_service.domain.chat import Message, Opaque, Parameters, Role
from router_service.domain.decision import Decision, RejectionReason, Signals
from router_service.domain.deployment import Capability, Deployment, Retention
from router_service.domain.error import NoCandidate, NotFound, Reason
from router_service.domain.policy import Feature, Policy, Rule, StickyKey, Strategy, When
from router_service.routing.decide import decide
from router_service.routing.rank import estimated_cost
from router_service.routing.table import RoutingTable
from router_service.routing.world import Cooling, World

CHEAP = deployment("cheap", price=price(0.1, 0.4))
GOOD = deployment("good", price=price(1.0, 4.0))
BEST = deployment("best", price=price(10.0, 40.0))
HELLO = said(Role.USER, "Hello")


def candidates(decision: Decision) -> list[str]:
    return [candidate.deployment.id for candidate in decision.candidates]


def rejected(decision: Decision) -> dict[str, str]:
    return {rejection.deployment.id: rejection.reason.value for rejection in decision.rejections}


def route(
    rules: RoutingTable, *messages: Message, world: World | None = None, known: Any = None, **asked: Any
) -> Decision:
    return decide(call(*messages, **asked), known or signals(), rules, world or World())


# What may serve, and why not


@pytest.mark.parametrize(
    ("unfit", "policy", "known", "reason", "words"),
    [
        ({"has_credentials": False}, {}, {}, "CREDENTIALS", "no key is configured"),
        ({"region": "us"}, {"regions": frozenset({"eu"})}, {}, "REGION", 'region "us"; the policy allows eu'),
        ({}, {"regions": frozenset({"eu"})}, {}, "REGION", "not declared"),
        ({"retention": Retention.DAYS_30}, {"retention": Retention.NONE}, {}, "DATA_RETENTION", "30d"),
        (
            {"capabilities": frozenset({Capability.TOOLS})},
            {},
            {"needs": frozenset({Capability.TOOLS, Capability.VISION})},
            "CAPABILITY",
            "lacks vision",
        ),
        ({"context_window": 1000}, {}, {"input_tokens": 990}, "CONTEXT_WINDOW", "990 prompt tokens do not fit"),
        ({"price": None}, {"max_cost_nano_usd": USD}, {}, "UNPRICED", "the policy's ceiling is $1"),
        ({"price": price(9, 9)}, {"max_cost_nano_usd": 3_000_000}, {}, "PRICE_CEILING", "$0.0045, over the policy's"),
    ],
)
def test_rejects_for_one_reason_with_words(
    unfit: dict[str, Any], policy: dict[str, Any], known: dict[str, Any], reason: str, words: str
) -> None:
    fit = deployment(
        "fit",
        region="eu",
        retention=Retention.NONE,
        price=price(0.1, 0.1),
        capabilities=frozenset({Capability.TOOLS, Capability.VISION}),
    )
    bad = deployment("bad", **{"price": price(0.1, 0.1), **unfit})
    decision = route(table(rule("r", [bad, fit]), **policy), known=signals(**known))
    assert candidates(decision) == ["fit"]
    assert rejected(decision) == {"bad": reason}
    assert words in decision.rejections[0].detail


def test_health_is_judged_last() -> None:
    world = World(cooling={"cheap": Cooling("429", 9.5), "keyless": Cooling("429", 2.0)})
    keyless = deployment("keyless", has_credentials=False)
    decision = route(table(rule("r", [CHEAP, keyless, GOOD])), world=world)
    assert rejected(decision) == {"cheap": "HEALTH", "keyless": "CREDENTIALS"}
    assert decision.rejections[0].retry_after == 9.5


def test_an_undeclared_window_may_be_large_enough() -> None:
    assert candidates(route(table(rule("r", [CHEAP])), known=signals(input_tokens=10**6))) == ["cheap"]


def test_a_short_answer_needs_little_room() -> None:
    small = deployment("small", context_window=1000)
    rules = table(rule("r", [small]))
    asked = {"known": signals(input_tokens=995)}
    decision = route(rules, parameters=Parameters(max_output_tokens=5), **asked)
    assert decision.candidates[0].token_limit.applied == 5
    with pytest.raises(NoCandidate):
        route(rules, parameters=Parameters(max_output_tokens=50), **asked)


def test_the_least_of_all_ceilings_applies() -> None:
    def reason(caller: int | None, of_rule: int | None, policy: int | None) -> str:
        rules = table(rule("r", [BEST, CHEAP], max_cost_nano_usd=of_rule), max_cost_nano_usd=policy)
        decision = route(rules, wishes=Wishes(max_cost_nano_usd=caller))
        return decision.rejections[0].detail if decision.rejections else ""

    dear, low, lower = USD, 10_000_000, 9_000_000
    assert reason(dear, dear, dear) == ""
    assert "the caller's ceiling of $0.009" in reason(lower, low, low)
    assert "the rule's ceiling of $0.009" in reason(low, lower, low)
    assert "the policy's ceiling of $0.009" in reason(None, low, lower)


def test_unpriced_is_no_rejection_without_a_ceiling() -> None:
    decision = route(table(rule("r", [deployment("unpriced")])))
    assert decision.candidates[0].estimated_cost is None


# What it costs


@pytest.mark.parametrize(
    ("world", "feature", "tokens"),
    [
        pytest.param(World(expected_output={"chat": 120.4}), None, 120, id="as the feature's answers were"),
        pytest.param(World(expected_output={"chat": 120.4}), 100, 100, id="no more than the limit"),
        pytest.param(World(), 250, 250, id="else the limit"),
        pytest.param(World(), None, 400, id="else a typical answer"),
    ],
)
def test_the_estimate_expects_as_much_output(world: World, feature: int | None, tokens: int) -> None:
    rules = table(rule("r", [GOOD]), features=[Feature(name="chat", max_output_tokens=feature)])
    decision = route(rules, world=world, feature="chat")
    assert decision.candidates[0].estimated_cost == estimated_cost(price(1.0, 4.0), 100, tokens)


def test_cheapest_depends_on_how_much_is_read_and_written() -> None:
    reader, writer = deployment("reader", price=price(0.1, 10)), deployment("writer", price=price(1, 1))
    rules = table(rule("r", [writer, reader], strategy=Strategy.CHEAPEST))
    long_prompt = route(rules, known=signals(input_tokens=50_000))
    assert candidates(long_prompt) == ["reader", "writer"]
    assert candidates(route(rules, known=signals(input_tokens=50))) == ["writer", "reader"]


def test_the_deployment_that_read_the_conversation_reads_it_again_from_its_cache() -> None:
    cached = deployment("cached", price=price(1.0, 1.0, 0.1))
    other = deployment("other", price=price(0.9, 1.0))
    rules = table(rule("r", [other, cached], strategy=Strategy.CHEAPEST))
    turns = (said(Role.USER, "word " * 5000), said(Role.ASSISTANT, "yes"), said(Role.USER, "And now?"))
    asked = {"known": signals(input_tokens=5010), "conversation_id": "c"}
    assert candidates(route(rules, *turns, **asked)) == ["other", "cached"]
    assert candidates(route(rules, *turns, world=World(conversation_deployment="cached"), **asked)) == [
        "cached",
        "other",
    ]


# In which order


def test_a_conversation_stays_where_the_rule_says_so() -> None:
    world = World(conversation_deployment="good")
    staying = table(rule("r", [CHEAP, GOOD], sticky=StickyKey.CONVERSATION))
    assert candidates(route(staying, world=world)) == ["good", "cheap"]
    assert candidates(route(table(rule("r", [CHEAP, GOOD])), world=world)) == ["cheap", "good"]


def test_a_conversation_stays_where_the_policy_says_so_also_under_another_rule() -> None:
    rules = table(
        rule("hard", [BEST], When(complexity=one_of("complex"))),
        rule("rest", [CHEAP, GOOD]),
        sticky=StickyKey.CONVERSATION,
    )
    decision = route(rules, world=World(conversation_deployment="best"))
    assert candidates(decision) == ["best", "cheap", "good"]
    assert decision.cause == 'rule "rest": every call; order; it served this conversation before'


def test_a_conversation_moves_on_while_its_deployment_cools_down() -> None:
    rules = table(rule("r", [CHEAP, GOOD]), sticky=StickyKey.CONVERSATION)
    world = World(conversation_deployment="good", cooling={"good": Cooling("500", 4)})
    assert candidates(route(rules, world=world)) == ["cheap"]


def test_a_conversation_does_not_follow_a_deployment_that_the_policy_no_longer_names() -> None:
    rules = table(rule("r", [CHEAP]), others=[GOOD], sticky=StickyKey.CONVERSATION)
    decision = route(rules, world=World(conversation_deployment="good"))
    assert (candidates(decision), rejected(decision)) == (["cheap"], {})


def test_the_callers_latency_target_puts_the_slow_last() -> None:
    world = World(first_token_latency={"cheap": 2.0, "good": 0.2})
    decision = route(table(rule("r", [CHEAP, GOOD])), world=world, wishes=Wishes(latency_target=0.5))
    assert candidates(decision) == ["good", "cheap"]


def test_a_weighted_choice_sticks_to_the_user() -> None:
    rules = table(rule("r", [CHEAP, GOOD], strategy=Strategy.WEIGHTED, sticky=StickyKey.USER))
    firsts = {
        user: {candidates(route(rules, user=user, request_id=str(number)))[0] for number in range(20)}
        for user in map(str, range(20))
    }
    assert all(len(chosen) == 1 for chosen in firsts.values())
    assert set().union(*firsts.values()) == {"cheap", "good"}


# Private state of a provider


def holding(*origins: str) -> Message:
    opaque = tuple(Opaque(origin, b"signature") for origin in origins)
    return Message(role=Role.ASSISTANT, opaque=opaque)


def test_a_conversation_with_private_state_stays_with_its_origin() -> None:
    decision = route(table(rule("r", [CHEAP, GOOD])), HELLO, holding("good"))
    assert candidates(decision) == ["good"]
    assert rejected(decision) == {"cheap": "CONVERSATION"}


def test_private_state_of_a_stranger_binds_nobody() -> None:
    assert candidates(route(table(rule("r", [CHEAP, GOOD])), HELLO, holding("gone"))) == ["cheap", "good"]


def test_private_state_of_a_deployment_that_can_no_longer_serve_binds_nobody() -> None:
    blind = deployment("blind")
    seeing = deployment("seeing", capabilities=frozenset({Capability.VISION}))
    needs = signals(needs=frozenset({Capability.VISION}))
    assert candidates(route(table(rule("r", [blind, seeing])), HELLO, holding("blind"), known=needs)) == ["seeing"]


def test_private_state_waits_for_its_origin_to_recover() -> None:
    world = World(cooling={"good": Cooling("429", 7.0)})
    with pytest.raises(NoCandidate) as caught:
        route(table(rule("r", [CHEAP, GOOD])), HELLO, holding("good"), world=world)
    assert caught.value.reason is Reason.ALL_CANDIDATES_COOLING
    assert caught.value.retry_after == 7.0


# What the caller names


def test_a_named_model_means_all_its_deployments_without_a_rule() -> None:
    east, west = deployment("east", model="llama"), deployment("west", model="llama")
    decision = route(table(rule("r", [CHEAP]), others=[east, west]), wishes=Wishes(model="llama"))
    assert candidates(decision) == ["east", "west"]
    assert (decision.rule, decision.rule_name, decision.strategy) == (None, "", "order")
    assert decision.cause == 'the caller named model "llama"'


def test_a_named_deployment_has_no_fallback() -> None:
    decision = route(table(rule("r", [CHEAP, GOOD])), wishes=Wishes(deployment="good"))
    assert (candidates(decision), rejected(decision)) == (["good"], {})


def test_the_policys_ceilings_hold_for_named_models() -> None:
    rules = table(rule("r", [CHEAP]), others=[BEST], max_cost_nano_usd=1_000_000, regions=frozenset({"eu"}))
    with pytest.raises(NoCandidate) as caught:
        route(rules, wishes=Wishes(model="best"))
    assert caught.value.metadata == {"best": "REGION"}


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        (Wishes(model="chep"), 'There is no model "chep". Did you mean cheap?'),
        (Wishes(deployment="goood"), 'There is no deployment "goood". Did you mean good?'),
        (Wishes(model="west"), '"west" is a deployment: name it as such.'),
        (Wishes(deployment="llama"), '"llama" is a model: name it as such.'),
    ],
)
def test_unknown_names_are_not_found_and_close_ones_named(wishes: Wishes, message: str) -> None:
    rules = table(rule("r", [CHEAP, GOOD]), others=[deployment("west", model="llama")])
    with pytest.raises(NotFound) as caught:
        route(rules, wishes=wishes)
    assert caught.value.reason is Reason.MODEL_NOT_FOUND
    assert message in caught.value.message


# What is said when nobody is left


def test_says_what_to_do_when_no_rule_matches() -> None:
    rules = table(rule("free", [CHEAP], When(tier=one_of("free"))))
    with pytest.raises(NoCandidate, match=r'tier "pro".*no conditions') as caught:
        route(rules, tier="pro")
    assert caught.value.reason is Reason.NO_ELIGIBLE_CANDIDATE


def test_says_why_each_deployment_is_out() -> None:
    keyless = deployment("keyless", has_credentials=False)
    with pytest.raises(NoCandidate, match="keyless: no key is configured") as caught:
        route(table(rule("r", [keyless])))
    assert caught.value.reason is Reason.NO_ELIGIBLE_CANDIDATE
    assert caught.value.metadata == {"keyless": "CREDENTIALS"}
    assert caught.value.retry_after is None


def test_says_how_long_to_wait_when_waiting_helps() -> None:
    keyless = deployment("keyless", has_credentials=False)
    world = World(cooling={"cheap": Cooling("429", 12.0), "good": Cooling("500", 3.5)})
    with pytest.raises(NoCandidate) as caught:
        route(table(rule("r", [CHEAP, GOOD, keyless])), world=world)
    assert caught.value.reason is Reason.ALL_CANDIDATES_COOLING
    assert caught.value.retry_after == 3.5
    assert caught.value.metadata == {"cheap": "HEALTH", "good": "HEALTH", "keyless": "CREDENTIALS"}


# What else is decided


def test_the_callers_parameters_win_over_the_rules_over_the_features() -> None:
    rules = table(
        rule("r", [CHEAP], parameters=Parameters(temperature=0.1, top_p=0.5)),
        features=[Feature(name="chat", parameters=Parameters(temperature=0.2, top_p=0.6, seed=7))],
    )
    decision = route(rules, feature="Chat", parameters=Parameters(temperature=0.9))
    assert decision.parameters == Parameters(temperature=0.9, top_p=0.5, seed=7)


def test_the_cause_is_in_words() -> None:
    rules = table(rule("free", [CHEAP], When(tier=one_of("free"))))
    assert route(rules, tier="free").cause == 'rule "free": tier is free; order'


def test_a_deployment_named_twice_is_considered_once() -> None:
    assert candidates(route(table(rule("r", [CHEAP, GOOD, CHEAP])))) == ["cheap", "good"]


# What always holds

NAMES = st.sampled_from([f"d{number}" for number in range(6)])
PRICES = st.none() | st.builds(price, st.floats(0, 50), st.floats(0, 50))
DEPLOYMENTS = st.builds(
    Deployment,
    id=NAMES,
    model=st.sampled_from(["m1", "m2"]),
    provider=st.just("p"),
    upstream_name=st.just("u"),
    capabilities=st.frozensets(st.sampled_from(Capability)),
    context_window=st.none() | st.integers(1, 300),
    max_output_tokens=st.none() | st.integers(1, 300),
    price=PRICES,
    region=st.sampled_from(["", "eu", "us"]),
    retention=st.sampled_from(Retention),
    weight=st.floats(0, 5),
    has_credentials=st.booleans(),
)
RULES = st.builds(
    Rule,
    name=st.just("r"),
    when=st.just(When()),
    candidates=st.lists(DEPLOYMENTS, min_size=1, max_size=6, unique_by=lambda one: one.id).map(tuple),
    strategy=st.sampled_from(Strategy),
    sticky=st.sampled_from(StickyKey),
    max_output_tokens=st.none() | st.integers(1, 300),
    max_cost_nano_usd=st.none() | st.integers(0, 10**7),
)
POLICIES = st.builds(
    Policy,
    name=st.just("default"),
    rules=RULES.map(lambda made: (made,)),
    sticky=st.sampled_from(StickyKey),
    regions=st.frozensets(st.sampled_from(["eu", "us"])),
    retention=st.sampled_from(Retention),
    max_cost_nano_usd=st.none() | st.integers(0, 10**7),
)
WORLDS = st.builds(
    World,
    cooling=st.dictionaries(NAMES, st.builds(Cooling, st.just("429"), st.floats(0.1, 60))),
    first_token_latency=st.dictionaries(NAMES, st.floats(0, 10)),
    expected_output=st.dictionaries(st.just(""), st.floats(0, 1000)),
    conversation_deployment=st.none() | NAMES,
)
WISHES = st.builds(
    Wishes, latency_target=st.none() | st.floats(0, 10), max_cost_nano_usd=st.none() | st.integers(0, 10**7)
)
KNOWN = st.builds(
    signals, input_tokens=st.integers(1, 200), needs=st.frozensets(st.sampled_from(Capability), max_size=1)
)


def decided_or_not(asked: Call, known: Signals, rules: RoutingTable, world: World) -> Decision | NoCandidate:
    try:
        return decide(asked, known, rules, world)
    except NoCandidate as error:
        return error


@given(POLICIES, WORLDS, WISHES, KNOWN, st.lists(NAMES, max_size=1))
def test_every_deployment_named_is_a_candidate_or_a_rejection(
    policy: Policy, world: World, wishes: Wishes, known: Any, origins: list[str]
) -> None:
    named = policy.rules[0].candidates
    rules = RoutingTable(
        policies={"default": policy},
        deployments={one.id: one for one in named},
        models={},
        features={},
        default_policy="default",
        fingerprint="f",
    )
    asked = call(HELLO, holding(*origins), wishes=wishes)
    decision = decided_or_not(asked, known, rules, world)
    if isinstance(decision, NoCandidate):
        assert decision.metadata.keys() == {one.id for one in named}
        cooling = RejectionReason.HEALTH.value in decision.metadata.values()
        assert (decision.reason is Reason.ALL_CANDIDATES_COOLING) == cooling == (decision.retry_after is not None)
        return
    considered = candidates(decision) + list(rejected(decision))
    assert sorted(considered) == sorted(one.id for one in named)
    assert decision == decide(asked, known, rules, world)
    for candidate in decision.candidates:
        limit, window = candidate.token_limit.applied, candidate.deployment.context_window
        assert candidate.deployment.id not in world.cooling
        assert candidate.deployment.has_credentials
        assert limit is None or limit >= 1
        assert window is None or limit is None or known.input_tokens + limit <= window


# Those that are asked after all others


@pytest.mark.parametrize("strategy", list(Strategy))
def test_no_strategy_moves_fallbacks_before_the_others(strategy: Strategy) -> None:
    made = rule("r", [BEST, GOOD, CHEAP], strategy=strategy, fallbacks=("good", "cheap"))
    assert all(candidates(route(table(made), request_id=f"r-{n}")) == ["best", "good", "cheap"] for n in range(20))


def test_those_before_the_fallbacks_are_ordered_by_the_strategy() -> None:
    made = rule("r", [BEST, GOOD, CHEAP], strategy=Strategy.CHEAPEST, fallbacks=("cheap",))
    assert candidates(route(table(made))) == ["good", "best", "cheap"]


def test_a_budget_that_asks_for_cheaper_ones_goes_before_that() -> None:
    made = rule("r", [BEST, GOOD, CHEAP], fallbacks=("good", "cheap"))
    assert candidates(route(table(made), world=World(prefer_cheaper=True))) == ["cheap", "good", "best"]
