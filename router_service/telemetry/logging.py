"""How the process logs: lines for people, or one JSON object per line for machines."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any, TextIO

import msgspec

from router_service.telemetry.log_writer import LogWriter

_STANDARD_FIELDS = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """A record as one JSON object: time, level, logger, message, then its extra fields, then a traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        """One line without a line break."""
        line: dict[str, Any] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(_extra(record))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


class TextFormatter(logging.Formatter):
    """A record as a line for people, its extra fields as `key=value` behind the message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the standard library's name
        """The line, without a traceback."""
        fields = " ".join(f"{name}={value}" for name, value in _extra(record).items() if value not in (None, ""))
        line = super().formatMessage(record)
        return f"{line} {fields}" if fields else line


def configure_logging(
    level: str | int = "INFO", *, json: bool = False, stream: TextIO | None = None, background: bool = False
) -> None:
    """Log everything from `level` up to `stream` (standard error by default). Replaces what was configured before.

    In the `background` a thread writes, which a server needs and a command does not.
    """
    stream = stream or sys.stderr
    handler = LogWriter(stream) if background else logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if json else TextFormatter())
    root = logging.getLogger()
    for former in root.handlers[:]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(level.upper() if isinstance(level, str) else level)
    # It reports every change in the folder of the configuration, whose file we look at ourselves.
    logging.getLogger("watchfiles").setLevel(logging.WARNING)


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in record.__dict__.items() if name not in _STANDARD_FIELDS}
