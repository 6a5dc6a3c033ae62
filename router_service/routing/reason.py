"""What moved a classifier's score."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """A word, a pair of words or a feature of the prompt, and by how much it raised (or lowered) the score."""

    name: str
    weight: float
