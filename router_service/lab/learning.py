"""Learns a classifier from prompts with outcomes, in plain Python.

Where both models' scores are known, a logistic regression for each says how likely its answer is good; where only gains
are, a ridge regression says how large they are. Deterministic: the same prompts in the same order give the same
weights. Some thousand prompts take seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import log, sqrt
from operator import add

import msgspec

from router_service.config.router_file import FORMAT, FernShape, RouterFile
from router_service.domain.classifier import Fern, LearnedWeights, Term
from router_service.lab.planting import planted
from router_service.lab.solving import Row, log_odds, ridge
from router_service.routing.excerpt import Excerpt
from router_service.routing.ferns import Ferns
from router_service.routing.learned import Learned, as_score, frequency, scaled, terms_of, without_politeness
from router_service.routing.shape import SHAPE, shape_of

_MODERATE_SHARE, _COMPLEX_SHARE = 0.5, 0.8
# Gains that differ less do not differ: six digits of a spread are written, and none may be 0.
_LEAST_SPREAD = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaning:
    """How far to trust what: a penalty on all weights, and how large a figure of shape and the ferns are beside words.

    What is large pays less of the penalty for the same effect. `ferns` is how many there are.
    """

    penalty: float
    shape: float = 0.1
    ferns: int = 0
    together: float = 0.0


def leaning_for(count: int) -> Leaning:
    """What is best for so many prompts: the fewer there are, the less a word says of its own."""
    return next(leaning for most, leaning in _LEANINGS if count < most)


def leaning_of_chances(count: int) -> Leaning:
    """The same for two models' chances, whose penalty suits any number of prompts."""
    return next(leaning for most, leaning in _LEANINGS_OF_CHANCES if count < most)


_LEANINGS: tuple[tuple[float, Leaning], ...] = (
    (1000, Leaning(penalty=12.0)),
    (3000, Leaning(penalty=12.0, ferns=128, together=1.0)),
    (float("inf"), Leaning(penalty=10.0, shape=0.05, ferns=128, together=0.5)),
)
_LEANINGS_OF_CHANCES: tuple[tuple[float, Leaning], ...] = (
    (1000, Leaning(penalty=3.0)),
    (3000, Leaning(penalty=3.0, ferns=128, together=0.5)),
    (float("inf"), Leaning(penalty=3.0, shape=0.05, ferns=128, together=0.5)),
)


def learn(
    prompts: Sequence[Excerpt],
    gains: Sequence[float],
    *,
    name: str = "learned",
    leaning: Leaning | None = None,
    least_prompts: int = 2,
) -> LearnedWeights:
    """Weights that tell prompts where the strong model gains more from those where it gains less, by the gains alone.

    A term counts if it occurs in `least_prompts` prompts or more (from 2). `leaning` is by default what suits so many
    prompts. Half of the prompts are moderate by the thresholds, the highest fifth complex.
    Raises `ValueError` for fewer than two prompts.
    """
    if len(prompts) < 2:
        raise ValueError("at least two prompts are needed to learn from")
    leaning = leaning or leaning_for(len(prompts))
    encoder = Encoder(prompts, least_prompts, leaning)
    solved = ridge(encoder.rows, gains, encoder.width, leaning.penalty)
    return measured(encoder.weights(name, [solved]), prompts)


def learn_both(
    prompts: Sequence[Excerpt],
    weak: Sequence[float | None],
    strong: Sequence[float | None],
    *,
    name: str = "learned",
    leaning: Leaning | None = None,
) -> LearnedWeights:
    """Weights that say how likely the weak model's answer is good, and the strong one's; the gain is the difference.

    Prompts where both fail, or neither does, gain little, which no sum of words can tell. Scores may be on any scale,
    and `None` where a model's is not known: each model is learned from its own. Thresholds are as those of `learn`.
    Raises `ValueError` for fewer than two prompts, and where a model has no score.
    """
    if len(prompts) < 2:
        raise ValueError("at least two prompts are needed to learn from")
    leaning = leaning or leaning_of_chances(len(prompts))
    encoder = Encoder(prompts, 2, leaning)
    known = [
        [(row, score) for row, score in zip(encoder.rows, scores, strict=True) if score is not None]
        for scores in (strong, weak)
    ]
    if not all(known):
        raise ValueError("a model without any score cannot be learned")
    (ups, up), (downs, down) = (
        log_odds([row for row, _ in of], scores, encoder.width, leaning.penalty)
        for of, scores in zip(known, _from_0_to_1([[score for _, score in of] for of in known]), strict=True)
    )
    weights = replace(encoder.weights(name, [ups, downs]), odds=(up, down))
    model = Learned(weights)
    return measured(replace(weights, average=sum(map(model.gain, prompts)) / len(prompts)), prompts)


def _from_0_to_1(models: Sequence[Sequence[float]]) -> Iterator[list[float]]:
    """Scores from 0, the worst of any model's, to 1, the best."""
    worst, best = min(map(min, models)), max(map(max, models))
    for scores in models:
        yield [(score - worst) / ((best - worst) or 1.0) for score in scores]


def measured(weights: LearnedWeights, prompts: Sequence[Excerpt]) -> LearnedWeights:
    """The same with a spread and thresholds of these prompts: half of them moderate, the highest fifth complex."""
    model = Learned(weights)
    gained = [model.gain(prompt) for prompt in prompts]
    spread = max(deviation(gained), _LEAST_SPREAD)
    ranked = sorted(as_score(one / spread) for one in gained)
    return replace(
        weights,
        spread=spread,
        moderate_from=ranked[int(_MODERATE_SHARE * len(ranked))],
        complex_from=ranked[int(_COMPLEX_SHARE * len(ranked))],
    )


class Encoder:
    """Prompts as rows of numbers: a column for each term, then one for each figure of shape and each leaf of a fern."""

    def __init__(self, prompts: Sequence[Excerpt], least_prompts: int, leaning: Leaning) -> None:
        prompts = [without_politeness(prompt) for prompt in prompts]
        counted, shapes = [terms_of(prompt) for prompt in prompts], [shape_of(prompt) for prompt in prompts]
        self._leaning = leaning
        self._idf = _inverse_frequencies(counted, max(least_prompts, 2))
        self._scale = _scale(shapes)
        self._columns = {term: column for column, term in enumerate(self._idf)}
        self._leaves = Leaves(shapes, leaning, len(self._columns) + len(SHAPE))
        self.width = self._leaves.starts[-1]
        self.rows = [self._row(*one) for one in zip(counted, shapes, strict=True)]

    def row(self, prompt: Excerpt) -> Row:
        """A prompt that need not be one of those."""
        prompt = without_politeness(prompt)
        return self._row(terms_of(prompt), shape_of(prompt))

    def weights(self, name: str, sides: Sequence[Sequence[float]]) -> LearnedWeights:
        """What was solved for the columns, of one or two sides, as a classifier's weights."""
        first = len(self._columns)
        shapes = [[weight * self._leaning.shape for weight in side[first : first + len(SHAPE)]] for side in sides]
        return LearnedWeights(
            name=name,
            terms={
                term: (self._idf[term], *(side[column] for side in sides)) for term, column in self._columns.items()
            },
            shape=tuple((*one, *weights) for one, weights in zip(self._scale, zip(*shapes, strict=True), strict=True)),
            ferns=self._leaves.weights(sides),
            spread=1.0,
            moderate_from=0.5,
            complex_from=0.5,
        )

    def _row(self, counted: Counter[Term], figures: Sequence[float]) -> Row:
        idf, first = self._idf, len(self._columns)
        known = [(self._columns[term], idf[term] * frequency(n)) for term, n in counted.items() if term in idf]
        norm = sqrt(sum(size * size for _, size in known)) or 1.0
        shape = [figure * self._leaning.shape for figure in scaled(figures, self._scale)]
        columns = (*(column for column, _ in known), *range(first, first + len(SHAPE)), *self._leaves.columns(figures))
        return columns, (*(size / norm for _, size in known), *shape, *self._leaves.values)


class Leaves:
    """Figures as columns of ferns that are planted among them: in each fern one leaf, from column `first` on."""

    def __init__(self, figures: Sequence[Sequence[float]], leaning: Leaning, first: int) -> None:
        self.cuts = planted(figures, leaning.ferns)
        self.starts = list(accumulate((1 << len(cuts) for cuts in self.cuts), initial=first))
        self.values = (leaning.together / sqrt(leaning.ferns or 1),) * leaning.ferns
        self._ferns = Ferns(self.cuts, len(figures[0]))

    def columns(self, figures: Sequence[float]) -> Iterator[int]:
        """A column for each fern; what stands in it is in `values`."""
        return map(add, self.starts, self._ferns.leaves(figures))

    def weights(self, sides: Sequence[Sequence[float]]) -> tuple[Fern, ...]:
        """The ferns, with what was solved for their columns, of one or two sides."""
        ferns = []
        for start, cuts in zip(self.starts, self.cuts, strict=False):
            leaves = slice(start, start + (1 << len(cuts)))
            strong, *weak = (tuple(self.values[0] * one for one in side[leaves]) for side in sides)
            ferns.append(Fern(cuts=cuts, weights=strong, weak=weak[0] if weak else ()))
        return tuple(ferns)


def router_file(weights: LearnedWeights, about: Mapping[str, str]) -> bytes:
    """The file that policies name; `about` tells people where it came from."""
    terms = {
        term if isinstance(term, str) else " ".join(term): (round(idf, 3), *(round(one, 5) for one in learned))
        for term, (idf, *learned) in weights.terms.items()
    }
    file = RouterFile(
        format=FORMAT,
        about=dict(about),
        terms=dict(sorted(terms.items())),
        shape=[
            (round(mean, 5), round(spread, 5), *(round(one, 6) for one in learned))
            for mean, spread, *learned in weights.shape
        ],
        ferns=[
            FernShape(
                cuts=list(fern.cuts),
                weights=[round(weight, 6) for weight in fern.weights],
                weak=[round(weight, 6) for weight in fern.weak],
            )
            for fern in weights.ferns
        ],
        odds=weights.odds and (round(weights.odds[0], 6), round(weights.odds[1], 6)),
        average=round(weights.average, 6),
        spread=round(weights.spread, 6),
        moderate_from=round(weights.moderate_from, 4),
        complex_from=round(weights.complex_from, 4),
    )
    return msgspec.json.format(msgspec.json.encode(file), indent=0) + b"\n"


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
