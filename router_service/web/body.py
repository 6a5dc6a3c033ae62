"""The body of a chat completion as OpenAI's API has it, decoded but not yet judged."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from router_service.edge.violations import Violations
from router_service.web.errors import invalid

T = TypeVar("T")

_top = msgspec.json.Decoder(dict[str, Raw])
_encoder = msgspec.json.Encoder()


class ImageUrl(msgspec.Struct, frozen=True):
    """Where a picture is: an https URL, or the picture itself as a data URL."""

    url: str
    detail: str | None = None


class PartBody(msgspec.Struct, frozen=True):
    """A part of a message; what belongs to its `type` is there."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: ImageUrl | str | None = None


class FunctionCall(msgspec.Struct, frozen=True):
    """What a model wants called."""

    name: str
    arguments: str = ""


class ToolCallBody(msgspec.Struct, frozen=True):
    """A tool call of an earlier answer."""

    id: str
    type: str = "function"
    function: FunctionCall | None = None


class OpaqueBody(msgspec.Struct, frozen=True):
    """State of a provider, as an answer of ours had it in `llmrouter_opaque`."""

    origin: str
    data: bytes


class MessageBody(msgspec.Struct, frozen=True):
    """A message. Fields that are not named here are left out."""

    role: str
    content: str | list[PartBody] | None = None
    name: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCallBody] | None = None
    tool_call_id: str | None = None
    llmrouter_opaque: list[OpaqueBody] | None = None


class FunctionBody(msgspec.Struct, frozen=True):
    """A function that may be called."""

    name: str
    description: str | None = None
    parameters: Raw = Raw()
    strict: bool | None = None


class ToolBody(msgspec.Struct, frozen=True):
    """A tool."""

    type: str
    function: FunctionBody | None = None


class ChosenFunction(msgspec.Struct, frozen=True):
    """The name of the function to call."""

    name: str


class ToolChoiceBody(msgspec.Struct, frozen=True):
    """The one tool to call."""

    type: str
    function: ChosenFunction | None = None


class SchemaBody(msgspec.Struct, frozen=True):
    """A JSON Schema that the answer must follow."""

    name: str
    schema: Raw = Raw()
    strict: bool | None = None


class FormatBody(msgspec.Struct, frozen=True):
    """The constraint on the answer's shape."""

    type: str
    json_schema: SchemaBody | None = None


class StreamOptions(msgspec.Struct, frozen=True):
    """What a stream tells beside the answer."""

    include_usage: bool | None = None


class Body:
    """The fields of a request's body, each taken once; what was never taken is `rest`.

    A field that is null counts as not given. Fields of a wrong type are reported to `violations`, never with their
    value: it may be a part of the prompt.
    """

    def __init__(self, data: bytes, violations: Violations) -> None:
        try:
            # What is not looked at here goes on as it is: no provider shall be the first to find that it is no text.
            if not data.isascii():
                data.decode()
            self._fields = _top.decode(data)
        except msgspec.ValidationError as error:
            raise invalid("body", "must be a JSON object") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise invalid("body", "is not well-formed JSON in UTF-8") from error
        except RecursionError as error:
            raise invalid("body", "nests too deep") from error
        self._violations = violations
        self.misread: set[str] = set()
        """Fields that were given, and taken, and are not of their type."""

    def take(self, name: str, decoder: msgspec.json.Decoder[T]) -> T | None:
        """The field, decoded; `None` where it is not given, or not of the type."""
        raw = self._fields.pop(name, None)
        if raw is None:
            return None
        try:
            return decoder.decode(raw)
        except msgspec.ValidationError as error:
            self._violations.add(*_placed(name, str(error)))
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._violations.add(name, "is not well-formed JSON in UTF-8")
        except RecursionError:
            self._violations.add(name, "nests too deep")
        self.misread.add(name)
        return None

    def drop(self, *names: str) -> list[str]:
        """Take fields without looking at them; those that were given and are not null."""
        return [name for name in names if bytes(self._fields.pop(name, b"null")) != b"null"]

    def put(self, name: str, value: str) -> None:
        """Give a field back, to be part of `rest`."""
        self._fields[name] = Raw(_encoder.encode(value))

    def rest(self) -> str:
        """What was not taken, as a JSON object; empty where nothing is left."""
        return _encoder.encode(self._fields).decode() if self._fields else ""


def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """A decoder of one field, which may be null."""
    return msgspec.json.Decoder(kind | None)


def _placed(name: str, told: str) -> tuple[str, str]:
    """msgspec's words, such as "Expected `str`, got `int` - at `$[0].role`", as a field and what is wrong with it."""
    what, _, place = told.partition(" - at `$")
    return f"{name}{place.rstrip('`')}", (what[:1].lower() + what[1:]).replace(" | null", "")
