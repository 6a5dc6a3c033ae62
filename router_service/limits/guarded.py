"""Shared counters with local caps for the time that they cannot be reached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from router_service.domain.limit import FailMode
from router_service.limits.local import LocalMeters
from router_service.limits.meters import Charge, Kind, Lapse, Meter, MetersAway, Settlement, SpendFloor, Taken
from router_service.limits.periods import PERIODS, period_number
from router_service.limits.shared import SharedMeters

_REMEMBERED = 100_000


class GuardedMeters:
    """`Meters` that answer also while Redis is away, as each rule says with `fail`.

    `open` counts in this process against its share of the cap: the cap (of a budget: what was left of it when the
    server last answered) divided by the number of `replicas`, for limits at least 1. `closed` raises `MetersAway`.
    `local` makes the counters for one absence. What was used meanwhile is counted by the server once it is back.
    """

    def __init__(
        self, shared: SharedMeters, *, local: Callable[[], LocalMeters], replicas: int, wall: Callable[[], float]
    ) -> None:
        self._shared = shared
        self._make_local = local
        self._local: LocalMeters | None = None
        self._replicas = replicas
        self._wall = wall
        self._seen: dict[str, tuple[int, int]] = {}
        self._shares: dict[str, Meter] = {}

    async def take(self, ident: str, charges: Sequence[Charge], *, lease: float = 0.0, note: bytes = b"") -> Taken:
        try:
            taken = await self._shared.take(ident, charges, lease=lease, note=note)
        except MetersAway:
            return self._take_share(ident, charges, lease, note)
        if self._local is not None:
            self._local = None
            self._shares.clear()
        for (meter, amount), reading in zip(charges, taken.readings, strict=True):
            if meter.kind is Kind.SPEND:
                if len(self._seen) >= _REMEMBERED:
                    self._seen.clear()
                used = reading.used if taken.blocks else reading.used + amount
                self._seen[meter.key] = (period_number(PERIODS[meter.span], self._wall()), used)
        return taken

    def _take_share(self, ident: str, charges: Sequence[Charge], lease: float, note: bytes) -> Taken:
        if any(meter.enforced and meter.rule.fail is FailMode.CLOSED for meter, _ in charges):
            self._forget(ident, charges, lease)
            raise MetersAway
        if self._local is None:
            self._local = self._make_local()
        shares = [Charge(self._share(meter), amount) for meter, amount in charges]
        taken = self._local.take_now(ident, shares, lease=lease, note=note)
        if taken.blocks:
            self._forget(ident, charges, lease)
        return taken

    def _forget(self, ident: str, charges: Sequence[Charge], lease: float) -> None:
        # The server may have counted what it could not answer any more.
        if lease:
            self._shared.settle(Settlement(ident, charges, void=True))

    def _share(self, meter: Meter) -> Meter:
        share = self._shares.get(meter.key)
        if share is None:
            if meter.kind is Kind.SPEND:
                number, used = self._seen.get(meter.key, (None, 0))
                used = used if number == period_number(PERIODS[meter.span], self._wall()) else 0
                cap = max(0, meter.cap - used) // self._replicas
            else:
                cap = max(1, meter.cap // self._replicas)
            share = self._shares[meter.key] = replace(meter, cap=cap)
        return share

    def settle(self, settlement: Settlement) -> None:
        if self._local is not None:
            self._local.settle(settlement)
        self._shared.settle(settlement)

    async def sweep(self) -> list[Lapse]:
        return await self._shared.sweep()

    async def held(self) -> list[bytes]:
        return await self._shared.held()

    async def raise_spend(self, floors: Sequence[SpendFloor]) -> None:
        await self._shared.raise_spend(floors)

    async def aclose(self) -> None:
        await self._shared.aclose()
