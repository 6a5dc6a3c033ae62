"""The ledger of one process, put together: the journal at once, the store as soon as there is a database."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from router_service.config.configuration import LedgerSettings, StorageSettings
from router_service.ledger.journal import Journal, JournalLimits
from router_service.ledger.shipper import Lag, Shipper, ShipperLimits
from router_service.ledger.store import Orphan, SqlLedgerStore
from router_service.storage.database import Database, StorageError
from router_service.storage.opening import open_database

_DATABASE_FILE = "ledger.db"


class LedgerKeeper:
    """Records from its making on, ships from `start` to `aclose`.

    Raises `OSError` where the folder cannot be used. `on_orphans` hears of attempts whose router died, so that what
    budgets and limits hold for them can be let go.
    """

    def __init__(
        self,
        folder: Path,
        settings: LedgerSettings,
        *,
        process: str | None = None,
        on_orphans: Callable[[Sequence[Orphan]], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._on_orphans = on_orphans
        # Who called what is nobody else's business on this machine.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.journal = Journal(
            folder / "journal",
            process or process_name(),
            limits=JournalLimits(
                sync_interval=settings.sync_interval, most_backlog=settings.max_backlog, least_free=settings.min_free
            ),
        )
        self._shipper: Shipper | None = None
        self._shipping: asyncio.Task[None] | None = None

    async def start(self, database: Database) -> None:
        """Ship to this database from now on. It need not be reachable yet, and stays the caller's to close."""
        settings = self._settings
        self._shipper = Shipper(
            self.journal,
            SqlLedgerStore(database),
            limits=ShipperLimits(orphaned_after=settings.orphaned_after, retention=settings.retention),
            on_orphans=self._on_orphans,
        )
        self._shipping = asyncio.create_task(self._shipper.run())

    def lag(self) -> Lag:
        """How far the database is behind."""
        return self._shipper.lag() if self._shipper is not None else Lag(self.journal.backlog, 0.0)

    async def aclose(self) -> None:
        """Ship what is left, as far as a few seconds allow, and close the journal. The next start ships the rest."""
        if self._shipping is not None:
            self._shipping.cancel()
            await asyncio.gather(self._shipping, return_exceptions=True)
        if self._shipper is not None:
            await self._shipper.aclose()
        else:
            await asyncio.to_thread(self.journal.close)


async def open_ledger_database(storage: StorageSettings, ledger: LedgerSettings) -> Database:
    """The database of `storage`, else ledger.db in the ledger's folder. Raises `StorageError`, also without either."""
    if storage.url is None and ledger.folder is None:
        raise StorageError("No database is configured: give `storage: {url: ...}` or `ledger: {folder: ...}`.")
    if storage.url is None:
        assert ledger.folder is not None
        ledger.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return await open_database(
        storage.url.reveal() if storage.url is not None else f"sqlite:///{_DATABASE_FILE}",
        directory=storage.directory if storage.url is not None else ledger.folder or Path(),
        connect_timeout=storage.connect_timeout,
        command_timeout=storage.command_timeout,
        max_connections=storage.max_connections,
        statement_cache_size=storage.statement_cache_size,
    )


def process_name() -> str:
    """A name that no other router process has, nor will have: host, process id and chance."""
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname()).lstrip(".")[:80]
    return f"{host}-{os.getpid()}-{secrets.token_hex(4)}"
