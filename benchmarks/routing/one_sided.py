"""What one-sided feedback is worth beside results of both models, on MMLU.

python -m benchmarks.routing.one_sided FOLDER

A router is learned from 1,500 prompts as if each had been answered by one model, chosen in several ways, and judged by
the APGR on half of all prompts, none of which is among them; mean of three splits.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median

from benchmarks.routing.data import STRONG, WEAK, evaluation_sets
from router_service.lab.curves import curve
from router_service.lab.feedback import JudgedPrompt
from router_service.lab.one_sided import train_on_feedback
from router_service.lab.outcomes import Outcome
from router_service.routing.excerpt import excerpt
from router_service.routing.learned import Learned

_SIZE = 1_500
_SPLITS = 3

Who = Callable[[random.Random, bool], str]
"""The model that answers a prompt, by whether it is longer than most."""

_ONE_ANSWERS: dict[str, Who] = {
    "one model, by lot": lambda draw, _: draw.choice((WEAK, STRONG)),
    "nine of ten by length": lambda draw, is_long: STRONG if (draw.random() < 0.9) == is_long else WEAK,
    "all by length": lambda _, is_long: STRONG if is_long else WEAK,
}


def main(folder: Path) -> None:
    """Print a line for each way."""
    rows = list({row.prompt: row for row in evaluation_sets(folder)["MMLU"]}.values())
    for way in ("both models", *_ONE_ANSWERS):
        areas = [_area(rows, way, seed) for seed in range(_SPLITS)]
        print(f"{way}: APGR {sum(areas) / len(areas):.3f}", flush=True)


def _area(rows: Sequence[Outcome], way: str, seed: int) -> float:
    draw = random.Random(seed)
    shuffled = draw.sample(rows, len(rows))
    learned_from, judged_by = shuffled[:_SIZE], shuffled[len(rows) // 2 :]
    found = train_on_feedback(list(_seen(learned_from, way, draw)), WEAK, STRONG, keep=0.98, confidence=0.95)
    model = Learned(found.weights)
    gains = [row.outcomes[STRONG] - row.outcomes[WEAK] for row in judged_by]
    return curve([model.gain(excerpt(row.prompt)) for row in judged_by], gains).apgr


def _seen(rows: Sequence[Outcome], way: str, draw: random.Random) -> Iterator[JudgedPrompt]:
    most = median(len(row.prompt) for row in rows)
    for row in rows:
        scores = row.outcomes
        if way in _ONE_ANSWERS:
            model = _ONE_ANSWERS[way](draw, len(row.prompt) > most)
            scores = {model: scores[model]}
        yield JudgedPrompt(prompt=row.prompt, scores=scores)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
