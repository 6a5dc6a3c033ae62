"""The shape of conditions: which calls a rule, an experiment or a shadow is about."""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from router_service.config.quantity import CountFromZero, refuse
from router_service.config.shape import Shape, listed
from router_service.domain.deployment import Capability

_COMPARISON = re.compile(r"(>=|<=|==?|>|<)\s*(\d[\d_]*)")
_COMPARISONS = r"\s*(?:(?:>=|<=|==?|>|<)\s*\d[\d_]*\s*,?\s*)+"
_SPAN = re.compile(r"\s*(\d[\d_]*)\s*(?:-|\.\.)\s*(\d[\d_]*)\s*")


class TextShape(Shape):
    """One text, a list of which any may match, or `not` with those that may not."""

    any_of: Annotated[list[str], BeforeValidator(listed)] | None = None
    none_of: Annotated[list[str], BeforeValidator(listed)] = Field(default_factory=list, alias="not")

    @model_validator(mode="before")
    @classmethod
    def _written_short(cls, value: Any) -> Any:
        if isinstance(value, bool | int | float) or value is None:
            refuse("is not text", "Put it in quotes")
        if value == []:
            refuse("never matches: the list is empty", "List at least one value, or remove the condition")
        return {"any_of": listed(value)} if isinstance(value, str | list) else value


def _compared(text: str) -> dict[str, int]:
    if span := _SPAN.fullmatch(text):
        return {"min": int(span[1]), "max": int(span[2])}
    if not re.fullmatch(_COMPARISONS, text):
        refuse("is not a range", 'Write {min: 1000, max: 8000}, ">= 1000" or a number')
    bounds: dict[str, int] = {}
    for sign, digits in _COMPARISON.findall(text):
        number = int(digits)
        if sign in (">=", ">", "=", "=="):
            bounds["min"] = number + (sign == ">")
        if sign in ("<=", "<", "=", "=="):
            bounds["max"] = number - (sign == "<")
    return bounds


class RangeShape(Shape):
    """From `min` to `max`, both inclusive."""

    min: CountFromZero | None = None
    max: CountFromZero | None = None

    @model_validator(mode="before")
    @classmethod
    def _written_short(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            return {"min": value, "max": value}
        return _compared(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            refuse("the range is empty: its minimum is above its maximum", "Swap the two")
        return self


class NeedsShape(Shape):
    """Capabilities that the call must need, or with `not` may not need."""

    all_of: Annotated[list[Capability], BeforeValidator(listed)] = Field(default_factory=list)
    none_of: Annotated[list[Capability], BeforeValidator(listed)] = Field(default_factory=list, alias="not")

    @model_validator(mode="before")
    @classmethod
    def _written_short(cls, value: Any) -> Any:
        if value == []:
            refuse("the list is empty", "List at least one capability, or remove the condition")
        return {"all_of": listed(value)} if isinstance(value, str | list) else value


def _or_not(one: dict[str, Any]) -> dict[str, Any]:
    some = {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}
    excluded = {"type": "object", "properties": {"not": some}, "required": ["not"], "additionalProperties": False}
    return {"anyOf": [*some["anyOf"], excluded]}


_WHOLE = {"type": "integer", "minimum": 0}
_RANGE_SCHEMA = {
    "anyOf": [
        _WHOLE,
        {"type": "string", "pattern": rf"^({_COMPARISONS}|{_SPAN.pattern})$"},
        {"type": "object", "properties": {"min": _WHOLE, "max": _WHOLE}, "additionalProperties": False},
    ]
}

Text = Annotated[TextShape, WithJsonSchema(_or_not({"type": "string"}))]
Range = Annotated[RangeShape, WithJsonSchema(_RANGE_SCHEMA)]
Needs = Annotated[NeedsShape, WithJsonSchema(_or_not({"enum": [str(one) for one in Capability]}))]


class WhenShape(Shape):
    """A rule's conditions: all keys must hold, of a list any value. Texts match whatever their case."""

    feature: Text | None = Field(default=None, description="The caller's feature: one, a list, or {not: ...}.")
    tier: Text | None = Field(default=None, description="The caller's tier, such as free.")
    task_type: Text | None = Field(default=None, description="The caller's task type.")
    complexity: Text | None = Field(
        default=None, description="The call's complexity, one of the policy's `complexities`."
    )
    language: Text | None = Field(default=None, description="Primary language tag of the prompt, such as zh for zh-CN.")
    labels: dict[str, Text] = Field(default_factory=dict, description="Labels of the caller; each must match.")
    input_tokens: Range | None = Field(
        default=None, description='Estimated prompt tokens: {min: 1000, max: 8000}, ">= 1000" or a number.'
    )
    turns: Range | None = Field(default=None, description="User turns in the conversation, this one included.")
    needs: Needs | None = Field(
        default=None, description="Capabilities that the call needs, all of the list: tools, vision, json_object ..."
    )
