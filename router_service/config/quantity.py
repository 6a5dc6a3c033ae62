"""Durations, sizes, money and token counts as the file writes them."""

from __future__ import annotations

import math
import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, NoReturn

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

NANO = 10**9
"""Nano-USD in one USD."""

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {
    "b": 1,
    "": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
}
_DURATION = r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+"
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?i?b)?", re.IGNORECASE)
_MOST = 2**31 - 1
_LONGEST = 24 * 86400  # in milliseconds it still fits into 32 bits

REFERENCE = r"\$\{"
"""In a pattern of the JSON Schema: the text is filled in from the environment, so nobody knows yet what it will be."""


def matching(pattern: str) -> dict[str, Any]:
    """JSON Schema of a text that matches a pattern, or will once the environment is filled in."""
    return {"type": "string", "pattern": f"{pattern}|{REFERENCE}"}


def refuse(message: str, fix: str = "") -> NoReturn:
    """Say inside a validator what is wrong and how to put it right."""
    raise PydanticCustomError("refused", "{message}", {"message": message, "fix": fix})


def _seconds(value: Any) -> float:
    fix = "Write a number of seconds or a duration such as 250ms, 8s, 2m or 1m30s"
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(min(value, 2 * _LONGEST))
    elif isinstance(value, str) and re.fullmatch(_DURATION, value.strip()):
        seconds = sum(float(amount) * _SECONDS[unit] for amount, unit in _DURATION_PART.findall(value))
    elif isinstance(value, str) and re.fullmatch(r"-?\d+(?:\.\d+)?", value.strip()):
        seconds = float(value)
    else:
        refuse("is not a duration", fix)
    if not math.isfinite(seconds) or seconds < 0:
        refuse("a duration may not be negative or infinite", fix)
    if seconds > _LONGEST:
        refuse("a duration may not be longer than 24d", fix)
    return seconds


def _longer_than_nothing(seconds: float) -> float:
    if seconds <= 0:
        refuse("must be longer than 0", "Write a duration such as 8s")
    return seconds


def _bytes(value: Any) -> int:
    fix = "Write a number of bytes or a size such as 4MiB or 512KiB"
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    elif isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        size = int(Decimal(match[1]) * _BYTES[(match[2] or "").lower()])
    else:
        refuse("is not a size", fix)
    if size < 1:
        refuse("a size must be at least 1 byte", fix)
    if size > _MOST:
        refuse("a size may not be 2 GiB or more", fix)
    return size


def nano_usd(value: Any) -> int:
    """USD (a number, or its text) in integer nano-USD, rounded half-even."""
    fix = "Write an amount in USD such as 0.27"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        refuse("is not an amount in USD", fix)
    try:
        amount = Decimal(str(value).strip().removeprefix("$"))
    except InvalidOperation:
        refuse("is not an amount in USD", fix)
    if not amount.is_finite() or not 0 <= amount < 10**9:
        refuse("an amount may not be negative or infinite", fix)
    return int((amount * NANO).to_integral_value("ROUND_HALF_EVEN"))


def _count(value: Any) -> int:
    written = isinstance(value, str) and re.fullmatch(r"\s*-?\d{1,18}\s*", value)
    if written or (isinstance(value, float) and value.is_integer()):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        refuse("is not a whole number", "Write a whole number in digits, such as 128000")
    if value > _MOST:
        refuse(f"is more than {_MOST}", f"Write a whole number up to {_MOST}")
    return value


_NOTHING = r"(?:0+(?:\.0+)?(?:ms|s|m|h|d)?)+"
_DURATION_SCHEMA = {"anyOf": [{"type": "number", "minimum": 0}, matching(rf"^({_DURATION}|\d+(\.\d+)?)$")]}
_TIMEOUT_SCHEMA = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0},
        matching(rf"^(?!{_NOTHING}$)({_DURATION}|\d+(\.\d+)?)$"),
    ]
}
_SIZE_SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": _MOST},
        matching(r"^\d+(\.\d+)?\s*([kKmMgG]?i?[bB])?$"),
    ]
}
_USD_SCHEMA = {
    "anyOf": [
        {"type": "number", "minimum": 0},
        matching(r"^\$?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"),
    ]
}

Duration = Annotated[float, BeforeValidator(_seconds), WithJsonSchema(_DURATION_SCHEMA)]
"""Seconds, 0 allowed; written `8s`, `250ms`, `2m`, or a number of seconds."""

Timeout = Annotated[
    float, BeforeValidator(_longer_than_nothing), BeforeValidator(_seconds), WithJsonSchema(_TIMEOUT_SCHEMA)
]
"""Seconds, more than 0."""

Size = Annotated[int, BeforeValidator(_bytes), WithJsonSchema(_SIZE_SCHEMA)]
"""Bytes; written `4MiB`, `512KiB`, or a number of bytes."""

NanoUsd = Annotated[int, BeforeValidator(nano_usd), WithJsonSchema(_USD_SCHEMA)]
"""Integer nano-USD; written in USD."""

Count = Annotated[int, Field(ge=1, le=_MOST), BeforeValidator(_count)]
"""A whole number from 1, such as 32 bits hold."""

CountFromZero = Annotated[int, Field(ge=0, le=_MOST), BeforeValidator(_count)]
"""A whole number from 0, such as 32 bits hold."""
