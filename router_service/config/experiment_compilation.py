"""Experiments and shadows from their checked shapes to the domain, and what the shapes cannot see of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from router_service.config.escalation_compilation import check_gates, escalation
from router_service.config.escalation_shape import EscalationShape
from router_service.config.experiment_shape import ArmShape, ExperimentShape, ShadowShape
from router_service.config.rule_compilation import parameters, when
from router_service.config.source import Location, Source, dotted
from router_service.config.when_shape import TextShape, WhenShape
from router_service.domain.deployment import Deployment
from router_service.domain.limit import Budget, FailMode
from router_service.domain.policy import Arm, Experiment, Policy, Shadow, TextMatch


def check_experiments(
    source: Source,
    at: Location,
    shapes: Mapping[str, ExperimentShape],
    *,
    report_unless_known: Callable[[Location, str], None],
    check_when: Callable[[Location, WhenShape], None],
    check_escalation: Callable[[Location, EscalationShape], None],
) -> None:
    """Note in the source what names no model, and experiments that no call ever gets to."""
    catch_all: Location | None = None
    for name, shape in shapes.items():
        here = (*at, name)
        if catch_all is not None:
            message = f"is never reached: {dotted(catch_all)} before it has every call"
            source.report(here, message, "Move the experiment without conditions to the end, or give it some")
        elif not shape.when.model_dump(exclude_defaults=True) and shape.tenants is None:
            catch_all = here
        check_when((*here, "when"), shape.when)
        for arm_name, arm in shape.arms.items():
            of_arm = (*here, "arms", arm_name)
            if arm.use == []:
                source.report((*of_arm, "use"), "names no model", "Name one, or leave `use` out to keep the rule's")
            for number, model in enumerate(arm.use or ()):
                report_unless_known(source.known((*of_arm, "use", number)), model)
            if arm.escalate is not None:
                check_escalation((*of_arm, "escalate"), arm.escalate)


def check_shadows(
    source: Source,
    at: Location,
    shapes: Mapping[str, ShadowShape],
    *,
    report_unless_known: Callable[[Location, str], None],
    check_when: Callable[[Location, WhenShape], None],
) -> None:
    """Note in the source what names no model."""
    for name, shape in shapes.items():
        here = (*at, name)
        check_when((*here, "when"), shape.when)
        for number, model in enumerate(shape.use):
            report_unless_known(source.known((*here, "use", number)), model)
        check_gates(source, here, shape.gates, report_unless_known)


def experiments(
    shapes: Mapping[str, ExperimentShape], named: Mapping[str, tuple[Deployment, ...]]
) -> tuple[Experiment, ...]:
    """The compiled values; `named` has the deployments of every name that the file may use."""
    return tuple(
        Experiment(
            name=name,
            arms=tuple(_arm(arm_name, arm, named) for arm_name, arm in shape.arms.items()),
            when=when(shape.when),
            tenants=_tenants(shape.tenants),
            key=shape.key,
            version=shape.version,
        )
        for name, shape in shapes.items()
    )


def shadows(
    policy: str, shapes: Mapping[str, ShadowShape], named: Mapping[str, tuple[Deployment, ...]]
) -> tuple[Shadow, ...]:
    """The compiled values of one policy; `named` as for experiments."""
    return tuple(
        Shadow(
            id=f"{policy}/{name}",
            candidates=_deployments(shape.use, named),
            share=shape.share,
            max_cost_nano_usd=shape.max_cost.usd,
            period=shape.max_cost.period,
            when=when(shape.when),
            tenants=_tenants(shape.tenants),
            max_concurrent=shape.max_concurrent,
            timeout=shape.timeout,
            escalation=escalation(EscalationShape(gates=shape.gates), named) if shape.gates else None,
        )
        for name, shape in shapes.items()
    )


def caps_of(policies: Iterable[Policy]) -> dict[str, Budget]:
    """What each shadow may spend, by its id. While shared counters are away nothing is: it could be overspent."""
    return {
        shadow.id: Budget(
            name=f"shadow {shadow.id}",
            nano_usd=shadow.max_cost_nano_usd,
            period=shadow.period,
            fail=FailMode.CLOSED,
        )
        for policy in policies
        for shadow in policy.shadows
    }


def _arm(name: str, shape: ArmShape, named: Mapping[str, tuple[Deployment, ...]]) -> Arm:
    return Arm(
        name=name,
        weight=shape.weight,
        candidates=_deployments(shape.use or (), named),
        strategy=shape.strategy,
        parameters=parameters(shape.parameters),
        escalation=escalation(shape.escalate, named),
    )


def _deployments(names: Iterable[str], named: Mapping[str, tuple[Deployment, ...]]) -> tuple[Deployment, ...]:
    return tuple({one.id: one for name in names for one in named[name]}.values())


def _tenants(shape: TextShape | None) -> TextMatch:
    """Unlike what callers say of themselves, tenants are told apart by case."""
    if shape is None:
        return TextMatch()
    return TextMatch(any_of=None if shape.any_of is None else frozenset(shape.any_of), none_of=frozenset(shape.none_of))
