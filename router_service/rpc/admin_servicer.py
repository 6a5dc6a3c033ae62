"""The servicer of administrators: who may do it is asked here, of the identity alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from llmrouter.v1 import admin_service_pb2 as wire
from llmrouter.v1 import admin_service_pb2_grpc
from router_service.domain.error import InvalidRequest, NotFound, PermissionDenied, Reason, Violation
from router_service.domain.identity import Grants, Identity, IdentityKind, Role
from router_service.edge.violations import Violations
from router_service.identity.keys import KeyRecord
from router_service.ledger.audit import AuditEntry
from router_service.rpc.keys import (
    MICROSECONDS,
    audit_event_to_wire,
    expiry_of,
    grants_of,
    key_to_wire,
    overlap_of,
    tenant_of,
)
from router_service.rpc.pages import page_size_of, place_of, seen_token
from router_service.rpc.ports import Administration, Context, IdentityOf
from router_service.rpc.request_id import assign_request_id
from router_service.rpc.requests import seconds_of

ADMIN_SERVICE = "llmrouter.v1.AdminService"

_MOST_NAME = 128
_AUDITED_SECONDS = 30 * 86_400.0


class AdminServicer(admin_service_pb2_grpc.AdminServiceServicer):
    """`AdminService`. `identity_of` is asked once a call; `wall` is in seconds since 1970."""

    def __init__(
        self, administration: Administration, *, identity_of: IdentityOf, wall: Callable[[], float] = time.time
    ) -> None:
        self._administration = administration
        self._identity_of = identity_of
        self._wall = wall

    async def CreateKey(self, request: wire.CreateKeyRequest, context: Context) -> wire.CreateKeyResponse:  # noqa: N802
        identity = await self._administrator(context)
        violations = Violations()
        tenant = tenant_of(request.tenant, violations) or identity.tenant
        violations.identifier("name", request.name, _MOST_NAME)
        if not request.name:
            violations.add("name", "must not be empty")
        grants = grants_of(request.grants, violations)
        expires_at = None
        if request.HasField("expires_at"):
            expires_at = expiry_of(request.expires_at, self._wall(), violations)
        violations.raise_any()
        _check_tenant(identity, tenant)
        _check_grants(identity, grants)
        issued = await self._administration.create_key(
            actor=identity.principal, name=request.name, tenant=tenant, grants=grants, expires_at=expires_at
        )
        return wire.CreateKeyResponse(key=key_to_wire(issued.record), secret_key=issued.key.reveal())

    async def ListKeys(self, request: wire.ListKeysRequest, context: Context) -> wire.ListKeysResponse:  # noqa: N802
        identity = await self._administrator(context)
        violations = Violations()
        tenant = tenant_of(request.tenant, violations)
        violations.raise_any()
        size, seen = page_size_of(request.page_size), place_of(request.page_token, int, str)
        if not tenant and not identity.may_administer(""):
            tenant = identity.tenant
        _check_tenant(identity, tenant)
        keys = await self._administration.keys(tenant or None)
        page, more = _after(keys, seen, size)
        return wire.ListKeysResponse(
            keys=[key_to_wire(key) for key in page],
            next_page_token=seen_token(page[-1].created_at, page[-1].public_id) if more else "",
        )

    async def RotateKey(self, request: wire.RotateKeyRequest, context: Context) -> wire.RotateKeyResponse:  # noqa: N802
        identity = await self._administrator(context)
        violations = Violations()
        overlap = overlap_of(request.overlap_seconds, violations)
        violations.raise_any()
        old = await self._key(identity, request.public_id)
        # Whoever gets the new key may what it may.
        _check_grants(identity, old.grants)
        # As many seconds as the old one was made for: a key that was to end shall not become one that does not.
        lifetime = None if old.expires_at is None else (old.expires_at - old.created_at) / MICROSECONDS
        issued = await self._administration.rotate_key(
            old.public_id,
            actor=identity.principal,
            overlap=overlap,
            expires_at=None if lifetime is None else self._wall() + lifetime,
        )
        return wire.RotateKeyResponse(key=key_to_wire(issued.record), secret_key=issued.key.reveal())

    async def RevokeKey(self, request: wire.RevokeKeyRequest, context: Context) -> wire.RevokeKeyResponse:  # noqa: N802
        identity = await self._administrator(context)
        old = await self._key(identity, request.public_id)
        if not Grants(roles=identity.grants.roles).covers(Grants(roles=old.grants.roles)):
            raise PermissionDenied(
                f"The key {old.public_id} administers more than you do: only such a one may revoke it.",
                metadata={"public_id": old.public_id},
            )
        record = await self._administration.revoke_key(old.public_id, actor=identity.principal)
        return wire.RevokeKeyResponse(key=key_to_wire(record))

    async def ListAuditEvents(  # noqa: N802
        self, request: wire.ListAuditEventsRequest, context: Context
    ) -> wire.ListAuditEventsResponse:
        identity = await self._administrator(context)
        if not identity.may_administer(""):
            raise PermissionDenied("The audit log is of all tenants: it takes the role admin.")
        now = self._wall()
        until = seconds_of(request.until) if request.HasField("until") else now
        since = seconds_of(request.since) if request.HasField("since") else until - _AUDITED_SECONDS
        if since >= until:
            raise InvalidRequest([Violation("since", "must be before until")])
        size, seen = page_size_of(request.page_size), place_of(request.page_token, int, str)
        after = None
        if seen is not None:
            after = AuditEntry(entry_id=seen[1], at=seen[0] / MICROSECONDS, actor="", action="")
        found = await self._administration.audit_events(since, until, after=after, count=size + 1)
        page = found[:size]
        return wire.ListAuditEventsResponse(
            events=[audit_event_to_wire(entry) for entry in page],
            next_page_token=seen_token(round(page[-1].at * MICROSECONDS), page[-1].entry_id)
            if len(found) > size
            else "",
        )

    async def _administrator(self, context: Context) -> Identity:
        """Who calls, if it administers anything. Raises `PermissionDenied`."""
        assign_request_id(context)
        identity = await self._identity_of(context)
        if identity.kind is IdentityKind.ANONYMOUS:
            self._administration.check()
            raise PermissionDenied(
                "Callers without credentials administer nothing. Make a key with `llmrouter keys create --role admin`, "
                "which needs no other, and call with that."
            )
        if not identity.may_administer(identity.tenant):
            who = identity.name or identity.principal
            raise PermissionDenied(
                f"{who!r} administers nothing: that takes the role admin or tenant_admin, which administrators grant.",
                metadata={"role": Role.TENANT_ADMIN.value},
            )
        return identity

    async def _key(self, identity: Identity, public_id: str) -> KeyRecord:
        """A key that the identity may administer. Raises `NotFound`, in the same words for those of others."""
        if not public_id or not public_id.isprintable() or len(public_id) > _MOST_NAME:
            raise InvalidRequest([Violation("public_id", "must be a key's public id, such as rk_3fZkq0aB91xY")])
        record = await self._administration.key(public_id)
        if record is None or not identity.may_administer(record.tenant):
            raise NotFound(
                "No key of yours has that public id: list the keys to find one.",
                reason=Reason.KEY_NOT_FOUND,
                metadata={"public_id": public_id},
            )
        return record


def _check_tenant(identity: Identity, tenant: str) -> None:
    if not identity.may_administer(tenant):
        raise PermissionDenied(
            "The keys of other tenants take the role admin; yours are those of your own.",
            metadata={"tenant": identity.tenant},
        )


def _check_grants(identity: Identity, grants: Grants) -> None:
    if not identity.grants.covers(grants):
        raise PermissionDenied(
            "Nobody gives more than they have: name features, models, policies, tiers and roles that your own "
            "credentials grant, and no more concurrent calls.",
            metadata={"grants": "more than the caller's"},
        )


def _after(keys: Sequence[KeyRecord], seen: list[int | str] | None, size: int) -> tuple[Sequence[KeyRecord], bool]:
    """A page of keys, of which the latest come first, and whether more follow."""
    if seen is not None:
        at, public_id = seen
        keys = [key for key in keys if (-key.created_at, key.public_id) > (-int(at), str(public_id))]
    return keys[:size], len(keys) > size
