"""How many calls may run at once, and whether new ones are let in at all."""

from __future__ import annotations

import asyncio
from typing import Any

from router_service.domain.error import Draining, Overloaded
from router_service.rpc.handlers import Handler, Layer, behavior_of, with_behavior
from router_service.rpc.ports import Context

# Long enough to spread a crowd, short enough that nobody gives up.
_COME_BACK_AFTER = 1.0
_ENDED = "the replica is shutting down"


def ended_by_draining(cancelled: asyncio.CancelledError) -> bool:
    """Whether it was this replica that ended the call, not its caller."""
    return _ENDED in cancelled.args


class Admission(Layer):
    """Counts the calls of one service and refuses those past the cap, or all of them once draining.

    Its methods are coroutines. Other services, such as health, are not its business.
    """

    def __init__(self, service: str, max_concurrent_calls: int) -> None:
        super().__init__()
        self._prefix = f"/{service}/"
        self._max_concurrent_calls = max_concurrent_calls
        self._draining = False
        self._calls: set[asyncio.Task[Any]] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def in_flight(self) -> int:
        """Calls being served."""
        return len(self._calls)

    def drain(self) -> None:
        """Refuse calls from now on; those being served go on."""
        self._draining = True

    def end(self) -> None:
        """Cancel the calls being served, so that each can still account for itself and tell its caller."""
        for call in self._calls:
            call.cancel(_ENDED)

    async def idle(self) -> None:
        """Wait until no call is being served."""
        await self._idle.wait()

    def wrap(self, method: str, handler: Handler) -> Handler:
        """The handler, counted and refused where it is one of the service's."""
        if not method.startswith(self._prefix):
            return handler
        behavior = behavior_of(handler)

        async def counted(request: Any, context: Context) -> Any:
            call = self._enter()
            try:
                return await behavior(request, context)
            finally:
                self._leave(call)

        return with_behavior(handler, counted, handler.request_deserializer)

    def _enter(self) -> asyncio.Task[Any]:
        if self._draining:
            raise Draining("This replica is shutting down; another one will serve the call.")
        if self.in_flight >= self._max_concurrent_calls:
            raise Overloaded(
                f"This replica serves {self.in_flight} calls, which is all it may; come back in a moment.",
                metadata={"limit": "concurrent_calls"},
                retry_after=_COME_BACK_AFTER,
            )
        call = asyncio.current_task()
        assert call is not None
        self._calls.add(call)
        self._idle.clear()
        return call

    def _leave(self, call: asyncio.Task[Any]) -> None:
        self._calls.discard(call)
        if not self._calls:
            self._idle.set()
