"""How the default's recipe was chosen: by tasks and pairs of models that it did not learn from.

python -m benchmarks.routing.choose_default FOLDER

Each family of tasks is left out once. The gain is learned from the other families and from two of the four weaker
models, and judged on the family left out by the other two, both ways. The evaluation sets play no part. Takes six
minutes on two quiet cores.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import mean

from benchmarks.routing.data import Known, training_set
from benchmarks.routing.train_default import GENERAL, LEAST_PROMPTS, STRONGER, Recipe, gains_of, with_prior
from router_service.lab.curves import curve
from router_service.lab.learning import Encoder, Leaning, measured
from router_service.lab.solving import ridge
from router_service.routing.excerpt import excerpt
from router_service.routing.learned import Learned

# Tasks of the same kind are left out together.
_FAMILIES = {"trivia_qa": "natural_qa", "human_eval": "mbpp", "arc_challenge": "openbook_qa"}
# What tells something about routing: a strong model that is mostly right, a weak one whose answers could be read.
_STRONG_AT_LEAST, _WEAK_AT_LEAST, _GAP_AT_LEAST = 0.5, 0.2, 0.05
_PRIORS = ((0.0, 0.0), (0.25, 0.0), (0.5, 0.0), (1.0, 0.0), (0.25, 1.0), (0.5, 2.0), (1.0, 4.0))
_HALVES = (GENERAL[::2], GENERAL[1::2])
# How much of a task's mean gain is taken off, and how far to trust what.
_LEARNERS = ((0.0, Leaning(penalty=20.0)), (1.0, Leaning(penalty=160.0, shape=0.03)))

Judged = tuple[Recipe, tuple[str, ...]]
"""A recipe, and the weaker models that it learned from."""


def main(folder: Path) -> None:
    """Prints APGR of each recipe: within tasks that were left out, over all of them mixed, and task by task."""
    rows = training_set(folder)
    told = dict(_alone(rows))
    with ProcessPoolExecutor() as pool:
        for scores in pool.map(partial(_left_out, rows), _judged_families(rows)):
            for judged, by_row in scores.items():
                told.setdefault(judged, {}).update(by_row)
    by_recipe: defaultdict[Recipe, dict[tuple[str, ...], dict[int, float]]] = defaultdict(dict)
    for (recipe, weaker), by_row in told.items():
        by_recipe[recipe][weaker] = by_row
    print("centred penalty shape length words   within  mixed  mean   by task")
    for recipe, scores in by_recipe.items():
        print(_line(rows, recipe, scores))


def _alone(rows: Sequence[Known]) -> Iterator[tuple[Judged, dict[int, float]]]:
    """Prompt length by itself."""
    recipe = Recipe(centred=0.0, leaning=Leaning(penalty=float("inf")), length=1.0, words=0.0)
    for weaker in _HALVES:
        yield (recipe, weaker), {at: float(len(row.prompt)) for at, row in enumerate(rows)}


def _judged_families(rows: Sequence[Known]) -> list[str]:
    """Those with a task on which some pair tells something; the others are only learned from."""
    tasks = {row.task for row in rows}
    return sorted({_FAMILIES.get(task, task) for task in tasks if any(_gains_on(rows, task, one) for one in _HALVES)})


def _left_out(rows: Sequence[Known], family: str) -> dict[Judged, dict[int, float]]:
    """Scores of the family's prompts, by what was learned from the others."""
    others = [row for row in rows if _family(row) != family]
    own = {at: excerpt(row.prompt) for at, row in enumerate(rows) if _family(row) == family}
    said = [excerpt(row.prompt) for row in others]
    found: dict[Judged, dict[int, float]] = {}
    for centred, leaning in _LEARNERS:
        encoder = Encoder(said, LEAST_PROMPTS, leaning)
        for weaker in _HALVES:
            gains = gains_of(others, weaker, STRONGER, centred)
            weights = encoder.weights(family, [ridge(encoder.rows, gains, encoder.width, leaning.penalty)])
            weights = measured(weights, said)
            for length, words in _PRIORS:
                recipe = Recipe(centred=centred, leaning=leaning, length=length, words=words)
                model = Learned(with_prior(weights, len(said), recipe))
                found[recipe, weaker] = {at: model.gain(one) / weights.spread for at, one in own.items()}
    return found


def _line(rows: Sequence[Known], recipe: Recipe, scores: dict[tuple[str, ...], dict[int, float]]) -> str:
    cells: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    mixed = []
    for weaker, by_row in scores.items():
        known: dict[int, float] = {}
        for task in sorted({row.task for row in rows}):
            gains = _gains_on(rows, task, [one for one in GENERAL if one not in weaker])
            if gains:
                apgr = curve([by_row[at] for at in gains], list(gains.values())).apgr
                cells[task].append((apgr, sum(gains.values()) / len(gains)))
                known |= gains
        mixed.append(curve([by_row[at] for at in known], list(known.values())).apgr)
    within, both = _weighted([cell for found in cells.values() for cell in found]), mean(mixed)
    leaning = recipe.leaning
    return (
        f"{recipe.centred:7} {leaning.penalty:7g} {leaning.shape:5} {recipe.length:6} {recipe.words:5}   "
        f"{within:.4f} {both:.4f} {(within + both) / 2:.4f}  "
        + " ".join(f"{task} {_weighted(found):.3f}" for task, found in cells.items())
    )


def _gains_on(rows: Sequence[Known], task: str, weaker: Sequence[str]) -> dict[int, float]:
    """The mean gain of the pairs that tell something on this task, by the number of the row."""
    own = {at: row.scores for at, row in enumerate(rows) if row.task == task}
    level = {one: mean(scores[one] for scores in own.values()) for one in (*weaker, *STRONGER)}
    pairs = [
        (weak, strong)
        for weak in weaker
        for strong in STRONGER
        if level[strong] >= max(_STRONG_AT_LEAST, level[weak] + _GAP_AT_LEAST) and level[weak] >= _WEAK_AT_LEAST
    ]
    if not pairs:
        return {}
    return {at: mean(scores[strong] - scores[weak] for weak, strong in pairs) for at, scores in own.items()}


def _weighted(cells: Sequence[tuple[float, float]]) -> float:
    """The mean of APGRs by their gaps: where the gap is small, an APGR is mostly noise."""
    return sum(apgr * gap for apgr, gap in cells) / sum(gap for _, gap in cells)


def _family(row: Known) -> str:
    return _FAMILIES.get(row.task, row.task)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
