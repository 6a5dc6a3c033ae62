"""Rules from their checked shapes to the domain."""

from __future__ import annotations

from collections.abc import Mapping

from router_service.config.escalation_compilation import escalation
from router_service.config.policy_shape import RuleShape
from router_service.config.shape import ParametersShape
from router_service.config.when_shape import RangeShape, TextShape, WhenShape
from router_service.domain.chat import Parameters
from router_service.domain.deployment import Deployment
from router_service.domain.policy import RangeMatch, Rule, TextMatch, When


def parameters(shape: ParametersShape) -> Parameters:
    """The compiled value."""
    return Parameters(**{**shape.model_dump(), "stop": tuple(shape.stop)})


def _text(shape: TextShape | None) -> TextMatch | None:
    if shape is None:
        return None
    any_of = None if shape.any_of is None else frozenset(one.lower() for one in shape.any_of)
    return TextMatch(any_of=any_of, none_of=frozenset(one.lower() for one in shape.none_of))


def _range(shape: RangeShape | None) -> RangeMatch | None:
    return None if shape is None else RangeMatch(at_least=shape.min, at_most=shape.max)


def when(shape: WhenShape) -> When:
    """The compiled value."""
    needs = shape.needs
    return When(
        feature=_text(shape.feature),
        tier=_text(shape.tier),
        task_type=_text(shape.task_type),
        complexity=_text(shape.complexity),
        language=_text(shape.language),
        labels={name: match for name, text in shape.labels.items() if (match := _text(text)) is not None},
        input_tokens=_range(shape.input_tokens),
        turns=_range(shape.turns),
        needs=frozenset(needs.all_of if needs else ()),
        needs_none_of=frozenset(needs.none_of if needs else ()),
    )


def rule(shape: RuleShape, number: int, named: Mapping[str, tuple[Deployment, ...]]) -> Rule:
    """The compiled value; `named` has the deployments of every name that the file may use."""
    used = {one.id: one for name in shape.use for one in named[name]}
    fallbacks = {one.id: one for name in shape.then for one in named[name] if one.id not in used}
    return Rule(
        name=shape.name or f"rule-{number}",
        when=when(shape.when),
        candidates=(*used.values(), *fallbacks.values()),
        fallbacks=tuple(fallbacks),
        strategy=shape.strategy,
        sticky=shape.sticky,
        parameters=parameters(shape.parameters),
        max_output_tokens=shape.max_output_tokens,
        max_cost_nano_usd=shape.max_cost_usd,
        escalation=escalation(shape.escalate, named),
    )
