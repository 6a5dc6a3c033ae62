"""The ledger's rows as CSV or JSON lines, for whoever keeps accounts elsewhere."""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator, Sequence
from enum import StrEnum
from typing import TextIO

import msgspec

from router_service.ledger.records import microseconds
from router_service.ledger.store import ATTEMPT_COLUMNS, OPERATION_COLUMNS
from router_service.storage.database import Database, Row

_PAGE = 2_000


class Exported(StrEnum):
    """What can be exported: one row a call, or one row an attempt."""

    CALLS = "calls"
    ATTEMPTS = "attempts"


class ExportFormat(StrEnum):
    """How rows are written."""

    CSV = "csv"
    JSONL = "jsonl"


_TABLES = {
    Exported.CALLS: ("ledger_operations", "operation_id", OPERATION_COLUMNS),
    Exported.ATTEMPTS: ("ledger_attempts", "attempt_id", ATTEMPT_COLUMNS),
}


async def pages(database: Database, what: Exported, since: float, until: float) -> AsyncIterator[list[Row]]:
    """Rows that began from `since` to before `until` (seconds since the epoch), the oldest first, some at a time.

    Each page starts behind the last row of the one before, so that rows added meanwhile shift nothing.
    """
    table, key, columns = _TABLES[what]
    sql = (
        f"SELECT {', '.join(columns)} FROM {table} "  # noqa: S608 - names of this file only
        f"WHERE (started_us > $1 OR (started_us = $1 AND {key} > $2)) AND started_us < $3 "
        f"ORDER BY started_us, {key} LIMIT $4"
    )
    at, began = columns.index(key), columns.index("started_us")
    position: tuple[int, str] = (microseconds(since), "")
    while rows := await database.fetch(sql, *position, microseconds(until), _PAGE):
        yield rows
        position = (rows[-1][began], rows[-1][at])


async def export(
    database: Database, what: Exported, form: ExportFormat, since: float, until: float, out: TextIO
) -> int:
    """Write all rows to `out`; returns how many. Raises `StorageError`, and `OSError` where `out` takes no more."""
    columns = _TABLES[what][2]
    count = 0
    if form is ExportFormat.CSV:
        csv.writer(out).writerow(columns)
    async for rows in pages(database, what, since, until):
        count += len(rows)
        if form is ExportFormat.CSV:
            csv.writer(out).writerows(map(_harmless, rows))
        else:
            out.writelines(msgspec.json.encode(dict(zip(columns, row, strict=True))).decode() + "\n" for row in rows)
    return count


def _harmless(row: Row) -> Sequence[object]:
    """Texts that a spreadsheet would take for a formula get an apostrophe before them."""
    return [f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value for value in row]
