"""What a dead process left open is brought to an end: an intent without a terminal row becomes `indeterminate`.

The ends are written into the dead process's own folder, so that it is a whole history from then on; doing it again
changes nothing. In the store the router's own word beats a sweep's, whichever comes first: a machine that was only cut
off may still bring the truth. Between two rows of the same writer the first stays.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from router_service.ledger.journal import lock_folder
from router_service.ledger.records import (
    AttemptIntent,
    AttemptTerminal,
    OperationClosed,
    OperationOpened,
    Record,
    swept_closing,
    swept_terminal,
)
from router_service.ledger.segment import line, scans, segment_number, segment_path, segments

logger = logging.getLogger("llmrouter.ledger")


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """A dead process's folder, which is ours now, with nothing open in it.

    `lock` is its open lock. `orphans` are the intents that this sweep brought to an end: what they hold on budgets can
    be let go. `torn` and `damaged` count lines, as `segment.Scan` finds them.
    """

    folder: Path
    lock: int
    orphans: tuple[AttemptIntent, ...]
    torn: int
    damaged: int


def adopt(root: Path) -> Iterator[Adopted]:
    """Take over the folders of dead processes below `root`, one at a time. Blocks. Raises `OSError`.

    One that cannot be read is left for later, and the log says so.
    """
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        lock = lock_folder(folder)
        if lock is None:
            continue
        try:
            adopted = _swept(folder, lock)
        except OSError as exc:
            os.close(lock)
            logger.error("the journal %s of a router that died cannot be read: %s", folder, exc.strerror)
            continue
        yield adopted


def _swept(folder: Path, lock: int) -> Adopted:
    intents: dict[str, AttemptIntent] = {}
    operations: dict[str, OperationOpened] = {}
    torn = damaged = 0
    for scanned in scans(folder):
        torn += scanned.torn
        damaged += len(scanned.damaged)
        for record in scanned.records:
            match record:
                case AttemptIntent():
                    intents[record.attempt_id] = record
                case AttemptTerminal():
                    intents.pop(record.attempt_id, None)
                case OperationOpened():
                    operations[record.operation_id] = record
                case OperationClosed():
                    operations.pop(record.operation_id, None)
    ends: list[Record] = [swept_terminal(intent) for intent in intents.values()]
    ends += [swept_closing(operation_id) for operation_id in operations]
    if ends:
        _add_segment(folder, b"".join(map(line, ends)))
    return Adopted(folder=folder, lock=lock, orphans=tuple(intents.values()), torn=torn, damaged=damaged)


def _add_segment(folder: Path, data: bytes) -> None:
    """A whole segment or none: what is only half there when this process dies is not a segment. It need not reach the
    disk at once: should the machine die, the next sweep comes to the same ends."""
    number = 1 + max(map(segment_number, segments(folder)), default=0)
    draft = folder / "draft"
    draft.write_bytes(data)
    draft.rename(segment_path(folder, number))
