"""Plants ferns: draws the questions they ask of figures. The same figures give the same ferns."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from router_service.domain.classifier import Cut

_CUTS = 5
_DIGITS = 4


def planted(figures: Sequence[Sequence[float]], count: int) -> list[tuple[Cut, ...]]:
    """`count` ferns of five cuts each, drawn at random from the figures that occur.

    A cut lies just above the figure that was drawn, so that rounding never moves an equal figure to its other side.
    """
    draw = Random(0)  # noqa: S311 - a fixed draw is the point
    return [tuple(_cut(figures, draw) for _ in range(_CUTS)) for _ in range(count)]


def _cut(figures: Sequence[Sequence[float]], draw: Random) -> Cut:
    place = draw.randrange(len(figures[0]))
    return place, round(figures[draw.randrange(len(figures))][place] + 10**-_DIGITS, _DIGITS)
