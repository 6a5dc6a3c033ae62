"""The section `identity`: who may call, and what each may do. Whatever is not granted is denied."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from router_service.config.endpoint import Url
from router_service.config.identity import Algorithm
from router_service.config.quantity import Count, Duration, Timeout, matching, refuse
from router_service.config.shape import SOME_TEXTS_SCHEMA, Shape, Texts
from router_service.domain.identity import Role

_TENANT = r"^[A-Za-z0-9._@:/-]{1,128}$"
_HASH = r"^rk_[0-9A-Za-z]{12}:[0-9a-f]{64}$"


def _tenant(value: str) -> str:
    if not re.fullmatch(_TENANT[1:-1], value):
        refuse("cannot be a tenant", "Use 1 to 128 ASCII letters, digits and . _ @ : / -")
    return value


def _hash(value: str) -> str:
    if not re.fullmatch(_HASH[1:-1], value):
        refuse("is not the hash of a key", "Write what `llmrouter keys create --for-file` prints")
    return value


def _spiffe_id(value: str) -> str:
    if not value.startswith("spiffe://") or not value.isascii() or any(letter in value for letter in "*?#% \t\n"):
        refuse(
            f"{value!r} is no SPIFFE id",
            "Write one in full, such as spiffe://example.org/billing: nothing is a wildcard",
        )
    return value


Tenant = Annotated[str, AfterValidator(_tenant), WithJsonSchema(matching(_TENANT))]
"""Who pays."""

KeyHash = Annotated[str, AfterValidator(_hash), WithJsonSchema(matching(_HASH))]
"""The public id and the hash of an API key."""

SpiffeId = Annotated[str, AfterValidator(_spiffe_id)]
"""A SPIFFE id in full."""

_LIST_OR_ALL = 'A name or a list; "*" grants all. Default: none.'


class GrantsShape(Shape):
    """What a caller may do; whatever is not granted is denied."""

    features: Texts = Field(
        default_factory=list,
        description=f'Features that calls may name. {_LIST_OR_ALL} Calls that name no feature need "*".',
    )
    models: Texts = Field(
        default_factory=list, description=f"Models, or deployments, that may serve the calls. {_LIST_OR_ALL}"
    )
    policies: Texts = Field(default_factory=list, description=f"Policies that may route the calls. {_LIST_OR_ALL}")
    tiers: Texts = Field(default_factory=list, description=f"Tiers that calls may claim. {_LIST_OR_ALL}")
    default_tier: str | None = Field(default=None, description="Tier of calls that claim none. Default: no tier.")
    roles: list[Role] = Field(
        default_factory=list,
        description="What it may administer: admin (all tenants), tenant_admin (its own tenant's keys and spend).",
    )
    max_concurrent_calls: Count | None = Field(
        default=None, description="Calls of this caller served at once. From 1. Default: no bound of its own."
    )


class GrantedShape(GrantsShape):
    """A tenant, and what it may do."""

    tenant: Tenant = Field(description="Who pays.")


class DeclaredKeyShape(GrantedShape):
    """An API key of the file: give `key`, `key_file` or `hash`."""

    key: str | None = Field(default=None, description='The key itself, only ever as "${ENV}".')
    key_file: str | None = Field(default=None, description="File with the key, read again when it changes.")
    hash: KeyHash | None = Field(
        default=None, description="Public id and hash, as `llmrouter keys create --for-file` prints them."
    )


class ApiKeysShape(Shape):
    """API keys, in this file or in the database."""

    pepper: str | None = Field(
        default=None,
        description="Secret that hashes of keys are made with, the same in all replicas; at least 16 characters, best "
        'from "${ENV}". Needed for `database` and `hash`.',
    )
    pepper_file: str | None = Field(default=None, description="File with the pepper, read again when it changes.")
    previous_peppers: Texts = Field(
        default_factory=list, description="Peppers that older hashes were made with; they still hold."
    )
    database: bool = Field(
        default=False, description="Look keys up in the database of `storage` too; `llmrouter keys` makes them there."
    )
    cache_ttl: Timeout = Field(
        default=30.0,
        description="How long a verified key is believed without asking the database again: the longest that a revoked "
        "key still works in other replicas. A duration.",
    )
    outage_grace: Duration = Field(
        default=3600.0,
        description="How long a verified key is believed while the database cannot be reached. A duration.",
    )
    cache_size: Count = Field(default=10_000, description="Verified keys remembered at once. From 1.")
    keys: dict[str, DeclaredKeyShape] = Field(default_factory=dict, description="Keys of this file, by name.")


class ClaimsShape(Shape):
    """Claims of the token that add to the grants: a name, or a path such as realm_access.roles. "*" grants nothing."""

    tenant: str | None = Field(default=None, min_length=1, description="Claim with the tenant.")
    features: str | None = Field(default=None, min_length=1, description="Claim with features: a list, or one text.")
    models: str | None = Field(default=None, min_length=1, description="Claim with models or deployments.")
    policies: str | None = Field(default=None, min_length=1, description="Claim with policies.")
    tiers: str | None = Field(default=None, min_length=1, description="Claim with tiers.")
    default_tier: str | None = Field(default=None, min_length=1, description="Claim with the tier of calls.")
    roles: str | None = Field(default=None, min_length=1, description="Claim with roles: admin, tenant_admin.")


class IssuerShape(GrantsShape):
    """An issuer of tokens (JWT), and what its tokens give."""

    issuer: str = Field(min_length=1, description="The claim `iss`, exactly.")
    audience: Annotated[Texts, WithJsonSchema(SOME_TEXTS_SCHEMA)] = Field(
        description="The claim `aud` must hold one of these."
    )
    jwks_url: Url | None = Field(
        default=None, description="Where its public keys are: an https URL, or http on loopback. No redirects."
    )
    jwks_file: str | None = Field(default=None, description="File with its public keys (JWKS), instead of a URL.")
    jwks_ttl: Timeout = Field(default=600.0, description="How long fetched keys are used before asking again.")
    algorithms: list[Algorithm] = Field(
        default_factory=lambda: [Algorithm.RS256, Algorithm.ES256, Algorithm.EDDSA],
        min_length=1,
        description="Signatures allowed. Default: RS256, ES256 and EdDSA.",
    )
    leeway: Duration = Field(default=30.0, description="How far clocks may differ for `exp` and `nbf`. A duration.")
    tenant: Tenant | None = Field(
        default=None, description="Tenant of all its tokens, unless `claims.tenant` is given."
    )
    tenants: Texts | None = Field(
        default=None, description="Tenants that `claims.tenant` may name. Default: any that the issuer names."
    )
    claims: ClaimsShape = Field(default_factory=ClaimsShape, description="Claims that add to what is granted here.")


class MtlsShape(Shape):
    """Callers with a client certificate; needs `server.tls.client_ca_file`."""

    identities: dict[SpiffeId, GrantedShape] = Field(
        default_factory=dict, description="By the SPIFFE id in the certificate, which must match exactly."
    )


class IdentityShape(Shape):
    """Who may call. Without this section everybody on this machine may, and nobody else can."""

    api_keys: ApiKeysShape = Field(default_factory=ApiKeysShape, description="API keys.")
    jwt: dict[str, IssuerShape] = Field(
        default_factory=dict, description="Issuers of tokens, by a name of your choice."
    )
    mtls: MtlsShape = Field(default_factory=MtlsShape, description="Client certificates.")
    anonymous: GrantedShape | None = Field(
        default=None,
        description="Who calls without credentials; allowed on loopback only. Default: nobody, once any other way to "
        "be known is configured.",
    )
