"""How many calls may run at once, in total and of one tenant, and whether new ones are let in at all. Of all edges."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from router_service.domain.error import SHUT_DOWN, Draining, Overloaded
from router_service.domain.identity import Identity

# Long enough to spread a crowd, short enough that nobody gives up.
_COME_BACK_AFTER = 1.0

Name = TypeVar("Name")


def ended_by_draining(cancelled: asyncio.CancelledError) -> bool:
    """Whether it was this replica that ended the call, not its caller."""
    return SHUT_DOWN in cancelled.args


class Admission:
    """Counts calls and refuses those past a cap, or all of them once draining.

    `max_per_tenant` bounds the calls of one tenant, so that it leaves room for others; `None` leaves only the total.
    What a caller is granted may bound its own.
    """

    def __init__(self, *, max_calls: int, max_per_tenant: int | None = None) -> None:
        self._max_calls = max_calls
        self._max_per_tenant = max_per_tenant
        self._draining = False
        self.arrived = 0
        """Calls that came so far, also those that were refused."""
        self._calls: set[asyncio.Task[Any]] = set()
        self._tenants: Counter[str] = Counter()
        self._callers: Counter[tuple[str, str]] = Counter()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def in_flight(self) -> int:
        """Calls being served."""
        return len(self._calls)

    def in_flight_by_tenant(self) -> Mapping[str, int]:
        """Calls being served of each tenant that has any."""
        return dict(self._tenants)

    def drain(self) -> None:
        """Refuse calls from now on; those being served go on."""
        self._draining = True

    def end(self) -> None:
        """Cancel the calls being served, so that each can still account for itself and tell its caller."""
        for call in self._calls:
            call.cancel(SHUT_DOWN)

    async def idle(self) -> None:
        """Wait until no call is being served."""
        await self._idle.wait()

    @asynccontextmanager
    async def entered(self, identify: Callable[[], Awaitable[Identity]]) -> AsyncIterator[Identity]:
        """Count the current task as a call, made by whom `identify` says, while the context is entered.

        Raises `Overloaded`, `Draining`, and what `identify` raises.
        """
        self.arrived += 1
        if self._draining:
            raise Draining("This replica is shutting down; another one will serve the call.")
        if self.in_flight >= self._max_calls:
            raise _overloaded(f"This replica serves {self.in_flight} calls, which is all it may", "concurrent_calls")
        call = asyncio.current_task()
        assert call is not None
        # A call counts while its credentials are looked at, which a flood shall not have done without bound.
        self._calls.add(call)
        self._idle.clear()
        try:
            identity = await identify()
            self._check_room(identity)
            self._tenants[identity.tenant] += 1
            self._callers[identity.tenant, identity.principal] += 1
            try:
                yield identity
            finally:
                _one_less(self._tenants, identity.tenant)
                _one_less(self._callers, (identity.tenant, identity.principal))
        finally:
            self._calls.discard(call)
            if not self._calls:
                self._idle.set()

    def _check_room(self, identity: Identity) -> None:
        """Raise `Overloaded` where the tenant, or the caller itself, has as many calls in flight as it may."""
        of_tenant = self._tenants[identity.tenant]
        if self._max_per_tenant is not None and of_tenant >= self._max_per_tenant:
            raise _overloaded(
                f"This replica serves {of_tenant} calls of yours, which is all it may of one tenant",
                "concurrent_calls_per_tenant",
            )
        own, most = self._callers[identity.tenant, identity.principal], identity.grants.max_concurrent_calls
        if most is not None and own >= most:
            raise _overloaded(
                f"This replica serves {own} calls made with your credentials, which is all it may of them",
                "concurrent_calls_per_caller",
            )


def _one_less(counts: Counter[Name], name: Name) -> None:
    counts[name] -= 1
    if not counts[name]:
        del counts[name]


def _overloaded(why: str, limit: str) -> Overloaded:
    return Overloaded(f"{why}; come back in a moment.", metadata={"limit": limit}, retry_after=_COME_BACK_AFTER)
