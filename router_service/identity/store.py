"""Where keys are kept: in the configuration file, or in a database."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from router_service.config.identity import ApiKeySettings, DeclaredKey
from router_service.config.secret import LiteralSecret
from router_service.domain.identity import Grants, Names, Role
from router_service.identity.keys import KeyRecord, Peppers, public_id_of
from router_service.storage.database import Database, Row

_COLUMNS = "public_id, secret_hash, name, tenant, grants, created_at, expires_at, revoked_at, replaces"
_LISTS = ("features", "models", "policies", "tiers")


class KeyStore(Protocol):
    """Keeps the keys that can be made and revoked while the router runs. Every method raises `StorageError`."""

    async def find(self, public_id: str) -> KeyRecord | None:
        """The key of that id, also one that no longer holds."""
        ...

    async def list(self, tenant: str | None = None) -> list[KeyRecord]:
        """All keys, or one tenant's, the latest first."""
        ...

    async def add(self, record: KeyRecord) -> None:
        """Keep a new key. Raises `ConstraintViolated` where its id is taken."""
        ...

    async def follow(self, record: KeyRecord, *, replaced_until: int) -> bool:
        """Keep a new key and let the one it replaces end at that time, unless it ends earlier; both, or neither.

        False where the replaced one no longer holds.
        """
        ...

    async def revoke(self, public_id: str, at: int) -> bool:
        """End a key for good. False where there is none, or it was revoked before."""
        ...


class SqlKeyStore:
    """Keys in the table `api_keys`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, public_id: str) -> KeyRecord | None:
        rows = await self._database.fetch(f"SELECT {_COLUMNS} FROM api_keys WHERE public_id = $1", public_id)  # noqa: S608
        return _record(rows[0]) if rows else None

    async def list(self, tenant: str | None = None) -> list[KeyRecord]:
        order = "ORDER BY created_at DESC, public_id"
        if tenant is None:
            rows = await self._database.fetch(f"SELECT {_COLUMNS} FROM api_keys {order}")  # noqa: S608
        else:
            rows = await self._database.fetch(f"SELECT {_COLUMNS} FROM api_keys WHERE tenant = $1 {order}", tenant)  # noqa: S608
        return [_record(row) for row in rows]

    async def add(self, record: KeyRecord) -> None:
        await self._database.execute(_INSERT, *_values(record))

    async def follow(self, record: KeyRecord, *, replaced_until: int) -> bool:
        async with self._database.transaction() as transaction:
            ending = await transaction.execute(
                "UPDATE api_keys SET expires_at = CASE WHEN expires_at < $2 THEN expires_at ELSE $2 END"
                " WHERE public_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $3)",
                record.replaces,
                replaced_until,
                record.created_at,
            )
            if not ending:
                return False
            await transaction.execute(_INSERT, *_values(record))
            return True

    async def revoke(self, public_id: str, at: int) -> bool:
        sql = "UPDATE api_keys SET revoked_at = $2 WHERE public_id = $1 AND revoked_at IS NULL"
        return bool(await self._database.execute(sql, public_id, at))


_INSERT = f"INSERT INTO api_keys ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"  # noqa: S608


def _values(record: KeyRecord) -> tuple[Any, ...]:
    return (
        record.public_id,
        record.secret_hash,
        record.name,
        record.tenant,
        json.dumps(grants_to_json(record.grants), sort_keys=True),
        record.created_at,
        record.expires_at,
        record.revoked_at,
        record.replaces,
    )


def _record(row: Row) -> KeyRecord:
    public_id, secret_hash, name, tenant, grants, created_at, expires_at, revoked_at, replaces = row
    return KeyRecord(
        public_id=public_id,
        secret_hash=bytes(secret_hash),
        name=name,
        tenant=tenant,
        grants=grants_of_json(json.loads(grants)),
        created_at=created_at,
        expires_at=expires_at,
        revoked_at=revoked_at,
        replaces=replaces,
    )


def grants_to_json(grants: Grants) -> dict[str, Any]:
    """Grants as plain data, which `grants_of_json` reads; all names are "*"."""
    written: dict[str, Any] = {}
    for field in _LISTS:
        names: Names = getattr(grants, field)
        if names is None or names:
            written[field] = "*" if names is None else sorted(names)
    if grants.default_tier:
        written["default_tier"] = grants.default_tier
    if grants.roles:
        written["roles"] = sorted(grants.roles)
    if grants.max_concurrent_calls is not None:
        written["max_concurrent_calls"] = grants.max_concurrent_calls
    return written


def grants_of_json(written: Mapping[str, Any]) -> Grants:
    """Grants from plain data. What this version does not know grants nothing."""
    names = {field: None if written.get(field) == "*" else frozenset(written.get(field, ())) for field in _LISTS}
    return Grants(
        **names,
        default_tier=written.get("default_tier", ""),
        roles=frozenset(role for role in Role if role in written.get("roles", ())),
        max_concurrent_calls=written.get("max_concurrent_calls"),
    )


class DeclaredKeys:
    """The keys of the configuration file. A key whose text is rotated under the process is found by its new id."""

    def __init__(self, settings: ApiKeySettings) -> None:
        # Texts are known in full: they are compared under a pepper of this process.
        self._own = Peppers([LiteralSecret(secrets.token_hex(32))])
        self._hashed = {
            key.public_id: _declared(key, key.public_id, key.secret_hash) for key in _without_text(settings)
        }
        self._texts = [key for key in settings.declared if key.key is not None]
        self._peppers = Peppers(settings.peppers) if settings.peppers else self._own

    @property
    def peppers(self) -> Peppers:
        """What hashes are compared under where no key of the file has the id."""
        return self._peppers

    def find(self, public_id: str) -> tuple[KeyRecord, Peppers] | None:
        """The key of that id, and the peppers its hash was made with."""
        if record := self._hashed.get(public_id):
            return record, self._peppers
        for key in self._texts:
            text = key.key.reveal() if key.key is not None else ""
            if public_id_of(text) == public_id:
                return _declared(key, public_id, self._own.hash(text)), self._own
        return None


def _without_text(settings: ApiKeySettings) -> Iterable[DeclaredKey]:
    return (key for key in settings.declared if key.key is None)


def _declared(key: DeclaredKey, public_id: str, secret_hash: bytes) -> KeyRecord:
    return KeyRecord(
        public_id=public_id,
        secret_hash=secret_hash,
        name=key.name,
        tenant=key.tenant,
        grants=key.grants,
        created_at=0,
    )
