"""What is known of a call before deciding, and what was decided and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from router_service.domain.chat import Parameters
from router_service.domain.deployment import Capability, Deployment
from router_service.domain.policy import Policy, Rule


class ComplexitySource(StrEnum):
    """Who said how complex a call is."""

    CALLER = "caller"
    CONVERSATION = "conversation"
    HEURISTIC = "heuristic"
    LEARNED = "learned"
    LLM = "llm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """What is known of a call before deciding. `language` is a lower-case BCP 47 tag or empty.

    `classifier` is the name of the one whose word counts, empty where the caller said, and `classified_by` the
    deployment that was asked where it is a model; `complexity_cause` tells in words why the complexity is what it is.
    `asks` names the model-backed classifier that is still to be asked, empty where nobody is.
    """

    input_tokens: int
    language: str
    complexity: str
    complexity_source: ComplexitySource
    complexity_score: float | None
    complexity_cause: str = ""
    classifier: str = ""
    asks: str = ""
    classified_by: str = ""
    turns: int
    needs: frozenset[Capability]


class RejectionReason(StrEnum):
    """Why a deployment is out; the names equal the API's enum."""

    CAPABILITY = "CAPABILITY"
    CONTEXT_WINDOW = "CONTEXT_WINDOW"
    PRICE_CEILING = "PRICE_CEILING"
    UNPRICED = "UNPRICED"
    REGION = "REGION"
    DATA_RETENTION = "DATA_RETENTION"
    HEALTH = "HEALTH"
    CONVERSATION = "CONVERSATION"
    CREDENTIALS = "CREDENTIALS"
    PERMISSION = "PERMISSION"
    SATURATED = "SATURATED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A deployment that may not serve the call, with the reason in a word and in words.

    `retry_after` is in seconds, for rejections that pass by themselves.
    """

    deployment: Deployment
    reason: RejectionReason
    detail: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLimit:
    """The ceiling on output tokens: the least of caller, feature, rule and model, and whose it was."""

    requested: int | None
    applied: int | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A deployment that may serve the call. `estimated_cost` is in nano-USD, `None` where the price is unknown.

    A `last_resort` cools down after failures, and is asked all the same because too many others do as well. A
    `hopeless` one was passed over for the call's complexity: it is asked only where nobody else answers.
    """

    deployment: Deployment
    token_limit: TokenLimit
    estimated_cost: int | None
    last_resort: bool = False
    hopeless: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The arm of an experiment that a call fell to.

    `honoured` says whether the arm's choice is asked first: not where none of its candidates may serve the call, or
    something else came before it. Compare by the arm assigned, whether or not it was. `key` is a hash of what keeps the
    arm, such as the user: calls with the same one are not independent of each other.
    """

    experiment: str
    arm: str
    honoured: bool = True
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The ordered result of routing one call; every deployment the rule names is a candidate or a rejection.

    `rule` is `None` where the caller named a model or deployment. `parameters` are the caller's over the rule's over
    the feature's, without the token limit, which is each candidate's own. `escalations` are asked in this order after a
    gate's refusal; empty where the candidates themselves are. `assignment` is `None` for calls in no experiment.
    """

    policy: Policy
    rule: Rule | None
    strategy: str
    candidates: tuple[Candidate, ...]
    rejections: tuple[Rejection, ...]
    signals: Signals
    parameters: Parameters
    cause: str
    fingerprint: str
    escalations: tuple[Candidate, ...] = ()
    assignment: Assignment | None = None

    @property
    def is_provisional(self) -> bool:
        """Whether a model would be asked how complex the call is before it is answered."""
        return bool(self.signals.asks)

    @property
    def rule_name(self) -> str:
        """The rule's name, empty where the caller chose."""
        return self.rule.name if self.rule else ""
