"""Domain values for the edge's unit tests, with every field set."""

from __future__ import annotations

from router_service.domain.chat import FinishReason, Parameters
from router_service.domain.decision import (
    Candidate,
    ComplexitySource,
    Decision,
    Rejection,
    RejectionReason,
    Signals,
    TokenLimit,
)
from router_service.domain.deployment import Capability, Deployment, Price, Rate
from router_service.domain.money import Cost, CostStatus, Usage
from router_service.domain.policy import Policy, Rule, When
from router_service.domain.receipt import Attempt, AttemptOutcome, AttemptReason, Receipt

SMALL = Deployment(
    id="openai/small",
    model="small",
    provider="openai",
    upstream_name="small-2026",
    capabilities=frozenset({Capability.TOOLS, Capability.JSON_SCHEMA}),
    context_window=8192,
    max_output_tokens=2048,
    price=Price(
        input=Rate(150_000_000, ((200_000, 300_000_000),)),
        output=Rate(600_000_000),
        cached_input=Rate(75_000_000),
        cache_write=Rate(0),
        version="configuration",
    ),
    region="eu",
)
LARGE = Deployment(id="openai/large", model="large", provider="openai", upstream_name="large")
RULE = Rule(name="#2", when=When(), candidates=(SMALL, LARGE))
DECISION = Decision(
    policy=Policy(name="default", rules=(RULE,), baseline=LARGE),
    rule=RULE,
    strategy="cheapest",
    candidates=(
        Candidate(
            deployment=SMALL, token_limit=TokenLimit(requested=500, applied=300, reason="feature"), estimated_cost=1200
        ),
        Candidate(
            deployment=LARGE, token_limit=TokenLimit(requested=500, applied=None, reason="none"), estimated_cost=None
        ),
    ),
    rejections=(Rejection(deployment=LARGE, reason=RejectionReason.HEALTH, detail="cooling for 3 s", retry_after=3.0),),
    signals=Signals(
        input_tokens=12,
        language="en",
        complexity="simple",
        complexity_source=ComplexitySource.HEURISTIC,
        complexity_score=0.25,
        complexity_cause="its score 0.25",
        classifier="heuristic",
        turns=1,
        needs=frozenset({Capability.TOOLS}),
    ),
    parameters=Parameters(),
    cause="rule #2 matched",
    fingerprint="f00d",
)
FAILED = Attempt(
    number=1,
    attempt_id="op-1",
    deployment=SMALL,
    reason=AttemptReason.PRIMARY,
    outcome=AttemptOutcome.ERROR,
    started_at=1_700_000_000.25,
    duration=0.5,
    time_to_first_output=None,
    usage=None,
    cost=None,
    cost_status=CostStatus.UNBILLED,
    error_type="429",
    error_message="The provider is busy.",
    upstream_request_id="up-1",
)
SUCCEEDED = Attempt(
    number=2,
    attempt_id="op-2",
    deployment=LARGE,
    reason=AttemptReason.FALLBACK,
    outcome=AttemptOutcome.SUCCESS,
    started_at=1_700_000_001.0,
    duration=1.5,
    time_to_first_output=0.125,
    usage=Usage(input_tokens=12, output_tokens=3, cached_input_tokens=4, cache_write_tokens=2, reasoning_tokens=1),
    cost=Cost(total=100, input=40, output=50, cache_read=6, cache_write=4, price_version="configuration"),
    cost_status=CostStatus.ACTUAL,
    finish_reason=FinishReason.STOP,
    response_model="large-2026",
)
RECEIPT = Receipt(
    request_id="r-1",
    tenant="acme",
    feature="chat",
    tier="free",
    decision=DECISION,
    attempts=(FAILED, SUCCEEDED),
    usage=Usage(input_tokens=12, output_tokens=3),
    cost=100,
    cost_status=CostStatus.ACTUAL,
    baseline_cost=0,
    finish_reason=FinishReason.STOP,
    status="OK",
    error_reason="",
    started_at=1_700_000_000.0,
    duration=2.5,
    time_to_first_output=1.125,
    trace_id="ab" * 16,
)
