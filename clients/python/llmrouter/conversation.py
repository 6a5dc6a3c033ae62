"""Prompts, tools and formats as people write them in Python, turned into the API's messages."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from typing import Any

from llmrouter.options import Prompt, RouteOptions
from llmrouter.v1.chat_pb2 import (
    Chat,
    Image,
    Message,
    Parameters,
    Part,
    ReasoningEffort,
    ResponseFormat,
    Role,
    Tool,
    ToolCall,
    ToolChoice,
)

_ROLES = {
    "system": Role.ROLE_SYSTEM,
    "developer": Role.ROLE_SYSTEM,
    "user": Role.ROLE_USER,
    "assistant": Role.ROLE_ASSISTANT,
    "tool": Role.ROLE_TOOL,
}
_MESSAGE_KEYS = frozenset({"role", "content", "name", "tool_calls", "tool_call_id"})
_MODES = {
    "auto": ToolChoice.Mode.MODE_AUTO,
    "none": ToolChoice.Mode.MODE_NONE,
    "required": ToolChoice.Mode.MODE_REQUIRED,
}
_PARAMETERS = (
    "max_output_tokens",
    "temperature",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "seed",
    "stop",
    "logprobs",
    "top_logprobs",
)


def chat_of(prompt: Prompt, options: RouteOptions) -> Chat:
    """The chat to send. Raises `ValueError` for what cannot be sent; limits and ranges are the router's to check."""
    extra = options.get("extra")
    return Chat(
        messages=_messages(prompt),
        tools=[_tool(tool) for tool in options.get("tools") or ()],
        tool_choice=_tool_choice(options.get("tool_choice")),
        response_format=_response_format(options.get("response_format")),
        parameters=_parameters(options),
        extra_json=_json(extra) if extra else "",
    )


def _messages(prompt: Any) -> list[Message]:
    if isinstance(prompt, str):
        return [Message(role=Role.ROLE_USER, parts=[Part(text=prompt)])]
    if not isinstance(prompt, Iterable) or isinstance(prompt, (bytes, Mapping)):
        raise ValueError(f"A prompt is text or a list of messages, not {_kind(prompt)}")
    return [_message(message) for message in prompt]


def _message(given: Any) -> Message:
    if isinstance(given, Message):
        return given
    if not isinstance(given, Mapping):
        raise ValueError(f'A message is {{"role": ..., "content": ...}}, not {_kind(given)}')
    role = _ROLES.get(given.get("role", ""))
    if role is None:
        raise ValueError(f"A message's role is one of {', '.join(_ROLES)}, not {given.get('role')!r}")
    surplus = sorted(key for key, value in given.items() if value and key not in _MESSAGE_KEYS)
    if surplus:
        raise ValueError(f"A message has no field {surplus[0]!r}; it has {', '.join(sorted(_MESSAGE_KEYS))}")
    return Message(
        role=role,
        parts=_parts(given.get("content")),
        tool_calls=[_tool_call(call) for call in given.get("tool_calls") or ()],
        tool_call_id=given.get("tool_call_id") or "",
        name=given.get("name") or "",
    )


def _parts(content: Any) -> list[Part]:
    if content is None:
        return []
    if isinstance(content, str):
        return [Part(text=content)]
    return [_part(part) for part in content]


def _part(part: Part | Mapping[str, Any]) -> Part:
    if isinstance(part, Part):
        return part
    match part:
        case {"type": "text", "text": str(text)}:
            return Part(text=text)
        case {"type": "image_url", "image_url": {"url": str(url), **rest}}:
            return Part(image=_image(url, str(rest.get("detail") or "")))
        case _:
            raise ValueError(
                'A part is {"type": "text", "text": ...} or {"type": "image_url", "image_url": {"url": ...}}'
            )


def _image(url: str, detail: str) -> Image:
    if not url.startswith("data:"):
        return Image(url=url, detail=detail)
    header, _, data = url.removeprefix("data:").partition(",")
    media_type, _, encoding = header.partition(";")
    if encoding != "base64":
        raise ValueError("An image's data URL looks like data:image/png;base64,...")
    try:
        decoded = base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise ValueError("An image's data URL does not hold base64") from error
    return Image(data=decoded, media_type=media_type, detail=detail)


def _tool_call(call: ToolCall | Mapping[str, Any]) -> ToolCall:
    if isinstance(call, ToolCall):
        return call
    function = call["function"]
    return ToolCall(id=call["id"], name=function["name"], arguments_json=_json(function["arguments"]))


def _tool(tool: Tool | Mapping[str, Any]) -> Tool:
    if isinstance(tool, Tool):
        return tool
    function = tool.get("function", tool)
    parameters = function.get("parameters")
    return Tool(
        name=function["name"],
        description=function.get("description") or "",
        parameters_json=_json(parameters) if parameters is not None else "",
        strict=bool(function.get("strict")),
    )


def _tool_choice(choice: ToolChoice | Mapping[str, Any] | str | None) -> ToolChoice | None:
    if choice is None or isinstance(choice, ToolChoice):
        return choice
    if isinstance(choice, str):
        if choice not in _MODES:
            raise ValueError(f"tool_choice is one of {', '.join(_MODES)} or names a function, not {choice!r}")
        return ToolChoice(mode=_MODES[choice])
    return ToolChoice(function=choice["function"]["name"])


def _response_format(given: ResponseFormat | Mapping[str, Any] | str | None) -> ResponseFormat | None:
    if given is None or isinstance(given, ResponseFormat):
        return given
    match {"type": given} if isinstance(given, str) else given:
        case {"type": "text"}:
            return ResponseFormat(text=ResponseFormat.Text())
        case {"type": "json_object"}:
            return ResponseFormat(json_object=ResponseFormat.JsonObject())
        case {"type": "json_schema", "json_schema": {"name": str(name), "schema": schema, **rest}}:
            return ResponseFormat(
                json_schema=ResponseFormat.JsonSchema(
                    name=name, schema_json=_json(schema), strict=bool(rest.get("strict"))
                )
            )
        case _:
            raise ValueError(
                'response_format is "text", "json_object" or {"type": "json_schema", "json_schema": {"name", "schema"}}'
            )


def _parameters(options: RouteOptions) -> Parameters:
    values: dict[str, Any] = {name: value for name in _PARAMETERS if (value := options.get(name)) is not None}
    if isinstance(values.get("stop"), str):
        values["stop"] = [values["stop"]]  # or protobuf would take its letters for sequences
    effort = options.get("reasoning_effort")
    if effort is not None:
        name = f"REASONING_EFFORT_{effort.upper()}"
        if name not in ReasoningEffort.keys():  # noqa: SIM118 - an enum wrapper is no mapping
            raise ValueError(f"reasoning_effort is one of none, minimal, low, medium and high, not {effort!r}")
        values["reasoning_effort"] = ReasoningEffort.Value(name)
    return Parameters(**values)


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _json(value: Any) -> str:
    """JSON text; a string is taken as JSON text already."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
