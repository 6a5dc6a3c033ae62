"""OpenAI's chat completions to the domain's chats: messages, tools, formats and parameters."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterable

import msgspec

from router_service.domain.chat import (
    RESERVED_FIELDS,
    Chat,
    ImagePart,
    JsonObjectFormat,
    JsonSchemaFormat,
    Message,
    Opaque,
    Parameters,
    Part,
    ReasoningEffort,
    ResponseFormat,
    Role,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
    ToolMode,
)
from router_service.domain.logprob import MOST_TOP_LOGPROBS
from router_service.edge.bounds import (
    IMAGE_TYPE,
    MAX_ID,
    MAX_IMAGE_BYTES,
    MAX_MESSAGES,
    MAX_OUTPUT_TOKENS,
    MAX_PARTS,
    MAX_PIECES,
    MAX_STOP,
    MAX_TOOL_CALLS,
    MAX_TOOLS,
    MAX_URL,
    check_tool_call_id,
    is_image_url,
)
from router_service.edge.violations import Violations
from router_service.web.body import (
    Body,
    FormatBody,
    ImageUrl,
    MessageBody,
    PartBody,
    ToolBody,
    ToolCallBody,
    ToolChoiceBody,
    decoder,
)

_ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "tool": Role.TOOL,
}
_MODES = {"auto": ToolMode.AUTO, "none": ToolMode.NONE, "required": ToolMode.REQUIRED}
_EFFORTS = {effort.value: effort for effort in ReasoningEffort}
_DETAILS = frozenset({None, "", "low", "high", "auto"})
_UNSUPPORTED = {
    "functions": "is not supported: use tools",
    "function_call": "is not supported: use tool_choice",
    "audio": "is not supported: answers are text",
}

_messages = decoder(list[MessageBody])
_tools = decoder(list[ToolBody])
_tool_choice = decoder(str | ToolChoiceBody)
_format = decoder(FormatBody)
_whole = decoder(int)
_number = decoder(float)
_truth = decoder(bool)
_text = decoder(str)
_texts = decoder(str | list[str])


def chat_of(body: Body, violations: Violations) -> Chat:
    """The chat in the domain's terms, with all that is left of the body in `extra_json`: take other fields before.

    What is wrong is reported to `violations`.
    """
    for name in body.drop(*_UNSUPPORTED):
        violations.add(name, _UNSUPPORTED[name])
    messages = body.take("messages", _messages) or []
    if not messages and "messages" not in body.misread:
        violations.add("messages", "must hold at least one message")
    messages = _bounded(messages, violations)
    tools = _all_tools(body.take("tools", _tools) or [], violations)
    choice = body.take("tool_choice", _tool_choice)
    parallel = body.take("parallel_tool_calls", _truth)
    response_format = body.take("response_format", _format)
    count = body.take("n", _whole)
    if count not in (None, 1):
        violations.add("n", "must be 1: the router gives one answer a call")
    parameters, effort = _parameters(body, violations)
    return Chat(
        messages=tuple([_message(f"messages[{index}]", one, violations) for index, one in enumerate(messages)]),
        tools=tools,
        tool_choice=_choice(choice, tools, disable_parallel=parallel is False, violations=violations),
        response_format=None if response_format is None else _response_format(response_format, violations),
        parameters=parameters,
        extra_json=_extra(body, effort, violations),
    )


def _bounded(messages: list[MessageBody], violations: Violations) -> list[MessageBody]:
    if not violations.at_most("messages", len(messages), MAX_MESSAGES):
        return []
    if (pieces := sum(map(_pieces, messages))) > MAX_PIECES:
        violations.add("messages", f"must hold at most {MAX_PIECES} parts and tool calls, hold {pieces}")
        return []
    return messages


def _pieces(message: MessageBody) -> int:
    parts = len(message.content) if isinstance(message.content, list) else 1
    return parts + len(message.tool_calls or ()) + len(message.llmrouter_opaque or ())


def _message(path: str, message: MessageBody, violations: Violations) -> Message:
    role = _ROLES.get(message.role)
    if role is None:
        violations.add(f"{path}.role", "must be system, developer, user, assistant or tool")
        role = Role.USER
    calls = message.tool_calls or []
    if role is not Role.ASSISTANT:
        for name, given in (("tool_calls", calls), ("reasoning_content", message.reasoning_content)):
            if given:
                violations.add(f"{path}.{name}", "belongs to assistant messages only")
    parts = _parts(path, role, message, violations)
    # A tool may return nothing, and a model may have called a tool without a word.
    if not parts and role is not Role.TOOL and not (calls or message.reasoning_content):
        violations.add(f"{path}.content", "must not be empty")
    if message.tool_call_id or role is Role.TOOL:
        check_tool_call_id(path, role, message.tool_call_id or "", violations)
    if message.name:
        violations.identifier(f"{path}.name", message.name, MAX_ID)
    if not violations.at_most(f"{path}.tool_calls", len(calls), MAX_TOOL_CALLS):
        calls = []
    return Message(
        role=role,
        parts=parts,
        tool_calls=tuple([_tool_call(f"{path}.tool_calls[{at}]", call, violations) for at, call in enumerate(calls)]),
        tool_call_id=message.tool_call_id or None,
        name=message.name or None,
        reasoning=message.reasoning_content or "" if role is Role.ASSISTANT else "",
        opaque=_opaque(path, role, message, violations),
    )


def _parts(path: str, role: Role, message: MessageBody, violations: Violations) -> tuple[Part, ...]:
    content = message.content
    if content is None:
        return (TextPart(message.refusal),) if message.refusal else ()
    if isinstance(content, str):
        # Beside tool calls or thoughts an empty text is none. Alone it is what a model said, and is sent back as such.
        is_none = not content and bool(message.tool_calls or message.reasoning_content)
        return () if is_none and role is Role.ASSISTANT else (TextPart(content),)
    if not violations.at_most(f"{path}.content", len(content), MAX_PARTS):
        return ()
    return tuple([_part(f"{path}.content[{at}]", part, violations) for at, part in enumerate(content)])


def _part(path: str, part: PartBody, violations: Violations) -> Part:
    match part.type:
        case "text" if part.text is not None:
            return TextPart(part.text)
        case "refusal" if part.refusal is not None:
            return TextPart(part.refusal)
        case "image_url" if part.image_url is not None:
            image = part.image_url if isinstance(part.image_url, ImageUrl) else ImageUrl(part.image_url)
            return _image(f"{path}.image_url", image, violations)
        case "text" | "refusal" | "image_url":
            violations.add(f"{path}.{part.type}", "is missing")
        case _:
            violations.add(f"{path}.type", "must be text or image_url")
    return TextPart("")


def _image(path: str, image: ImageUrl, violations: Violations) -> ImagePart:
    if image.detail not in _DETAILS:
        violations.add(f"{path}.detail", 'must be "low", "high" or "auto"')
    detail = image.detail or None
    if not image.url.startswith("data:"):
        if not is_image_url(image.url):
            violations.add(f"{path}.url", f"must be a data URL, or an https URL of at most {MAX_URL} characters")
        return ImagePart(url=image.url, detail=detail)
    kind, _, encoded = image.url.removeprefix("data:").partition(";base64,")
    if IMAGE_TYPE.fullmatch(kind) is None:
        violations.add(f"{path}.url", "must be a data URL such as data:image/png;base64,...")
    try:
        data = b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        violations.add(f"{path}.url", "is not well-formed base64")
        data = b""
    else:
        if not 0 < len(data) <= MAX_IMAGE_BYTES:
            violations.add(f"{path}.url", f"must hold 1 to {MAX_IMAGE_BYTES} bytes")
    return ImagePart(data=data, media_type=kind, detail=detail)


def _tool_call(path: str, call: ToolCallBody, violations: Violations) -> ToolCall:
    if call.type != "function" or call.function is None:
        violations.add(f"{path}.type", "must be function")
        return ToolCall(id=call.id, name="", arguments_json="")
    if not call.id:
        violations.add(f"{path}.id", "must not be empty")
    violations.identifier(f"{path}.id", call.id, MAX_ID)
    violations.function_name(f"{path}.function.name", call.function.name)
    return ToolCall(id=call.id, name=call.function.name, arguments_json=call.function.arguments)


def _opaque(path: str, role: Role, message: MessageBody, violations: Violations) -> tuple[Opaque, ...]:
    states = message.llmrouter_opaque or []
    field = f"{path}.llmrouter_opaque"
    if not states or not violations.at_most(field, len(states), MAX_PARTS):
        return ()
    if role is not Role.ASSISTANT:
        violations.add(field, "belongs to assistant messages only")
    for state in states:
        violations.identifier(field, state.origin, MAX_ID)
    return tuple([Opaque(state.origin, state.data) for state in states])


def _all_tools(tools: list[ToolBody], violations: Violations) -> tuple[Tool, ...]:
    if not violations.at_most("tools", len(tools), MAX_TOOLS):
        return ()
    seen: set[str] = set()
    converted = []
    for index, tool in enumerate(tools):
        path, function = f"tools[{index}]", tool.function
        if tool.type != "function" or function is None:
            violations.add(f"{path}.type", "must be function")
            continue
        violations.function_name(f"{path}.function.name", function.name)
        if function.name in seen:
            violations.add(f"{path}.function.name", "is the name of an earlier tool")
        seen.add(function.name)
        converted.append(
            Tool(
                name=function.name,
                description=function.description or "",
                parameters_json=_json_object(f"{path}.function.parameters", function.parameters, violations),
                strict=function.strict or False,
            )
        )
    return tuple(converted)


def _choice(
    choice: str | ToolChoiceBody | None, tools: tuple[Tool, ...], *, disable_parallel: bool, violations: Violations
) -> ToolChoice | None:
    mode: ToolMode | None = None
    function: str | None = None
    if isinstance(choice, str):
        mode = _MODES.get(choice)
        if mode is None:
            violations.add("tool_choice", "must be auto, none, required or a function")
        elif mode is ToolMode.REQUIRED and not tools:
            violations.add("tool_choice", "requires a tool call, but tools is empty")
    elif choice is not None:
        if choice.type != "function" or choice.function is None:
            violations.add("tool_choice.type", "must be function")
        elif all(tool.name != choice.function.name for tool in tools):
            violations.add("tool_choice.function.name", "must be the name of one of tools")
        else:
            function = choice.function.name
    if mode is None and function is None and not disable_parallel:
        return None
    return ToolChoice(mode=mode, function=function, disable_parallel=disable_parallel)


def _response_format(wanted: FormatBody, violations: Violations) -> ResponseFormat | None:
    match wanted.type:
        case "text":
            return None
        case "json_object":
            return JsonObjectFormat()
        case "json_schema" if wanted.json_schema is not None:
            path, schema = "response_format.json_schema", wanted.json_schema
            violations.function_name(f"{path}.name", schema.name)
            text = _json_object(f"{path}.schema", schema.schema, violations)
            if not text:
                violations.add(f"{path}.schema", "is missing")
            return JsonSchemaFormat(name=schema.name, schema_json=text, strict=schema.strict or False)
        case "json_schema":
            violations.add("response_format.json_schema", "is missing")
        case _:
            violations.add("response_format.type", "must be text, json_object or json_schema")
    return None


def _json_object(path: str, raw: msgspec.Raw, violations: Violations) -> str:
    """A JSON Schema as it was given; empty where none was."""
    text = bytes(raw).decode("utf-8", "replace")
    if not text or text == "null":
        return ""
    violations.json_object(path, text)
    return text


def _parameters(body: Body, violations: Violations) -> tuple[Parameters, str]:
    """The parameters, and a reasoning effort that only the provider may know."""
    effort = body.take("reasoning_effort", _text) or ""
    stop = body.take("stop", _texts)
    stops: Iterable[str] = [stop] if isinstance(stop, str) else stop or []
    stops = tuple(stops)
    if violations.at_most("stop", len(stops), MAX_STOP) and "" in stops:
        violations.add("stop", "must not hold an empty sequence")
    top_p = _within(body, "top_p", 0, 1, violations)
    if top_p == 0:
        violations.add("top_p", "must be over 0 and at most 1")
    seed = body.take("seed", _whole)
    if seed is not None and not -(2**63) <= seed < 2**63:
        violations.add("seed", "must be a whole number of at most 64 bits")
    parameters = Parameters(
        max_output_tokens=_token_limit(body, violations),
        temperature=_within(body, "temperature", 0, 2, violations),
        top_p=top_p,
        frequency_penalty=_within(body, "frequency_penalty", -2, 2, violations),
        presence_penalty=_within(body, "presence_penalty", -2, 2, violations),
        seed=seed,
        stop=stops,
        reasoning_effort=_EFFORTS.get(effort),
        top_logprobs=_top_logprobs(body, violations),
    )
    return parameters, "" if effort in _EFFORTS else effort


def _top_logprobs(body: Body, violations: Violations) -> int | None:
    """Of how many other tokens the log-probability is asked for; `None` where of none at all."""
    wanted, top = body.take("logprobs", _truth), body.take("top_logprobs", _whole)
    if top is not None:
        violations.number("top_logprobs", top, 0, MOST_TOP_LOGPROBS)
        if not wanted:
            violations.add("top_logprobs", "needs logprobs to be true")
    return (top or 0) if wanted else None


def _within(body: Body, name: str, least: float, most: float, violations: Violations) -> float | None:
    value: float | None = body.take(name, _number)
    if value is not None:
        violations.number(name, value, least, most)
    return value


def _token_limit(body: Body, violations: Violations) -> int | None:
    """The ceiling on output tokens, under its new name or its old one."""
    new, old = body.take("max_completion_tokens", _whole), body.take("max_tokens", _whole)
    if new is not None and old is not None and new != old:
        violations.add("max_tokens", "must not differ from max_completion_tokens: give one of them")
    limit: int | None = old if new is None else new
    if limit is not None and not 1 <= limit <= MAX_OUTPUT_TOKENS:
        name = "max_tokens" if new is None else "max_completion_tokens"
        violations.add(name, f"must be from 1 to {MAX_OUTPUT_TOKENS}")
    return limit


def _extra(body: Body, effort: str, violations: Violations) -> str:
    """What goes to the provider as it is."""
    if effort:
        body.put("reasoning_effort", effort)
    rest = body.rest()
    if rest:
        reserved = RESERVED_FIELDS.intersection(violations.json_object("body", rest))
        for name in sorted(reserved):
            violations.add(name, "is not a field of this API")
    return rest
