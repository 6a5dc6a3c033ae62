"""From what a caller presents to who it is. It knows nothing of gRPC or HTTP: both edges use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from router_service.config.identity import GrantedIdentity, IdentitySettings
from router_service.domain.error import Unauthenticated
from router_service.domain.identity import Identity, IdentityKind
from router_service.identity.api_keys import ApiKeyVerifier
from router_service.identity.certificates import identity_of_certificate
from router_service.identity.clock import Clocks
from router_service.identity.keys import PREFIX
from router_service.identity.store import KeyStore, SqlKeyStore
from router_service.identity.tokens import TokenVerifier
from router_service.identity.verified import VerifiedCache
from router_service.storage.database import Database

_HOW = "Send `authorization: Bearer <key>` with an API key of this router"
_LONGEST = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a caller presents, as the edge found it; `repr` shows none of it.

    `authorization` and `api_key` are all values of the headers `authorization` and `x-api-key`. `certificate_uris` are
    the URIs among the alternative names of a client certificate that the edge has verified: gRPC's auth context has
    them as `peer_uri`, while in `x509_subject_alternative_name` a DNS name could pass for one. Nothing else that a
    caller sends says who it is: no `:authority`, no body.
    """

    authorization: tuple[str, ...] = field(default=(), repr=False)
    api_key: tuple[str, ...] = field(default=(), repr=False)
    certificate_uris: tuple[str, ...] = field(default=(), repr=False)


class Authenticator:
    """Knows callers by API key, token or certificate."""

    def __init__(self, settings: IdentitySettings, store: KeyStore | None, *, clocks: Clocks) -> None:
        self._settings = settings
        self._store = store
        self._cache = VerifiedCache(settings.api_keys.cache_size)
        self._api_keys = ApiKeyVerifier(
            settings.api_keys, store if settings.api_keys.database else None, self._cache, clocks=clocks
        )
        self._clocks = clocks
        self._tokens = TokenVerifier(settings.issuers, self._cache, clocks=clocks)

    async def authenticate(self, credentials: Credentials) -> Identity:
        """Who calls. Nothing is awaited for a caller that was verified a moment ago.

        Raises `Unauthenticated`, and `StateUnavailable` or `Overloaded` where a key cannot be looked up now.
        """
        settings = self._settings
        if not settings.authenticates and settings.anonymous is not None:
            # Nobody is asked here, so that nothing that is sent can be wrong.
            return _anonymous(settings.anonymous)
        certified = None
        if settings.spiffe:
            certified = identity_of_certificate(credentials.certificate_uris, settings.spiffe)
        presented = len(credentials.authorization) + len(credentials.api_key) + (certified is not None)
        if presented > 1:
            raise Unauthenticated(
                "The call brings more than one credential: "
                f"{_listed(credentials, certified)}. Send the one that it is made with, and no other."
            )
        if certified is not None:
            return certified
        if credentials.authorization:
            return await self._bearer(credentials.authorization[0])
        if credentials.api_key:
            return await self._api_keys.verify(credentials.api_key[0])
        if settings.anonymous is not None:
            return _anonymous(settings.anonymous)
        if credentials.certificate_uris and settings.spiffe:
            raise Unauthenticated(f"The client certificate names nobody who may call here. {_HOW}, or register its id.")
        raise Unauthenticated(f"The call brings no credentials. {_HOW}{self._other_ways()}.")

    def forget(self, public_id: str) -> None:
        """Believe a key no longer that was revoked or rotated just now."""
        self._cache.forget(public_id)

    def use(self, settings: IdentitySettings) -> None:
        """Take over a reloaded configuration. What the database confirmed stays remembered."""
        self._settings = settings
        self._api_keys.use(settings.api_keys, self._store if settings.api_keys.database else None)
        self._tokens.use(settings.issuers)

    async def aclose(self) -> None:
        """Give up what is under way."""
        await self._api_keys.aclose()
        await self._tokens.aclose()

    async def _bearer(self, header: str) -> Identity:
        scheme, _, credential = header.partition(" ")
        credential = credential.strip()
        if scheme.lower() != "bearer" or not credential or len(credential) > _LONGEST:
            raise Unauthenticated(f"The header authorization is not understood. {_HOW}{self._other_ways()}.")
        if credential.startswith(PREFIX) or not self._settings.issuers:
            return await self._api_keys.verify(credential)
        return await self._tokens.verify(credential)

    def _other_ways(self) -> str:
        ways = ["a token of a trusted issuer"] if self._settings.issuers else []
        ways += ["a client certificate"] if self._settings.spiffe else []
        return f", or use {' or '.join(ways)}" if ways else ""


def open_authenticator(settings: IdentitySettings, database: Database | None, *, clocks: Clocks) -> Authenticator:
    """The authenticator of a configuration; `database` is the configuration's, migrated."""
    return Authenticator(settings, SqlKeyStore(database) if database is not None else None, clocks=clocks)


def _anonymous(granted: GrantedIdentity) -> Identity:
    return Identity(
        tenant=granted.tenant,
        principal="anonymous",
        kind=IdentityKind.ANONYMOUS,
        name=granted.name,
        grants=granted.grants,
    )


def _listed(credentials: Credentials, certified: Identity | None) -> str:
    counted: Mapping[str, int] = {
        "authorization": len(credentials.authorization),
        "x-api-key": len(credentials.api_key),
        "a client certificate": int(certified is not None),
    }
    return ", ".join(name if count == 1 else f"{name} {count} times" for name, count in counted.items() if count)
