"""Whose token this is: a JWT of a trusted issuer. Needs the extra `jwt`.

The algorithm is one that the configuration allows, never the token's own choice; the key is the issuer's, never one
that the token brings (`jwk`, `jku`, `x5u` are not read). Grants come from the configuration; claims may add names to
them, never "all".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from router_service.config.identity import Algorithm, IssuerSettings
from router_service.domain.error import Unauthenticated
from router_service.domain.identity import Grants, Identity, IdentityKind, Names, Role
from router_service.identity.clock import Clocks
from router_service.identity.verified import Verified, VerifiedCache, digest_of

if TYPE_CHECKING:
    from router_service.identity.jwks import JwksClient

_REMEMBERED_SECONDS = 60.0
"""How long a verified token is not verified again; it never outlives its own end."""

_TENANT = re.compile(r"[A-Za-z0-9._@:/-]{1,128}")
_SUBJECT = re.compile(r"[\x21-\x7e]{1,256}")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,256}")
_MOST_NAMES = 256


class Keys(Protocol):
    """Public keys of an issuer."""

    async def key(self, key_id: str | None, algorithm: Algorithm) -> Any | None: ...

    async def aclose(self) -> None: ...


class TokenVerifier:
    """Verifies tokens of the configured issuers."""

    def __init__(self, issuers: Sequence[IssuerSettings], cache: VerifiedCache, *, clocks: Clocks) -> None:
        self._cache = cache
        self._clocks = clocks
        self._client: JwksClient | None = None
        self._issuers: dict[str, tuple[IssuerSettings, Keys]] = {}
        self._retired: list[Keys] = []
        self.use(issuers)

    def use(self, issuers: Sequence[IssuerSettings]) -> None:
        """Take over a reloaded configuration; keys of issuers that did not change stay."""
        kept = {name: (settings, keys) for name, (settings, keys) in self._issuers.items() if settings in issuers}
        self._retired += [keys for name, (_, keys) in self._issuers.items() if name not in kept]
        self._issuers = {one.issuer: kept.get(one.issuer) or (one, self._keys(one)) for one in issuers}

    async def verify(self, token: str) -> Identity:
        """Who calls with this token. Raises `Unauthenticated`, and `StateUnavailable` where the issuer's keys cannot be
        had. Nothing is awaited for a token that is remembered."""
        digest = digest_of(token)
        known = self._cache.get(digest)
        if (
            known is not None
            and self._clocks.monotonic() < known.fresh_until
            and not known.expired(self._clocks.wall())
        ):
            return known.identity
        epoch = self._cache.epoch
        settings, identity, ends_at = await self._verified(token)
        if epoch == self._cache.epoch:
            until = self._clocks.monotonic() + _REMEMBERED_SECONDS
            entry = Verified(
                identity=identity,
                fresh_until=until,
                usable_until=until,
                expires_at=ends_at + settings.leeway,
                declared=True,
            )
            self._cache.put(digest, entry)
        return identity

    async def aclose(self) -> None:
        """Give up what is under way."""
        for keys in [*self._retired, *(keys for _, keys in self._issuers.values())]:
            await keys.aclose()
        if self._client is not None:
            await self._client.aclose()

    async def _verified(self, token: str) -> tuple[IssuerSettings, Identity, float]:
        import jwt  # noqa: PLC0415 - an extra

        try:
            header = jwt.get_unverified_header(token)
            unverified = jwt.decode(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, RecursionError):
            _refuse("is not valid")
        found = self._issuers.get(str(unverified.get("iss")))
        if found is None:
            _refuse("is of an issuer that is not trusted here")
        settings, keys = found
        allowed = {one.value: one for one in settings.algorithms}
        algorithm = allowed.get(str(header.get("alg")))
        if algorithm is None:
            _refuse("is signed in a way that is not allowed here")
        key_id = header.get("kid")
        key = await keys.key(None if key_id is None else str(key_id), algorithm)
        if key is None:
            _refuse("is signed with a key that its issuer does not have")
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm.value],
                audience=settings.audiences,
                issuer=settings.issuer,
                leeway=settings.leeway,
                # Times are checked below, on our clock.
                options={
                    "require": ["aud", "exp", "iss", "sub"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.MissingRequiredClaimError as exc:
            _refuse(f"lacks the claim {exc.claim}")
        except jwt.InvalidAudienceError:
            _refuse("is for another service: its claim aud does not name this one")
        except (jwt.PyJWTError, ValueError, TypeError):
            _refuse("is not valid")
        ends_at = self._check_times(claims, settings.leeway)
        return settings, _identity(claims, settings), ends_at

    def _check_times(self, claims: Mapping[str, Any], leeway: float) -> float:
        ends_at, starts_at = claims["exp"], claims.get("nbf", 0)
        for time in (ends_at, starts_at):
            if isinstance(time, bool) or not isinstance(time, int | float):
                _refuse("has a time that is no number")
        now = self._clocks.wall()
        # Turned around: a time that is not a number compares as false, and is refused.
        if not now < ends_at + leeway:
            _refuse("has expired")
        if not now >= starts_at - leeway:
            _refuse("is not valid yet")
        return float(ends_at)

    def _keys(self, settings: IssuerSettings) -> Keys:
        from router_service.identity.jwks import IssuerKeys, JwksClient  # noqa: PLC0415 - an extra

        if self._client is None:
            self._client = JwksClient()
        return IssuerKeys(settings, fetch=self._client.fetch, monotonic=self._clocks.monotonic)


def _refuse(why: str) -> NoReturn:
    # Without a cause: a library's message may repeat the token.
    raise Unauthenticated(f"The token {why}. Get a new one from its issuer.") from None


def _identity(claims: Mapping[str, Any], settings: IssuerSettings) -> Identity:
    subject = claims["sub"]
    if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
        _refuse("has a subject that cannot be used: 1 to 256 printable ASCII characters")
    tenant = settings.tenant
    if settings.claims.tenant:
        tenant = next(iter(_texts(claims, settings.claims.tenant)), "")
        if not _TENANT.fullmatch(tenant) or (settings.tenants is not None and tenant not in settings.tenants):
            _refuse(f"names no tenant of this service in its claim {'.'.join(settings.claims.tenant)}")
    return Identity(
        tenant=tenant,
        principal=f"jwt:{settings.name}:{subject}",
        kind=IdentityKind.JWT,
        name=subject,
        grants=_grants(claims, settings),
    )


def _grants(claims: Mapping[str, Any], settings: IssuerSettings) -> Grants:
    given, paths = settings.grants, settings.claims

    def added(names: Names, path: tuple[str, ...]) -> Names:
        return None if names is None else names | (_texts(claims, path) - {"*"})

    roles = _texts(claims, paths.roles)
    tier = next(iter(_texts(claims, paths.default_tier)), "")
    return Grants(
        features=added(given.features, paths.features),
        models=added(given.models, paths.models),
        policies=added(given.policies, paths.policies),
        tiers=added(given.tiers, paths.tiers),
        default_tier=tier or given.default_tier,
        roles=given.roles | {role for role in Role if role.value in roles},
        max_concurrent_calls=given.max_concurrent_calls,
    )


def _texts(claims: Mapping[str, Any], path: tuple[str, ...]) -> frozenset[str]:
    """The names in a claim: one text, or a list; nothing where there is no such claim, or another kind of value."""
    value: Any = claims if path else None
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or len(listed) > _MOST_NAMES:
        return frozenset()
    return frozenset(one for one in listed if isinstance(one, str) and _NAME.fullmatch(one))
