"""Every test here runs over counters in process and over a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.contract.limits.counters import Counters, opened


@pytest.fixture(params=["in-process", "redis"])
async def counters(request: pytest.FixtureRequest) -> AsyncIterator[Counters]:
    url = request.getfixturevalue("redis").url if request.param == "redis" else None
    async with opened(url) as made:
        yield made
