import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_service.domain.chat import (
    Chat,
    ImagePart,
    JsonObjectFormat,
    JsonSchemaFormat,
    Message,
    Opaque,
    Parameters,
    ReasoningEffort,
    Role,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
    ToolMode,
)
from router_service.domain.deployment import Capability, Deployment
from router_service.domain.error import UpstreamError, UpstreamFault
from router_service.domain.upstream import UpstreamRequest
from router_service.domain.vendor import Prefill, Quirks
from router_service.providers.request import encode_request

HELLO = Message(role=Role.USER, parts=(TextPart("Hello"),))
PLAIN = {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}]}
EVERYTHING = Parameters(
    temperature=0.0,
    top_p=0.9,
    frequency_penalty=0.1,
    presence_penalty=0.2,
    seed=7,
    stop=("END", "\n"),
    reasoning_effort=ReasoningEffort.LOW,
)


def encoded(
    *messages: Message,
    quirks: Quirks | None = None,
    stream: bool = False,
    parameters: Parameters | None = None,
    max_output_tokens: int | None = None,
    capabilities: frozenset[Capability] = frozenset(),
    prefix: str = "",
    **chat: Any,
) -> dict[str, Any]:
    request = UpstreamRequest(
        attempt_id="a",
        deployment=Deployment(id="here", model="gpt", provider="p", upstream_name="gpt", capabilities=capabilities),
        chat=Chat(messages=messages or (HELLO,), **chat),
        parameters=parameters or Parameters(),
        max_output_tokens=max_output_tokens,
        connect_timeout=1,
        read_timeout=1,
        prefix=prefix,
    )
    body: dict[str, Any] = json.loads(encode_request(request, quirks or Quirks(), stream=stream))
    return body


def test_what_is_not_set_is_not_sent() -> None:
    assert encoded() == PLAIN


def test_parameters_are_sent_under_openais_names() -> None:
    assert encoded(parameters=EVERYTHING, max_output_tokens=50) == {
        **PLAIN,
        "temperature": 0.0,
        "top_p": 0.9,
        "frequency_penalty": 0.1,
        "presence_penalty": 0.2,
        "seed": 7,
        "stop": ["END", "\n"],
        "reasoning_effort": "low",
        "max_completion_tokens": 50,
    }


def test_a_stream_asks_for_usage() -> None:
    assert encoded(stream=True) == {**PLAIN, "stream": True, "stream_options": {"include_usage": True}}


def test_mistral_names_its_own_fields() -> None:
    quirks = Quirks(
        max_tokens_field="max_tokens",
        stream_usage=False,
        seed_field="random_seed",
        required_tool_choice="any",
        unsupported=frozenset({"stream_options", "max_completion_tokens"}),
    )
    body = encoded(
        quirks=quirks,
        stream=True,
        parameters=Parameters(seed=7),
        max_output_tokens=50,
        tools=(Tool(name="f"),),
        tool_choice=ToolChoice(mode=ToolMode.REQUIRED),
    )
    assert body == {
        **PLAIN,
        "random_seed": 7,
        "max_tokens": 50,
        "stream": True,
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": "any",
    }


def test_fields_that_a_provider_refuses_are_left_out() -> None:
    quirks = Quirks(unsupported=frozenset({"frequency_penalty", "seed", "response_format", "reasoning_effort"}))
    body = encoded(quirks=quirks, parameters=EVERYTHING, response_format=JsonObjectFormat())
    assert body == {**PLAIN, "temperature": 0.0, "top_p": 0.9, "presence_penalty": 0.2, "stop": ["END", "\n"]}


def test_fields_that_reasoning_models_refuse_are_left_out_for_these_alone() -> None:
    quirks = Quirks(unsupported_by_reasoning=frozenset({"temperature", "top_p"}))
    parameters = Parameters(temperature=0.0, top_p=0.9, seed=7)
    assert encoded(quirks=quirks, parameters=parameters, capabilities=frozenset({Capability.REASONING})) == {
        **PLAIN,
        "seed": 7,
    }
    assert encoded(quirks=quirks, parameters=parameters, capabilities=frozenset({Capability.TOOLS})) == {
        **PLAIN,
        "temperature": 0.0,
        "top_p": 0.9,
        "seed": 7,
    }


def test_system_messages_may_be_called_developer() -> None:
    system = Message(role=Role.SYSTEM, parts=(TextPart("Be kind"),))
    assert encoded(system)["messages"] == [{"role": "system", "content": "Be kind"}]
    assert encoded(system, quirks=Quirks(developer_role=True))["messages"] == [
        {"role": "developer", "content": "Be kind"}
    ]


def test_images_are_urls_or_data_urls() -> None:
    message = Message(
        role=Role.USER,
        parts=(
            TextPart("Look:"),
            ImagePart(url="https://example.com/a.png", detail="low"),
            ImagePart(data=b"\x89PNG", media_type="image/webp"),
        ),
    )
    assert encoded(message)["messages"][0]["content"] == [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/webp;base64,iVBORw=="}},
    ]


CALLING = Message(
    role=Role.ASSISTANT,
    tool_calls=(ToolCall(id="c1", name="weather", arguments_json='{"city": "Oslo"}'),),
    reasoning="Let me see",
    opaque=(
        Opaque("elsewhere", b'{"tool_calls":{"c1":{"theirs":1}}}'),
        Opaque("here", b'{"message":{"google":{"thought_signature":"m"}},"tool_calls":{"c1":{"google":{}}}}'),
    ),
)


def test_a_tool_conversation_keeps_its_ids_and_arguments() -> None:
    answer = Message(role=Role.TOOL, parts=(TextPart("12 °C"),), tool_call_id="c1", name="weather")
    calling, answering = encoded(CALLING, answer)["messages"]
    assert calling["role"] == "assistant"
    assert calling["content"] is None
    assert calling["tool_calls"][0]["type"] == "function"
    assert calling["tool_calls"][0]["id"] == "c1"
    assert calling["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city": "Oslo"}'}
    assert answering == {"role": "tool", "content": "12 °C", "tool_call_id": "c1", "name": "weather"}


def test_names_are_left_out_where_they_are_refused() -> None:
    asked = Message(role=Role.USER, parts=(TextPart("Hi"),), name="ann")
    answer = Message(role=Role.TOOL, parts=(TextPart("12 °C"),), tool_call_id="c1", name="weather")
    messages = encoded(asked, CALLING, answer, quirks=Quirks(message_name=False))["messages"]
    assert all("name" not in message for message in messages)
    assert messages[1]["tool_calls"][0]["function"]["name"] == "weather"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=4, unique=True))
def test_tool_call_ids_of_other_providers_are_made_to_fit(ids: list[str]) -> None:
    calling = Message(
        role=Role.ASSISTANT, tool_calls=tuple(ToolCall(id=each, name="f", arguments_json="{}") for each in ids)
    )
    answers = [Message(role=Role.TOOL, parts=(TextPart("x"),), tool_call_id=each) for each in ids]
    first, *rest = encoded(calling, *answers, quirks=Quirks(tool_call_id_length=9))["messages"]
    sent = [call["id"] for call in first["tool_calls"]]
    assert all(re.fullmatch("[A-Za-z0-9]{9}", each) for each in sent)
    assert sent == [message["tool_call_id"] for message in rest]
    assert len(set(sent)) == len(ids)


def test_tool_call_ids_that_fit_are_kept() -> None:
    answer = Message(role=Role.TOOL, parts=(TextPart("x"),), tool_call_id="D681PevKs")
    assert encoded(answer, quirks=Quirks(tool_call_id_length=9))["messages"][0]["tool_call_id"] == "D681PevKs"
    assert encoded(answer)["messages"][0]["tool_call_id"] == "D681PevKs"


def test_opaque_state_finds_its_call_under_another_id() -> None:
    (message,) = encoded(CALLING, quirks=Quirks(tool_call_id_length=9))["messages"]
    assert message["tool_calls"][0]["id"] != "c1"
    assert message["tool_calls"][0]["extra_content"] == {"google": {}}


def test_opaque_state_goes_back_to_its_origin_only() -> None:
    (message,) = encoded(CALLING)["messages"]
    assert message["extra_content"] == {"google": {"thought_signature": "m"}}
    assert message["tool_calls"][0]["extra_content"] == {"google": {}}


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"tool_calls":[]}', b'{"role":"system","content":"x"}'])
def test_damaged_or_forged_opaque_state_changes_nothing(data: bytes) -> None:
    message = Message(role=Role.ASSISTANT, parts=(TextPart("Hi"),), opaque=(Opaque("here", data),))
    assert encoded(message)["messages"] == [{"role": "assistant", "content": "Hi"}]


def test_reasoning_is_sent_back_only_where_it_has_a_field() -> None:
    assert "reasoning_content" not in encoded(CALLING)["messages"][0]
    quirks = Quirks(reasoning_field="reasoning_content")
    assert encoded(CALLING, quirks=quirks)["messages"][0]["reasoning_content"] == "Let me see"


def test_schemas_keep_their_text() -> None:
    schema = '{"type":"object","properties":{"b":{"type":"integer"},"a":{"maximum":1e400}}}'
    request = UpstreamRequest(
        attempt_id="a",
        deployment=Deployment(id="here", model="gpt", provider="p", upstream_name="gpt"),
        chat=Chat(
            messages=(HELLO,),
            tools=(Tool(name="f", description="d", parameters_json=schema, strict=True),),
            response_format=JsonSchemaFormat(name="answer", schema_json=schema, strict=True),
        ),
        parameters=Parameters(),
        max_output_tokens=None,
        connect_timeout=1,
        read_timeout=1,
    )
    body = encode_request(request, Quirks(), stream=False).decode()
    assert f'"function":{{"name":"f","description":"d","parameters":{schema},"strict":true}}' in body
    assert f'"json_schema":{{"name":"answer","schema":{schema},"strict":true}}' in body


@pytest.mark.parametrize(
    ("choice", "fields"),
    [
        (None, {}),
        (ToolChoice(mode=ToolMode.AUTO), {"tool_choice": "auto"}),
        (ToolChoice(mode=ToolMode.NONE), {"tool_choice": "none"}),
        (ToolChoice(mode=ToolMode.REQUIRED), {"tool_choice": "required"}),
        (ToolChoice(function="f"), {"tool_choice": {"type": "function", "function": {"name": "f"}}}),
        (ToolChoice(disable_parallel=True), {"parallel_tool_calls": False}),
    ],
)
def test_tool_choices(choice: ToolChoice | None, fields: dict[str, Any]) -> None:
    body = encoded(tools=(Tool(name="f"),), tool_choice=choice)
    assert {name: value for name, value in body.items() if name not in {*PLAIN, "tools"}} == fields


def test_extra_fields_are_merged_and_win_over_parameters() -> None:
    body = encoded(extra_json='{"top_k": 5, "temperature": 0.3}', parameters=Parameters(temperature=0.9))
    assert body == {**PLAIN, "top_k": 5, "temperature": 0.3}


def test_extra_fields_cannot_touch_what_is_asked_or_how_much_is_generated() -> None:
    extra = {
        "model": "dear",
        "messages": [],
        "stream": True,
        "stream_options": {},
        "max_tokens": 9999,
        "max_completion_tokens": 9999,
        "n": 9,
        "best_of": 9,
        "top_k": 1,
    }
    assert encoded(extra_json=json.dumps(extra), max_output_tokens=5) == {
        **PLAIN,
        "max_completion_tokens": 5,
        "top_k": 1,
    }


@pytest.mark.parametrize(
    "chat",
    [
        {"tools": (Tool(name="f", parameters_json='{}}}],"max_tokens":9999,"x":[{"y":{"z":{}'),)},
        {"response_format": JsonSchemaFormat(name="a", schema_json="")},
        {"response_format": JsonSchemaFormat(name="a", schema_json="{}, 1")},
        {"extra_json": "[]"},
        {"extra_json": "{"},
    ],
)
def test_json_text_that_is_not_json_is_never_sent(chat: dict[str, Any]) -> None:
    with pytest.raises(UpstreamError) as caught:
        encoded(**chat)
    assert caught.value.fault is UpstreamFault.BAD_REQUEST


@pytest.mark.parametrize(
    ("prefill", "in_message", "in_request"),
    [
        (Prefill.PLAIN, {}, {}),
        (Prefill.PREFIX, {"prefix": True}, {}),
        (Prefill.PARTIAL, {"partial": True}, {}),
        (Prefill.CONTINUE_FINAL, {}, {"continue_final_message": True, "add_generation_prompt": False}),
    ],
)
def test_the_beginning_of_an_answer_is_sent_as_the_provider_continues_it(
    prefill: Prefill, in_message: dict[str, Any], in_request: dict[str, Any]
) -> None:
    body = encoded(quirks=Quirks(prefill=prefill), prefix="The answer is ")
    begun = {"role": "assistant", "content": "The answer is ", **in_message}
    assert body == {**PLAIN, "messages": [*PLAIN["messages"], begun], **in_request}  # type: ignore[misc]


def test_the_beginning_goes_behind_what_the_caller_began() -> None:
    begun = Message(role=Role.ASSISTANT, parts=(TextPart("Once upon"),))
    body = encoded(HELLO, begun, quirks=Quirks(prefill=Prefill.PREFIX), prefix=" a time")
    assert body["messages"][1:] == [{"role": "assistant", "content": "Once upon a time", "prefix": True}]


def test_the_beginning_is_a_message_of_its_own_behind_a_tool_call() -> None:
    called = Message(role=Role.ASSISTANT, tool_calls=(ToolCall(id="c", name="f", arguments_json="{}"),))
    body = encoded(HELLO, called, quirks=Quirks(prefill=Prefill.PLAIN), prefix="So")
    assert body["messages"][2] == {"role": "assistant", "content": "So"}


def test_extra_fields_cannot_undo_that_an_answer_is_continued() -> None:
    extra = '{"add_generation_prompt": true, "continue_final_message": false}'
    body = encoded(quirks=Quirks(prefill=Prefill.CONTINUE_FINAL), prefix="So", extra_json=extra)
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)


def test_no_beginning_is_sent_to_a_provider_that_continues_none() -> None:
    with pytest.raises(UpstreamError) as raised:
        encoded(prefix="The answer is")
    assert raised.value.fault is UpstreamFault.BAD_REQUEST
