from __future__ import annotations

import random

import pytest

from router_service.lab.calibration import calibrate, kept_at, read_off


def labelled(draw: random.Random, count: int) -> tuple[list[float], list[float], list[float]]:
    """The weak model fails on prompts with high scores, the strong one on few."""
    scores = [draw.random() for _ in range(count)]
    weak = [float(draw.random() < 0.95 - 0.6 * score) for score in scores]
    strong = [float(draw.random() < 0.9) for _ in scores]
    return scores, weak, strong


def missed(promise: float, *, calibrated: bool) -> tuple[float, float]:
    """The share of draws that miss the promise on very many fresh prompts, and the mean share of strong calls."""
    draw = random.Random(7)
    rest = labelled(draw, 20_000)
    seen = []
    for _ in range(200):
        known = labelled(draw, 1000)
        found = calibrate(*known, keep=promise) if calibrated else read_off(*known, keep=promise)
        seen.append(kept_at(found.threshold, *rest))
    return sum(one.kept < promise for one in seen) / len(seen), sum(one.strong_share for one in seen) / len(seen)


def test_the_promise_is_kept_as_often_as_stated() -> None:
    share, strong = missed(0.95, calibrated=True)
    assert share <= 0.05
    assert strong < 0.95


def test_a_threshold_read_off_the_curve_is_wrong_half_of_the_time() -> None:
    share, _ = missed(0.95, calibrated=False)
    assert 0.3 < share < 0.7


def test_a_weak_model_that_is_as_good_takes_every_call() -> None:
    scores = [one / 100 for one in range(100)]
    found = calibrate(scores, [1.0] * 100, [1.0] * 100, keep=0.98)
    assert (found.threshold, found.strong_share, found.kept) == (float("inf"), 0.0, 1.0)


def test_a_weak_model_that_is_useless_takes_none() -> None:
    scores = [one / 100 for one in range(100)]
    found = calibrate(scores, [0.0] * 100, [1.0] * 100, keep=0.999)
    assert (found.threshold, found.strong_share) == (float("-inf"), 1.0)


def test_prompts_with_the_same_score_are_not_parted() -> None:
    draw = random.Random(3)
    scores = [draw.choice([0.2, 0.4, 0.8]) for _ in range(500)]
    weak = [float(score < 0.5) for score in scores]
    found = calibrate(scores, weak, [1.0] * 500, keep=0.95)
    assert found.threshold == 0.8
    assert kept_at(found.threshold, scores, weak, [1.0] * 500).strong_share == found.strong_share


def test_more_confidence_asks_the_strong_model_more() -> None:
    known = labelled(random.Random(1), 1000)
    sure, surer = (calibrate(*known, keep=0.95, confidence=one).strong_share for one in (0.8, 0.999))
    assert surer > sure


def test_too_few_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="29 labelled prompts are too few"):
        calibrate([0.1] * 29, [1.0] * 29, [1.0] * 29, keep=0.9)
