"""Usage and cost. Money is integer nano-USD (1e-9 USD) everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts. Input includes cached tokens and cache writes, output includes reasoning.

    `estimated` is true where the router counted because the provider reported nothing.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_input_tokens=self.cached_input_tokens + other.cached_input_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            estimated=self.estimated or other.estimated,
        )


class Billed(StrEnum):
    """Whether a provider bills an attempt that failed."""

    NO = "no"
    MAYBE = "maybe"
    LIKELY = "likely"


class CostStatus(StrEnum):
    """How certain a cost is, from the most to the least certain."""

    ACTUAL = "actual"
    UNBILLED = "unbilled"
    ESTIMATED = "estimated"
    PARTIAL = "partial"
    INDETERMINATE = "indeterminate"
    UNPRICED = "unpriced"

    @property
    def uncertainty(self) -> int:
        """0 for the most certain; a sum of costs is as certain as its least certain part."""
        return _UNCERTAINTY[self]


_UNCERTAINTY = {status: rank for rank, status in enumerate(CostStatus)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """A cost in nano-USD. `total` is the sum rounded once, half-even; the parts are rounded each by itself."""

    total: int
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    price_version: str = ""
