"""A router is killed in the middle of its load; the provider's own journal says what must be in the ledger."""

import asyncio
import os
import signal
import sys
from collections import Counter
from pathlib import Path

from ledger_values import closed, intent, opened, records_of, terminal

from router_service.ledger.journal import Journal, JournalLimits
from router_service.ledger.reconcile import adopt
from router_service.ledger.records import AttemptIntent, AttemptTerminal, OperationClosed, OperationOpened
from router_service.ledger.segment import line, segment_path, segments
from router_service.simulator import Simulator

TESTS = Path(__file__).parents[2]
BY_HAND = JournalLimits(sync_interval=3600)


def died(root: Path, *records, process: str = "dead") -> Path:
    """The folder of a process that wrote these records and was killed."""
    folder = root / process
    folder.mkdir()
    segment_path(folder, 1).write_bytes(b"".join(map(line, records)))
    return folder


def adopted(root: Path):
    found = list(adopt(root))
    for one in found:
        os.close(one.lock)
    return found


def test_an_intent_without_an_end_becomes_indeterminate(tmp_path):
    folder = died(tmp_path, opened(), intent("op-1-1"), terminal("op-1-1"), intent("op-1-2"))
    [found] = adopted(tmp_path)
    assert found.orphans == (intent("op-1-2"),)
    ends = records_of(folder)[4:]
    assert [(type(end), end.writer) for end in ends] == [(AttemptTerminal, "sweep"), (OperationClosed, "sweep")]
    assert (ends[0].attempt_id, ends[0].status) == ("op-1-2", "indeterminate")
    assert (ends[1].operation_id, ends[1].error_reason) == ("op-1", "ROUTER_DIED")


def test_sweeping_again_changes_nothing(tmp_path):
    folder = died(tmp_path, opened(), intent())
    adopted(tmp_path)
    before = records_of(folder)
    [again] = adopted(tmp_path)
    assert again.orphans == ()
    assert records_of(folder) == before


def test_what_ended_is_left_alone(tmp_path):
    folder = died(tmp_path, opened(), intent(), terminal(), closed())
    [found] = adopted(tmp_path)
    assert found.orphans == ()
    assert len(segments(folder)) == 1


def test_the_folder_of_a_living_process_is_not_touched(tmp_path):
    journal = Journal(tmp_path, "alive", limits=BY_HAND)
    journal.intent(intent())
    assert adopted(tmp_path) == []
    journal.close()
    [found] = adopted(tmp_path)
    assert found.orphans == (intent(),)


def test_two_sweepers_do_not_take_the_same_folder(tmp_path):
    died(tmp_path, intent())
    [first] = list(adopt(tmp_path))
    assert list(adopt(tmp_path)) == []
    os.close(first.lock)


def test_wherever_the_last_line_is_torn_every_attempt_ends_once(tmp_path):
    data = b"".join(map(line, [intent("op-1-1"), intent("op-1-2"), terminal("op-1-1")]))
    for cut in range(len(data) - len(line(terminal())), len(data) + 1):
        folder = died(tmp_path, process=f"dead-{cut}")
        segment_path(folder, 1).write_bytes(data[:cut])
    for found in adopted(tmp_path):
        kept = records_of(found.folder)
        intents = {record.attempt_id for record in kept if isinstance(record, AttemptIntent)}
        ends = Counter(record.attempt_id for record in kept if isinstance(record, AttemptTerminal))
        assert ends == dict.fromkeys(intents, 1)


def test_what_was_open_is_found_although_older_segments_are_gone(tmp_path):
    journal = Journal(tmp_path, "router-1", limits=BY_HAND)
    journal.operation(opened())
    journal.intent(intent())
    journal.rotate()
    segment_path(journal.folder, 1).unlink()
    journal.close()
    [found] = adopted(tmp_path)
    assert found.orphans == (intent(),)
    assert [type(record) for record in records_of(journal.folder)] == [
        OperationOpened,
        AttemptIntent,
        AttemptTerminal,
        OperationClosed,
    ]


async def test_kill_minus_nine_under_load_loses_no_record_of_an_attempt(tmp_path):
    """Three routers in a row are killed while each has calls in flight at a provider."""
    load = Path(__file__).parent / "journal_load.py"
    async with Simulator(speed=20) as provider:
        for life in range(3):
            received = provider.journal.received
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                load,
                tmp_path,
                f"router-{life}",
                f"{provider.url('openai')}/chat/completions",
                env=os.environ | {"PYTHONPATH": str(TESTS)},
            )
            await provider.journal.wait_for(lambda _, after=received: provider.journal.received >= after + 150, 120)
            child.send_signal(signal.SIGKILL)
            await child.wait()
        dispatched = {entry.attempt_id for entry in provider.journal}
        finished = {entry.attempt_id for entry in provider.journal if entry.usage_reported}

    found = adopted(tmp_path)
    assert [one.folder.name for one in found] == ["router-0", "router-1", "router-2"]
    kept = [record for one in found for record in records_of(one.folder)]
    intents = {record.attempt_id for record in kept if isinstance(record, AttemptIntent)}
    ends = {record.attempt_id: record for record in kept if isinstance(record, AttemptTerminal)}
    written = Counter(record.attempt_id for record in kept if isinstance(record, AttemptTerminal))
    operations = {record.operation_id for record in kept if isinstance(record, OperationOpened)}
    endings = Counter(record.operation_id for record in kept if isinstance(record, OperationClosed))
    orphans = {orphan.attempt_id for one in found for orphan in one.orphans}

    assert len(dispatched) >= 450
    assert dispatched <= intents, "an attempt was dispatched that the ledger knows nothing of"
    assert written == dict.fromkeys(intents, 1), "an attempt ended twice, or not at all"
    assert endings == dict.fromkeys(operations, 1)
    assert orphans
    assert {name for name, end in ends.items() if end.status == "indeterminate"} == orphans
    settled = {name for name, end in ends.items() if end.status == "settled"}
    assert settled <= finished, "an attempt was settled that the provider did not finish"
    assert all(one.damaged == 0 for one in found)
