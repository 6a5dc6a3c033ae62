"""What a decision needs to know of the world, as it is at this moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Cooling:
    """A deployment that must not be called for `seconds` more; `reason` is what it failed with, such as "429".

    `is_guess` says that the router concluded so from failures: such a one may still be worth asking where hardly any
    other is left. The provider's own word, and refused or exhausted credentials, are no guess.
    """

    reason: str
    seconds: float
    is_guess: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Health and experience. `cooling` and `first_token_latency` (rolling mean, in seconds) are by deployment id,
    `expected_output` (rolling mean, in tokens) is by feature. `conversation_deployment` is the id of the deployment
    that served this conversation's last turn, `None` where there is none. `prefer_cheaper` says that a budget is spent
    so far that cost comes before the rule's order. `saturated` are deployments whose provider allows no more now, with
    the seconds until it does.
    """

    cooling: Mapping[str, Cooling] = field(default_factory=dict)
    first_token_latency: Mapping[str, float] = field(default_factory=dict)
    expected_output: Mapping[str, float] = field(default_factory=dict)
    conversation_deployment: str | None = None
    prefer_cheaper: bool = False
    saturated: Mapping[str, float] = field(default_factory=dict)
