from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router_service.providers.sse import ErrorEvent, EventDecoder, EventTooLarge


def decoded(*pieces: bytes, **limits: int) -> list[bytes]:
    decoder = EventDecoder(**limits)
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.finish()


def until_too_large(pieces: list[bytes], **limits: int) -> tuple[list[tuple[type, bytes]], bool]:
    """The events with their types, and whether the decoder gave up."""
    decoder = EventDecoder(**limits)
    events: list[bytes] = []
    try:
        for piece in pieces:
            events += decoder.feed(piece)
        events += decoder.finish()
    except EventTooLarge as error:
        return [(type(event), event) for event in events + error.events], True
    return [(type(event), event) for event in events], False


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_end_with_lf_crlf_or_cr(end: bytes) -> None:
    assert decoded(b"data: a" + end + end + b"data: b" + end + end) == [b"a", b"b"]


def test_line_ends_may_be_mixed() -> None:
    assert decoded(b"data: a\n\r\ndata: b\r\rdata: c\r\n\n") == [b"a", b"b", b"c"]


def test_a_byte_order_mark_in_the_middle_loses_no_line() -> None:
    mark = b"\xef\xbb\xbf"
    assert decoded(mark + b"data: a\n\n" + mark + b"data: b\n\n") == [b"a", b"b"]


def test_unicode_separators_do_not_end_a_line() -> None:
    payload = "one\u2028two\u0085three\u2029\x0b\x0c".encode()
    assert decoded(b"data: " + payload + b"\n\n") == [payload]


def test_the_space_after_data_is_optional_and_only_one_is_dropped() -> None:
    assert decoded(b"data:a\n\ndata: b\n\ndata:  c\n\n") == [b"a", b"b", b" c"]


def test_lines_of_data_are_joined() -> None:
    assert decoded(b"data: a\ndata: b\ndata:\ndata: c\n\n") == [b"a\nb\n\nc"]


def test_comments_blank_lines_and_unknown_fields_are_skipped() -> None:
    stream = b": OPENROUTER PROCESSING\n\n\n\n: keep-alive\ndata: a\n: in between\nid: 7\nretry: 100\n\n:\n\n"
    assert decoded(stream) == [b"a"]


def test_events_without_data_are_skipped() -> None:
    assert decoded(b"event: ping\ndata:\n\ndata:\n\nevent: ping\n\ndata: a\n\n") == [b"a"]


def test_an_event_named_error_is_marked() -> None:
    events = decoded(b"event: message\ndata: a\n\nevent: error\ndata: b\n\ndata: c\n\n")
    assert events == [b"a", b"b", b"c"]
    assert [type(event) is ErrorEvent for event in events] == [False, True, False]


def test_the_error_field_of_llama_cpp_is_an_error_event() -> None:
    (event,) = decoded(b'error: {"code":400}\n\n')
    assert event == b'{"code":400}'
    assert type(event) is ErrorEvent


def test_the_last_event_needs_no_blank_line() -> None:
    assert decoded(b"data: a\n\ndata: b") == [b"a", b"b"]
    assert decoded(b"data: a\n\ndata: b\n") == [b"a", b"b"]


def test_an_event_leaves_as_soon_as_its_blank_line_is_there() -> None:
    decoder = EventDecoder()
    assert decoder.feed(b"data: a\n") == []
    assert decoder.feed(b"\n") == [b"a"]
    assert decoder.feed(b"data: b\r\r") == [b"b"]
    assert decoder.feed(b"data: c\r\n\r") == [b"c"]
    assert decoder.feed(b"\ndata: d\r\n\r\n") == [b"d"]


@pytest.mark.parametrize(
    "stream",
    [
        b"data: " + b"x" * 200 + b"\n\n",
        b"data: " + b"x" * 200,
        b"data: " + b"x" * 200 + b"\r\n\r\n",
        b"data: xxxxxxxxxxxxxxxxxxxx\n" * 10,
        b"data: xxxxxxxxxxxxxxxxxxxx\r\n" * 10,
    ],
)
def test_a_huge_event_is_refused(stream: bytes) -> None:
    with pytest.raises(EventTooLarge):
        decoded(stream, max_event_bytes=100)
    with pytest.raises(EventTooLarge):
        decoded(*(stream[at : at + 7] for at in range(0, len(stream), 7)), max_event_bytes=100)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("huge", [b"data: " + b"x" * 200, b"data: xxxxxxxxxxxxxxxxxxxx\n" * 10, b": " + b"x" * 200])
@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_what_was_whole_before_a_huge_event_is_handed_out(end: bytes, huge: bytes, size: int) -> None:
    stream = (b"data: a\n\n: b\ndata: c\n\n" + huge + b"\n\ndata: d\n\n").replace(b"\n", end)
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert until_too_large(pieces, max_event_bytes=100) == ([(bytes, b"a"), (bytes, b"c")], True)


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_what_was_whole_before_a_stream_became_huge_is_handed_out(size: int) -> None:
    stream = b"data: x\n\n" * 20
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert until_too_large(pieces, max_stream_bytes=100) == ([(bytes, b"x")] * 11, True)


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_comments_without_a_blank_line_are_no_large_event(size: int, end: bytes) -> None:
    stream = b": ping" + end
    stream = stream * 100 + b"data: a" + end + end
    assert decoded(*(stream[at : at + size] for at in range(0, len(stream), size)), max_event_bytes=100) == [b"a"]


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("idle", [b": ping\n", b": ping\n\n", b"\n", b"data:\n\n", b"data: \n\n", b"event: ping\n\n"])
def test_too_much_between_two_events_is_refused(idle: bytes, end: bytes, size: int) -> None:
    event = b"data: {}\n\n"
    enough = 80 // len(idle)
    stream = (event + idle * enough + event + idle * enough + event + idle * 101).replace(b"\n", end)
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert until_too_large(pieces, max_idle_bytes=100) == ([(bytes, b"{}")] * 3, True)


def test_empty_lines_of_data_are_not_collected_without_end() -> None:
    with pytest.raises(EventTooLarge):
        decoded(b"data:\n" * 101, max_event_bytes=100)


def test_a_huge_stream_is_refused() -> None:
    with pytest.raises(EventTooLarge):
        decoded(*[b"data: x\n\n"] * 20, max_stream_bytes=100)


_LINES = st.sampled_from(
    [
        *[b"data: {}", b"data:", b"data:x", b"data", b": comment", b"", b"event: error", b"event:", b"error: e"],
        "data: \u2028é\u0085".encode(),
    ]
)
_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(
    st.lists(st.tuples(_LINES, _ENDS)).map(lambda lines: b"".join(line + end for line, end in lines)),
    st.lists(st.integers(0, 400)),
    st.sampled_from([1024, 12, 8]),
    st.sampled_from([1024, 40]),
    st.sampled_from([1024, 3, 11]),
)
@example(b"data: a\r\n\r\n", [10], 1024, 1024, 1024)
@example(b"data: a\n\r\n\ndata: b\r", [8, 9], 1024, 1024, 1024)
@example(b"data: {}\n\n", [9], 8, 1024, 1024)
@example(b"\n\n\n\n\n\n\r\n", [1, 2], 1024, 1024, 3)
def test_any_byte_split_gives_the_same_events(
    stream: bytes, cuts: list[int], event: int, whole: int, idle: int
) -> None:
    bounds = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(bounds)]
    limits = {"max_event_bytes": event, "max_stream_bytes": whole, "max_idle_bytes": idle}
    assert until_too_large(pieces, **limits) == until_too_large([stream], **limits)
