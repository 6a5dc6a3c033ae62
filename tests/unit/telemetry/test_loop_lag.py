from __future__ import annotations

import asyncio

import pytest

from router_service.telemetry.loop_lag import LoopLag


async def test_a_loop_that_was_held_up_is_late_and_one_that_was_early_is_not() -> None:
    lags: asyncio.Queue[float] = asyncio.Queue()
    clock = iter([0.0, 0.4, 0.4, 0.45, 0.45])
    lag = LoopLag(asyncio.get_running_loop(), lags.put_nowait, now=lambda: next(clock))
    async with asyncio.timeout(30):
        held_up, early = await lags.get(), await lags.get()
    lag.stop()
    assert held_up == pytest.approx(0.3)
    assert early == 0
