"""Prompts as people write them become the API's messages, or a clear ValueError."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from llmrouter.calls import Calls
from llmrouter.channel import target_of
from llmrouter.conversation import chat_of
from llmrouter.v1 import chat_pb2


def test_text_is_one_user_message() -> None:
    (message,) = chat_of("Hi", {}).messages
    assert message == chat_pb2.Message(role=chat_pb2.ROLE_USER, parts=[chat_pb2.Part(text="Hi")])


def test_conversation_in_openai_shape_and_messages_may_be_mixed() -> None:
    answer = chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT, opaque=[chat_pb2.Opaque(origin="gpt-4o", data=b"state")])
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bern"}'}}
    messages = chat_of(
        [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "And now?", "name": "ann", "refusal": None},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
            answer,
        ],
        {},
    ).messages

    assert [chat_pb2.Role.Name(message.role) for message in messages] == [
        "ROLE_SYSTEM",
        "ROLE_USER",
        "ROLE_ASSISTANT",
        "ROLE_TOOL",
        "ROLE_ASSISTANT",
    ]
    assert messages[1].name == "ann"
    assert messages[2].tool_calls[0] == chat_pb2.ToolCall(id="c1", name="weather", arguments_json='{"city": "Bern"}')
    assert not messages[2].parts
    assert messages[3].tool_call_id == "c1"
    assert messages[4] == answer


def test_images_by_url_and_inline() -> None:
    data = "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": data}},
    ]
    parts = chat_of([{"role": "user", "content": content}], {}).messages[0].parts

    assert parts[0].text == "What is this?"
    assert parts[1].image == chat_pb2.Image(url="https://example.com/a.png", detail="low")
    assert parts[2].image == chat_pb2.Image(data=b"\x89PNG", media_type="image/png")


def test_tools_choice_and_format_in_openai_shape() -> None:
    schema = {"type": "object", "properties": {"z": {"type": "integer"}, "a": {"type": "integer"}}}
    chat = chat_of(
        "Hi",
        {
            "tools": [{"type": "function", "function": {"name": "f", "parameters": schema, "strict": True}}],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}},
            "reasoning_effort": "low",
            "stop": ["END"],
            "temperature": 0.0,
            "extra": {"top_k": 5},
        },
    )
    text = '{"type": "object", "properties": {"z": {"type": "integer"}, "a": {"type": "integer"}}}'
    assert chat.tools[0] == chat_pb2.Tool(name="f", parameters_json=text, strict=True)
    assert chat.tool_choice.function == "f"
    assert chat.response_format.json_schema == chat_pb2.ResponseFormat.JsonSchema(name="s", schema_json=text)
    assert chat.parameters.reasoning_effort == chat_pb2.REASONING_EFFORT_LOW
    assert chat.parameters.stop == ["END"]
    assert chat.parameters.HasField("temperature")
    assert not chat.parameters.HasField("seed")
    assert chat.extra_json == '{"top_k": 5}'


@pytest.mark.parametrize(
    ("format_", "kind"), [("text", "text"), ("json_object", "json_object"), ({"type": "json_object"}, "json_object")]
)
def test_formats_by_name(format_: Any, kind: str) -> None:
    assert chat_of("Hi", {"response_format": format_}).response_format.WhichOneof("format") == kind


@pytest.mark.parametrize(
    ("mode", "value"),
    [
        ("auto", chat_pb2.ToolChoice.MODE_AUTO),
        ("none", chat_pb2.ToolChoice.MODE_NONE),
        ("required", chat_pb2.ToolChoice.MODE_REQUIRED),
    ],
)
def test_tool_choice_by_mode(mode: str, value: int) -> None:
    assert chat_of("Hi", {"tool_choice": mode}).tool_choice.mode == value


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([{"role": "robot", "content": "Hi"}], "robot"),
        ([{"content": "Hi"}], "role"),
        ([{"role": "user", "text": "Hi"}], "'text'"),
        ([{"role": "user", "content": [{"type": "audio"}]}], "A part is"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x,y"}}]}], "base64"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:a/b;base64,?"}}]}], "base64"),
    ],
)
def test_message_that_cannot_be_sent_says_why(messages: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        chat_of(messages, {})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tool_choice": "sometimes"}, "sometimes"),
        ({"response_format": "xml"}, "response_format"),
        ({"reasoning_effort": "huge"}, "huge"),
        ({"model": "a", "deployment": "b"}, "not both"),
    ],
)
def test_option_that_cannot_be_sent_says_why(options: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Calls(api_key=None, timeout=60.0).complete("Hi", options)


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("localhost:50051", "dns:///localhost:50051"),
        ("router.internal:443", "dns:///router.internal:443"),
        ("unix:/run/llmrouter.sock", "unix:/run/llmrouter.sock"),
        ("ipv4:10.0.0.1:1,10.0.0.2:1", "ipv4:10.0.0.1:1,10.0.0.2:1"),
    ],
)
def test_every_address_of_a_host_is_used(address: str, target: str) -> None:
    assert target_of(address) == target


def test_a_single_stop_sequence_is_one_sequence() -> None:
    assert list(chat_of("Hi", {"stop": "END"}).parameters.stop) == ["END"]
