"""The shape of policies, and of the file as a whole."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, WithJsonSchema, model_validator

from router_service.config.asking_shape import LabelShape
from router_service.config.escalation_shape import EscalationShape, Or
from router_service.config.experiment_shape import ExperimentShape, ShadowShape
from router_service.config.identity_shape import IdentityShape
from router_service.config.ledger_shape import LedgerShape
from router_service.config.limits_shape import BudgetShape, LimitShape, RedisShape
from router_service.config.quantity import Count, CountFromZero, Duration, NanoUsd, Timeout, refuse
from router_service.config.server_shape import ServerShape
from router_service.config.shape import (
    SOME_TEXTS_SCHEMA,
    DecisionTokensShape,
    FeatureShape,
    ModelShape,
    ParametersShape,
    ProviderShape,
    Shape,
    TelemetryShape,
    Texts,
)
from router_service.config.storage_shape import StorageShape
from router_service.config.when_shape import WhenShape
from router_service.domain.classifier import HEURISTIC, LLM
from router_service.domain.deployment import Retention
from router_service.domain.policy import Recovery, StickyKey, Strategy


class RuleShape(Shape):
    """When it matches, its candidates are considered."""

    name: str | None = Field(
        default=None, min_length=1, description="Shown in receipts and traces. Default: rule-N, N counting from 1."
    )
    when: WhenShape = Field(default_factory=WhenShape, description="The conditions. Default: matches always.")
    use: Annotated[Texts, WithJsonSchema(SOME_TEXTS_SCHEMA)] = Field(
        description="Models (all their deployments) or deployments, one or a list. A name that is both is the model."
    )
    then: Annotated[Texts, WithJsonSchema(SOME_TEXTS_SCHEMA)] = Field(
        default_factory=list,
        description="Models or deployments that are asked after those of `use`, in this order, whatever the strategy.",
    )
    strategy: Strategy = Field(
        default=Strategy.ORDER,
        description="Order of those of `use`: as listed, cheapest by this call's estimate, fastest as observed, "
        "or weighted at random.",
    )
    sticky: StickyKey = Field(default=StickyKey.NONE, description="What a weighted choice sticks to.")
    parameters: ParametersShape = Field(
        default_factory=ParametersShape, description="Sampling parameters under the caller's, over the feature's."
    )
    max_output_tokens: Count | None = Field(default=None, description="Ceiling on the tokens of one answer. From 1.")
    max_cost_usd: NanoUsd | None = Field(
        default=None, description="Candidates whose estimate for this call is higher are rejected. In USD."
    )
    escalate: EscalationShape | None = Field(
        default=None, description="Gates that judge the answer, in place of the policy's. Default: the policy's."
    )


class TimeoutsShape(Shape):
    """Upper bounds for one attempt; the caller's deadline bounds them further."""

    connect: Timeout = Field(default=5.0, description="To be connected. A duration.")
    first_token: Timeout = Field(default=30.0, description="To the first content. A duration.")
    stall: Timeout = Field(
        default=30.0,
        description="Between two pieces of content; where another attempt may follow, no more than its share of the "
        "deadline. A duration.",
    )
    total: Timeout = Field(default=300.0, description="In all. A duration.")


class RetriesShape(Shape):
    """How often is tried again before the next candidate, and the waits in between."""

    same_deployment: CountFromZero = Field(default=1, description="Retries at one deployment. From 0.")
    backoff_initial: Duration = Field(
        default=0.25, description="First wait where the provider gives no hint; it doubles. A duration."
    )
    backoff_max: Duration = Field(default=8.0, description="Longest wait without a hint. A duration.")
    max_attempts: Count = Field(default=6, description="Attempts in all, over all candidates. From 1.")


class HedgeShape(Shape):
    """A second attempt beside a silent one, at the next candidate; whichever speaks first is heard."""

    after: Timeout = Field(description="Silence after which the second attempt begins. A duration.")
    max_cost_share: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description="What hedges may cost, as a share of what the policy's calls are estimated to cost. 0 to 1.",
    )
    max_cost_usd: NanoUsd | None = Field(
        default=None,
        description="Candidates whose estimate for this call is higher are not hedged to. In USD. Default: no bound.",
    )


_BAND_SCHEMA = {
    "type": "array",
    "items": {"type": "number", "minimum": 0, "maximum": 1},
    "minItems": 2,
    "maxItems": 2,
}


class ClassifierShape(Shape):
    """Who judges how complex a call is, where the caller does not say. A name alone is `use`."""

    model_config = ConfigDict(json_schema_extra={"dependentRequired": {"band": ["then"], "then": ["band"]}})

    use: str = Field(
        default=HEURISTIC,
        min_length=1,
        description="heuristic; learned, which comes with the package; a router file that `llmrouter train` wrote; or "
        "llm, which asks a model.",
    )
    band: Annotated[tuple[float, float], WithJsonSchema(_BAND_SCHEMA)] | None = Field(
        default=None, description="Scores from and to which it is not believed, and `then` judges. Default: none."
    )
    then: str | None = Field(default=None, description="Who judges within the band: as for `use`.")
    moderate_from: float | None = Field(
        default=None, ge=0, le=1, description="Score from which a call is moderate. Default: the classifier's own."
    )
    complex_from: float | None = Field(
        default=None, ge=0, le=1, description="Score from which it is complex. Default: the classifier's own."
    )
    llm: Annotated[LabelShape, Or(SOME_TEXTS_SCHEMA)] | None = Field(
        default=None, description="Which models llm means, and what asking one may take."
    )

    @model_validator(mode="before")
    @classmethod
    def _written_short(cls, value: Any) -> Any:
        return {"use": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.band is None) != (self.then is None):
            refuse("`band` and `then` come together", "Write both, or neither")
        if self.band is not None and not 0 <= self.band[0] <= self.band[1] <= 1:
            refuse("the band is no range of scores", "Write two numbers from 0 to 1, the lower one first")
        if (LLM in (self.use, self.then)) != (self.llm is not None):
            refuse("llm and the models that it means come together", "Write `llm: gpt-4o-mini` beside it, or neither")
        if self.use == LLM and self.band is not None:
            refuse("llm gives no score that a band could hold", "Leave out `band` and `then`, or begin with learned")
        if self.moderate_from is not None and self.complex_from is not None and self.moderate_from > self.complex_from:
            refuse("`moderate_from` is above `complex_from`", "Swap the two")
        return self


class PolicyShape(Shape):
    """A named set of rules; the first that matches wins."""

    rules: list[RuleShape] = Field(min_length=1, description="Tried in order; a rule without `when` matches always.")
    baseline: str | None = Field(
        default=None, description='Model or deployment that "saved" is measured against. Default: nothing is compared.'
    )
    sticky: StickyKey = Field(
        default=StickyKey.NONE, description="What keeps later turns on the deployment that served the earlier ones."
    )
    regions: Texts = Field(default_factory=list, description="Regions allowed. Default: all, also undeclared ones.")
    retention: Retention = Field(
        default=Retention.UNLIMITED, description="Longest data retention allowed: none, 30d or unlimited."
    )
    max_cost_usd: NanoUsd | None = Field(
        default=None, description="Candidates whose estimate for this call is higher, or unknown, are rejected. In USD."
    )
    fallback_on_content_filter: bool = Field(
        default=False, description="Try the next candidate when a provider filters the request or the answer."
    )
    timeouts: TimeoutsShape = Field(default_factory=TimeoutsShape, description="Upper bounds for one attempt.")
    retries: RetriesShape = Field(default_factory=RetriesShape, description="Tries and waits.")
    complexities: Texts = Field(
        default_factory=lambda: ["simple", "moderate", "complex"],
        description="Complexity labels that callers may give.",
    )
    classifier: Annotated[ClassifierShape, Or({"type": "string", "minLength": 1})] = Field(
        default_factory=ClassifierShape,
        description="Who judges complexity where the caller does not: heuristic, learned, a router file, or more.",
    )
    stream_upstream: bool = Field(
        default=True,
        description="Ask providers for streams also where the caller wants one message, so that silence is noticed "
        "in time and a cancelled answer can be accounted for.",
    )
    recovery: Recovery = Field(
        default=Recovery.FAIL,
        description="What becomes of a stream that breaks after output: fail ends it with STREAM_TRUNCATED; restart "
        "lets another attempt answer anew, where the caller accepts that what it has seen is discarded; continue lets "
        "another attempt go on from what was said, and is restart where no candidate's provider can do that.",
    )
    keep_answers: Duration = Field(
        default=0.0,
        description="How long an answer is kept for repeats under its idempotency key; in Redis, where there is one. "
        "Without, a repeat of a finished call is told ALREADY_EXISTS. A duration.",
    )
    hedge: HedgeShape | None = Field(
        default=None, description="Ask the next candidate beside a silent one. Default: off, for it costs more."
    )
    escalate: EscalationShape | None = Field(
        default=None,
        description="Gates that judge answers, and who is asked next where they refuse one. Default: no gates.",
    )
    experiments: dict[str, ExperimentShape] = Field(
        default_factory=dict,
        description="Ways of answering that are compared, by a name of your choice. A call is in the first one "
        "whose conditions hold.",
    )
    shadow: dict[str, ShadowShape] = Field(
        default_factory=dict,
        description="Models that are asked as well, to compare, by a name of your choice. Callers never see their "
        "answers, nor pay for them.",
    )


class RetryBudgetShape(Shape):
    """How much may be asked again, of each provider and by each tenant, so that an outage is not amplified."""

    share: float = Field(
        default=0.2, ge=0, le=1, description="Repeats as a share of what is asked for the first time. 0 to 1."
    )
    per_second: float = Field(default=10.0, ge=0, description="Repeats a second on top, from 0.")


class FileShape(Shape):
    """The router's configuration file."""

    server: ServerShape = Field(
        default_factory=ServerShape,
        description="Where and how the router listens: gRPC, and HTTP for OpenAI's clients.",
    )
    telemetry: TelemetryShape = Field(
        default_factory=TelemetryShape, description="Where traces and metrics go, and which are kept."
    )
    decision_tokens: DecisionTokensShape = Field(
        default_factory=DecisionTokensShape, description="Signing of the decisions of Route."
    )
    retry_budget: RetryBudgetShape = Field(
        default_factory=RetryBudgetShape, description="How much may be asked again, per provider and per tenant."
    )
    storage: StorageShape = Field(
        default_factory=StorageShape, description="Which SQL database holds what outlives the process."
    )
    identity: IdentityShape = Field(default_factory=IdentityShape, description="Who may call, and what each may do.")
    ledger: LedgerShape = Field(
        default_factory=LedgerShape, description="Where calls and attempts are recorded, and for how long."
    )
    providers: dict[str, ProviderShape | None] = Field(
        description="Who is called: a name of your choice, or a preset's, and how to reach it."
    )
    models: dict[str, ModelShape] = Field(description="Deployments: a name of your choice, and what it is.")
    features: dict[str, FeatureShape | None] = Field(
        default_factory=dict, description="Token limits and defaults per product feature."
    )
    limits: dict[str, LimitShape] = Field(
        default_factory=dict, description="Limits on requests, tokens and concurrent calls, by a name of your choice."
    )
    budgets: dict[str, BudgetShape] = Field(
        default_factory=dict, description="What may be spent, by a name of your choice."
    )
    redis: RedisShape | None = Field(
        default=None, description="Where replicas share counters. Default: each router counts by itself."
    )
    policies: dict[str, PolicyShape] = Field(description="How calls are routed, by name.")
    default_policy: str | None = Field(
        default=None, description="Policy of calls that name none. Default: `default`, or the only one there is."
    )
