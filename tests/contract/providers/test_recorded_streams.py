"""Every recorded stream is read right, however the network cuts it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from provider_calls import DEPLOYMENT, a_request

from router_service.domain.chat import FinishReason, ToolCall
from router_service.domain.event import Delta
from router_service.domain.money import Usage
from router_service.domain.upstream import Reply
from router_service.providers.answer import AnswerReader
from router_service.providers.sse import EventDecoder
from router_service.providers.stream import StreamReader

RECORDINGS = {path.stem: path.read_bytes() for path in (Path(__file__).parent / "streams").glob("*.sse")}


@dataclass(frozen=True)
class Expected:
    text: str
    usage: Usage
    finish: FinishReason = FinishReason.STOP
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


OSLO, ROME = '{"city":"Oslo"}', '{"city":"Rome"}'

EXPECTED = {
    "openai": Expected("Héllo 世界\u2028\u0085", Usage(input_tokens=19, output_tokens=6, cached_input_tokens=8)),
    "openai_tools": Expected(
        "",
        Usage(input_tokens=19, output_tokens=6, cached_input_tokens=8),
        FinishReason.TOOL_CALLS,
        tool_calls=(
            ToolCall(id="call_a", name="weather", arguments_json=OSLO),
            ToolCall(id="call_b", name="time", arguments_json="{}"),
        ),
    ),
    "azure": Expected("Hi there", Usage(input_tokens=19, output_tokens=6, cached_input_tokens=8)),
    "gemini": Expected(
        "Let me look. ",
        Usage(input_tokens=40, output_tokens=60, reasoning_tokens=40),
        FinishReason.TOOL_CALLS,
        tool_calls=(
            ToolCall(id="call_1", name="weather", arguments_json=OSLO),
            ToolCall(id="call_2", name="weather", arguments_json=ROME),
        ),
    ),
    "ollama": Expected(
        "",
        Usage(input_tokens=30, output_tokens=12),
        FinishReason.TOOL_CALLS,
        tool_calls=(
            ToolCall(id="call_x", name="weather", arguments_json=OSLO),
            ToolCall(id="call_y", name="weather", arguments_json=ROME),
        ),
    ),
    "deepseek": Expected(
        "Four.",
        Usage(input_tokens=16, output_tokens=11, cached_input_tokens=10, reasoning_tokens=7),
        reasoning="First, think.",
    ),
    "mistral": Expected("Bonjour", Usage(input_tokens=4, output_tokens=5), reasoning="Hm."),
    "openrouter": Expected("Done", Usage(input_tokens=14, output_tokens=3, cache_write_tokens=5), reasoning="Because"),
    "vllm": Expected("One two", Usage(input_tokens=7, output_tokens=2), FinishReason.LENGTH),
    "anthropic": Expected("Certainly!", Usage(input_tokens=11, output_tokens=4)),
    "groq": Expected("Fast", Usage(input_tokens=9, output_tokens=2)),
    "moonshot_without_spaces": Expected("好", Usage(input_tokens=5, output_tokens=1)),
}


def read(*pieces: bytes) -> tuple[Reply, list[list[Delta]]]:
    reply = Reply()
    reader = StreamReader(AnswerReader(a_request(), reply))
    batches = []
    for piece in pieces:
        batches.append(reader.feed(piece))
        if reader.done:
            break
    else:
        batches.append(reader.finish())
    return reply, [batch for batch in batches if batch]


def all_of(*pieces: bytes) -> tuple[object, ...]:
    """Events, deltas joined, usage and finish of a stream that arrives in these pieces."""
    decoder = EventDecoder()
    events = [(type(event), event) for piece in pieces for event in decoder.feed(piece)]
    events += [(type(event), event) for event in decoder.finish()]
    reply, batches = read(*pieces)
    passed_on = Reply()
    for batch in batches:
        passed_on.add(batch)
    message = reply.message()
    assert replace(passed_on.message(), opaque=message.opaque) == message
    return events, message, reply.usage, reply.finish_reason, reply.response_id, reply.response_model


def test_every_recording_has_an_expectation() -> None:
    assert RECORDINGS.keys() == EXPECTED.keys()


@pytest.mark.parametrize("name", sorted(RECORDINGS))
def test_a_recorded_stream_is_read(name: str) -> None:
    expected = EXPECTED[name]
    reply, _ = read(RECORDINGS[name])
    message = reply.message()
    assert message.text == expected.text
    assert message.reasoning == expected.reasoning
    assert message.tool_calls == expected.tool_calls
    assert reply.usage == expected.usage
    assert reply.finish_reason is expected.finish


@pytest.mark.parametrize("name", sorted(RECORDINGS))
def test_every_cut_in_two_gives_the_same_reply(name: str) -> None:
    stream = RECORDINGS[name]
    whole = all_of(stream)
    for cut in range(1, len(stream)):
        assert all_of(stream[:cut], stream[cut:]) == whole, f"cut at byte {cut}"


@pytest.mark.parametrize("name", sorted(RECORDINGS))
def test_one_byte_at_a_time_gives_the_same_reply(name: str) -> None:
    stream = RECORDINGS[name]
    assert all_of(*(stream[at : at + 1] for at in range(len(stream)))) == all_of(stream)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(RECORDINGS)), st.lists(st.integers(0, 2500), max_size=12))
def test_any_cuts_give_the_same_reply(name: str, cuts: list[int]) -> None:
    stream = RECORDINGS[name]
    bounds = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    assert all_of(*(stream[start:end] for start, end in pairwise(bounds))) == all_of(stream)


@pytest.mark.parametrize("name", sorted(RECORDINGS))
def test_text_that_arrives_together_is_one_delta(name: str) -> None:
    _, batches = read(RECORDINGS[name])
    (together,) = batches
    assert all(type(one) is not type(next_one) or hasattr(one, "index") for one, next_one in pairwise(together))


def test_thought_signatures_are_kept_with_their_tool_call() -> None:
    reply, _ = read(RECORDINGS["gemini"])
    (opaque,) = reply.opaque
    assert opaque.origin == DEPLOYMENT.id
    assert opaque.data == b'{"tool_calls":{"call_1":{"google":{"thought_signature":"c2ln"}}}}'


def test_what_identifies_the_answer_is_kept() -> None:
    reply, _ = read(RECORDINGS["azure"])
    assert (reply.response_id, reply.response_model) == ("chatcmpl-7", "m")
