"""A router file from one's own traffic, with the evidence for it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import floor, inf

from router_service.domain.classifier import LearnedWeights
from router_service.lab.calibration import FEWEST_LABELS, Threshold, calibrate
from router_service.lab.curves import Curve, curve
from router_service.lab.isotonic import isotonic
from router_service.lab.learning import learn_both
from router_service.lab.outcomes import OutcomesError, Pair
from router_service.routing.excerpt import Excerpt, excerpt
from router_service.routing.learned import Learned

HELD_OUT_PERCENT = 30
"""Percent of the prompts that are judged by, and not learned from."""

_FEWEST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """Weights whose `complex_from` keeps the promise, and what the prompts that were held out say of them.

    `evidence` is `None` where the strong model is no better on these. `by_length` is the curve of prompt length alone.
    """

    weights: LearnedWeights
    learned_from: int
    held_out: int
    threshold: Threshold
    evidence: Curve | None
    by_length: Curve | None


def train(pair: Pair, *, keep: float, confidence: float) -> Trained:
    """Learn from about 70% of the prompts; the rest set the threshold. Which are which depends on their text alone.

    Raises `OutcomesError` where there are too few.
    """
    if len(pair.prompts) < _FEWEST:
        raise OutcomesError(f"{len(pair.prompts)} prompts are too few to learn from; at least {_FEWEST} are needed")
    said = [excerpt(prompt) for prompt in pair.prompts]
    held = [one for one, prompt in enumerate(pair.prompts) if zlib.crc32(prompt.encode()) % 100 < HELD_OUT_PERCENT]
    out = set(held)
    known = [one for one in range(len(said)) if one not in out]
    if len(held) < FEWEST_LABELS or len(known) < FEWEST_LABELS:
        raise OutcomesError(
            f"{len(pair.prompts):,} prompts, of which {len(set(pair.prompts)):,} differ, leave {len(known):,} to learn "
            f"from and {len(held):,} to judge by, chosen by their text; at least {FEWEST_LABELS} of each are needed: "
            "bring more prompts"
        )
    weak, strong, gains = pair.weak_scores, pair.strong_scores, pair.gains
    weights = learn_both([said[one] for one in known], [weak[one] for one in known], [strong[one] for one in known])
    model = Learned(weights)
    found = calibrated(pair, model.score, said, held, keep=keep, confidence=confidence)
    hard = as_setting(found.threshold)
    held_gains = [gains[one] for one in held]
    return Trained(
        weights=replace(weights, complex_from=hard, moderate_from=min(weights.moderate_from, hard)),
        learned_from=len(known),
        held_out=len(held),
        threshold=found,
        evidence=_curve([model.gain(said[one]) for one in held], held_gains),
        by_length=_curve([said[one].length for one in held], held_gains),
    )


def calibrated(
    pair: Pair,
    score: Callable[[Excerpt], float],
    said: Sequence[Excerpt],
    among: Sequence[int],
    *,
    keep: float,
    confidence: float,
) -> Threshold:
    """The threshold for some of the pair's prompts. Raises `OutcomesError` where they are too few for a promise."""
    try:
        return calibrate([score(said[one]) for one in among], *pair.qualities(among), keep=keep, confidence=confidence)
    except ValueError as exc:
        raise OutcomesError(str(exc)) from exc


def as_setting(threshold: float) -> float:
    """A threshold as a score from 0 to 1 with four digits, rounded so that no call fewer goes to the strong model."""
    if threshold in (inf, -inf):
        return 1.0 if threshold > 0 else 0.0
    return max(0.0, min(1.0, floor(threshold * 10_000) / 10_000))


def fitted(pair: Pair) -> list[tuple[float, float]]:
    """The calibration of the gate `confident` for the weak model: points (margin, share right), with four digits.

    Empty where no prompt says how sure the model was. Raises `OutcomesError` where they are too few, or are no shares.
    """
    told = pair.confidence
    if not told:
        return []
    if len(told) < _FEWEST:
        raise OutcomesError(f"{len(told)} prompts with a confidence are too few; at least {_FEWEST} are needed")
    if not all(0 <= number <= 1 for one in told for number in one):
        raise OutcomesError("Confidence and the outcomes beside it have to be from 0 to 1")
    points: dict[float, float] = {}
    for margin, share in isotonic([one for one, _ in told], [score for _, score in told]):
        points[round(margin, 4)] = round(share, 4)
    return list(points.items())


def _curve(scores: Sequence[float], gains: Sequence[float]) -> Curve | None:
    return curve(scores, gains) if sum(gains) > 0 else None
