"""Prompts that nobody wrote, with outcomes and answers of a small and a large model that do not exist.

python tests/unit/lab/synthetic.py > tests/unit/lab/synthetic.jsonl
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

SYNTHETIC = Path(__file__).parent / "synthetic.jsonl"
_EASY = ("Add {a} and {b}.", "What is {a} plus {b}?", "Sum up {a} and {b} for my shopping list.")
_HARD = (
    "A tank holds {a} litres and drains at {b} litres each hour; derive how much it has lost after the first hour.",
    "Prove what remains of {a} when {b} is taken away, then state the sum of {a} and {b}.",
    "In a village of {a} liars and {b} knaves, deduce how many people there are in total.",
)


def rows_of(count: int, seed: int) -> Iterator[str]:
    """Lines of JSONL. The small model fails at most hard prompts, and its sums are wrong where it does."""
    draw = random.Random(seed)
    for _ in range(count):
        a, b = draw.randint(2, 90), draw.randint(2, 90)
        hard = draw.random() < 0.5
        right = draw.random() < (0.25 if hard else 0.92)
        said = a + b if right else a + b + draw.randint(1, 9)
        prompt = draw.choice(_HARD if hard else _EASY).format(a=a, b=b)
        row = {
            "prompt": prompt,
            "outcomes": {"small": float(right), "large": float(draw.random() < 0.95)},
            "responses": {"small": f"{a} + {b} = {said}\n#### {said}"},
            "prices": {"small": 0.2, "large": 10.0},
        }
        yield json.dumps(row) + "\n"


if __name__ == "__main__":
    sys.stdout.writelines(rows_of(240, seed=5))
