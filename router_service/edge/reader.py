"""Those who read an answer: what is remembered for them of a call, and how long one that stopped is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from router_service.domain.error import Cancelled
from router_service.domain.event import AttemptStarted, Event, Finished
from router_service.domain.receipt import Receipt

Result = TypeVar("Result")


class CallRecord:
    """What an edge remembers of a unary call, for its status: whether an upstream was called, and the receipt."""

    __slots__ = ("dispatched", "receipt")

    def __init__(self) -> None:
        self.dispatched = False
        self.receipt: Receipt | None = None

    async def __call__(self, event: Event, /) -> None:
        kind = type(event)
        if kind is AttemptStarted:
            self.dispatched = True
        elif isinstance(event, Finished):
            self.receipt = event.receipt


class Patience:
    """Ends a call whose reader stopped, once one write has waited for `write_timeout` seconds, at the latest after
    twice as long. The writer sets `waiting` to a number of its own for each write, and to 0 after it.
    """

    __slots__ = ("_before", "_limit", "_timer", "_write_timeout", "waiting")

    def __init__(self, write_timeout: float) -> None:
        self.waiting = 0
        self._before = 0
        self._write_timeout = write_timeout
        self._limit = asyncio.timeout(None)
        self._timer: asyncio.TimerHandle

    async def carry(self, answering: Awaitable[Result]) -> Result:
        """The answer, waited for while its events are written.

        Raises `Cancelled` where the reader stopped: `answering` is cancelled then, as if the caller had left.
        """
        self._look()
        try:
            async with self._limit:
                return await answering
        except TimeoutError as error:
            if not self._limit.expired():
                raise
            raise Cancelled(f"The caller read nothing for {self._write_timeout:g} s, so the call was ended.") from error
        finally:
            self._timer.cancel()

    def _look(self) -> None:
        """Look after the reader now and then: a timer for each event would cost as much as the event."""
        loop = asyncio.get_running_loop()
        if self.waiting and self.waiting == self._before:
            self._limit.reschedule(loop.time())
            return
        self._before = self.waiting
        self._timer = loop.call_later(self._write_timeout, self._look)
