"""What the leaves see of a database: statements with `$1, $2`, rows as tuples, one error tree.

StorageError                 the statement failed
├── StorageUnavailable       the database cannot be reached, is busy, full or closed: later may help
└── ConstraintViolated       a unique, foreign or checked key says no
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol

Dialect = Literal["sqlite", "postgresql"]

Value = str | int | float | bytes | None
"""What a column holds. Times are integers, in microseconds since 1970; flags are 0 and 1."""

Row = tuple[Any, ...]
"""The columns of a row, in the statement's order, each a `Value`."""


class StorageError(Exception):
    """A statement failed. The message names neither its arguments nor the database's password."""


class StorageUnavailable(StorageError):
    """The database cannot be reached, is busy, full or closed. Whether a statement took effect is not known."""


class ConstraintViolated(StorageError):
    """The row would break a unique, foreign or checked key. `constraint` is what the database calls it."""

    def __init__(self, constraint: str) -> None:
        super().__init__(f"The database refused a row: {constraint or 'a constraint'} does not allow it.")
        self.constraint = constraint


class Session(Protocol):
    """Runs statements: a database, each statement for itself, or one transaction.

    Placeholders are `$1, $2 ...`, in both dialects and only for values. Types that both know: BIGINT, TEXT, BYTEA,
    DOUBLE PRECISION. A sum of BIGINT is an `int`. Every method raises `StorageError`.
    """

    @property
    def dialect(self) -> Dialect: ...

    async def fetch(self, sql: str, *args: Value) -> list[Row]:
        """The rows of a SELECT, or of what follows RETURNING."""
        ...

    async def execute(self, sql: str, *args: Value) -> int:
        """Run one statement; returns how many rows it inserted, updated or deleted."""
        ...

    async def execute_many(self, sql: str, rows: Iterable[Sequence[Value]]) -> None:
        """Run one statement for each row: all of them, or none. Far cheaper than one by one."""
        ...

    async def execute_script(self, sql: str) -> None:
        """Run several statements without arguments, each ended by a semicolon."""
        ...


class Database(Session, Protocol):
    """A database. It is safe to use from many tasks at once; `aclose` it in the end."""

    def transaction(self, *, statement_timeout: float | None = None) -> AbstractAsyncContextManager[Session]:
        """All statements of the block take effect at its end, or none where it raises.

        `statement_timeout` is for each statement, in seconds, in place of the database's own. In SQLite a transaction
        keeps all other writers waiting: do nothing in it but statements. Do not use the database itself in the block.
        Where the block is cancelled nothing took effect; where its commit is, that is not known.
        """
        ...

    async def aclose(self) -> None:
        """Finish what was begun, then close. Later statements raise `StorageUnavailable`."""
        ...


def closed() -> StorageUnavailable:
    """The error of a statement that comes after the end."""
    return StorageUnavailable("The database is closed: the router is shutting down.")
