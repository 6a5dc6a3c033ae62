"""Who changed what and when: keys, budgets, the configuration. Of values only fingerprints are kept, never secrets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from router_service.ledger.records import microseconds
from router_service.storage.database import Row, Session

_COLUMNS = "entry_id, at_us, actor, action, subject, before_fingerprint, after_fingerprint, detail"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One administrative action.

    `entry_id` is unique, `at` in seconds since the epoch. `actor` is who did it, such as "rk_1a2b3c4d5e6f", "cli" or
    "operator", `action` what, such as "keys.revoke" or "configuration.reload", `subject` to what. The fingerprints are
    of the state before and after, empty where there was none. `detail` is a short text without secrets.
    """

    entry_id: str
    at: float
    actor: str
    action: str
    subject: str = ""
    before_fingerprint: str = ""
    after_fingerprint: str = ""
    detail: str = ""


class AuditLog:
    """Entries in the database, never changed. Every method raises `StorageError`."""

    def __init__(self, database: Session) -> None:
        self._database = database

    async def add(self, entry: AuditEntry) -> None:
        """Keep an entry; one that is kept already changes nothing."""
        await self._database.execute(
            f"INSERT INTO audit_log ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) "  # noqa: S608 - a constant
            "ON CONFLICT (entry_id) DO NOTHING",
            entry.entry_id,
            microseconds(entry.at),
            entry.actor,
            entry.action,
            entry.subject,
            entry.before_fingerprint,
            entry.after_fingerprint,
            entry.detail,
        )

    async def entries(self, since: float, until: float, *, start: int = 0, count: int = 1000) -> Sequence[AuditEntry]:
        """The entries from `since` to before `until`, the oldest first: `count` of them from the offset `start` on."""
        rows = await self._database.fetch(
            f"SELECT {_COLUMNS} FROM audit_log WHERE at_us >= $1 AND at_us < $2 "  # noqa: S608 - a constant
            "ORDER BY at_us, entry_id LIMIT $3 OFFSET $4",
            microseconds(since),
            microseconds(until),
            count,
            start,
        )
        return [_entry(row) for row in rows]

    async def latest(
        self, since: float, until: float, *, after: AuditEntry | None = None, count: int = 1000
    ) -> Sequence[AuditEntry]:
        """The entries from `since` to before `until`, the latest first: `count` of them, from the one that comes after
        `after`, of which `at` and `entry_id` matter. What is added meanwhile moves nothing."""
        rows = await self._database.fetch(
            f"SELECT {_COLUMNS} FROM audit_log WHERE at_us >= $1 AND (at_us < $2 OR at_us = $2 AND entry_id < $3) "  # noqa: S608 - a constant
            "ORDER BY at_us DESC, entry_id DESC LIMIT $4",
            microseconds(since),
            microseconds(until if after is None else after.at),
            "" if after is None else after.entry_id,
            count,
        )
        return [_entry(row) for row in rows]


def _entry(row: Row) -> AuditEntry:
    return AuditEntry(
        entry_id=row[0],
        at=row[1] / 1_000_000,
        actor=row[2],
        action=row[3],
        subject=row[4],
        before_fingerprint=row[5],
        after_fingerprint=row[6],
        detail=row[7],
    )
