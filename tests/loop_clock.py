"""The event loop's clock under a test's control, so that no deadline depends on how busy the machine is."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from router_service.engine.complete import Engine
from router_service.engine.run import Clock


def leap(seconds: float) -> None:
    """Have the running loop's time leap ahead, for as long as the loop lives.

    For long timeouts that are to pass at a certain moment: none passes before, however late the machine is.
    """
    loop: Any = asyncio.get_running_loop()
    before = loop.time
    loop.time = lambda: before() + seconds


def on_the_loops_clock(engine: Engine) -> None:
    """Have a router's engine go by the running loop's time in all, so that it notices leaps."""
    loop = asyncio.get_running_loop()
    engine._clock = Clock(monotonic=lambda: loop.time(), wall=time.time)  # noqa: PLW0108 - the loop's may be replaced


@contextmanager
def waits_skipped() -> Iterator[None]:
    """While entered, the running loop's time stands still but for leaps to the next timer once all tasks wait.

    For what needs no socket, thread or process: the loop would not wait for them.
    """
    loop: Any = asyncio.get_running_loop()
    now = loop.time()
    select = loop._selector.select

    def leap(timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        nonlocal now
        ready: list[tuple[selectors.SelectorKey, int]] = select(0 if timeout is not None else None)
        if not ready and timeout is not None:
            now += max(0.0, timeout)
        return ready

    loop.time, loop._selector.select = lambda: now, leap
    try:
        yield
    finally:
        del loop.time, loop._selector.select
