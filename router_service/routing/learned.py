"""The learned classifier, in plain Python: linear models over words, pairs of words, the shape of a prompt, and ferns,
which see that shape as a whole. One says what the strong model gains, or two say how likely each model is right."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import copysign, exp, log, sqrt
from operator import getitem, mul
from typing import cast

from router_service.domain.classifier import LearnedWeights, Term
from router_service.routing.excerpt import Excerpt, is_east_asian, with_plain_signs, words_between_blanks, words_of
from router_service.routing.ferns import Ferns
from router_service.routing.reason import Reason
from router_service.routing.shape import SHAPE, shape_of

# Politeness is no part of the question: neither its words nor its length and marks count.
_FILLER = frozenset(["please", "kindly", "thanks", "thank", "hello", "hi", "hey", "quick"])
_POLITE = re.compile(
    r"\b(?:please|kindly|hello|hi|hey|thank you|thanks?)\b(?: (?:there|so much|very much|a lot|in advance))*[!,.]*\s*"
    r"|\bquick question\b[:,]?\s*|\b(?:can|could|would) you (?=please\b|kindly\b)"
)
_BEFORE_FILLER = len("could you ")
# Numbers are words: they tell arithmetic from talk. A single letter is none, but where one is a word by itself.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_]{2,}")
_LETTERS_AND_DIGITS = bytes(byte if byte > 127 or chr(byte).isalnum() else 32 for byte in range(256))
# What is asked stands at the beginning or the end, and time is short.
_FIRST, _LAST = 600, 200
_FURTHEST = 3.0
_FURTHEST_ODDS = 30.0
# The logistic curve that is closest to the share of a normal distribution below so many standard deviations.
_SLOPE = 1.702
_FREQUENCIES = (0.0, *(1.0 + log(count) for count in range(1, 257)))


def terms_of(said: Excerpt) -> Counter[Term]:
    """How often each word occurs, and each pair of neighbours.

    Of a long prompt the first 600 characters count and the last 200.
    """
    lower = said.lower
    if len(lower) > _FIRST + _LAST:
        lower = f"{lower[:_FIRST]}\n{lower[-_LAST:]}"
    plain = with_plain_signs(lower, str.isalnum)
    if plain is None or is_east_asian(lower):
        words = _WORD.findall(lower)
    else:
        words = [word for word in words_between_blanks(plain, _LETTERS_AND_DIGITS) if len(word) > 1]
    counted: Counter[Term] = Counter(words)
    counted.update(pairwise(words))
    return counted


def without_politeness(said: Excerpt) -> Excerpt:
    """The same request, bluntly."""
    if _FILLER.isdisjoint(said.words):
        return said
    lower = _bluntly(said.lower, _FILLER.intersection(said.words))
    return Excerpt(lower, lower, words_of(lower), said.length - len(said.lower) + len(lower))


def _bluntly(lower: str, filler: Iterable[str]) -> str:
    """The text without what is polite, which is looked for from the first word of filler to the last only.

    A search of the whole would be a quarter of what a long text takes.
    """
    first, last = min(map(lower.find, filler)), max(map(lower.rfind, filler))
    kept, end = [], 0
    for polite in _POLITE.finditer(lower, max(first - _BEFORE_FILLER, 0)):
        kept.append(lower[end : polite.start()])
        end = polite.end()
        if end > last:
            break
    kept.append(lower[end:])
    return "".join(kept).strip()


def frequency(count: int) -> float:
    """The sublinear weight of a term that occurs `count` times, from 1."""
    return _FREQUENCIES[count] if count < len(_FREQUENCIES) else 1.0 + log(count)


def scaled(figures: Sequence[float], scale: Sequence[tuple[float, float]]) -> list[float]:
    """Figures in standard deviations from the mean, at most three; `scale` is mean and spread of each."""
    return [
        away if -_FURTHEST <= (away := (figure - mean) / spread) <= _FURTHEST else copysign(_FURTHEST, away)
        for figure, (mean, spread) in zip(figures, scale, strict=True)
    ]


class Learned:
    """Scores prompts by weights that were learned; the same prompt and weights give the same score everywhere.

    Where there are two models, what is summed up is a complex number, the strong model's log-odds its real part and the
    weak one's its imaginary part: this takes less time than two sums do.
    """

    def __init__(self, weights: LearnedWeights) -> None:
        self.name = weights.name
        self.moderate_from = weights.moderate_from
        self.complex_from = weights.complex_from
        self._odds = weights.odds
        self._average = weights.average
        self._terms = cast("Mapping[Term, tuple[float, complex]]", weights.terms)
        if two := weights.odds is not None:
            self._terms = {term: (idf, complex(*both)) for term, (idf, *both) in weights.terms.items()}
        self._scale = tuple((figure[0], figure[1]) for figure in weights.shape)
        self._shape = tuple(complex(*figure[2:]) if two else figure[2] for figure in weights.shape)
        self._ferns = Ferns([fern.cuts for fern in weights.ferns], len(SHAPE))
        self._leaves: list[Sequence[complex]] = [
            tuple(map(complex, fern.weights, fern.weak)) if two else fern.weights for fern in weights.ferns
        ]
        self._spread = weights.spread

    def score(self, said: Excerpt) -> float:
        """From 0 to 1; the share of the prompts it learned from, about, that were less in need of a strong model."""
        return as_score(self.gain(said) / self._spread)

    def gain(self, said: Excerpt) -> float:
        """What the stronger model is expected to gain on the prompt, beyond what it gains on average."""
        said = without_politeness(said)
        dot: complex = 0.0
        squares = 0.0
        known = self._terms.get
        for term, count in terms_of(said).items():
            learned = known(term)
            if learned is not None:
                size = learned[0] if count == 1 else learned[0] * frequency(count)
                dot += size * learned[1]
                squares += size * size
        figures = shape_of(said)
        shape: complex = sum(map(mul, self._shape, scaled(figures, self._scale)))
        found = shape + self._together(figures) + (dot / sqrt(squares) if squares else 0.0)
        if self._odds is None:
            return found.real
        strong, weak = self._odds
        return as_chance(strong + found.real) - as_chance(weak + found.imag) - self._average

    def _together(self, figures: Sequence[float]) -> complex:
        """What the ferns make of the shape."""
        together: complex = sum(map(getitem, self._leaves, self._ferns.leaves(figures)))
        return together

    def reasons(self, said: Excerpt) -> tuple[Reason, ...]:
        """What moved the score, the strongest first, in standard deviations; all of them add up to `gain`."""
        said = without_politeness(said)
        found = _sizes(said, self._terms)
        norm = sqrt(sum(size * size for size, _ in found.values())) or 1.0
        parts: dict[str, complex] = {
            term if isinstance(term, str) else " ".join(term): size * weight / norm
            for term, (size, weight) in found.items()
        }
        figures = shape_of(said)
        single = zip(SHAPE, self._shape, scaled(figures, self._scale), strict=True)
        parts |= {f"({name})": weight * figure for name, weight, figure in single}
        if self._leaves:
            parts["(the figures together)"] = self._together(figures)
        reasons = [Reason(name, moved / self._spread) for name, moved in zip(parts, self._moved(parts), strict=True)]
        if self._odds is not None:
            of_none = as_chance(self._odds[0]) - as_chance(self._odds[1]) - self._average
            reasons.append(Reason("(a prompt of which nothing is known)", of_none / self._spread))
        return tuple(sorted(reasons, key=lambda reason: (-abs(reason.weight), reason.name)))

    def _moved(self, parts: Mapping[str, complex]) -> list[float]:
        """What each part adds to the gain. Of log-odds each counts by what all together move its model's chance."""
        if self._odds is None:
            return [part.real for part in parts.values()]
        every = sum(parts.values())
        up, down = _slope(self._odds[0], every.real), _slope(self._odds[1], every.imag)
        return [part.real * up - part.imag * down for part in parts.values()]


def as_chance(odds: float) -> float:
    """Log-odds as a chance, from 0 to 1."""
    return 1.0 / (1.0 + exp(-max(-_FURTHEST_ODDS, min(_FURTHEST_ODDS, odds))))


def as_score(deviations: float) -> float:
    """Standard deviations as a score from 0 to 1."""
    return 1.0 / (1.0 + exp(-_SLOPE * max(-20.0, min(20.0, deviations))))


def _slope(start: float, way: float) -> float:
    """By how much a chance rises for each unit of log-odds, on this way from `start`."""
    if abs(way) < 1e-9:
        return as_chance(start) * (1.0 - as_chance(start))
    return (as_chance(start + way) - as_chance(start)) / way


def _sizes(said: Excerpt, terms: Mapping[Term, tuple[float, complex]]) -> dict[Term, tuple[float, complex]]:
    return {
        term: (terms[term][0] * frequency(count), terms[term][1])
        for term, count in terms_of(said).items()
        if term in terms
    }
