"""The servers that contract suites run against: real ones, started once per test process."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from benchmarks.postgres_server import PostgresMissing, PostgresServer, postgres_server
from benchmarks.redis_server import RedisMissing, RedisServer, redis_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running PostgreSQL. Where it is not installed the test is skipped, except in CI."""
    try:
        with postgres_server() as server:
            yield server
    except PostgresMissing as missing:
        absent(missing)


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    """A running Redis that tests share, each in a namespace of its own. As `postgres` where it is not installed."""
    try:
        with redis_server() as server:
            yield server
    except RedisMissing as missing:
        absent(missing)


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A running Redis that a test may kill, pause and restart."""
    try:
        with redis_server() as server:
            yield server
    except RedisMissing as missing:
        absent(missing)


def absent(missing: Exception) -> None:
    """End a test whose server is not installed: in CI nothing may be skipped."""
    if os.environ.get("CI"):
        pytest.fail(str(missing), pytrace=False)
    pytest.skip(str(missing))
