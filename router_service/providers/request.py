"""The request body: our chat in OpenAI's dialect, bent to a provider's quirks."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from hashlib import shake_256
from typing import Any

import msgspec
from msgspec import Raw

from router_service.domain.chat import (
    RESERVED_FIELDS,
    ImagePart,
    JsonSchemaFormat,
    Message,
    Part,
    ResponseFormat,
    Role,
    TextPart,
    Tool,
    ToolChoice,
    ToolMode,
)
from router_service.domain.deployment import Capability
from router_service.domain.error import UpstreamError, UpstreamFault
from router_service.domain.logprob import LogprobWish
from router_service.domain.upstream import UpstreamRequest
from router_service.domain.vendor import Prefill, Quirks
from router_service.providers.opaque import opaque_from

_encoder = msgspec.json.Encoder()
_raw_decoder = msgspec.json.Decoder(Raw)
_object_decoder = msgspec.json.Decoder(dict[str, Raw])


def encode_request(request: UpstreamRequest, quirks: Quirks, *, stream: bool) -> bytes:
    """The JSON body of `request`.

    `extra_json` is merged in last and wins over parameters, but cannot touch `RESERVED_FIELDS`. Fields in
    `quirks.unsupported` are left out. `request.prefix` goes behind what the caller may have begun itself, as the
    beginning of the answer. Raises `UpstreamError` (`BAD_REQUEST`) where JSON text of the caller is not JSON, or the
    provider continues no answers.
    """
    chat = request.chat
    parameters = request.parameters
    body: dict[str, Any] = {
        "model": request.deployment.upstream_name,
        "messages": [_message(message, request.deployment.id, quirks) for message in chat.messages],
    }
    fields: dict[str, Any] = {
        "temperature": parameters.temperature,
        "top_p": parameters.top_p,
        "frequency_penalty": parameters.frequency_penalty,
        "presence_penalty": parameters.presence_penalty,
        quirks.seed_field: parameters.seed,
        "stop": parameters.stop or None,
        "reasoning_effort": parameters.reasoning_effort,
    }
    body.update((name, value) for name, value in fields.items() if value is not None)
    if chat.tools:
        body["tools"] = [_tool(tool) for tool in chat.tools]
        body.update(_tool_choice(chat.tool_choice, quirks))
    if chat.response_format is not None:
        body["response_format"] = _response_format(chat.response_format)
    if request.logprobs is not None:
        body.update(_logprobs(request.logprobs, quirks))
    if quirks.unsupported:
        for name in quirks.unsupported:
            body.pop(name, None)
    if quirks.unsupported_by_reasoning and Capability.REASONING in request.deployment.capabilities:
        for name in quirks.unsupported_by_reasoning:
            body.pop(name, None)
    if chat.extra_json:
        extra = _extra(chat.extra_json)
        body.update((name, value) for name, value in extra.items() if name not in RESERVED_FIELDS)
    if request.max_output_tokens is not None:
        body[quirks.max_tokens_field] = request.max_output_tokens
    if stream:
        body["stream"] = True
        if quirks.stream_usage:
            body["stream_options"] = {"include_usage": True}
    if request.prefix:
        _prefill(body, request.prefix, quirks.prefill)
    return _encoder.encode(body)


def _prefill(body: dict[str, Any], prefix: str, prefill: Prefill) -> None:
    messages = body["messages"]
    last = messages[-1] if messages else {}
    if last.get("role") == Role.ASSISTANT and isinstance(last["content"], str) and "tool_calls" not in last:
        last["content"] += prefix
    else:
        last = {"role": Role.ASSISTANT, "content": prefix}
        messages.append(last)
    match prefill:
        case Prefill.NONE:
            raise UpstreamError(
                UpstreamFault.BAD_REQUEST, "The request was not sent: this provider does not continue answers."
            )
        case Prefill.PLAIN:
            pass
        case Prefill.PREFIX | Prefill.PARTIAL:
            last[prefill.value] = True
        case Prefill.CONTINUE_FINAL:
            body["continue_final_message"] = True
            body["add_generation_prompt"] = False


def _message(message: Message, deployment: str, quirks: Quirks) -> dict[str, Any]:
    role: str = message.role
    if quirks.developer_role and message.role is Role.SYSTEM:
        role = "developer"
    encoded: dict[str, Any] = {"role": role, "content": _content(message)}
    if message.name and quirks.message_name:
        encoded["name"] = message.name
    if message.tool_call_id is not None:
        encoded["tool_call_id"] = _tool_call_id(message.tool_call_id, quirks)
    if message.tool_calls:
        encoded["tool_calls"] = [
            {
                "id": _tool_call_id(call.id, quirks),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments_json},
            }
            for call in message.tool_calls
        ]
    if message.reasoning and quirks.reasoning_field:
        encoded[quirks.reasoning_field] = message.reasoning
    if message.opaque:
        _put_back(message, deployment, encoded)
    return encoded


def _tool_call_id(given: str, quirks: Quirks) -> str:
    """An id that the provider accepts, the same for the call and for its answer: it may come from another provider."""
    length = quirks.tool_call_id_length
    if length is None or (len(given) == length and given.isascii() and given.isalnum()):
        return given
    return shake_256(given.encode()).hexdigest((length + 1) // 2)[:length]


def _content(message: Message) -> str | list[dict[str, Any]] | None:
    parts = message.parts
    if not parts:
        return None if message.tool_calls else ""
    if len(parts) == 1 and isinstance(parts[0], TextPart):
        return parts[0].text
    return [_part(part) for part in parts]


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    image = {"url": _image_url(part)}
    if part.detail:
        image["detail"] = part.detail
    return {"type": "image_url", "image_url": image}


def _image_url(image: ImagePart) -> str:
    if image.data is None:
        return image.url or ""
    return f"data:{image.media_type or 'image/png'};base64,{b64encode(image.data).decode('ascii')}"


def _put_back(message: Message, deployment: str, encoded: dict[str, Any]) -> None:
    """Provider state goes back where it came from, and to no other deployment."""
    state = opaque_from(deployment, message.opaque)
    if state is None:
        return
    if bytes(state.message):
        encoded["extra_content"] = state.message
    for call, sent in zip(message.tool_calls, encoded.get("tool_calls", ()), strict=True):
        if call.id in state.tool_calls:
            sent["extra_content"] = state.tool_calls[call.id]


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    if tool.parameters_json:
        function["parameters"] = _json(tool.parameters_json, "a tool's parameters")
    if tool.strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def _tool_choice(choice: ToolChoice | None, quirks: Quirks) -> Mapping[str, Any]:
    if choice is None:
        return {}
    fields: dict[str, Any] = {}
    if choice.function:
        fields["tool_choice"] = {"type": "function", "function": {"name": choice.function}}
    elif choice.mode is ToolMode.REQUIRED:
        fields["tool_choice"] = quirks.required_tool_choice
    elif choice.mode is not None:
        fields["tool_choice"] = choice.mode
    if choice.disable_parallel:
        fields["parallel_tool_calls"] = False
    return fields


def _response_format(wanted: ResponseFormat) -> dict[str, Any]:
    if not isinstance(wanted, JsonSchemaFormat):
        return {"type": "json_object"}
    schema: dict[str, Any] = {"name": wanted.name, "schema": _json(wanted.schema_json, "the answer's JSON Schema")}
    if wanted.strict:
        schema["strict"] = True
    return {"type": "json_schema", "json_schema": schema}


def _logprobs(wish: LogprobWish, quirks: Quirks) -> Mapping[str, Any]:
    top = min(wish.top, quirks.most_top_logprobs)
    if quirks.logprobs_as_count:
        return {"logprobs": max(top, 1)}
    # Some refuse one without the other, though 0 is the default.
    return {"logprobs": True, "top_logprobs": top}


def _json(text: str, what: str) -> Raw:
    """JSON text as it is; checked, since text that is not JSON could smuggle fields into the request."""
    try:
        return _raw_decoder.decode(text)
    except msgspec.DecodeError as error:
        raise _not_json(what) from error


def _extra(text: str) -> dict[str, Raw]:
    try:
        return _object_decoder.decode(text)
    except msgspec.DecodeError as error:
        raise _not_json("chat.extra_json") from error


def _not_json(what: str) -> UpstreamError:
    return UpstreamError(UpstreamFault.BAD_REQUEST, f"The request was not sent: {what} is not the JSON it must be.")
