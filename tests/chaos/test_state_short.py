"""Short runs of `make chaos-state`: counts and money, nothing that depends on how fast this machine is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.postgres_server import PostgresServer
from benchmarks.redis_server import RedisServer
from benchmarks.soak.report import Row, table
from benchmarks.state.budget import one_budget, side_by_side
from benchmarks.state.chaos import chaos
from benchmarks.state.controls import control
from benchmarks.state.database import away, disk_takes_nothing
from benchmarks.state.kills import kills
from benchmarks.state.outages import ABSENCES, redis_away
from tests.contract.conftest import own_redis, postgres

__all__ = ["own_redis", "postgres"]

PATIENCE = 1.5


def held(*rows: Row) -> None:
    assert not any(row.misses for row in rows), "\n".join(table(rows))


async def test_a_budget_worth_so_many_calls_accepts_them_and_not_one_more(
    own_redis: RedisServer, postgres: PostgresServer
) -> None:
    held(await one_budget(own_redis, postgres, calls=60, clients=80, replicas=2, patience=PATIENCE))
