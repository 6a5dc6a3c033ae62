from __future__ import annotations

from collections import Counter
from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from routing_values import call, deployment, price

from router_service.domain.decision import Candidate, TokenLimit
from router_service.domain.deployment import Price, Rate
from router_service.domain.policy import StickyKey, Strategy
from router_service.routing.rank import estimated_cost, kept_first, ranked, slower_last, sticky_key

FREE = TokenLimit(requested=None, applied=None, reason="none")


def candidate(name: str, cost: int | None = 1, weight: float = 1.0) -> Candidate:
    return Candidate(deployment=deployment(name, weight=weight), token_limit=FREE, estimated_cost=cost)


def names(candidates: list[Candidate]) -> list[str]:
    return [one.deployment.id for one in candidates]


def by(strategy: Strategy, candidates: list[Candidate], latencies: dict[str, float] | None = None) -> list[str]:
    return names(ranked(candidates, strategy, latencies or {}, lambda: "key"))


def test_order_keeps_the_rules_order() -> None:
    assert by(Strategy.ORDER, [candidate("b", 9), candidate("a", 1)], {"b": 9, "a": 1}) == ["b", "a"]


def test_cheapest_first_unpriced_last_and_equals_in_order() -> None:
    candidates = [candidate("unpriced", None), candidate("b", 5), candidate("c", 2), candidate("a", 5)]
    assert by(Strategy.CHEAPEST, candidates) == ["c", "b", "a", "unpriced"]


def test_fastest_first_but_the_unobserved_before_them() -> None:
    candidates = [candidate("slow"), candidate("new"), candidate("fast"), candidate("newer")]
    assert by(Strategy.FASTEST, candidates, {"slow": 2.0, "fast": 0.2}) == ["new", "newer", "fast", "slow"]


def drawn(key: str, candidates: list[Candidate]) -> list[str]:
    return names(ranked(candidates, Strategy.WEIGHTED, {}, lambda: key))


def test_a_weighted_choice_follows_the_weights() -> None:
    candidates = [candidate("a", weight=1), candidate("b", weight=3)]
    firsts = Counter(drawn(f"key-{number}", candidates)[0] for number in range(4000))
    assert firsts["b"] / 4000 == pytest.approx(0.75, abs=0.03)


def test_a_weighted_choice_is_the_same_for_the_same_key() -> None:
    candidates = [candidate(name) for name in "abcd"]
    assert drawn("conversation-7", candidates) == drawn("conversation-7", candidates[::-1])


def test_a_new_deployment_takes_its_share_and_moves_no_other_key() -> None:
    before, after = [candidate("a"), candidate("b"), candidate("c")], [candidate(name) for name in "abcd"]
    moved = [(drawn(key, before)[0], drawn(key, after)[0]) for key in map(str, range(2000))]
    changed = [new for old, new in moved if old != new]
    assert set(changed) == {"d"}
    assert len(changed) / 2000 == pytest.approx(0.25, abs=0.04)


def test_a_deployment_without_weight_comes_last() -> None:
    assert drawn("key", [candidate("none", weight=0), candidate("some", weight=0.01)]) == ["some", "none"]


@pytest.mark.parametrize(
    ("sticky", "same", "other"),
    [
        (StickyKey.CONVERSATION, {"conversation_id": "c1"}, {"conversation_id": "c2"}),
        (StickyKey.USER, {"user": "u1"}, {"user": "u2"}),
    ],
)
def test_the_sticky_key_outlives_the_request(sticky: StickyKey, same: dict[str, str], other: dict[str, str]) -> None:
    assert sticky_key(call(request_id="1", **same), sticky) == sticky_key(call(request_id="2", **same), sticky)
    assert sticky_key(call(**same), sticky) != sticky_key(call(**other), sticky)


def test_the_tenant_may_be_the_sticky_key() -> None:
    assert sticky_key(call(request_id="1"), StickyKey.TENANT) == sticky_key(call(request_id="2"), StickyKey.TENANT)


@pytest.mark.parametrize("sticky", [StickyKey.NONE, StickyKey.CONVERSATION, StickyKey.USER])
def test_without_a_key_every_request_draws_anew(sticky: StickyKey) -> None:
    assert sticky_key(call(request_id="1"), sticky) != sticky_key(call(request_id="2"), sticky)


def test_slower_than_the_target_goes_last_in_unchanged_order() -> None:
    candidates = [candidate(name) for name in ("slow", "new", "slower", "fast")]
    latencies = {"slow": 1.0, "slower": 2.0, "fast": 0.2}
    assert names(slower_last(candidates, latencies, 0.5)) == ["new", "fast", "slow", "slower"]


def test_the_kept_deployment_goes_first_in_otherwise_unchanged_order() -> None:
    assert names(kept_first([candidate(name) for name in "abc"], "c")) == ["c", "a", "b"]


NANO_USD = st.integers(0, 10**12)


@given(NANO_USD, NANO_USD, st.integers(0, 10**6), st.integers(0, 10**6))
def test_costs_are_exact_and_rounded_once_half_even(
    input_rate: int, output_rate: int, input_tokens: int, output_tokens: int
) -> None:
    charged = Price(
        input=Rate(input_rate), output=Rate(output_rate), cached_input=Rate(0), cache_write=Rate(0), version="test"
    )
    exact = Decimal(input_tokens * input_rate + output_tokens * output_rate) / 10**6
    assert estimated_cost(charged, input_tokens, output_tokens) == int(exact.to_integral_value(ROUND_HALF_EVEN))


def test_a_long_prompt_costs_its_tiers_rate() -> None:
    tiered = Price(
        input=Rate(1_000_000, tiers=((200_000, 2_000_000),)),
        output=Rate(4_000_000, tiers=((200_000, 6_000_000),)),
        cached_input=Rate(0),
        cache_write=Rate(0),
        version="test",
    )
    assert estimated_cost(tiered, 200_000, 10) == 200_000 + 40
    assert estimated_cost(tiered, 200_001, 10) == 400_002 + 60


def test_cached_tokens_cost_their_own_rate() -> None:
    assert estimated_cost(price(1.0, 2.0, 0.1), 3000, 100, cached_tokens=2000) == 1_000_000 + 200_000 + 200_000
