"""SQLite from the standard library: one thread writes, one reads, the event loop never waits for a disk.

In memory there is one connection, so that readers wait for writers too.
A commit is durable when it returns as far as this process and its host's kernel are concerned: the write-ahead log
survives `kill -9`. With `synchronous=NORMAL` a power cut may take the last commits along, but never damages the file.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

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

T = TypeVar("T")

_BUSY_SECONDS = 5.0
"""How long a statement waits for another process that writes to the same file."""

_WAITING_HELPS = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
}


async def open_sqlite(path: Path | None) -> SqliteDatabase:
    """Open a file, which is made where it is missing, or without a path a database in memory.

    Raises `StorageUnavailable` where the file cannot be opened.
    """
    writer = _Worker("sqlite-writer", lambda: _connected(path))
    reader = writer if path is None else _Worker("sqlite-reader", lambda: _connected(path, reads_only=True))
    try:
        # The writer first: it makes the file that the reader opens.
        await writer.run(_nothing)
        await reader.run(_nothing)
    except StorageError as exc:
        await asyncio.gather(writer.aclose(), reader.aclose())
        raise StorageUnavailable(f"Cannot open the SQLite file {path}: {exc} Check its path and permissions.") from exc
    return SqliteDatabase(writer, reader)


def _nothing(connection: sqlite3.Connection) -> None:
    """Returns once the connection is there."""


def _connected(path: Path | None, *, reads_only: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        ":memory:" if path is None else path, timeout=_BUSY_SECONDS, isolation_level=None, cached_statements=256
    )
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = NORMAL")
    if reads_only:
        connection.execute("PRAGMA query_only = ON")
    else:
        connection.execute("PRAGMA journal_mode = WAL")
    return connection


class SqliteDatabase:
    """One SQLite database. Statements outside a transaction take effect one by one, in the order they were made."""

    dialect: Dialect = "sqlite"

    def __init__(self, writer: _Worker, reader: _Worker) -> None:
        self._writer = writer
        self._reader = reader
        self._session = _SqliteSession(writer)
        self._one_at_a_time = asyncio.Lock()

    async def fetch(self, sql: str, *args: Value) -> list[Row]:
        if self._reader is not self._writer and _only_reads(sql):
            return await self._reader.run(lambda connection: _fetched(connection, sql, args))
        async with self._one_at_a_time:
            return await self._session.fetch(sql, *args)

    async def execute(self, sql: str, *args: Value) -> int:
        async with self._one_at_a_time:
            return await self._session.execute(sql, *args)

    async def execute_many(self, sql: str, rows: Iterable[Sequence[Value]]) -> None:
        async with self.transaction() as transaction:
            await transaction.execute_many(sql, rows)

    async def execute_script(self, sql: str) -> None:
        async with self._one_at_a_time:
            await self._session.execute_script(sql)

    @asynccontextmanager
    async def transaction(self, *, statement_timeout: float | None = None) -> AsyncIterator[Session]:
        async with self._one_at_a_time:
            try:
                # From its beginning: a reader that turns writer may find that another process was quicker.
                await self._session.execute("BEGIN IMMEDIATE")
                yield self._session
                await self._session.execute("COMMIT")
            except BaseException:
                # Nobody waits for it: whatever is written next comes after it in the writer's queue.
                self._writer.post(_roll_back)
                raise

    async def aclose(self) -> None:
        async with self._one_at_a_time:
            await asyncio.gather(self._writer.aclose(), self._reader.aclose())


class _SqliteSession:
    """Runs statements in the writer's thread, inside whatever transaction is open there."""

    dialect: Dialect = "sqlite"

    def __init__(self, writer: _Worker) -> None:
        self._writer = writer

    async def fetch(self, sql: str, *args: Value) -> list[Row]:
        return await self._writer.run(lambda connection: _fetched(connection, sql, args))

    async def execute(self, sql: str, *args: Value) -> int:
        return await self._writer.run(lambda connection: max(0, connection.execute(sql, _named(args)).rowcount))

    async def execute_many(self, sql: str, rows: Iterable[Sequence[Value]]) -> None:
        named = [_named(row) for row in rows]
        await self._writer.run(lambda connection: connection.executemany(sql, named))

    async def execute_script(self, sql: str) -> None:
        def run(connection: sqlite3.Connection) -> None:
            # Not `executescript`, which would commit the transaction first.
            for statement in _statements(sql):
                connection.execute(statement)

        await self._writer.run(run)


class _Worker:
    """A thread that owns one connection and runs jobs on it in order."""

    def __init__(self, name: str, connect: Callable[[], sqlite3.Connection]) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], bool]] = queue.SimpleQueue()
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._closing: asyncio.Future[None] | None = None
        # A daemon: a process that ends without closing shall not hang, and what was committed stays.
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a job; raises `StorageError`. A job whose caller left before its turn is not run."""
        if self._closing is not None:
            raise closed()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def job() -> bool:
            if future.cancelled():
                return True
            try:
                result = work(self._connected())
            except (sqlite3.Error, OverflowError) as exc:
                _tell(loop, future, error=_translated(exc))
            except Exception as exc:  # what is wrong with a job is its caller's, and not the end of the thread
                _tell(loop, future, error=exc)
            else:
                _tell(loop, future, result=result)
            return True

        self._jobs.put(job)
        return await future

    def post(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """Run a job whose outcome nobody waits for."""

        def job() -> bool:
            if self._connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    work(self._connection)
            return True

        if self._closing is None:
            self._jobs.put(job)

    async def aclose(self) -> None:
        """Run what is queued, close the connection and end the thread."""
        if self._closing is None:
            loop = asyncio.get_running_loop()
            future = self._closing = loop.create_future()

            def job() -> bool:
                if self._connection is not None:
                    self._connection.close()
                _tell(loop, future, result=None)
                return False

            self._jobs.put(job)
        await asyncio.shield(self._closing)

    def _run(self) -> None:
        while self._jobs.get()():
            pass

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection


def _tell(
    loop: asyncio.AbstractEventLoop,
    future: asyncio.Future[T],
    *,
    result: T | None = None,
    error: BaseException | None = None,
) -> None:
    def settle() -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    # A loop that is closed has nobody left to tell.
    if not loop.is_closed():
        loop.call_soon_threadsafe(settle)


def _fetched(connection: sqlite3.Connection, sql: str, args: Sequence[Value]) -> list[Row]:
    return connection.execute(sql, _named(args)).fetchall()


def _named(args: Sequence[Value]) -> dict[str, Value]:
    # To SQLite `$1` is a parameter whose name is 1.
    return {str(number): value for number, value in enumerate(args, 1)}


def _only_reads(sql: str) -> bool:
    return sql.lstrip()[:6].upper() == "SELECT"


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.rollback()


def _translated(exc: sqlite3.Error | OverflowError) -> StorageError:
    # SQLite's messages name tables and columns, never values.
    if isinstance(exc, sqlite3.IntegrityError):
        error: StorageError = ConstraintViolated(str(exc).partition("failed: ")[2] or str(exc))
    elif getattr(exc, "sqlite_errorcode", 0) & 0xFF in _WAITING_HELPS:
        error = StorageUnavailable(f"SQLite cannot be used now: {exc}.")
    else:
        error = StorageError(f"SQLite refused a statement: {exc}.")
    error.__cause__ = exc
    return error
