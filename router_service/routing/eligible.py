"""Which deployments may serve a call, and why the others may not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from router_service.domain.chat import Message
from router_service.domain.decision import Rejection, RejectionReason, TokenLimit
from router_service.domain.deployment import Capability, Deployment
from router_service.domain.policy import Policy, Rule
from router_service.routing.limits import output_room
from router_service.routing.world import Cooling

# With less room than this an answer would be cut off before it said anything.
_LEAST_OUTPUT_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The most that one attempt may be estimated to cost, in nano-USD, and whose word that is."""

    nano_usd: int
    owner: str


def least_ceiling(requested: int | None, rule: Rule | None, policy: Policy) -> Ceiling | None:
    """The least of the caller's, the rule's and the policy's ceiling."""
    ceilings = (
        (requested, "caller"),
        (rule.max_cost_nano_usd if rule else None, "rule"),
        (policy.max_cost_nano_usd, "policy"),
    )
    set_ones = [Ceiling(amount, owner) for amount, owner in ceilings if amount is not None]
    return min(set_ones, key=lambda ceiling: ceiling.nano_usd) if set_ones else None


def unfit(
    deployment: Deployment, policy: Policy, needs: frozenset[Capability], input_tokens: int, limit: TokenLimit
) -> Rejection | None:
    """Why the deployment cannot or must not serve the call, whatever it costs and however healthy it is."""
    if not deployment.has_credentials:
        return Rejection(
            deployment=deployment,
            reason=RejectionReason.CREDENTIALS,
            detail=f'no key is configured for provider "{deployment.provider}"',
        )
    if policy.regions and deployment.region not in policy.regions:
        where = f'it is in region "{deployment.region}"' if deployment.region else "its region is not declared"
        return Rejection(
            deployment=deployment,
            reason=RejectionReason.REGION,
            detail=f"{where}; the policy allows {', '.join(sorted(policy.regions))}",
        )
    if deployment.retention is not policy.retention and not deployment.retention.within(policy.retention):
        return Rejection(
            deployment=deployment,
            reason=RejectionReason.DATA_RETENTION,
            detail=f"its provider keeps data ({deployment.retention}); the policy allows {policy.retention}",
        )
    if not needs <= deployment.capabilities:
        return Rejection(
            deployment=deployment,
            reason=RejectionReason.CAPABILITY,
            detail=f"it lacks {', '.join(sorted(needs - deployment.capabilities))}",
        )
    room = output_room(deployment, input_tokens)
    if room is not None and room < _least_output(limit):
        return Rejection(
            deployment=deployment,
            reason=RejectionReason.CONTEXT_WINDOW,
            detail=f"about {input_tokens} prompt tokens do not fit its window of {deployment.context_window}",
        )
    return None


def forbidden(deployment: Deployment) -> Rejection:
    """The caller may not use the deployment."""
    return Rejection(
        deployment=deployment,
        reason=RejectionReason.PERMISSION,
        detail="the caller may not use it; an administrator can grant it",
    )


def too_dear(deployment: Deployment, estimated_cost: int | None, ceiling: Ceiling) -> Rejection | None:
    """Why the deployment's price rules it out under a ceiling."""
    if estimated_cost is None:
        return Rejection(
            deployment=deployment,
            reason=RejectionReason.UNPRICED,
            detail=f"its price is unknown, and the {ceiling.owner}'s ceiling is {_usd(ceiling.nano_usd)}",
        )
    if estimated_cost > ceiling.nano_usd:
        return Rejection(
            deployment=deployment,
            reason=RejectionReason.PRICE_CEILING,
            detail=f"an attempt is estimated at {_usd(estimated_cost)}, "
            f"over the {ceiling.owner}'s ceiling of {_usd(ceiling.nano_usd)}",
        )
    return None


def origins(messages: Iterable[Message]) -> frozenset[str]:
    """The ids of the deployments whose private state the conversation holds."""
    return frozenset(opaque.origin for message in messages for opaque in message.opaque)


def foreign(deployment: Deployment, homes: frozenset[str]) -> Rejection:
    """The conversation holds state that only `homes` understand."""
    return Rejection(
        deployment=deployment,
        reason=RejectionReason.CONVERSATION,
        detail=f"the conversation holds state of {', '.join(sorted(homes))}",
    )


def unwell(deployment: Deployment, cooling: Cooling) -> Rejection:
    """The deployment failed lately and is left alone for a while."""
    return Rejection(
        deployment=deployment,
        reason=RejectionReason.HEALTH,
        detail=f"it cools down after {cooling.reason or 'failures'} for {cooling.seconds:.1f} s more",
        retry_after=cooling.seconds,
    )


def full(deployment: Deployment, seconds: float) -> Rejection:
    """The provider's own rate for the deployment is used up: asking now would only bring a 429."""
    return Rejection(
        deployment=deployment,
        reason=RejectionReason.SATURATED,
        detail=f"its provider allows no more for {seconds:.1f} s",
        retry_after=seconds,
    )


def last_resorts(pool: Sequence[str], cooling: Mapping[str, Cooling]) -> frozenset[str]:
    """The deployments of `pool` that are asked although they cool down: those back soonest.

    What the router concluded from failures may keep at most half of a pool away, but at least one: an outage that all
    share, or a mistaken conclusion, must not leave nobody to ask. What the provider itself said (a rate limit with its
    time, refused or exhausted credentials) is no conclusion: such deployments are out, and no part of the pool.
    """
    told = {name for name in pool if name in cooling and not cooling[name].is_guess}
    guessed = [name for name in pool if name in cooling and cooling[name].is_guess]
    may_be_away = max(1, (len(pool) - len(told)) // 2)
    soonest_first = sorted(guessed, key=lambda name: cooling[name].seconds)
    return frozenset(soonest_first[: max(0, len(guessed) - may_be_away)])


def _least_output(limit: TokenLimit) -> int:
    """Room for a little output, or for all of it where the caller wants less than that."""
    asked = limit.applied if limit.reason != "model" else None
    return _LEAST_OUTPUT_TOKENS if asked is None else min(asked, _LEAST_OUTPUT_TOKENS)


def _usd(nano_usd: int) -> str:
    return f"${nano_usd / 1e9:.9f}".rstrip("0").rstrip(".")
