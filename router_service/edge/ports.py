"""What every edge needs of the rest: an engine, and who presents credentials."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias

from router_service.domain.call import Call
from router_service.domain.decision import Decision
from router_service.domain.deployment import DeploymentStatus
from router_service.domain.event import Emit
from router_service.domain.identity import Identity
from router_service.domain.receipt import Answer, Receipt
from router_service.identity.authenticator import Credentials

Authenticate: TypeAlias = Callable[[Credentials], Awaitable[Identity]]
"""Who presents these credentials; raises `RouterError` where they do not hold."""


class CallEngine(Protocol):
    """Routes, attempts and accounts."""

    async def complete(self, call: Call, emit: Emit) -> Answer:
        """Answer a call, telling `emit` as it goes.

        Raises `RouterError` after a `Finished` event with the receipt. Once cancelled it accounts for the call and
        lets `CancelledError` go on.
        """

    async def route(self, call: Call) -> Decision:
        """Decide only. Raises `RouterError`."""

    def permit(self, call: Call) -> None:
        """Raise `PermissionDenied` for what the caller of a call may not ask for."""

    def sign(self, call: Call, decision: Decision) -> tuple[str, float]:
        """A decision token, and its expiry in seconds since the epoch."""

    def receipt(self, tenant: str, request_id: str) -> Receipt | None:
        """The account of an earlier call of this tenant, if it is kept."""

    def deployments(self, identity: Identity | None = None) -> Sequence[DeploymentStatus]:
        """Every deployment that the caller may use, with its health."""
