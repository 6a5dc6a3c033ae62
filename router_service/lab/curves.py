"""How much of the strong model's quality a ranking of prompts recovers, for each share of calls it sends there.

PGR is the performance gap recovered: 0 is the weak model's mean, 1 the strong one's. APGR is the area under its curve:
0.5 for a random ranking. CPT(x) is the least share of strong calls that recovers the share x of the gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Curve:
    """`recovered[k]` is the PGR where the `k` prompts with the highest scores go to the strong model."""

    recovered: tuple[float, ...]

    @property
    def apgr(self) -> float:
        """The area under the curve, by trapezoids."""
        steps = len(self.recovered) - 1
        return sum((one + next_one) / 2 for one, next_one in pairwise(self.recovered)) / steps

    def cpt(self, share: float) -> float:
        """The least share of strong calls, from 0 to 1, that recovers `share` of the gap; 1 where none does."""
        steps = len(self.recovered) - 1
        return next((k / steps for k, recovered in enumerate(self.recovered) if recovered >= share - 1e-9), 1.0)


def curve(scores: Sequence[float], gains: Sequence[float]) -> Curve:
    """The curve of a ranking by `scores`, the highest first. Prompts with equal scores count as in random order.

    Raises `ValueError` where the strong model gains nothing over all: there is no gap to recover.
    """
    gap = sum(gains)
    if gap <= 0:
        raise ValueError("the strong model is not better than the weak one on these prompts")
    order = sorted(range(len(scores)), key=lambda one: -scores[one])
    recovered, at, won = [0.0], 0, 0.0
    while at < len(order):
        end = at
        while end < len(order) and scores[order[end]] == scores[order[at]]:
            end += 1
        tied = sum(gains[one] for one in order[at:end])
        recovered += [(won + tied * step / (end - at)) / gap for step in range(1, end - at + 1)]
        won, at = won + tied, end
    return Curve(tuple(recovered))
