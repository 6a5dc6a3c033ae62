"""The servers that contract suites run against: real ones, started once per test process; and empty databases."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from benchmarks.postgres_server import PostgresMissing, PostgresServer, postgres_server
from benchmarks.redis_server import RedisMissing, RedisServer, redis_server
from router_service.storage.database import Database
from router_service.storage.opening import open_database


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


@pytest.fixture(params=["sqlite in memory", "sqlite file", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    return _url(request, tmp_path)


@pytest.fixture(params=["sqlite file", "postgresql"])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database that several processes can open."""
    return _url(request, tmp_path)


def _url(request: pytest.FixtureRequest, folder: Path) -> str:
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgres").new_database()
        return url
    return "sqlite://" if request.param == "sqlite in memory" else f"sqlite:///{folder / 'test.db'}"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open, empty database."""
    opened = await open_database(database_url)
    try:
        yield opened
    finally:
        await opened.aclose()
