"""What the gRPC edge needs of the rest: an engine, and the tenant of a caller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import grpc.aio

from router_service.domain.call import Call
from router_service.domain.decision import Decision
from router_service.domain.deployment import DeploymentStatus
from router_service.domain.event import Emit
from router_service.domain.receipt import Answer, Receipt

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

TenantOf: TypeAlias = Callable[[Context], str]
"""The tenant, by the caller's credentials; raises `RouterError` where they do not hold. Never by the request."""


class CallEngine(Protocol):
    """Routes, attempts and accounts."""

    async def complete(self, call: Call, emit: Emit) -> Answer:
        """Answer a call, telling `emit` as it goes.

        Raises `RouterError` after a `Finished` event with the receipt. Once cancelled it accounts for the call and
        lets `CancelledError` go on.
        """

    async def route(self, call: Call) -> Decision:
        """Decide only. Raises `RouterError`."""

    def sign(self, call: Call, decision: Decision) -> tuple[str, float]:
        """A decision token, and its expiry in seconds since the epoch."""

    def receipt(self, tenant: str, request_id: str) -> Receipt | None:
        """The account of an earlier call of this tenant, if it is kept."""

    def deployments(self) -> Sequence[DeploymentStatus]:
        """Every deployment with its health."""
