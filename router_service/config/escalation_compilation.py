"""Escalation from its checked shape to the domain, and what the shape cannot see: names that lead nowhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from router_service.config.escalation_shape import EscalationShape, GateShape
from router_service.config.source import Location, Source
from router_service.domain.deployment import Deployment
from router_service.domain.quality import Escalation, Gate, Threshold


def check_escalation(
    source: Source,
    at: Location,
    shape: EscalationShape,
    *,
    report_unless_known: Callable[[Location, str], None],
    report_no_complexity: Callable[[Location, str], None],
) -> None:
    """Note in the source what names no model and no complexity of the policy, and gates that say the same twice."""
    for number, name in enumerate(shape.to):
        report_unless_known(source.known((*at, "to", number)), name)
    for name in shape.threshold.model:
        report_unless_known((*at, "threshold", "model", name), name)
    for name in shape.skip:
        report_unless_known((*at, "skip", name), name)
    for label in shape.threshold.complexity:
        report_no_complexity((*at, "threshold", "complexity", label), label)
    seen: list[GateShape] = []
    for number, gate in enumerate(shape.gates):
        if gate in seen:
            source.report((*at, "gates", number), f"{gate.gate.value} is listed twice", "Give it a `weight` instead")
        seen.append(gate)
    if not shape.gates and (shape.to or shape.threshold != type(shape.threshold)()):
        source.report((*at, "gates"), "is empty: nothing is judged, so nothing escalates", "List a gate: not_empty")


def escalation(shape: EscalationShape | None, named: Mapping[str, tuple[Deployment, ...]]) -> Escalation | None:
    """The compiled value; `named` has the deployments of every name that the file may use."""
    if shape is None:
        return None
    threshold = shape.threshold
    return Escalation(
        gates=tuple(_gate(gate) for gate in shape.gates),
        to=tuple({one.id: one for name in shape.to for one in named[name]}.values()),
        threshold=Threshold(
            least=threshold.least,
            by_complexity={label.lower(): score for label, score in threshold.complexity.items()},
            by_tier={tier.lower(): score for tier, score in threshold.tier.items()},
            by_deployment=_by_deployment(threshold.model, named),
        ),
        delivery=shape.streams,
        unsatisfied=shape.unsatisfied,
        most=shape.max_escalations,
        skip=_by_deployment(shape.skip, named),
    )


def _gate(shape: GateShape) -> Gate:
    return Gate(
        kind=shape.gate,
        weight=shape.weight,
        required=shape.required,
        at_least=shape.min,
        at_most=shape.max,
        pattern=shape.pattern or "",
        schema_json="" if shape.schema_ is None else json.dumps(shape.schema_),
        least_margin=shape.min_margin,
        quantile=shape.quantile,
        calibration=tuple((margin, score) for margin, score in shape.calibration or ()),
    )


def _by_deployment(scores: Mapping[str, float], named: Mapping[str, tuple[Deployment, ...]]) -> dict[str, float]:
    return {deployment.id: score for name, score in scores.items() for deployment in named[name]}
