"""Moves the journal into the store, in the background. While the store is away the journal grows; that is all.

A batch is in the store before its position is noted, so a crash between the two ships it again, which changes nothing.
Folders of dead processes are adopted, swept and shipped as well, then removed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from router_service.ledger.journal import Journal, lock_folder, remove_folder
from router_service.ledger.reconcile import Adopted, adopt
from router_service.ledger.records import Record, microseconds
from router_service.ledger.segment import line, scan, segment_number, segment_path, segments
from router_service.ledger.store import LedgerStore, Orphan, orphan_of
from router_service.storage.database import StorageError, StorageUnavailable

logger = logging.getLogger("llmrouter.ledger")

Sleep = Callable[[float], Awaitable[None]]

_POSITION = "position"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipperLimits:
    """Times in seconds. Every `interval` the journal is shipped, at most `batch_bytes` in one transaction; every
    `housekeeping_interval` dead processes are looked for, orphans swept, old rows and expired texts deleted.

    After a failure the wait doubles from `interval` to `longest_wait`. What began `orphaned_after` ago and has not
    ended is swept in the store; it must be longer than any call may take. Rows older than `retention` are deleted,
    none where it is `None`.
    """

    interval: float = 0.5
    batch_bytes: int = 64 * 1024
    longest_wait: float = 15.0
    housekeeping_interval: float = 30.0
    orphaned_after: float = 24 * 3600.0
    retention: float | None = None


_LIMITS = ShipperLimits()


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the store is behind: bytes of journal, adopted ones included, and seconds since it had all."""

    bytes: int
    seconds: float


@dataclass(slots=True)
class _Position:
    """The next byte to ship: its segment's number and the offset in it."""

    number: int
    offset: int


class Shipper:
    """Ships one process's journal, and those of dead processes beside it. `run` it as a task.

    `on_orphans` hears of attempts that a sweep ended, so that what is held for them can be let go. Clocks and sleep
    are injected: `wall` in seconds since the epoch.
    """

    def __init__(
        self,
        journal: Journal,
        store: LedgerStore,
        *,
        limits: ShipperLimits = _LIMITS,
        on_orphans: Callable[[Sequence[Orphan]], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._journal = journal
        self._store = store
        self._limits = limits
        self._on_orphans = on_orphans
        self._monotonic = monotonic
        self._wall = wall
        self._sleep = sleep
        self._root = journal.folder.parent
        self._position = _Position(1, 0)
        self._adopted: list[Adopted] = []
        self._prepared = False
        self._complete_at = monotonic()
        self._kept_house_at: float | None = None
        self.refused = 0
        self.damaged = 0

    def lag(self) -> Lag:
        """How far the store is behind."""
        adopted = sum(_bytes_in(one.folder) for one in self._adopted)
        waiting = self._journal.backlog + adopted
        return Lag(waiting, self._monotonic() - self._complete_at if waiting else 0.0)

    async def run(self) -> None:
        """Ship until cancelled. Never raises anything else."""
        wait = self._limits.interval
        failing = False
        while True:
            try:
                await self._round()
                if failing:
                    logger.info("the ledger's store is back; nothing was lost")
                wait, failing = self._limits.interval, False
            except (StorageError, OSError) as exc:
                if not failing:
                    logger.warning("the ledger's store cannot be written, the journal keeps everything: %s", exc)
                wait, failing = min(self._limits.longest_wait, 2 * wait), True
            except Exception:
                logger.exception("shipping the ledger failed; it is tried again")
                wait, failing = self._limits.longest_wait, True
            await self._sleep(wait)

    async def ship(self) -> None:
        """Ship all that is in the journals now. Raises `StorageError` and `OSError`."""
        if not self._prepared:
            await self._store.prepare()
            self._prepared = True
        while self._adopted:
            await self._ship_adopted(self._adopted[0])
        began = self._monotonic()
        while await self._ship_batch(self._journal.folder, self._position, self._journal.number):
            pass
        self._complete_at = began

    async def adopt(self) -> None:
        """Take over what dead processes left, end what they left open, and ship it with the next round."""
        for one in await asyncio.to_thread(lambda: list(adopt(self._root))):
            self._adopted.append(one)
            if one.orphans:
                logger.warning(
                    "the router %s died; %d of its attempts had no end and are indeterminate now",
                    one.folder.name,
                    len(one.orphans),
                )
            else:
                logger.info("the journal of the router %s, which is gone, is shipped too", one.folder.name)
            if one.orphans:
                self._on_orphans([orphan_of(intent) for intent in one.orphans])

    async def aclose(self, timeout: float = 5.0) -> None:  # noqa: ASYNC109 - what is not shipped in time stays
        """Ship what is left and close the journal; its folder is removed where everything is in the store.

        Call it after `run` was cancelled. What cannot be shipped within `timeout` seconds is adopted at the next start.
        """
        complete = False
        with contextlib.suppress(StorageError, OSError, TimeoutError):
            async with asyncio.timeout(timeout):
                await asyncio.to_thread(self._journal.flush)
                await self.ship()
                complete = True
        await asyncio.to_thread(self._journal.close)
        for one in self._adopted:
            os.close(one.lock)
        self._adopted.clear()
        if complete and not self._journal.backlog and not self._journal.open_records:
            await asyncio.to_thread(_remove, self._journal.folder)

    async def _round(self) -> None:
        now = self._monotonic()
        due = self._kept_house_at is None or now - self._kept_house_at >= self._limits.housekeeping_interval
        if due:
            self._kept_house_at = now
            # First, and also while the store is away: budgets need not wait for it.
            await self.adopt()
        await self.ship()
        if due:
            await self._keep_house()

    async def _keep_house(self) -> None:
        orphans = await self._store.sweep(self._before(self._limits.orphaned_after))
        if orphans:
            logger.warning("%d attempts of routers that are gone had no end and are indeterminate now", len(orphans))
            self._on_orphans(orphans)
        if self._limits.retention is not None:
            await self._store.forget(self._before(self._limits.retention))
        await self._store.expire(self._before(0.0))

    def _before(self, seconds: float) -> int:
        return microseconds(self._wall() - seconds)

    async def _ship_adopted(self, adopted: Adopted) -> None:
        folder = adopted.folder
        position = await asyncio.to_thread(_read_position, folder)
        while await self._ship_batch(folder, position, None):
            pass
        # The thread has the lock now, and lets go of it also where nobody waits any more.
        self._adopted.remove(adopted)
        try:
            await asyncio.to_thread(remove_folder, folder, adopted.lock)
        except OSError:
            self._adopted.insert(0, adopted)
            raise

    async def _ship_batch(self, folder: Path, position: _Position, active: int | None) -> bool:
        """Ship one batch and move on; false where there is no more. `active` is the segment still written to."""
        path = segment_path(folder, position.number)
        if not path.exists():
            later = [number for number in map(segment_number, segments(folder)) if number > position.number]
            if not later:
                return False
            position.number, position.offset = later[0], 0
            return True
        found = await asyncio.to_thread(scan, path, position.offset, self._limits.batch_bytes)
        if found.records:
            await self._add(found.records)
        if found.damaged:
            self.damaged += len(found.damaged)
            aside = self._root / "damaged.journal"
            logger.error("%d lines of the ledger's journal %s are damaged; they are in %s", self.damaged, path, aside)
            await asyncio.to_thread(_append, aside, b"".join(found.damaged))
        self._shipped(active, found.end - position.offset)
        moved = found.end > position.offset
        position.offset = found.end
        if not moved and (active is None or position.number < active):
            # Its end was reached; what is behind it is a line that was never completed.
            self._shipped(active, path.stat().st_size - found.end)
            await asyncio.to_thread(path.unlink)
            position.number, position.offset = position.number + 1, 0
            moved = True
        if moved:
            await asyncio.to_thread(_write_position, folder, position)
        return moved

    def _shipped(self, active: int | None, count: int) -> None:
        if active is not None:
            self._journal.acknowledge(count)

    async def _add(self, records: list[Record]) -> None:
        """Keep a batch. A record that the store refuses must not hold up all others: it is kept in a file."""
        try:
            await self._store.add(records)
        except StorageUnavailable:
            raise
        except StorageError:
            if len(records) > 1:
                half = len(records) // 2
                await self._add(records[:half])
                await self._add(records[half:])
                return
            # Raises where it is the store that is not right, and not the record.
            await self._store.check()
            self.refused += 1
            logger.exception("the ledger's store refused a record, which is kept in %s", self._root / "refused.journal")
            await asyncio.to_thread(_append, self._root / "refused.journal", line(records[0]))


def _read_position(folder: Path) -> _Position:
    """Where the dead process's own shipper had come to; the beginning where that is not known."""
    try:
        number, offset = map(int, (folder / _POSITION).read_text().split())
    except (OSError, ValueError):
        return _Position(1, 0)
    return _Position(number, offset)


def _write_position(folder: Path, position: _Position) -> None:
    draft = folder / f"{_POSITION}.draft"
    draft.write_text(f"{position.number} {position.offset}\n")
    draft.rename(folder / _POSITION)


def _append(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def _remove(folder: Path) -> None:
    lock = lock_folder(folder)
    if lock is not None:
        remove_folder(folder, lock)


def _bytes_in(folder: Path) -> int:
    with contextlib.suppress(OSError):
        return sum(path.stat().st_size for path in segments(folder))
    return 0
