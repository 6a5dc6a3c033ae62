"""Means of scores between 0 and 1, and of their differences, with intervals that stay honest for few prompts.

Forty right answers out of forty do not make a model perfect, though their standard deviation is 0. Shares of right
answers get the exact interval of Clopper and Pearson. All others get Student's interval after a few invented
observations at the ends of the scale: one of 0 and one of 1 for a mean and for each side of a difference (Agresti and
Caffo 2000), half a pair of each of 0-0, 0-1, 1-0 and 1-1 where the same prompts are compared (Agresti and Min 2005).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

_STEPS = 200
_CLOSE = 1e-13
_NEAR = 1e-11
_TINY = 1e-300


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over `count` observations, and the ends of its confidence interval."""

    mean: float
    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How far a mean is above another, or above a bar: over `count` pairs, or over the smaller of two groups.

    `above` is the probability to see so much or more where there is no more than none in truth, `below` to see so
    little or less: one-sided p-values. `deviation` is the standard deviation of one pair's difference.
    """

    mean: float
    low: float
    high: float
    count: int
    paired: bool
    above: float
    below: float
    deviation: float


@dataclass(frozen=True, slots=True)
class _Moments:
    """Mean, its squared standard error and the degrees of freedom."""

    mean: float
    variance: float
    freedom: float


# A report asks for the same few over and over.
@lru_cache(maxsize=4096)
def share(successes: int, count: int, confidence: float = 0.95) -> Estimate:
    """A share with its exact interval (Clopper and Pearson). Raises `ValueError` for a count of 0."""
    if count < 1:
        raise ValueError("a share needs observations")
    tail = (1 - confidence) / 2
    low = _inverse(lambda p: beta_share(p, successes, count - successes + 1), tail) if successes else 0.0
    high = _inverse(lambda p: beta_share(p, successes + 1, count - successes), 1 - tail) if successes < count else 1.0
    return Estimate(mean=successes / count, low=low, high=high, count=count)


def mean_score(scores: Sequence[float], confidence: float = 0.95) -> Estimate:
    """The mean of scores from 0 to 1. Raises `ValueError` for none."""
    if _are_binary(scores):
        return share(round(sum(scores)), len(scores), confidence)
    moments = _moments([*scores, 0.0, 1.0])
    reach = student(1 - (1 - confidence) / 2, moments.freedom) * math.sqrt(moments.variance)
    mean = sum(scores) / len(scores)
    return Estimate(
        mean=mean,
        low=max(0.0, min(mean, moments.mean - reach)),
        high=min(1.0, max(mean, moments.mean + reach)),
        count=len(scores),
    )


def mean_amount(amounts: Sequence[float], confidence: float = 0.95) -> Estimate:
    """The mean of amounts that have no upper end, such as costs, with Student's interval; a single one has none.

    Raises `ValueError` for none.
    """
    if not amounts:
        raise ValueError("a mean needs observations")
    mean = sum(amounts) / len(amounts)
    if len(amounts) < 2:
        return Estimate(mean=mean, low=mean, high=mean, count=1)
    moments = _moments(amounts)
    reach = student(1 - (1 - confidence) / 2, moments.freedom) * math.sqrt(moments.variance)
    return Estimate(mean=mean, low=max(0.0, mean - reach), high=mean + reach, count=len(amounts))


def above_bar(scores: Sequence[float], bar: float, confidence: float = 0.95) -> Difference:
    """How far the mean score is above a fixed bar."""
    estimate = mean_score(scores, confidence)
    count, mean = len(scores), estimate.mean
    deviation = math.sqrt(_moments([*scores, 0.0, 1.0]).variance * (count + 2))
    if _are_binary(scores):
        successes = round(sum(scores))
        above = beta_share(bar, successes, count - successes + 1) if successes else 1.0
        below = 1 - beta_share(bar, successes + 1, count - successes) if successes < count else 1.0
    else:
        above, below = _tails(_moments([*(score - bar for score in scores), -bar, 1 - bar]))
    return Difference(
        mean=mean - bar,
        low=estimate.low - bar,
        high=estimate.high - bar,
        count=count,
        paired=True,
        above=above,
        below=below,
        deviation=deviation,
    )


def paired_difference(
    scores: Sequence[float], others: Sequence[float], ratio: float = 1.0, confidence: float = 0.95
) -> Difference:
    """How far the mean score is above `ratio` times the mean of the others, of the same prompts in the same order."""
    pairs = [score - ratio * other for score, other in zip(scores, others, strict=True)]
    # Half a pair of each: all values and squares count half.
    invented = (0.0, -ratio, 1.0, 1.0 - ratio)
    count = len(pairs) + 2
    mean = (sum(pairs) + sum(invented) / 2) / count
    spread = sum((pair - mean) ** 2 for pair in pairs) + sum((pair - mean) ** 2 for pair in invented) / 2
    variance = spread / (count - 1)
    moments = _Moments(mean, variance / count, count - 1)
    return _difference(sum(pairs) / len(pairs), moments, len(pairs), True, math.sqrt(variance), confidence)


def unpaired_difference(
    scores: Sequence[float], others: Sequence[float], ratio: float = 1.0, confidence: float = 0.95
) -> Difference:
    """The same for scores and others of different prompts (Welch)."""
    one, other = _moments([*scores, 0.0, 1.0]), _moments([*others, 0.0, 1.0])
    parts = (one.variance, other.variance * ratio**2)
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / one.freedom + parts[1] ** 2 / other.freedom)
    mean = sum(scores) / len(scores) - ratio * sum(others) / len(others)
    count = min(len(scores), len(others))
    moments = _Moments(one.mean - ratio * other.mean, sum(parts), freedom)
    return _difference(mean, moments, count, False, math.sqrt(sum(parts) * count), confidence)


def _difference(
    mean: float, moments: _Moments, count: int, paired: bool, deviation: float, confidence: float
) -> Difference:
    reach = student(1 - (1 - confidence) / 2, moments.freedom) * math.sqrt(moments.variance)
    above, below = _tails(moments)
    return Difference(
        mean=mean,
        low=min(mean, moments.mean - reach),
        high=max(mean, moments.mean + reach),
        count=count,
        paired=paired,
        above=above,
        below=below,
        deviation=deviation,
    )


def holm(values: Sequence[float]) -> list[float]:
    """p-values of several tests, adjusted so that the chance of any false discovery is kept (Holm 1979)."""
    adjusted, largest = [0.0] * len(values), 0.0
    for rank, at in enumerate(sorted(range(len(values)), key=lambda one: values[one])):
        largest = max(largest, min(1.0, values[at] * (len(values) - rank)))
        adjusted[at] = largest
    return adjusted


@lru_cache(maxsize=4096)
def student(probability: float, freedom: float) -> float:
    """The quantile of Student's t distribution for a probability of one half or more."""
    # P(|T| > t) is the share below freedom / (freedom + t²) of a beta distribution.
    tail = 2 * (1 - probability)
    x = _inverse(lambda one: beta_share(one, freedom / 2, 0.5), tail)
    return math.sqrt(freedom * (1 - x) / max(x, _TINY))


def beta_share(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function: the share of a beta distribution of `a` and `b` below `x`."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    # The fraction converges fast on one side of the mean only; the other side is its mirror.
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_share(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    return front * _fraction(x, a, b) / a


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of the incomplete beta function, by Lentz's method (DLMF 8.17.22)."""
    c, d = 1.0, 1 / _off_zero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _STEPS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _off_zero(1 + term * d)
            c = _off_zero(1 + term / c)
            value *= c * d
        if abs(c * d - 1) < _CLOSE:
            break
    return value


def _off_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _inverse(rising: Callable[[float], float], wanted: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if rising(middle) < wanted:
            low = middle
        else:
            high = middle
        if high - low < _NEAR * high:
            break
    return (low + high) / 2


def _tails(moments: _Moments) -> tuple[float, float]:
    """The probability of so much or more, and of so little or less, where the truth is 0."""
    if moments.variance <= 0:
        return (0.0, 1.0) if moments.mean > 0 else (1.0, 0.0) if moments.mean < 0 else (0.5, 0.5)
    squared = moments.mean**2 / moments.variance
    tail = beta_share(moments.freedom / (moments.freedom + squared), moments.freedom / 2, 0.5) / 2
    return (tail, 1 - tail) if moments.mean >= 0 else (1 - tail, tail)


def _moments(values: Sequence[float]) -> _Moments:
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return _Moments(mean, variance / len(values), len(values) - 1)


def _are_binary(scores: Sequence[float]) -> bool:
    return all(score in {0.0, 1.0} for score in scores)
