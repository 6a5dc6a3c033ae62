"""Requests that are small to send and would be costly to read are refused before they are read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from identities import caller

from llmrouter.v1 import chat_pb2, router_service_pb2
from router_service.domain.error import InvalidRequest, Violation
from router_service.edge.violations import MAX_JSON, Violations
from router_service.rpc.requests import call_of

Part, ToolCall, Opaque = chat_pb2.Part, chat_pb2.ToolCall, chat_pb2.Opaque
USER, ASSISTANT = chat_pb2.ROLE_USER, chat_pb2.ROLE_ASSISTANT


def violations_of(chat: chat_pb2.Chat) -> tuple[Violation, ...]:
    request = router_service_pb2.CompleteRequest(chat=chat)
    try:
        call_of(request, request_id="r-1", identity=caller(), deadline=None, stream=False, trace_id="")
    except InvalidRequest as error:
        return error.violations
    return ()


def many(message: chat_pb2.Message, count: int) -> chat_pb2.Chat:
    return chat_pb2.Chat(messages=[message] * count)


@pytest.mark.parametrize(
    "message",
    [
        chat_pb2.Message(role=USER, parts=[Part(text="x")] * 32),
        chat_pb2.Message(role=ASSISTANT, tool_calls=[ToolCall(id="a", name="b")] * 32),
        chat_pb2.Message(role=ASSISTANT, parts=[Part(text="x")], opaque=[Opaque(origin="o")] * 31),
    ],
)
def test_a_chat_holds_at_most_4096_pieces_whatever_they_are(message: chat_pb2.Message) -> None:
    assert violations_of(many(message, 128)) == ()
    assert violations_of(many(message, 129)) == (
        Violation("chat.messages", "must hold at most 4096 parts, tool calls and opaque states, hold 4128"),
    )


@pytest.mark.parametrize("tokens", [0, -1, 1_000_001, 2**31 - 1])
def test_no_more_than_a_million_tokens_can_be_asked_for(tokens: int) -> None:
    def asking(count: int) -> chat_pb2.Chat:
        parameters = chat_pb2.Parameters(max_output_tokens=count)
        return chat_pb2.Chat(messages=[chat_pb2.Message(role=USER, parts=[Part(text="x")])], parameters=parameters)

    assert violations_of(asking(1_000_000)) == ()
    assert violations_of(asking(tokens)) == (
        Violation("chat.parameters.max_output_tokens", "must be from 1 to 1000000"),
    )


def reported(text: str) -> list[str]:
    violations = Violations()
    violations.json_object("field", text)
    try:
        violations.raise_any()
    except InvalidRequest as error:
        return [violation.description for violation in error.violations]
    return []


def test_json_is_read_up_to_its_limit() -> None:
    text = '{"a": "' + "x" * (MAX_JSON - 9) + '"}'
    assert len(text) == MAX_JSON
    assert reported(text) == []
    assert reported(f"{text} ") == [f"must not be longer than {MAX_JSON} characters"]


def test_a_document_that_is_no_json_is_not_called_deep() -> None:
    assert reported('{"a":' + "[" * 100 + "}") == ["is not well-formed JSON"]


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.sampled_from('[]{}"\\\n aé€'), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def depth_of(value: Any) -> int:
    if isinstance(value, dict | list):
        children = value.values() if isinstance(value, dict) else value
        return 1 + max(map(depth_of, children), default=0)
    return 0


@given(
    inner=ANY_JSON, levels=st.integers(54, 70), shape=st.sampled_from(["list", "object", "both"]), wide=st.booleans()
)
def test_64_levels_may_nest_and_not_one_more(inner: Any, levels: int, shape: str, wide: bool) -> None:
    value = inner
    for level in range(levels):
        value = {"k": value} if shape == "object" or (shape == "both" and level % 2) else [value, *([[]] * wide)]
    document = {"a": value}
    text = json.dumps(document, ensure_ascii=False)

    deep = depth_of(document) > 64
    assert reported(text) == (["must not nest deeper than 64 levels"] if deep else [])
