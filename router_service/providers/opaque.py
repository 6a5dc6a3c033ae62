"""State that only its provider understands: kept from an answer, put back where it came from in a later request."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Raw, Struct, field

from router_service.domain.chat import Opaque


class OpaqueState(Struct):
    """The `extra_content` of a message and of its tool calls, the latter by tool call id."""

    message: Raw = Raw()
    tool_calls: dict[str, Raw] = field(default_factory=dict)


_decoder = msgspec.json.Decoder(OpaqueState)


def encode_opaque(state: OpaqueState) -> bytes:
    """The bytes that travel to the caller and back."""
    fields: dict[str, object] = {}
    if bytes(state.message):
        fields["message"] = state.message
    if state.tool_calls:
        fields["tool_calls"] = state.tool_calls
    return msgspec.json.encode(fields)


def opaque_from(origin: str, opaques: Iterable[Opaque]) -> OpaqueState | None:
    """The state that came from the deployment `origin`. What is damaged is left out: the caller may have touched it."""
    for opaque in opaques:
        if opaque.origin == origin:
            try:
                return _decoder.decode(opaque.data)
            except msgspec.DecodeError:
                return None
    return None
