"""Bad fields of a request, collected so that all are reported at once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from router_service.domain.error import InvalidRequest, Violation

# Enough to mend a request; a hostile one shall not make us list half a million.
_MOST_REPORTED = 64
_DEEPEST_JSON = 64
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_JSON_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Violations:
    """Collects bad fields. Descriptions never repeat a value: it may be part of a prompt."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: list[Violation] = []

    def add(self, field: str, description: str) -> None:
        """Report the field at this path, such as "chat.messages[2].role"."""
        if len(self._found) < _MOST_REPORTED:
            self._found.append(Violation(field, description))

    def raise_any(self) -> None:
        """Raise `InvalidRequest` if anything was reported."""
        if self._found:
            raise InvalidRequest(self._found)

    def identifier(self, field: str, value: str, longest: int) -> None:
        """Report a value that is too long or holds control characters. Empty is fine."""
        if len(value) > longest:
            self.add(field, f"must not be longer than {longest} characters")
        if not value.isprintable():
            self.add(field, "must not hold control characters")

    def function_name(self, field: str, value: str) -> None:
        """Report what is not a name of a tool or schema."""
        if _NAME.fullmatch(value) is None:
            self.add(field, "must be 1 to 64 letters, digits, _ or -")

    def at_most(self, field: str, count: int, most: int) -> bool:
        """Report a list that is too long, and say whether it may be read."""
        if count > most:
            self.add(field, f"must hold at most {most}, holds {count}")
            return False
        return True

    def number(self, field: str, value: float, least: float, most: float) -> None:
        """Report a number outside the range, or none at all."""
        if not least <= value <= most:
            self.add(field, f"must be from {least:g} to {most:g}")

    def json_object(self, field: str, text: str) -> Iterable[str]:
        """Report what is not a JSON object, or nests too deep; return its keys."""
        # Brackets in strings count too, so this only ever finds a document shallow that is.
        if text.count("{") + text.count("[") > _DEEPEST_JSON and _nests_too_deep(text):
            self.add(field, f"must not nest deeper than {_DEEPEST_JSON} levels")
            return ()
        try:
            return _JSON_OBJECT.decode(text)
        except msgspec.ValidationError:
            self.add(field, "must be a JSON object")
        except (msgspec.DecodeError, UnicodeEncodeError):
            self.add(field, "is not well-formed JSON")
        return ()


def _nests_too_deep(text: str) -> bool:
    try:
        level = _containers_in([msgspec.json.decode(text)])
    except RecursionError:
        return True
    except (msgspec.DecodeError, UnicodeEncodeError):
        return False
    for _ in range(_DEEPEST_JSON):
        level = [child for value in level for child in _containers_in(value)]
    return bool(level)


def _containers_in(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    children = value.values() if isinstance(value, dict) else value
    return [child for child in children if isinstance(child, dict | list)]
