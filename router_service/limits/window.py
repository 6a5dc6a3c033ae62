"""A sliding window that counts in parts: see `meters.BUCKETS`."""

from __future__ import annotations

from router_service.limits.meters import BUCKETS, NEVER


class Window:
    """Amounts of the last `span` microseconds. All times are microseconds of one clock that never goes back."""

    __slots__ = ("_parts", "_span", "_width", "total")

    def __init__(self, span: int) -> None:
        self._span = span
        self._width = span // BUCKETS
        self._parts: dict[int, int] = {}  # oldest first
        self.total = 0

    def forget(self, now: int) -> None:
        """Drop the parts that are older than the window."""
        oldest = now // self._width - BUCKETS
        while self._parts:
            part = next(iter(self._parts))
            if part >= oldest:
                return
            self.total -= self._parts.pop(part)

    def wait(self, amount: int, cap: int, now: int) -> int | None:
        """Until this much more fits, in microseconds; `None` where it does now. Call `forget` before."""
        if self.total + amount <= cap:
            return None
        if amount > cap:
            return NEVER
        left = self.total
        for part, counted in self._parts.items():
            left -= counted
            if left + amount <= cap:
                return (part + 1) * self._width + self._span - now
        return NEVER  # not reached: an empty window has room

    def add(self, amount: int, at: int) -> None:
        """Count an amount. `at` is not before an earlier one."""
        part = at // self._width
        self._parts[part] = self._parts.get(part, 0) + amount
        self.total += amount

    def correct(self, difference: int, at: int) -> None:
        """Change what was counted at a time, unless that is forgotten already."""
        part = at // self._width
        if part in self._parts:
            self._parts[part] += difference
            self.total += difference
