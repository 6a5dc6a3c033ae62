"""What holds for any bytes that a provider may stream, however the network cuts them.

An input is a count of cuts, as many two-byte places, and the stream. Each holds for the stream in one piece and cut:
only `EventTooLarge` and `UpstreamError` leave; events, reply and failure are the same; memory is bounded; what was
passed on is in the reply, and stays there when the stream fails. The bytes are also read as one answer and as an error.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

from router_service.domain.chat import Chat, Parameters
from router_service.domain.deployment import Deployment
from router_service.domain.error import UpstreamError
from router_service.domain.event import Delta
from router_service.domain.upstream import Reply, UpstreamRequest
from router_service.providers.answer import AnswerReader
from router_service.providers.failure import http_failure
from router_service.providers.sse import EventDecoder, EventTooLarge
from router_service.providers.stream import StreamReader

_MAX_CUTS = 16
_LIMITS = {"max_event_bytes": 96, "max_stream_bytes": 4096, "max_idle_bytes": 64}
_REQUEST = UpstreamRequest(
    attempt_id="attempt-1",
    deployment=Deployment(id="d", model="m", provider="p", upstream_name="m"),
    chat=Chat(messages=()),
    parameters=Parameters(),
    max_output_tokens=None,
    connect_timeout=1.0,
    read_timeout=1.0,
)


def an_input(stream: bytes, *cuts: int) -> bytes:
    """The input that cuts `stream` there."""
    return bytes((len(cuts),)) + b"".join(cut.to_bytes(2) for cut in cuts) + stream


def check(data: bytes) -> None:
    """Raises `AssertionError`, or whatever leaves though it must not, where something does not hold."""
    count = min(data[0], _MAX_CUTS) if data else 0
    places = [int.from_bytes(data[at : at + 2]) for at in range(1, 1 + 2 * count, 2)]
    stream = data[1 + 2 * count :]
    bounds = [0, *sorted(min(place, len(stream)) for place in places), len(stream)]
    cut = [stream[start:end] for start, end in pairwise(bounds)]
    for limits in (_LIMITS, {}):
        assert _events(cut, limits) == _events([stream], limits)
    _read_whole(stream)
    for requires_finish_reason in (True, False):
        assert _read(cut, requires_finish_reason) == _read([stream], requires_finish_reason)


def _read_whole(body: bytes) -> None:
    """The same bytes as one answer, and as an error."""
    for status in (400, 429, 500):
        http_failure("p", status, {}, body, now=0.0)
    with suppress(UpstreamError):
        AnswerReader(_REQUEST, Reply()).read_answer(body)


def _events(pieces: list[bytes], limits: dict[str, int]) -> tuple[list[tuple[str, bytes]], bool]:
    decoder = EventDecoder(**limits)
    events: list[bytes] = []
    too_large = False
    try:
        for piece in pieces:
            events += decoder.feed(piece)
            held = len(decoder._buffer) + sum(map(len, decoder._lines)) + len(decoder._lines)
            assert held <= 2 * decoder._max_event_bytes, "the decoder holds more than two events"
        events += decoder.finish()
    except EventTooLarge as error:
        events += error.events
        too_large = True
    return [(type(event).__name__, bytes(event)) for event in events], too_large


def _read(pieces: list[bytes], requires_finish_reason: bool) -> tuple[object, ...]:
    reply = Reply()
    answer = AnswerReader(_REQUEST, reply, requires_finish_reason=requires_finish_reason)
    reader = StreamReader(answer)
    shown = Reply()
    failure = None
    try:
        for piece in pieces:
            _show(reader.feed(piece), shown, reply)
            if reader.done:
                break
        else:
            _show(reader.finish(), shown, reply)
        answer.ended(done=True)
    except UpstreamError as error:
        failure = (error.fault, error.status, error.code)
        _show([], shown, reply)
    assert (failure is None) <= (reply.finish_reason is not None), "neither finished nor failed"
    return reply.message(), reply.usage, reply.finish_reason, reply.response_id, reply.response_model, failure


def _show(deltas: list[Delta], shown: Reply, reply: Reply) -> None:
    shown.add(deltas)
    for seen, kept in ((shown.text_parts, reply.text_parts), (shown.reasoning_parts, reply.reasoning_parts)):
        assert "".join(kept).startswith("".join(seen)), "something that was passed on is not in the reply"
