"""What is particular to SQLite: files, threads, other processes."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from router_service.storage.database import StorageError, StorageUnavailable
from router_service.storage.opening import open_database


async def test_a_file_keeps_what_was_written(tmp_path: Path) -> None:
    for expected in (0, 1, 2):
        database = await open_database("sqlite:///kept.db", directory=tmp_path)
        await database.execute("CREATE TABLE IF NOT EXISTS t (x BIGINT)")
        assert await database.fetch("SELECT COUNT(*) FROM t") == [(expected,)]
        await database.execute("INSERT INTO t VALUES ($1)", expected)
        await database.aclose()
    assert (tmp_path / "kept.db").exists()


async def test_a_file_is_written_ahead_and_keeps_its_keys(tmp_path: Path) -> None:
    database = await open_database(f"sqlite:///{tmp_path}/x.db")
    pragmas = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
    found = [(await database.fetch(f"PRAGMA {name}"))[0][0] for name in pragmas]
    assert found == ["wal", 1, 1, 5000]
    await database.aclose()


async def test_a_file_that_cannot_be_opened_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match=r"missing/x\.db.*path and permissions"):
        await open_database(f"sqlite:///{tmp_path}/missing/x.db")
    (tmp_path / "text.db").write_text("This is no database. " * 100)
    with pytest.raises(StorageError, match=r"text\.db"):
        await open_database(f"sqlite:///{tmp_path}/text.db")


async def test_an_unknown_url_is_refused_without_repeating_it() -> None:
    with pytest.raises(StorageError, match="write sqlite:///file") as raised:
        await open_database("mysql://root:hunter2@db/x")
    assert "hunter2" not in str(raised.value)


async def test_a_writer_waits_for_another_process(tmp_path: Path) -> None:
    database = await open_database(f"sqlite:///{tmp_path}/x.db")
    await database.execute("CREATE TABLE t (x BIGINT)")
    other = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    write = asyncio.create_task(database.execute("INSERT INTO t VALUES (1)"))
    # Readers do not wait for it, and by then the writer has been handed its statement.
    assert await database.fetch("SELECT COUNT(*) FROM t") == [(0,)]
    assert not write.done()
    other.execute("COMMIT")
    assert await write == 1
    other.close()
    await database.aclose()


async def test_reads_go_on_while_a_transaction_is_open(tmp_path: Path) -> None:
    database = await open_database(f"sqlite:///{tmp_path}/x.db")
    await database.execute("CREATE TABLE t (x BIGINT)")
    async with database.transaction() as transaction:
        await transaction.execute("INSERT INTO t VALUES (1)")
        assert await database.fetch("SELECT COUNT(*) FROM t") == [(0,)]
    assert await database.fetch("SELECT COUNT(*) FROM t") == [(1,)]
    await database.aclose()


async def test_the_event_loop_goes_on_during_a_long_statement(tmp_path: Path) -> None:
    database = await open_database(f"sqlite:///{tmp_path}/x.db")
    counting = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) SELECT MAX(i) FROM n"
    task = asyncio.create_task(database.fetch(counting, 300_000))
    turns = 0
    while not task.done():
        turns += 1
        await asyncio.sleep(0)
    assert await task == [(300_000,)]
    assert turns > 10
    await database.aclose()


async def test_closing_ends_the_threads() -> None:
    def ours() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name.startswith("sqlite-")}

    before = ours()
    database = await open_database("sqlite://")
    (thread,) = ours() - before
    await database.aclose()
    thread.join(timeout=60)
    assert not thread.is_alive()
