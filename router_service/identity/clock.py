"""The two clocks of identity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """`monotonic` for how long something is believed, `wall` (seconds since 1970) for when a credential ends."""

    monotonic: Callable[[], float]
    wall: Callable[[], float]
