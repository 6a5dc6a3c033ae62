"""Limits and budgets: what a subject may use, as the configuration says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Dimension(StrEnum):
    """What limits and budgets can be counted by, and matched on."""

    TENANT = "tenant"
    KEY = "key"
    FEATURE = "feature"
    TIER = "tier"
    MODEL = "model"


class Unit(StrEnum):
    """What a limit counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    CONCURRENT = "concurrent"


class Period(StrEnum):
    """What a budget is for. Hours, days and months are the calendar's, in UTC."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"
    TOTAL = "total"


class BudgetMode(StrEnum):
    """What a spent budget does: refuse calls, only warn, or have cheaper candidates preferred."""

    HARD = "hard"
    SOFT = "soft"
    DEGRADE = "degrade"


class FailMode(StrEnum):
    """What a rule does while the shared counters cannot be reached: count in this process alone, or refuse."""

    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whom a call is counted for. `key` is the public id of the API key; what does not apply is empty.

    With a `shadow`, its id, nobody else's limits and budgets are touched: only that shadow's own cap.
    """

    tenant: str
    key: str = ""
    feature: str = ""
    tier: str = ""
    shadow: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which calls a rule is about, and which of them share a counter.

    Calls with equal values of all dimensions in `per` share one; without any, all do. `match` limits the rule to
    calls whose value is one of those given. Features and tiers are compared whatever their case.
    """

    per: tuple[Dimension, ...] = ()
    match: Mapping[Dimension, frozenset[str]] = field(default_factory=dict)

    @property
    def needs_model(self) -> bool:
        """Whether the rule can only be applied once a model was chosen."""
        return Dimension.MODEL in self.per or Dimension.MODEL in self.match


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most `amount` requests, tokens or concurrent calls.

    `window` is in seconds, from 1; 0 for concurrent calls. No interval of that length ever sees more than `amount`,
    except for tokens that a provider bills beyond what was reserved.
    """

    name: str
    unit: Unit
    amount: int
    window: float = 0.0
    scope: Scope = Scope()
    fail: FailMode = FailMode.OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """At most `nano_usd` per period.

    From the share `degrade_from` (0 to 1) on, cheaper candidates are to be preferred; `None` never asks for them.
    """

    name: str
    nano_usd: int
    period: Period
    scope: Scope = Scope()
    mode: BudgetMode = BudgetMode.HARD
    degrade_from: float | None = None
    fail: FailMode = FailMode.OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRules:
    """All limits and budgets; their names are unique. `shadows` are the caps of shadow calls, by the shadow's id."""

    limits: tuple[Limit, ...] = ()
    budgets: tuple[Budget, ...] = ()
    shadows: Mapping[str, Budget] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentRate:
    """What a provider allows a deployment; each is `None` where it is not known."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_concurrent: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterState:
    """How a subject stands with one limit or budget.

    `used` counts settled and reserved amounts, `reserved` those alone that are not settled yet (budgets only), in the
    `unit`: requests, tokens, concurrent, or nano_usd. `window` is a window such as "1m", or a budget's period.
    `resets_in` is when a budget's period ends, in seconds; `None` for limits, whose windows slide, and totals.
    """

    name: str
    unit: str
    scope: str
    amount: int
    used: int
    reserved: int = 0
    window: str = ""
    mode: BudgetMode | None = None
    resets_in: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitCounts:
    """What one process saw of limits and budgets: how often each refused, by name and "limit" or "budget"; and the
    share of its cap that a budget's fullest subject had used or reserved when last counted, in periods that still run.
    """

    refusals: Mapping[tuple[str, str], int] = field(default_factory=dict)
    used: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledSpend:
    """What the ledger knows: `nano_usd` that a subject spent on a model at `at` (seconds since 1970, UTC)."""

    subject: Subject
    model: str
    at: float
    nano_usd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LapsedHold:
    """A hold whose owner is gone: its lease ran out before it was settled. Tokens and nano-USD as reserved.

    `taken_at` is in seconds since 1970. `ident` is the counters' own name for it.
    """

    ident: str
    attempt_id: str
    subject: Subject
    model: str
    tokens: int
    nano_usd: int
    taken_at: float
