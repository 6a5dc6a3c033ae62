"""What has to be known of a set to read its figures, and why some figures are not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import sqrt
from statistics import NormalDist, fmean, stdev
from typing import Any

from benchmarks.routing.evaluation import BOTH, FEW, FEW_LABELS, FEWEST_FOR_HALVES, GATE, HALF, Prompts
from router_service.lab.outcomes import Pair

_CONFIDENCE = 0.95
_MANY, _FEW = 0.01, 2000


def gap(pair: Pair) -> dict[str, float]:
    """What the strong model gains on average, with a 95% interval."""
    gains = pair.gains
    middle = fmean(gains)
    around = NormalDist().inv_cdf((1 + _CONFIDENCE) / 2) * stdev(gains) / sqrt(len(gains))
    return {"mean": round(middle, 4), "low": round(middle - around, 4), "high": round(middle + around, 4)}


def notes(prompts: Prompts) -> Iterator[str]:
    """Sentences about the set, for people."""
    pair = prompts.pair
    yield from pair.remarks
    found, answered = gap(pair), len(prompts.answered())
    if found["low"] <= 0 < found["mean"]:
        yield (
            f"{pair.strong}'s gain of {found['mean']:.3f} cannot be told from none with so few prompts (95%: "
            f"{found['low']:.3f} to {found['high']:.3f}); APGR and CPT are shares of it, and mean little here"
        )
    if not pair.is_priced:
        yield (
            f"without prices of both models, above 0, a call of {pair.weak} is taken to cost {pair.cost_ratio:.0%} of "
            f"one of {pair.strong}"
        )
    repeated = len(prompts) - len(set(pair.prompts))
    if repeated >= _MANY * len(prompts):
        yield f"{repeated:,} prompts repeat an earlier one: {HALF} has learned some of those that it is judged by"
    if 0 < answered < len(prompts):
        yield f"{answered:,} prompts have an answer of {pair.weak}; gates are judged by these alone"
    if FEWEST_FOR_HALVES <= len(prompts) < _FEW:
        yield "with so few prompts, those that a threshold is judged by miss a promise by chance as well"


def absent(prompts: Prompts, found: Mapping[str, Any]) -> dict[str, str]:
    """By router or figure, why it is not there."""
    told = {} if "savings" in found else {"savings, calibration": f"{FEWEST_FOR_HALVES} prompts are needed"}
    weak, strong, half = prompts.pair.weak, prompts.pair.strong, len(prompts) // 2
    if not found["curves"]:
        return {"curves": f"{strong} is no better than {weak} here: there is no gap to recover", **told}
    if half <= FEW_LABELS:
        told[FEW] = f"a half has {half:,} prompts, and more than {FEW_LABELS:,} are needed"
    if not len(prompts.answered()):
        told |= dict.fromkeys((GATE, BOTH), f"there are no `responses` of {weak}")
    for router in (HALF, GATE, BOTH):
        if router not in found["curves"] and router not in told:
            told[router] = "no half of the prompts has a gap to recover and another prompt to learn from"
    return told
