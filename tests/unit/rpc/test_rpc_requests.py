from __future__ import annotations

import contextlib
import math

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from identities import caller

from llmrouter.v1 import call_pb2, chat_pb2, router_service_pb2
from router_service.domain.call import Call, Caller, Wishes
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
from router_service.domain.error import InvalidRequest
from router_service.rpc.chats import message_to_wire
from router_service.rpc.requests import CallRequest, call_of

Text = chat_pb2.Part


def user(*parts: chat_pb2.Part) -> chat_pb2.Message:
    return chat_pb2.Message(role=chat_pb2.ROLE_USER, parts=parts or [Text(text="Hi.")])


def a_chat(**fields: object) -> chat_pb2.Chat:
    return chat_pb2.Chat(**{"messages": [user()], **fields})  # type: ignore[arg-type]


def convert(request: CallRequest) -> Call:
    return call_of(request, request_id="r-1", identity=caller(), deadline=5.0, stream=False, trace_id="")


def converted(chat: chat_pb2.Chat) -> Chat:
    return convert(router_service_pb2.CompleteRequest(chat=chat)).chat


def violations_of(request: CallRequest) -> set[str]:
    with pytest.raises(InvalidRequest) as caught:
        convert(request)
    return {violation.field for violation in caught.value.violations}


def bad_fields(chat: chat_pb2.Chat) -> set[str]:
    return violations_of(router_service_pb2.CompleteRequest(chat=chat))


def test_a_plain_request_becomes_a_call() -> None:
    request = router_service_pb2.CompleteRequest(
        caller=call_pb2.Caller(
            feature="chat",
            tier="free",
            task_type="draft",
            user="u-1",
            conversation_id="c-1",
            language="zh-CN",
            complexity="creative",
            labels={"team": "a"},
        ),
        chat=a_chat(),
        routing=call_pb2.Routing(
            policy="eu", model="gpt-x", max_cost_nano_usd=0, cache_mode=call_pb2.CACHE_MODE_BYPASS, accept_discard=True
        ),
        idempotency_key="k-1",
    )
    request.routing.latency_target.FromMilliseconds(1500)

    assert convert(request) == Call(
        request_id="r-1",
        tenant="acme",
        identity=caller(),
        caller=Caller(
            feature="chat",
            tier="free",
            task_type="draft",
            user="u-1",
            conversation_id="c-1",
            language="zh-CN",
            complexity="creative",
            labels={"team": "a"},
        ),
        chat=Chat(messages=(Message(role=Role.USER, parts=(TextPart("Hi."),)),)),
        wishes=Wishes(
            policy="eu",
            model="gpt-x",
            latency_target=1.5,
            max_cost_nano_usd=0,
            bypass_cache=True,
            accept_discard=True,
        ),
        idempotency_key="k-1",
        deadline=5.0,
    )


def test_what_is_unset_stays_unset() -> None:
    call = convert(router_service_pb2.RouteRequest(chat=a_chat(parameters=chat_pb2.Parameters())))

    assert call.caller == Caller()
    assert call.wishes == Wishes()
    assert call.chat.parameters == Parameters()


def test_a_zero_that_was_set_is_kept() -> None:
    parameters = chat_pb2.Parameters(temperature=0.0, seed=0, frequency_penalty=0.0)

    assert converted(a_chat(parameters=parameters)).parameters == Parameters(
        temperature=0.0, seed=0, frequency_penalty=0.0
    )


def test_a_conversation_with_tools_pictures_and_state_is_converted_whole() -> None:
    chat = chat_pb2.Chat(
        messages=[
            chat_pb2.Message(role=chat_pb2.ROLE_SYSTEM, parts=[Text(text="Be brief.")]),
            user(
                Text(text="What is it?"),
                Text(image=chat_pb2.Image(url="https://example.com/a.png", detail="low")),
                Text(image=chat_pb2.Image(data=b"\x89PNG", media_type="image/png")),
            ),
            chat_pb2.Message(
                role=chat_pb2.ROLE_ASSISTANT,
                tool_calls=[chat_pb2.ToolCall(id="t-1", name="look", arguments_json="{not json")],
                reasoning="hm",
                opaque=[chat_pb2.Opaque(origin="gemini", data=b"\x00\x01")],
            ),
            chat_pb2.Message(role=chat_pb2.ROLE_TOOL, tool_call_id="t-1"),
        ],
        tools=[chat_pb2.Tool(name="look", description="d", parameters_json='{"type":"object"}', strict=True)],
        tool_choice=chat_pb2.ToolChoice(function="look", disable_parallel=True),
        response_format=chat_pb2.ResponseFormat(
            json_schema=chat_pb2.ResponseFormat.JsonSchema(name="s", schema_json="{}", strict=True)
        ),
        parameters=chat_pb2.Parameters(
            max_output_tokens=9,
            top_p=1.0,
            stop=["END"],
            reasoning_effort=chat_pb2.REASONING_EFFORT_LOW,
            logprobs=True,
            top_logprobs=20,
        ),
        extra_json='{"top_k": 5}',
    )

    assert converted(chat) == Chat(
        messages=(
            Message(role=Role.SYSTEM, parts=(TextPart("Be brief."),)),
            Message(
                role=Role.USER,
                parts=(
                    TextPart("What is it?"),
                    ImagePart(url="https://example.com/a.png", detail="low"),
                    ImagePart(data=b"\x89PNG", media_type="image/png"),
                ),
            ),
            Message(
                role=Role.ASSISTANT,
                tool_calls=(ToolCall(id="t-1", name="look", arguments_json="{not json"),),
                reasoning="hm",
                opaque=(Opaque("gemini", b"\x00\x01"),),
            ),
            Message(role=Role.TOOL, tool_call_id="t-1"),
        ),
        tools=(Tool(name="look", description="d", parameters_json='{"type":"object"}', strict=True),),
        tool_choice=ToolChoice(function="look", disable_parallel=True),
        response_format=JsonSchemaFormat(name="s", schema_json="{}", strict=True),
        parameters=Parameters(
            max_output_tokens=9, top_p=1.0, stop=("END",), reasoning_effort=ReasoningEffort.LOW, top_logprobs=20
        ),
        extra_json='{"top_k": 5}',
    )
    assert [message_to_wire(message) for message in converted(chat).messages] == list(chat.messages)


@pytest.mark.parametrize(
    ("wire", "choice"),
    [
        (chat_pb2.ToolChoice(), None),
        (chat_pb2.ToolChoice(mode=chat_pb2.ToolChoice.MODE_UNSPECIFIED), None),
        (chat_pb2.ToolChoice(mode=chat_pb2.ToolChoice.MODE_NONE), ToolChoice(mode=ToolMode.NONE)),
        (chat_pb2.ToolChoice(disable_parallel=True), ToolChoice(disable_parallel=True)),
    ],
)
def test_a_tool_choice_may_leave_it_to_the_provider(wire: chat_pb2.ToolChoice, choice: ToolChoice | None) -> None:
    assert converted(a_chat(tool_choice=wire)).tool_choice == choice


def test_free_text_is_no_constraint_and_any_object_is_one() -> None:
    text = chat_pb2.ResponseFormat(text=chat_pb2.ResponseFormat.Text())
    json_object = chat_pb2.ResponseFormat(json_object=chat_pb2.ResponseFormat.JsonObject())

    assert converted(a_chat(response_format=text)).response_format is None
    assert converted(a_chat(response_format=json_object)).response_format == JsonObjectFormat()


def test_every_bad_field_is_reported_at_once_with_its_path() -> None:
    request = router_service_pb2.CompleteRequest(
        caller=call_pb2.Caller(feature="a\nb", labels={"k": "v\x00"}),
        chat=a_chat(
            messages=[user(), user(), chat_pb2.Message(parts=[Text(text="x")])],
            parameters=chat_pb2.Parameters(temperature=3),
        ),
        routing=call_pb2.Routing(model=""),
        idempotency_key="k" * 300,
    )

    assert violations_of(request) == {
        "caller.feature",
        "caller.labels",
        "chat.messages[2].role",
        "chat.parameters.temperature",
        "routing.model",
        "idempotency_key",
    }


def image(**fields: object) -> chat_pb2.Chat:
    return a_chat(messages=[user(Text(image=chat_pb2.Image(**fields)))])  # type: ignore[arg-type]


IMAGE = "chat.messages[0].parts[0].image"


@pytest.mark.parametrize(
    ("chat", "field"),
    [
        (chat_pb2.Chat(), "chat.messages"),
        (a_chat(messages=[user()] * 513), "chat.messages"),
        (a_chat(messages=[chat_pb2.Message(role=chat_pb2.ROLE_USER)]), "chat.messages[0].parts"),
        (a_chat(messages=[chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT)]), "chat.messages[0].parts"),
        (a_chat(messages=[chat_pb2.Message(role=77, parts=[Text(text="x")])]), "chat.messages[0].role"),
        (a_chat(messages=[user(Text())]), "chat.messages[0].parts[0]"),
        (a_chat(messages=[user(*[Text(text="x")] * 257)]), "chat.messages[0].parts"),
        (
            a_chat(messages=[chat_pb2.Message(role=chat_pb2.ROLE_TOOL, parts=[Text(text="x")])]),
            "chat.messages[0].tool_call_id",
        ),
        (
            a_chat(messages=[chat_pb2.Message(role=chat_pb2.ROLE_USER, parts=[Text(text="x")], tool_call_id="t")]),
            "chat.messages[0].tool_call_id",
        ),
        (
            a_chat(messages=[chat_pb2.Message(role=chat_pb2.ROLE_TOOL, tool_call_id="t\r\nx")]),
            "chat.messages[0].tool_call_id",
        ),
        (
            a_chat(messages=[chat_pb2.Message(role=chat_pb2.ROLE_USER, parts=[Text(text="x")], name="a\x07")]),
            "chat.messages[0].name",
        ),
        (
            a_chat(messages=[chat_pb2.Message(role=chat_pb2.ROLE_USER, parts=[Text(text="x")], reasoning="r")]),
            "chat.messages[0].reasoning",
        ),
        (
            a_chat(
                messages=[
                    chat_pb2.Message(
                        role=chat_pb2.ROLE_USER,
                        tool_calls=[chat_pb2.ToolCall(id="t", name="n")],
                        parts=[Text(text="x")],
                    )
                ]
            ),
            "chat.messages[0].tool_calls",
        ),
        (
            a_chat(messages=[chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT, tool_calls=[chat_pb2.ToolCall(name="n")])]),
            "chat.messages[0].tool_calls[0].id",
        ),
        (
            a_chat(messages=[chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT, tool_calls=[chat_pb2.ToolCall(id="t")])]),
            "chat.messages[0].tool_calls[0].name",
        ),
        (
            a_chat(
                messages=[
                    chat_pb2.Message(
                        role=chat_pb2.ROLE_ASSISTANT, parts=[Text(text="x")], opaque=[chat_pb2.Opaque(data=b"x")]
                    )
                ]
            ),
            "chat.messages[0].opaque[0].origin",
        ),
        (image(), IMAGE),
        (image(url="http://example.com/a.png"), f"{IMAGE}.url"),
        (image(url="file:///etc/passwd"), f"{IMAGE}.url"),
        (image(url="https://"), f"{IMAGE}.url"),
        (image(url="https://example.com/a b"), f"{IMAGE}.url"),
        (image(url="https://example.com/\r\nhost: x"), f"{IMAGE}.url"),
        (image(url="https://example.com/" + "a" * 9000), f"{IMAGE}.url"),
        (image(data=b"x"), f"{IMAGE}.media_type"),
        (image(data=b"x", media_type="text/html"), f"{IMAGE}.media_type"),
        (image(data=b"", media_type="image/png"), f"{IMAGE}.data"),
        (image(data=b"x" * (3 * 1024 * 1024 + 1), media_type="image/png"), f"{IMAGE}.data"),
        (image(url="https://example.com/a", detail="huge"), f"{IMAGE}.detail"),
        (a_chat(tools=[chat_pb2.Tool(name=f"t{n}") for n in range(129)]), "chat.tools"),
        (a_chat(tools=[chat_pb2.Tool(name="has space")]), "chat.tools[0].name"),
        (a_chat(tools=[chat_pb2.Tool(name="x" * 65)]), "chat.tools[0].name"),
        (a_chat(tools=[chat_pb2.Tool(name="a"), chat_pb2.Tool(name="a")]), "chat.tools[1].name"),
        (a_chat(tools=[chat_pb2.Tool(name="a", parameters_json="{")]), "chat.tools[0].parameters_json"),
        (a_chat(tools=[chat_pb2.Tool(name="a", parameters_json="[]")]), "chat.tools[0].parameters_json"),
        (a_chat(tool_choice=chat_pb2.ToolChoice(function="absent")), "chat.tool_choice.function"),
        (a_chat(tool_choice=chat_pb2.ToolChoice(mode=chat_pb2.ToolChoice.MODE_REQUIRED)), "chat.tool_choice.mode"),
        (a_chat(tool_choice=chat_pb2.ToolChoice(mode=9)), "chat.tool_choice.mode"),
        (
            a_chat(response_format=chat_pb2.ResponseFormat(json_schema={"name": "s", "schema_json": ""})),
            "chat.response_format.json_schema.schema_json",
        ),
        (
            a_chat(response_format=chat_pb2.ResponseFormat(json_schema={"name": "", "schema_json": "{}"})),
            "chat.response_format.json_schema.name",
        ),
        (a_chat(parameters=chat_pb2.Parameters(max_output_tokens=0)), "chat.parameters.max_output_tokens"),
        (a_chat(parameters=chat_pb2.Parameters(temperature=math.nan)), "chat.parameters.temperature"),
        (a_chat(parameters=chat_pb2.Parameters(top_p=0)), "chat.parameters.top_p"),
        (a_chat(parameters=chat_pb2.Parameters(top_p=1.01)), "chat.parameters.top_p"),
        (a_chat(parameters=chat_pb2.Parameters(frequency_penalty=-2.1)), "chat.parameters.frequency_penalty"),
        (a_chat(parameters=chat_pb2.Parameters(presence_penalty=2.1)), "chat.parameters.presence_penalty"),
        (a_chat(parameters=chat_pb2.Parameters(stop=["a"] * 5)), "chat.parameters.stop"),
        (a_chat(parameters=chat_pb2.Parameters(stop=[""])), "chat.parameters.stop"),
        (a_chat(parameters=chat_pb2.Parameters(reasoning_effort=42)), "chat.parameters.reasoning_effort"),
        (a_chat(parameters=chat_pb2.Parameters(logprobs=True, top_logprobs=21)), "chat.parameters.top_logprobs"),
        (a_chat(parameters=chat_pb2.Parameters(logprobs=True, top_logprobs=-1)), "chat.parameters.top_logprobs"),
        (a_chat(parameters=chat_pb2.Parameters(top_logprobs=0)), "chat.parameters.top_logprobs"),
        (a_chat(extra_json='{"logprobs": true}'), "chat.extra_json"),
        (a_chat(extra_json="nonsense"), "chat.extra_json"),
        (a_chat(extra_json='{"a": 01}'), "chat.extra_json"),
        (a_chat(extra_json='["a"]'), "chat.extra_json"),
        (a_chat(extra_json='{"a":' + "[" * 64 + "]" * 64 + "}"), "chat.extra_json"),
        (a_chat(extra_json='{"a":' + "[" * 100_000 + "]" * 100_000 + "}"), "chat.extra_json"),
    ],
)
def test_a_bad_chat_is_refused_by_its_path(chat: chat_pb2.Chat, field: str) -> None:
    assert bad_fields(chat) == {field}


@pytest.mark.parametrize(
    "name",
    [
        *("model", "messages", "stream", "stream_options", "n", "best_of"),
        *("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "max_gen_len"),
    ],
)
def test_extra_json_cannot_set_what_the_router_decides(name: str) -> None:
    assert bad_fields(a_chat(extra_json=f'{{"top_k": 1, "{name}": 1}}')) == {"chat.extra_json"}
    # The same name, escaped.
    escaped = f"\\u00{ord(name[0]):x}{name[1:]}"
    assert bad_fields(a_chat(extra_json=f'{{"{escaped}": 1}}')) == {"chat.extra_json"}


def test_json_may_nest_64_levels() -> None:
    text = '{"a":' + "[" * 63 + "]" * 63 + "}"

    assert converted(a_chat(extra_json=text)).extra_json == text


def test_brackets_in_strings_do_not_count_as_nesting() -> None:
    text = '{"a": "' + "[{" * 100 + '"}'

    assert converted(a_chat(extra_json=text)).extra_json == text


@pytest.mark.parametrize(
    ("routing", "field"),
    [
        (call_pb2.Routing(deployment=""), "routing.deployment"),
        (call_pb2.Routing(model="a\tb"), "routing.model"),
        (call_pb2.Routing(policy="p" * 129), "routing.policy"),
        (call_pb2.Routing(max_cost_nano_usd=-1), "routing.max_cost_nano_usd"),
        (call_pb2.Routing(latency_target={"seconds": 0}), "routing.latency_target"),
        (call_pb2.Routing(latency_target={"seconds": -1}), "routing.latency_target"),
        (call_pb2.Routing(cache_mode=7), "routing.cache_mode"),
        (call_pb2.Routing(decision_token="a\nb"), "routing.decision_token"),
    ],
)
def test_bad_wishes_are_refused_by_their_path(routing: call_pb2.Routing, field: str) -> None:
    assert violations_of(router_service_pb2.RouteRequest(chat=a_chat(), routing=routing)) == {field}


def test_a_call_has_at_most_32_labels() -> None:
    def labelled(count: int) -> router_service_pb2.RouteRequest:
        labels = {f"k{n}": "v" for n in range(count)}
        return router_service_pb2.RouteRequest(caller=call_pb2.Caller(labels=labels), chat=a_chat())

    assert len(convert(labelled(32)).caller.labels) == 32
    assert violations_of(labelled(33)) == {"caller.labels"}


def test_a_hostile_request_is_answered_with_a_bounded_list() -> None:
    with pytest.raises(InvalidRequest) as caught:
        converted(a_chat(messages=[chat_pb2.Message()] * 512))

    assert len(caught.value.violations) == 64


def test_no_violation_repeats_what_was_said() -> None:
    canary = "canary-7f3a"
    with pytest.raises(InvalidRequest) as caught:
        convert(
            router_service_pb2.CompleteRequest(
                caller=call_pb2.Caller(feature=f"{canary}\n", labels={f"{canary}\n": f"{canary}\n"}),
                chat=a_chat(
                    messages=[user(Text(image=chat_pb2.Image(url=canary, detail=canary)))],
                    tools=[chat_pb2.Tool(name=f" {canary}", parameters_json=canary)],
                    extra_json=f'{{"{canary}',
                ),
                routing=call_pb2.Routing(model=f"{canary}\n"),
            )
        )

    assert canary not in str(caught.value)
    assert canary not in repr(caught.value.violations)


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_that_parse_are_converted_or_refused_as_invalid(data: bytes) -> None:
    request = router_service_pb2.CompleteRequest()
    try:
        request.ParseFromString(data)
    except DecodeError:
        return
    with contextlib.suppress(InvalidRequest):
        assert len(convert(request).chat.messages) == len(request.chat.messages)


@given(
    text=st.text(max_size=50),
    temperature=st.floats(0, 2),
    top_p=st.floats(0.01, 1),
    seed=st.integers(-(2**63), 2**63 - 1),
)
def test_what_is_in_range_arrives_unchanged(text: str, temperature: float, top_p: float, seed: int) -> None:
    chat = converted(
        a_chat(
            messages=[user(Text(text=text))],
            parameters=chat_pb2.Parameters(temperature=temperature, top_p=top_p, seed=seed),
        )
    )

    assert chat.messages[0].text == text
    assert chat.parameters == Parameters(temperature=temperature, top_p=top_p, seed=seed)
