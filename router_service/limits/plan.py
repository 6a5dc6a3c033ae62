"""Which meters a subject touches: limits and budgets compiled, and remembered per subject."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import TypeVar

from router_service.domain.limit import Budget, BudgetMode, Dimension, Limit, LimitRules, Subject, Unit
from router_service.limits.meters import MICROSECONDS, Kind, Meter
from router_service.limits.periods import PERIODS

_REMEMBERED = 20_000

K = TypeVar("K")
V = TypeVar("V")


class Plan:
    """The rules of one configuration."""

    def __init__(self, rules: LimitRules) -> None:
        self._before = [limit for limit in rules.limits if _at_entry(limit)]
        self._watched = [budget for budget in rules.budgets if not budget.scope.needs_model and _is_watched(budget)]
        self._per_attempt: list[Limit | Budget] = [limit for limit in rules.limits if not _at_entry(limit)]
        self._per_attempt += rules.budgets
        self._every: list[Limit | Budget] = [*rules.limits, *rules.budgets]
        self._shadows = rules.shadows
        self._entries: dict[Subject, tuple[tuple[Meter, ...], tuple[Meter, ...]]] = {}
        self._attempts: dict[tuple[Subject, str], tuple[Meter, ...]] = {}

    def entry(self, subject: Subject) -> tuple[tuple[Meter, ...], tuple[Meter, ...]]:
        """Meters that a call is charged to before a model is chosen, and budgets whose state the decision needs."""
        if subject.shadow:
            return (), ()
        found = self._entries.get(subject)
        if found is None:
            values = _values(subject, "")
            # Only read: what a spent budget refuses is an attempt, for a call may be answered without one.
            watched = tuple(replace(meter, enforced=False) for meter in _meters(self._watched, values))
            found = _meters(self._before, values), watched
            _remember(self._entries, subject, found)
        return found

    def attempt(self, subject: Subject, model: str) -> tuple[Meter, ...]:
        """Meters that an attempt is charged to: token limits, what depends on the model, budgets."""
        found = self._attempts.get((subject, model))
        if found is None:
            found = self._cap(subject) if subject.shadow else _meters(self._per_attempt, _values(subject, model))
            _remember(self._attempts, (subject, model), found)
        return found

    def every(self, subject: Subject, model: str) -> tuple[Meter, ...]:
        """All meters of a subject; without a model, those that do not depend on one."""
        rules = self._every if model else [rule for rule in self._every if not rule.scope.needs_model]
        return _meters(rules, _values(subject, model))

    def caps(self) -> dict[str, Meter]:
        """The meter of every shadow's cap, by the shadow's id."""
        found = {shadow: self._cap(Subject(tenant="", shadow=shadow)) for shadow in self._shadows}
        return {shadow: meter for shadow, (meter,) in found.items()}

    def _cap(self, subject: Subject) -> tuple[Meter, ...]:
        cap = self._shadows.get(subject.shadow)
        if cap is None:
            return ()
        meter = _meter(cap, _values(subject, ""))
        # No budget of the file may be the same counter, whatever it is called.
        return (replace(meter, key=f"shadow:{meter.key}"),)


def _at_entry(limit: Limit) -> bool:
    return limit.unit is not Unit.TOKENS and not limit.scope.needs_model


def _is_watched(budget: Budget) -> bool:
    return budget.mode is BudgetMode.SOFT or budget.degrade_from is not None


def _remember(memory: dict[K, V], key: K, value: V) -> None:
    if len(memory) >= _REMEMBERED:
        memory.clear()
    memory[key] = value


def _values(subject: Subject, model: str) -> dict[Dimension, str]:
    # Callers choose features and tiers: another spelling must not get them another counter.
    return {
        Dimension.TENANT: subject.tenant,
        Dimension.KEY: subject.key,
        Dimension.FEATURE: subject.feature.lower(),
        Dimension.TIER: subject.tier.lower(),
        Dimension.MODEL: model,
    }


def _meters(rules: Sequence[Limit | Budget], values: dict[Dimension, str]) -> tuple[Meter, ...]:
    return tuple(
        _meter(rule, values)
        for rule in rules
        if all(values[dimension] in wanted for dimension, wanted in rule.scope.match.items())
    )


def _meter(rule: Limit | Budget, values: dict[Dimension, str]) -> Meter:
    if isinstance(rule, Budget):
        kind, cap, span = Kind.SPEND, rule.nano_usd, PERIODS.index(rule.period)
        enforced = rule.mode is BudgetMode.HARD
    else:
        kind = Kind.SLOTS if rule.unit is Unit.CONCURRENT else Kind.WINDOW
        cap, span, enforced = rule.amount, round(rule.window * MICROSECONDS), True
    shared = [(dimension, values[dimension]) for dimension in rule.scope.per]
    named = json.dumps([rule.name, kind.value, span, shared])
    return Meter(
        # Hashed: names of tenants and features, which callers choose, are not for the server to read or to parse.
        key=blake2b(named.encode(), digest_size=16).hexdigest(),
        kind=kind,
        cap=cap,
        span=span,
        enforced=enforced,
        rule=rule,
        scope=", ".join(f"{name} {value}" for name, value in shared),
    )
