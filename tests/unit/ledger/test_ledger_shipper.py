import asyncio
import threading
from collections import Counter

import pytest
from ledger_values import START_US, closed, intent, opened, records_of, terminal

from router_service.ledger.journal import Journal, JournalLimits, remove_folder
from router_service.ledger.records import AttemptIntent, AttemptTerminal
from router_service.ledger.segment import line, segment_path, segments
from router_service.ledger.shipper import Shipper, ShipperLimits
from router_service.storage.database import StorageError, StorageUnavailable

BY_HAND = JournalLimits(sync_interval=3600)


class Kept:
    """A store that remembers what was added, is away on request, and may refuse a record."""

    def __init__(self):
        self.records = []
        self.batches = 0
        self.away = False
        self.broken = False
        self.refuses = None
        self.swept_before = []
        self.forgotten_before = []
        self.expired_at = []

    async def prepare(self):
        self._answer()

    async def check(self):
        self._answer()
        if self.broken:
            raise StorageError("no such table")

    async def add(self, records):
        self._answer()
        if self.broken or self.refuses in records:
            raise StorageError("refused")
        self.batches += 1
        self.records += records

    async def sweep(self, before_us):
        self._answer()
        self.swept_before.append(before_us)
        return []

    async def forget(self, before_us):
        self.forgotten_before.append(before_us)
        return 0

    async def expire(self, now_us):
        self.expired_at.append(now_us)
        return 0

    def _answer(self):
        if self.away:
            raise StorageUnavailable("away")


@pytest.fixture
def store():
    return Kept()


@pytest.fixture
def journal(tmp_path):
    made = Journal(tmp_path, "router-1", limits=BY_HAND)
    yield made
    made.close()


def history(number):
    attempt_id = f"op-{number}-1"
    return [opened(f"op-{number}"), intent(attempt_id), terminal(attempt_id), closed(f"op-{number}")]


def write(journal, *numbers):
    for number in numbers:
        begun, meant, ended, done = history(number)
        journal.operation(begun)
        journal.intent(meant)
        journal.terminal(ended)
        journal.operation(done)


async def test_everything_arrives_once_and_in_order(journal, store):
    shipper = Shipper(journal, store, limits=ShipperLimits(batch_bytes=700))
    write(journal, 1, 2)
    await shipper.ship()
    write(journal, 3)
    await shipper.ship()
    assert store.records == history(1) + history(2) + history(3)
    assert store.batches > 3
    assert journal.backlog == 0


async def test_segments_that_are_in_the_store_are_deleted(journal, store):
    shipper = Shipper(journal, store)
    write(journal, 1)
    journal.rotate()
    write(journal, 2)
    await shipper.ship()
    assert [path.name for path in segments(journal.folder)] == ["00000002.journal"]
    assert store.records == history(1) + history(2)


async def test_a_store_that_is_away_is_only_lag(journal, store):
    """BerriAI/litellm#38157: a commit that failed lost the spend it was for."""
    now = [100.0]
    shipper = Shipper(journal, store, monotonic=lambda: now[0])
    store.away = True
    write(journal, 1)
    now[0] += 60
    with pytest.raises(StorageUnavailable):
        await shipper.ship()
    assert shipper.lag().bytes == journal.backlog > 0
    assert shipper.lag().seconds == 60
    store.away = False
    await shipper.ship()
    assert store.records == history(1)
    assert (shipper.lag().bytes, shipper.lag().seconds) == (0, 0.0)


async def test_a_store_that_is_away_too_long_makes_the_journal_refuse_calls(tmp_path, store):
    journal = Journal(tmp_path, "router-1", limits=JournalLimits(most_backlog=2_000, sync_interval=3600))
    shipper = Shipper(journal, store)
    store.away = True
    write(journal, *range(5))
    assert "wait for the database" in journal.refusal()
    store.away = False
    await shipper.ship()
    assert journal.refusal() == ""
    journal.close()


async def test_the_waits_double_while_the_store_is_away_and_end_when_it_is_back(journal, store, caplog):
    waits = []

    async def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 4:
            store.away = False
        if len(waits) == 6:
            raise asyncio.CancelledError

    store.away = True
    write(journal, 1)
    with pytest.raises(asyncio.CancelledError):
        await Shipper(journal, store, limits=ShipperLimits(interval=1.0, longest_wait=6.0), sleep=sleep).run()
    assert waits == [2.0, 4.0, 6.0, 6.0, 1.0, 1.0]
    assert store.records == history(1)
    assert [record.levelname for record in caplog.records].count("WARNING") == 1


async def test_what_a_dead_process_left_is_shipped_with_the_ends_of_its_orphans(tmp_path, journal, store):
    orphans = []
    dead = tmp_path / "dead"
    dead.mkdir()
    segment_path(dead, 1).write_bytes(b"".join(map(line, [opened(), intent(reserved_nano_usd=7)])) + b"torn li")
    shipper = Shipper(journal, store, on_orphans=orphans.extend)
    await shipper.adopt()
    assert [(one.attempt_id, one.reserved_nano_usd) for one in orphans] == [("op-1-1", 7)]
    await shipper.ship()
    assert [type(record).__name__ for record in store.records] == [
        "OperationOpened",
        "AttemptIntent",
        "AttemptTerminal",
        "OperationClosed",
    ]
    assert not dead.exists()


async def test_a_successor_goes_on_where_the_dead_process_had_come_to(tmp_path, store):
    first = Journal(tmp_path, "router-1", limits=BY_HAND)
    write(first, 1)
    await Shipper(first, store).ship()
    write(first, 2)
    first.close()  # as the kernel does when a process dies
    second = Journal(tmp_path, "router-2", limits=BY_HAND)
    shipper = Shipper(second, store)
    await shipper.adopt()
    await shipper.ship()
    assert store.records == history(1) + history(2)
    second.close()


async def test_a_folder_is_let_go_of_once_where_the_router_stops_amid_its_removal(
    tmp_path, journal, store, monkeypatch
):
    """Its lock was closed again by whoever stopped: by then the number may be another file's."""
    dead = tmp_path / "dead"
    dead.mkdir()
    segment_path(dead, 1).write_bytes(line(opened()))
    reached, go_on, gone = threading.Event(), threading.Event(), threading.Event()

    def slow(folder, lock):
        reached.set()
        go_on.wait(10)
        remove_folder(folder, lock)
        gone.set()

    monkeypatch.setattr("router_service.ledger.shipper.remove_folder", slow)
    shipper = Shipper(journal, store)
    await shipper.adopt()
    shipping = asyncio.create_task(shipper.ship())
    await asyncio.to_thread(reached.wait, 10)
    shipping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await shipping
    go_on.set()
    await asyncio.to_thread(gone.wait, 10)
    monkeypatch.setattr("router_service.ledger.shipper.remove_folder", remove_folder)
    await shipper.aclose()
    assert not dead.exists()


async def test_a_crash_between_store_and_position_ships_again_and_nothing_is_lost(tmp_path, store):
    first = Journal(tmp_path, "router-1", limits=BY_HAND)
    write(first, 1)
    await Shipper(first, store).ship()
    (first.folder / "position").unlink()
    first.close()
    second = Journal(tmp_path, "router-2", limits=BY_HAND)
    shipper = Shipper(second, store)
    await shipper.adopt()
    await shipper.ship()
    assert store.records == history(1) * 2
    second.close()


async def test_a_record_that_the_store_refuses_does_not_hold_up_the_others(tmp_path, journal, store):
    store.refuses = intent("op-2-1")
    shipper = Shipper(journal, store)
    write(journal, 1, 2, 3)
    await shipper.ship()
    assert [record for record in store.records if isinstance(record, AttemptIntent)] == [
        intent("op-1-1"),
        intent("op-3-1"),
    ]
    assert len(store.records) == 11
    assert shipper.refused == 1
    assert (tmp_path / "refused.journal").read_bytes() == line(intent("op-2-1"))


async def test_a_store_that_is_not_right_gets_its_records_later(tmp_path, journal, store):
    store.broken = True
    shipper = Shipper(journal, store)
    write(journal, 1)
    with pytest.raises(StorageError):
        await shipper.ship()
    assert not (tmp_path / "refused.journal").exists()
    store.broken = False
    await shipper.ship()
    assert store.records == history(1)


async def test_damaged_lines_are_kept_aside(tmp_path, journal, store):
    write(journal, 1)
    path = segments(journal.folder)[0]
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(data)
    shipper = Shipper(journal, store)
    await shipper.ship()
    assert store.records == history(1)[1:]
    assert (tmp_path / "damaged.journal").read_bytes() == bytes(data[: len(line(opened("op-1")))])


async def test_orphans_and_old_rows_are_looked_for_now_and_then(journal, store):
    now = [0.0]

    async def sleep(_):
        now[0] += 10
        if now[0] > 100:
            raise asyncio.CancelledError

    limits = ShipperLimits(housekeeping_interval=30, orphaned_after=3600, retention=86_400)
    shipper = Shipper(journal, store, limits=limits, monotonic=lambda: now[0], wall=lambda: START_US / 1e6, sleep=sleep)
    with pytest.raises(asyncio.CancelledError):
        await shipper.run()
    assert store.swept_before == [START_US - 3600 * 10**6] * 4
    assert store.forgotten_before == [START_US - 86_400 * 10**6] * 4
    assert store.expired_at == [START_US] * 4


async def test_spend_that_was_recorded_before_the_shutdown_is_in_the_store(tmp_path, journal, store):
    """BerriAI/litellm#34805: what a background writer still held was lost."""
    shipper = Shipper(journal, store)
    write(journal, 1)
    await shipper.aclose()
    assert store.records == history(1)
    assert list(tmp_path.iterdir()) == []


async def test_an_end_without_the_store_leaves_all_to_the_next_start(tmp_path, journal, store):
    shipper = Shipper(journal, store)
    write(journal, 1)
    store.away = True
    await shipper.aclose()
    assert records_of(journal.folder) == history(1)
    store.away = False
    successor = Journal(tmp_path, "router-2", limits=BY_HAND)
    heir = Shipper(successor, store)
    await heir.adopt()
    await heir.ship()
    assert store.records == history(1)
    successor.close()


async def test_an_end_with_calls_open_leaves_them_to_the_sweep(tmp_path, journal, store):
    journal.intent(intent())
    await Shipper(journal, store).aclose()
    successor = Journal(tmp_path, "router-2", limits=BY_HAND)
    heir = Shipper(successor, store)
    await heir.adopt()
    await heir.ship()
    kinds = Counter(type(record) for record in store.records)
    assert kinds[AttemptTerminal] == 1
    successor.close()
    assert [path.name for path in tmp_path.iterdir()] == ["router-2"]
