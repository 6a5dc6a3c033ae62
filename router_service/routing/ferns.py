"""Ferns: figures taken together. Each asks some yes-or-no questions at once, and the answers are a leaf.

After random ferns (Ozuysal et al. 2007): the questions are drawn at random, only the leaves' weights are learned. A sum
of single figures cannot tell that long options matter where there are numbers; ferns can.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from router_service.domain.classifier import Cut

DEEPEST = 8
"""Questions that a fern asks at most: the answers fill a byte."""


class Ferns:
    """Which leaf of each fern a prompt falls into; a fern is given by its cuts, at most eight."""

    def __init__(self, ferns: Sequence[Sequence[Cut]], figures: int) -> None:
        self._count = len(ferns)
        asked: list[dict[float, int]] = [{} for _ in range(figures)]
        for number, cuts in enumerate(ferns):
            for bit, (figure, cut) in enumerate(cuts):
                asked[figure][cut] = asked[figure].get(cut, 0) | 1 << (8 * number + bit)
        # For each figure its cuts in order, and which questions are answered by yes once so many cuts are exceeded.
        self._cuts = [sorted(cuts) for cuts in asked]
        self._answers = [_sums(cuts) for cuts in asked]

    def leaves(self, figures: Sequence[float]) -> bytes:
        """The number of the leaf in each fern, a byte each."""
        answers = 0
        for cuts, told, figure in zip(self._cuts, self._answers, figures, strict=True):
            answers |= told[bisect_left(cuts, figure)]
        return answers.to_bytes(self._count, "little")


def _sums(cuts: dict[float, int]) -> list[int]:
    """What the bits of the first so many cuts are together."""
    sums = [0]
    for cut in sorted(cuts):
        sums.append(sums[-1] | cuts[cut])
    return sums
