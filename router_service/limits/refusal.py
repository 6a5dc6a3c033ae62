"""What a caller is told who was refused."""

from __future__ import annotations

from collections.abc import Iterable

from router_service.domain.error import BudgetSpent, LimitReached, Overloaded, RouterError
from router_service.domain.limit import Budget, FailMode, Limit, Unit
from router_service.limits.meters import MICROSECONDS, NEVER, Charge, Meter, Reading

_AWAY_RETRY = 1.0


def refusal(charge: Charge, reading: Reading, wait: int) -> RouterError:
    """Why a charge did not fit, and when it would; `wait` is in microseconds."""
    meter, amount = charge
    rule = meter.rule
    retry_after = None if wait == NEVER else wait / MICROSECONDS
    for_whom = f" for {meter.scope}" if meter.scope else ""
    if isinstance(rule, Budget):
        return _budget_spent(rule, charge, reading, retry_after, for_whom)
    return _limit_reached(rule, amount, reading, retry_after, for_whom, meter.scope)


def _limit_reached(
    rule: Limit, amount: int, reading: Reading, retry_after: float | None, for_whom: str, scope: str
) -> RouterError:
    allowed = f"{rule.amount} {_UNITS[rule.unit]}"
    if rule.unit is not Unit.CONCURRENT:
        allowed += f" per {window_text(rule.window)}"
    if rule.amount < amount:
        what = f"asks for {amount} {_UNITS[rule.unit]}, more than the limit {rule.name} ever allows"
        message = f"The call {what}: {allowed}{for_whom}. Ask for less, for example by a lower max_output_tokens."
    else:
        message = f"The limit {rule.name} is reached: {allowed}{for_whom}. {_come_back(retry_after)}"
    metadata = {
        "limit": rule.name,
        "scope": scope,
        "unit": rule.unit.value,
        "amount": str(rule.amount),
        "used": str(reading.used),
    }
    return LimitReached(message, retry_after=retry_after, metadata=metadata)


def _budget_spent(
    rule: Budget, charge: Charge, reading: Reading, retry_after: float | None, for_whom: str
) -> RouterError:
    allowed = f"{usd(rule.nano_usd)} per {rule.period}" if rule.period != "total" else f"{usd(rule.nano_usd)} in all"
    if reading.used >= rule.nano_usd:
        message = f"The budget {rule.name} is spent: {allowed}{for_whom}. {_come_back(retry_after)}"
    else:
        left = usd(rule.nano_usd - reading.used)
        message = (
            f"The budget {rule.name} has {left} left of {allowed}{for_whom}; the attempt may cost "
            f"{usd(charge.amount)}. Ask for fewer tokens or a cheaper model. {_come_back(retry_after)}"
        )
    metadata = {
        "budget": rule.name,
        "scope": charge.meter.scope,
        "unit": "nano_usd",
        "amount": str(rule.nano_usd),
        "used": str(reading.used),
    }
    return BudgetSpent(message.rstrip(), retry_after=retry_after, metadata=metadata)


def counters_away(meters: Iterable[Meter]) -> RouterError:
    """The counters cannot be reached, and one of these rules says to refuse then."""
    closed = [one.rule.name for one in meters if one.enforced and one.rule.fail is FailMode.CLOSED]
    named = f", and {closed[0]} lets nothing through without them" if closed else ""
    message = f"Limits cannot be checked: their counters in Redis cannot be reached{named}. Try again."
    return Overloaded(message, retry_after=_AWAY_RETRY, metadata={"limit": closed[0]} if closed else None)


def window_text(seconds: float) -> str:
    """A window as the configuration writes it: 1s, 1m, 1h, 1d, 90s; empty where there is none."""
    for length, letter in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds and seconds % length == 0:
            return f"{int(seconds // length)}{letter}"
    return f"{seconds:g}s" if seconds else ""


def usd(nano_usd: int) -> str:
    """Money for people, rounded to what says enough."""
    amount = nano_usd / 10**9
    return f"${amount:,.2f}" if amount >= 1 or not nano_usd else f"${amount:.3g}"


def _come_back(retry_after: float | None) -> str:
    return "" if retry_after is None else f"Come back in {_rounded(retry_after)}."


def _rounded(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


_UNITS = {Unit.REQUESTS: "requests", Unit.TOKENS: "tokens", Unit.CONCURRENT: "concurrent calls"}
