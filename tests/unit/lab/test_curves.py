from __future__ import annotations

import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from router_service.lab.curves import curve

gains_of = st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0]), min_size=2, max_size=60)


@given(gains_of)
def test_a_random_ranking_recovers_half_of_the_area(gains: list[float]) -> None:
    assume(sum(gains) > 0)
    assert curve([0.0] * len(gains), gains).apgr == pytest.approx(0.5)


def test_random_scores_recover_half_on_average() -> None:
    draw = random.Random(0)
    gains = [float(draw.random() < 0.3) for _ in range(400)]
    areas = [curve([draw.random() for _ in gains], gains).apgr for _ in range(200)]
    assert sum(areas) / len(areas) == pytest.approx(0.5, abs=0.01)


@given(gains_of, st.randoms(use_true_random=False))
def test_no_ranking_beats_the_oracle(gains: list[float], draw: random.Random) -> None:
    assume(sum(gains) > 0)
    scores = [draw.choice([0.1, 0.5, 0.9]) for _ in gains]
    assert curve(scores, gains).apgr <= curve(gains, gains).apgr + 1e-9


@given(gains_of, st.randoms(use_true_random=False))
def test_the_order_of_the_prompts_does_not_matter(gains: list[float], draw: random.Random) -> None:
    assume(sum(gains) > 0)
    rows = [(draw.choice([0.1, 0.5]), gain) for gain in gains]
    shuffled = draw.sample(rows, len(rows))
    there, again = (curve(*map(list, zip(*one, strict=True))) for one in (rows, shuffled))
    assert there.apgr == pytest.approx(again.apgr)


def test_the_share_of_strong_calls_for_a_share_of_the_gap() -> None:
    drawn = curve([0.9, 0.8, 0.2, 0.1], [1.0, 0.0, 1.0, 0.0])
    assert (drawn.cpt(0.5), drawn.cpt(0.8), drawn.recovered) == (0.25, 0.75, (0.0, 0.5, 0.5, 1.0, 1.0))


def test_without_a_gap_there_is_no_curve() -> None:
    with pytest.raises(ValueError, match="not better"):
        curve([0.1, 0.2], [0.0, 0.0])
