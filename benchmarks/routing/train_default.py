"""Trains the classifier that ships with the package; the same data gives the same file.

python -m benchmarks.routing.train_default FOLDER
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import router_service
from benchmarks.routing.data import training_set
from router_service.lab.learning import Leaning, learn, router_file
from router_service.routing.excerpt import excerpt

FILE = Path(router_service.__file__).parent / "classifiers" / "default.json"
# No ferns: what figures mean together differs too much from one kind of prompt to the next.
_LEANING = Leaning(penalty=20.0)
_LEAST_PROMPTS, _LENGTH_PRIOR = 3, 0.25
# Far from where most prompts score, so that a typo seldom changes a tier.
_MODERATE_FROM, _COMPLEX_FROM = 0.3, 0.8
ABOUT = {
    "data": "per-prompt scores of nine models from ulab-uiuc/LLMRouter (MIT License, Copyright (c) 2024 U Lab @UIUC)",
    "without": "every prompt that occurs in the results of lm-sys/RouteLLM, or shares thirteen words in a row with one",
    "target": "mean score of two models of about 50B parameters less that of three of 7 to 9B",
    "method": "ridge regression on words, pairs of words (sublinear TF-IDF) and the prompt's shape; a quarter of a "
    "standard deviation of length is added as a prior; see docs/routing-quality.md",
}


def train(folder: Path) -> bytes:
    """The file's content. Raises `OSError` where the data is not there."""
    rows = training_set(folder)
    weights = learn(
        [excerpt(prompt) for prompt, _ in rows],
        [gain for _, gain in rows],
        leaning=_LEANING,
        least_prompts=_LEAST_PROMPTS,
        length_prior=_LENGTH_PRIOR,
    )
    weights = replace(weights, moderate_from=_MODERATE_FROM, complex_from=_COMPLEX_FROM)
    return router_file(weights, {**ABOUT, "prompts": str(len(rows))})


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_bytes(train(Path(sys.argv[1])))
    print(f"{FILE}: {FILE.stat().st_size // 1024} KiB")
