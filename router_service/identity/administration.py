"""Making, rotating and revoking keys: the command line and the administrative RPC both do it here."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from router_service.domain.identity import Grants
from router_service.identity.keys import Draw, KeyRecord, NewKey, Peppers, new_key
from router_service.identity.store import KeyStore

MICROSECONDS = 1_000_000

Wall = Callable[[], float]
"""Seconds since 1970."""


class KeyNotFound(Exception):
    """No key of that id, or none that still holds. The message says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey:
    """A new key and what is kept of it."""

    key: NewKey
    record: KeyRecord


class KeyAdministration:
    """Administers the keys of a store. `revoked` is told the public id of each key that ends, so that this process
    forgets it at once; other replicas forget it within `cache_ttl`.

    Who may do so is the caller's to check: `Identity.may_administer` and `Grants.covers`. Every method raises
    `StorageError`.
    """

    def __init__(
        self,
        store: KeyStore,
        peppers: Peppers,
        *,
        wall: Wall,
        revoked: Callable[[str], None] = lambda _: None,
        draw: Draw = secrets.choice,
    ) -> None:
        self._store = store
        self._peppers = peppers
        self._wall = wall
        self._revoked = revoked
        self._draw = draw

    async def create(self, *, name: str, tenant: str, grants: Grants, expires_at: float | None = None) -> IssuedKey:
        """Make a key; `expires_at` is in seconds since 1970, `None` for one that does not expire."""
        issued = self._issued(name, tenant, grants, expires_at, None)
        await self._store.add(issued.record)
        return issued

    async def rotate(self, public_id: str, *, overlap: float, expires_at: float | None = None) -> IssuedKey:
        """Make a key that may what the old one may; the old one holds for `overlap` more seconds, if not less.

        Raises `KeyNotFound` where the old one does not hold.
        """
        old = await self._store.find(public_id)
        if old is None or not old.holds(self._now()):
            raise KeyNotFound(f"There is no key {public_id} that still holds: list the keys to find one.")
        issued = self._issued(old.name, old.tenant, old.grants, expires_at, public_id)
        until = issued.record.created_at + round(overlap * MICROSECONDS)
        if not await self._store.follow(issued.record, replaced_until=until):
            raise KeyNotFound(f"The key {public_id} ended while it was to be rotated; nothing was made.")
        # What is remembered of it does not know when it ends now.
        self._revoked(public_id)
        return issued

    async def revoke(self, public_id: str) -> KeyRecord:
        """End a key for good; returns it as it is now. Raises `KeyNotFound`."""
        ended = await self._store.revoke(public_id, self._now())
        record = await self._store.find(public_id)
        if not ended or record is None:
            raise KeyNotFound(f"There is no key {public_id} to revoke, or it was revoked before.")
        self._revoked(public_id)
        return record

    async def find(self, public_id: str) -> KeyRecord | None:
        """A key, also one that no longer holds: ask whose it is before it is rotated or revoked."""
        return await self._store.find(public_id)

    async def list(self, tenant: str | None = None) -> list[KeyRecord]:
        """All keys, or one tenant's, the latest first; also those that no longer hold."""
        return await self._store.list(tenant)

    def _issued(
        self, name: str, tenant: str, grants: Grants, expires_at: float | None, replaces: str | None
    ) -> IssuedKey:
        key, now = new_key(self._draw), self._now()
        record = KeyRecord(
            public_id=key.public_id,
            secret_hash=self._peppers.hash(key.reveal()),
            name=name,
            tenant=tenant,
            grants=grants,
            created_at=now,
            expires_at=None if expires_at is None else round(expires_at * MICROSECONDS),
            replaces=replaces,
        )
        return IssuedKey(key=key, record=record)

    def _now(self) -> int:
        return round(self._wall() * MICROSECONDS)
