"""Bad fields of a request, collected so that all are reported at once."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from router_service.domain.error import InvalidRequest, Violation

# Enough to mend a request; a hostile one shall not make us list half a million.
_MOST_REPORTED = 64
_DEEPEST_JSON = 64
MAX_JSON = 256 * 1024
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_JSON_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"{}[]")


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
        """Report what is not a JSON object, is too long or nests too deep; return its keys."""
        if len(text) > MAX_JSON:
            self.add(field, f"must not be longer than {MAX_JSON} characters")
            return ()
        try:
            keys = _JSON_OBJECT.decode(text)
        except msgspec.ValidationError:
            self.add(field, "must be a JSON object")
            return ()
        except (msgspec.DecodeError, UnicodeEncodeError):
            self.add(field, "is not well-formed JSON")
            return ()
        except RecursionError:
            keys = None
        # Brackets in strings count too, so this only ever finds a document shallow that is.
        if keys is None or (text.count("{") + text.count("[") > _DEEPEST_JSON and _nests_too_deep(text)):
            self.add(field, f"must not nest deeper than {_DEEPEST_JSON} levels")
            return ()
        return keys


def _nests_too_deep(text: str) -> bool:
    """Whether well-formed JSON has too many levels. A million brackets take milliseconds: no object is made of them."""
    brackets = _STRING.sub(b"", text.encode()).translate(_SQUARE, _NO_BRACKETS)
    for _ in range(_DEEPEST_JSON):
        # One level: a replacement does not look at what it leaves behind.
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)
