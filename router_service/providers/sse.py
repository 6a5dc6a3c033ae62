"""An incremental decoder of server-sent events that works on bytes: text is decoded only once an event is whole."""

from __future__ import annotations

import re

_MAX_EVENT_BYTES = 1024 * 1024
_MAX_STREAM_BYTES = 64 * 1024 * 1024
# A keep-alive each second takes a day to say so much.
_MAX_IDLE_BYTES = 1024 * 1024
_LINE_END = re.compile(rb"\r\n|\n|\r")
_NEXT_EVENT = b"\n\ndata: "
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventTooLarge(Exception):
    """An event, what is between two, or the whole stream is larger than in any honest answer.

    `events` are those that were whole before.
    """

    def __init__(self, events: list[bytes]) -> None:
        super().__init__("An event, a stream, or what is between two events is larger than its limit")
        self.events = events


class ErrorEvent(bytes):
    """The payload of an event named "error"."""

    __slots__ = ()


class EventDecoder:
    """Turns the bytes of a stream, in pieces of any size, into the payloads of its events.

    Lines end with LF, CR or CRLF and nothing else. Comments, events without data and unknown fields are skipped; lines
    of data are joined with a line feed. Names are dropped, except that an event named "error" becomes an `ErrorEvent`;
    so does the `error:` field that llama.cpp sends. No line, and no event's data, may exceed `max_event_bytes`, nor
    what is skipped between two events `max_idle_bytes`.
    """

    def __init__(
        self,
        *,
        max_event_bytes: int = _MAX_EVENT_BYTES,
        max_stream_bytes: int = _MAX_STREAM_BYTES,
        max_idle_bytes: int = _MAX_IDLE_BYTES,
    ) -> None:
        self._max_event_bytes = max_event_bytes
        self._max_idle_bytes = max_idle_bytes
        self._idle_bytes = 0
        self._bytes_left = max_stream_bytes
        self._buffer = bytearray()
        self._scanned = 0
        self._by_line = False
        self._skip_line_feed = False
        self._lines: list[bytes] = []
        self._lines_size = 0
        self._is_error = False

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that `data` completes. Raises `EventTooLarge`; nothing can be fed after that."""
        allowed = self._bytes_left
        self._bytes_left -= len(data)
        if self._bytes_left >= 0:
            return self._take(data)
        raise EventTooLarge(self._take(data[:allowed]))

    def finish(self) -> list[bytes]:
        """The payload of a last event that the stream's end cut off before its blank line. Raises `EventTooLarge`."""
        events: list[bytes] = []
        for line in _LINE_END.split(bytes(self._buffer)):
            self._take_line(line, events)
        self._take_line(b"", events)
        self._buffer.clear()
        return events

    def _take(self, data: bytes) -> list[bytes]:
        self._buffer += data
        events: list[bytes] = []
        if not self._by_line:
            if b"\r" not in data:
                events = self._take_blocks()
                if len(self._buffer) <= self._max_event_bytes:
                    return events
            # Line by line from now on; of a large block, what is comments need not be kept until it ends.
            self._by_line = True
            self._scanned = 0
        self._take_lines(events)
        if len(self._buffer) > self._max_event_bytes:
            raise EventTooLarge(events)
        return events

    def _take_blocks(self) -> list[bytes]:
        """The common case: lines end with LF only, and most events are one line of data."""
        buffer = self._buffer
        end = buffer.rfind(b"\n\n", max(0, self._scanned - 1))
        if end < 0:
            self._scanned = len(buffer)
            return []
        complete = bytes(buffer[:end])
        del buffer[: end + 2]
        self._scanned = len(buffer)
        return self._plain_events(complete) or self._mixed_events(complete)

    def _plain_events(self, complete: bytes) -> list[bytes]:
        """The payloads where every event is one line that begins with "data: "; nothing where any is not."""
        framed = b"\n\n" + complete
        payloads = framed.split(_NEXT_EVENT)
        line_feeds_between_events = 2 * (len(payloads) - 1)
        if framed.count(b"\n") != line_feeds_between_events or len(complete) > self._max_event_bytes:
            return []
        del payloads[0]
        if not all(payloads):
            return []
        self._idle_bytes = 0
        return payloads

    def _mixed_events(self, complete: bytes) -> list[bytes]:
        events: list[bytes] = []
        for block in complete.split(b"\n\n"):
            if block.startswith(b"data:") and b"\n" not in block:
                if len(block) > self._max_event_bytes:
                    raise EventTooLarge(events)
                if payload := block[5:].removeprefix(b" "):
                    events.append(payload)
                    self._idle_bytes = 0
                else:
                    self._skip(len(block) + 2, events)
            elif not block:
                self._skip(2, events)
            else:
                for line in block.split(b"\n"):
                    self._take_line(line, events)
                self._take_line(b"", events)
        return events

    def _take_lines(self, events: list[bytes]) -> None:
        """Any line ends, mixed; a CR at the end of a piece ends its line at once, and a LF after it is skipped."""
        buffer = self._buffer
        start = 0
        if self._skip_line_feed and buffer:
            self._skip_line_feed = False
            if buffer[0] == ord("\n"):
                start = self._scanned = 1
        for match in _LINE_END.finditer(buffer, self._scanned):
            self._take_line(bytes(buffer[start : match.start()]), events)
            start = match.end()
            self._skip_line_feed = start == len(buffer) and buffer[start - 1] == ord("\r")
        del buffer[:start]
        self._scanned = len(buffer)

    def _take_line(self, line: bytes, events: list[bytes]) -> None:
        if not line:
            if self._lines:
                payload = b"\n".join(self._lines)
                if payload:
                    events.append(ErrorEvent(payload) if self._is_error else payload)
                    self._idle_bytes = -1
            self._skip(1, events)
            self._lines.clear()
            self._lines_size = 0
            self._is_error = False
            return
        if len(line) > self._max_event_bytes:
            raise EventTooLarge(events)
        # Proxies that join files leave marks in the middle, and a line not understood would be text lost.
        name, _, value = line.removeprefix(_BYTE_ORDER_MARK).partition(b":")
        value = value.removeprefix(b" ")
        if not value or name not in (b"data", b"error"):
            self._skip(len(line) + 1, events)
        if name == b"event":
            self._is_error = value == b"error"
            return
        if name == b"error":
            self._is_error = True
        elif name != b"data":
            return
        self._lines.append(value)
        self._lines_size += len(value) + 1
        if self._lines_size > self._max_event_bytes:
            raise EventTooLarge(events)

    def _skip(self, size: int, events: list[bytes]) -> None:
        self._idle_bytes += size
        if self._idle_bytes > self._max_idle_bytes:
            raise EventTooLarge(events)
