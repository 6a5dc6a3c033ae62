"""Engines here run over scripted providers alone, so that time need not pass for real."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.loop_clock import waits_skipped


@pytest.fixture(autouse=True)
async def waits() -> AsyncIterator[None]:
    """Deadlines and timeouts pass as soon as nothing else happens, and not before."""
    with waits_skipped():
        yield
