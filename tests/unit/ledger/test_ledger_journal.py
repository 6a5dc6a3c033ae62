import errno
import os
import resource
import signal
import threading
from pathlib import Path

import pytest
from ledger_values import closed, intent, opened, records_of, terminal, text

from router_service.ledger.journal import Journal, JournalLimits, NotRecorded
from router_service.ledger.records import AttemptTerminal, OperationClosed
from router_service.ledger.segment import line, scan, segments

BY_HAND = JournalLimits(sync_interval=3600)


@pytest.fixture
def journal(tmp_path):
    made = Journal(tmp_path, "router-1", limits=BY_HAND)
    yield made
    made.close()


@pytest.fixture
def full_disk():
    """Files of this process cannot grow beyond a number of bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def limit(size: int | None) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before[0] if size is None else size, before[1]))

    yield limit
    limit(None)
    signal.signal(signal.SIGXFSZ, handler)


def test_records_come_back_in_their_order(journal):
    wanted = [opened(), intent(), terminal(), closed()]
    journal.operation(wanted[0])
    journal.intent(wanted[1])
    journal.terminal(wanted[2])
    journal.operation(wanted[3])
    assert records_of(journal.folder) == wanted


def test_a_text_comes_back_and_nothing_waits_for_its_end(journal):
    journal.text(text())
    assert records_of(journal.folder) == [text()]
    assert journal.open_records == 0


def test_a_text_that_the_disk_does_not_take_is_left_out_and_later_records_are_whole(journal, full_disk):
    full_disk(30)
    journal.text(text())
    full_disk(None)
    journal.terminal(terminal())
    assert records_of(journal.folder) == [terminal()]


def test_an_opening_is_in_the_file_before_its_first_attempt_may_leave(journal):
    journal.operation(opened())
    journal.intent(intent())
    assert records_of(journal.folder) == [opened(), intent()]


def test_an_opening_without_attempts_is_written_by_the_next_round(journal):
    journal.operation(opened())
    journal.tend()
    assert records_of(journal.folder) == [opened()]


def test_a_new_segment_begins_with_all_that_is_open(journal):
    for record in (intent("op-1-1"), intent("op-2-1")):
        journal.intent(record)
    journal.terminal(terminal("op-1-1"))
    journal.rotate()
    newest = segments(journal.folder)[-1]
    assert scan(newest).records == [intent("op-2-1")]


def test_segments_end_by_size(tmp_path):
    journal = Journal(tmp_path, "router-1", limits=JournalLimits(segment_bytes=2_000, sync_interval=3600))
    for number in range(40):
        journal.intent(intent(f"op-{number}-1"))
        journal.terminal(terminal(f"op-{number}-1"))
    journal.close()
    assert len(segments(journal.folder)) > 5
    assert max(path.stat().st_size for path in segments(journal.folder)) < 3_000


def test_many_open_attempts_do_not_make_every_record_a_segment(tmp_path):
    """What is carried into a segment does not count towards its end."""
    journal = Journal(tmp_path, "router-1", limits=JournalLimits(segment_bytes=2_000, sync_interval=3600))
    for number in range(200):
        journal.intent(intent(f"op-{number}-1"))
    journal.close()
    assert len(segments(journal.folder)) < 50


def test_segments_end_by_age_where_something_was_written(tmp_path):
    now = [100.0]
    journal = Journal(tmp_path, "router-1", limits=BY_HAND, monotonic=lambda: now[0])
    now[0] += 61
    journal.tend()
    assert journal.number == 1
    journal.intent(intent())
    journal.tend()
    assert journal.number == 2
    now[0] += 61
    journal.tend()
    assert journal.number == 2, "only what is open was carried over"
    journal.close()


def test_a_full_disk_refuses_intents_and_new_calls(journal, full_disk):
    journal.intent(intent("op-1-1"))
    full_disk(segments(journal.folder)[-1].stat().st_size + 20)
    with pytest.raises(NotRecorded, match="cannot be written"):
        journal.intent(intent("op-2-1"))
    assert "cannot be written" in journal.refusal()


def test_ends_wait_in_memory_while_the_disk_is_full_and_are_written_after_it(journal, full_disk):
    journal.intent(intent("op-1-1"))
    full_disk(segments(journal.folder)[-1].stat().st_size + 20)
    journal.terminal(terminal("op-1-1"))
    journal.operation(closed("op-1"))
    journal.tend()
    assert "cannot be written" in journal.refusal()
    full_disk(None)
    journal.tend()
    assert journal.refusal() == ""
    assert records_of(journal.folder) == [intent("op-1-1"), terminal("op-1-1"), closed("op-1")]


def test_an_intent_that_was_refused_is_not_in_the_journal_wherever_its_write_stopped(tmp_path, full_disk):
    length = len(line(intent("op-2-1")))
    for space in (0, 1, 8, 9, 17, 18, 19, length // 2, length - 2, length - 1):
        journal = Journal(tmp_path, f"router-{space}", limits=BY_HAND)
        journal.intent(intent("op-1-1"))
        full_disk(segments(journal.folder)[-1].stat().st_size + space)
        with pytest.raises(NotRecorded):
            journal.intent(intent("op-2-1"))
        full_disk(None)
        journal.terminal(terminal("op-1-1"))
        journal.close()
        assert records_of(journal.folder) == [intent("op-1-1"), terminal("op-1-1")]


def test_a_disk_that_is_almost_full_takes_no_new_calls_but_ends_those_it_has(tmp_path):
    free = [10**12]
    journal = Journal(tmp_path, "router-1", limits=BY_HAND, free_bytes=lambda _: free[0])
    journal.intent(intent())
    free[0] = 1000
    journal.tend()
    assert "1000 bytes are left" in journal.refusal()
    journal.terminal(terminal())
    free[0] = 10**12
    journal.tend()
    assert journal.refusal() == ""
    journal.close()
    assert records_of(journal.folder) == [intent(), terminal()]


def test_a_folder_that_was_removed_under_the_journal_is_noticed(journal):
    journal.intent(intent())
    for path in segments(journal.folder):
        path.unlink()
    journal.tend()
    assert "cannot be written" in journal.refusal()


def test_more_than_the_allowed_backlog_refuses_new_calls_until_the_store_has_it(tmp_path):
    journal = Journal(tmp_path, "router-1", limits=JournalLimits(most_backlog=1_000, sync_interval=3600))
    for number in range(10):
        journal.intent(intent(f"op-{number}-1"))
    assert "wait for the database" in journal.refusal()
    journal.acknowledge(journal.backlog)
    assert journal.refusal() == ""
    journal.close()


def test_a_folder_in_which_nothing_can_be_made_is_an_error_at_the_start(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=os.strerror(errno.ENOTDIR)):
        Journal(tmp_path / "file" / "ledger", "router-1")


def test_nobody_but_its_owner_may_read_a_journal(journal):
    journal.intent(intent())
    assert journal.folder.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in segments(journal.folder))


def test_the_journals_own_thread_writes_what_is_deferred(tmp_path):
    tended = threading.Event()

    def free_bytes(_: Path) -> int:
        tended.set()
        return 10**12

    journal = Journal(tmp_path, "router-1", limits=JournalLimits(sync_interval=0.001), free_bytes=free_bytes)
    journal.operation(opened())
    tended.clear()
    assert tended.wait(60)
    tended.clear()
    assert tended.wait(60)
    assert records_of(journal.folder) == [opened()]
    journal.close()


def test_what_ended_is_no_longer_open(journal):
    journal.operation(opened())
    journal.intent(intent())
    assert journal.open_records == 2
    journal.terminal(terminal())
    journal.operation(closed())
    assert journal.open_records == 0
    assert {type(record) for record in records_of(journal.folder)[-2:]} == {AttemptTerminal, OperationClosed}
