"""What every database does alike."""

from __future__ import annotations

import asyncio
import traceback

import pytest

from router_service.storage.database import (
    ConstraintViolated,
    Database,
    StorageError,
    StorageUnavailable,
)

SECRET = "rk_a_value_that_must_not_be_told"  # an argument


@pytest.fixture(autouse=True)
async def items(database: Database) -> None:
    await database.execute_script(
        """
        CREATE TABLE items (
            id BIGINT PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            amount BIGINT,
            share DOUBLE PRECISION,
            content BYTEA
        );
        CREATE TABLE parts (
            id BIGINT PRIMARY KEY,
            item BIGINT NOT NULL REFERENCES items (id)
        );
        """
    )


async def add(database: Database, *ids: int) -> None:
    rows = [(number, f"item {number}", number) for number in ids]
    await database.execute_many("INSERT INTO items (id, name, amount) VALUES ($1, $2, $3)", rows)


async def ids(database: Database) -> list[int]:
    return [row[0] for row in await database.fetch("SELECT id FROM items ORDER BY id")]


async def test_values_come_back_as_they_went_in(database: Database) -> None:
    row = (2**62, "naïve 你好 ' -- \n", -(2**63), 0.1, bytes(range(256)))
    sql = "INSERT INTO items (id, name, amount, share, content) VALUES ($1, $2, $3, $4, $5)"
    assert await database.execute(sql, *row) == 1
    assert await database.fetch("SELECT id, name, amount, share, content FROM items") == [row]


async def test_nothing_is_none(database: Database) -> None:
    await database.execute("INSERT INTO items (id, name, amount) VALUES ($1, $2, $3)", 1, "one", None)
    assert await database.fetch("SELECT amount, share, content FROM items") == [(None, None, None)]


async def test_a_placeholder_may_be_used_twice_and_in_any_order(database: Database) -> None:
    await add(database, 1, 2, 3)
    sql = "SELECT id FROM items WHERE name = $2 OR id = $1 OR amount = $1 ORDER BY id"
    assert await database.fetch(sql, 1, "item 3") == [(1,), (3,)]


async def test_a_dollar_in_a_text_is_no_placeholder(database: Database) -> None:
    await database.execute("INSERT INTO items (id, name) VALUES ($1, 'costs $1')", 7)
    assert await database.fetch("SELECT name FROM items") == [("costs $1",)]


async def test_execute_counts_the_rows_it_changed(database: Database) -> None:
    await add(database, 1, 2, 3)
    assert await database.execute("UPDATE items SET amount = 0 WHERE id > $1", 1) == 2
    assert await database.execute("DELETE FROM items WHERE id = $1", 9) == 0
    assert await database.execute("CREATE TABLE more (id BIGINT)") == 0
    conflict = "INSERT INTO items (id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING"
    assert await database.execute(conflict, 1, "again") == 0


async def test_returning_gives_rows(database: Database) -> None:
    await add(database, 1)
    assert await database.fetch("UPDATE items SET amount = amount + $1 RETURNING id, amount", 4) == [(1, 5)]
    assert await database.fetch("SELECT amount FROM items") == [(5,)]


async def test_a_sum_is_a_whole_number_and_an_average_is_not(database: Database) -> None:
    await add(database, 1, 2)
    (row,) = await database.fetch("SELECT SUM(amount), COUNT(*), AVG(amount), SUM(amount) * 2 FROM items")
    assert row == (3, 2, 1.5, 6)
    assert [type(value) for value in row] == [int, int, float, int]


async def test_execute_many_is_all_or_nothing(database: Database) -> None:
    with pytest.raises(ConstraintViolated):
        await add(database, 1, 2, 2)
    assert await ids(database) == []
    await add(database)
    assert await ids(database) == []


async def test_a_constraint_is_told_by_name_and_without_values(database: Database) -> None:
    sql = "INSERT INTO items (id, name) VALUES ($1, $2)"
    await database.execute(sql, 1, SECRET)
    with pytest.raises(ConstraintViolated, match="items") as unique:
        await database.execute(sql, 2, SECRET)
    with pytest.raises(ConstraintViolated):
        await database.execute("INSERT INTO parts (id, item) VALUES ($1, $2)", 1, 99)
    assert SECRET not in told(unique.value)


@pytest.mark.parametrize(
    ("sql", "argument"),
    [
        ("SELECT nothing FROM items WHERE name = $1", SECRET),
        ("SELEKT $1", SECRET),
        ("SELECT * FROM missing WHERE name = $1", SECRET),
    ],
)
async def test_a_wrong_statement_is_an_error_without_its_arguments(database: Database, sql: str, argument: str) -> None:
    with pytest.raises(StorageError) as raised:
        await database.fetch(sql, argument)
    assert not isinstance(raised.value, StorageUnavailable)
    assert SECRET not in told(raised.value)


@pytest.mark.parametrize("amount", [2**63, -(2**63) - 1, object()])
async def test_a_value_that_no_column_holds_is_an_error(database: Database, amount: object) -> None:
    with pytest.raises(StorageError):
        await database.execute("INSERT INTO items (id, name, amount) VALUES (1, 'one', $1)", amount)  # type: ignore[arg-type]
    assert await ids(database) == []


def told(error: BaseException) -> str:
    """All that a log would show of an error."""
    return "".join(traceback.format_exception(error))


# Transactions


async def test_a_transaction_takes_effect_at_its_end(database: Database) -> None:
    async with database.transaction() as transaction:
        assert transaction.dialect == database.dialect
        await transaction.execute("INSERT INTO items (id, name) VALUES ($1, $2)", 1, "one")
        await transaction.execute_many("INSERT INTO items (id, name) VALUES ($1, $2)", [(2, "two"), (3, "three")])
        assert await transaction.fetch("SELECT COUNT(*) FROM items") == [(3,)]
    assert await ids(database) == [1, 2, 3]


async def test_a_transaction_that_raises_has_no_effect(database: Database) -> None:
    async def insert(times: int, error: type[Exception]) -> None:
        async with database.transaction() as transaction:
            for _ in range(times):
                await transaction.execute("INSERT INTO items (id, name) VALUES ($1, $2)", 1, "one")
            raise error

    with pytest.raises(LookupError):
        await insert(1, LookupError)
    with pytest.raises(ConstraintViolated):
        await insert(2, LookupError)
    assert await ids(database) == []
    await add(database, 5)
    assert await ids(database) == [5]


async def test_a_cancelled_transaction_has_no_effect_and_blocks_nobody(database: Database) -> None:
    inside = asyncio.Event()

    async def begin_and_wait() -> None:
        async with database.transaction() as transaction:
            await transaction.execute("INSERT INTO items (id, name) VALUES ($1, $2)", 1, "one")
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(begin_and_wait())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await add(database, 2)
    assert await ids(database) == [2]


async def test_statements_cancelled_at_any_moment_leave_the_database_usable(database: Database) -> None:
    async def work(number: int) -> None:
        async with database.transaction() as transaction:
            await transaction.execute("INSERT INTO items (id, name) VALUES ($1, $2)", number, f"item {number}")
            await transaction.fetch("SELECT COUNT(*) FROM items")
            await transaction.execute("INSERT INTO parts (id, item) VALUES ($1, $1)", number)

    tasks = [asyncio.create_task(work(number)) for number in range(40)]
    for number, task in enumerate(tasks):
        for _ in range(number % 7):
            await asyncio.sleep(0)
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await add(database, 1000)
    items_in = await database.fetch("SELECT id FROM items WHERE id < 1000 ORDER BY id")
    assert items_in == await database.fetch("SELECT id FROM parts ORDER BY id")


async def test_writers_do_not_lose_each_others_updates(database: Database) -> None:
    await add(database, 1)

    async def increase() -> None:
        async with database.transaction() as transaction:
            await transaction.execute("UPDATE items SET amount = amount + 1 WHERE id = 1")
            (row,) = await transaction.fetch("SELECT amount FROM items WHERE id = 1")
            await transaction.execute("UPDATE items SET share = $1 WHERE id = 1", float(row[0]))

    await asyncio.gather(*(increase() for _ in range(25)))
    assert await database.fetch("SELECT amount, share FROM items") == [(26, 26.0)]


async def test_what_is_not_committed_is_not_seen_outside(database: Database) -> None:
    looks: list[asyncio.Task[list[int]]] = []

    async def insert_and_fail() -> None:
        async with database.transaction() as transaction:
            await transaction.execute("INSERT INTO items (id, name) VALUES ($1, $2)", 1, "one")
            # A database in memory lets it wait for the end.
            looks.append(asyncio.create_task(ids(database)))
            await transaction.fetch("SELECT COUNT(*) FROM items")
            raise LookupError

    with pytest.raises(LookupError):
        await insert_and_fail()
    assert await looks[0] == []


# The end


async def test_closing_waits_for_what_was_begun(database: Database) -> None:
    writes = [asyncio.create_task(add(database, number)) for number in range(8)]
    await asyncio.sleep(0)
    await database.aclose()
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert all(outcome is None or isinstance(outcome, StorageUnavailable) for outcome in outcomes)
    assert outcomes[0] is None


async def test_a_closed_database_says_so(database: Database) -> None:
    await database.aclose()
    await database.aclose()
    for attempt in (database.fetch("SELECT 1"), database.execute("SELECT 1"), add(database, 1)):
        with pytest.raises(StorageUnavailable, match="closed"):
            await attempt
    with pytest.raises(StorageUnavailable, match="closed"):
        async with database.transaction():
            pass
