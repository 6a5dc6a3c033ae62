"""Isotonic regression: the rising map from a measure to how often it was right, with no other assumption.

Neighbours that would fall are pooled until none does (pool adjacent violators: Ayer et al., 1955), which is the best
rising fit in squared error. Where the measure says little, the map is flat.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_MOST_POINTS = 50


@dataclass(frozen=True, slots=True)
class _Block:
    """Labels that are pooled: how many, and the sums of their measures and outcomes."""

    count: int
    measures: float
    outcomes: float

    @property
    def measure(self) -> float:
        return self.measures / self.count

    @property
    def outcome(self) -> float:
        return self.outcomes / self.count

    def and_(self, other: _Block) -> _Block:
        return _Block(self.count + other.count, self.measures + other.measures, self.outcomes + other.outcomes)


def isotonic(measures: Sequence[float], outcomes: Sequence[float]) -> list[tuple[float, float]]:
    """Points (measure, mean outcome) of the rising map, at most 50, between which a straight line may be drawn.

    Empty where there is nothing to fit. Linear but for sorting.
    """
    pooled: list[_Block] = []
    for block in _by_measure(measures, outcomes):
        pooled.append(block)
        while len(pooled) > 1 and pooled[-2].outcome >= pooled[-1].outcome:
            last = pooled.pop()
            pooled[-1] = pooled[-1].and_(last)
    while len(pooled) > _MOST_POINTS:
        # Merged neighbours lie between their neighbours: the map still rises.
        at = min(range(len(pooled) - 1), key=lambda one: pooled[one].count + pooled[one + 1].count)
        pooled[at : at + 2] = [pooled[at].and_(pooled[at + 1])]
    return [(block.measure, block.outcome) for block in pooled]


def _by_measure(measures: Sequence[float], outcomes: Sequence[float]) -> Iterable[_Block]:
    """The labels in rising order; those of equal measure cannot be told apart."""
    equal: _Block | None = None
    for measure, outcome in sorted(zip(measures, outcomes, strict=True)):
        one = _Block(1, measure, outcome)
        if equal is None or measure > equal.measures / equal.count:
            if equal is not None:
                yield equal
            equal = one
        else:
            equal = equal.and_(one)
    if equal is not None:
        yield equal
