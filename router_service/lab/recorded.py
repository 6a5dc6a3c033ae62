"""The ledger's answered calls, ready to be decided again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import msgspec

from router_service.domain.deployment import Capability
from router_service.domain.money import Usage
from router_service.lab.replay import PastCall
from router_service.ledger.records import microseconds
from router_service.storage.database import Database, Row

_PAGE = 2_000

_COLUMNS = (
    "operation_id", "started_us", "feature", "tier", "tenant", "task_type", "labels", "policy", "deployment", "model",
    "asked_model", "asked_deployment", "asked_complexity", "asked_output_tokens", "max_cost_nano_usd", "input_tokens",
    "turns", "language", "complexity", "needs",
)  # fmt: skip

# The answer is the last attempt that succeeded; what all attempts cost is added up, judges and hedges included.
_SQL = f"""
SELECT {", ".join(f"o.{name}" for name in _COLUMNS)}, a.input_tokens, a.output_tokens, a.cached_input_tokens,
    a.cache_write_tokens,
    (SELECT sum(every.cost_nano_usd) FROM ledger_attempts every WHERE every.operation_id = o.operation_id)
FROM ledger_operations o JOIN ledger_attempts a ON a.operation_id = o.operation_id
WHERE o.status = 'OK' AND a.outcome = 'success' AND a.kind IN ('completion', 'hedge')
    AND a.number = (
        SELECT max(other.number) FROM ledger_attempts other
        WHERE other.operation_id = o.operation_id AND other.outcome = 'success'
            AND other.kind IN ('completion', 'hedge')
    )
    AND (o.started_us > $1 OR (o.started_us = $1 AND o.operation_id > $2)) AND o.started_us < $3
ORDER BY o.started_us, o.operation_id LIMIT $4
"""  # noqa: S608 - names of this file only

_UNANSWERED = """
SELECT count(*), coalesce(sum(cost_nano_usd), 0) FROM ledger_operations
WHERE status NOT IN ('', 'OK') AND shadow = '' AND started_us >= $1 AND started_us < $2
"""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Calls that ended without an answer, and what they cost in nano-USD: nothing to decide again."""

    calls: int
    cost: int


async def recorded_calls(database: Database, since: float, until: float) -> AsyncIterator[list[PastCall]]:
    """The calls that began from `since` to before `until` (seconds since the epoch), the oldest first, some at a time.

    Raises `StorageError`.
    """
    at, key = microseconds(since), ""
    while rows := await database.fetch(_SQL, at, key, microseconds(until), _PAGE):
        yield list(_past(rows))
        key, at = rows[-1][0], rows[-1][1]


async def unanswered(database: Database, since: float, until: float) -> Unanswered:
    """What cannot be decided again. Raises `StorageError`."""
    [(calls, spent)] = await database.fetch(_UNANSWERED, microseconds(since), microseconds(until))
    return Unanswered(calls, spent)


def _past(rows: Iterable[Row]) -> Iterable[PastCall]:
    known = {one.value: one for one in Capability}
    for row in rows:
        value = dict(zip(_COLUMNS, row, strict=False))
        del value["operation_id"], value["started_us"]
        counts = row[len(_COLUMNS) :]
        needs, labels = value.pop("needs"), value.pop("labels")
        yield PastCall(
            needs=frozenset(known[need] for need in needs.split(",") if need in known),
            labels=msgspec.json.decode(labels),
            usage=Usage(
                input_tokens=counts[0] or 0,
                output_tokens=counts[1] or 0,
                cached_input_tokens=counts[2] or 0,
                cache_write_tokens=counts[3] or 0,
            ),
            cost=counts[4],
            **value,
        )
