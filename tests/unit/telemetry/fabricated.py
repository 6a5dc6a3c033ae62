"""A made-up call for telemetry's tests: its decision, its attempts, its receipt, and their events in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from router_service.domain.call import Call, Caller, Wishes
from router_service.domain.chat import Chat, FinishReason, JsonObjectFormat, Message, Parameters, Role, TextPart
from router_service.domain.decision import (
    Candidate,
    ComplexitySource,
    Decision,
    Rejection,
    RejectionReason,
    Signals,
    TokenLimit,
)
from router_service.domain.deployment import Deployment
from router_service.domain.error import STATUS_NAMES, RouterError
from router_service.domain.event import (
    AttemptFinished,
    AttemptStarted,
    CallStarted,
    Decided,
    Deltas,
    Event,
    Finished,
    TextDelta,
)
from router_service.domain.money import Cost, CostStatus, Usage
from router_service.domain.policy import Policy, Rule, When
from router_service.domain.receipt import Attempt, AttemptOutcome, AttemptReason, Receipt

SECRET = "the patient's name is Ada Q. Canary"
START = 1_800_000_000.0

GPT = Deployment(
    id="gpt-x",
    model="gpt-x",
    provider="openai",
    vendor="openai",
    upstream_name="gpt-x-0901",
    server_address="api.a.test",
)
CLAUDE = Deployment(
    id="claude-y", model="claude-y", provider="ours", upstream_name="claude-y-2", server_address="b.test"
)
LLAMA = Deployment(id="llama", model="llama", provider="local", upstream_name="llama")

USAGE = Usage(input_tokens=120, output_tokens=30, cached_input_tokens=100, reasoning_tokens=10)
COST = Cost(total=1_234_567, input=200_000, output=1_000_000, cache_read=34_567, price_version="configuration")


def call(*, feature: str = "chat_reply", tier: str = "free", stream: bool = True) -> Call:
    return Call(
        request_id="req-1",
        tenant="acme",
        caller=Caller(feature=feature, tier=tier, user="user-7", conversation_id="conv-3"),
        chat=Chat(
            messages=(Message(role=Role.USER, parts=(TextPart(SECRET),)),),
            response_format=JsonObjectFormat(),
        ),
        wishes=Wishes(),
        stream=stream,
        trace_id="",
    )


def decision() -> Decision:
    rule = Rule(name="free tier", when=When(), candidates=(GPT, CLAUDE))
    limit = TokenLimit(requested=900, applied=800, reason="feature")
    return Decision(
        policy=Policy(name="default", rules=(rule,), baseline=GPT),
        rule=rule,
        strategy="order",
        candidates=tuple(Candidate(deployment=it, token_limit=limit, estimated_cost=5) for it in (GPT, CLAUDE)),
        rejections=(Rejection(deployment=LLAMA, reason=RejectionReason.CAPABILITY, detail="no json_object"),),
        signals=Signals(
            input_tokens=118,
            language="en",
            complexity="moderate",
            complexity_source=ComplexitySource.HEURISTIC,
            complexity_score=0.4,
            complexity_cause="its score 0.40",
            classifier="heuristic",
            turns=1,
            needs=frozenset(),
        ),
        parameters=Parameters(temperature=0.25, seed=7),
        cause="rule",
        fingerprint="f00d",
    )


def attempt(
    number: int = 1,
    deployment: Deployment = GPT,
    reason: AttemptReason = AttemptReason.PRIMARY,
    *,
    error: str = "",
    outcome: AttemptOutcome | None = None,
    cost: Cost | None = COST,
    cost_status: CostStatus = CostStatus.ACTUAL,
    first_output: float | None = 0.25,
) -> Attempt:
    """Attempts start a second apart and last a second. A failed one has no output, usage or cost."""
    failed = bool(error)
    return Attempt(
        number=number,
        attempt_id=f"at-{number}",
        deployment=deployment,
        reason=reason,
        outcome=outcome or (AttemptOutcome.ERROR if failed else AttemptOutcome.SUCCESS),
        started_at=START + number,
        duration=1.0,
        time_to_first_output=None if failed else first_output,
        usage=None if failed else USAGE,
        cost=None if failed else cost,
        cost_status=CostStatus.UNBILLED if failed else cost_status,
        error_type=error,
        error_message="The provider is over its rate limit" if failed else "",
        finish_reason=None if failed else FinishReason.STOP,
        upstream_request_id="" if failed else "up-1",
        response_model="" if failed else deployment.upstream_name,
    )


@dataclass
class Episode:
    """One call from its start to its end."""

    attempts: tuple[Attempt, ...] = (attempt(),)
    status: str = "OK"
    error_reason: str = ""
    error: RouterError | None = None
    call: Call = field(default_factory=call)
    decision: Decision | None = field(default_factory=decision)
    chunks: int = 3
    baseline_cost: int | None = 5_000_000

    @property
    def receipt(self) -> Receipt:
        costs = [it.cost.total for it in self.attempts if it.cost is not None]
        return Receipt(
            request_id=self.call.request_id,
            tenant=self.call.tenant,
            feature=self.call.caller.feature,
            tier=self.call.caller.tier,
            decision=self.decision,
            attempts=self.attempts,
            usage=sum((it.usage for it in self.attempts if it.usage), Usage()),
            cost=sum(costs) if costs or not self.attempts else None,
            cost_status=self.attempts[-1].cost_status if self.attempts else CostStatus.UNBILLED,
            baseline_cost=self.baseline_cost,
            finish_reason=FinishReason.STOP,
            status=self.status if self.error is None else STATUS_NAMES[self.error.reason],
            error_reason=self.error_reason if self.error is None else self.error.reason.value,
            started_at=START,
            duration=3.0,
            time_to_first_output=0.5,
        )

    def events(self) -> Iterator[Event]:
        yield CallStarted(call=self.call, started_at=START)
        if self.decision is not None:
            yield Decided(decision=self.decision, duration=0.002)
        for it in self.attempts:
            yield AttemptStarted(
                number=it.number,
                attempt_id=it.attempt_id,
                deployment=it.deployment,
                reason=it.reason,
                started_at=it.started_at,
                max_output_tokens=800,
                parameters=self.decision.parameters if self.decision is not None else Parameters(),
            )
            if it.time_to_first_output is not None:
                for _ in range(self.chunks):
                    yield Deltas(attempt=it.number, deltas=(TextDelta(SECRET),))
            yield AttemptFinished(attempt=it)
        yield Finished(receipt=self.receipt, error=self.error)


def refused(error: RouterError) -> Episode:
    """A call that came to no decision."""
    return Episode((), error=error, decision=None, baseline_cost=None)


def routed() -> Episode:
    """A decision that nobody is asked to carry out yet."""
    return Episode((), baseline_cost=None)


def retry_and_fallback() -> Episode:
    """429 from gpt-x, 429 again, then an answer from claude-y."""
    return Episode(
        attempts=(
            attempt(1, GPT, AttemptReason.PRIMARY, error="429"),
            attempt(2, GPT, AttemptReason.RETRY, error="429"),
            attempt(3, CLAUDE, AttemptReason.FALLBACK),
        )
    )
