"""How full budgets are and what was refused, for metrics: what this process saw, at no further question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from router_service.domain.limit import Budget, LimitCounts
from router_service.limits.meters import Charge, Kind, Meter, Reading
from router_service.limits.periods import PERIODS, period_number

_REMEMBERED = 10_000


class Standing:
    """What the counters answered, remembered by counter. `wall` is in seconds since 1970."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._refusals: Counter[tuple[str, str]] = Counter()
        self._used: dict[str, tuple[Meter, int, float]] = {}

    def saw(self, charges: Sequence[Charge], readings: Sequence[Reading]) -> None:
        """Remember how full the budgets among these were."""
        for (meter, _), reading in zip(charges, readings, strict=True):
            if meter.kind is not Kind.SPEND:
                continue
            if len(self._used) >= _REMEMBERED and meter.key not in self._used:
                self._used.clear()
            share = reading.used / meter.cap if meter.cap else 1.0
            self._used[meter.key] = (meter, period_number(PERIODS[meter.span], self._wall()), share)

    def refused(self, meter: Meter) -> None:
        """Count a refusal."""
        self._refusals[meter.rule.name, "budget" if isinstance(meter.rule, Budget) else "limit"] += 1

    def forget(self) -> None:
        """The rules changed: counters may be others now. Refusals stay counted."""
        self._used.clear()

    def counts(self) -> LimitCounts:
        """What was seen so far. May be called from another thread."""
        now = self._wall()
        used: dict[str, float] = {}
        for meter, number, share in list(self._used.values()):
            if number == period_number(PERIODS[meter.span], now):
                name = meter.rule.name
                used[name] = max(used.get(name, 0.0), share)
        return LimitCounts(refusals=dict(self._refusals), used=used)
