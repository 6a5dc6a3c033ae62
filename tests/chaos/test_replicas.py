"""Three replicas with a Redis and a PostgreSQL: one is killed, all are restarted in turn, and nothing fails."""

from __future__ import annotations

import pytest

from benchmarks.postgres_server import PostgresServer
from benchmarks.redis_server import RedisServer
from benchmarks.soak.report import table
from benchmarks.state.replicas import replicas
from tests.contract.conftest import own_redis, postgres

__all__ = ["own_redis", "postgres"]


# Routers start seven times: on a busy machine that takes its time.
@pytest.mark.timeout(900)
async def test_a_killed_replica_and_a_roll_fail_no_call_and_budgets_count_all_replicas_together(
    own_redis: RedisServer, postgres: PostgresServer
) -> None:
    row = await replicas(own_redis, postgres, rounds=1, clients=12, calls=30, patience=0.5)
    assert not row.misses, "\n".join(table([row]))
    assert row.figures["unary calls"] > 50
