"""Numbered SQL files that bring a database to the shape this version needs.

`NNNN_name.sql` serves both dialects; `NNNN_name.sqlite.sql` and `NNNN_name.postgresql.sql` serve one each. Each file
runs in a transaction of its own, and what has run is recorded in `schema_migrations`. Replicas that start together do
not race: the first takes a lock, the others find nothing left to do. A released file is never changed, only followed.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from typing import Protocol

from router_service.storage.database import Database, Dialect, StorageError

logger = logging.getLogger(__name__)

_FILE = re.compile(r"(?P<version>\d{4})_(?P<name>\w+)(?:\.(?P<dialect>sqlite|postgresql))?\.sql")
_LOCK = 0x6C6C6D72
"""Key of the advisory lock: "llmr"."""
_SECONDS = 600.0
"""How long one statement may take, another replica's migration before it included."""

_RECORD = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version BIGINT PRIMARY KEY,
    name TEXT NOT NULL
);
"""


class File(Protocol):
    """What is needed of a file or a packaged resource."""

    @property
    def name(self) -> str: ...

    def read_text(self, encoding: str) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One step of the schema, as SQL for one dialect."""

    version: int
    name: str
    sql: str


def migrations(dialect: Dialect, found: Iterable[File] | None = None) -> tuple[Migration, ...]:
    """The steps for a dialect in their order, by default the packaged ones.

    Raises `ValueError` where a number is taken twice or a file's name is none.
    """
    steps: dict[int, Migration] = {}
    for file in (files("router_service.storage") / "migrations").iterdir() if found is None else found:
        match = _FILE.fullmatch(file.name)
        if match is None:
            raise ValueError(f"{file.name} is not the name of a migration: call it NNNN_name.sql")
        if match["dialect"] not in (None, dialect):
            continue
        version = int(match["version"])
        if version in steps:
            raise ValueError(f"Migration {version} is there twice: {steps[version].name} and {match['name']}")
        steps[version] = Migration(version=version, name=match["name"], sql=file.read_text(encoding="utf-8"))
    return tuple(steps[version] for version in sorted(steps))


async def migrate(database: Database, steps: Iterable[Migration] | None = None) -> tuple[str, ...]:
    """Run the steps that the database lacks, by default the packaged ones; returns their names.

    Steps that this version does not know stay: a newer replica has run them. Raises `StorageUnavailable`, and
    `StorageError` where a step fails or another one ran under its number.
    """
    done = []
    for step in migrations(database.dialect) if steps is None else steps:
        if await _run(database, step):
            done.append(f"{step.version:04}_{step.name}")
            logger.info("the database has migration %04d_%s now", step.version, step.name)
    return tuple(done)


async def _run(database: Database, step: Migration) -> bool:
    async with database.transaction(statement_timeout=_SECONDS) as transaction:
        if database.dialect == "postgresql":
            # Until the transaction's end. SQLite has but one writer anyway.
            await transaction.fetch("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await transaction.execute_script(_RECORD)
        rows = await transaction.fetch("SELECT name FROM schema_migrations WHERE version = $1", step.version)
        if rows:
            if rows[0][0] != step.name:
                raise StorageError(
                    f"The database has migration {step.version:04}_{rows[0][0]}, where this version of the router has "
                    f"{step.version:04}_{step.name}: it belongs to another program or an unreleased version."
                )
            return False
        await transaction.execute_script(step.sql)
        await transaction.execute(
            "INSERT INTO schema_migrations (version, name) VALUES ($1, $2)", step.version, step.name
        )
        return True
