"""The gate that looks at how sure the model was of its words, where the provider gives log-probabilities.

A mean over all tokens hides the few that decide among the many that are certain, and a sum punishes length, so the
margin at a low quantile of the tokens is taken: of a short answer that is its least sure token.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from router_service.domain.call import Call
from router_service.domain.quality import Gate, GateKind, Verdict
from router_service.quality.given import GivenAnswer

_USUAL_LEAST_MARGIN = 0.1
_USUAL_QUANTILE = 0.1


@dataclass(frozen=True, slots=True)
class Confident:
    """The tokens that it was least sure of led the next likely ones by so much probability at least."""

    least_margin: float
    quantile: float
    calibration: Sequence[tuple[float, float]]

    @classmethod
    def of(cls, gate: Gate) -> Confident:
        return cls(
            _USUAL_LEAST_MARGIN if gate.least_margin is None else gate.least_margin,
            _USUAL_QUANTILE if gate.quantile is None else gate.quantile,
            gate.calibration,
        )

    def judge(self, call: Call, answer: GivenAnswer) -> Verdict:
        if not answer.margins:
            return Verdict(GateKind.CONFIDENT, True, 1.0, "no log-probabilities")
        margin = max(0.0, at_quantile(answer.margins, self.quantile))
        score = interpolated(self.calibration, margin) if self.calibration else margin
        passed = margin >= self.least_margin
        return Verdict(
            GateKind.CONFIDENT,
            passed,
            min(1.0, score),
            f"its least sure tokens lead by {margin:.2f} of at least {self.least_margin:.2f}",
        )


def at_quantile(margins: Sequence[float], quantile: float) -> float:
    """The value below which that share of them lies, rounded to one of them: 0 is the least, 1 the greatest."""
    ordered = sorted(margins)
    return ordered[int(quantile * (len(ordered) - 1))]


def interpolated(points: Sequence[tuple[float, float]], at: float) -> float:
    """What a line through `points`, in rising order, has at a place; beyond its ends it is level."""
    after = bisect_right(points, at, key=lambda point: point[0])
    if after in (0, len(points)):
        return points[min(after, len(points) - 1)][1]
    (left, low), (right, high) = points[after - 1], points[after]
    return low + (high - low) * (at - left) / (right - left)
