"""What is particular to PostgreSQL: it goes away and comes back."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import pytest

from benchmarks.postgres_server import PostgresServer
from router_service.storage.database import Database, StorageError, StorageUnavailable
from router_service.storage.opening import open_database

PASSWORD = "hunter2"


@pytest.fixture
def server(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """The server, which runs again after the test whatever that did to it."""
    yield postgres
    if not postgres.running():
        postgres.start()


@pytest.fixture
async def database(server: PostgresServer) -> AsyncIterator[Database]:
    url = server.new_database()
    opened = await open_database(url, connect_timeout=30, command_timeout=30, max_connections=2)
    await opened.execute("CREATE TABLE t (x BIGINT)")
    yield opened
    await opened.aclose()


@pytest.fixture
async def hurried(server: PostgresServer) -> AsyncIterator[Database]:
    """A database that is given up soon; a busy machine may have it given up though nothing is wrong with it."""
    opened = await open_database(server.new_database(), connect_timeout=1, command_timeout=1, max_connections=2)
    yield opened
    await opened.aclose()


async def answered(database: Database) -> list[tuple[object, ...]]:
    """What a database says that is there, though it may be late."""
    async with asyncio.timeout(60):
        while True:
            with suppress(StorageUnavailable):
                return list(await database.fetch("SELECT 1"))


async def test_a_restart_is_outlived(server: PostgresServer, database: Database) -> None:
    await database.execute("INSERT INTO t VALUES (1)")
    server.stop()
    with pytest.raises(StorageUnavailable):
        await database.execute("INSERT INTO t VALUES (2)")
    with pytest.raises(StorageUnavailable):
        await database.execute_many("INSERT INTO t VALUES ($1)", [(2,)])
    server.start()
    assert await database.fetch("SELECT x FROM t") == [(1,)]


async def test_a_server_killed_in_a_transaction_has_rolled_it_back(server: PostgresServer, database: Database) -> None:
    async def insert_on_both_sides_of_a_crash() -> None:
        async with database.transaction() as transaction:
            await transaction.execute("INSERT INTO t VALUES (1)")
            server.kill()
            await transaction.execute("INSERT INTO t VALUES (2)")

    with pytest.raises(StorageUnavailable):
        await insert_on_both_sides_of_a_crash()
    server.start()
    assert await database.fetch("SELECT x FROM t") == []


async def test_a_server_that_falls_silent_is_given_up_in_time(server: PostgresServer, hurried: Database) -> None:
    await answered(hurried)
    server.pause()
    try:
        # Connect and command timeout, for the statement and for giving up the connection; without them, for ever.
        async with asyncio.timeout(60):
            outcomes = await asyncio.gather(*(hurried.fetch("SELECT 1") for _ in range(5)), return_exceptions=True)
    finally:
        server.resume()
    assert [type(outcome) for outcome in outcomes] == [StorageUnavailable] * 5
    assert await answered(hurried) == [(1,)]


async def test_more_statements_than_connections_wait_for_each_other(database: Database) -> None:
    await asyncio.gather(*(database.execute("INSERT INTO t VALUES ($1)", number) for number in range(50)))
    assert await database.fetch("SELECT COUNT(*) FROM t") == [(50,)]


async def test_a_statement_that_takes_too_long_is_given_up(hurried: Database, database: Database) -> None:
    await answered(hurried)
    with pytest.raises(StorageUnavailable, match="in time"):
        await hurried.fetch("SELECT pg_sleep(30)")
    assert await answered(hurried) == [(1,)]
    async with database.transaction(statement_timeout=0.05) as transaction:
        with pytest.raises(StorageUnavailable, match="in time"):
            await transaction.fetch("SELECT pg_sleep(30)")
    assert await database.fetch("SELECT 1") == [(1,)]


async def test_a_server_that_is_down_does_not_hinder_opening() -> None:
    url = f"postgresql://router:{PASSWORD}@/x?host=/tmp/nobody-is-here"
    database = await open_database(url, connect_timeout=30)
    with pytest.raises(StorageUnavailable) as raised:
        await database.fetch("SELECT 1")
    assert PASSWORD not in str(raised.value)
    await database.aclose()


async def test_a_wrong_argument_is_told_without_its_value(database: Database) -> None:
    with pytest.raises(StorageError) as raised:
        await database.execute("INSERT INTO t VALUES ($1)", PASSWORD)
    assert not isinstance(raised.value, StorageUnavailable)
    assert PASSWORD not in str(raised.value)
    assert raised.value.__suppress_context__


@pytest.mark.parametrize("url", [f"postgresql://router:{PASSWORD}@host:port/x", f"postgresql://u:{PASSWORD}@[/x"])
async def test_an_unusable_url_is_told_without_its_password(url: str) -> None:
    with pytest.raises(StorageError) as raised:
        await open_database(url)
    assert PASSWORD not in str(raised.value)


async def test_a_missing_extra_is_told_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "router_service.storage.postgres", raising=False)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(StorageError, match=r"pip install 'llmrouter\[postgres\]'"):
        await open_database("postgresql://host/x")


async def test_statements_need_not_be_kept_for_a_pooler(server: PostgresServer) -> None:
    database = await open_database(server.new_database(), statement_cache_size=0)
    assert await database.fetch("SELECT $1::BIGINT", 3) == [(3,)]
    assert await database.fetch("SELECT COUNT(*) FROM pg_prepared_statements") == [(0,)]
    await database.aclose()
