"""Cost against quality as SVG: a point for each subject, with the confidence intervals of both.

Colours and fonts are the page's, by class; nothing is inline but geometry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from router_service.lab.comparison import Comparison, Standing, Summary
from router_service.lab.markup import safe
from router_service.lab.report import PER
from router_service.spend.money import usd

COLOURS = 8
"""How many subjects are told apart by colour before they repeat."""

_WIDTH, _HEIGHT = 760, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 24, 34, 52
_LABEL_GAP = 11
_LETTER = 7.6
_LONGEST = 26
# From so many times the cheapest on, costs are told apart on a logarithmic scale only.
_WIDE = 6.0


@dataclass(frozen=True, slots=True)
class _Axis:
    """Maps values to the page; `ticks` lie within its ends."""

    place: Callable[[float], float]
    ticks: Sequence[float]


def plot(comparison: Comparison) -> str:
    """The SVG; empty where no subject has both a cost and a quality."""
    shown = [
        (at, summary) for at, summary in enumerate(comparison.summaries) if summary.cost is not None and summary.quality
    ]
    if not shown:
        return ""
    costs = [
        value * PER
        for _, summary in shown
        if summary.cost is not None
        for value in (summary.cost.low, summary.cost.mean, summary.cost.high)
    ]
    lows = [summary.quality.low for _, summary in shown if summary.quality is not None]
    bar = bar_level(comparison)
    x, y = _cost_axis(costs), _quality_axis(min([*lows, *([] if bar is None else [bar])]))
    parts = [
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-labelledby="plot-title">',
        '<title id="plot-title">Quality against cost of each subject</title>',
        *_frame(x, y),
    ]
    if bar is not None:
        level = y.place(bar)
        parts += [
            f'<line class="bar" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{level:.1f}" y2="{level:.1f}"/>',
            f'<text class="bar-label" x="{_WIDTH - _RIGHT}" y="{level + 14:.1f}" text-anchor="end">'
            f"bar: {safe(str(comparison.bar))}</text>",
        ]
    parts += _labels([(at, one, *_centre(one, x, y)) for at, one in shown])
    parts += [_point(at, summary, comparison, x, y) for at, summary in shown]
    return "\n".join([*parts, "</svg>"])


def bar_level(comparison: Comparison) -> float | None:
    """The quality that the bar comes to, where one can be drawn."""
    bar = comparison.bar
    if not bar.is_relative:
        return bar.value
    name = bar.reference or comparison.best
    quality = comparison.summary(name).quality if name else None
    return None if quality is None else bar.value * quality.mean


def _centre(summary: Summary, x: _Axis, y: _Axis) -> tuple[float, float]:
    assert summary.cost is not None
    assert summary.quality is not None
    return x.place(summary.cost.mean * PER), y.place(summary.quality.mean)


def _frame(x: _Axis, y: _Axis) -> list[str]:
    bottom = _HEIGHT - _BOTTOM
    parts = []
    for tick in y.ticks:
        at = y.place(tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{tick:.2f}</text>')
    for tick in x.ticks:
        at = x.place(tick)
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{bottom}"/>')
        parts.append(
            f'<text class="tick" x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">{usd(round(tick))}</text>'
        )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(
        f'<text class="axis" x="{middle}" y="{_HEIGHT - 10}" text-anchor="middle">cost of {PER:,} calls</text>'
    )
    across = (_TOP + bottom) / 2
    parts.append(
        f'<text class="axis" x="16" y="{across}" text-anchor="middle" transform="rotate(-90 16 {across})">'
        "quality</text>"
    )
    return parts


def _point(at: int, summary: Summary, comparison: Comparison, x: _Axis, y: _Axis) -> str:
    assert summary.cost is not None
    assert summary.quality is not None
    cx, cy = _centre(summary, x, y)
    left, right = x.place(summary.cost.low * PER), x.place(summary.cost.high * PER)
    top, bottom = y.place(summary.quality.high), y.place(summary.quality.low)
    standing = comparison.verdict(summary.subject).standing
    full = "full" if standing in {Standing.MEETS, Standing.REFERENCE} else "hollow"
    return (
        f'<g class="c{at % COLOURS}">'
        f'<line class="interval" x1="{left:.1f}" x2="{right:.1f}" y1="{cy:.1f}" y2="{cy:.1f}"/>'
        f'<line class="interval" x1="{cx:.1f}" x2="{cx:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>'
        f'<line class="interval" x1="{cx - 4:.1f}" x2="{cx + 4:.1f}" y1="{top:.1f}" y2="{top:.1f}"/>'
        f'<line class="interval" x1="{cx - 4:.1f}" x2="{cx + 4:.1f}" y1="{bottom:.1f}" y2="{bottom:.1f}"/>'
        f'<circle class="{full}" cx="{cx:.1f}" cy="{cy:.1f}" r="6"/></g>'
    )


@dataclass(frozen=True, slots=True)
class _Box:
    left: float
    right: float
    top: float
    bottom: float

    def meets(self, other: _Box) -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


def _labels(points: Sequence[tuple[int, Summary, float, float]]) -> list[str]:
    """The names beside their points: above or below, right or left, where they cover no other name or point."""
    parts: list[str] = []
    taken = [_Box(cx - 8, cx + 8, cy - 8, cy + 8) for _, _, cx, cy in points]
    for at, summary, cx, cy in sorted(points, key=lambda point: point[3]):
        name = summary.subject if len(summary.subject) <= _LONGEST else f"{summary.subject[: _LONGEST - 1]}…"
        places = [
            (side, level)
            for level in (cy - 8, cy + 20, cy - 24, cy + 36, cy - 40, cy + 52)
            for side in (1, -1)
            if _within(_label_box(name, cx, side, level))
        ] or [(-1, cy - 8)]
        side, level = next(
            (place for place in places if not any(_label_box(name, cx, *place).meets(other) for other in taken)),
            places[0],
        )
        taken.append(_label_box(name, cx, side, level))
        parts.append(
            f'<text class="label c{at % COLOURS}" x="{cx + side * _LABEL_GAP:.1f}" y="{level:.1f}" '
            f'text-anchor="{"start" if side > 0 else "end"}">{safe(name)}</text>'
        )
    return parts


def _label_box(name: str, cx: float, side: int, level: float) -> _Box:
    near, far = cx + side * _LABEL_GAP, cx + side * (_LABEL_GAP + len(name) * _LETTER)
    return _Box(min(near, far), max(near, far), level - 11, level + 3)


def _within(box: _Box) -> bool:
    return box.left > _LEFT and box.right < _WIDTH and box.top > 0 and box.bottom < _HEIGHT - _BOTTOM


def _cost_axis(costs: Sequence[float]) -> _Axis:
    above = [cost for cost in costs if cost > 0]
    least, most = (min(above), max(above)) if above else (0.0, 1.0)
    inner = _WIDTH - _LEFT - _RIGHT
    if least and len(above) == len(costs) and most / least > _WIDE:
        low, high = math.log10(least) - 0.15, math.log10(most) + 0.15
        return _Axis(
            lambda cost: _LEFT + inner * (math.log10(max(cost, 10**low)) - low) / (high - low),
            [tick for tick in _decades(10**low, 10**high) if low <= math.log10(tick) <= high],
        )
    end = most * 1.15
    step = _nice(end / 6)
    return _Axis(lambda cost: _LEFT + inner * cost / end, [step * at for at in range(int(end / step) + 1)])


def _decades(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(powers) <= 3 else (1, 3) if len(powers) <= 4 else (1,)
    return [step * 10.0**power for power in powers for step in steps]


def _quality_axis(lowest: float) -> _Axis:
    floor = max(0.0, math.floor((lowest - 0.02) * 10) / 10)
    inner = _HEIGHT - _TOP - _BOTTOM
    step = 0.05 if 1 - floor <= 0.3 else 0.1 if 1 - floor <= 0.6 else 0.2
    ticks = [1 - step * at for at in range(int((1 - floor) / step + 1e-9) + 1)]
    return _Axis(lambda quality: _TOP + inner * (1 - quality) / (1 - floor), ticks)


def _nice(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step)
