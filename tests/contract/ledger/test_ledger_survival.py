"""Routers are killed and databases go away under load; the provider's own journal says what must be in the ledger."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from ledger_values import closed, intent, opened, terminal

from benchmarks.postgres_server import PostgresServer
from router_service.ledger.journal import Journal, JournalLimits
from router_service.ledger.shipper import Shipper, ShipperLimits
from router_service.ledger.store import SqlLedgerStore
from router_service.simulator import Simulator
from router_service.storage.database import Database, StorageUnavailable
from router_service.storage.opening import open_database

TESTS = Path(__file__).parents[2]
CALLERS = 30
LOAD = TESTS / "unit" / "ledger" / "journal_load.py"


async def test_killed_routers_leave_a_ledger_that_equals_the_providers_journal(
    tmp_path: Path, database_url: str, database: Database
) -> None:
    folder = tmp_path / "journal"
    async with Simulator(speed=20) as provider:
        for life in range(3):
            received = provider.journal.received
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                LOAD,
                folder,
                f"router-{life}",
                f"{provider.url('openai')}/chat/completions",
                database_url,
                env=os.environ | {"PYTHONPATH": str(TESTS)},
            )
            await provider.journal.wait_for(lambda _, after=received: provider.journal.received >= after + 150, 120)
            child.send_signal(signal.SIGKILL)
            await child.wait()
        dispatched = {entry.attempt_id: entry.billed.output_tokens for entry in provider.journal}

    journal = Journal(folder, "last", limits=JournalLimits(sync_interval=3600))
    orphans: list[str] = []
    store = SqlLedgerStore(database)
    shipper = Shipper(journal, store, on_orphans=lambda found: orphans.extend(one.attempt_id for one in found))
    await shipper.adopt()
    await shipper.ship()
    await shipper.aclose()

    rows = await database.fetch("SELECT attempt_id, status, output_tokens, closed_by FROM ledger_attempts")
    kept = {row[0]: row for row in rows}
    assert len(dispatched) >= 450
    assert dispatched.keys() <= kept.keys()
    assert {row[1] for row in rows} == {"settled", "indeterminate"}
    # Each router swept what the one before it left open; the last one's is left to us.
    indeterminate = {name for name, row in kept.items() if row[1] == "indeterminate"}
    assert set(orphans) == {name for name in indeterminate if name.startswith("router-2")}
    assert 0 < len(indeterminate) <= 3 * CALLERS
    settled = {name: row[2] for name, row in kept.items() if row[1] == "settled"}
    assert settled == {name: dispatched[name] for name in settled}
    assert await database.fetch("SELECT count(*) FROM ledger_operations WHERE closed_by IS NULL") == [(0,)]
    assert (shipper.refused, shipper.damaged) == (0, 0)
    assert not any(folder.iterdir())


async def test_postgresql_that_goes_away_costs_no_row(tmp_path: Path, postgres: PostgresServer) -> None:
    database = await open_database(postgres.new_database(), connect_timeout=30, command_timeout=30)
    journal = Journal(tmp_path, "router-1", limits=JournalLimits(sync_interval=3600))
    shipper = Shipper(journal, SqlLedgerStore(database), limits=ShipperLimits(batch_bytes=2_000))

    def call(number: int) -> None:
        journal.operation(opened(f"op-{number}"))
        journal.intent(intent(f"op-{number}-1"))
        journal.terminal(terminal(f"op-{number}-1"))
        journal.operation(closed(f"op-{number}"))

    try:
        for number in range(50):
            call(number)
        await shipper.ship()
        postgres.kill()
        for number in range(50, 100):
            call(number)
        with pytest.raises(StorageUnavailable):
            await shipper.ship()
        assert shipper.lag().bytes > 0
        postgres.start()
        await shipper.ship()
        rows = await database.fetch(
            "SELECT count(*), sum(cost_nano_usd) FROM ledger_attempts WHERE closed_by = 'router'"
        )
        assert rows == [(100, 100_000)]
        assert shipper.lag().bytes == 0
    finally:
        if not postgres.running():
            postgres.start()
        await shipper.aclose()
        await database.aclose()
