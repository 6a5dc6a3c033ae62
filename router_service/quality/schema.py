"""A value against a JSON Schema: the keywords that providers accept for structured output, and no others.

The library for it would run the callers' own patterns with a backtracking engine over what a model wrote, and follow
references wherever they lead. Here every step is counted, `pattern` and `format` are not looked at, and references
stay within the schema. Keywords that are not known allow everything, as the standard says.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_MOST_STEPS = 20_000
_DEEPEST = 64

_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: isinstance(value, int | float) and not isinstance(value, bool) and value == int(value),
}


class SchemaUnclear(Exception):
    """The schema cannot be followed: too deep, too much work, or a reference that leads nowhere."""


class Schema:
    """One JSON Schema. Raises `SchemaUnclear` where the text is none."""

    def __init__(self, text: str) -> None:
        try:
            self._root = json.loads(text)
        except (ValueError, RecursionError) as exc:
            raise SchemaUnclear("the schema is no JSON") from exc
        if not isinstance(self._root, dict | bool):
            raise SchemaUnclear("the schema is no object")

    def refuses(self, value: Any) -> str:
        """The keyword that the value breaks first, such as "required"; empty where it follows the schema. Raises
        `SchemaUnclear`.
        """
        return _Walk(self._root).check(value, self._root, 0)


class _Walk:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._steps = 0

    def check(self, value: Any, schema: Any, depth: int) -> str:
        self._steps += 1
        if self._steps > _MOST_STEPS or depth > _DEEPEST:
            raise SchemaUnclear("following the schema takes too long")
        if isinstance(schema, bool):
            return "" if schema else "false"
        if not isinstance(schema, dict):
            raise SchemaUnclear("a part of the schema is no object")
        if "$ref" in schema and (broken := self.check(value, self._referred(schema["$ref"]), depth + 1)):
            return broken
        return (
            _breaks_kind(value, schema)
            or _breaks_bounds(value, schema)
            or self._breaks_object(value, schema, depth)
            or self._breaks_array(value, schema, depth)
            or self._breaks_choice(value, schema, depth)
        )

    def _referred(self, reference: Any) -> Any:
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise SchemaUnclear("a reference leads out of the schema")
        found = self._root
        for step in reference[1:].split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            elif isinstance(found, dict) and name in found:
                found = found[name]
            else:
                raise SchemaUnclear("a reference leads nowhere")
        return found

    def _breaks_object(self, value: Any, schema: Mapping[str, Any], depth: int) -> str:
        if not isinstance(value, dict):
            return ""
        properties = schema.get("properties", {})
        if any(name not in value for name in schema.get("required", ())):
            return "required"
        for name, part in properties.items():
            if name in value and (broken := self.check(value[name], part, depth + 1)):
                return broken
        others = schema.get("additionalProperties", True)
        if others is not True and not schema.get("patternProperties"):
            for name, one in value.items():
                if name not in properties and (others is False or self.check(one, others, depth + 1)):
                    return "additionalProperties"
        return ""

    def _breaks_array(self, value: Any, schema: Mapping[str, Any], depth: int) -> str:
        if not isinstance(value, list):
            return ""
        first = schema.get("prefixItems", ())
        for one, part in zip(value, first, strict=False):
            if broken := self.check(one, part, depth + 1):
                return broken
        if "items" in schema:
            for one in value[len(first) :]:
                if broken := self.check(one, schema["items"], depth + 1):
                    return broken
        if schema.get("uniqueItems") is True:
            self._steps += len(value)
            if len({json.dumps(one, sort_keys=True) for one in value}) < len(value):
                return "uniqueItems"
        return ""

    def _breaks_choice(self, value: Any, schema: Mapping[str, Any], depth: int) -> str:
        for part in schema.get("allOf", ()):
            if broken := self.check(value, part, depth + 1):
                return broken
        if "anyOf" in schema and all(self.check(value, part, depth + 1) for part in schema["anyOf"]):
            return "anyOf"
        if "oneOf" in schema and sum(not self.check(value, part, depth + 1) for part in schema["oneOf"]) != 1:
            return "oneOf"
        if "not" in schema and not self.check(value, schema["not"], depth + 1):
            return "not"
        return ""


def _breaks_kind(value: Any, schema: Mapping[str, Any]) -> str:
    if "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(_TYPES[kind](value) for kind in kinds if isinstance(kind, str) and kind in _TYPES):
            return "type"
    if "enum" in schema and not any(_same(value, one) for one in schema["enum"]):
        return "enum"
    return "const" if "const" in schema and not _same(value, schema["const"]) else ""


def _same(value: Any, other: Any) -> bool:
    # In JSON true is not 1.
    return isinstance(value, bool) == isinstance(other, bool) and bool(value == other)


def _breaks_bounds(value: Any, schema: Mapping[str, Any]) -> str:
    for keyword, measure, in_order in _BOUNDS:
        bound = schema.get(keyword)
        if isinstance(bound, int | float) and not isinstance(bound, bool):
            size = measure(value)
            if size is not None and not in_order(size, bound):
                return keyword
    step = schema.get("multipleOf")
    number = _number(value)
    if isinstance(step, int | float) and step > 0 and number is not None:
        quotient = number / step
        if not math.isfinite(quotient) or abs(quotient - round(quotient)) > 1e-9:
            return "multipleOf"
    return ""


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _size_of(kind: type[Any]) -> Callable[[Any], float | None]:
    return lambda value: len(value) if isinstance(value, kind) else None


_BOUNDS: Sequence[tuple[str, Callable[[Any], float | None], Callable[[float, float], bool]]] = (
    ("minimum", _number, lambda size, bound: size >= bound),
    ("maximum", _number, lambda size, bound: size <= bound),
    ("exclusiveMinimum", _number, lambda size, bound: size > bound),
    ("exclusiveMaximum", _number, lambda size, bound: size < bound),
    ("minLength", _size_of(str), lambda size, bound: size >= bound),
    ("maxLength", _size_of(str), lambda size, bound: size <= bound),
    ("minItems", _size_of(list), lambda size, bound: size >= bound),
    ("maxItems", _size_of(list), lambda size, bound: size <= bound),
    ("minProperties", _size_of(dict), lambda size, bound: size >= bound),
    ("maxProperties", _size_of(dict), lambda size, bound: size <= bound),
)
