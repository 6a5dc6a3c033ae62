"""What an identity may do with a call, asked once at its beginning and again for every candidate."""

from __future__ import annotations

from dataclasses import replace

from router_service.domain.call import Caller
from router_service.domain.deployment import Deployment
from router_service.domain.error import PermissionDenied
from router_service.domain.identity import Identity, Names


def permitted(identity: Identity, caller: Caller, policy: str) -> Caller:
    """The caller as it may call: where it claims no tier, with its default one.

    `policy` is the resolved name, also where the call named none. Raises `PermissionDenied`, whose `metadata` names
    what was denied; whether the name exists at all is not told.
    """
    if not identity.may_use_feature(caller.feature):
        _deny(identity, "feature", caller.feature, identity.grants.features)
    if not identity.may_use_policy(policy):
        _deny(identity, "policy", policy, identity.grants.policies)
    if not identity.may_claim_tier(caller.tier):
        _deny(identity, "tier", caller.tier, identity.grants.all_tiers)
    if caller.tier or not identity.grants.default_tier:
        return caller
    return replace(caller, tier=identity.grants.default_tier)


def check_model(identity: Identity, deployment: Deployment) -> None:
    """Raise `PermissionDenied` unless the deployment may be called; for a call that names one itself."""
    if not identity.may_use_model(deployment):
        _deny(identity, "model", deployment.id, identity.grants.models)


def _deny(identity: Identity, kind: str, name: str, granted: Names) -> None:
    named = f"the {kind} {name!r}" if name else f"a call without a {kind}"
    listed = sorted(granted or ())
    some = ", ".join(listed[:8]) + (" ..." if len(listed) > 8 else "")
    allowed = f"It may use {some}" if listed else "It may use none yet"
    who = f"{identity.name or identity.principal!r}"
    raise PermissionDenied(
        f"{who} may not use {named}. {allowed}; your administrator can grant more.", metadata={kind: name}
    )
