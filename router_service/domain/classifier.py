"""How a policy has complexity judged, and what a learned classifier knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from router_service.domain.asking import Asking

HEURISTIC, LEARNED, LLM = "heuristic", "learned", "llm"

Term = str | tuple[str, str]
"""A word in lower case, or two that follow each other; a number is a word too."""

Cut = tuple[int, float]
"""A question about a prompt: whether the figure at this place of its shape is above this value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fern:
    """Questions that are asked at once. The answer to the first is the lowest bit of the number of a leaf; `weights`
    holds a weight for each leaf, and `weak` those of the weak model where there are two.
    """

    cuts: tuple[Cut, ...]
    weights: tuple[float, ...]
    weak: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """Which classifier judges the calls of a policy: "heuristic", "learned", "llm", or the name of a router file.

    A score within `band` (both ends inclusive) is not believed: `then` judges instead. Thresholds that are `None` are
    the classifier's own: a score from `moderate_from` is moderate, from `complex_from` complex.

    `asking` says which models "llm" is, `prompt` what they are told beyond the labels, and `remembered` how many of
    their labels a process keeps.
    """

    use: str = HEURISTIC
    band: tuple[float, float] | None = None
    then: str = ""
    moderate_from: float | None = None
    complex_from: float | None = None
    asking: Asking | None = None
    prompt: str = ""
    remembered: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedWeights:
    """What a stronger model gains on a prompt, over the cheaper one.

    `terms` maps a term to its inverse document frequency and its weight; `shape` is mean, spread and weight for each
    of `routing.shape.SHAPE`, in that order; `ferns` weigh these figures taken together. Without `odds` their sum is the
    gain. With `odds` each weight is followed by a second: the sums are then log-odds of a good answer, of the strong
    model and of the weak one, over these two levels, and the gain is the difference of the chances, less its `average`.

    The gain divided by `spread` counts in standard deviations of the prompts that it was learned from, and becomes a
    score from 0 to 1. `digest` is of the file.
    """

    name: str
    terms: Mapping[Term, tuple[float, ...]]
    shape: tuple[tuple[float, ...], ...]
    spread: float
    moderate_from: float
    complex_from: float
    ferns: tuple[Fern, ...] = ()
    odds: tuple[float, float] | None = None
    average: float = 0.0
    digest: str = ""
