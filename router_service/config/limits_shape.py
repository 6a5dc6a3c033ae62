"""The shape of limits, budgets and the Redis that replicas share them in."""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from router_service.config.endpoint import check_readable
from router_service.config.quantity import Count, NanoUsd, Timeout, matching, refuse
from router_service.config.shape import SOME_TEXTS_SCHEMA, Shape, listed
from router_service.domain.limit import BudgetMode, Dimension, FailMode, Period

MOST_NANO_USD = 9_000_000 * 10**9
"""Beyond this the counters of Redis, whose scripts count in doubles, would no longer be exact to a nano-USD."""

_WINDOWS = {"second": "1s", "minute": "1m", "hour": "1h", "day": "1d"}
_SHORTEST = 1.0


def _window(value: Any) -> Any:
    return _WINDOWS.get(value, value) if isinstance(value, str) else value


def _long_enough(seconds: float) -> float:
    if seconds < _SHORTEST:
        refuse("a window may not be shorter than 1s", "Write second, minute, hour, day or a duration such as 10s")
    return seconds


def _positive(nano_usd: int) -> int:
    if not 0 < nano_usd <= MOST_NANO_USD:
        refuse("must be more than 0, and at most 9 million USD", "Write an amount in USD such as 250")
    return nano_usd


def _url(value: str) -> str:
    if not re.match(r"(rediss?|unix)://.", value):
        refuse("is not a Redis URL", "Write redis://host:6379/0, rediss:// for TLS, or unix:///path/to/socket")
    check_readable(value)
    return value


def _some(one: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [one, {"type": "array", "items": one}]}


_DIMENSION = {"enum": [str(one) for one in Dimension]}
_WINDOW_SCHEMA = {
    "anyOf": [
        {"enum": list(_WINDOWS)},
        {"type": "number", "minimum": 1},
        matching(r"^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$"),
    ]
}

Window = Annotated[Timeout, AfterValidator(_long_enough), BeforeValidator(_window), WithJsonSchema(_WINDOW_SCHEMA)]
Per = Annotated[list[Dimension], BeforeValidator(listed), WithJsonSchema(_some(_DIMENSION))]
SomeTexts = Annotated[list[str], Field(min_length=1), BeforeValidator(listed), WithJsonSchema(SOME_TEXTS_SCHEMA)]
Money = Annotated[NanoUsd, AfterValidator(_positive)]
RedisUrl = Annotated[str, AfterValidator(_url), WithJsonSchema(matching(r"^(rediss?|unix)://"))]


class ScopedShape(Shape):
    """What limits and budgets have alike."""

    per: Per = Field(
        default_factory=list,
        description="Calls with equal values of all these share a counter: tenant, key, feature, tier, model; "
        "one or a list. Default: all calls share one.",
    )
    match: dict[Dimension, SomeTexts] = Field(
        default_factory=dict,
        description="Only calls with one of these values, such as {tier: free} or {model: [gpt-4o, o3]}. "
        "Default: all calls.",
    )
    fail: FailMode = Field(
        default=FailMode.OPEN,
        description="While Redis is away: open counts in each replica against its share, closed refuses.",
    )


class LimitShape(ScopedShape):
    """At most so many requests, tokens or concurrent calls: exactly one of the three."""

    requests: Count | None = Field(default=None, description="Calls per window. From 1.")
    tokens: Count | None = Field(default=None, description="Input and output tokens per window. From 1.")
    concurrent: Count | None = Field(default=None, description="Calls at once. From 1.")
    window: Window | None = Field(
        default=None,
        description="Length of the sliding window: second, minute, hour, day or a duration from 1s. "
        "Required with requests and tokens.",
    )

    @model_validator(mode="after")
    def _one_of_three(self) -> Self:
        given = [name for name in ("requests", "tokens", "concurrent") if getattr(self, name) is not None]
        if len(given) != 1:
            refuse("does not say what it limits", "Give exactly one of `requests`, `tokens` and `concurrent`")
        if given == ["concurrent"] and self.window is not None:
            refuse("has a window, but limits calls at once", "Remove `window`")
        if given != ["concurrent"] and self.window is None:
            refuse("has no window", "Add `window: minute`, or another length")
        return self


class BudgetShape(ScopedShape):
    """What may be spent in a period."""

    usd: Money = Field(description="The amount, in USD; more than 0, at most 9 million.")
    period: Period = Field(description="hour, day or month of the calendar in UTC, or total for a budget without end.")
    mode: BudgetMode = Field(
        default=BudgetMode.HARD,
        description="Once spent: hard refuses, soft only warns, degrade prefers cheaper candidates.",
    )
    degrade_from: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Share of the amount from which cheaper candidates are preferred, 0 to 1; in any mode. "
        "Default: 0.8 in the mode degrade, else never.",
    )


class RedisShape(Shape):
    """The Redis or Valkey in which replicas share counters and idempotency keys."""

    url: RedisUrl | None = Field(
        default=None,
        description="redis://, rediss:// (TLS) or unix:// URL, best from ${ENV}. "
        "Default: REDIS_URL of the environment.",
    )
    namespace: str = Field(
        default="llmrouter",
        pattern=r"^[A-Za-z0-9._-]+$",
        description="All keys begin with it, in braces: a cluster keeps them in one slot.",
    )
    timeout: Timeout = Field(
        default=0.25, description="Longest wait for an answer; then Redis counts as away. A duration."
    )
    max_connections: Count = Field(default=32, description="Connections open at once. From 1.")
    replicas: Count = Field(
        default=1,
        description="How many routers share it: while it is away each allows this part of a limit. From 1; their "
        "workers need not be counted.",
    )
