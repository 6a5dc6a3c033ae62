"""The full account of a call: every attempt with its usage, cost, latency and error."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from router_service.domain.chat import FinishReason, Message
from router_service.domain.decision import Decision
from router_service.domain.deployment import Deployment
from router_service.domain.logprob import Logprobs
from router_service.domain.money import Cost, CostStatus, Usage
from router_service.domain.quality import Judgement, Quality


class AttemptReason(StrEnum):
    """Why an attempt was made."""

    PRIMARY = "primary"
    RETRY = "retry"
    FALLBACK = "fallback"
    ESCALATION = "escalation"
    HEDGE = "hedge"


class AttemptOutcome(StrEnum):
    """How an attempt ended."""

    SUCCESS = "success"
    ERROR = "error"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One upstream call, ended.

    Times: `started_at` is seconds since the epoch; `duration` and `time_to_first_output` are seconds from dispatch.
    `error_type` is "" on success, else such as "429" or "timeout"; `error_message` is the router's words only.
    `cost` is `None` where unpriced, or where nothing is known of what was billed. `continues` is the number of the
    attempt from whose output it went on, 0 where it began anew.
    """

    number: int
    attempt_id: str
    deployment: Deployment
    reason: AttemptReason
    outcome: AttemptOutcome
    started_at: float
    duration: float
    time_to_first_output: float | None
    usage: Usage | None
    cost: Cost | None
    cost_status: CostStatus
    error_type: str = ""
    error_message: str = ""
    finish_reason: FinishReason | None = None
    upstream_request_id: str = ""
    response_model: str = ""
    continues: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The account of one call, however it ended. `status` is a gRPC status code name, such as "OK".

    `cost` is the sum of the attempts in nano-USD, `None` where nothing could be priced; `baseline_cost` is what the
    policy's baseline would have cost for the answer's usage. `decision` is `None` where the call failed before it.
    `judgements` are the gates', in the order they were made; `quality` is what they made of the answer that was given.
    `answer` is the number of the attempt that gave it, 0 where none did, `None` for the last that no gate refused.
    `spent_budgets` are the soft budgets that were spent when the call began.
    """

    request_id: str
    tenant: str
    feature: str
    tier: str
    decision: Decision | None
    attempts: tuple[Attempt, ...]
    usage: Usage
    cost: int | None
    cost_status: CostStatus
    baseline_cost: int | None
    finish_reason: FinishReason | None
    status: str
    error_reason: str
    started_at: float
    duration: float
    time_to_first_output: float | None
    trace_id: str = ""
    spent_budgets: tuple[str, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    quality: Quality = Quality.UNJUDGED
    answer: int | None = None

    @property
    def answered_by(self) -> Attempt | None:
        """The attempt that gave the answer, if one did."""
        refused = {judgement.attempt for judgement in self.judgements if not judgement.passed}
        for attempt in reversed(self.attempts):
            if attempt.number == self.answer:
                return attempt
            if self.answer is None and attempt.outcome is AttemptOutcome.SUCCESS and attempt.number not in refused:
                return attempt
        return None

    @property
    def fallbacks(self) -> int:
        """How many attempts were fallbacks to another candidate."""
        return sum(attempt.reason is AttemptReason.FALLBACK for attempt in self.attempts)

    @property
    def escalations(self) -> int:
        """How many attempts were made because gates refused an answer."""
        return sum(attempt.reason is AttemptReason.ESCALATION for attempt in self.attempts)

    @property
    def retries(self) -> int:
        """How many attempts went to the same deployment again."""
        return sum(attempt.reason is AttemptReason.RETRY for attempt in self.attempts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A verified, whole answer; `logprobs` are `None` where the caller asked for none, or its provider gave none."""

    message: Message
    finish_reason: FinishReason
    receipt: Receipt
    logprobs: Logprobs | None = None
