"""Calendar periods of budgets, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from router_service.domain.limit import Period

PERIODS = (Period.HOUR, Period.DAY, Period.MONTH, Period.TOTAL)
"""In the order of their codes in the scripts."""

_HOUR = 3600
_DAY = 86400


def period_number(period: Period, at: float) -> int:
    """The number of the period that holds this moment (seconds since 1970); they count up without gaps."""
    if period is Period.HOUR:
        return int(at // _HOUR)
    if period is Period.DAY:
        return int(at // _DAY)
    if period is Period.MONTH:
        moment = datetime.fromtimestamp(at, UTC)
        return moment.year * 12 + moment.month - 1
    return 0


def seconds_left(period: Period, at: float) -> float | None:
    """Until the period that holds this moment ends; `None` where it never does."""
    if period is Period.TOTAL:
        return None
    if period is not Period.MONTH:
        length = _HOUR if period is Period.HOUR else _DAY
        return length - at % length
    moment = datetime.fromtimestamp(at, UTC)
    next_month = (moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=32)).replace(day=1)
    return (next_month - moment).total_seconds()
