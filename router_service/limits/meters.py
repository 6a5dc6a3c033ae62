"""The seam to the counters: what is taken from them, what they answer. In process and Redis do the same.

A meter is one counter with its cap. `take` charges several at once or none of them; `settle` replaces what was
reserved by what was used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Protocol

from router_service.domain.limit import Budget, Limit, Unit

MICROSECONDS = 1_000_000
BUCKETS = 30
"""Parts of a window. A part is forgotten as a whole once all of it is older than the window, so that no interval of
the window's length sees more than the cap; the price is that an amount comes back up to a 30th of the window late."""

CONCURRENCY_WAIT = MICROSECONDS
"""What callers beyond a concurrency limit are told to wait: nobody knows when a call ends."""

NEVER = -1
"""A wait that does not help: the charge alone is more than the cap, or the period never ends."""


class Kind(IntEnum):
    """How a meter counts; the scripts know the numbers."""

    WINDOW = 0
    SLOTS = 1
    SPEND = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Meter:
    """One counter. `key` is its hashed name, the same in all replicas; `scope` says in words what shares it.

    `span` is a window in microseconds, or the index of a budget's period in `periods.PERIODS`. Only meters that are
    `enforced` refuse.
    """

    key: str
    kind: Kind
    cap: int
    span: int
    enforced: bool
    rule: Limit | Budget
    scope: str

    @property
    def counts_tokens(self) -> bool:
        return isinstance(self.rule, Limit) and self.rule.unit is Unit.TOKENS


class Charge(NamedTuple):
    """An amount for a meter: requests, tokens, 1 for a slot, nano-USD."""

    meter: Meter
    amount: int


class SpendFloor(NamedTuple):
    """What a budget has spent at least, in nano-USD, in the period of this number."""

    meter: Meter
    number: int
    nano_usd: int


class Reading(NamedTuple):
    """A meter's counts: `used` includes what is reserved; `reserved` is known of budgets only."""

    used: int
    reserved: int


class Block(NamedTuple):
    """A charge (by its place) that did not fit, and in how many microseconds it would; or `NEVER`."""

    place: int
    wait: int


@dataclass(frozen=True, slots=True)
class Taken:
    """The answer to `take`: granted where nothing blocks. `readings` are those before the charges."""

    readings: tuple[Reading, ...]
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of what was taken under `ident`: tokens and nano-USD used, `None` where the reserve is the best guess.

    `void` says that nothing was used, not even a request: the answer to `take` was never heard. `lapsed` says that a
    reconciler speaks, for an owner that is gone: its word does not count if the owner came back.
    """

    ident: str
    charges: Sequence[Charge]
    tokens: int | None = None
    nano_usd: int | None = None
    void: bool = False
    lapsed: bool = False

    def actual(self, charge: Charge) -> int:
        """What a charge turned out to be."""
        if self.void:
            return 0
        stated: int | None = charge.amount
        if charge.meter.kind is Kind.SPEND:
            stated = self.nano_usd
        elif charge.meter.counts_tokens:
            stated = self.tokens
        return charge.amount if stated is None else stated


@dataclass(frozen=True, slots=True)
class Lapse:
    """Something taken whose lease ran out. `note` is what `take` was given, `at` in seconds since 1970."""

    ident: str
    note: bytes
    at: float


class MetersAway(Exception):
    """The shared counters cannot be reached; nothing is known of whether the charges were counted."""


class Meters(Protocol):
    """Counters. One `ident` is good for one `take`; taking it again changes nothing."""

    async def take(self, ident: str, charges: Sequence[Charge], *, lease: float = 0.0, note: bytes = b"") -> Taken:
        """Charge all meters, or none where one that is enforced has no room.

        After `lease` seconds without a settlement, slots are free again and what has a `note` is found by `sweep`;
        0 keeps no record: nothing is to be settled. Raises `MetersAway`.
        """
        ...

    def settle(self, settlement: Settlement) -> None:
        """Settle what was taken; a second time changes nothing. Never waits and never fails."""
        ...

    async def sweep(self) -> list[Lapse]:
        """What has a note and lapsed. It stays reserved until it is settled. Raises `MetersAway`."""
        ...

    async def held(self) -> list[bytes]:
        """The notes of what is taken and not settled yet. Raises `MetersAway`."""
        ...

    async def raise_spend(self, floors: Sequence[SpendFloor]) -> None:
        """Raise what budgets count as spent to at least what the ledger knows. Raises `MetersAway`."""
        ...

    async def aclose(self) -> None:
        """Bring settlements that are under way to their end, as far as possible within a second."""
        ...
