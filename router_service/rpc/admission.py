"""How many calls may run at once, in total and of one tenant, and whether new ones are let in at all."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeVar

from router_service.domain.error import SHUT_DOWN, Draining, Overloaded
from router_service.domain.identity import Identity
from router_service.rpc.handlers import Handler, Layer, behavior_of, with_behavior
from router_service.rpc.ports import Context, IdentityOf

# Long enough to spread a crowd, short enough that nobody gives up.
_COME_BACK_AFTER = 1.0

Name = TypeVar("Name")


def ended_by_draining(cancelled: asyncio.CancelledError) -> bool:
    """Whether it was this replica that ended the call, not its caller."""
    return SHUT_DOWN in cancelled.args


class Admission(Layer):
    """Counts the calls of some services and refuses those past a cap, or all of them once draining.

    `max_per_tenant` bounds the calls of one tenant, so that it leaves room for others; `None` leaves only the total.
    What a caller is granted may bound its own.
    Its methods are coroutines. Other services, such as health, are not its business.
    """

    def __init__(
        self, *services: str, max_calls: int, max_per_tenant: int | None = None, identity_of: IdentityOf
    ) -> None:
        super().__init__()
        self._prefixes = tuple(f"/{service}/" for service in services)
        self._max_calls = max_calls
        self._max_per_tenant = max_per_tenant
        self._identity_of = identity_of
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

    def wrap(self, method: str, handler: Handler) -> Handler:
        """The handler, counted and refused where it is one of the services'."""
        if not method.startswith(self._prefixes):
            return handler
        behavior = behavior_of(handler)

        async def counted(request: Any, context: Context) -> Any:
            call, identity = await self._enter(context)
            try:
                return await behavior(request, context)
            finally:
                self._leave(call, identity)

        return with_behavior(handler, counted, handler.request_deserializer)

    async def _enter(self, context: Context) -> tuple[asyncio.Task[Any], Identity]:
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
            identity = await self._identity_of(context)
            self._check_room(identity)
        except BaseException:
            self._forget(call)
            raise
        self._tenants[identity.tenant] += 1
        self._callers[identity.tenant, identity.principal] += 1
        return call, identity

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

    def _leave(self, call: asyncio.Task[Any], identity: Identity) -> None:
        _one_less(self._tenants, identity.tenant)
        _one_less(self._callers, (identity.tenant, identity.principal))
        self._forget(call)

    def _forget(self, call: asyncio.Task[Any]) -> None:
        self._calls.discard(call)
        if not self._calls:
            self._idle.set()


def _one_less(counts: Counter[Name], name: Name) -> None:
    counts[name] -= 1
    if not counts[name]:
        del counts[name]


def _overloaded(why: str, limit: str) -> Overloaded:
    return Overloaded(f"{why}; come back in a moment.", metadata={"limit": limit}, retry_after=_COME_BACK_AFTER)
