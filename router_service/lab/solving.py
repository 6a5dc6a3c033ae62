"""Fits linear models to rows of numbers, most of which are absent: by least squares, and as log-odds of a chance.

In plain Python and deterministic: the same rows in the same order give the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp, log, log1p
from operator import itemgetter, mul

from router_service.routing.learned import as_chance

Row = tuple[tuple[int, ...], tuple[float, ...]]
"""Columns and values of one prompt, at least two."""

_STEPS, _ENOUGH = 80, 1e-4
_NEWTON_STEPS, _NEWTON_ENOUGH, _ROUGHLY = 12, 1e-3, 0.1
_SHARES_OF_A_STEP = tuple(0.5**halvings for halvings in range(20))
# The level of log-odds is a column of these, so large that it hardly pays the penalty.
_LEVEL = 10.0
_LEAST_CHANCE = 1e-3


def ridge(rows: Sequence[Row], targets: Sequence[float], width: int, penalty: float) -> list[float]:
    """The weights of `width` columns that fit the targets best, less their mean, under a penalty on their squares.

    By conjugate gradients. Every row has two entries or more.
    """
    mean = sum(targets) / len(targets)
    table = _Table(rows, width)
    along = table.summed([target - mean for target in targets])
    return table.solved(along, [1.0] * len(rows), penalty, _ENOUGH)


def log_odds(rows: Sequence[Row], scores: Sequence[float], width: int, penalty: float) -> tuple[list[float], float]:
    """The weights of `width` columns, and a level, whose sum is the log-odds of a good answer: logistic regression
    under a penalty on the squares of the weights. Scores are from 0 to 1, and may lie between.

    By Newton's method, whose steps are solved for roughly, and halved until they lead down: where a score is almost
    always the same the curve is so flat at first that a whole step leads far beyond.
    """
    table = _Table([((*columns, width), (*values, _LEVEL)) for columns, values in rows], width + 1)
    mean = max(_LEAST_CHANCE, min(1.0 - _LEAST_CHANCE, sum(scores) / len(scores)))
    weights = [0.0] * width + [log(mean / (1.0 - mean)) / _LEVEL]
    odds = table.seen(weights)
    loss = _loss(odds, scores, weights, penalty)
    enough = 0.0
    for _ in range(_NEWTON_STEPS):
        chances = [as_chance(one) for one in odds]
        missing = table.summed([score - chance for score, chance in zip(scores, chances, strict=True)])
        uphill = [one - penalty * own for one, own in zip(missing, weights, strict=True)]
        size = sum(map(mul, uphill, uphill))
        enough = enough or size * _NEWTON_ENOUGH**2
        if size <= enough:
            break
        step = table.solved(uphill, [chance * (1.0 - chance) for chance in chances], penalty, _ROUGHLY)
        ahead = table.seen(step)
        for share in _SHARES_OF_A_STEP:
            tried = [one + share * more for one, more in zip(weights, step, strict=True)]
            odds_there = [one + share * more for one, more in zip(odds, ahead, strict=True)]
            loss_there = _loss(odds_there, scores, tried, penalty)
            if loss_there < loss:
                break
        else:
            break
        weights, odds, loss = tried, odds_there, loss_there
    return weights[:width], weights[width] * _LEVEL


def _loss(odds: Sequence[float], scores: Sequence[float], weights: Sequence[float], penalty: float) -> float:
    """What is to be least: less the log-likelihood of the scores, and half the penalty."""
    unlikely = sum(max(one, 0.0) + log1p(exp(-abs(one))) - score * one for one, score in zip(odds, scores, strict=True))
    squares: float = sum(map(mul, weights, weights))
    return unlikely + penalty / 2 * squares


def dot(row: Row, vector: Sequence[float]) -> float:
    """What the weights of a vector make of a row."""
    return sum(value * vector[column] for column, value in zip(*row, strict=True))


class _Table:
    """Rows, by row and by column."""

    def __init__(self, rows: Sequence[Row], width: int) -> None:
        self._rows = [_product(columns, values) for columns, values in rows]
        self._columns = _transposed(rows, width)

    def seen(self, weights: Sequence[float]) -> list[float]:
        """What the weights make of each row."""
        return [product(weights) for product in self._rows]

    def summed(self, of_rows: Sequence[float]) -> list[float]:
        """For each column the sum of its values, each times the number of its row."""
        return [product(of_rows) for product in self._columns]

    def solved(self, along: list[float], curvature: Sequence[float], penalty: float, enough: float) -> list[float]:
        """The weights for which `summed(curvature * seen(weights)) + penalty * weights` is `along`, but for a share
        `enough` of its length. By conjugate gradients.
        """
        solved = [0.0] * len(along)
        residual = direction = along
        size = sum(map(mul, residual, residual))
        least = size * enough**2
        for _ in range(_STEPS):
            if size <= least:
                break
            summed = self.summed(list(map(mul, self.seen(direction), curvature)))
            image = [one + penalty * own for one, own in zip(summed, direction, strict=True)]
            step = size / sum(map(mul, direction, image))
            solved = [one + step * along for one, along in zip(solved, direction, strict=True)]
            residual = [one - step * along for one, along in zip(residual, image, strict=True)]
            before, size = size, sum(map(mul, residual, residual))
            direction = [one + size / before * along for one, along in zip(residual, direction, strict=True)]
        return solved


_Product = Callable[[Sequence[float]], float]


def _product(indices: Sequence[int], values: Sequence[float]) -> _Product:
    if len(indices) < 2:
        return lambda vector: sum(value * vector[index] for index, value in zip(indices, values, strict=True))
    pick = itemgetter(*indices)
    return lambda vector: sum(map(mul, values, pick(vector)))


def _transposed(rows: Sequence[Row], width: int) -> list[_Product]:
    found: list[tuple[list[int], list[float]]] = [([], []) for _ in range(width)]
    for number, (columns, values) in enumerate(rows):
        for column, value in zip(columns, values, strict=True):
            found[column][0].append(number)
            found[column][1].append(value)
    return [_product(*one) for one in found]
