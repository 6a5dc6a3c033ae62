"""Classifiers behind one protocol, and the judge that a policy makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from router_service.domain.classifier import HEURISTIC, LLM, Classification, LearnedWeights
from router_service.domain.decision import ComplexitySource, Signals
from router_service.routing.complexity import (
    COMPLEX,
    COMPLEX_FROM,
    MODERATE,
    MODERATE_FROM,
    SIMPLE,
    assess_complexity,
    complexity_parts,
)
from router_service.routing.excerpt import Excerpt
from router_service.routing.learned import Learned
from router_service.routing.reason import Reason

_TURNS_OF_A_SIMPLE_CONVERSATION = 10


class Classifier(Protocol):
    """Says how hard a prompt is, by itself and at once. A score from its thresholds up is moderate, or complex."""

    name: str
    moderate_from: float
    complex_from: float

    def score(self, said: Excerpt) -> float:
        """From 0 (simple) to 1 (complex); the same for the same prompt."""
        ...

    def reasons(self, said: Excerpt) -> tuple[Reason, ...]:
        """What moved the score, the strongest first."""
        ...


class Heuristic:
    """Judges by words, marks and length; see `routing.complexity`."""

    name = HEURISTIC
    moderate_from = MODERATE_FROM
    complex_from = COMPLEX_FROM

    def score(self, said: Excerpt) -> float:
        """Weights of what was found, 1 at most."""
        return assess_complexity(said)

    def reasons(self, said: Excerpt) -> tuple[Reason, ...]:
        """What was found."""
        found = [Reason(f"({name})", weight) for name, weight in complexity_parts(said) if weight]
        return tuple(sorted(found, key=lambda reason: -reason.weight))


@dataclass(frozen=True, slots=True)
class Judgement:
    """A tier with its score, who gave it, and why in words. `asks` names who is still to be asked, if anybody is."""

    tier: str
    score: float
    source: ComplexitySource
    classifier: str
    cause: str
    asks: str = ""


class Judge:
    """Has prompts judged as a policy wants it: by one classifier, in the uncertain band of its scores by another."""

    def __init__(self, settings: Classification, weights: Mapping[str, LearnedWeights]) -> None:
        self._settings = settings
        # Until a model has answered, and where none does, the heuristic stands in for it.
        self._first = _classifier(HEURISTIC if settings.use == LLM else settings.use, weights)
        self._then = _classifier(settings.then, weights) if settings.then not in ("", LLM) else None

    def judge(self, said: Excerpt) -> Judgement:
        """The tier. Where a model would have to be asked, the tier is the first classifier's until it has been."""
        first, settings = self._first, self._settings
        score = first.score(said)
        judgement = _judged(first, score, settings.moderate_from, settings.complex_from)
        if settings.use == LLM:
            return replace(judgement, asks=LLM, cause=f"{first.name}: {judgement.cause}")
        band = settings.band
        if band is None or not band[0] <= score <= band[1]:
            return judgement
        uncertain = f"{first.name} is uncertain between {band[0]:g} and {band[1]:g} ({score:.2f})"
        if self._then is None:
            return replace(judgement, asks=LLM, cause=f"{uncertain}; {judgement.cause}")
        second = _judged(self._then, self._then.score(said))
        return replace(second, cause=f"{uncertain}; {second.cause}")

    def reasons(self, said: Excerpt) -> tuple[Reason, ...]:
        """What moved the score of whoever judged."""
        judged_by = self._then if self._then is not None and self._then.name == self.judge(said).classifier else None
        return (judged_by or self._first).reasons(said)


def in_conversation(signals: Signals) -> Signals:
    """The signals, at least moderate after so many turns, whoever judged."""
    if signals.complexity != SIMPLE or signals.turns <= _TURNS_OF_A_SIMPLE_CONVERSATION:
        return signals
    return replace(
        signals,
        complexity=MODERATE,
        complexity_source=ComplexitySource.CONVERSATION,
        complexity_cause=f"{signals.complexity_cause}, but after more than {_TURNS_OF_A_SIMPLE_CONVERSATION} turns "
        "nothing is simple",
    )


def _classifier(name: str, weights: Mapping[str, LearnedWeights]) -> Classifier:
    return Heuristic() if name == HEURISTIC else Learned(weights[name])


def _judged(
    classifier: Classifier, score: float, moderate_from: float | None = None, complex_from: float | None = None
) -> Judgement:
    moderate = classifier.moderate_from if moderate_from is None else moderate_from
    hard = classifier.complex_from if complex_from is None else complex_from
    if score >= hard:
        tier, cause = COMPLEX, f"its score {score:.2f} is at least {hard:.2f}"
    elif score >= moderate:
        tier, cause = MODERATE, f"its score {score:.2f} is from {moderate:.2f} to below {hard:.2f}"
    else:
        tier, cause = SIMPLE, f"its score {score:.2f} is below {min(moderate, hard):.2f}"
    source = ComplexitySource.HEURISTIC if classifier.name == HEURISTIC else ComplexitySource.LEARNED
    return Judgement(tier, score, source, classifier.name, cause)
