"""The shape of experiments and shadows: other ways of answering, to be compared."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, WithJsonSchema, model_validator

from router_service.config.escalation_shape import EscalationShape, GateEntry
from router_service.config.limits_shape import Money
from router_service.config.quantity import Count, Timeout, refuse
from router_service.config.shape import SOME_TEXTS_SCHEMA, ParametersShape, Shape, Texts
from router_service.config.when_shape import Text, WhenShape
from router_service.domain.limit import Period
from router_service.domain.policy import ArmKey, Strategy
from router_service.domain.quality import GateKind

_LEAST_ARMS = 2


class ArmShape(Shape):
    """One way of answering. Without `use` the rule's models stay, with what else the arm says."""

    weight: float = Field(ge=0, le=1_000_000, description="Its share of the keys, beside the others'. From 0.")
    use: Annotated[Texts, WithJsonSchema(SOME_TEXTS_SCHEMA)] | None = Field(
        default=None,
        description="Models or deployments, one or a list, that are asked before the rule's own. Default: the rule's.",
    )
    strategy: Strategy | None = Field(default=None, description="Order of the candidates. Default: the rule's.")
    parameters: ParametersShape = Field(
        default_factory=ParametersShape, description="Sampling parameters under the caller's, over the rule's."
    )
    escalate: EscalationShape | None = Field(
        default=None, description="Gates that judge the answer, in place of the rule's. Default: the rule's."
    )


class ExperimentShape(Shape):
    """Answers calls in several ways. Calls that name a model, and those without the key, are not in it."""

    when: WhenShape = Field(default_factory=WhenShape, description="The conditions, as of rules. Default: every call.")
    tenants: Text | None = Field(
        default=None, description="Whose calls: one tenant, a list, or {not: ...}, as they are spelt. Default: all."
    )
    key: ArmKey = Field(
        default=ArmKey.USER,
        description="What keeps its arm: user, conversation, tenant, or request, which draws for every request.",
    )
    version: Count = Field(default=1, description="Another number draws all arms anew. From 1.")
    arms: dict[str, ArmShape] = Field(description="The ways of answering, two or more, by a name of your choice.")

    @model_validator(mode="after")
    def _some_to_compare(self) -> Self:
        if len(self.arms) < _LEAST_ARMS:
            refuse("has nothing to compare: it needs two arms", "Add an arm such as `control: {weight: 90}`")
        if not any(arm.weight for arm in self.arms.values()):
            refuse("all arms have the weight 0", "Give at least one a weight, or remove the experiment")
        return self


class SpendShape(Shape):
    """What may be spent in a period, by all replicas together."""

    usd: Money = Field(description="The amount, in USD; more than 0, at most 9 million.")
    period: Period = Field(default=Period.DAY, description="hour, day or month of the calendar in UTC, or total.")


class ShadowShape(Shape):
    """A model that is sent a share of the calls that rules answered, after their callers have their answers."""

    use: Annotated[Texts, WithJsonSchema(SOME_TEXTS_SCHEMA)] = Field(
        description="Models or deployments, one or a list: the first that may serve the call is asked, once."
    )
    share: float = Field(gt=0, le=1, description="Of the calls. More than 0, up to 1.")
    max_cost: SpendShape = Field(
        description="What it may cost: {usd: 5, period: day}. Beyond it calls are not shadowed. It is no budget of the "
        "callers'."
    )
    when: WhenShape = Field(default_factory=WhenShape, description="The conditions, as of rules. Default: every call.")
    tenants: Text | None = Field(
        default=None, description="Whose calls: one tenant, a list, or {not: ...}, as they are spelt. Default: all."
    )
    max_concurrent: Count = Field(
        default=20, description="How many are under way at once in one process; others are dropped. From 1."
    )
    timeout: Timeout = Field(default=120.0, description="Longest wait for its answer. A duration.")
    gates: list[GateEntry] = Field(
        default_factory=list,
        description="What scores both answers, as in `escalate`. Default: the gates of the policy or rule.",
    )

    @model_validator(mode="after")
    def _somebody_to_ask(self) -> Self:
        if not self.use:
            refuse("names no model", "Name at least one model or deployment under `use`")
        if any(gate.gate is GateKind.JUDGE for gate in self.gates):
            refuse("no model judges shadow calls", "Take it out: `llmrouter eval --judge` grades recorded answers")
        if any(gate.gate is GateKind.CONFIDENT for gate in self.gates):
            refuse("shadow calls ask for no log-probabilities", "Take `confident` out: it would score every answer 1")
        return self
