"""In which order eligible candidates are tried, and what an attempt is estimated to cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from router_service.domain.call import Call
from router_service.domain.chance import chance
from router_service.domain.decision import Candidate
from router_service.domain.deployment import Price
from router_service.domain.policy import StickyKey, Strategy

_PER_MILLION = 1_000_000


def estimated_cost(price: Price, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> int:
    """Nano-USD of one attempt, rounded once, half-even; `cached_tokens` are those of the input that a cache serves."""
    scaled = (
        (input_tokens - cached_tokens) * price.input.at(input_tokens)
        + cached_tokens * price.cached_input.at(input_tokens)
        + output_tokens * price.output.at(input_tokens)
    )
    whole, rest = divmod(scaled, _PER_MILLION)
    if rest * 2 > _PER_MILLION or (rest * 2 == _PER_MILLION and whole % 2):
        whole += 1
    return whole


def ranked(
    candidates: Sequence[Candidate], strategy: Strategy, latencies: Mapping[str, float], key: Callable[[], str]
) -> list[Candidate]:
    """Candidates in the strategy's order; equals keep the rule's order.

    cheapest: by the estimated cost of this call, unpriced ones last. fastest: by observed seconds to the first token;
    a deployment never observed goes first, so that one call observes it and a new one is not shut out for ever.
    weighted: a draw in proportion to the weights, always the same for the same `key`.
    """
    if strategy is Strategy.ORDER or len(candidates) < 2:
        return list(candidates)
    if strategy is Strategy.CHEAPEST:
        return sorted(candidates, key=_cost)
    if strategy is Strategy.FASTEST:
        return sorted(candidates, key=lambda candidate: latencies.get(candidate.deployment.id, 0.0))
    drawn = key()
    return sorted(
        candidates,
        key=lambda candidate: draw(candidate.deployment.id, candidate.deployment.weight, drawn),
        reverse=True,
    )


def slower_last(candidates: Sequence[Candidate], latencies: Mapping[str, float], target: float) -> list[Candidate]:
    """Those observed to be slower than `target` seconds after all others."""
    return sorted(candidates, key=lambda candidate: latencies.get(candidate.deployment.id, 0.0) > target)


def behind(candidates: Sequence[Candidate], deployments: Sequence[str]) -> list[Candidate]:
    """The candidates on these deployments after all others, in the order of `deployments`."""
    places = {deployment: place for place, deployment in enumerate(deployments)}
    return sorted(candidates, key=lambda candidate: places.get(candidate.deployment.id, -1))


def kept_first(candidates: Sequence[Candidate], deployment: str) -> list[Candidate]:
    """The candidate on this deployment before all others."""
    return sorted(candidates, key=lambda candidate: candidate.deployment.id != deployment)


def sticky_key(call: Call, sticky: StickyKey) -> str:
    """What a weighted choice hangs on: it stays the same as long as this does. Without one, every call draws anew."""
    value = {
        StickyKey.NONE: "",
        StickyKey.CONVERSATION: call.caller.conversation_id,
        StickyKey.USER: call.caller.user,
        StickyKey.TENANT: call.tenant,
    }[sticky]
    return f"{sticky}\0{call.tenant}\0{value}" if value else call.request_id


def _cost(candidate: Candidate) -> float:
    return math.inf if candidate.estimated_cost is None else candidate.estimated_cost


def draw(name: str, weight: float, key: str) -> float:
    """How high `name` draws for this key: of several, the highest wins, each in proportion to its weight.

    Weighted rendezvous hashing: a new name takes its share of the keys and moves no others.
    """
    return weight / -math.log(chance(f"{name}\0{key}")) if weight > 0 else 0.0
