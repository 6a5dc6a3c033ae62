"""Learns a classifier from prompts with outcomes: ridge regression on what the strong model gains, in plain Python.

Deterministic: the same prompts in the same order give the same weights. Some thousand prompts take seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import log, sqrt
from operator import itemgetter, mul

import msgspec

from router_service.config.router_file import FORMAT, RouterFile
from router_service.domain.classifier import LearnedWeights, Term
from router_service.routing.excerpt import Excerpt
from router_service.routing.learned import Learned, as_score, frequency, scaled_shape, terms_of, without_politeness
from router_service.routing.shape import SHAPE, shape_of

PENALTY = 12.0
_SHAPE_SCALE = 0.1
_STEPS, _ENOUGH = 80, 1e-4
_MODERATE_SHARE, _COMPLEX_SHARE = 0.5, 0.8

Row = tuple[tuple[int, ...], tuple[float, ...]]
"""Columns and values of one prompt, at least two."""


def learn(
    prompts: Sequence[Excerpt],
    gains: Sequence[float],
    *,
    name: str = "learned",
    penalty: float = PENALTY,
    least_prompts: int = 2,
    length_prior: float = 0.0,
) -> LearnedWeights:
    """Weights that tell prompts where the strong model gains more from those where it gains less.

    A term counts if it occurs in `least_prompts` prompts or more (from 2). `length_prior` adds so many standard
    deviations of score for each standard deviation of length, on top of what was learned. Half of the prompts are
    moderate by the thresholds, the highest fifth complex. Raises `ValueError` for fewer than two prompts.
    """
    if len(prompts) < 2:
        raise ValueError("at least two prompts are needed to learn from")
    encoder = Encoder(prompts, least_prompts)
    rows, first = encoder.rows, encoder.width - len(SHAPE)
    solved = ridge(rows, gains, encoder.width, penalty)
    shape_weights = [weight * _SHAPE_SCALE for weight in solved[first:]]
    spread = deviation([dot(row, solved) for row in rows]) or 1.0
    shape_weights[SHAPE.index("length")] += length_prior * spread
    terms = {term: (encoder.idf[term], solved[column]) for term, column in encoder.columns.items()}
    weights = _weights(name, terms, encoder.scale, shape_weights, spread, (0.5, 0.5))
    model = Learned(weights)
    gained = [model.gain(prompt) for prompt in prompts]
    spread = deviation(gained) or 1.0
    ranked = sorted(as_score(one / spread) for one in gained)
    thresholds = (ranked[int(_MODERATE_SHARE * len(ranked))], ranked[int(_COMPLEX_SHARE * len(ranked))])
    return _weights(name, terms, encoder.scale, shape_weights, spread, thresholds)


class Encoder:
    """Prompts as rows of numbers: first a column for each term, then one for each figure of shape."""

    def __init__(self, prompts: Sequence[Excerpt], least_prompts: int = 2) -> None:
        prompts = [without_politeness(prompt) for prompt in prompts]
        counted = [terms_of(prompt) for prompt in prompts]
        self.idf = _inverse_frequencies(counted, max(least_prompts, 2))
        self.scale = _scale([shape_of(prompt) for prompt in prompts])
        self.columns = {term: column for column, term in enumerate(self.idf)}
        self.width = len(self.columns) + len(SHAPE)
        self.rows = [self._row(*one) for one in zip(prompts, counted, strict=True)]

    def row(self, prompt: Excerpt) -> Row:
        """A prompt that need not be one of those."""
        prompt = without_politeness(prompt)
        return self._row(prompt, terms_of(prompt))

    def _row(self, prompt: Excerpt, counted: Counter[Term]) -> Row:
        known = [(self.columns[term], self.idf[term] * frequency(n)) for term, n in counted.items() if term in self.idf]
        norm = sqrt(sum(size * size for _, size in known)) or 1.0
        shape = [figure * _SHAPE_SCALE for figure in scaled_shape(prompt, self.scale)]
        columns = (*(column for column, _ in known), *range(len(self.columns), self.width))
        return columns, (*(size / norm for _, size in known), *shape)


def router_file(weights: LearnedWeights, about: Mapping[str, str]) -> bytes:
    """The file that policies name; `about` tells people where it came from."""
    terms = {
        term if isinstance(term, str) else " ".join(term): (round(idf, 3), round(weight, 5))
        for term, (idf, weight) in weights.terms.items()
    }
    file = RouterFile(
        format=FORMAT,
        about=dict(about),
        terms=dict(sorted(terms.items())),
        shape=[(round(mean, 5), round(spread, 5), round(weight, 6)) for mean, spread, weight in weights.shape],
        spread=round(weights.spread, 6),
        moderate_from=round(weights.moderate_from, 4),
        complex_from=round(weights.complex_from, 4),
    )
    return msgspec.json.format(msgspec.json.encode(file), indent=0) + b"\n"


def ridge(rows: Sequence[Row], targets: Sequence[float], width: int, penalty: float) -> list[float]:
    """The weights of `width` columns that fit the targets best, less their mean, under a penalty on their squares.

    By conjugate gradients. Every row has two entries or more.
    """
    mean = sum(targets) / len(targets)
    by_row = [_product(columns, values) for columns, values in rows]
    by_column = _transposed(rows, width)
    residual = [one([target - mean for target in targets]) for one in by_column]
    solved = [0.0] * width
    direction, size = residual, sum(map(mul, residual, residual))
    enough = size * _ENOUGH**2
    for _ in range(_STEPS):
        if size <= enough:
            break
        seen = [product(direction) for product in by_row]
        image = [one(seen) + penalty * own for one, own in zip(by_column, direction, strict=True)]
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


def dot(row: Row, vector: Sequence[float]) -> float:
    """What the weights of a vector make of a row."""
    return sum(value * vector[column] for column, value in zip(*row, strict=True))


def _inverse_frequencies(counted: Sequence[Counter[Term]], least_prompts: int) -> dict[Term, float]:
    prompts: Counter[Term] = Counter()
    for terms in counted:
        prompts.update(terms.keys())
    everything = 1 + len(counted)
    return {term: log(everything / (1 + count)) + 1 for term, count in prompts.items() if count >= least_prompts}


def _scale(shapes: Sequence[tuple[float, ...]]) -> tuple[tuple[float, float], ...]:
    scale = []
    for figures in zip(*shapes, strict=True):
        spread = deviation(figures)
        scale.append((sum(figures) / len(figures), spread if spread > 1e-9 else 1.0))
    return tuple(scale)


def deviation(values: Sequence[float]) -> float:
    """The standard deviation."""
    mean = sum(values) / len(values)
    return sqrt(sum((value - mean) ** 2 for value in values) / len(values))


def _weights(
    name: str,
    terms: Mapping[Term, tuple[float, float]],
    scale: tuple[tuple[float, float], ...],
    shape_weights: Sequence[float],
    spread: float,
    thresholds: tuple[float, float],
) -> LearnedWeights:
    return LearnedWeights(
        name=name,
        terms=terms,
        shape=tuple((*one, weight) for one, weight in zip(scale, shape_weights, strict=True)),
        spread=spread,
        moderate_from=thresholds[0],
        complex_from=thresholds[1],
    )
