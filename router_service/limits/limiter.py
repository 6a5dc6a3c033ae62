"""What the engine asks: may this call enter, may this attempt be made, and what did they use in the end.

entry = await limiter.enter(subject)                        LimitReached, or degraded: prefer cheaper candidates
hold = await limiter.hold(entry, model=..., tokens=..., nano_usd=..., attempt_id=...)      LimitReached, BudgetSpent
limiter.settle(hold, tokens=..., nano_usd=...)              never waits, never fails
limiter.leave(entry)                                        likewise
"""

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from router_service.domain.error import Overloaded
from router_service.domain.limit import (
    Budget,
    BudgetMode,
    LapsedHold,
    LimitCounts,
    LimitRules,
    MeterState,
    SettledSpend,
    Subject,
)
from router_service.limits.meters import (
    NEVER,
    Charge,
    Kind,
    Meter,
    Meters,
    MetersAway,
    Reading,
    Settlement,
    SpendFloor,
)
from router_service.limits.periods import PERIODS, period_number, seconds_left
from router_service.limits.plan import Plan
from router_service.limits.refusal import counters_away, refusal, window_text
from router_service.limits.standing import Standing

_LEASE = 900.0


@dataclass(slots=True, kw_only=True)
class Entry:
    """A call that was let in. `degraded` says that a budget wants cheaper candidates preferred; `overspent` names the
    soft budgets that are spent."""

    subject: Subject
    ident: str
    charges: Sequence[Charge]
    degraded: bool
    overspent: tuple[str, ...]
    left: bool = False


@dataclass(slots=True, kw_only=True)
class Hold:
    """What an attempt has reserved: tokens and nano-USD, until it is settled."""

    ident: str
    charges: Sequence[Charge]
    settled: bool = False


class Limiter:
    """Limits and budgets over some counters. `wall` is in seconds since 1970."""

    def __init__(self, rules: LimitRules, meters: Meters, *, wall: Callable[[], float]) -> None:
        self._plan = Plan(rules)
        self._meters = meters
        self._wall = wall
        self._standing = Standing(wall)
        self._numbers = itertools.count(1)
        self._prefix = secrets.token_hex(6)

    def use(self, rules: LimitRules) -> None:
        """Go by these rules from the next call on. Counters stay, unless a rule's name, window or period changed."""
        self._plan = Plan(rules)
        self._standing.forget()

    def counts(self) -> LimitCounts:
        """What this process saw of limits and budgets; the caps of shadows count as none of them. Asks nobody, and may
        be called from another thread."""
        return self._standing.counts()

    async def enter(self, subject: Subject, *, lease: float = _LEASE) -> Entry:
        """Count a call against limits on requests and concurrent calls that need no model.

        Its slots are free again after `leave`, at the latest after `lease` seconds: give the time left to the call.
        Raises `LimitReached`, and `Overloaded` where the counters are away and a limit says so.
        """
        counted, watched = self._plan.entry(subject)
        ident = self._ident()
        if not counted and not watched:
            return Entry(subject=subject, ident=ident, charges=(), degraded=False, overspent=())
        # Requests stay counted, so that only slots are worth a record.
        slots = any(meter.kind is Kind.SLOTS for meter in counted)
        charges = [Charge(meter, 1) for meter in counted] + [Charge(meter, 0) for meter in watched]
        readings = await self._take(ident, charges, lease if slots else 0.0, b"")
        spends = list(zip(watched, readings[len(counted) :], strict=True))
        return Entry(
            subject=subject,
            ident=ident,
            charges=charges[: len(counted)] if slots else (),
            degraded=any(_is_degraded(meter, reading) for meter, reading in spends),
            overspent=tuple(meter.rule.name for meter, reading in spends if _is_overspent(meter, reading)),
        )

    async def hold(
        self, entry: Entry, *, model: str, tokens: int, nano_usd: int, attempt_id: str, lease: float = _LEASE
    ) -> Hold:
        """Reserve what an attempt may use at most, on every limit and budget it touches, or on none.

        `tokens` is the input estimate plus the output ceiling, `nano_usd` their price (0 where unpriced). After
        `lease` seconds without `settle` its owner counts as gone: see `sweep`. Raises `LimitReached` or `BudgetSpent`;
        `Overloaded` where the counters are away and a rule says so.
        """
        # Not the attempt's id: a refused attempt may be made elsewhere under the same.
        subject, ident = entry.subject, self._ident()
        charges = self._charges(subject, model, tokens, nano_usd)
        if subject.shadow and not charges:
            raise Overloaded(
                f"The shadow {subject.shadow} has no cap any more: the configuration changed.",
                metadata={"shadow": subject.shadow},
            )
        if charges:
            spends = any(charge.meter.kind is Kind.SPEND for charge in charges)
            note = _note(attempt_id, subject, model, tokens, nano_usd) if spends else b""
            await self._take(ident, charges, lease, note, observed=not subject.shadow)
        return Hold(ident=ident, charges=charges)

    def settle(self, hold: Hold, *, tokens: int | None, nano_usd: int | None) -> None:
        """Replace what was reserved by what was used; `None` lets the reserve stand as the best guess.

        Only the first settlement counts. It does not wait and does not fail, so that it is safe in a `finally`.
        """
        if hold.settled:
            return
        hold.settled = True
        if hold.charges:
            self._meters.settle(Settlement(hold.ident, hold.charges, tokens, nano_usd))

    def leave(self, entry: Entry) -> None:
        """The call is over. Like `settle`, it neither waits nor fails, and counts once."""
        if entry.left:
            return
        entry.left = True
        if entry.charges:
            self._meters.settle(Settlement(entry.ident, entry.charges))

    async def degraded(self, subject: Subject) -> float:
        """The largest share spent of a budget that asks for cheaper candidates, 0 where none does yet. Does not count a
        call. `enter` answers the same for free."""
        _, watched = self._plan.entry(subject)
        readings = await self._read(watched)
        shares = [
            reading.used / meter.cap if meter.cap else 1.0
            for meter, reading in zip(watched, readings, strict=True)
            if _is_degraded(meter, reading)
        ]
        return max(shares, default=0.0)

    async def state(self, subject: Subject, model: str = "") -> tuple[MeterState, ...]:
        """How a subject stands with all limits and budgets; without a model, with those that do not depend on one.

        Raises `Overloaded` where the counters are away.
        """
        meters = self._plan.every(subject, model)
        readings, now = await self._read(meters), self._wall()
        return tuple(_state(meter, reading, now) for meter, reading in zip(meters, readings, strict=True))

    async def shadow_caps(self) -> tuple[MeterState, ...]:
        """How far every shadow's cap is spent, by the shadow's id. Raises `Overloaded` while the counters are away."""
        caps = self._plan.caps()
        readings, now = await self._read(list(caps.values())), self._wall()
        return tuple(
            replace(_state(meter, reading, now), name=shadow)
            for (shadow, meter), reading in zip(caps.items(), readings, strict=True)
        )

    async def sweep(self) -> tuple[LapsedHold, ...]:
        """Holds whose owner is gone, for a reconciler to book. They stay reserved until `settle_lapsed`, so that a
        reconciler that dies too loses nothing. Slots of calls that are gone are freed. Nothing while away."""
        try:
            lapses = await self._meters.sweep()
        except MetersAway:
            return ()
        return tuple(_lapsed(lapse.ident, lapse.note, lapse.at) for lapse in lapses)

    def settle_lapsed(self, hold: LapsedHold, *, tokens: int | None, nano_usd: int | None) -> None:
        """Settle a swept hold with what the ledger has booked for it; counts only if nobody has settled it yet."""
        charges = self._charges(hold.subject, hold.model, hold.tokens, hold.nano_usd)
        self._meters.settle(Settlement(hold.ident, charges, tokens, nano_usd, lapsed=True))

    async def held(self) -> frozenset[str]:
        """The ids of attempts whose reserve stands. They are no part of a rebuild, even where the ledger knows their
        end by now: their settlement, or their sweep, is still to come. Raises `Overloaded` while away."""
        try:
            return frozenset(_attempt_id(note) for note in await self._meters.held())
        except MetersAway as exc:
            raise counters_away(()) from exc

    async def rebuild(self, rows: Iterable[SettledSpend]) -> None:
        """Raise the budgets' counters to what the ledger knows: the sums of the periods that hold the rows.

        Give the rows of the longest budgeted period. Repeating it changes nothing. Raises `Overloaded` while away.
        """
        sums: dict[tuple[str, int], int] = {}
        meters: dict[str, Meter] = {}
        for row in rows:
            for meter in self._plan.attempt(row.subject, row.model):
                if meter.kind is Kind.SPEND:
                    meters[meter.key] = meter
                    place = (meter.key, period_number(PERIODS[meter.span], row.at))
                    sums[place] = sums.get(place, 0) + row.nano_usd
        try:
            await self._meters.raise_spend([SpendFloor(meters[key], number, sums[key, number]) for key, number in sums])
        except MetersAway as exc:
            raise counters_away(()) from exc

    async def aclose(self) -> None:
        """Bring settlements under way to their end; at most a second."""
        await self._meters.aclose()

    def _charges(self, subject: Subject, model: str, tokens: int, nano_usd: int) -> list[Charge]:
        return [
            Charge(meter, nano_usd if meter.kind is Kind.SPEND else tokens if meter.counts_tokens else 1)
            for meter in self._plan.attempt(subject, model)
        ]

    def _ident(self) -> str:
        return f"{self._prefix}-{next(self._numbers)}"

    async def _take(
        self, ident: str, charges: Sequence[Charge], lease: float, note: bytes, *, observed: bool = True
    ) -> Sequence[Reading]:
        try:
            taken = await self._meters.take(ident, charges, lease=lease, note=note)
        except MetersAway as exc:
            raise counters_away(meter for meter, _ in charges) from exc
        if observed:
            self._standing.saw(charges, taken.readings)
        if taken.blocks:
            worst = max(taken.blocks, key=lambda block: float("inf") if block.wait == NEVER else block.wait)
            if observed:
                self._standing.refused(charges[worst.place].meter)
            raise refusal(charges[worst.place], taken.readings[worst.place], worst.wait)
        return taken.readings

    async def _read(self, meters: Sequence[Meter]) -> Sequence[Reading]:
        if not meters:
            return ()
        try:
            taken = await self._meters.take("", [Charge(meter, 0) for meter in meters])
        except MetersAway as exc:
            raise counters_away(()) from exc
        return taken.readings


def _is_degraded(meter: Meter, reading: Reading) -> bool:
    budget = meter.rule
    return (
        isinstance(budget, Budget)
        and budget.degrade_from is not None
        and reading.used >= budget.degrade_from * budget.nano_usd
    )


def _is_overspent(meter: Meter, reading: Reading) -> bool:
    return isinstance(meter.rule, Budget) and meter.rule.mode is BudgetMode.SOFT and reading.used >= meter.cap


def _state(meter: Meter, reading: Reading, now: float) -> MeterState:
    rule = meter.rule
    if isinstance(rule, Budget):
        unit, window, mode, resets_in = "nano_usd", rule.period.value, rule.mode, seconds_left(rule.period, now)
    else:
        unit, window, mode, resets_in = rule.unit.value, window_text(rule.window), None, None
    return MeterState(
        name=rule.name,
        unit=unit,
        scope=meter.scope,
        amount=meter.cap,
        used=reading.used,
        reserved=reading.reserved,
        window=window,
        mode=mode,
        resets_in=resets_in,
    )


def _note(attempt_id: str, subject: Subject, model: str, tokens: int, nano_usd: int) -> bytes:
    parts = [attempt_id, subject.tenant, subject.key, subject.feature, subject.tier, model, tokens, nano_usd]
    if subject.shadow:
        parts.append(subject.shadow)
    return json.dumps(parts, separators=(",", ":")).encode()


def _attempt_id(note: bytes) -> str:
    return str(json.loads(note)[0])


def _lapsed(ident: str, note: bytes, taken_at: float) -> LapsedHold:
    attempt_id, tenant, key, feature, tier, model, tokens, nano_usd, *shadow = json.loads(note)
    return LapsedHold(
        ident=ident,
        attempt_id=attempt_id,
        subject=Subject(tenant=tenant, key=key, feature=feature, tier=tier, shadow=shadow[0] if shadow else ""),
        model=model,
        tokens=tokens,
        nano_usd=nano_usd,
        taken_at=taken_at,
    )
