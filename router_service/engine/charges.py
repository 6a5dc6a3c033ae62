"""What a call and its attempts count against limits and budgets: reserved before, settled after."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from router_service.domain.call import Call
from router_service.domain.deployment import Deployment
from router_service.domain.limit import LimitRules, Subject
from router_service.domain.money import CostStatus, Usage
from router_service.domain.receipt import Attempt
from router_service.domain.upstream import RateLeft
from router_service.limits.limiter import Entry, Hold, Limiter
from router_service.limits.local import LocalMeters
from router_service.limits.rates import DeploymentRates, Flight
from router_service.spend.cost import cost

# What is held for an answer whose length nobody bounds, in tokens. A longer one overspends by the rest.
UNBOUNDED_OUTPUT = 4096
# Prompts are estimated; what is held for one covers an estimate that is this much too low.
_INPUT_MARGIN = 1.25
# An owner that says nothing for so long after its deadline is gone, in seconds.
_GONE_AFTER = 60.0


@dataclass(frozen=True, slots=True)
class Reserve:
    """What one attempt holds on limits and budgets, in tokens and nano-USD, and of what its provider allows."""

    hold: Hold
    flight: Flight | None
    tokens: int
    nano_usd: int


class Charges:
    """One call's. `leave` it however it ends; `settle` every reserve. Neither waits nor fails."""

    def __init__(self, limiter: Limiter, rates: DeploymentRates, entry: Entry, lease: float) -> None:
        self._limiter = limiter
        self._rates = rates
        self._entry = entry
        self._lease = lease

    @property
    def prefers_cheaper(self) -> bool:
        """Whether a budget is spent so far that cheaper candidates are wanted."""
        return self._entry.degraded

    @property
    def overspent(self) -> tuple[str, ...]:
        """The soft budgets that are spent."""
        return self._entry.overspent

    async def hold(
        self, deployment: Deployment, attempt_id: str, *, input_tokens: int, max_output_tokens: int | None
    ) -> Reserve:
        """Reserve what an attempt may use at most, on every limit and budget it touches. Raises `RouterError`."""
        usage = Usage(
            input_tokens=math.ceil(input_tokens * _INPUT_MARGIN),
            output_tokens=UNBOUNDED_OUTPUT if max_output_tokens is None else max_output_tokens,
        )
        tokens = usage.input_tokens + usage.output_tokens
        nano_usd = 0 if deployment.price is None else cost(usage, deployment.price).total
        hold = await self._limiter.hold(
            self._entry,
            model=deployment.model,
            tokens=tokens,
            nano_usd=nano_usd,
            attempt_id=attempt_id,
            lease=self._lease,
        )
        flight = self._rates.dispatched(deployment.id, tokens) if self._rates.limits(deployment.id) else None
        return Reserve(hold, flight, tokens, nano_usd)

    def observed(self, deployment: str, left: RateLeft) -> None:
        """Learn from what an answer said is left of its provider's rate."""
        self._rates.observed(
            deployment,
            requests_left=left.requests,
            requests_reset=left.requests_reset,
            tokens_left=left.tokens,
            tokens_reset=left.tokens_reset,
        )

    def settle(self, reserve: Reserve, attempt: Attempt) -> None:
        """Replace the reserve by what the attempt used; where nobody knows, the reserve stands."""
        if attempt.cost_status is CostStatus.UNBILLED:
            self.give_back(reserve)
            return
        usage = attempt.usage if attempt.cost_status is not CostStatus.INDETERMINATE else None
        tokens = None if usage is None else usage.input_tokens + usage.output_tokens
        nano_usd = None if attempt.cost is None else attempt.cost.total
        self._settle(reserve, tokens, nano_usd)

    def give_back(self, reserve: Reserve) -> None:
        """Nothing of it was used: the attempt was not made, or not billed."""
        self._settle(reserve, 0, 0)

    def _settle(self, reserve: Reserve, tokens: int | None, nano_usd: int | None) -> None:
        self._limiter.settle(reserve.hold, tokens=tokens, nano_usd=nano_usd)
        if reserve.flight is not None:
            self._rates.landed(reserve.flight, tokens)

    def leave(self) -> None:
        """The call is over."""
        self._limiter.leave(self._entry)


def unlimited(monotonic: Callable[[], float], wall: Callable[[], float]) -> Limiter:
    """Counters in this process, and no rule that they serve."""
    return Limiter(LimitRules(), LocalMeters(monotonic, wall), wall=wall)


async def enter(limiter: Limiter, rates: DeploymentRates, call: Call, time_left: float) -> Charges:
    """Let a call in that has so many seconds left. Raises `RouterError` where a limit has no room for it."""
    subject = Subject(tenant=call.tenant, key=call.principal, feature=call.caller.feature, tier=call.caller.tier)
    return await enter_as(subject, limiter, rates, time_left)


async def enter_as(subject: Subject, limiter: Limiter, rates: DeploymentRates, time_left: float) -> Charges:
    """Let a call in that is counted for `subject`. Raises `RouterError` where a limit has no room for it."""
    lease = max(0.0, time_left) + _GONE_AFTER
    return Charges(limiter, rates, await limiter.enter(subject, lease=lease), lease)
