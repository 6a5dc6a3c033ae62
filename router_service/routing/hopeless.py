"""Candidates that are hopeless for a prompt: asking them first would only be paid for twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from router_service.domain.decision import Candidate


def passed_over(order: Sequence[Candidate], skip: Mapping[str, float], score: float) -> tuple[list[Candidate], str]:
    """The candidates with those marked and last for which the complexity `score` is too high, and why, in words.

    `skip` has by deployment id the score from which it is hopeless.
    """
    marked = [
        replace(candidate, hopeless=True) if score >= skip.get(candidate.deployment.id, 2.0) else candidate
        for candidate in order
    ]
    names = [candidate.deployment.id for candidate in marked if candidate.hopeless]
    why = f"; {', '.join(names)} passed over, for the complexity score is {score:.2f}" if names else ""
    return sorted(marked, key=lambda candidate: candidate.hopeless), why


def behind_others(order: Sequence[Candidate], stronger: Sequence[Candidate]) -> list[Candidate]:
    """The candidates; where all of them are hopeless, those that an answer would escalate to stand before them."""
    if not stronger or not all(candidate.hopeless for candidate in order):
        return list(order)
    taken = {candidate.deployment.id for candidate in stronger}
    return [*stronger, *(candidate for candidate in order if candidate.deployment.id not in taken)]
