"""Trains the classifier that ships with the package; the same data gives the same file.

python -m benchmarks.routing.train_default FOLDER
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from pathlib import Path
from statistics import mean

import router_service
from benchmarks.routing.data import Known, training_set
from router_service.domain.classifier import LearnedWeights, Term
from router_service.lab.learning import Leaning, learn, measured, router_file
from router_service.routing.complexity import WORK_WORDS
from router_service.routing.excerpt import Excerpt, excerpt
from router_service.routing.shape import SHAPE

FILE = Path(router_service.__file__).parent / "classifiers" / "default.json"
# The general models among the nine that run cheaply, and those that are better. The rest write code or read documents.
GENERAL = ("mistral-7b-instruct-v0.3", "gemma-2-9b-it", "llama-3.1-8b-instruct", "qwen2.5-7b-instruct")
STRONGER = ("llama-3.1-nemotron-51b-instruct", "llama-3.3-nemotron-super-49b-v1")
# Whose gain is learned. The fourth is left out since it made MT-Bench worse; see docs/adr/0028.
WEAKER = GENERAL[:3]
# What makes one step of several.
_STEP_WORDS = frozenset([
    "then", "each", "every", "after", "before", "first", "next", "than", "more", "less", "twice", "half", "times",
    "total", "altogether", "remaining", "left", "if", "when", "while", "until",
])  # fmt: skip
LEAST_PROMPTS = 3
ABOUT = {
    "data": "per-prompt scores of nine models from ulab-uiuc/LLMRouter (MIT License, Copyright (c) 2024 U Lab @UIUC)",
    "without": "every prompt that occurs in the results of lm-sys/RouteLLM, or shares thirteen words in a row with one",
    "target": "mean score of two models of about 50B parameters less that of three of 7 to 9B",
    "method": "ridge regression on words, pairs of words (sublinear TF-IDF) and the prompt's shape; length and the "
    "heuristic's words of work count more by a prior; see docs/routing-quality.md",
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a default is made. Of a task's mean gain the share `centred` is taken off its prompts' gains.

    The prior is in standard deviations of what was learned: `length` for each standard deviation of length, `words` for
    a prompt that has nothing but words of work.
    """

    centred: float
    leaning: Leaning
    length: float
    words: float


# Not the best of `choose_default`, which failed where traffic is mixed. See docs/adr/0028.
RECIPE = Recipe(centred=0.0, leaning=Leaning(penalty=20.0), length=0.25, words=1.0)


def gains_of(rows: Sequence[Known], weaker: Sequence[str], stronger: Sequence[str], centred: float) -> list[float]:
    """What the stronger models gain on each prompt over the weaker ones, on average, beside its task's mean."""
    gains = [mean(row.scores[one] for one in stronger) - mean(row.scores[one] for one in weaker) for row in rows]
    by_task: defaultdict[str, list[float]] = defaultdict(list)
    for row, gain in zip(rows, gains, strict=True):
        by_task[row.task].append(gain)
    means = {task: mean(seen) for task, seen in by_task.items()}
    return [gain - centred * means[row.task] for row, gain in zip(rows, gains, strict=True)]


def learned(said: Sequence[Excerpt], gains: Sequence[float], recipe: Recipe) -> LearnedWeights:
    """What the prompts tell, without the prior."""
    return learn(said, gains, leaning=recipe.leaning, least_prompts=LEAST_PROMPTS)


def with_prior(weights: LearnedWeights, prompts: int, recipe: Recipe) -> LearnedWeights:
    """The same with the prior on top; `prompts` is how many they were learned from."""
    unseen = (log(1 + prompts) + 1, 0.0)
    terms: dict[Term, tuple[float, ...]] = dict(weights.terms)
    for word in sorted(WORK_WORDS | _STEP_WORDS) if recipe.words else ():
        frequency, weight = terms.get(word, unseen)
        terms[word] = (frequency, weight + recipe.words * weights.spread)
    shape = list(weights.shape)
    place = SHAPE.index("length")
    centre, spread, weight = shape[place]
    shape[place] = (centre, spread, weight + recipe.length * weights.spread)
    return replace(weights, terms=terms, shape=tuple(shape))


def train(folder: Path) -> bytes:
    """The file's content. Raises `OSError` where the data is not there."""
    rows = training_set(folder)
    said = [excerpt(row.prompt) for row in rows]
    weights = learned(said, gains_of(rows, WEAKER, STRONGER, RECIPE.centred), RECIPE)
    about: Mapping[str, str] = {**ABOUT, "prompts": str(len(rows))}
    return router_file(measured(with_prior(weights, len(rows), RECIPE), said), about)


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_bytes(train(Path(sys.argv[1])))
    print(f"{FILE}: {FILE.stat().st_size // 1024} KiB")
