"""Counters in this process: exact, and gone with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from router_service.limits.meters import (
    CONCURRENCY_WAIT,
    MICROSECONDS,
    NEVER,
    Block,
    Charge,
    Kind,
    Lapse,
    Meter,
    Reading,
    Settlement,
    SpendFloor,
    Taken,
)
from router_service.limits.periods import PERIODS, period_number, seconds_left
from router_service.limits.window import Window

_PURGE_FROM = 4096
_NOTHING = Reading(0, 0)


@dataclass(slots=True)
class _Spend:
    """A budget's count in the latest period and, for calls that end late, the one before."""

    span: int
    number: int
    spent: int = 0
    reserved: int = 0
    before: _Spend | None = None

    def of(self, number: int) -> _Spend | None:
        if self.number == number:
            return self
        return self.before if self.before is not None and self.before.number == number else None


@dataclass(slots=True)
class _Held:
    """What was taken under an ident: when, by which clock, and until when it is leased."""

    charges: Sequence[Charge]
    at: int
    at_wall: float
    expires: int
    note: bytes
    numbers: dict[str, int] = field(default_factory=dict)


class LocalMeters:
    """`Meters` of one process and event loop. `monotonic` and `wall` are clocks in seconds; budgets follow `wall`."""

    def __init__(self, monotonic: Callable[[], float], wall: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._windows: dict[str, Window] = {}
        self._slots: dict[str, dict[str, int]] = {}
        self._spends: dict[str, _Spend] = {}
        self._held: dict[str, _Held] = {}
        self._purge_at = _PURGE_FROM

    async def take(self, ident: str, charges: Sequence[Charge], *, lease: float = 0.0, note: bytes = b"") -> Taken:
        return self.take_now(ident, charges, lease=lease, note=note)

    def take_now(self, ident: str, charges: Sequence[Charge], *, lease: float = 0.0, note: bytes = b"") -> Taken:
        """`take` without a loop."""
        now, wall = int(self._monotonic() * MICROSECONDS), self._wall()
        readings, blocks = [], []
        again = ident in self._held
        for place, (meter, amount) in enumerate(charges):
            reading, wait = self._read(meter, amount, now, wall)
            readings.append(reading)
            if wait is not None and meter.enforced and not again:
                blocks.append(Block(place, wait))
        if blocks or again:
            return Taken(tuple(readings), tuple(blocks))
        expires = now + int(lease * MICROSECONDS)
        held = _Held(charges, now, wall, expires, note)
        for meter, amount in charges:
            self._charge(meter, amount, held, ident)
        if lease:
            self._held[ident] = held
        if len(self._windows) + len(self._slots) + len(self._spends) > self._purge_at:
            self._purge(now, wall)
        return Taken(tuple(readings))

    def settle(self, settlement: Settlement) -> None:
        held = self._held.pop(settlement.ident, None)
        if held is None:
            return
        for charge in held.charges:
            meter, reserved = charge
            if meter.kind is Kind.WINDOW:
                window = self._windows.get(meter.key)
                difference = settlement.actual(charge) - reserved
                if window is not None and difference:
                    window.correct(difference, held.at)
            elif meter.kind is Kind.SLOTS:
                slots = self._slots.get(meter.key)
                if slots is not None:
                    slots.pop(settlement.ident, None)
                    if not slots:
                        del self._slots[meter.key]
            elif meter.key in held.numbers:
                latest = self._spends.get(meter.key)
                spend = latest.of(held.numbers[meter.key]) if latest else None
                if spend is not None:
                    spend.reserved -= reserved
                    spend.spent += settlement.actual(charge)

    async def sweep(self) -> list[Lapse]:
        now = int(self._monotonic() * MICROSECONDS)
        found = []
        for ident, held in tuple(self._held.items()):
            if held.expires > now:
                continue
            if held.note:
                found.append(Lapse(ident, held.note, held.at_wall))
            else:
                self.settle(Settlement(ident, held.charges))
        return found

    async def held(self) -> list[bytes]:
        return [held.note for held in self._held.values() if held.note]

    async def raise_spend(self, floors: Sequence[SpendFloor]) -> None:
        wall = self._wall()
        for meter, number, nano_usd in floors:
            current = self._spend(meter, wall)
            spend = current.of(number)
            if spend is None and number == current.number - 1:
                spend = current.before = _Spend(meter.span, number)
            if spend is not None:
                spend.spent = max(spend.spent, nano_usd)

    async def aclose(self) -> None:
        """Nothing is under way here."""

    def _read(self, meter: Meter, amount: int, now: int, wall: float) -> tuple[Reading, int | None]:
        """The count, and the wait in microseconds where the amount does not fit."""
        if meter.kind is Kind.WINDOW:
            window = self._windows.get(meter.key)
            if window is None:
                return _NOTHING, NEVER if amount > meter.cap else None
            window.forget(now)
            return Reading(window.total, 0), window.wait(amount, meter.cap, now)
        if meter.kind is Kind.SLOTS:
            slots = self._slots.get(meter.key, {})
            if len(slots) + amount > meter.cap:
                for ident in [one for one, expires in slots.items() if expires <= now]:
                    del slots[ident]
            used = len(slots)
            return Reading(used, 0), CONCURRENCY_WAIT if used + amount > meter.cap else None
        spend = self._spend(meter, wall)
        used = spend.spent + spend.reserved
        if used + amount <= meter.cap and used < meter.cap:
            return Reading(used, spend.reserved), None
        left = None if amount > meter.cap else seconds_left(PERIODS[meter.span], wall)
        return Reading(used, spend.reserved), NEVER if left is None else int(left * MICROSECONDS)

    def _charge(self, meter: Meter, amount: int, held: _Held, ident: str) -> None:
        if meter.kind is Kind.WINDOW:
            if amount:
                window = self._windows.get(meter.key)
                if window is None:
                    window = self._windows[meter.key] = Window(meter.span)
                window.add(amount, held.at)
        elif meter.kind is Kind.SLOTS:
            if amount:
                self._slots.setdefault(meter.key, {})[ident] = held.expires
        else:
            spend = self._spend(meter, held.at_wall)
            spend.reserved += amount
            held.numbers[meter.key] = spend.number

    def _spend(self, meter: Meter, wall: float) -> _Spend:
        """The budget's current period. A clock that is set back does not bring an ended period back."""
        number = period_number(PERIODS[meter.span], wall)
        spend = self._spends.get(meter.key)
        if spend is None or number > spend.number:
            if spend is not None:
                spend.before = None
            spend = self._spends[meter.key] = _Spend(meter.span, number, before=spend)
        return spend

    def _purge(self, now: int, wall: float) -> None:
        """Forget windows that have run empty and budgets of ended periods, so that memory follows the scopes in use."""
        for key, window in tuple(self._windows.items()):
            window.forget(now)
            if not window.total:
                del self._windows[key]
        for key, spend in tuple(self._spends.items()):
            if spend.number < period_number(PERIODS[spend.span], wall) and not spend.reserved:
                del self._spends[key]
        self._purge_at = max(_PURGE_FROM, 2 * (len(self._windows) + len(self._slots) + len(self._spends)))
