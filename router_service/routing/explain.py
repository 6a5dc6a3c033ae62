"""A decision as lines of plain text, for people."""

from __future__ import annotations

from collections.abc import Sequence

from router_service.domain.decision import Assignment, Candidate, Decision, Signals
from router_service.routing.reason import Reason

_REASONS = 8


def explain(decision: Decision, reasons: Sequence[Reason] = ()) -> str:
    """What was known, which rule decided, who may serve in which order, and why the others may not.

    `reasons` are what moved the classifier's score, the strongest first.
    """
    lines = [
        f"policy      {decision.policy.name}",
        f"signals     {_signals(decision.signals)}",
        *([f"complexity  {_complexity(decision.signals, reasons)}"] if decision.signals.complexity_cause else []),
        *([f"provisional {_provisional(decision)}"] if decision.is_provisional else []),
        f"cause       {decision.cause}",
        *([f"experiment  {_assignment(decision.assignment)}"] if decision.assignment is not None else []),
        "candidates",
    ]
    width = max(
        [len(candidate.deployment.id) for candidate in decision.candidates]
        + [len(rejection.deployment.id) for rejection in decision.rejections]
    )
    for position, candidate in enumerate(decision.candidates, start=1):
        lines.append(f"  {position}. {candidate.deployment.id:{width}}  {_cost(candidate)}, {_limit(candidate)}")
    if decision.rejections:
        lines.append("rejected")
        lines += [
            f"  -  {rejection.deployment.id:{width}}  {rejection.reason}: {rejection.detail}"
            for rejection in decision.rejections
        ]
    return "\n".join(lines)


def _assignment(assignment: Assignment) -> str:
    honoured = "" if assignment.honoured else ", which is not honoured"
    return f"{assignment.experiment}, arm {assignment.arm}{honoured}"


def _signals(signals: Signals) -> str:
    score = "" if signals.complexity_score is None else f", score {signals.complexity_score:.2f}"
    said = [
        f"about {signals.input_tokens} input tokens",
        f"{signals.complexity} ({signals.complexity_source}{score})",
        f"language {signals.language or 'undetermined'}",
        f"turn {signals.turns}",
    ]
    if signals.needs:
        said.append(f"needs {', '.join(sorted(signals.needs))}")
    return "; ".join(said)


def _complexity(signals: Signals, reasons: Sequence[Reason]) -> str:
    by = f"{signals.classifier}: " if signals.classifier else ""
    told = ", ".join(f"{reason.name} {reason.weight:+.2f}" for reason in reasons[:_REASONS])
    return f"{by}{signals.complexity_cause}{f'; by {told}' if told else ''}"


def _provisional(decision: Decision) -> str:
    """What a call would pay for, and this does not."""
    asking = decision.policy.classification.asking
    whom = "a model" if asking is None else " or ".join(one.id for one in asking.deployments)
    return f"before it is answered, {whom} is asked how complex it is, which may choose another rule"


def _cost(candidate: Candidate) -> str:
    if candidate.estimated_cost is None:
        return "price unknown"
    return f"about ${candidate.estimated_cost / 1e9:.6f}"


def _limit(candidate: Candidate) -> str:
    limit = candidate.token_limit
    if limit.applied is None:
        return "no token limit"
    return f"at most {limit.applied} output tokens ({limit.reason})"
