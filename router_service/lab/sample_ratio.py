"""Whether arms got the shares that their weights give them: where not, something other than the lot chose the calls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

# A mismatch is rare and ruins everything, so that only a strong sign is one.
_OFF_BELOW = 0.001
_LEAST_EXPECTED = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRatio:
    """How many keys each arm got, how many by the weights, and how probable a difference like this is by chance, by
    Pearson's chi-square test; `p` is `None` where there are too few to say."""

    counts: Mapping[str, int]
    expected: Mapping[str, float]
    p: float | None

    @property
    def is_off(self) -> bool:
        """Whether the shares are not those of the weights."""
        return self.p is not None and self.p < _OFF_BELOW


def sample_ratio(counts: Mapping[str, int], weights: Mapping[str, float]) -> SampleRatio:
    """Compare counts by arm with the arms' weights, at least one of which is above 0."""
    arms = [*weights, *(arm for arm in counts if arm not in weights)]
    total, weight = sum(counts.values()), sum(weights.values())
    expected = {arm: total * weights.get(arm, 0.0) / weight for arm in arms}
    counted = {arm: counts.get(arm, 0) for arm in arms}
    drawn = [arm for arm in arms if expected[arm] > 0]
    if any(counted[arm] for arm in arms if arm not in drawn):
        p: float | None = 0.0  # no lot gives a call to an arm of no weight
    elif len(drawn) < 2 or min(expected[arm] for arm in drawn) < _LEAST_EXPECTED:
        p = None
    else:
        off = sum((counted[arm] - expected[arm]) ** 2 / expected[arm] for arm in drawn)
        p = chi_square_tail(off, len(drawn) - 1)
    return SampleRatio(counts=counted, expected=expected, p=p)


def chi_square_tail(value: float, freedom: int) -> float:
    """The probability that a chi-square variable of so many degrees of freedom exceeds `value`, by its finite sums."""
    half = value / 2
    if not half:
        return 1.0
    tail, first = (math.erfc(math.sqrt(half)), 0.5) if freedom % 2 else (0.0, 0.0)
    powers = (first + step for step in range(freedom // 2))
    return min(1.0, tail + sum(math.exp(at * math.log(half) - half - math.lgamma(at + 1)) for at in powers))
