"""Routers broken on purpose: `python -m benchmarks.state.broken <control> serve ...`. The harness must notice each."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

from router_service.cli import main
from router_service.domain.receipt import Attempt
from router_service.engine.book import JournalBook
from router_service.limits.limiter import Hold, Limiter
from router_service.limits.meters import Charge, Meter, Meters, Taken

# One of so many goes wrong: a fault that strikes always would be too easy to see.
_EVERY = 10
# Between looking and taking, in seconds: what a busy router needs for a round trip.
_GAP = 0.02


def checks_then_increments() -> None:
    """Looks whether there is room, and takes it in a second step whether there still is or not."""

    async def take(
        limiter: Limiter, ident: str, charges: Sequence[Charge], lease: float, note: bytes
    ) -> Sequence[object]:
        meters: Meters = limiter._meters
        looked: Taken = await meters.take("", [Charge(meter, 0) for meter, _ in charges])
        for (meter, amount), reading in zip(charges, looked.readings, strict=True):
            if meter.enforced and reading.used + amount > meter.cap:
                return await original(limiter, ident, charges, lease, note)
        await asyncio.sleep(_GAP)
        unchecked = [Charge(_unenforced(charge), charge.amount) for charge in charges]
        return (await meters.take(ident, unchecked, lease=lease, note=note)).readings

    original = Limiter._take
    Limiter._take = take  # type: ignore[method-assign, assignment]


def drops_terminals() -> None:
    """Forgets how some attempts ended."""
    numbers, original = count(1), JournalBook.ended

    def ended(book: JournalBook, operation_id: str, attempt: Attempt) -> None:
        if next(numbers) % _EVERY:
            original(book, operation_id, attempt)

    JournalBook.ended = ended  # type: ignore[method-assign, assignment]


def skips_settling() -> None:
    """Leaves some holds as they are."""
    numbers, original = count(1), Limiter.settle

    def settle(limiter: Limiter, hold: Hold, *, tokens: int | None, nano_usd: int | None) -> None:
        if next(numbers) % _EVERY:
            original(limiter, hold, tokens=tokens, nano_usd=nano_usd)

    Limiter.settle = settle  # type: ignore[method-assign, assignment]


def settles_the_reserve() -> None:
    """Takes what was held for what was spent."""
    original = Limiter.settle

    def settle(limiter: Limiter, hold: Hold, *, tokens: int | None, nano_usd: int | None) -> None:
        original(limiter, hold, tokens=None, nano_usd=None)

    Limiter.settle = settle  # type: ignore[method-assign, assignment]


def _unenforced(charge: Charge) -> Meter:
    return replace(charge.meter, enforced=False)


CONTROLS: dict[str, Callable[[], None]] = {
    "checks-then-increments": checks_then_increments,
    "drops-terminals": drops_terminals,
    "skips-settling": skips_settling,
    "settles-the-reserve": settles_the_reserve,
}

if __name__ == "__main__":
    CONTROLS[sys.argv.pop(1)]()
    main()
