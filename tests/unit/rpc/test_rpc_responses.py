from __future__ import annotations

from dataclasses import replace

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from rpc_samples import DECISION, FAILED, LARGE, RECEIPT, SMALL

from llmrouter.v1 import chat_pb2, decision_pb2, receipt_pb2
from router_service.domain.chat import FinishReason, Role
from router_service.domain.decision import RejectionReason
from router_service.domain.deployment import DeploymentStatus
from router_service.domain.event import AttemptStarted, Delta, ReasoningDelta, TextDelta, ToolCallDelta
from router_service.domain.logprob import Logprobs, TokenLogprob, TopLogprob
from router_service.domain.money import CostStatus
from router_service.domain.receipt import AttemptOutcome, AttemptReason
from router_service.rpc import responses
from router_service.rpc.chats import WIRE_FINISH_REASONS, WIRE_ROLES


def plain(message: Message) -> dict[str, object]:
    return MessageToDict(message, preserving_proto_field_name=True)


SIGNALS = {
    "input_tokens": "12",
    "language": "en",
    "complexity": "simple",
    "complexity_source": "heuristic",
    "complexity_score": 0.25,
    "turns": 1,
    "capabilities": ["tools"],
    "complexity_cause": "its score 0.25",
    "classifier": "heuristic",
}


def test_a_decision_keeps_order_costs_reasons_and_signals() -> None:
    assert plain(responses.decision_to_wire(DECISION)) == {
        "policy": "default",
        "rule": "#2",
        "strategy": "cheapest",
        "candidates": [
            {
                "deployment": "openai/small",
                "model": "small",
                "provider": "openai",
                "estimated_cost_nano_usd": "1200",
                "max_output_tokens": "300",
            },
            {"deployment": "openai/large", "model": "large", "provider": "openai"},
        ],
        "rejections": [
            {"deployment": "openai/large", "reason": "REJECTION_REASON_HEALTH", "detail": "cooling for 3 s"}
        ],
        "signals": SIGNALS,
        "token_limit": {"requested": "500", "applied": "300", "reason": "feature"},
        "configuration_fingerprint": "f00d",
        "cause": "rule #2 matched",
    }


def test_a_receipt_accounts_for_every_attempt_and_names_who_answered() -> None:
    assert plain(responses.receipt_to_wire(RECEIPT)) == {
        "request_id": "r-1",
        "tenant": "acme",
        "feature": "chat",
        "tier": "free",
        "policy": "default",
        "rule": "#2",
        "deployment": "openai/large",
        "model": "large",
        "provider": "openai",
        "attempts": [
            {
                "number": 1,
                "attempt_id": "op-1",
                "deployment": "openai/small",
                "model": "small",
                "provider": "openai",
                "reason": "ATTEMPT_REASON_PRIMARY",
                "outcome": "ATTEMPT_OUTCOME_ERROR",
                "cost_status": "COST_STATUS_UNBILLED",
                "started_at": "2023-11-14T22:13:20.250Z",
                "duration": "0.500s",
                "error_type": "429",
                "error_message": "The provider is busy.",
                "upstream_request_id": "up-1",
            },
            {
                "number": 2,
                "attempt_id": "op-2",
                "deployment": "openai/large",
                "model": "large",
                "provider": "openai",
                "reason": "ATTEMPT_REASON_FALLBACK",
                "outcome": "ATTEMPT_OUTCOME_SUCCESS",
                "usage": {
                    "input_tokens": "12",
                    "output_tokens": "3",
                    "cached_input_tokens": "4",
                    "cache_write_tokens": "2",
                    "reasoning_tokens": "1",
                },
                "cost_nano_usd": "100",
                "cost_status": "COST_STATUS_ACTUAL",
                "started_at": "2023-11-14T22:13:21Z",
                "duration": "1.500s",
                "time_to_first_output": "0.125s",
                "response_model": "large-2026",
                "cost": {
                    "input_nano_usd": "40",
                    "output_nano_usd": "50",
                    "cache_read_nano_usd": "6",
                    "cache_write_nano_usd": "4",
                    "price_version": "configuration",
                },
            },
        ],
        "usage": {"input_tokens": "12", "output_tokens": "3"},
        "cost_nano_usd": "100",
        "cost_status": "COST_STATUS_ACTUAL",
        "baseline_cost_nano_usd": "0",
        "finish_reason": "FINISH_REASON_STOP",
        "status": "OK",
        "answer_attempt": 2,
        "started_at": "2023-11-14T22:13:20Z",
        "duration": "2.500s",
        "time_to_first_output": "1.125s",
        "trace_id": "ab" * 16,
        # The limit of the deployment that answered, not of the first candidate.
        "token_limit": {"requested": "500", "reason": "none"},
        "complexity": "simple",
        "signals": SIGNALS,
        "configuration_fingerprint": "f00d",
    }


def test_the_receipt_of_a_call_that_failed_before_the_decision_is_sent_too() -> None:
    failed = replace(
        RECEIPT,
        decision=None,
        attempts=(),
        cost=None,
        baseline_cost=None,
        finish_reason=None,
        time_to_first_output=None,
        status="NOT_FOUND",
        error_reason="POLICY_NOT_FOUND",
    )
    wire = responses.receipt_to_wire(failed)

    assert (wire.policy, wire.deployment, wire.error_reason) == ("", "", "POLICY_NOT_FOUND")
    assert not wire.HasField("cost_nano_usd")
    assert not wire.HasField("baseline_cost_nano_usd")
    assert wire.finish_reason == chat_pb2.FINISH_REASON_UNSPECIFIED


def test_a_call_nobody_answered_names_no_deployment_and_the_first_limit() -> None:
    wire = responses.receipt_to_wire(replace(RECEIPT, attempts=(FAILED,)))

    assert wire.deployment == ""
    assert wire.token_limit.applied == 300


@pytest.mark.parametrize(
    ("delta", "want"),
    [
        (TextDelta("a"), {"text_delta": {"attempt": 2, "text": "a"}}),
        (ReasoningDelta("b"), {"reasoning_delta": {"attempt": 2, "text": "b"}}),
        (
            ToolCallDelta(index=1, id="t", name="n", arguments_json="{"),
            {"tool_call_delta": {"attempt": 2, "index": 1, "id": "t", "name": "n", "arguments_json": "{"}},
        ),
        (
            Logprobs(
                (
                    TokenLogprob("a", -0.5, b"\xf0", (TopLogprob("b", 0.0), TopLogprob("c", None))),
                    TokenLogprob("d", None),
                ),
                truncated=True,
            ),
            {
                "logprobs_delta": {
                    "attempt": 2,
                    "logprobs": {
                        "tokens": [
                            {
                                "token": "a",
                                "logprob": -0.5,
                                "raw_bytes": "8A==",
                                "top_logprobs": [{"token": "b", "logprob": 0.0}, {"token": "c"}],
                            },
                            {"token": "d"},
                        ],
                        "truncated": True,
                    },
                }
            },
        ),
    ],
)
def test_a_delta_carries_its_attempt_and_sequence(delta: Delta, want: dict[str, object]) -> None:
    assert plain(responses.delta_response(7, 2, delta)) == {"sequence": "7", **want}


def test_an_attempt_is_announced_by_its_deployment() -> None:
    started = AttemptStarted(
        number=2, attempt_id="a", deployment=LARGE, reason=AttemptReason.RETRY, started_at=0.0, max_output_tokens=None
    )

    assert plain(responses.attempt_started_to_wire(started)) == {
        "attempt": 2,
        "deployment": "openai/large",
        "model": "large",
        "provider": "openai",
        "reason": "ATTEMPT_REASON_RETRY",
    }


def test_a_deployment_shows_capabilities_price_and_health() -> None:
    assert plain(responses.deployment_to_wire(DeploymentStatus(deployment=SMALL))) == {
        "id": "openai/small",
        "model": "small",
        "provider": "openai",
        "capabilities": ["json_schema", "tools"],
        "context_window": "8192",
        "max_output_tokens": "2048",
        "price": {
            "input_nano_usd_per_million": "150000000",
            "output_nano_usd_per_million": "600000000",
            "cached_input_nano_usd_per_million": "75000000",
            "source": "configuration",
        },
        "region": "eu",
        "healthy": True,
    }
    cooling = responses.deployment_to_wire(DeploymentStatus(deployment=LARGE, cooling_reason="429 for 3 s"))
    assert not cooling.healthy
    assert cooling.unhealthy_reason == "429 for 3 s"
    assert not cooling.HasField("price")
    assert not cooling.HasField("context_window")


def test_every_value_of_every_enum_has_its_own_wire_value() -> None:
    tables: list[tuple[dict[object, int], object, object]] = [
        (dict(responses.WIRE_ATTEMPT_REASONS), AttemptReason, receipt_pb2.AttemptReason),
        (dict(responses.WIRE_OUTCOMES), AttemptOutcome, receipt_pb2.AttemptOutcome),
        (dict(responses.WIRE_COST_STATUSES), CostStatus, receipt_pb2.CostStatus),
        (dict(responses.WIRE_REJECTIONS), RejectionReason, decision_pb2.RejectionReason),
        (dict(WIRE_ROLES), Role, chat_pb2.Role),
        (dict(WIRE_FINISH_REASONS), FinishReason, chat_pb2.FinishReason),
    ]
    for table, domain, wire in tables:
        assert set(table) == set(domain)  # type: ignore[call-overload]
        assert sorted(table.values()) == [value for value in sorted(wire.values()) if value != 0]  # type: ignore[attr-defined]


@given(st.floats(0, 4e9))
def test_times_are_exact_to_the_microsecond_and_never_ill_formed(seconds: float) -> None:
    moment = responses.timestamp(seconds)

    assert 0 <= moment.nanos < 1_000_000_000
    assert moment.seconds * 1_000_000 + moment.nanos / 1000 == round(seconds * 1_000_000)


def test_a_clock_that_stepped_back_gives_no_negative_duration() -> None:
    assert responses.duration(-0.5) == Duration()
