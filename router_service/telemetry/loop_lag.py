"""How late the event loop is: what every call waits for beside its own work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter

_PERIOD = 0.1


class LoopLag:
    """Sets a timer on `loop` again and again and tells `record` how many seconds late it went off, until stopped.

    `now` is in seconds. The loop's own clock will not do: it stands still while the loop works.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        record: Callable[[float], None],
        *,
        now: Callable[[], float] = perf_counter,
    ) -> None:
        self._loop = loop
        self._record = record
        self._now = now
        self._set()

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _set(self) -> None:
        self._due = self._now() + _PERIOD
        self._timer = self._loop.call_later(_PERIOD, self._look)

    def _look(self) -> None:
        self._record(max(0.0, self._now() - self._due))
        self._set()
