"""How a database comes to its shape, and stays right when many bring it there at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from router_service.storage.database import Database, StorageError
from router_service.storage.migrate import Migration, migrate, migrations
from router_service.storage.opening import open_database


@dataclass
class Written:
    """A file of migrations that exists in the test only."""

    name: str
    text: str = ""

    def read_text(self, encoding: str) -> str:
        return self.text


FIRST = Migration(version=1, name="first", sql="CREATE TABLE a (x BIGINT);\nINSERT INTO a VALUES (1);")
SECOND = Migration(version=2, name="second", sql="-- a comment; with a semicolon\nUPDATE a SET x = x + 1;")
BROKEN = Migration(version=3, name="broken", sql="UPDATE a SET x = 99;\nUPDATE missing SET x = 1;")


async def test_steps_run_once_and_in_order(database: Database) -> None:
    assert await migrate(database, [FIRST]) == ("0001_first",)
    assert await migrate(database, [FIRST, SECOND]) == ("0002_second",)
    assert await migrate(database, [FIRST, SECOND]) == ()
    assert await database.fetch("SELECT x FROM a") == [(2,)]


async def test_a_step_that_fails_leaves_nothing_behind(database: Database) -> None:
    with pytest.raises(StorageError):
        await migrate(database, [FIRST, BROKEN])
    assert await database.fetch("SELECT x FROM a") == [(1,)]
    assert await migrate(database, [FIRST, SECOND]) == ("0002_second",)


async def test_a_step_merged_late_runs_all_the_same(database: Database) -> None:
    await migrate(database, [FIRST])
    await migrate(database, [FIRST, Migration(version=9, name="ninth", sql="UPDATE a SET x = 10;")])
    assert await migrate(database, [FIRST, SECOND]) == ("0002_second",)


async def test_another_step_under_the_same_number_is_refused(database: Database) -> None:
    await migrate(database, [FIRST])
    with pytest.raises(StorageError, match="0001_first, where this version of the router has 0001_other"):
        await migrate(database, [Migration(version=1, name="other", sql="SELECT 1;")])


async def test_replicas_that_start_together_do_not_race(shared_url: str) -> None:
    replicas = [await open_database(shared_url) for _ in range(6)]
    done = await asyncio.gather(*(migrate(replica, [FIRST, SECOND]) for replica in replicas))
    assert sorted(step for steps in done for step in steps) == ["0001_first", "0002_second"]
    assert await replicas[0].fetch("SELECT x FROM a") == [(2,)]
    await asyncio.gather(*(replica.aclose() for replica in replicas))


async def test_the_packaged_steps_run(database: Database) -> None:
    assert await migrate(database)
    assert await migrate(database) == ()


def test_a_file_serves_its_dialect_or_both() -> None:
    files = [
        Written("0002_both.sql", "2"),
        Written("0001_one.sqlite.sql", "1 sqlite"),
        Written("0001_one.postgresql.sql", "1 postgresql"),
    ]
    assert [step.sql for step in migrations("sqlite", files)] == ["1 sqlite", "2"]
    assert [step.sql for step in migrations("postgresql", files)] == ["1 postgresql", "2"]


def test_a_number_is_taken_once_and_a_name_is_understood() -> None:
    with pytest.raises(ValueError, match="Migration 1 is there twice: a and b"):
        migrations("sqlite", [Written("0001_a.sql"), Written("0001_b.sqlite.sql")])
    with pytest.raises(ValueError, match=r"1_a\.sql is not the name of a migration"):
        migrations("sqlite", [Written("1_a.sql")])
