"""What the gRPC edge alone needs of the rest: who makes an RPC, accounts, keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeAlias

import grpc.aio

from router_service.domain.feedback import Feedback
from router_service.domain.identity import Grants, Identity
from router_service.domain.limit import MeterState, Subject
from router_service.domain.receipt import Receipt
from router_service.identity.administration import IssuedKey
from router_service.identity.keys import KeyRecord
from router_service.ledger.audit import AuditEntry
from router_service.ledger.usage import Usage, UsageQuery

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

IdentityOf: TypeAlias = Callable[[Context], Awaitable[Identity]]
"""Who calls, by credentials; raises `RouterError` where they do not hold. Never by the request."""


class Accounts(Protocol):
    """What callers ask of the ledger and of the counters. All raise `RouterError` where these cannot be reached."""

    async def usage(self, query: UsageQuery) -> Usage:
        """What was used and what it cost."""

    async def allowances(self, subject: Subject, model: str) -> Sequence[MeterState]:
        """How a subject stands with limits and budgets; of a model's own only where one is named."""

    async def shadow_caps(self) -> Sequence[MeterState]:
        """How far the caps of all shadows are spent, under the shadows' ids."""

    async def receipt(self, tenant: str, request_id: str) -> Receipt | None:
        """The account of a tenant's earlier call that any process recorded, if there is a ledger and it has it."""

    def check_ledger(self) -> None:
        """Raise `NotConfigured` where nothing is recorded."""

    async def record_feedback(self, receipt: Receipt, feedback: Feedback, *, key_id: str) -> None:
        """Keep feedback on a call, given by `key_id`."""


class Administration(Protocol):
    """Keys and the audit log. Every method raises `RouterError`: what the RPC may do, it has asked the identity."""

    def check(self) -> None:
        """Raise `NotConfigured` where keys are not kept here."""

    async def create_key(
        self, *, actor: str, name: str, tenant: str, grants: Grants, expires_at: float | None
    ) -> IssuedKey:
        """Make a key."""

    async def rotate_key(self, public_id: str, *, actor: str, overlap: float, expires_at: float | None) -> IssuedKey:
        """Make a key that may what the old one may, which holds for `overlap` more seconds."""

    async def revoke_key(self, public_id: str, *, actor: str) -> KeyRecord:
        """End a key."""

    async def key(self, public_id: str) -> KeyRecord | None:
        """A key, also one that no longer holds."""

    async def keys(self, tenant: str | None) -> Sequence[KeyRecord]:
        """All keys, or one tenant's, the latest first."""

    async def audit_events(
        self, since: float, until: float, *, after: AuditEntry | None, count: int
    ) -> Sequence[AuditEntry]:
        """What was done, the latest first: `count` entries that come after one."""
