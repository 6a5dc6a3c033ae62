"""JSON that follows a JSON Schema, filled from the prompt where it can be."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Final

_EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]*\w")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_URL = re.compile(r"https?://\S+\w")
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w])")
_NAME = re.compile(r"\b[A-Z][a-z]+(?: [A-Z][a-z]+)+|\b[A-Z][a-z]{2,}")
_BY_FORMAT: Final[Mapping[str, tuple[re.Pattern[str] | None, str]]] = {
    "email": (_EMAIL, "someone@example.com"),
    "date": (_DATE, "2026-01-31"),
    "date-time": (None, "2026-01-31T09:00:00Z"),
    "time": (None, "09:00:00Z"),
    "uri": (_URL, "https://example.com/"),
    "uuid": (None, "3f2b6a1e-7c4d-4e8a-9b0f-5d6c7e8f9a0b"),
}
_MAX_DEPTH = 12


def instance(schema: object, text: str, rng: Random) -> Any:
    """A value that the schema accepts (as long as it uses no `pattern`, `not` or `if`), with values from `text`."""
    root = schema if isinstance(schema, dict) else {}
    return _value(root, "value", _Source(text, rng, root), 0)


class _Source:
    """Where values come from: the prompt first, each find used once; then chance."""

    def __init__(self, text: str, rng: Random, root: Mapping[str, Any]) -> None:
        self.rng = rng
        self._root = root
        self._text = text
        self._numbers: list[str] = _NUMBER.findall(text)
        self._names: list[str] = _NAME.findall(text)

    def resolve(self, reference: str) -> Mapping[str, Any]:
        found: Any = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            found = found.get(step, {}) if isinstance(found, dict) and step else found
        return found if isinstance(found, dict) else {}

    def mentions(self, word: str) -> bool:
        return word.lower() in self._text.lower()

    def number(self) -> float:
        return float(self._numbers.pop(0)) if self._numbers else float(self.rng.randint(1, 40))

    def words(self, name: str) -> str:
        if "mail" in name.lower() and (found := _EMAIL.search(self._text)):
            return found[0]
        if re.search(r"name|customer|city|company|person|who", name, re.IGNORECASE) and self._names:
            return self._names.pop(0)
        words = self._text.split()
        start = self.rng.randrange(max(1, len(words) - 4)) if words else 0
        return " ".join(words[start : start + 4]) or name

    def formatted(self, name: str) -> str | None:
        pattern, default = _BY_FORMAT.get(name, (None, ""))
        found = pattern.search(self._text) if pattern else None
        return found[0] if found else default or None


def _value(schema: Mapping[str, Any], name: str, source: _Source, depth: int) -> Any:  # noqa: PLR0911, PLR0912 - one branch per keyword
    if "$ref" in schema:
        if depth > _MAX_DEPTH:
            return None
        return _value(source.resolve(str(schema["$ref"])), name, source, depth + 1)
    if "const" in schema:
        return schema["const"]
    if enum := schema.get("enum"):
        return _mentioned(enum, source) or source.rng.choice(enum)
    if combined := schema.get("allOf"):
        return _value(_merged(schema, combined, source), name, source, depth)
    if alternatives := schema.get("anyOf") or schema.get("oneOf"):
        deep = depth > _MAX_DEPTH
        return _value(alternatives[-1 if deep else 0], name, source, depth + 1)
    match _type(schema):
        case "object":
            return _object(schema, source, depth)
        case "array":
            return _array(schema, name, source, depth)
        case "integer":
            return int(_number(schema, source, whole=True))
        case "number":
            return _number(schema, source, whole=False)
        case "boolean":
            return source.rng.random() < 0.5
        case "null":
            return None
        case _:
            return _string(schema, name, source)


def _type(schema: Mapping[str, Any]) -> str:
    stated = schema.get("type")
    if isinstance(stated, list):
        stated = next((one for one in stated if one != "null"), "null")
    if stated:
        return str(stated)
    return "object" if "properties" in schema else "array" if "items" in schema else "string"


def _object(schema: Mapping[str, Any], source: _Source, depth: int) -> dict[str, Any]:
    properties: Mapping[str, Any] = schema.get("properties") or {}
    required = schema.get("required") or ()
    # Optional branches end here, so that recursive schemas do.
    wanted = [name for name in properties if name in required or depth < 3]
    made = {name: _value(properties[name], name, source, depth + 1) for name in wanted}
    return made | {name: source.words(name) for name in required if name not in made}


def _array(schema: Mapping[str, Any], name: str, source: _Source, depth: int) -> list[Any]:
    least = int(schema.get("minItems", 0))
    most = int(schema.get("maxItems", max(least, 2)))
    length = max(least, 0 if depth >= 3 else min(most, 2))
    items = schema.get("items")
    return [_value(items if isinstance(items, dict) else {}, name, source, depth + 1) for _ in range(length)]


def _number(schema: Mapping[str, Any], source: _Source, *, whole: bool) -> float:
    step = 1 if whole else 0.01
    low = schema.get("minimum", schema.get("exclusiveMinimum", -1e12 + step) + step)
    high = schema.get("maximum", schema.get("exclusiveMaximum", 1e12 + step) - step)
    number = min(max(source.number(), float(low)), float(high))
    if multiple := schema.get("multipleOf"):
        number = -(-float(low) // multiple) * multiple if number < multiple <= high else number // multiple * multiple
    return float(round(number)) if whole else round(number, 4)


def _string(schema: Mapping[str, Any], name: str, source: _Source) -> str:
    if (formatted := source.formatted(str(schema.get("format", "")))) is not None:
        return formatted
    text = source.words(name)
    text = text.ljust(int(schema.get("minLength", 0)), ".")
    return text[: int(schema["maxLength"])] if "maxLength" in schema else text


def _mentioned(enum: Sequence[Any], source: _Source) -> Any:
    return next((one for one in enum if isinstance(one, str) and one and source.mentions(one)), None)


def _merged(schema: Mapping[str, Any], parts: Sequence[Any], source: _Source) -> dict[str, Any]:
    merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
    for stated in parts:
        part = source.resolve(str(stated["$ref"])) if "$ref" in stated else stated
        properties = {**merged.get("properties", {}), **part.get("properties", {})}
        required = [*merged.get("required", ()), *part.get("required", ())]
        merged = {**merged, **part, **({"properties": properties} if properties else {})}
        if required:
            merged["required"] = required
    return merged
