"""What simulated models say when they are to sort a request or to grade an answer: mostly what was asked for.

The weaker a model, the more often it wraps its word in prose, gives none, or does what the request itself asks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import Final

from router_service.simulator.phrases import CHINESE, ENGLISH

_EASE: Final = ("simple", "moderate", "complex")
_BLOCK = re.compile(r"<(?:request|answer)(?: [^>\n]*)?>\n(.*?)\n<(?:request|answer)(?: [^>\n]*)?>", re.DOTALL)
_GRADES = re.compile(r'(?i)"(?:score|grade|rating)"')
# Of what a model without any quality says, this much is not what was asked for.
_MOST_MISBEHAVIOUR = 0.5
_MODERATE_FROM, _COMPLEX_FROM = 0.2, 0.6


def is_grading(system: str) -> bool:
    """Whether a system prompt wants a grade as JSON."""
    return "grade" in system.lower() and _GRADES.search(system) is not None


def block_of(prompt: str) -> str:
    """What stands between the last pair of marks in a prompt; all of it where there are none."""
    blocks = _BLOCK.findall(prompt)
    return str(blocks[-1]) if blocks else prompt


def sorts_by_ease(labels: Sequence[str]) -> bool:
    """Whether the labels say how hard something is."""
    return set(_EASE) <= {label.lower() for label in labels}


def ease(difficulty: float, *, quality: float, rng: Random) -> str:
    """The label of a request of that difficulty (0 to 1), in the words of a model of that quality."""
    seen = difficulty + rng.uniform(-0.1, 0.1) * (1 - quality)
    label = _EASE[(seen >= _MODERATE_FROM) + (seen >= _COMPLEX_FROM)]
    if rng.random() >= (1 - quality) * _MOST_MISBEHAVIOUR:
        return label
    other = rng.choice([one for one in _EASE if one != label])
    return rng.choice(
        (
            f"The label is **{label}**.",
            f"{label.capitalize()}, because of what it takes to answer it.",
            f'{{"label": "{label}"}}',
            f"It is between {other} and {label}.",
            "Sure! Here is an answer to the request.",
            "I would need more context.",
        )
    )


def grade(answer: str, *, quality: float, rng: Random) -> str:
    """The grade of an answer, as JSON or what a model of that quality takes for it."""
    score = min(10, max(1, round(_worth(answer) + rng.uniform(-1, 1) * (1 - quality))))
    told = f'{{"reason": "It covers {"most" if score > 6 else "little"} of what was asked.", "score": {score}}}'
    if rng.random() >= (1 - quality) * _MOST_MISBEHAVIOUR:
        return told
    return rng.choice(
        (
            f"```json\n{told}\n```",
            f"Here is my assessment: {told} I hope that helps.",
            f"I would give this {score}/10.",
            "The answer is fine.",
            '{"reason": "It cannot be graded without a reference."}',
        )
    )


def _worth(answer: str) -> float:
    """What a simulated answer is worth, from 1 to 10: those that say nothing little, the fuller ones more."""
    for phrases in (ENGLISH, CHINESE):
        if any(empty in answer for empty in (*phrases.unsure, *phrases.refusals)):
            return 2.0
        if any(answer.startswith(weak.partition("{topic}")[0]) for weak in phrases.weak):
            return 4.5
    return 8.0 + min(1.5, answer.count("\n") / 4) if answer.strip() else 1.0
