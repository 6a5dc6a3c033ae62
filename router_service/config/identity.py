"""Who may call, as the router runs it: compiled from the section `identity`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from router_service.config.secret import Secret
from router_service.domain.identity import Grants


class Algorithm(StrEnum):
    """Signatures that a public key verifies: with HMAC whoever can verify could sign, and `none` is no signature."""

    RS256 = "RS256"
    RS384 = "RS384"
    RS512 = "RS512"
    PS256 = "PS256"
    PS384 = "PS384"
    PS512 = "PS512"
    ES256 = "ES256"
    ES384 = "ES384"
    ES512 = "ES512"
    EDDSA = "EdDSA"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredKey:
    """An API key of the file: its text, which may be rotated, or the hash of it.

    `public_id` and `secret_hash` (HMAC-SHA256 with the pepper) are set where `key` is not.
    """

    name: str
    tenant: str
    grants: Grants
    key: Secret | None = None
    public_id: str = ""
    secret_hash: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeySettings:
    """How API keys are verified. Durations are seconds.

    `peppers` are tried in turn, new hashes are made with the first; none where only texts of keys are declared.
    `database` says that keys are looked up in the database too. `cache_ttl` is how long a verified key is believed,
    `outage_grace` how long while the database is away.
    """

    declared: tuple[DeclaredKey, ...] = ()
    peppers: tuple[Secret, ...] = ()
    database: bool = False
    cache_ttl: float = 30.0
    outage_grace: float = 3600.0
    cache_size: int = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimNames:
    """Claims that add to an issuer's grants, as paths such as ("realm_access", "roles"); empty where none does."""

    tenant: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    default_tier: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerSettings:
    """Whose tokens are believed, and what they give. Exactly one of `jwks_url` and `jwks_file` is set."""

    name: str
    issuer: str
    audiences: frozenset[str]
    algorithms: tuple[Algorithm, ...]
    jwks_url: str = ""
    jwks_file: str = ""
    jwks_ttl: float = 600.0
    leeway: float = 30.0
    tenant: str = ""
    tenants: frozenset[str] | None = None
    grants: Grants = field(default_factory=Grants)
    claims: ClaimNames = field(default_factory=ClaimNames)


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantedIdentity:
    """A tenant and what it may, for a certificate or for callers without credentials."""

    tenant: str
    grants: Grants
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitySettings:
    """All ways to be known. `spiffe` maps exact SPIFFE ids. `anonymous` is who calls without credentials; `None`
    refuses them."""

    api_keys: ApiKeySettings = field(default_factory=ApiKeySettings)
    issuers: tuple[IssuerSettings, ...] = ()
    spiffe: Mapping[str, GrantedIdentity] = field(default_factory=dict)
    anonymous: GrantedIdentity | None = None

    @property
    def takes_api_keys(self) -> bool:
        """Whether any API key can hold."""
        return self.api_keys.database or bool(self.api_keys.declared)

    @property
    def authenticates(self) -> bool:
        """Whether callers can prove who they are in any way."""
        return self.takes_api_keys or bool(self.issuers) or bool(self.spiffe)


EVERYBODY = GrantedIdentity(
    tenant="default",
    name="everybody on this machine",
    grants=Grants(features=None, models=None, policies=None, tiers=None),
)
"""Who calls where nobody is asked: a router without an `identity` section, on loopback only."""
