"""How a caller stands with its limits, as headers that OpenAI's clients know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from router_service.domain.call import Call
from router_service.domain.error import RouterError
from router_service.domain.limit import MeterState, Subject, Unit

_UNITS = (Unit.REQUESTS, Unit.TOKENS)


class Allowances(Protocol):
    """What is asked of the counters. Raises `RouterError` where these cannot be reached."""

    async def allowances(self, subject: Subject, model: str) -> Sequence[MeterState]:
        """How a subject stands with limits and budgets; of a model's own only where one is named."""


async def limit_headers(allowances: Allowances, call: Call, model: str) -> list[tuple[str, str]]:
    """`x-ratelimit-*` of the limit on requests, and of that on tokens, that has the least room; none without limits.

    Windows slide, so that all of a limit is there again a whole window after its last use: that is its reset.
    """
    identity = call.identity
    tier = call.caller.tier or ("" if identity is None else identity.grants.default_tier)
    subject = Subject(tenant=call.tenant, key=call.principal, feature=call.caller.feature, tier=tier)
    try:
        states = await allowances.allowances(subject, model)
    except RouterError:
        # The answer is worth more than these.
        return []
    headers: list[tuple[str, str]] = []
    for unit in _UNITS:
        among = [state for state in states if state.unit == unit]
        if among:
            tightest = min(among, key=_left)
            headers += [
                (f"x-ratelimit-limit-{unit}", str(tightest.amount)),
                (f"x-ratelimit-remaining-{unit}", str(_left(tightest))),
                (f"x-ratelimit-reset-{unit}", tightest.window),
            ]
    return headers


def _left(state: MeterState) -> int:
    return max(0, state.amount - state.used)
