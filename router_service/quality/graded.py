"""A model's grade, or that there is none, as the verdict of its gate."""

from __future__ import annotations

from router_service.domain.quality import Gate, GateKind, Panel, Unavailable, Verdict
from router_service.quality.gates import Found


def graded(gate: Gate, panel: Panel, score: float, *, by: str, asked: int) -> Found:
    """The grade that `by` gave, from 0 to 1; `asked` is the number of the attempt."""
    reason = f"{by} grades it {score:.2f} of {panel.min_score:.2f}"
    return Found(gate, Verdict(GateKind.JUDGE, score >= panel.min_score, score, reason, asked))


def ungraded(gate: Gate, panel: Panel, why: str, *, asked: int = 0) -> Found:
    """No grade came: the policy says whether it passes all the same, and then it has no share in the score."""
    passes = panel.unavailable is Unavailable.PASS
    reason = f"could not be judged: {why}"
    return Found(gate, Verdict(GateKind.JUDGE, passes, float(passes), reason, asked), counts=not passes)
