"""PostgreSQL over asyncpg, which comes with the extra `postgres`.

The pool connects when it is first needed, and again after a connection was lost; the statement that was under way then
raises `StorageUnavailable`. Behind a pooler that gives each transaction another server connection (PgBouncer in
transaction mode without `max_prepared_statements`), prepared statements cannot be kept: `statement_cache_size=0`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from router_service.storage.database import (
    ConstraintViolated,
    Dialect,
    Row,
    Session,
    StorageError,
    StorageUnavailable,
    Value,
    closed,
)

_WAITING_HELPS = ("08", "25006", "28", "3D", "40", "53", "55P03", "57", "58")
"""How a SQLSTATE begins that says: connection, a standby that only reads, credentials (in a rotation) and a database
that are not there (yet), a conflict of transactions, resources, a lock, an operator, the server's system."""

_NAMES_ONLY = "42"
"""SQLSTATE class of wrong statements: its messages repeat names of the statement, never values."""


async def open_postgres(
    url: str, *, connect_timeout: float, command_timeout: float, max_connections: int, statement_cache_size: int
) -> PostgresDatabase:
    """Prepare a pool; nothing is connected yet. Timeouts are in seconds.

    Raises `StorageError` where the URL is none that PostgreSQL knows.
    """
    try:
        urlsplit(url).port  # noqa: B018 - raises where it is no number; the pool would find out at the first statement
    except ValueError:
        raise _unusable_url() from None
    pool = await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=max_connections,
        timeout=connect_timeout,
        command_timeout=command_timeout,
        statement_cache_size=statement_cache_size,
        init=_sums_are_numbers,
        reset=_as_it_is,
    )
    return PostgresDatabase(pool, patience=connect_timeout + command_timeout)


def _unusable_url() -> StorageError:
    # Without a cause: its message may repeat the URL, and that holds the password.
    return StorageError(
        "The URL of the PostgreSQL database cannot be used: write postgresql://user:password@host:5432/database."
    )


async def _sums_are_numbers(connection: asyncpg.Connection) -> None:
    # PostgreSQL adds BIGINTs up to a NUMERIC, which would arrive as a Decimal.
    await connection.set_type_codec("numeric", schema="pg_catalog", encoder=str, decoder=_number, format="text")


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdigit() else float(text)


async def _as_it_is(_: asyncpg.Connection) -> None:
    # Nothing is ever set for a whole session, so that giving a connection back need not cost a round trip.
    return None


class PostgresDatabase:
    """One PostgreSQL database, through a pool of connections. `patience` bounds, in seconds, the wait for one of them
    and for the end of a statement that was given up."""

    dialect: Dialect = "postgresql"

    def __init__(self, pool: asyncpg.Pool, *, patience: float) -> None:
        self._pool = pool
        self._patience = patience

    async def fetch(self, sql: str, *args: Value) -> list[Row]:
        async with self._session() as session:
            return await session.fetch(sql, *args)

    async def execute(self, sql: str, *args: Value) -> int:
        async with self._session() as session:
            return await session.execute(sql, *args)

    async def execute_many(self, sql: str, rows: Iterable[Sequence[Value]]) -> None:
        async with self._session() as session:
            await session.execute_many(sql, rows)

    async def execute_script(self, sql: str) -> None:
        async with self._session() as session:
            await session.execute_script(sql)

    @asynccontextmanager
    async def transaction(self, *, statement_timeout: float | None = None) -> AsyncIterator[Session]:
        async with self._session(statement_timeout) as session:
            with _translating():
                transaction = session.connection.transaction()
                await transaction.start()
            try:
                yield session
                with _translating():
                    await transaction.commit()
            except BaseException:
                await _roll_back(session.connection)
                raise

    async def aclose(self) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def _session(self, statement_timeout: float | None = None) -> AsyncIterator[_PostgresSession]:
        if self._pool.is_closing():
            raise closed()
        try:
            with _translating():
                connection = await self._pool.acquire(timeout=self._patience)
        except ValueError:
            raise _unusable_url() from None
        try:
            yield _PostgresSession(connection, statement_timeout)
        finally:
            # A connection that cannot be given back is dropped by the pool; what was asked of it is over either way.
            with contextlib.suppress(Exception):
                await self._pool.release(connection, timeout=self._patience)


class _PostgresSession:
    """Runs statements on one connection."""

    dialect: Dialect = "postgresql"

    def __init__(self, connection: Any, timeout: float | None) -> None:
        self.connection = connection
        self._timeout = timeout

    async def fetch(self, sql: str, *args: Value) -> list[Row]:
        with _translating():
            return [tuple(record) for record in await self.connection.fetch(sql, *args, timeout=self._timeout)]

    async def execute(self, sql: str, *args: Value) -> int:
        with _translating():
            # Such as "INSERT 0 1" or "CREATE TABLE".
            status: str = await self.connection.execute(sql, *args, timeout=self._timeout)
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    async def execute_many(self, sql: str, rows: Iterable[Sequence[Value]]) -> None:
        with _translating():
            await self.connection.executemany(sql, rows, timeout=self._timeout)

    async def execute_script(self, sql: str) -> None:
        with _translating():
            await self.connection.execute(sql, timeout=self._timeout)


async def _roll_back(connection: Any) -> None:
    try:
        if connection.is_in_transaction():
            await connection.execute("ROLLBACK")
    except BaseException as exc:
        # Closing the connection rolls back as well, and needs nobody's answer; a lost one is closed already.
        with contextlib.suppress(asyncpg.InterfaceError):
            connection.terminate()
        if not isinstance(exc, Exception):
            raise


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except asyncpg.exceptions.ClientConfigurationError:
        raise _unusable_url() from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as exc:
        # Without its cause, whose text may hold arguments of the statement.
        raise _translated(exc) from None


def _translated(exc: Exception) -> StorageError:
    name = type(exc).__name__
    if isinstance(exc, OSError):  # a timeout is one
        return StorageUnavailable(f"PostgreSQL cannot be reached, or does not answer in time: {exc.strerror or name}.")
    state = getattr(exc, "sqlstate", None) or ""
    if state.startswith("23"):
        return ConstraintViolated(getattr(exc, "constraint_name", None) or "")
    if state.startswith(_WAITING_HELPS):
        return StorageUnavailable(f"PostgreSQL cannot be used now: {name}.")
    if state.startswith(_NAMES_ONLY):
        return StorageError(f"PostgreSQL refused a statement: {getattr(exc, 'message', None) or name}.")
    if not state and not isinstance(exc, asyncpg.DataError):
        # The driver's own errors: a connection closed under it, a pool that closes.
        return StorageUnavailable(f"The connection to PostgreSQL cannot be used: {name}.")
    return StorageError(f"PostgreSQL refused a statement: {name}.")
