"""Reading one stream: what was asked for as events may also come as plain JSON, or as a web page."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from router_service.domain.error import UpstreamError, UpstreamFault
from router_service.domain.event import Delta
from router_service.providers.answer import AnswerReader
from router_service.providers.sse import EventDecoder, EventTooLarge

MAX_ANSWER_BYTES = 64 * 1024 * 1024

_BLANK = b"\xef\xbb\xbf \t\r\n"


class _Form(Enum):
    UNKNOWN = auto()
    EVENTS = auto()
    JSON = auto()


class StreamReader:
    """Turns the pieces of a response into output. `done` is true once nothing of interest can follow.

    A failure after a verified finish is none: it ends the reading.
    """

    def __init__(self, answer: AnswerReader) -> None:
        self.done = False
        self._answer = answer
        self._decoder = EventDecoder(max_stream_bytes=MAX_ANSWER_BYTES)
        self._form = _Form.UNKNOWN
        self._body = bytearray()
        self._size = 0

    def feed(self, data: bytes) -> list[Delta]:
        """The output that came with `data`. Raises `UpstreamError`; output before the failure is in the reply."""
        if self._form is not _Form.EVENTS:
            self._size += len(data)
            if self._size > MAX_ANSWER_BYTES:
                raise self._too_large()
        if self._form is _Form.UNKNOWN:
            # Blank lines may come for minutes before plain JSON (DeepSeek).
            data = data.lstrip(_BLANK)
            self._form = self._recognise(data)
        if self._form is not _Form.EVENTS:
            self._body += data
            return []
        return self._decoded(lambda: self._decoder.feed(data))

    def finish(self) -> list[Delta]:
        """The output that the end of the response completes. Raises `UpstreamError` unless the answer is finished."""
        if self._form is _Form.JSON:
            return self._answer.read_answer(bytes(self._body))
        deltas: list[Delta] = []
        if not self.done:
            try:
                deltas = self._decoded(self._decoder.finish)
            except UpstreamError as error:
                # Half an event is cut off rather than malformed.
                if error.fault is not UpstreamFault.MALFORMED:
                    raise
        self._answer.ended(done=self.done)
        return deltas

    def _recognise(self, start: bytes) -> _Form:
        first = start[:1]
        if first == b"<":
            raise self._answer.malformed("a web page; check base_url")
        if first in (b"{", b"["):
            return _Form.JSON
        return _Form.EVENTS if first else _Form.UNKNOWN

    def _decoded(self, decode: Callable[[], list[bytes]]) -> list[Delta]:
        """Read the events that `decode` gives, and where that fails, those before the failure."""
        try:
            events = decode()
        except EventTooLarge as error:
            deltas = self._read(error.events)
            if self.done:
                return deltas
            if not self._answer.finished:
                raise self._too_large() from error
            self.done = True
            return deltas
        return self._read(events)

    def _too_large(self) -> UpstreamError:
        return self._answer.malformed("more than any answer can be")

    def _read(self, events: list[bytes]) -> list[Delta]:
        try:
            self.done = self._answer.read_events(events)
        except UpstreamError:
            deltas = self._answer.take()
            if not self._answer.finished:
                raise
            self.done = True
            return deltas
        return self._answer.take()
