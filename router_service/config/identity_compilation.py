"""From the checked section `identity` to the settings the router runs on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from router_service.config.identity import (
    EVERYBODY,
    ApiKeySettings,
    ClaimNames,
    DeclaredKey,
    GrantedIdentity,
    IdentitySettings,
    IssuerSettings,
)
from router_service.config.identity_shape import (
    ApiKeysShape,
    ClaimsShape,
    DeclaredKeyShape,
    GrantedShape,
    GrantsShape,
    IdentityShape,
    IssuerShape,
)
from router_service.config.secret import FileSecret, Secret
from router_service.config.source import Location
from router_service.domain.identity import Grants, Names

SecretAt = Callable[[Location, str], Secret]
"""The secret of a text at its place in the file, which says whether it came from the environment."""


def identity_settings(shape: IdentityShape, secret: SecretAt, directory: Path) -> IdentitySettings:
    """The whole section. Where it names no way to be known, everybody on this machine may call."""
    settings = IdentitySettings(
        api_keys=_api_keys(shape.api_keys, secret, directory),
        issuers=tuple(_issuer(name, issuer, directory) for name, issuer in shape.jwt.items()),
        spiffe={one: _granted(granted, one) for one, granted in shape.mtls.identities.items()},
        anonymous=_granted(shape.anonymous, "anonymous") if shape.anonymous else None,
    )
    if settings.authenticates or settings.anonymous is not None:
        return settings
    return replace(settings, anonymous=EVERYBODY)


def _api_keys(shape: ApiKeysShape, secret: SecretAt, directory: Path) -> ApiKeySettings:
    peppers: list[Secret] = []
    if shape.pepper is not None:
        peppers.append(secret(("identity", "api_keys", "pepper"), shape.pepper))
    elif shape.pepper_file is not None:
        peppers.append(FileSecret(directory / shape.pepper_file))
    peppers += [
        secret(("identity", "api_keys", "previous_peppers", number), text)
        for number, text in enumerate(shape.previous_peppers)
    ]
    return ApiKeySettings(
        declared=tuple(_declared(name, key, secret, directory) for name, key in shape.keys.items()),
        peppers=tuple(peppers),
        database=shape.database,
        cache_ttl=shape.cache_ttl,
        outage_grace=shape.outage_grace,
        cache_size=shape.cache_size,
    )


def _declared(name: str, shape: DeclaredKeyShape, secret: SecretAt, directory: Path) -> DeclaredKey:
    public_id, _, digest = (shape.hash or "").partition(":")
    key: Secret | None = None
    if shape.key is not None:
        key = secret(("identity", "api_keys", "keys", name, "key"), shape.key)
    elif shape.key_file is not None:
        key = FileSecret(directory / shape.key_file)
    return DeclaredKey(
        name=name,
        tenant=shape.tenant,
        grants=_grants(shape),
        key=key,
        public_id=public_id,
        secret_hash=bytes.fromhex(digest),
    )


def _issuer(name: str, shape: IssuerShape, directory: Path) -> IssuerSettings:
    return IssuerSettings(
        name=name,
        issuer=shape.issuer,
        audiences=frozenset(shape.audience),
        algorithms=tuple(shape.algorithms),
        jwks_url=shape.jwks_url or "",
        jwks_file="" if shape.jwks_file is None else str(directory / shape.jwks_file),
        jwks_ttl=shape.jwks_ttl,
        leeway=shape.leeway,
        tenant=shape.tenant or "",
        tenants=None if shape.tenants is None else frozenset(shape.tenants),
        grants=_grants(shape),
        claims=_claims(shape.claims),
    )


def _claims(shape: ClaimsShape) -> ClaimNames:
    return ClaimNames(**{field: tuple(path.split(".")) for field, path in shape.model_dump(exclude_none=True).items()})


def _granted(shape: GrantedShape, name: str) -> GrantedIdentity:
    return GrantedIdentity(tenant=shape.tenant, grants=_grants(shape), name=name)


def _grants(shape: GrantsShape) -> Grants:
    return Grants(
        features=_names(shape.features),
        models=_names(shape.models),
        policies=_names(shape.policies),
        tiers=_names(shape.tiers),
        default_tier=shape.default_tier or "",
        roles=frozenset(shape.roles),
        max_concurrent_calls=shape.max_concurrent_calls,
    )


def _names(listed: list[str]) -> Names:
    return None if listed == ["*"] else frozenset(listed)
