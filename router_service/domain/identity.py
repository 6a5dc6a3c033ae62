"""Who calls, and what they may. Whatever is not granted is denied."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from router_service.domain.deployment import Deployment


class IdentityKind(StrEnum):
    """How a caller proved who it is."""

    API_KEY = "api_key"
    JWT = "jwt"
    MTLS = "mtls"
    ANONYMOUS = "anonymous"


class Role(StrEnum):
    """What an identity may administer: every tenant, or its own."""

    ADMIN = "admin"
    TENANT_ADMIN = "tenant_admin"


Names = frozenset[str] | None
"""Names that are granted; `None` grants all, and only the configuration's `"*"` ever says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """What an identity may do. Without an argument: nothing.

    `models` are names of models or of deployments. `tiers` may be claimed by a call; `default_tier` is the tier of
    calls that claim none. `max_concurrent_calls` is per identity, `None` for no bound of its own.
    """

    features: Names = frozenset()
    models: Names = frozenset()
    policies: Names = frozenset()
    tiers: Names = frozenset()
    default_tier: str = ""
    roles: frozenset[Role] = frozenset()
    max_concurrent_calls: int | None = None

    @property
    def all_tiers(self) -> Names:
        """The tiers a call may end up with."""
        if self.tiers is None or not self.default_tier:
            return self.tiers
        return self.tiers | {self.default_tier}

    def covers(self, other: Grants) -> bool:
        """Whether whoever has these grants may hand on the others: nobody gives more than they have."""
        return (
            _within(other.features, self.features)
            and _within(other.models, self.models)
            and _within(other.policies, self.policies)
            and _within(other.all_tiers, self.all_tiers)
            and (Role.ADMIN in self.roles or other.roles <= self.roles)
            and _at_most(other.max_concurrent_calls, self.max_concurrent_calls)
        )


def _within(inner: Names, outer: Names) -> bool:
    return outer is None or (inner is not None and inner <= outer)


def _at_most(inner: int | None, outer: int | None) -> bool:
    return outer is None or (inner is not None and inner <= outer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A caller whose credentials hold.

    `tenant` pays. `principal` is the public id of the API key, the subject of the token or the SPIFFE id; it is no
    secret, and limits and budgets may be scoped to it. `name` is what people call it. Names match exactly, whatever
    rules make of upper and lower case.
    """

    tenant: str
    principal: str
    kind: IdentityKind
    name: str = ""
    grants: Grants = field(default_factory=Grants)

    def may_use_feature(self, feature: str) -> bool:
        """Whether calls may name this feature; with "" whether they may name none, which takes a grant of all."""
        return _grants(self.grants.features, feature)

    def may_use_model(self, deployment: Deployment) -> bool:
        """Whether this deployment may be called, under its own name or its model's. Ask for every candidate."""
        models = self.grants.models
        return models is None or deployment.id in models or deployment.model in models

    def may_use_policy(self, policy: str) -> bool:
        """Whether calls may be routed by this policy: the resolved name, also where the call named none."""
        return _grants(self.grants.policies, policy)

    def may_claim_tier(self, tier: str) -> bool:
        """Whether a call may say that it is of this tier; "" claims none and gets `default_tier`."""
        return tier in ("", self.grants.default_tier) or _grants(self.grants.tiers, tier)

    def may_administer(self, tenant: str) -> bool:
        """Whether it may manage this tenant's keys and see its spend; with "" those of all tenants."""
        roles = self.grants.roles
        return Role.ADMIN in roles or (Role.TENANT_ADMIN in roles and tenant == self.tenant != "")


def _grants(names: Names, name: str) -> bool:
    return names is None or (name != "" and name in names)
