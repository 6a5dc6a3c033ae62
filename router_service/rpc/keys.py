"""API keys, their grants and the audit log, from protobuf and to it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from llmrouter.v1 import admin_service_pb2 as wire
from router_service.domain.identity import Grants, Names, Role
from router_service.edge.violations import Violations
from router_service.identity.keys import KeyRecord
from router_service.ledger.audit import AuditEntry
from router_service.rpc.requests import END_OF_TIME, seconds_of
from router_service.rpc.responses import timestamp

MICROSECONDS = 1_000_000

# As the configuration has them.
_TENANT = re.compile(r"[A-Za-z0-9._@:/-]{1,128}", re.ASCII)
_MOST_NAME = 128
_MOST_NAMES = 256
_DAY = 86_400
_LONGEST_OVERLAP = 366 * _DAY


def tenant_of(text: str, violations: Violations) -> str:
    """A tenant, or nothing."""
    if text and _TENANT.fullmatch(text) is None:
        violations.add("tenant", "must be 1 to 128 ASCII letters, digits and . _ @ : / -")
    return text


def grants_of(grants: wire.Grants, violations: Violations) -> Grants:
    """The grants that a key is to have."""
    most = grants.max_concurrent_calls if grants.HasField("max_concurrent_calls") else None
    if most is not None and most < 1:
        violations.add("grants.max_concurrent_calls", "must be at least 1")
    violations.identifier("grants.default_tier", grants.default_tier, _MOST_NAME)
    known = {role.value for role in Role}
    for number, role in enumerate(grants.roles):
        if role not in known:
            violations.add(f"grants.roles[{number}]", f"must be one of {', '.join(sorted(known))}")
    return Grants(
        features=_names("grants.features", grants.features, violations),
        models=_names("grants.models", grants.models, violations),
        policies=_names("grants.policies", grants.policies, violations),
        tiers=_names("grants.tiers", grants.tiers, violations),
        default_tier=grants.default_tier,
        roles=frozenset(role for role in Role if role.value in grants.roles),
        max_concurrent_calls=most,
    )


def _names(field: str, names: Sequence[str], violations: Violations) -> Names:
    if not violations.at_most(field, len(names), _MOST_NAMES):
        return frozenset()
    for number, name in enumerate(names):
        violations.identifier(f"{field}[{number}]", name, _MOST_NAME)
        if not name:
            violations.add(f"{field}[{number}]", "must not be empty")
    if "*" in names and len(names) > 1:
        violations.add(field, 'grants all with "*", which stands alone')
    return None if list(names) == ["*"] else frozenset(names)


def expiry_of(moment: Timestamp, now: float, violations: Violations) -> float:
    """When a key ends, in seconds since 1970, as `now` is."""
    at = seconds_of(moment)
    if not now < at < END_OF_TIME:
        violations.add("expires_at", "must lie ahead, before the year 10000")
    return at


def overlap_of(asked: int, violations: Violations) -> float:
    """For how many seconds a rotated key still holds."""
    violations.number("overlap_seconds", asked, 0, _LONGEST_OVERLAP)
    return float(asked or _DAY)


def key_to_wire(record: KeyRecord) -> wire.ApiKey:
    """A key as it is listed."""
    grants = record.grants
    key = wire.ApiKey(
        public_id=record.public_id,
        tenant=record.tenant,
        name=record.name,
        grants=wire.Grants(
            features=_listed(grants.features),
            models=_listed(grants.models),
            policies=_listed(grants.policies),
            tiers=_listed(grants.tiers),
            default_tier=grants.default_tier,
            roles=sorted(role.value for role in grants.roles),
            max_concurrent_calls=grants.max_concurrent_calls,
        ),
        created_at=timestamp(record.created_at / MICROSECONDS),
    )
    if record.expires_at is not None:
        key.expires_at.CopyFrom(timestamp(record.expires_at / MICROSECONDS))
    if record.revoked_at is not None:
        key.revoked_at.CopyFrom(timestamp(record.revoked_at / MICROSECONDS))
    return key


def _listed(names: Names) -> list[str]:
    return ["*"] if names is None else sorted(names)


def audit_event_to_wire(entry: AuditEntry) -> wire.AuditEvent:
    """An entry of the audit log as it is sent."""
    return wire.AuditEvent(
        at=timestamp(entry.at),
        actor=entry.actor,
        action=entry.action,
        subject=entry.subject,
        before=entry.before_fingerprint,
        after=entry.after_fingerprint,
    )
