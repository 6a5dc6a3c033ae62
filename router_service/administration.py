"""What administrators do: keys made, rotated and revoked, each in one transaction with its entry in the audit log."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

from router_service.config.identity import ApiKeySettings
from router_service.domain.error import NotConfigured, NotFound, Reason, StateUnavailable
from router_service.domain.identity import Grants
from router_service.identity.administration import IssuedKey, KeyAdministration, KeyNotFound, Wall
from router_service.identity.keys import KeyRecord, Peppers
from router_service.identity.store import SqlKeyStore, grants_to_json
from router_service.ledger.audit import AuditEntry, AuditLog
from router_service.storage.database import Database, Row, Session, StorageError, Value

T = TypeVar("T")

_FINGERPRINT_LENGTH = 16
_MAKE_KEYS = (
    "Keys are not kept in a database here: give the router a database in `storage`, and `identity.api_keys` with "
    "`database: true` and a pepper (docs/authentication.md)."
)
_KEEP_AUDIT = "Nothing is audited here: give the router a database in `storage`, or a `ledger` with a folder."


class AuditedKeys:
    """The keys of a migrated database, as `KeyAdministration` administers them; `actor` is who did it.

    `ended` is told the public id of each key that was rotated or revoked, as soon as that has taken effect. Every
    method raises `StorageError`, those that name a key also `KeyNotFound`; then nothing was changed or noted.
    """

    def __init__(
        self, database: Database, peppers: Peppers, *, wall: Wall, ended: Callable[[str], None] = lambda _: None
    ) -> None:
        self._database = database
        self._peppers = peppers
        self._wall = wall
        self._ended = ended

    async def create(
        self, *, actor: str, name: str, tenant: str, grants: Grants, expires_at: float | None = None
    ) -> IssuedKey:
        """Make a key; `expires_at` is in seconds since 1970."""

        async def create(keys: KeyAdministration) -> tuple[IssuedKey, AuditEntry]:
            issued = await keys.create(name=name, tenant=tenant, grants=grants, expires_at=expires_at)
            return issued, self._entry(actor, "keys.create", after=issued.record)

        return await self._noted(create)

    async def rotate(self, public_id: str, *, actor: str, overlap: float, expires_at: float | None = None) -> IssuedKey:
        """Make a key that may what the old one may; the old one holds for `overlap` more seconds."""

        async def rotate(keys: KeyAdministration) -> tuple[IssuedKey, AuditEntry]:
            old = await keys.find(public_id)
            issued = await keys.rotate(public_id, overlap=overlap, expires_at=expires_at)
            detail = f"followed by {issued.record.public_id}"
            return issued, self._entry(actor, "keys.rotate", before=old, after=issued.record, detail=detail)

        try:
            return await self._noted(rotate)
        finally:
            self._ended(public_id)

    async def revoke(self, public_id: str, *, actor: str) -> KeyRecord:
        """End a key for good; returns it as it is now."""

        async def revoke(keys: KeyAdministration) -> tuple[KeyRecord, AuditEntry]:
            old = await keys.find(public_id)
            record = await keys.revoke(public_id)
            return record, self._entry(actor, "keys.revoke", before=old, after=record)

        try:
            return await self._noted(revoke)
        finally:
            self._ended(public_id)

    async def find(self, public_id: str) -> KeyRecord | None:
        """A key, also one that no longer holds."""
        return await self._keys(self._database).find(public_id)

    async def list(self, tenant: str | None = None) -> list[KeyRecord]:
        """All keys, or one tenant's, the latest first; also those that no longer hold."""
        return await self._keys(self._database).list(tenant)

    async def _noted(self, act: Callable[[KeyAdministration], Awaitable[tuple[T, AuditEntry]]]) -> T:
        async with self._database.transaction() as transaction:
            done, entry = await act(self._keys(_Joined(transaction)))
            await AuditLog(transaction).add(entry)
        return done

    def _keys(self, database: Database) -> KeyAdministration:
        return KeyAdministration(SqlKeyStore(database), self._peppers, wall=self._wall)

    def _entry(
        self, actor: str, action: str, *, before: KeyRecord | None = None, after: KeyRecord, detail: str = ""
    ) -> AuditEntry:
        return AuditEntry(
            entry_id=secrets.token_hex(12),
            at=self._wall(),
            actor=actor,
            action=action,
            subject=(before or after).public_id,
            before_fingerprint="" if before is None else _fingerprint(before),
            after_fingerprint=_fingerprint(after),
            detail=detail,
        )


class Administration:
    """What the RPC asks. Every method raises `NotConfigured`, and `StateUnavailable` where the database is away.

    It has a database from `open` on.
    """

    def __init__(self, settings: ApiKeySettings) -> None:
        self._settings = settings
        self._database: Database | None = None
        self._ended: Callable[[str], None] = lambda _: None

    def open(self, database: Database | None, *, ended: Callable[[str], None]) -> None:
        """Use this database, migrated; `ended` is told of keys that no longer hold."""
        self._database, self._ended = database, ended

    def use(self, settings: ApiKeySettings) -> None:
        """Go by a reloaded configuration."""
        self._settings = settings

    def check(self) -> None:
        """Whether keys are kept here at all."""
        self._keys()

    async def create_key(
        self, *, actor: str, name: str, tenant: str, grants: Grants, expires_at: float | None
    ) -> IssuedKey:
        """Make a key; `expires_at` is in seconds since 1970, `None` for one that does not expire."""
        keys = self._keys()
        with _told():
            return await keys.create(actor=actor, name=name, tenant=tenant, grants=grants, expires_at=expires_at)

    async def rotate_key(self, public_id: str, *, actor: str, overlap: float, expires_at: float | None) -> IssuedKey:
        """Make a key that follows another one. Raises `NotFound` where that one does not hold."""
        keys = self._keys()
        with _told():
            return await keys.rotate(public_id, actor=actor, overlap=overlap, expires_at=expires_at)

    async def revoke_key(self, public_id: str, *, actor: str) -> KeyRecord:
        """End a key for good. Raises `NotFound` where there is none to end."""
        keys = self._keys()
        with _told():
            return await keys.revoke(public_id, actor=actor)

    async def key(self, public_id: str) -> KeyRecord | None:
        """A key, also one that no longer holds."""
        keys = self._keys()
        with _told():
            return await keys.find(public_id)

    async def keys(self, tenant: str | None) -> Sequence[KeyRecord]:
        """All keys, or one tenant's, the latest first; also those that no longer hold."""
        keys = self._keys()
        with _told():
            return await keys.list(tenant)

    async def audit_events(
        self, since: float, until: float, *, after: AuditEntry | None, count: int
    ) -> Sequence[AuditEntry]:
        """Entries from `since` to before `until`, the latest first: `count` of those that come after one."""
        if self._database is None:
            raise NotConfigured(_KEEP_AUDIT, metadata={"section": "storage"})
        with _told():
            return await AuditLog(self._database).latest(since, until, after=after, count=count)

    def _keys(self) -> AuditedKeys:
        settings = self._settings
        if self._database is None or not settings.database or not settings.peppers:
            raise NotConfigured(_MAKE_KEYS, metadata={"section": "identity.api_keys"})
        return AuditedKeys(self._database, Peppers(settings.peppers), wall=time.time, ended=self._ended)


class _Joined:
    """A transaction under way in a database's place: what asks for one takes part in it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.dialect = session.dialect

    async def fetch(self, sql: str, *args: Value) -> list[Row]:
        return await self._session.fetch(sql, *args)

    async def execute(self, sql: str, *args: Value) -> int:
        return await self._session.execute(sql, *args)

    async def execute_many(self, sql: str, rows: Iterable[Sequence[Value]]) -> None:
        await self._session.execute_many(sql, rows)

    async def execute_script(self, sql: str) -> None:
        await self._session.execute_script(sql)

    @asynccontextmanager
    async def transaction(self, *, statement_timeout: float | None = None) -> AsyncIterator[Session]:
        yield self._session

    async def aclose(self) -> None:
        """Whoever began it ends it."""


@contextmanager
def _told() -> Iterator[None]:
    """What went wrong, in words for callers."""
    try:
        yield
    except KeyNotFound as error:
        raise NotFound(str(error), reason=Reason.KEY_NOT_FOUND) from error
    except StorageError as error:
        raise StateUnavailable(
            "The router's database cannot be asked now. Try again.", metadata={"state": "database"}
        ) from error


def _fingerprint(record: KeyRecord) -> str:
    """Of what may be seen of a key: its secret's hash has no part in it."""
    seen = [record.public_id, record.name, record.tenant, grants_to_json(record.grants)]
    text = json.dumps([*seen, record.expires_at, record.revoked_at], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_FINGERPRINT_LENGTH]
