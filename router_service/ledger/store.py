"""Where the ledger's rows are kept for good: SQLite or PostgreSQL, through one set of statements.

Adding is idempotent, so that a journal may be shipped again from any earlier position: of the two halves of a row each
is written once. Only a sweep's ending gives way, to the router's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from router_service.domain.money import CostStatus
from router_service.ledger.records import (
    AttemptIntent,
    AttemptTerminal,
    OperationClosed,
    OperationOpened,
    Record,
    TerminalStatus,
    TextRecord,
    Writer,
)
from router_service.storage.database import Database, Value
from router_service.storage.migrate import migrate

_DELETED_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """An attempt that a sweep brought to an end, and what budgets and limits still hold for it."""

    attempt_id: str
    operation_id: str
    reserved_nano_usd: int | None
    reserved_tokens: int | None


def orphan_of(intent: AttemptIntent) -> Orphan:
    """An attempt whose intent has no end."""
    return Orphan(
        attempt_id=intent.attempt_id,
        operation_id=intent.operation_id,
        reserved_nano_usd=intent.reserved_nano_usd,
        reserved_tokens=intent.reserved_tokens,
    )


class LedgerStore(Protocol):
    """Keeps the ledger. Every method raises `StorageUnavailable` where later may help, else `StorageError`."""

    async def prepare(self) -> None:
        """Bring the store to the shape this version needs."""
        ...

    async def check(self) -> None:
        """Raise `StorageError` where the store could not keep any record now."""
        ...

    async def add(self, records: Sequence[Record]) -> None:
        """Keep records, all or none; those that are kept already change nothing."""
        ...

    async def sweep(self, before_us: int) -> list[Orphan]:
        """End, as `indeterminate`, what began before then and has not ended: its router and journal are gone."""
        ...

    async def forget(self, before_us: int) -> int:
        """Delete calls that began before then, with their attempts and feedback; returns how many rows."""
        ...

    async def expire(self, now_us: int) -> int:
        """Delete the texts that are to be kept no longer; returns how many rows."""
        ...


class SqlLedgerStore:
    """The ledger in a database. The database is the caller's to close."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(self) -> None:
        await migrate(self._database)

    async def check(self) -> None:
        await self._database.fetch("SELECT 1 FROM ledger_operations LIMIT 1")
        await self._database.fetch("SELECT 1 FROM ledger_attempts LIMIT 1")

    async def add(self, records: Sequence[Record]) -> None:
        rows = _sorted(records)
        async with self._database.transaction() as transaction:
            for kind, statement in _STATEMENTS.items():
                if rows[kind]:
                    await transaction.execute_many(statement, rows[kind])

    async def sweep(self, before_us: int) -> list[Orphan]:
        async with self._database.transaction() as transaction:
            rows = await transaction.fetch(_SWEEP_ATTEMPTS, before_us)
            await transaction.execute(_SWEEP_OPERATIONS, before_us)
        return [
            Orphan(attempt_id=row[0], operation_id=row[1], reserved_nano_usd=row[2], reserved_tokens=row[3])
            for row in rows
        ]

    async def forget(self, before_us: int) -> int:
        """In steps, so that no step keeps other writers waiting for long."""
        return sum([await self._delete(statement, before_us) for statement in _FORGET])

    async def expire(self, now_us: int) -> int:
        """In steps, as `forget`."""
        return await self._delete(_EXPIRE, now_us)

    async def _delete(self, statement: str, before_us: int) -> int:
        total = 0
        while deleted := await self._database.execute(statement, before_us, _DELETED_AT_ONCE):
            total += deleted
        return total


_Rows = list[tuple[Value, ...]]


def _sorted(records: Iterable[Record]) -> dict[type[Record], _Rows]:
    rows: dict[type[Record], _Rows] = {kind: [] for kind in _STATEMENTS}
    for record in records:
        rows[type(record)].append(_values(record))
    return rows


def _values(record: Record) -> tuple[Value, ...]:
    return tuple(one if one is None else _value(one) for one in msgspec.structs.astuple(record))


def _value(value: object) -> Value:
    if isinstance(value, str):
        # PostgreSQL keeps no NUL in a text.
        return value.replace("\x00", "\ufffd") if "\x00" in value else value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return value
    if isinstance(value, tuple):
        return ",".join(value)
    return str(_value(msgspec.json.encode(value).decode()))


def _upsert(table: str, columns: Sequence[str], key: str, updated: Sequence[str], where: str) -> str:
    marks = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    changes = ", ".join(f"{name} = excluded.{name}" for name in updated)
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}) "  # noqa: S608 - names of this file only
        f"ON CONFLICT ({key}) DO UPDATE SET {changes} WHERE {where}"
    )


def _columns(kind: type[Record]) -> list[str]:
    return ["closed_by" if name == "writer" else name for name in kind.__struct_fields__]


def _unended(table: str) -> str:
    return (
        f"{table}.closed_by IS NULL OR "
        f"({table}.closed_by = '{Writer.SWEEP}' AND excluded.closed_by = '{Writer.ROUTER}')"
    )


_OPENED_COLUMNS = _columns(OperationOpened)
_CLOSED_COLUMNS = _columns(OperationClosed)
_INTENT_COLUMNS = _columns(AttemptIntent)
_TERMINAL_COLUMNS = _columns(AttemptTerminal)

OPERATION_COLUMNS = (*_OPENED_COLUMNS, *_CLOSED_COLUMNS[1:])
"""All columns of a call's row."""

ATTEMPT_COLUMNS = (*_INTENT_COLUMNS, *(name for name in _TERMINAL_COLUMNS if name not in _INTENT_COLUMNS))
"""All columns of an attempt's row."""

# A call that a model had to classify is opened before that, and once more with what was decided.
_OPENED = _upsert(
    "ledger_operations",
    _OPENED_COLUMNS,
    "operation_id",
    _OPENED_COLUMNS[1:],
    "ledger_operations.started_us = 0 OR (ledger_operations.fingerprint = '' AND excluded.fingerprint <> '')",
)
_CLOSED = _upsert(
    "ledger_operations", _CLOSED_COLUMNS, "operation_id", _CLOSED_COLUMNS[1:], _unended("ledger_operations")
)
_HELD = ["reserved_nano_usd", "reserved_tokens"]
_INTENT = _upsert(
    "ledger_attempts",
    _INTENT_COLUMNS,
    "attempt_id",
    _HELD,
    " OR ".join(f"(ledger_attempts.{name} IS NULL AND excluded.{name} IS NOT NULL)" for name in _HELD),
)
_TERMINAL = _upsert(
    "ledger_attempts",
    _TERMINAL_COLUMNS,
    "attempt_id",
    [name for name in _TERMINAL_COLUMNS if name not in _INTENT_COLUMNS or name == "price_version"],
    _unended("ledger_attempts"),
)

# What was erased stays away: a journal may bring it, or bring it again, at any time. PostgreSQL takes what a SELECT
# gives for texts unless it is told.
_TEXT = """
INSERT INTO ledger_texts (operation_id, started_us, expires_us, tenant, feature, prompt, answer, is_cut)
SELECT CAST($1 AS TEXT), CAST($2 AS BIGINT), CAST($3 AS BIGINT), CAST($4 AS TEXT), CAST($5 AS TEXT), CAST($6 AS TEXT),
    CAST($7 AS TEXT), CAST($8 AS BIGINT)
WHERE NOT EXISTS (
    SELECT 1 FROM ledger_text_erasures erased
    WHERE erased.tenant = CAST($4 AS TEXT) AND erased.before_us > CAST($2 AS BIGINT)
)
ON CONFLICT (operation_id) DO NOTHING
"""

_SWEEP_ATTEMPTS = f"""
UPDATE ledger_attempts
SET status = '{TerminalStatus.INDETERMINATE}', cost_status = '{CostStatus.INDETERMINATE}', outcome = 'unknown',
    error_type = 'router_lost', closed_by = '{Writer.SWEEP}'
WHERE closed_by IS NULL AND started_us < $1
RETURNING attempt_id, operation_id, reserved_nano_usd, reserved_tokens
"""  # noqa: S608 - names of this file only

_SWEEP_OPERATIONS = f"""
UPDATE ledger_operations
SET status = 'UNAVAILABLE', error_reason = 'ROUTER_LOST', cost_status = '{CostStatus.INDETERMINATE}',
    closed_by = '{Writer.SWEEP}'
WHERE closed_by IS NULL AND started_us < $1
"""  # noqa: S608 - names of this file only

_DELETE = """
DELETE FROM {table} WHERE {key} IN (
    SELECT {key} FROM {table} WHERE {time} < $1 ORDER BY {time} LIMIT $2
)
"""
_FORGET = [
    _DELETE.format(table=table, key=key, time="started_us")
    for table, key in (
        ("ledger_feedback", "operation_id"),
        ("ledger_attempts", "attempt_id"),
        ("ledger_operations", "operation_id"),
    )
]
_EXPIRE = _DELETE.format(table="ledger_texts", key="operation_id", time="expires_us")

_STATEMENTS: dict[type[Record], str] = {
    OperationOpened: _OPENED,
    OperationClosed: _CLOSED,
    AttemptIntent: _INTENT,
    AttemptTerminal: _TERMINAL,
    TextRecord: _TEXT,
}
