from dataclasses import replace

import msgspec
import pytest
from ledger_values import GPT, START_US, intent

from router_service.domain.call import Call, Caller, Wishes
from router_service.domain.chat import Chat, FinishReason, Message, Parameters, Role, TextPart
from router_service.domain.decision import ComplexitySource, Decision, Signals
from router_service.domain.deployment import Capability, Price, Rate
from router_service.domain.event import AttemptStarted
from router_service.domain.money import Cost, CostStatus, Usage
from router_service.domain.policy import Policy, Rule, When
from router_service.domain.receipt import Attempt, AttemptOutcome, AttemptReason, Receipt
from router_service.ledger.records import (
    AttemptKind,
    TerminalStatus,
    attempt_intent,
    attempt_terminal,
    operation_closed,
    operation_opened,
    swept_terminal,
    terminal_status,
)

CANARY = "the patient's name is Ada Q. Canary"
RATE = Rate(1_000_000_000)
PRICED = replace(
    GPT, price=Price(input=RATE, output=RATE, cached_input=RATE, cache_write=RATE, version="configuration")
)

CALL = Call(
    request_id="req-1",
    tenant="acme",
    caller=Caller(
        feature="chat_reply",
        tier="free",
        task_type="qa",
        user=CANARY,
        conversation_id=CANARY,
        labels={"team": "blue", "note": CANARY},
    ),
    chat=Chat(
        messages=(Message(role=Role.USER, parts=(TextPart(CANARY),)),), parameters=Parameters(max_output_tokens=700)
    ),
    wishes=Wishes(max_cost_nano_usd=5_000),
)
DECISION = Decision(
    policy=Policy(name="default", rules=()),
    rule=Rule(name="free tier", when=When(), candidates=(PRICED,)),
    strategy="order",
    candidates=(),
    rejections=(),
    signals=Signals(
        input_tokens=118,
        language="en",
        complexity="moderate",
        complexity_source=ComplexitySource.HEURISTIC,
        complexity_score=0.4,
        turns=3,
        needs=frozenset({Capability.VISION, Capability.TOOLS}),
    ),
    parameters=Parameters(),
    cause="rule",
    fingerprint="f00d",
)
ATTEMPT = Attempt(
    number=2,
    attempt_id="op-1-2",
    deployment=PRICED,
    reason=AttemptReason.FALLBACK,
    outcome=AttemptOutcome.SUCCESS,
    started_at=1_800_000_001.5,
    duration=1.25,
    time_to_first_output=0.25,
    usage=Usage(input_tokens=120, output_tokens=30, cached_input_tokens=100, reasoning_tokens=10),
    cost=Cost(total=1_234_567, price_version="configuration"),
    cost_status=CostStatus.ACTUAL,
    finish_reason=FinishReason.STOP,
    upstream_request_id="up-1",
)
RECEIPT = Receipt(
    request_id="req-1",
    tenant="acme",
    feature="chat_reply",
    tier="free",
    decision=DECISION,
    attempts=(ATTEMPT,),
    usage=Usage(),
    cost=1_234_567,
    cost_status=CostStatus.ACTUAL,
    baseline_cost=9_000_000,
    finish_reason=FinishReason.STOP,
    status="OK",
    error_reason="",
    started_at=1_800_000_000.0,
    duration=3.0,
    time_to_first_output=0.5,
)


def test_an_opening_holds_all_that_another_policy_needs_to_decide_again():
    row = operation_opened(CALL, DECISION, operation_id="op-1", started_at=1_800_000_000.0, process="p", key_id="k1")
    assert (row.tenant, row.key_id, row.feature, row.tier, row.task_type) == ("acme", "k1", "chat_reply", "free", "qa")
    assert (row.policy, row.rule, row.fingerprint) == ("default", "free tier", "f00d")
    assert (row.input_tokens, row.turns, row.language, row.complexity) == (118, 3, "en", "moderate")
    assert row.needs == ("tools", "vision")
    assert (row.asked_output_tokens, row.max_cost_nano_usd, row.started_us) == (700, 5_000, START_US)


def test_rows_hold_neither_prompts_nor_who_the_user_is():
    rows = [
        operation_opened(CALL, DECISION, operation_id="op-1", started_at=0.0),
        operation_closed(RECEIPT, operation_id="op-1"),
        attempt_terminal(ATTEMPT, operation_id="op-1"),
    ]
    assert CANARY.encode() not in msgspec.json.encode(rows)


def test_only_labels_that_the_operator_names_are_recorded():
    row = operation_opened(CALL, DECISION, operation_id="op-1", started_at=0.0, recorded_labels=frozenset({"team"}))
    assert row.labels == {"team": "blue"}


def test_a_call_that_failed_before_its_decision_can_be_opened():
    row = operation_opened(CALL, None, operation_id="op-1", started_at=1.0)
    assert (row.policy, row.rule, row.input_tokens) == ("", "", 0)


def test_a_closing_says_who_answered_and_what_it_cost_beside_the_baseline():
    row = operation_closed(RECEIPT, operation_id="op-1")
    assert (row.deployment, row.model, row.provider, row.status) == ("gpt-x", "gpt", "openai", "OK")
    assert (row.cost_nano_usd, row.baseline_nano_usd, row.fallbacks, row.attempts) == (1_234_567, 9_000_000, 1, 1)
    assert (row.duration_us, row.first_output_us) == (3_000_000, 500_000)


def test_an_intent_tells_what_is_held_for_the_attempt():
    started = AttemptStarted(
        number=1,
        attempt_id="op-1-1",
        deployment=PRICED,
        reason=AttemptReason.PRIMARY,
        started_at=1_800_000_000.0,
        max_output_tokens=800,
    )
    row = attempt_intent(
        started, operation_id="op-1", kind=AttemptKind.JUDGE, reserved_nano_usd=42, reserved_tokens=918, process="p"
    )
    assert (row.kind, row.reserved_nano_usd, row.reserved_tokens) == ("judge", 42, 918)
    assert (row.price_version, row.started_us) == ("configuration", START_US)


def test_a_terminal_row_holds_usage_cost_and_times():
    row = attempt_terminal(ATTEMPT, operation_id="op-1")
    assert (row.status, row.outcome, row.cost_nano_usd) == ("settled", "success", 1_234_567)
    assert (row.input_tokens, row.output_tokens, row.cached_input_tokens, row.reasoning_tokens) == (120, 30, 100, 10)
    assert (row.duration_us, row.first_output_us, row.upstream_request_id) == (1_250_000, 250_000, "up-1")


def test_what_a_provider_calls_a_request_cannot_grow_a_row_without_bound():
    row = attempt_terminal(replace(ATTEMPT, upstream_request_id="x" * 100_000), operation_id="op-1")
    assert len(row.upstream_request_id) == 200


def test_a_swept_attempt_may_have_been_billed_and_nobody_knows_how_much():
    row = swept_terminal(intent())
    assert (row.status, row.cost_status, row.outcome, row.writer) == (
        "indeterminate",
        "indeterminate",
        "unknown",
        "sweep",
    )
    assert row.cost_nano_usd is None


COUNTED = Usage(input_tokens=1, estimated=True)
REPORTED = Usage(input_tokens=1)


@pytest.mark.parametrize(
    ("cost_status", "usage", "status"),
    [
        (CostStatus.ACTUAL, REPORTED, TerminalStatus.SETTLED),
        (CostStatus.ESTIMATED, COUNTED, TerminalStatus.ESTIMATED),
        (CostStatus.PARTIAL, REPORTED, TerminalStatus.ESTIMATED),
        (CostStatus.INDETERMINATE, None, TerminalStatus.INDETERMINATE),
        (CostStatus.UNBILLED, None, TerminalStatus.UNBILLED),
        (CostStatus.UNPRICED, REPORTED, TerminalStatus.SETTLED),
        (CostStatus.UNPRICED, COUNTED, TerminalStatus.ESTIMATED),
        (CostStatus.UNPRICED, None, TerminalStatus.INDETERMINATE),
    ],
)
def test_the_status_of_a_row_says_how_its_cost_was_come_by(cost_status, usage, status):
    assert terminal_status(cost_status, usage) is status
