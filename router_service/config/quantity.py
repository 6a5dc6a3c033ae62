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
_ENVIRONMENT = r"\$\{[A-Za-z_]\w*(?::-[^}]*)?\}"


def refuse(message: str, fix: str = "") -> NoReturn:
    """Say inside a validator what is wrong and how to put it right."""
    raise PydanticCustomError("refused", "{message}", {"message": message, "fix": fix})


def _seconds(value: Any) -> float:
    fix = "Write a number of seconds or a duration such as 250ms, 8s, 2m or 1m30s"
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and re.fullmatch(_DURATION, value.strip()):
        seconds = sum(float(amount) * _SECONDS[unit] for amount, unit in _DURATION_PART.findall(value))
    elif isinstance(value, str) and re.fullmatch(r"-?\d+(?:\.\d+)?", value.strip()):
        seconds = float(value)
    else:
        refuse("is not a duration", fix)
    if not math.isfinite(seconds) or seconds < 0:
        refuse("a duration may not be negative or infinite", fix)
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


def _count(value: Any) -> Any:
    if isinstance(value, bool):
        refuse("is not a number", "Write a whole number")
    return value


_DURATION_SCHEMA = {
    "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": f"^({_DURATION}|{_ENVIRONMENT})$"}]
}
_SIZE_SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {"type": "string", "pattern": rf"^(\d+(\.\d+)?\s*([kKmMgG]?i?[bB])?|{_ENVIRONMENT})$"},
    ]
}
_USD_SCHEMA = {
    "anyOf": [
        {"type": "number", "minimum": 0},
        {"type": "string", "pattern": rf"^(\$?\d+(\.\d+)?|{_ENVIRONMENT})$"},
    ]
}

Duration = Annotated[float, BeforeValidator(_seconds), WithJsonSchema(_DURATION_SCHEMA)]
"""Seconds, 0 allowed; written `8s`, `250ms`, `2m`, or a number of seconds."""

Timeout = Annotated[
    float, BeforeValidator(_longer_than_nothing), BeforeValidator(_seconds), WithJsonSchema(_DURATION_SCHEMA)
]
"""Seconds, more than 0."""

Size = Annotated[int, BeforeValidator(_bytes), WithJsonSchema(_SIZE_SCHEMA)]
"""Bytes; written `4MiB`, `512KiB`, or a number of bytes."""

NanoUsd = Annotated[int, BeforeValidator(nano_usd), WithJsonSchema(_USD_SCHEMA)]
"""Integer nano-USD; written in USD."""

Count = Annotated[int, Field(ge=1), BeforeValidator(_count)]
"""A whole number from 1."""

CountFromZero = Annotated[int, Field(ge=0), BeforeValidator(_count)]
"""A whole number from 0."""
