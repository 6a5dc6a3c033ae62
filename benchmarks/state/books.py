"""The ledger's rows against the provider's own journal, to the nano-USD."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from benchmarks.soak.provider import Bill
from benchmarks.soak.report import Row
from router_service.storage.database import Database, StorageError
from router_service.storage.opening import open_database

PRICE_USD: Mapping[str, float] = {"input": 0.2701, "output": 1.1009, "cached_input": 0.0703}
"""USD per million tokens; no sum of it is a whole number of nano-USD, so that rounding matters."""

_NANO_USD = 10**9
_PRICED_TOKENS = 10**6
_LOOK_AGAIN = 0.2
# Routers ship their journals every half a second: what is under way has arrived after that.
_UNDER_WAY = 1.5


@dataclass(frozen=True, slots=True)
class Booked:
    """An attempt as the ledger has it; `status` is empty where it has no end."""

    attempt_id: str
    operation_id: str
    status: str
    outcome: str
    writer: str
    cost: int | None
    input_tokens: int | None
    output_tokens: int | None


@dataclass(frozen=True, slots=True)
class Operation:
    """A call as the ledger has it."""

    operation_id: str
    request_id: str
    status: str
    writer: str
    attempts: int
    cost: int | None


@dataclass(frozen=True, slots=True)
class Books:
    """All that the ledger holds, and all that the provider's journal does."""

    attempts: Sequence[Booked]
    operations: Sequence[Operation]
    bills: Sequence[Bill]

    @property
    def cost(self) -> int:
        """What is known to have been spent, in nano-USD."""
        return sum(attempt.cost or 0 for attempt in self.attempts)

    @property
    def billed(self) -> int:
        """What the provider charges for everything, in nano-USD."""
        return sum(map(price, self.bills))

    def of(self, status: str) -> list[Booked]:
        """The attempts of this status."""
        return [attempt for attempt in self.attempts if attempt.status == status]

    @property
    def size(self) -> tuple[int, int]:
        """How many rows there are."""
        return len(self.attempts), len(self.operations)

    @property
    def unrecorded(self) -> set[str]:
        """Attempts that the provider knows and the ledger does not."""
        return {bill.attempt_id for bill in self.bills} - {attempt.attempt_id for attempt in self.attempts}

    @property
    def open(self) -> int:
        """Attempts and calls without an end."""
        return sum(not one.writer for one in self.attempts) + sum(not one.writer for one in self.operations)


def price(bill: Bill) -> int:
    """What a bill comes to in nano-USD: the oracle's own arithmetic, rounded once, half to even."""
    into, cached, out = (Fraction(str(PRICE_USD[name])) for name in ("input", "cached_input", "output"))
    uncached = bill.input_tokens - bill.cached_input_tokens
    total = uncached * into + bill.cached_input_tokens * cached + bill.output_tokens * out
    return round(total * _NANO_USD / _PRICED_TOKENS)


async def read(url: str, bills: Sequence[Bill]) -> Books:
    """The books now. Raises `StorageError`."""
    database = await open_database(url)
    try:
        return Books(await _attempts(database), await _operations(database), bills)
    finally:
        await database.aclose()


async def _attempts(database: Database) -> list[Booked]:
    rows = await database.fetch(
        "SELECT attempt_id, operation_id, coalesce(status, ''), coalesce(outcome, ''), coalesce(closed_by, ''), "
        "cost_nano_usd, input_tokens, output_tokens FROM ledger_attempts"
    )
    return [Booked(*row) for row in rows]


async def _operations(database: Database) -> list[Operation]:
    rows = await database.fetch(
        "SELECT operation_id, request_id, coalesce(status, ''), coalesce(closed_by, ''), coalesce(attempts, 0), "
        "cost_nano_usd FROM ledger_operations"
    )
    return [Operation(*row) for row in rows]


async def complete(url: str, bills: Sequence[Bill], *, calls: int, within: float) -> Books:
    """The books once so many calls and all bills are in them, none is open and no more arrive; or as they are after so
    many seconds. Raises `StorageError` where they cannot be read until then."""
    ends = time.monotonic() + within
    before: Books | None = None
    while True:
        late = time.monotonic() > ends
        try:
            books = await read(url, bills)
        except StorageError:
            if late:
                raise
            books = None
        if books is not None:
            if late or (before is not None and before.size == books.size):
                return books
            before = books if len(books.operations) >= calls and not books.open and not books.unrecorded else None
        await asyncio.sleep(_LOOK_AGAIN if before is None else _UNDER_WAY)


def compare(row: Row, books: Books) -> None:
    """Claim that nothing was billed unrecorded or booked twice, and that what was reported is booked to the nano-USD;
    list all else."""
    bills = {bill.attempt_id: bill for bill in books.bills}
    booked = {attempt.attempt_id for attempt in books.attempts}
    unrecorded = books.unrecorded
    row.claim(not unrecorded, f"{len(unrecorded)} upstream calls are in no ledger: {_some(unrecorded)}")
    twice = [attempt for attempt, count in Counter(bill.attempt_id for bill in books.bills).items() if count > 1]
    row.claim(not twice, f"the provider was asked more than once under an attempt id: {_some(twice)}")
    row.claim(len(booked) == len(books.attempts), "an attempt has more than one row")
    row.claim(not books.open, f"{books.open} attempts and calls have no end")
    _settled(row, books, bills)
    free = [one.attempt_id for one in books.of("unbilled") if (bill := bills.get(one.attempt_id)) and price(bill)]
    row.claim(not free, f"{len(free)} attempts are booked as unbilled, and the provider bills them: {_some(free)}")
    drift = {
        status: [
            (attempt.cost or 0) - (price(bills[attempt.attempt_id]) if attempt.attempt_id in bills else 0)
            for attempt in books.of(status)
        ]
        for status in ("estimated", "indeterminate")
    }
    row.figures |= {
        "attempts by status": dict(Counter(attempt.status or "open" for attempt in books.attempts)),
        "ledger, nano-USD": books.cost,
        "provider's journal, nano-USD": books.billed,
        **{f"{status}: booked less billed, nano-USD": sum(each) for status, each in drift.items() if each},
    }


def _settled(row: Row, books: Books, bills: Mapping[str, Bill]) -> None:
    settled = books.of("settled")
    lost = [attempt.attempt_id for attempt in settled if attempt.attempt_id not in bills]
    row.claim(not lost, f"{len(lost)} settled attempts are not in the provider's journal: {_some(lost)}")
    wrong = [
        attempt.attempt_id
        for attempt in settled
        if (bill := bills.get(attempt.attempt_id)) is not None
        and (attempt.cost, attempt.input_tokens, attempt.output_tokens)
        != (price(bill), bill.input_tokens, bill.output_tokens)
    ]
    difference = sum((one.cost or 0) - price(bills[one.attempt_id]) for one in settled if one.attempt_id in bills)
    row.figures["settled attempts"] = len(settled)
    row.figures["settled: booked less billed, nano-USD"] = difference
    row.claim(not wrong and not difference, f"{len(wrong)} settled attempts differ from the journal: {_some(wrong)}")
    guessed = [
        attempt.attempt_id
        for attempt in books.attempts
        if attempt.outcome == "success"
        and attempt.status != "settled"
        and (bill := bills.get(attempt.attempt_id)) is not None
        and bill.reported
    ]
    row.claim(not guessed, f"{len(guessed)} attempts are guessed although usage was reported: {_some(guessed)}")


def _some(names: object) -> str:
    listed = sorted(names)  # type: ignore[call-overload]
    return ", ".join(listed[:3]) + (" ..." if len(listed) > 3 else "")
