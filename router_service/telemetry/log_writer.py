"""Writes log records from a thread of its own: no call waits for a formatter, a disk or a full pipe."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from typing import TextIO

_MOST_WAITING = 10_000
_GATHER_SECONDS = 0.05
_CLOSE_SECONDS = 5.0


class LogWriter(logging.Handler):
    """Gathers records for `gather` seconds, then formats and writes them at once.

    While more than `most_waiting` records wait, new ones are dropped; how many is the next line written. `close`, which
    `logging` calls at exit, writes what is left, but waits no longer than five seconds for a stream that takes nothing.
    """

    def __init__(self, stream: TextIO, *, most_waiting: int = _MOST_WAITING, gather: float = _GATHER_SECONDS) -> None:
        super().__init__()
        self._stream = stream
        self._most_waiting = most_waiting
        self._gather = gather
        self._waiting: deque[logging.LogRecord] = deque()
        self._dropped = 0
        self._something = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record. Its message is made now, since its arguments may change."""
        if len(self._waiting) >= self._most_waiting:
            self._dropped += 1
            return
        if record.args:
            record.msg, record.args = record.getMessage(), None
        self._waiting.append(record)
        if not self._something.is_set():
            self._something.set()

    def close(self) -> None:
        """Write what is left and end the thread."""
        self._closing.set()
        self._something.set()
        self._thread.join(_CLOSE_SECONDS)
        super().close()

    def _run(self) -> None:
        closing = False
        while not closing:
            self._something.wait()
            self._closing.wait(self._gather)
            # Cleared before looking: what comes in between is seen now, or wakes the next round.
            self._something.clear()
            closing = self._closing.is_set()
            self._write()

    def _write(self) -> None:
        lines = [self._line(self._waiting.popleft()) for _ in range(len(self._waiting))]
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            lines.append(self._line(_dropped_record(dropped)))
        # A stream that is closed or broken takes no complaint about it either.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write("".join(lines))
            self._stream.flush()

    def _line(self, record: logging.LogRecord) -> str:
        try:
            return f"{self.format(record)}\n"
        except Exception:
            self.handleError(record)
            return ""


def _dropped_record(count: int) -> logging.LogRecord:
    message = f"{count} log records were dropped: they came faster than they could be written"
    return logging.LogRecord(__name__, logging.WARNING, __file__, 0, message, None, None)
