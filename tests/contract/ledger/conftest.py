"""The ledger over every database it may lie in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from router_service.ledger.store import SqlLedgerStore
from router_service.storage.database import Database
from router_service.storage.opening import open_database


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database that several processes can open."""
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgres").new_database()
        return url
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await open_database(database_url, connect_timeout=30, command_timeout=30)
    yield opened
    await opened.aclose()


@pytest.fixture
async def store(database: Database) -> SqlLedgerStore:
    """A ledger without rows."""
    made = SqlLedgerStore(database)
    await made.prepare()
    return made
