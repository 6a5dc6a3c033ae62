"""Clocks, stores and settings for tests of identity."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from router_service.config.identity import ApiKeySettings, DeclaredKey, GrantedIdentity, IdentitySettings
from router_service.config.secret import LiteralSecret
from router_service.domain.identity import Grants
from router_service.identity.authenticator import Authenticator, Credentials
from router_service.identity.clock import Clocks
from router_service.identity.keys import KeyRecord, NewKey, Peppers, new_key
from router_service.storage.database import StorageUnavailable

PEPPER = LiteralSecret("a pepper of at least 16 characters")
PEPPERS = Peppers([PEPPER])
GRANTS = Grants(features=frozenset({"chat"}), models=frozenset({"gpt-4o"}), policies=None)
MICROSECONDS = 1_000_000


class Time:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def clocks(self) -> Clocks:
        return Clocks(monotonic=lambda: self.now, wall=lambda: self.now)

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


class MemoryKeyStore:
    """Keys in a dictionary. `away` makes lookups fail, `slow` lets them wait for the event; `asked` counts
    them, `begun` is set by the first."""

    def __init__(self, records: Iterable[KeyRecord] = ()) -> None:
        self.records = {record.public_id: record for record in records}
        self.away = False
        self.slow: asyncio.Event | None = None
        self.asked = 0
        self.begun = asyncio.Event()

    async def find(self, public_id: str) -> KeyRecord | None:
        self.asked += 1
        self.begun.set()
        # As it is now: an answer that is late is one of long ago.
        record = self.records.get(public_id)
        if self.slow is not None:
            await self.slow.wait()
        if self.away:
            raise StorageUnavailable("The database is away.")
        return record

    async def list(self, tenant: str | None = None) -> list[KeyRecord]:
        raise NotImplementedError

    async def add(self, record: KeyRecord) -> None:
        raise NotImplementedError

    async def follow(self, record: KeyRecord, *, replaced_until: int) -> bool:
        raise NotImplementedError

    async def revoke(self, public_id: str, at: int) -> bool:
        raise NotImplementedError


def kept(key: NewKey, *, expires_at: float | None = None, revoked_at: float | None = None) -> KeyRecord:
    """A key as the database has it; times in seconds."""
    return KeyRecord(
        public_id=key.public_id,
        secret_hash=PEPPERS.hash(key.reveal()),
        name="billing",
        tenant="acme",
        grants=GRANTS,
        created_at=0,
        expires_at=None if expires_at is None else round(expires_at * MICROSECONDS),
        revoked_at=None if revoked_at is None else round(revoked_at * MICROSECONDS),
    )


def database_settings(**more: object) -> IdentitySettings:
    """Keys in the database only."""
    return IdentitySettings(api_keys=ApiKeySettings(peppers=(PEPPER,), database=True, **more))  # type: ignore[arg-type]


def declared_settings(key: NewKey, *, hashed: bool = False, **more: object) -> IdentitySettings:
    """One key in the file."""
    declared = DeclaredKey(
        name="batch",
        tenant="acme",
        grants=GRANTS,
        key=None if hashed else LiteralSecret(key.reveal()),
        public_id=key.public_id if hashed else "",
        secret_hash=PEPPERS.hash(key.reveal()) if hashed else b"",
    )
    keys = ApiKeySettings(declared=(declared,), peppers=(PEPPER,) if hashed else ())
    return IdentitySettings(api_keys=keys, **more)  # type: ignore[arg-type]


def spiffe_settings(*ids: str) -> IdentitySettings:
    return IdentitySettings(spiffe={one: GrantedIdentity(tenant="acme", grants=GRANTS, name=one) for one in ids})


def bearer(credential: str) -> Credentials:
    return Credentials(authorization=(f"Bearer {credential}",))


def authenticator(
    settings: IdentitySettings, store: MemoryKeyStore | None = None, time: Time | None = None
) -> Authenticator:
    return Authenticator(settings, store, clocks=(time or Time()).clocks())


def a_key() -> NewKey:
    return new_key()
