"""Which tool call a piece belongs to: providers number them, name them, or do neither."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from router_service.domain.event import ToolCallDelta
from router_service.providers.chunks import ToolCallPart

_object_decoder = msgspec.json.Decoder(dict[str, Raw])


class ToolCallBook:
    """Gives every tool call of one answer a position, counted from 0 in order of appearance.

    An unknown id with a name begins a call, whatever its index: Ollama numbers every call 0. Without an id the index
    decides, unless a name comes after whole arguments (Gemini numbers every call 0 and names none); without either a
    name begins a call. A call that got no id is given one made of `prefix`.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._by_id: dict[str, int] = {}
        self._by_index: dict[int, int] = {}
        self._ids: list[str] = []
        self._arguments: list[list[str]] = []

    def delta(self, part: ToolCallPart) -> ToolCallDelta:
        """`part` with its position; the id and the name come with the first delta of a position."""
        function = part.function
        name = "" if function is None or function.name is None else function.name
        position = self._known(part, name)
        is_first = position is None
        if position is None:
            position = self._begin(part)
        elif part.index is not None:
            self._by_index[part.index] = position
        arguments = "" if function is None else _arguments(function.arguments)
        self._arguments[position].append(arguments)
        return ToolCallDelta(
            index=position,
            id=self._ids[position] if is_first else "",
            name=name if is_first else "",
            arguments_json=arguments,
        )

    def id_at(self, position: int) -> str:
        """The id of the call at `position`."""
        return self._ids[position]

    def _known(self, part: ToolCallPart, name: str) -> int | None:
        if part.id and part.id in self._by_id:
            return self._by_id[part.id]
        begins = bool(name)
        if part.index is not None:
            at_index = self._by_index.get(part.index)
            if at_index is None or (begins and (part.id or self._has_all_arguments(at_index))):
                return None
            return at_index
        return None if begins or not self._ids else len(self._ids) - 1

    def _has_all_arguments(self, position: int) -> bool:
        try:
            _object_decoder.decode("".join(self._arguments[position]))
        except (msgspec.DecodeError, RecursionError):
            return False
        return True

    def _begin(self, part: ToolCallPart) -> int:
        position = len(self._ids)
        call_id = part.id or f"call_{self._prefix}_{position}"
        self._ids.append(call_id)
        self._arguments.append([])
        self._by_id[call_id] = position
        if part.index is not None:
            self._by_index[part.index] = position
        return position


def _arguments(arguments: object) -> str:
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else msgspec.json.encode(arguments).decode()
