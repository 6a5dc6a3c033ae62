"""One process's ledger, put together."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ledger_values import closed, intent, opened, terminal

from router_service.config.configuration import LedgerSettings
from router_service.ledger.keeping import LedgerKeeper, process_name
from router_service.ledger.store import SqlLedgerStore
from router_service.storage.database import Database


async def arrived(database: Database, table: str, count: int) -> None:
    async with asyncio.timeout(30):
        while (await database.fetch(f"SELECT count(*) FROM {table}"))[0][0] < count:  # noqa: S608, ASYNC110 - it tells nobody
            await asyncio.sleep(0.02)


async def test_what_is_recorded_arrives_by_itself(tmp_path: Path, store: SqlLedgerStore, database: Database) -> None:
    keeper = LedgerKeeper(tmp_path / "ledger", LedgerSettings())
    await keeper.start(database)
    keeper.journal.operation(opened())
    keeper.journal.intent(intent())
    await arrived(database, "ledger_attempts", 1)
    keeper.journal.terminal(terminal())
    keeper.journal.operation(closed())
    await keeper.aclose()
    assert await database.fetch("SELECT status, closed_by FROM ledger_attempts") == [("settled", "router")]
    assert await database.fetch("SELECT status, closed_by FROM ledger_operations") == [("OK", "router")]
    assert list((tmp_path / "ledger" / "journal").iterdir()) == []


async def test_what_was_recorded_before_there_was_a_database_arrives_too(
    tmp_path: Path, store: SqlLedgerStore, database: Database
) -> None:
    first = LedgerKeeper(tmp_path, LedgerSettings())
    first.journal.intent(intent())
    assert first.lag().bytes > 0
    await first.aclose()
    orphans: list[str] = []
    second = LedgerKeeper(
        tmp_path, LedgerSettings(), on_orphans=lambda found: orphans.extend(one.attempt_id for one in found)
    )
    await second.start(database)
    await arrived(database, "ledger_attempts", 1)
    await second.aclose()
    assert orphans == ["op-1-1"]
    assert await database.fetch("SELECT status FROM ledger_attempts") == [("indeterminate",)]


def test_no_two_processes_have_the_same_name() -> None:
    assert len({process_name() for _ in range(100)}) == 100
