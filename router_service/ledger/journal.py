"""The local journal: what must outlive this process is appended to a file before anything is done about it.

    <folder>/<process>/lock               held while the process lives, so that others can tell
    <folder>/<process>/00000001.journal   lines (`ledger.segment`), only ever appended

A record is in the kernel's hands when the method returns: it survives the death of the process, not that of the
machine. What is younger than `JournalLimits.sync_interval` may be lost with the machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from router_service.ledger.records import AttemptIntent, AttemptTerminal, OperationClosed, OperationOpened, TextRecord
from router_service.ledger.segment import TORN, line, segment_path

_LOCK = "lock"
_CLOSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalLimits:
    """Sizes in bytes, times in seconds.

    A segment ends at `segment_bytes` or `segment_age`. It reaches the disk every `sync_interval`. With more than
    `most_backlog` not yet in the store, or less than `least_free` left on the disk, no new call is accepted. While the
    disk takes nothing, up to `most_waiting` of closings wait in memory.
    """

    segment_bytes: int = 8 * 1024 * 1024
    segment_age: float = 60.0
    sync_interval: float = 1.0
    most_backlog: int = 1024 * 1024 * 1024
    least_free: int = 64 * 1024 * 1024
    most_waiting: int = 16 * 1024 * 1024


_LIMITS = JournalLimits()


class NotRecorded(Exception):
    """The intent could not be written, so the attempt must not be dispatched. The message is fit for an operator."""


class Journal:
    """The journal of this process. Records come from the event loop, one at a time.

    Its folder is made at once; raises `OSError` where that cannot be. `free_bytes` and `monotonic` are injected.
    """

    def __init__(
        self,
        folder: Path,
        process: str,
        *,
        limits: JournalLimits = _LIMITS,
        monotonic: Callable[[], float] = time.monotonic,
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        self.process = process
        self.folder = folder / process
        self._limits = limits
        self._monotonic = monotonic
        self._free_bytes = free_bytes
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700)
        lock = lock_folder(self.folder)
        if lock is None:
            raise FileExistsError(f"Another process holds {self.folder}.")
        self._lock_fd = lock
        self._fault = ""
        self._full = ""
        self._appended = 0
        self._acknowledged = 0
        self._open: dict[str, bytes] = {}
        self._deferred: list[bytes] = []
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._torn = False
        self._retired: deque[int] = deque()
        self._writing = threading.Lock()
        self.number = 0
        self._fd = -1
        self._carried = 0
        self._size = 0
        self._since = 0.0
        try:
            self._rotate()
        except OSError:
            remove_folder(self.folder, lock)
            raise
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._tend, name="ledger-journal", daemon=True)
        self._thread.start()

    @property
    def backlog(self) -> int:
        """Bytes that are not in the store yet."""
        return self._appended - self._acknowledged

    @property
    def open_records(self) -> int:
        """Calls and attempts that were begun and have not ended."""
        return len(self._open)

    def refusal(self) -> str:
        """Why no new call may be accepted, for an operator; empty while all is well."""
        if self._fault or self._full:
            return self._fault or self._full
        if self.backlog > self._limits.most_backlog:
            return (
                f"{self.backlog} bytes of the ledger's journal wait for the database, more than {self.folder} may hold."
            )
        return ""

    def acknowledge(self, count: int) -> None:
        """`count` more bytes are in the store."""
        self._acknowledged += count

    def operation(self, record: OperationOpened | OperationClosed) -> None:
        """Record that a call begins, or how it ended. Never raises.

        An opening is written together with what follows it: no later than the first intent of the call.
        """
        text = line(record)
        with self._writing:
            if type(record) is OperationOpened:
                self._open[record.operation_id] = text
                self._deferred.append(text)
                return
            self._open.pop(record.operation_id, None)
            if not self._append(text) and self._waiting_bytes < self._limits.most_waiting:
                self._wait(text)

    def intent(self, record: AttemptIntent) -> None:
        """Record that an attempt is about to be dispatched. Raises `NotRecorded`: then do not dispatch it."""
        text = line(record)
        with self._writing:
            if not self._append(text):
                raise NotRecorded(self._fault)
            self._open[record.attempt_id] = text

    def terminal(self, record: AttemptTerminal) -> None:
        """Record how an attempt ended. Never raises: while the disk takes nothing, it waits in memory."""
        text = line(record)
        with self._writing:
            self._open.pop(record.attempt_id, None)
            if not self._append(text):
                self._wait(text)

    def text(self, record: TextRecord) -> None:
        """Record what was said in a call. Never raises: while the disk takes nothing, texts are left out."""
        text = line(record)
        with self._writing:
            self._append(text)

    def flush(self) -> None:
        """Write what is deferred or waits, and let the disk have it. Blocks."""
        with self._writing:
            self._write_waiting()
            fd = self._fd
        os.fsync(fd)

    def rotate(self) -> None:
        """Begin a new segment now, if there is anything in this one."""
        with self._writing:
            self._write_waiting()
            if self._size > self._carried:
                self._rotate()

    def close(self) -> None:
        """Write and sync what is left and let go of the folder; what it holds is adopted at the next start. Blocks."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._thread.join(_CLOSE_SECONDS)
        with contextlib.suppress(OSError):
            self.flush()
        self._sync_retired()
        os.close(self._fd)
        os.close(self._lock_fd)

    def _append(self, text: bytes) -> bool:
        """Whether the whole line, and what was deferred before it, is in the file."""
        if self._size - self._carried >= self._limits.segment_bytes:
            self._rotate()
        if self._deferred or self._waiting or self._torn:
            return self._write_waiting(text)
        return self._write(text)

    def _write(self, data: bytes) -> bool:
        try:
            written = os.write(self._fd, data)
        except OSError as exc:
            self._failed(exc.strerror or type(exc).__name__)
            return False
        self._size += written
        self._appended += written
        if written == len(data):
            return True
        self._torn = True
        self._failed("the disk is full")
        return False

    def _write_waiting(self, text: bytes = b"") -> bool:
        """Write what was deferred or could not be written, and `text` behind it; all of it or nothing counts."""
        mark = [TORN + b"\n"] if self._torn else []
        data = b"".join([*mark, *self._waiting, *self._deferred, text])
        if data and not self._write(data):
            # Whole lines of it may be in the file; they are the same when they come again.
            for deferred in self._deferred:
                self._wait(deferred)
            self._deferred.clear()
            self._torn = True
            return False
        self._waiting.clear()
        self._deferred.clear()
        self._waiting_bytes = 0
        self._torn = False
        return True

    def _wait(self, text: bytes) -> None:
        self._waiting.append(text)
        self._waiting_bytes += len(text)

    def _failed(self, why: str) -> None:
        self._fault = f"The ledger's journal in {self.folder} cannot be written: {why}."

    def _rotate(self) -> None:
        """Begin a new segment with all that is open, so that older ones can be deleted once they are in the store."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        path = segment_path(self.folder, self.number + 1)
        carried = b"".join(self._open.values())
        try:
            fd = os.open(path, flags, 0o600)
            try:
                if os.write(fd, carried) != len(carried):
                    raise OSError("the disk is full")
            except OSError:
                os.close(fd)
                path.unlink()
                raise
        except OSError:
            if self._fd < 0:
                raise
            # The old one still takes records, or says that it does not.
            self._size = self._carried = 0
            return
        if self._fd >= 0:
            self._retired.append(self._fd)
        self._fd, self._torn = fd, False
        self.number += 1
        self._size = self._carried = len(carried)
        self._appended += len(carried)
        self._since = self._monotonic()

    def _tend(self) -> None:
        """The thread: syncs, looks at the disk, ends old segments, tries again what failed."""
        while not self._closing.wait(self._limits.sync_interval):
            self.tend()

    def tend(self) -> None:
        """One round of the journal's own thread. Blocks."""
        with self._writing:
            # The mark of a torn line means nothing by itself, and tells whether the disk takes anything.
            self._torn = self._torn or bool(self._fault)
            written = self._write_waiting()
            if self._size > self._carried and self._monotonic() - self._since >= self._limits.segment_age:
                self._rotate()
            fd, path = self._fd, segment_path(self.folder, self.number)
        try:
            os.fsync(fd)
            self._sync_retired()
            # What is written to a file that somebody removed is lost.
            path.stat()
            free = self._free_bytes(self.folder)
        except OSError as exc:
            self._failed(exc.strerror or type(exc).__name__)
            return
        if written:
            self._fault = ""
        self._full = (
            f"Only {free} bytes are left on the disk of the ledger's journal {self.folder}; "
            f"{self._limits.least_free} must stay free."
            if free < self._limits.least_free
            else ""
        )

    def _sync_retired(self) -> None:
        while self._retired:
            fd = self._retired.popleft()
            with contextlib.suppress(OSError):
                os.fsync(fd)
            os.close(fd)


def lock_folder(folder: Path) -> int | None:
    """Take a process's folder for ourselves: the open lock, or `None` while another process holds it or removed it.

    The kernel lets go of it when the process dies, however it dies.
    """
    path = folder / _LOCK
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_ino == path.stat().st_ino:
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(fd)
    return None


def remove_folder(folder: Path, lock: int) -> None:
    """Remove a folder whose lock we hold, and let go of it. Raises `OSError`."""
    shutil.rmtree(folder)
    os.close(lock)
