"""Responses made once, for measuring what is in front of the provider: 64 chunks in one write, or one JSON body."""

from __future__ import annotations

from typing import Final

import msgspec

from router_service.domain.money import Usage
from router_service.simulator import wire
from router_service.simulator.completion import Completion
from router_service.simulator.dialects import OPENAI
from router_service.simulator.http import Request
from router_service.simulator.models import BULK

CHUNKS: Final = 64
"""Content chunks of the stream."""

_COMPLETION = Completion(
    reasoning=(),
    text=tuple(f" word{number}" for number in range(CHUNKS)),
    calls=(),
    finish_reason="stop",
    usage=Usage(input_tokens=100, output_tokens=CHUNKS),
)
_ENVELOPE = wire.Envelope(id="chatcmpl-bulk", model=BULK, created=1_700_000_000, dialect=OPENAI)
_MODEL_MARKS: Final = (f'"model":"{BULK}"'.encode(), f'"model": "{BULK}"'.encode())
_STREAM_MARKS: Final = (b'"stream":true', b'"stream": true')


def _response(content_type: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n"
    return head % (content_type, len(body)) + body


def _chunked(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


_WHOLE: Final = _response(b"application/json", msgspec.json.encode(wire.body(_COMPLETION, _ENVELOPE)))
_STREAM: Final = _chunked(b"".join(event.data for event in wire.events(_COMPLETION, _ENVELOPE, include_usage=True)))


def response(request: Request) -> bytes | None:
    """The prebuilt response if the request is for the model "bulk", else `None`."""
    body = request.body
    if not any(mark in body for mark in _MODEL_MARKS):
        return None
    return _STREAM if any(mark in body for mark in _STREAM_MARKS) else _WHOLE
