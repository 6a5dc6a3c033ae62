"""Protobuf chats to the domain's and back: messages, tools, formats and parameters."""

from __future__ import annotations

from collections.abc import Iterable

from llmrouter.v1 import chat_pb2
from router_service.domain.chat import (
    RESERVED_FIELDS,
    Chat,
    FinishReason,
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

_ROLES = {
    chat_pb2.ROLE_SYSTEM: Role.SYSTEM,
    chat_pb2.ROLE_USER: Role.USER,
    chat_pb2.ROLE_ASSISTANT: Role.ASSISTANT,
    chat_pb2.ROLE_TOOL: Role.TOOL,
}
_EFFORTS = {
    chat_pb2.REASONING_EFFORT_UNSPECIFIED: None,
    chat_pb2.REASONING_EFFORT_NONE: ReasoningEffort.NONE,
    chat_pb2.REASONING_EFFORT_MINIMAL: ReasoningEffort.MINIMAL,
    chat_pb2.REASONING_EFFORT_LOW: ReasoningEffort.LOW,
    chat_pb2.REASONING_EFFORT_MEDIUM: ReasoningEffort.MEDIUM,
    chat_pb2.REASONING_EFFORT_HIGH: ReasoningEffort.HIGH,
}
_MODES = {
    chat_pb2.ToolChoice.MODE_UNSPECIFIED: None,
    chat_pb2.ToolChoice.MODE_AUTO: ToolMode.AUTO,
    chat_pb2.ToolChoice.MODE_NONE: ToolMode.NONE,
    chat_pb2.ToolChoice.MODE_REQUIRED: ToolMode.REQUIRED,
}
WIRE_ROLES = {role: number for number, role in _ROLES.items()}
WIRE_FINISH_REASONS = {
    FinishReason.STOP: chat_pb2.FINISH_REASON_STOP,
    FinishReason.LENGTH: chat_pb2.FINISH_REASON_LENGTH,
    FinishReason.TOOL_CALLS: chat_pb2.FINISH_REASON_TOOL_CALLS,
    FinishReason.CONTENT_FILTER: chat_pb2.FINISH_REASON_CONTENT_FILTER,
}
_DETAILS = frozenset({"", "low", "high", "auto"})
_DEFAULT_PARAMETERS = Parameters()


def chat_of(chat: chat_pb2.Chat, violations: Violations) -> Chat:
    """The chat in the domain's terms; what is wrong with it is reported to `violations`."""
    messages: Iterable[chat_pb2.Message] = chat.messages
    if not chat.messages:
        violations.add("chat.messages", "must hold at least one message")
    elif not violations.at_most("chat.messages", len(chat.messages), MAX_MESSAGES):
        messages = ()
    elif (pieces := _pieces(messages)) > MAX_PIECES:
        violations.add(
            "chat.messages", f"must hold at most {MAX_PIECES} parts, tool calls and opaque states, hold {pieces}"
        )
        messages = ()
    tools: tuple[Tool, ...] = ()
    if chat.tools and violations.at_most("chat.tools", len(chat.tools), MAX_TOOLS):
        tools = _tools(chat.tools, violations)
    if chat.extra_json:
        _check_extra_json(chat.extra_json, violations)
    return Chat(
        messages=tuple([_message(index, message, violations) for index, message in enumerate(messages)]),
        tools=tools,
        tool_choice=_tool_choice(chat.tool_choice, tools, violations) if chat.HasField("tool_choice") else None,
        response_format=(
            _response_format(chat.response_format, violations) if chat.HasField("response_format") else None
        ),
        parameters=_parameters(chat.parameters, violations) if chat.HasField("parameters") else _DEFAULT_PARAMETERS,
        extra_json=chat.extra_json,
    )


def message_to_wire(message: Message) -> chat_pb2.Message:
    """A message as it is sent."""
    wire = chat_pb2.Message(role=WIRE_ROLES[message.role], reasoning=message.reasoning)
    for part in message.parts:
        if isinstance(part, TextPart):
            wire.parts.add().text = part.text
        else:
            _image_to_wire(part, wire.parts.add().image)
    for call in message.tool_calls:
        wire.tool_calls.add(id=call.id, name=call.name, arguments_json=call.arguments_json)
    for state in message.opaque:
        wire.opaque.add(origin=state.origin, data=state.data)
    if message.tool_call_id:
        wire.tool_call_id = message.tool_call_id
    if message.name:
        wire.name = message.name
    return wire


def _image_to_wire(image: ImagePart, wire: chat_pb2.Image) -> None:
    if image.data is not None:
        wire.data = image.data
    else:
        wire.url = image.url or ""
    wire.media_type = image.media_type or ""
    wire.detail = image.detail or ""


def _message(index: int, message: chat_pb2.Message, violations: Violations) -> Message:
    path = f"chat.messages[{index}]"
    role = _ROLES.get(message.role)
    if role is None:
        violations.add(f"{path}.role", "must be system, user, assistant or tool")
        role = Role.USER
    parts: tuple[Part, ...] = ()
    if violations.at_most(f"{path}.parts", len(message.parts), MAX_PARTS):
        parts = tuple([_part(path, place, part, violations) for place, part in enumerate(message.parts)])
    tool_calls: tuple[ToolCall, ...] = ()
    if message.tool_calls and violations.at_most(f"{path}.tool_calls", len(message.tool_calls), MAX_TOOL_CALLS):
        tool_calls = tuple([_tool_call(path, place, call, violations) for place, call in enumerate(message.tool_calls)])
    opaque: tuple[Opaque, ...] = ()
    if message.opaque and violations.at_most(f"{path}.opaque", len(message.opaque), MAX_PARTS):
        opaque = tuple([_opaque(path, place, state, violations) for place, state in enumerate(message.opaque)])
    tool_call_id = message.tool_call_id
    name = message.name
    reasoning = message.reasoning
    if tool_call_id or role is Role.TOOL:
        check_tool_call_id(path, role, tool_call_id, violations)
    if name:
        violations.identifier(f"{path}.name", name, MAX_ID)
    if role is not Role.ASSISTANT:
        _check_not_of_the_model(path, message, violations)
    # A tool may return nothing, and a model may have called a tool without a word.
    if not parts and not message.parts and role is not Role.TOOL and not (message.tool_calls or reasoning):
        violations.add(f"{path}.parts", "must hold at least one part")
    return Message(
        role=role,
        parts=parts,
        tool_calls=tool_calls,
        tool_call_id=tool_call_id or None,
        name=name or None,
        reasoning=reasoning,
        opaque=opaque,
    )


def _pieces(messages: Iterable[chat_pb2.Message]) -> int:
    return sum([len(message.parts) + len(message.tool_calls) + len(message.opaque) for message in messages])


def _check_not_of_the_model(path: str, message: chat_pb2.Message, violations: Violations) -> None:
    if message.tool_calls:
        violations.add(f"{path}.tool_calls", "belongs to assistant messages only")
    if message.reasoning:
        violations.add(f"{path}.reasoning", "belongs to assistant messages only")
    if message.opaque:
        violations.add(f"{path}.opaque", "belongs to assistant messages only")


def _part(path: str, place: int, part: chat_pb2.Part, violations: Violations) -> Part:
    content = part.WhichOneof("content")
    if content == "text":
        return TextPart(part.text)
    if content == "image":
        return _image(f"{path}.parts[{place}].image", part.image, violations)
    violations.add(f"{path}.parts[{place}]", "must be text or an image")
    return TextPart("")


def _image(path: str, image: chat_pb2.Image, violations: Violations) -> ImagePart:
    source = image.WhichOneof("source")
    if source == "url":
        if not is_image_url(image.url):
            violations.add(f"{path}.url", f"must be an https URL of at most {MAX_URL} characters")
    elif source == "data":
        if not 0 < len(image.data) <= MAX_IMAGE_BYTES:
            violations.add(f"{path}.data", f"must be 1 to {MAX_IMAGE_BYTES} bytes")
        if not image.media_type:
            violations.add(f"{path}.media_type", "is required with data")
    else:
        violations.add(path, "must have a url or data")
    if image.media_type and IMAGE_TYPE.fullmatch(image.media_type) is None:
        violations.add(f"{path}.media_type", 'must be an image type such as "image/png"')
    if image.detail not in _DETAILS:
        violations.add(f"{path}.detail", 'must be "low", "high" or "auto"')
    return ImagePart(
        url=image.url if source == "url" else None,
        data=image.data if source == "data" else None,
        media_type=image.media_type or None,
        detail=image.detail or None,
    )


def _tool_call(path: str, place: int, call: chat_pb2.ToolCall, violations: Violations) -> ToolCall:
    field = f"{path}.tool_calls[{place}]"
    if not call.id:
        violations.add(f"{field}.id", "must not be empty")
    violations.identifier(f"{field}.id", call.id, MAX_ID)
    violations.function_name(f"{field}.name", call.name)
    return ToolCall(id=call.id, name=call.name, arguments_json=call.arguments_json)


def _opaque(path: str, place: int, state: chat_pb2.Opaque, violations: Violations) -> Opaque:
    field = f"{path}.opaque[{place}].origin"
    if not state.origin:
        violations.add(field, "must name the deployment the state came from")
    violations.identifier(field, state.origin, MAX_ID)
    return Opaque(state.origin, state.data)


def _tools(tools: Iterable[chat_pb2.Tool], violations: Violations) -> tuple[Tool, ...]:
    seen: set[str] = set()
    converted = []
    for index, tool in enumerate(tools):
        path = f"chat.tools[{index}]"
        violations.function_name(f"{path}.name", tool.name)
        if tool.name in seen:
            violations.add(f"{path}.name", "is the name of an earlier tool")
        seen.add(tool.name)
        if tool.parameters_json:
            violations.json_object(f"{path}.parameters_json", tool.parameters_json)
        converted.append(
            Tool(
                name=tool.name,
                description=tool.description,
                parameters_json=tool.parameters_json,
                strict=tool.strict,
            )
        )
    return tuple(converted)


def _tool_choice(choice: chat_pb2.ToolChoice, tools: tuple[Tool, ...], violations: Violations) -> ToolChoice | None:
    mode: ToolMode | None = None
    function: str | None = None
    match choice.WhichOneof("choice"):
        case "mode":
            if choice.mode not in _MODES:
                violations.add("chat.tool_choice.mode", "is not a mode of this API")
            mode = _MODES.get(choice.mode)
            if mode is ToolMode.REQUIRED and not tools:
                violations.add("chat.tool_choice.mode", "requires a tool call, but chat.tools is empty")
        case "function":
            function = choice.function
            if all(tool.name != function for tool in tools):
                violations.add("chat.tool_choice.function", "must be the name of one of chat.tools")
    if mode is None and function is None and not choice.disable_parallel:
        return None
    return ToolChoice(mode=mode, function=function, disable_parallel=choice.disable_parallel)


def _response_format(response_format: chat_pb2.ResponseFormat, violations: Violations) -> ResponseFormat | None:
    match response_format.WhichOneof("format"):
        case "json_object":
            return JsonObjectFormat()
        case "json_schema":
            schema = response_format.json_schema
            violations.function_name("chat.response_format.json_schema.name", schema.name)
            violations.json_object("chat.response_format.json_schema.schema_json", schema.schema_json)
            return JsonSchemaFormat(name=schema.name, schema_json=schema.schema_json, strict=schema.strict)
    return None


def _parameters(parameters: chat_pb2.Parameters, violations: Violations) -> Parameters:
    given = parameters.HasField
    max_output_tokens = parameters.max_output_tokens if given("max_output_tokens") else None
    if max_output_tokens is not None and not 1 <= max_output_tokens <= MAX_OUTPUT_TOKENS:
        violations.add("chat.parameters.max_output_tokens", f"must be from 1 to {MAX_OUTPUT_TOKENS}")
    temperature = parameters.temperature if given("temperature") else None
    if temperature is not None:
        violations.number("chat.parameters.temperature", temperature, 0, 2)
    top_p = parameters.top_p if given("top_p") else None
    if top_p is not None and not 0 < top_p <= 1:
        violations.add("chat.parameters.top_p", "must be over 0 and at most 1")
    frequency_penalty = parameters.frequency_penalty if given("frequency_penalty") else None
    if frequency_penalty is not None:
        violations.number("chat.parameters.frequency_penalty", frequency_penalty, -2, 2)
    presence_penalty = parameters.presence_penalty if given("presence_penalty") else None
    if presence_penalty is not None:
        violations.number("chat.parameters.presence_penalty", presence_penalty, -2, 2)
    stop: tuple[str, ...] = ()
    if parameters.stop and violations.at_most("chat.parameters.stop", len(parameters.stop), MAX_STOP):
        stop = tuple(parameters.stop)
        if "" in stop:
            violations.add("chat.parameters.stop", "must not hold an empty sequence")
    if parameters.reasoning_effort not in _EFFORTS:
        violations.add("chat.parameters.reasoning_effort", "is not an effort of this API")
    top_logprobs: int | None = None
    if parameters.logprobs or given("top_logprobs"):
        top_logprobs = parameters.top_logprobs
        violations.number("chat.parameters.top_logprobs", top_logprobs, 0, MOST_TOP_LOGPROBS)
        if not parameters.logprobs:
            violations.add("chat.parameters.top_logprobs", "needs chat.parameters.logprobs to be true")
    return Parameters(
        max_output_tokens=max_output_tokens,
        temperature=temperature,
        top_p=top_p,
        frequency_penalty=frequency_penalty,
        presence_penalty=presence_penalty,
        seed=parameters.seed if given("seed") else None,
        stop=stop,
        reasoning_effort=_EFFORTS.get(parameters.reasoning_effort),
        top_logprobs=top_logprobs,
    )


def _check_extra_json(text: str, violations: Violations) -> None:
    reserved = sorted(RESERVED_FIELDS.intersection(violations.json_object("chat.extra_json", text)))
    if reserved:
        violations.add("chat.extra_json", f"must not set {', '.join(reserved)}: use the API's own fields")
