"""What is said: messages, tools, output format and sampling parameters, in no provider's dialect."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import StrEnum


class Role(StrEnum):
    """Who speaks."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class FinishReason(StrEnum):
    """Why the model stopped."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"


class ReasoningEffort(StrEnum):
    """How hard a reasoning model should think."""

    NONE = "none"
    MINIMAL = "minimal"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class TextPart:
    """A piece of text."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePart:
    """A picture: either a URL the provider fetches, or the file's bytes. The router never fetches it."""

    url: str | None = None
    data: bytes | None = None
    media_type: str | None = None
    detail: str | None = None


Part = TextPart | ImagePart


@dataclass(frozen=True, slots=True)
class Opaque:
    """State of one provider (such as a thought signature), replayed only to the deployment it came from."""

    origin: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """The model's wish to have a tool called; `arguments_json` is its JSON text, unchecked and unchanged."""

    id: str
    name: str
    arguments_json: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Role
    parts: tuple[Part, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    reasoning: str = ""
    opaque: tuple[Opaque, ...] = ()

    @property
    def text(self) -> str:
        """All text parts, joined without a separator."""
        if len(self.parts) == 1:
            part = self.parts[0]
            return part.text if isinstance(part, TextPart) else ""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function the model may ask to have called; `parameters_json` is a JSON Schema as JSON text."""

    name: str
    description: str = ""
    parameters_json: str = ""
    strict: bool = False


class ToolMode(StrEnum):
    """Whether the model must call a tool."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolChoice:
    """A mode, or the name of the one function to call; neither leaves it to the provider."""

    mode: ToolMode | None = None
    function: str | None = None
    disable_parallel: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonSchemaFormat:
    """The answer must be JSON following this schema (JSON text)."""

    name: str
    schema_json: str
    strict: bool = False


@dataclass(frozen=True, slots=True)
class JsonObjectFormat:
    """The answer must be a JSON object."""


ResponseFormat = JsonObjectFormat | JsonSchemaFormat
"""The constraint on the answer's shape; `None` where it is free text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Sampling and length; `None` (and an empty `stop`) means not set.

    `top_logprobs`, from 0 to 20, asks for the log-probability of each token and of so many others in its place.
    """

    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    reasoning_effort: ReasoningEffort | None = None
    top_logprobs: int | None = None

    def over(self, defaults: Parameters) -> Parameters:
        """These parameters, with what is unset taken from `defaults`. The token limit is never merged:
        limits have a rule of their own (`routing.limits`)."""
        if defaults == _UNSET:
            return self
        missing = {
            name: getattr(defaults, name)
            for name in _MERGED
            if getattr(self, name) in (None, ()) and getattr(defaults, name) not in (None, ())
        }
        return replace(self, **missing) if missing else self


_MERGED = tuple(field.name for field in fields(Parameters) if field.name != "max_output_tokens")
_UNSET = Parameters()


RESERVED_FIELDS = frozenset(
    {"model", "messages", "stream", "stream_options", "n", "best_of"}
    | {"max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "max_gen_len"}
    | {"logprobs", "top_logprobs"}
)
"""The fields of a provider's request that are the router's alone, under every name providers have for them: what is
asked, of whom, how it is answered, what would let an answer cost more than was decided, and what not every provider
takes or calls the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """One request to a chat model. `extra_json` is a JSON object merged into the provider's request, or empty; it sets
    no `RESERVED_FIELDS`.
    """

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    response_format: ResponseFormat | None = None
    parameters: Parameters = Parameters()
    extra_json: str = ""
