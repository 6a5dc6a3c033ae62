"""The learned classifier, in plain Python: a linear model over words, pairs of words, the shape of a prompt, and ferns,
which see that shape as a whole."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import copysign, exp, log, sqrt
from operator import getitem, mul

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
    if plain is None or is_east_asian(plain):
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
    """Scores prompts by weights that were learned; the same prompt and weights give the same score everywhere."""

    def __init__(self, weights: LearnedWeights) -> None:
        self.name = weights.name
        self.moderate_from = weights.moderate_from
        self.complex_from = weights.complex_from
        self._terms = weights.terms
        self._scale = tuple((mean, spread) for mean, spread, _ in weights.shape)
        self._shape = tuple(weight for _, _, weight in weights.shape)
        self._ferns = Ferns([fern.cuts for fern in weights.ferns], len(SHAPE))
        self._leaves = [fern.weights for fern in weights.ferns]
        self._spread = weights.spread

    def score(self, said: Excerpt) -> float:
        """From 0 to 1; the share of the prompts it learned from, about, that were less in need of a strong model."""
        return as_score(self.gain(said) / self._spread)

    def gain(self, said: Excerpt) -> float:
        """What the stronger model is expected to gain on the prompt, beyond what it gains on average."""
        said = without_politeness(said)
        dot = squares = 0.0
        known = self._terms.get
        for term, count in terms_of(said).items():
            learned = known(term)
            if learned is not None:
                size = learned[0] if count == 1 else learned[0] * frequency(count)
                dot += size * learned[1]
                squares += size * size
        figures = shape_of(said)
        shape: float = sum(map(mul, self._shape, scaled(figures, self._scale)))
        return shape + self._together(figures) + (dot / sqrt(squares) if squares else 0.0)

    def _together(self, figures: Sequence[float]) -> float:
        """What the ferns make of the shape."""
        together: float = sum(map(getitem, self._leaves, self._ferns.leaves(figures)))
        return together

    def reasons(self, said: Excerpt) -> tuple[Reason, ...]:
        """What moved the score, the strongest first, in standard deviations; all of them add up to `gain`."""
        said = without_politeness(said)
        found = _sizes(said, self._terms)
        norm = sqrt(sum(size * size for size, _ in found.values())) or 1.0
        reasons = [
            Reason(term if isinstance(term, str) else " ".join(term), size * weight / norm / self._spread)
            for term, (size, weight) in found.items()
        ]
        figures = shape_of(said)
        single = zip(SHAPE, self._shape, scaled(figures, self._scale), strict=True)
        reasons += [Reason(f"({name})", weight * figure / self._spread) for name, weight, figure in single]
        if self._leaves:
            reasons.append(Reason("(the figures together)", self._together(figures) / self._spread))
        return tuple(sorted(reasons, key=lambda reason: (-abs(reason.weight), reason.name)))


def as_score(deviations: float) -> float:
    """Standard deviations as a score from 0 to 1."""
    return 1.0 / (1.0 + exp(-_SLOPE * max(-20.0, min(20.0, deviations))))


def _sizes(said: Excerpt, terms: Mapping[Term, tuple[float, float]]) -> dict[Term, tuple[float, float]]:
    return {
        term: (terms[term][0] * frequency(count), terms[term][1])
        for term, count in terms_of(said).items()
        if term in terms
    }
