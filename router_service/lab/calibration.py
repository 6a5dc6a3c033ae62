"""Thresholds with a promise: the share of the strong model's quality that is kept, with a stated confidence.

A threshold read off a curve is right for half of all samples. Here thresholds are tested one after the other, from
always-strong downward, each with a one-sided lower bound on what is kept beyond the promise; the first that fails ends
it. Tested in this order, which was fixed beforehand, no correction for their number is due.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

_STEPS = 50
FEWEST_LABELS = 30
"""Labelled prompts, below which nothing is promised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Scores from `threshold` up go to the strong model; infinity below all means that every call does.

    On the labelled prompts `strong_share` of the calls did, and `kept` of the strong model's quality was kept.
    """

    threshold: float
    strong_share: float
    kept: float


def calibrate(
    scores: Sequence[float],
    weak: Sequence[float],
    strong: Sequence[float],
    *,
    keep: float,
    confidence: float = 0.95,
) -> Threshold:
    """The lowest threshold that keeps `keep` (0.98) of the strong model's mean quality, with that confidence.

    `scores` must not have been learned from these prompts. Raises `ValueError` for fewer than 30 prompts.
    """
    if len(scores) < FEWEST_LABELS:
        raise ValueError(
            f"{len(scores)} labelled prompts are too few for a promise; at least {FEWEST_LABELS} are needed"
        )
    order = sorted(range(len(scores)), key=lambda one: -scores[one])
    count, total = len(order), sum(strong)
    deviations = _quantile(confidence, count - 1) / sqrt(count)
    best = Threshold(threshold=float("-inf"), strong_share=1.0, kept=1.0)
    # What each prompt yields beyond the promise: all strong at first, then weak for those with the lowest scores.
    beyond = [one * (1 - keep) for one in strong]
    sums, squares, quality = sum(beyond), sum(one * one for one in beyond), total
    at = count
    for step in range(1, _STEPS + 1):
        end = _no_tie_split(scores, order, count - round(count * step / _STEPS))
        for one in order[end:at]:
            fresh = weak[one] - keep * strong[one]
            sums += fresh - beyond[one]
            squares += fresh * fresh - beyond[one] * beyond[one]
            quality += weak[one] - strong[one]
        at = min(at, end)
        mean = sums / count
        spread = sqrt(max(squares - count * mean * mean, 0.0) / (count - 1))
        if mean - deviations * spread < 0:
            break
        threshold = scores[order[at - 1]] if at else float("inf")
        best = Threshold(threshold=threshold, strong_share=at / count, kept=quality / total if total else 1.0)
    return best


def read_off(scores: Sequence[float], weak: Sequence[float], strong: Sequence[float], *, keep: float) -> Threshold:
    """The threshold that just keeps the share on these very prompts: no promise for any others, for comparison only."""
    order = sorted(range(len(scores)), key=lambda one: -scores[one])
    total = sum(strong)
    quality, best = sum(weak), None
    candidates = [(0, quality)]
    for at, one in enumerate(order, 1):
        quality += strong[one] - weak[one]
        candidates.append((at, quality))
    for at, quality in candidates:
        if quality >= keep * total - 1e-9:
            best = Threshold(
                threshold=scores[order[at - 1]] if at else float("inf"),
                strong_share=at / len(order),
                kept=quality / total if total else 1.0,
            )
            break
    return best or Threshold(threshold=float("-inf"), strong_share=1.0, kept=1.0)


def kept_at(threshold: float, scores: Sequence[float], weak: Sequence[float], strong: Sequence[float]) -> Threshold:
    """What a threshold makes of other prompts."""
    goes = [score >= threshold for score in scores]
    quality = sum(high if up else low for up, low, high in zip(goes, weak, strong, strict=True))
    total = sum(strong)
    return Threshold(threshold=threshold, strong_share=sum(goes) / len(goes), kept=quality / total if total else 1.0)


def _no_tie_split(scores: Sequence[float], order: Sequence[int], at: int) -> int:
    """The next smaller cut that has no equal scores on both sides: a threshold cannot tell them apart."""
    while 0 < at < len(order) and scores[order[at - 1]] == scores[order[at]]:
        at -= 1
    return at


def _quantile(confidence: float, freedom: int) -> float:
    """Student's t, by its expansion around the normal distribution: right to three digits from 30 degrees up."""
    z = NormalDist().inv_cdf(confidence)
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
