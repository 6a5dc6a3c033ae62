from __future__ import annotations

import random

import pytest

from router_service.lab.solving import Row, dot, log_odds, ridge
from router_service.routing.learned import as_chance


def rows_of(count: int) -> list[Row]:
    draw = random.Random(0)
    return [((0, 1, 2), tuple(draw.random() for _ in range(3))) for _ in range(count)]


def test_ridge_solves_the_normal_equations() -> None:
    rows = rows_of(50)
    targets = [2 * values[0] - values[2] for _, values in rows]
    solved = ridge(rows, targets, 3, 0.5)
    mean = sum(targets) / len(targets)
    for column in range(3):
        slope = sum(
            row[1][column] * (target - mean - dot(row, solved)) for row, target in zip(rows, targets, strict=True)
        )
        assert slope == pytest.approx(0.5 * solved[column], abs=1e-3)


def test_log_odds_leave_no_slope_but_the_penaltys() -> None:
    rows = rows_of(80)
    scores = [float(values[0] > values[2]) if values[1] > 0.2 else 0.4 for _, values in rows]
    solved, level = log_odds(rows, scores, 3, 0.5)
    missing = [score - as_chance(level + dot(row, solved)) for row, score in zip(rows, scores, strict=True)]
    assert sum(missing) == pytest.approx(0.0, abs=0.02), "the level pays hardly any penalty"
    for column in range(3):
        slope = sum(row[1][column] * one for row, one in zip(rows, missing, strict=True))
        assert slope == pytest.approx(0.5 * solved[column], abs=0.02)
    assert solved[0] > 1
    assert solved[2] < -1


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_a_model_that_is_always_or_never_right_has_a_level_and_no_more(score: float) -> None:
    solved, level = log_odds(rows_of(30), [score] * 30, 3, 1.0)
    assert abs(as_chance(level) - score) < 0.05
    assert max(map(abs, solved)) < 0.5


@pytest.mark.parametrize("count", [1000, 2000, 3000])
def test_a_model_that_fails_on_one_kind_of_prompt_alone_is_learned(count: int) -> None:
    failing = count // 20
    rows: list[Row] = [((0, 1), (1.0, 0.0) if one < failing else (0.0, 1.0)) for one in range(count)]
    (fails, serves), level = log_odds(rows, [float(one >= failing) for one in range(count)], 2, 3.0)
    assert level == pytest.approx(1.5, abs=0.1)
    assert as_chance(level + fails) < 0.2
    assert as_chance(level + serves) > 0.95
