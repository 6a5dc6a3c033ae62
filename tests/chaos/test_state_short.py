"""Short runs of `make chaos-state`: counts and money, nothing that depends on how fast this machine is."""

from __future__ import annotations

import pytest

from benchmarks.postgres_server import PostgresServer
from benchmarks.redis_server import RedisServer
from benchmarks.soak.report import Row, table
from benchmarks.state.budget import one_budget, side_by_side
from benchmarks.state.chaos import chaos
from benchmarks.state.controls import control
from benchmarks.state.database import away, disk_takes_nothing
from benchmarks.state.kills import kills
from benchmarks.state.outages import ABSENCES, Absence, redis_away
from tests.contract.conftest import own_redis, postgres

__all__ = ["own_redis", "postgres"]

PATIENCE = 1.0
# Only against hanging: machines are shared, and processes take long to start where others do.
pytestmark = pytest.mark.timeout(900)


def held(*rows: Row) -> None:
    assert not any(row.misses for row in rows), "\n".join(table(rows))


async def test_a_budget_worth_so_many_calls_accepts_them_and_not_one_more(
    own_redis: RedisServer, postgres: PostgresServer
) -> None:
    held(await one_budget(own_redis, postgres, calls=60, clients=80, replicas=2, patience=PATIENCE))


async def test_budgets_of_tenants_and_keys_hold_side_by_side_in_one_process_without_redis() -> None:
    held(await side_by_side(None, None, calls=40, clients=40, patience=PATIENCE))


async def test_what_killed_replicas_left_behind_is_swept_and_never_booked_twice(
    own_redis: RedisServer, postgres: PostgresServer
) -> None:
    held(await kills(own_redis, postgres, times=1, every=1.0, hasten=True))


@pytest.mark.parametrize("absence", [absence for absence in ABSENCES if absence.brief], ids=lambda one: one.name)
async def test_rules_fail_as_declared_while_redis_is_away_and_counters_come_back(
    own_redis: RedisServer, postgres: PostgresServer, absence: Absence
) -> None:
    held(await redis_away(own_redis, postgres, absence, seconds=1.5, timed=False))


async def test_rows_wait_in_the_journal_while_the_database_is_down(postgres: PostgresServer) -> None:
    held(await away(postgres, seconds=1.0))


async def test_nothing_is_served_unrecorded_while_the_disk_takes_nothing() -> None:
    held(await disk_takes_nothing(seconds=5.0))


async def test_the_ledger_is_the_providers_journal_wherever_usage_was_reported(
    own_redis: RedisServer, postgres: PostgresServer
) -> None:
    held(await chaos(own_redis, postgres, calls=300))


async def test_a_limiter_that_checks_before_it_increments_is_noticed(
    own_redis: RedisServer, postgres: PostgresServer
) -> None:
    held(await control(own_redis, postgres, "checks-then-increments"))
