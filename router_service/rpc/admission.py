"""How many calls may run at once, and whether new ones are let in at all."""

from __future__ import annotations

import asyncio
from typing import Any

from router_service.domain.error import Draining, Overloaded
from router_service.rpc.handlers import Handler, Layer, behavior_of, with_behavior
from router_service.rpc.ports import Context

# Long enough to spread a crowd, short enough that nobody gives up.
_COME_BACK_AFTER = 1.0


class Admission(Layer):
    """Counts the calls of one service and refuses those past the cap, or all of them once draining.

    Its methods are coroutines. Other services, such as health, are not its business.
    """

    def __init__(self, service: str, max_concurrent_calls: int) -> None:
        super().__init__()
        self._prefix = f"/{service}/"
        self._max_concurrent_calls = max_concurrent_calls
        self._draining = False
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def in_flight(self) -> int:
        """Calls being served."""
        return self._in_flight

    def drain(self) -> None:
        """Refuse calls from now on; those being served go on."""
        self._draining = True

    async def idle(self) -> None:
        """Wait until no call is being served."""
        await self._idle.wait()

    def wrap(self, method: str, handler: Handler) -> Handler:
        """The handler, counted and refused where it is one of the service's."""
        if not method.startswith(self._prefix):
            return handler
        behavior = behavior_of(handler)

        async def counted(request: Any, context: Context) -> Any:
            self._enter()
            try:
                return await behavior(request, context)
            finally:
                self._leave()

        return with_behavior(handler, counted, handler.request_deserializer)

    def _enter(self) -> None:
        if self._draining:
            raise Draining("This replica is shutting down; another one will serve the call.")
        if self._in_flight >= self._max_concurrent_calls:
            raise Overloaded(
                f"This replica serves {self._in_flight} calls, which is all it may; come back in a moment.",
                metadata={"limit": "concurrent_calls"},
                retry_after=_COME_BACK_AFTER,
            )
        self._in_flight += 1
        self._idle.clear()

    def _leave(self) -> None:
        self._in_flight -= 1
        if self._in_flight == 0:
            self._idle.set()
