"""Every database that storage knows, empty."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from router_service.storage.database import Database
from router_service.storage.opening import open_database


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
