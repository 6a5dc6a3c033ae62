"""Policies as the router runs them: compiled from the file, ready for pure decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from router_service.domain.chat import Parameters
from router_service.domain.classifier import Classification
from router_service.domain.deployment import Capability, Deployment, Retention
from router_service.domain.limit import Period
from router_service.domain.quality import Escalation


class Strategy(StrEnum):
    """How the eligible candidates of a rule are ordered."""

    ORDER = "order"
    CHEAPEST = "cheapest"
    FASTEST = "fastest"
    WEIGHTED = "weighted"


class StickyKey(StrEnum):
    """What keeps a weighted choice or a conversation on its deployment."""

    NONE = "none"
    CONVERSATION = "conversation"
    USER = "user"
    TENANT = "tenant"


class ArmKey(StrEnum):
    """What keeps its arm of an experiment. Users and conversations are told apart per tenant."""

    USER = "user"
    CONVERSATION = "conversation"
    TENANT = "tenant"
    REQUEST = "request"


class Recovery(StrEnum):
    """What becomes of a stream that breaks after the caller has seen output."""

    FAIL = "fail"
    RESTART = "restart"
    CONTINUE = "continue"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextMatch:
    """Accepts a value that is one of `any_of` (if given) and none of `none_of`. Both are lower case."""

    any_of: frozenset[str] | None = None
    none_of: frozenset[str] = frozenset()

    def accepts(self, value: str) -> bool:
        """Whether `value` (lower case) passes."""
        return (self.any_of is None or value in self.any_of) and value not in self.none_of

    def covers(self, other: TextMatch) -> bool:
        """Whether whatever the other accepts passes here too."""
        if other.any_of is not None:
            return all(self.accepts(value) for value in other.any_of - other.none_of)
        return self.any_of is None and self.none_of <= other.none_of


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeMatch:
    """Accepts a number from `at_least` to `at_most`, both inclusive; `None` leaves that side open."""

    at_least: int | None = None
    at_most: int | None = None

    def accepts(self, value: int) -> bool:
        """Whether `value` lies in the range."""
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def covers(self, other: RangeMatch) -> bool:
        """Whether whatever the other accepts lies in this range too."""
        below = self.at_least is None or (other.at_least is not None and other.at_least >= self.at_least)
        return below and (self.at_most is None or (other.at_most is not None and other.at_most <= self.at_most))


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """A rule's conditions: all that are set must hold. `language` matches the primary subtag ("zh" for "zh-CN").

    `needs` are capabilities that the call must need for the rule to match.
    """

    feature: TextMatch | None = None
    tier: TextMatch | None = None
    task_type: TextMatch | None = None
    complexity: TextMatch | None = None
    language: TextMatch | None = None
    labels: Mapping[str, TextMatch] = field(default_factory=dict)
    input_tokens: RangeMatch | None = None
    turns: RangeMatch | None = None
    needs: frozenset[Capability] = frozenset()
    needs_none_of: frozenset[Capability] = frozenset()

    def covers(self, other: When) -> bool:
        """Whether these conditions hold wherever the other's do; false also where that cannot be told of each alone."""
        texts = [
            (self.feature, other.feature),
            (self.tier, other.tier),
            (self.task_type, other.task_type),
            (self.complexity, other.complexity),
            (self.language, other.language),
            *((match, other.labels.get(name)) for name, match in self.labels.items()),
        ]
        ranges = [(self.input_tokens, other.input_tokens), (self.turns, other.turns)]
        return (
            all(own is None or own.covers(match or TextMatch()) for own, match in texts)
            and all(own is None or own.covers(match or RangeMatch()) for own, match in ranges)
            and self.needs <= other.needs
            and self.needs_none_of <= other.needs_none_of
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Upper bounds in seconds for one attempt: to connect, to the first content, between contents, in total."""

    connect: float = 5.0
    first_token: float = 30.0
    stall: float = 30.0
    total: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often one deployment is tried again, and the wait between tries where the provider gives no hint."""

    same_deployment: int = 1
    backoff_initial: float = 0.25
    backoff_max: float = 8.0
    max_attempts: int = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryAllowance:
    """How much may be asked again, of each provider and by each tenant: a `share` of what is asked for the first time,
    and so many `per_second` on top.
    """

    share: float = 0.2
    per_second: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hedge:
    """A second attempt beside one that stays silent, at the next candidate; whichever speaks first is heard.

    It begins after `after` seconds without output. What hedges cost beyond the answers stays within `max_cost_share` of
    what the policy's calls are estimated to cost, and a candidate estimated at more than `max_cost_nano_usd` (`None`:
    any), or at nobody knows what, is not hedged to.
    """

    after: float
    max_cost_share: float = 0.05
    max_cost_nano_usd: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When it matches, `candidates` are considered in this order (a model's deployments in the file's order).

    `fallbacks` are the ids of those, the last ones, that no strategy moves before the others.
    `escalation` takes the policy's place where it is not `None`; one without gates switches it off.
    """

    name: str
    when: When
    candidates: tuple[Deployment, ...]
    fallbacks: tuple[str, ...] = ()
    strategy: Strategy = Strategy.ORDER
    sticky: StickyKey = StickyKey.NONE
    parameters: Parameters = Parameters()
    max_output_tokens: int | None = None
    max_cost_nano_usd: int | None = None
    escalation: Escalation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way of answering an experiment's calls, drawn in proportion to `weight`.

    `candidates` come before the rule's own; without any the rule's choice stays. `strategy` and `escalation`, where
    not `None`, take the rule's place; `parameters` are put over the rule's.
    """

    name: str
    weight: float
    candidates: tuple[Deployment, ...] = ()
    strategy: Strategy | None = None
    parameters: Parameters = Parameters()
    escalation: Escalation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """Answers calls in several ways, to be compared: each key's calls by the same arm.

    Another `version` draws all arms anew. `tenants` are told apart by case.
    """

    name: str
    arms: tuple[Arm, ...]
    when: When = When()
    tenants: TextMatch = TextMatch()
    key: ArmKey = ArmKey.USER
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """A share of the calls that rules answered is also sent to one of `candidates`, the first that may serve it.

    `id` names the policy too. No more than `max_cost_nano_usd` is spent in a period, over all replicas. At most
    `max_concurrent` are under way in a process, each for `timeout` seconds. `escalation` has the gates that score both
    answers in place of the policy's; it never escalates.
    """

    id: str
    candidates: tuple[Deployment, ...]
    share: float
    max_cost_nano_usd: int
    period: Period
    when: When = When()
    tenants: TextMatch = TextMatch()
    max_concurrent: int = 20
    timeout: float = 120.0
    escalation: Escalation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A named set of rules; the first that matches wins.

    `baseline` is what "saved" is measured against. `sticky` keeps later turns of a conversation on the deployment
    that served the earlier ones. `regions`, empty, allows all. `complexities` are the labels callers may give.
    `stream_upstream` asks providers for streams also where the caller wants one message: silence is noticed in time
    and a cancelled answer can be accounted for. `recovery` RESTART holds for callers that accept discards only;
    CONTINUE goes on from what was said where a candidate can, and is RESTART elsewhere. `hedge` is off where `None`.
    `keep_answers` is for how many seconds an answer is kept for repeats under its idempotency key. `escalation` says
    what judges answers, and what follows a refusal; `None` judges nothing.
    `classification` says who judges complexity where the caller does not. Of `experiments` the first whose conditions
    hold has the call; `shadows` are independent of each other.
    """

    name: str
    rules: tuple[Rule, ...]
    baseline: Deployment | None = None
    sticky: StickyKey = StickyKey.NONE
    regions: frozenset[str] = frozenset()
    retention: Retention = Retention.UNLIMITED
    max_cost_nano_usd: int | None = None
    fallback_on_content_filter: bool = False
    timeouts: Timeouts = Timeouts()
    retries: Retries = Retries()
    complexities: frozenset[str] = frozenset()
    stream_upstream: bool = True
    recovery: Recovery = Recovery.FAIL
    hedge: Hedge | None = None
    keep_answers: float = 0.0
    escalation: Escalation | None = None
    classification: Classification = Classification()
    experiments: tuple[Experiment, ...] = ()
    shadows: tuple[Shadow, ...] = ()

    def escalation_of(self, rule: Rule | None) -> Escalation | None:
        """What judges the answers of calls that `rule` matched: nothing where the caller named who answers."""
        if rule is None:
            return None
        return self.escalation if rule.escalation is None else rule.escalation


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A product feature: its ceiling on output tokens and its default parameters."""

    name: str
    max_output_tokens: int | None = None
    parameters: Parameters = Parameters()
