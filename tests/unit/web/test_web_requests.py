"""OpenAI's requests in the domain's terms."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from identities import EVERYTHING, caller

from router_service.domain.call import Call
from router_service.domain.chat import (
    ImagePart,
    JsonSchemaFormat,
    Opaque,
    ReasoningEffort,
    Role,
    TextPart,
    ToolChoice,
    ToolMode,
)
from router_service.domain.deployment import Deployment
from router_service.domain.error import InvalidRequest
from router_service.domain.identity import Grants, Identity, IdentityKind
from router_service.domain.policy import Policy
from router_service.routing.table import RoutingTable
from router_service.web.names import Choice, Names
from router_service.web.requests import Asked, asked

MINI = Deployment(id="mini-eu", model="mini", provider="p", upstream_name="mini")
MAX = Deployment(id="max", model="max", provider="p", upstream_name="max")
TABLE = RoutingTable(
    policies={
        "default": Policy(name="default", rules=()),
        "mini": Policy(name="mini", rules=()),
        "cheap": Policy(name="cheap", rules=()),
    },
    deployments={"mini-eu": MINI, "max": MAX},
    models={"mini": (MINI,), "max": (MAX,)},
    features={},
    default_policy="default",
    fingerprint="f",
)
NAMES = Names(lambda: TABLE, created=1)
HI = {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def read(headers: dict[str, str] | None = None, /, identity: Identity | None = None, **body: Any) -> Asked:
    return asked(
        json.dumps({"model": "auto", "messages": [HI], **body}).encode(),
        headers or {},
        names=NAMES,
        request_id="r-1",
        identity=identity or caller(),
        now=100.0,
        trace_id="",
        whole_timeout=math.inf,
    )


def call(headers: dict[str, str] | None = None, /, **body: Any) -> Call:
    return read(headers, **body).call


def bad(headers: dict[str, str] | None = None, /, **body: Any) -> list[str]:
    with pytest.raises(InvalidRequest) as caught:
        read(headers, **body)
    return [violation.field for violation in caught.value.violations]


def test_a_plain_request_is_a_plain_call() -> None:
    made = call()
    assert made.chat.messages[0].parts == (TextPart("Hi"),)
    assert (made.tenant, made.stream, made.deadline, made.chat.extra_json) == ("acme", False, None, "")
    assert made.wishes.accept_discard is False


def test_every_role_and_kind_of_message_is_kept() -> None:
    messages = [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "a"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "refusal": None,
            "annotations": [],
            "reasoning_content": "hm",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            "llmrouter_opaque": [{"origin": "max", "data": "aGk="}],
        },
        {"role": "tool", "tool_call_id": "c", "content": ""},
        {"role": "user", "content": "b", "name": "ann"},
    ]
    system, user, assistant, tool, named = call(messages=messages).chat.messages
    assert (system.role, system.text) == (Role.SYSTEM, "Be brief.")
    assert user.parts == (TextPart("a"), ImagePart(data=b"hi", media_type="image/png"))
    assert (assistant.parts, assistant.reasoning, assistant.tool_calls[0].id) == ((), "hm", "c")
    assert assistant.opaque == (Opaque("max", b"hi"),)
    assert (tool.tool_call_id, tool.role, named.name) == ("c", Role.TOOL, "ann")


def test_an_empty_answer_of_an_assistant_may_be_sent_back_as_it_came() -> None:
    empty = {"role": "assistant", "content": ""}
    calling = {**empty, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}
    thinking = {**empty, "reasoning_content": "hm"}
    said = call(messages=[HI, empty, calling, thinking, HI]).chat.messages
    assert [message.parts for message in said[1:4]] == [(TextPart(""),), (), ()]


def test_parameters_and_formats_are_the_domains() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "number"}}}
    made = call(
        max_tokens=7,
        stop="END",
        reasoning_effort="high",
        tools=[TOOL],
        tool_choice={"type": "function", "function": {"name": "f"}},
        parallel_tool_calls=False,
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}},
    )
    parameters, wanted = made.chat.parameters, made.chat.response_format
    assert (parameters.max_output_tokens, parameters.stop) == (7, ("END",))
    assert parameters.reasoning_effort is ReasoningEffort.HIGH
    assert made.chat.tool_choice == ToolChoice(function="f", disable_parallel=True)
    assert isinstance(wanted, JsonSchemaFormat)
    assert (json.loads(wanted.schema_json), wanted.strict) == (schema, True)
    assert call(tools=[TOOL], tool_choice="required").chat.tool_choice == ToolChoice(mode=ToolMode.REQUIRED)
    assert call(tool_choice="none", parallel_tool_calls=True).chat.tool_choice == ToolChoice(mode=ToolMode.NONE)


def test_null_is_as_good_as_nothing() -> None:
    nothing = [
        "tools",
        "tool_choice",
        "response_format",
        "stop",
        "seed",
        "n",
        "user",
        "metadata",
        "stream",
        "stream_options",
        "max_tokens",
    ]
    assert call(**dict.fromkeys(nothing)) == call()


def test_what_the_router_does_not_know_goes_to_the_provider() -> None:
    made = call(logit_bias={"1": 2}, verbosity="low", reasoning_effort="xhigh")
    assert json.loads(made.chat.extra_json) == {"logit_bias": {"1": 2}, "verbosity": "low", "reasoning_effort": "xhigh"}
    assert made.chat.parameters.reasoning_effort is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"functions": []}, "functions"),
        ({"best_of": 2}, "best_of"),
        ({"max_output_tokens": 2}, "max_output_tokens"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"seed": 2**63}, "seed"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": ""}, "stop"),
        ({"tools": [{"type": "custom"}]}, "tools[0].type"),
        ({"tools": [TOOL, TOOL]}, "tools[1].function.name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": "some"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "g"}}}, "tool_choice.function.name"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
            "response_format.json_schema.schema",
        ),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{**HI, "tool_call_id": "c"}]}, "messages[0].tool_call_id"),
        ({"messages": [HI] * 513}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0].type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "http://a/b"}]}]},
            "messages[0].content[0].image_url.url",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": "data:image/png;base64,*"}]}
                ]
            },
            "messages[0].content[0].image_url.url",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": "data:text/html;base64,aGk="}]}
                ]
            },
            "messages[0].content[0].image_url.url",
        ),
        ({"metadata": {"latency_target": "soon"}}, "metadata.latency_target"),
        ({"metadata": {"max_cost_usd": "-1"}}, "metadata.max_cost_usd"),
        ({"metadata": {"feature": "x" * 129}}, "metadata.feature"),
        ({"metadata": {f"l{n}": "v" for n in range(33)}}, "metadata"),
        ({"metadata": {"a": {}}}, "metadata[...]"),
        ({"metadata": {"cache": "always"}}, "metadata.cache"),
        ({"model": ""}, "model"),
        ({"model": "policy:cheap", "metadata": {"policy": "mini"}}, "model"),
    ],
)
def test_a_bad_field_is_named(body: dict[str, Any], field: str) -> None:
    assert bad(**body) == [field]


def test_all_bad_fields_are_named_at_once() -> None:
    assert bad(n=2, seed="x", top_p=7) == ["n", "top_p", "seed"]


def test_a_header_comes_before_metadata_and_that_before_openais_own_field() -> None:
    metadata = {"feature": "chat", "tier": "free", "user": "m", "run": 7, "dry": True}
    made = call(
        {"x-llmrouter-feature": "search", "x-llmrouter-labels": "team=a%2Cb, run=8"}, user="u", metadata=metadata
    )
    assert (made.caller.feature, made.caller.tier, made.caller.user) == ("search", "free", "m")
    assert made.caller.labels == {"run": "8", "dry": "true", "team": "a,b"}
    assert call(user="u").caller.user == "u"
    assert call(user="u", safety_identifier="s").caller.user == "s"
    assert call(user="u").chat.extra_json == ""


def test_metadata_that_is_null_is_no_label() -> None:
    assert call(metadata={"run": None, "team": "a"}).caller.labels == {"team": "a"}


@pytest.mark.parametrize(
    ("headers", "body", "field"),
    [
        ({"x-llmrouter-feature": "x" * 129}, {"metadata": {"feature": "chat"}}, "x-llmrouter-feature"),
        ({"x-llmrouter-policy": "x" * 129}, {}, "x-llmrouter-policy"),
        ({"x-llmrouter-cache": "always"}, {}, "x-llmrouter-cache"),
        ({"x-llmrouter-user": "x" * 257}, {"user": "u"}, "x-llmrouter-user"),
        ({}, {"metadata": {"user": "x" * 257}, "user": "u"}, "metadata.user"),
        ({}, {"user": "x" * 257}, "user"),
        ({}, {"user": "u", "safety_identifier": "x" * 257}, "safety_identifier"),
    ],
)
def test_a_bad_field_is_named_where_it_was_given(headers: dict[str, str], body: dict[str, Any], field: str) -> None:
    assert bad(headers, **body) == [field]


def test_wishes_come_by_headers_or_metadata() -> None:
    made = call(
        {"x-llmrouter-max-cost-usd": "0.000000001", "x-llmrouter-policy": "cheap"},
        metadata={"latency_target": 0.5, "cache": "bypass"},
    )
    assert made.wishes.max_cost_nano_usd == 1
    assert (made.wishes.latency_target, made.wishes.bypass_cache, made.wishes.policy) == (0.5, True, "cheap")


@pytest.mark.parametrize(
    ("name", "choice"),
    [
        ("auto", Choice()),
        ("mini", Choice(model="mini")),
        ("mini-eu", Choice(deployment="mini-eu")),
        ("max", Choice(model="max")),
        ("deployment:max", Choice(deployment="max")),
        ("model:mini-eu", Choice(model="mini-eu")),
        ("policy:mini", Choice(policy="mini")),
        ("cheap", Choice(policy="cheap")),
        ("llama3:8b", Choice(model="llama3:8b")),
        ("nothing", Choice(model="nothing")),
        ("model:", Choice(model="model:")),
        ("policy:", Choice(model="policy:")),
    ],
)
def test_a_name_is_a_models_then_a_deployments_then_a_policys(name: str, choice: Choice) -> None:
    assert NAMES.resolve(name, caller()) == choice


def test_the_name_of_a_policy_that_is_not_granted_is_no_policys() -> None:
    narrow = Identity(tenant="t", principal="p", kind=IdentityKind.API_KEY, grants=Grants(models=None))
    assert NAMES.resolve("cheap", narrow) == NAMES.resolve("nothing", narrow).__class__(model="cheap")


@pytest.mark.parametrize(
    ("headers", "stream", "whole", "deadline"),
    [
        ({}, False, math.inf, None),
        ({"x-llmrouter-timeout": "7"}, False, math.inf, 107.0),
        ({"x-llmrouter-timeout": "7"}, False, 3.0, 103.0),
        ({"x-llmrouter-timeout": "7"}, True, 3.0, 107.0),
        ({}, True, 3.0, None),
    ],
)
def test_a_whole_answer_comes_before_its_client_stops_waiting(
    headers: dict[str, str], stream: bool, whole: float, deadline: float | None
) -> None:
    body = json.dumps({"model": "auto", "messages": [HI], "stream": stream}).encode()
    identity = caller(grants=EVERYTHING)
    made = asked(
        body, headers, names=NAMES, request_id="r", identity=identity, now=100.0, trace_id="", whole_timeout=whole
    )
    assert made.call.deadline == deadline


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    [
        "messages",
        "tools",
        "tool_choice",
        "response_format",
        "stop",
        "n",
        "seed",
        "metadata",
        "stream_options",
        "model",
        "other",
    ]
)


@given(st.dictionaries(FIELDS, JSON, max_size=4))
def test_any_json_is_a_call_or_an_invalid_request(body: dict[str, Any]) -> None:
    try:
        made = read(**body)
    except InvalidRequest:
        return
    assert made.call.chat.messages
