"""The rising map from a measure to how often it was right."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_service.lab.isotonic import isotonic
from router_service.lab.outcomes import Outcome, OutcomesError, paired
from router_service.lab.train import fitted

LABELS = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=200)


def test_what_rises_stays_and_what_falls_is_pooled() -> None:
    assert isotonic([0.1, 0.2, 0.3, 0.4], [0, 1, 0, 1]) == [
        (pytest.approx(0.1), 0.0),
        (pytest.approx(0.25), 0.5),
        (pytest.approx(0.4), 1.0),
    ]


def test_equal_measures_cannot_be_told_apart() -> None:
    assert isotonic([0.5, 0.5, 0.5, 0.9], [0, 1, 0, 1]) == [(0.5, pytest.approx(1 / 3)), (0.9, 1.0)]


def test_a_measure_that_misleads_says_nothing() -> None:
    assert isotonic([0.1, 0.2, 0.3], [1, 0.5, 0]) == [(pytest.approx(0.2), 0.5)]
    assert isotonic([], []) == []


@given(LABELS)
def test_it_rises_in_few_points_and_keeps_the_mean(labels: list[tuple[float, float]]) -> None:
    points = isotonic([one for one, _ in labels], [one for _, one in labels])
    assert len(points) <= 50
    assert all(left < right or low < high for (left, low), (right, high) in itertools.pairwise(points))
    assert all(low <= high + 1e-12 for (_, low), (_, high) in itertools.pairwise(points))
    assert all(-1e-12 <= number <= 1 + 1e-12 for point in points for number in point)


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=8))
def test_no_rising_map_of_tenths_fits_better(outcomes: list[float]) -> None:
    points = isotonic(list(range(len(outcomes))), outcomes)
    blocks = _spread(points, outcomes)
    best = sum((one - other) ** 2 for one, other in zip(blocks, outcomes, strict=True))
    levels = [0.0, 0.25, 0.5, 0.75, 1.0]
    for rising in itertools.combinations_with_replacement(levels, len(outcomes)):
        assert best <= sum((one - other) ** 2 for one, other in zip(rising, outcomes, strict=True)) + 1e-9


def _spread(points: list[tuple[float, float]], outcomes: list[float]) -> list[float]:
    """The level at each place: a block around its mean place has as many places on both sides."""
    levels: list[float] = []
    for measure, outcome in points:
        count = round(2 * (measure - len(levels)) + 1)
        levels += [outcome] * count
    assert len(levels) == len(outcomes)
    return levels


def labelled(count: int, **more: float) -> list[Outcome]:
    return [
        Outcome(
            prompt=f"p{number}",
            outcomes={"s": float(number * 2 >= count), "l": 1.0, **more},
            confidence={"s": number / count},
        )
        for number in range(count)
    ]


def test_a_pair_that_says_how_sure_it_was_gives_a_calibration() -> None:
    points = fitted(paired(labelled(200), "s", "l"))
    assert [score for _, score in points] == [0.0, 1.0]
    assert points[0][0] < 0.5 <= points[1][0]


def test_few_labels_and_other_scales_are_refused() -> None:
    assert fitted(paired([Outcome(prompt=f"p{at}", outcomes={"s": 0.0, "l": 1.0}) for at in range(9)])) == []
    with pytest.raises(OutcomesError, match="too few"):
        fitted(paired(labelled(50), "s", "l"))
    with pytest.raises(OutcomesError, match="from 0 to 1"):
        fitted(paired(labelled(200, s=7.0), "s", "l"))
