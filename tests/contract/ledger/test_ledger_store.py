"""What every store of the ledger does, whatever database it lies in."""

from __future__ import annotations

import itertools
import random

import pytest
from ledger_values import START_US, closed, intent, opened, terminal

from router_service.ledger.records import swept_closing, swept_terminal
from router_service.ledger.store import SqlLedgerStore
from router_service.storage.database import StorageError

DAY_US = 86_400_000_000


async def attempts(database):
    return await database.fetch(
        "SELECT attempt_id, status, closed_by, cost_nano_usd, reserved_nano_usd FROM ledger_attempts "
        "ORDER BY attempt_id"
    )


async def operations(database):
    return await database.fetch(
        "SELECT operation_id, request_id, status, closed_by FROM ledger_operations ORDER BY operation_id"
    )


async def test_both_halves_of_a_row_meet_in_it(store, database):
    await store.add([opened(), intent(reserved_nano_usd=5_000)])
    assert await attempts(database) == [("op-1-1", None, None, None, 5_000)]
    await store.add([terminal(), closed()])
    assert await attempts(database) == [("op-1-1", "settled", "router", 1_000, 5_000)]
    assert await operations(database) == [("op-1", "req-op-1", "OK", "router")]


async def test_every_column_comes_back(store, database):
    record = opened(
        key_id="k1",
        needs=("tools", "vision"),
        labels={"team": "blue"},
        asked_output_tokens=700,
        stream=True,
        complexity="simple",
    )
    await store.add([record])
    [row] = await database.fetch(
        "SELECT key_id, needs, labels, asked_output_tokens, stream, complexity, max_cost_nano_usd "
        "FROM ledger_operations"
    )
    assert row == ("k1", "tools,vision", '{"team":"blue"}', 700, 1, "simple", None)


async def test_shipping_a_history_again_changes_nothing(store, database):
    history = [opened(), intent(), terminal(), closed()]
    await store.add(history)
    before = await attempts(database), await operations(database)
    for start in range(len(history)):
        await store.add(history[start:])
    assert (await attempts(database), await operations(database)) == before


async def test_a_call_opened_before_its_decision_is_completed_by_it_in_whatever_order_they_come(store, database):
    undecided = {"complexity": "", "rule": "", "fingerprint": ""}
    decided = {"complexity": "complex", "rule": "hard", "fingerprint": "f1", "input_tokens": 7}
    for number, order in enumerate(itertools.permutations(range(3))):
        operation_id = f"op-{number}"
        records = [opened(operation_id, **undecided), opened(operation_id, **decided), closed(operation_id)]
        for position in order:
            await store.add([records[position]])
            await store.add([records[position]])
    rows = await database.fetch(
        "SELECT DISTINCT complexity, rule, fingerprint, input_tokens, status FROM ledger_operations"
    )
    assert [tuple(row) for row in rows] == [("complex", "hard", "f1", 7, "OK")]


async def test_the_first_end_that_a_router_tells_stays(store, database):
    await store.add([intent(), terminal(cost_nano_usd=7)])
    await store.add([terminal(cost_nano_usd=8)])
    assert (await attempts(database))[0][3] == 7


async def test_the_routers_word_beats_a_sweeps_in_whatever_order_they_come(store, database):
    for number, order in enumerate(itertools.permutations(range(5))):
        operation_id, attempt_id = f"op-{number:03}", f"op-{number:03}-1"
        begun = intent(attempt_id, reserved_nano_usd=9)
        records = [
            begun,
            swept_terminal(begun),
            terminal(attempt_id),
            closed(operation_id),
            swept_closing(operation_id),
        ]
        await store.add([opened(operation_id)])
        for position in order:
            await store.add([records[position]])
    assert {row[1:] for row in await attempts(database)} == {("settled", "router", 1_000, 9)}
    assert {row[2:4] for row in await operations(database)} == {("OK", "router")}


async def test_any_order_with_any_repetition_gives_the_same_rows(store, database):
    records = [record for n in range(6) for record in _history(n)]
    await store.add(records)
    wanted = await attempts(database), await operations(database)
    for seed in range(5):
        for table in ("ledger_attempts", "ledger_operations"):
            await database.execute(f"DELETE FROM {table}")  # noqa: S608
        shuffled = records * 2
        random.Random(seed).shuffle(shuffled)
        for start in range(0, len(shuffled), 7):
            await store.add(shuffled[start : start + 7])
        assert (await attempts(database), await operations(database)) == wanted


def _history(number: int):
    operation_id, attempt_id = f"op-{number}", f"op-{number}-1"
    yield opened(operation_id)
    yield intent(attempt_id, reserved_nano_usd=number)
    if number % 3 == 0:
        yield swept_terminal(intent(attempt_id))
        yield swept_closing(operation_id)
    if number % 2 == 0:
        yield terminal(attempt_id, cost_nano_usd=number)
        yield closed(operation_id)


async def test_a_batch_is_kept_whole_or_not_at_all(store, database):
    with pytest.raises(StorageError):
        await store.add([opened(), terminal(cost_nano_usd=2**80)])
    assert await operations(database) == []


async def test_texts_that_databases_do_not_keep_are_kept_without_what_hurts(store, database):
    await store.add([opened(feature="a\x00b", labels={"x": "\x00"}), intent(), terminal(error_type="\x00")])
    [(feature,)] = await database.fetch("SELECT feature FROM ledger_operations")
    assert feature == "a\ufffdb"


async def test_a_sweep_of_the_store_ends_what_began_too_long_ago(store, database):
    await store.add(
        [
            opened("old", started_us=START_US - DAY_US),
            intent("old-1", started_us=START_US - DAY_US, reserved_nano_usd=5, reserved_tokens=6),
            intent("new-1"),
        ]
    )
    [orphan] = await store.sweep(START_US)
    assert (orphan.attempt_id, orphan.operation_id, orphan.reserved_nano_usd, orphan.reserved_tokens) == (
        "old-1",
        "old",
        5,
        6,
    )
    assert [row[:3] for row in await attempts(database)] == [("new-1", None, None), ("old-1", "indeterminate", "sweep")]
    assert [row[2:4] for row in await operations(database)] == [("UNAVAILABLE", "sweep")]
    assert await store.sweep(START_US) == []


async def test_a_router_that_was_only_cut_off_may_still_bring_the_truth(store, database):
    await store.add([intent()])
    await store.sweep(START_US + 1)
    await store.add([terminal()])
    assert (await attempts(database))[0][1:4] == ("settled", "router", 1_000)


async def test_what_is_older_than_the_retention_is_forgotten(store, database):
    for name, began in (("old", START_US - DAY_US), ("new", START_US)):
        await store.add(
            [
                opened(name, started_us=began),
                intent(f"{name}-1", started_us=began),
                terminal(f"{name}-1", started_us=began),
                closed(name),
            ]
        )
    assert await store.forget(START_US) == 2
    assert [row[0] for row in await attempts(database)] == ["new-1"]
    assert [row[0] for row in await operations(database)] == ["new"]


async def test_a_store_without_tables_says_so(database):
    with pytest.raises(StorageError):
        await SqlLedgerStore(database).check()
