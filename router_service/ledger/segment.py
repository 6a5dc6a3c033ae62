"""One line of the journal, and how segments are read again: whole lines only, whatever a crash left behind.

<length: 8 hex> <CRC-32: 8 hex> <record as JSON>\\n
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from router_service.ledger.records import Record

_HEADER_BYTES = 18
_SUFFIX = ".journal"
_NAME = re.compile(r"(\d{8})\.journal")

TORN = b" torn"
"""Ends a line whose write failed; a writer puts it there before it writes on."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Record).decode


@dataclass(slots=True)
class Scan:
    """What a stretch of a segment holds.

    `end` is the offset behind the last whole line. `torn` counts writes that were never completed, as a crash or a full
    disk leaves them: nobody relied on those. `damaged` are lines that were whole once and cannot be read any more.
    """

    records: list[Record] = field(default_factory=list)
    end: int = 0
    torn: int = 0
    damaged: list[bytes] = field(default_factory=list)


def line(record: Record) -> bytes:
    """A record as a line of the journal."""
    text = _encode(record)
    return b"%b%b\n" % (_header(text), text)


def scan(path: Path, start: int = 0, most_bytes: int = -1) -> Scan:
    """The records of a segment from the offset `start` on, as far as `most_bytes` reach; at least one line, if any is
    whole. A last line without its end is left for the next scan. Raises `OSError`.
    """
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(most_bytes) if most_bytes >= 0 else file.read()
        if most_bytes >= 0 and not data.endswith(b"\n"):
            data += file.readline()
    found = Scan(end=start + data.rfind(b"\n") + 1)
    for raw in data[: found.end - start].split(b"\n")[:-1]:
        _take(raw, found)
    return found


def torn_end(path: Path, scanned: Scan) -> bool:
    """Whether a segment that nobody writes to any more ends in the middle of a line."""
    return path.stat().st_size > scanned.end


def segments(folder: Path) -> list[Path]:
    """The segments of one process, the oldest first."""
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def segment_path(folder: Path, number: int) -> Path:
    """Where a process keeps its segment of that number."""
    return folder / f"{number:08d}{_SUFFIX}"


def segment_number(path: Path) -> int:
    """The number of a segment, from 1."""
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])


def scans(folder: Path) -> Iterator[Scan]:
    """All of a dead process's segments, the oldest first, one at a time. Raises `OSError`."""
    for path in segments(folder):
        found = scan(path)
        found.torn += torn_end(path, found)
        yield found


def _header(text: bytes) -> bytes:
    return b"%08x %08x " % (len(text), zlib.crc32(text))


def _take(raw: bytes, found: Scan) -> None:
    if raw.endswith(TORN):
        found.torn += len(raw) > len(TORN)
        return
    text = raw[_HEADER_BYTES:]
    try:
        if raw[:_HEADER_BYTES] != _header(text):
            raise ValueError("the checksum does not fit")
        found.records.append(_decode(text))
    except (ValueError, msgspec.MsgspecError):
        found.damaged.append(raw + b"\n")
