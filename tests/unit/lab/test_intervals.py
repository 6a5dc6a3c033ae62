"""Intervals against published values, and whether they cover the truth as often as they say."""

from __future__ import annotations

import math
from random import Random

import pytest

from router_service.lab.intervals import (
    above_bar,
    beta_share,
    holm,
    mean_amount,
    mean_score,
    paired_difference,
    share,
    student,
    unpaired_difference,
)


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [(9, 10, 0.5550, 0.9975), (0, 20, 0.0, 0.1684), (20, 20, 0.8316, 1.0), (81, 263, 0.2527, 0.3676)],
)
def test_a_share_has_the_exact_interval(successes: int, count: int, low: float, high: float) -> None:
    found = share(successes, count)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("probability", "freedom", "quantile"),
    [(0.975, 1, 12.7062), (0.975, 10, 2.22814), (0.95, 4, 2.13185), (0.995, 30, 2.75), (0.975, 100_000, 1.95999)],
)
def test_quantiles_are_those_of_the_tables(probability: float, freedom: float, quantile: float) -> None:
    assert student(probability, freedom) == pytest.approx(quantile, rel=1e-5)


def test_the_beta_distribution_of_whole_numbers_is_a_sum_of_binomial_terms() -> None:
    for a, b in ((1, 1), (3, 5), (20, 4), (300, 700)):
        for x in (0.01, 0.3, 0.5, 0.9):
            count = a + b - 1
            terms = (math.comb(count, k) * x**k * (1 - x) ** (count - k) for k in range(a, count + 1))
            assert beta_share(x, a, b) == pytest.approx(sum(terms), abs=1e-10)


def test_all_right_is_not_certainly_perfect() -> None:
    assert mean_score([1.0] * 40).low < 0.92
    same = paired_difference([1.0] * 40, [1.0] * 40)
    assert same.low < 0 < same.high
    assert same.above == pytest.approx(0.5)
    assert mean_score([0.7] * 10).low < 0.7 < mean_score([0.7] * 10).high


def test_the_p_value_of_all_right_is_the_chance_of_it_at_the_bar() -> None:
    assert above_bar([1.0] * 30, 0.9).above == pytest.approx(0.9**30)
    assert above_bar([0.0] * 5, 0.9).below == pytest.approx(0.1**5)


def test_a_paired_difference_is_that_of_agresti_and_min() -> None:
    # 10 pairs right-wrong, 2 wrong-right, 28 alike: half a pair is added to each cell, n becomes 42.
    scores = [1.0] * 10 + [0.0] * 2 + [1.0] * 28
    others = [0.0] * 10 + [1.0] * 2 + [1.0] * 28
    found = paired_difference(scores, others)
    mean = (10.5 - 2.5) / 42
    variance = (13 - 42 * mean**2) / 41 / 42
    reach = student(0.975, 41) * math.sqrt(variance)
    assert found.mean == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((mean - reach, mean + reach))


def test_pairs_tell_what_groups_cannot() -> None:
    rng = Random(7)
    hard = [rng.random() for _ in range(80)]
    scores = [float(one < 0.6) for one in hard]
    better = [float(one < 0.72) for one in hard]
    assert paired_difference(better, scores).above < 0.005
    assert unpaired_difference(better, scores).above > 0.02


def test_holm_multiplies_by_the_hypotheses_that_are_left() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_amounts_have_no_upper_end() -> None:
    found = mean_amount([10.0, 20.0, 60.0])
    assert found.mean == 30
    assert found.low == 0
    assert found.high > 60
    assert mean_amount([5.0]).low == 5


def _graded(rng: Random, mean: float) -> float:
    """A score that a judge may give: in tenths, most of them high."""
    return round(10 * rng.betavariate(6 * mean, 6 * (1 - mean))) / 10


# Of 600 samples an interval of 95% misses 30; 18 more or less are chance, and being careful costs some width.
_SAMPLES = 600


@pytest.mark.parametrize(("count", "truth"), [(12, 0.9), (40, 0.8), (100, 0.97)])
def test_shares_cover_the_truth_at_their_rate(count: int, truth: float) -> None:
    rng = Random(count)
    missed = 0
    for _ in range(_SAMPLES):
        found = mean_score([float(rng.random() < truth) for _ in range(count)])
        missed += not found.low <= truth <= found.high
    assert missed <= 0.05 * _SAMPLES + 18


@pytest.mark.parametrize(("count", "wanted"), [(20, 0.85), (60, 0.7)])
def test_graded_scores_cover_the_truth_at_their_rate(count: int, wanted: float) -> None:
    rng = Random(count)
    truth = sum(_graded(rng, wanted) for _ in range(40_000)) / 40_000
    missed = 0
    for _ in range(_SAMPLES):
        found = mean_score([_graded(rng, wanted) for _ in range(count)])
        missed += not found.low <= truth <= found.high
    assert missed <= 0.05 * _SAMPLES + 18


@pytest.mark.parametrize(("count", "ratio"), [(25, 1.0), (25, 0.98), (120, 0.98)])
def test_differences_cover_the_truth_at_their_rate(count: int, ratio: float) -> None:
    rng = Random(count)
    truth, missed, loose = 0.8 - ratio * 0.9, 0, 0
    for _ in range(_SAMPLES):
        luck = [(rng.random(), rng.random()) for _ in range(count)]
        # Prompts that one gets wrong are more often than not hard for the other as well.
        scores = [float(one < 0.8) for one, _ in luck]
        others = [float((one if other < 0.5 else other * 2 - 1) < 0.9) for one, other in luck]
        found = paired_difference(scores, others, ratio)
        missed += not found.low <= truth <= found.high
        apart = unpaired_difference(scores, [float(rng.random() < 0.9) for _ in range(count)], ratio)
        loose += not apart.low <= truth <= apart.high
    assert missed <= 0.05 * _SAMPLES + 18
    # Nor is all of it caution.
    assert missed >= (10 if count > 100 else 1)
    assert loose <= 0.05 * _SAMPLES + 18
