"""Receipts that are made again from rows equal those that the serving process gave."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ledger_values import GPT, START_US, closed, intent, opened, terminal

from router_service.domain.call import Call, Caller
from router_service.domain.chat import Chat, FinishReason, Message, Parameters, Role, TextPart
from router_service.domain.decision import ComplexitySource, Decision, Signals
from router_service.domain.deployment import Capability, Deployment
from router_service.domain.money import Cost, CostStatus, Usage
from router_service.domain.policy import Policy, Rule, When
from router_service.domain.receipt import Attempt, AttemptOutcome, AttemptReason, Receipt
from router_service.ledger.receipts import recorded_receipt
from router_service.ledger.records import (
    attempt_terminal,
    operation_closed,
    operation_opened,
    swept_closing,
    swept_terminal,
)
from router_service.ledger.store import SqlLedgerStore
from router_service.rpc.responses import receipt_to_wire
from router_service.storage.database import Database

START = START_US / 1_000_000
SMALL = Deployment(id="small-eu", model="small", provider="ours", upstream_name="s")
SIGNALS = Signals(
    input_tokens=812,
    language="de",
    complexity="complex",
    complexity_source=ComplexitySource.CALLER,
    complexity_score=None,
    turns=2,
    needs=frozenset({Capability.TOOLS, Capability.VISION}),
)
DECISION = Decision(
    policy=Policy(name="default", rules=()),
    rule=Rule(name="all", when=When(), candidates=()),
    strategy="",
    candidates=(),
    rejections=(),
    signals=SIGNALS,
    parameters=Parameters(),
    cause="",
    fingerprint="f1",
)
CALL = Call(
    request_id="r-1",
    tenant="acme",
    caller=Caller(feature="chat", tier="free"),
    chat=Chat(messages=(Message(role=Role.USER, parts=(TextPart("secret"),)),)),
)
ERROR = Attempt(
    number=1,
    attempt_id="op-1-1",
    deployment=replace(GPT, upstream_name="gpt"),
    reason=AttemptReason.PRIMARY,
    outcome=AttemptOutcome.ERROR,
    started_at=START,
    duration=0.25,
    time_to_first_output=None,
    usage=None,
    cost=Cost(total=0),
    cost_status=CostStatus.UNBILLED,
    error_type="429",
)
ANSWER = Attempt(
    number=2,
    attempt_id="op-1-2",
    deployment=replace(SMALL, upstream_name="small"),
    reason=AttemptReason.FALLBACK,
    outcome=AttemptOutcome.SUCCESS,
    started_at=START + 0.5,
    duration=1.5,
    time_to_first_output=0.75,
    usage=Usage(input_tokens=812, output_tokens=40, cached_input_tokens=512, reasoning_tokens=8),
    cost=Cost(total=123_456, price_version="configuration"),
    cost_status=CostStatus.ACTUAL,
    finish_reason=FinishReason.STOP,
    upstream_request_id="up-7",
    response_model="small-0901",
)
RECEIPT = Receipt(
    request_id="r-1",
    tenant="acme",
    feature="chat",
    tier="free",
    decision=DECISION,
    attempts=(ERROR, ANSWER),
    usage=ANSWER.usage or Usage(),
    cost=123_456,
    cost_status=CostStatus.ACTUAL,
    baseline_cost=500_000,
    finish_reason=FinishReason.STOP,
    status="OK",
    error_reason="",
    started_at=START,
    duration=2.0,
    time_to_first_output=1.25,
    trace_id="0af7651916cd43dd8448eb211c80319c",
    operation_id="op-1",
)


async def record(store: SqlLedgerStore, receipt: Receipt, decision: Decision | None = DECISION, **call: Any) -> None:
    await store.add(
        [
            operation_opened(replace(CALL, **call), decision, operation_id="op-1", started_at=receipt.started_at),
            *(attempt_terminal(attempt, operation_id="op-1") for attempt in receipt.attempts),
            operation_closed(receipt, operation_id="op-1"),
        ]
    )


async def test_a_recorded_receipt_is_the_one_the_caller_got(store: SqlLedgerStore, database: Database) -> None:
    await record(store, RECEIPT)
    found = await recorded_receipt(database, "acme", "r-1")
    assert found == RECEIPT
    assert receipt_to_wire(found) == receipt_to_wire(RECEIPT)


async def test_a_call_that_failed_before_a_decision_has_a_receipt(store: SqlLedgerStore, database: Database) -> None:
    failed = replace(
        RECEIPT,
        decision=None,
        attempts=(),
        usage=Usage(),
        cost=0,
        cost_status=CostStatus.UNBILLED,
        baseline_cost=None,
        finish_reason=None,
        status="NOT_FOUND",
        error_reason="POLICY_NOT_FOUND",
        time_to_first_output=None,
    )
    await record(store, failed, None)
    assert await recorded_receipt(database, "acme", "r-1") == failed


async def test_a_receipt_is_its_tenants_alone_and_there_once_the_call_ended(
    store: SqlLedgerStore, database: Database
) -> None:
    await store.add([opened("a", request_id="r"), intent("a-1")])
    assert await recorded_receipt(database, "acme", "r") is None
    await store.add([terminal("a-1"), closed("a", cost_status="actual")])
    assert await recorded_receipt(database, "other", "r") is None
    assert await recorded_receipt(database, "acme", "r") is not None


async def test_of_several_calls_under_one_id_the_latest_is_shown(store: SqlLedgerStore, database: Database) -> None:
    for name, later in (("a", 0), ("c", 2), ("b", 1)):
        await store.add(
            [
                opened(name, request_id="r", started_us=START_US + later),
                closed(name, cost_status="actual", trace_id=name),
            ]
        )
    found = await recorded_receipt(database, "acme", "r")
    assert found is not None
    assert found.trace_id == "c"


async def test_a_call_whose_router_died_has_a_receipt_that_says_so(store: SqlLedgerStore, database: Database) -> None:
    await store.add([opened("a", request_id="r"), intent("a-1"), swept_terminal(intent("a-1")), swept_closing("a")])
    found = await recorded_receipt(database, "acme", "r")
    assert found is not None
    assert (found.status, found.error_reason, found.cost_status) == (
        "UNAVAILABLE",
        "ROUTER_DIED",
        CostStatus.INDETERMINATE,
    )
    assert [(one.outcome, one.error_type) for one in found.attempts] == [(AttemptOutcome.ERROR, "router_died")]


async def test_what_the_router_asked_for_itself_is_shown_and_answers_nobody(
    store: SqlLedgerStore, database: Database
) -> None:
    await store.add(
        [
            opened("a", request_id="r"),
            terminal("a-1", number=1, kind="classifier", reason="classifier", deployment="cheap"),
            terminal("a-2", number=2, deployment="strong"),
            terminal("a-3", number=3, kind="judge", reason="judge", deployment="cheap"),
            terminal("a-4", number=4, kind="shadow", deployment="other"),
            closed("a", cost_status="actual"),
        ]
    )
    found = await recorded_receipt(database, "acme", "r")
    assert found is not None
    assert [one.number for one in found.attempts] == [1, 2, 3]
    assert found.answered_by is not None
    assert found.answered_by.deployment.id == "strong"
