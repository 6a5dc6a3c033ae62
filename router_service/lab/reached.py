"""Where a run is that asks one thing after another."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reached:
    """`done` are calls whose result is known, earlier runs' among them; `spent` is in nano-USD."""

    done: int
    total: int
    failed: int
    spent: int
