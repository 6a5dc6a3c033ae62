from __future__ import annotations

import math
from dataclasses import replace

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from rpc_samples import FAILED, RECEIPT, SMALL

from llmrouter.v1 import error_pb2
from router_service.domain.error import (
    AttemptsFailed,
    Draining,
    InvalidRequest,
    NoCandidate,
    NotFound,
    Overloaded,
    Reason,
    RouterError,
    Violation,
)
from router_service.domain.receipt import Receipt
from router_service.rpc.errors import STATUS_CODES, FailedCall, Refusal, refusal

KINDS: tuple[type[Message], ...] = (
    error_details_pb2.ErrorInfo,
    error_details_pb2.BadRequest,
    error_details_pb2.RetryInfo,
    error_details_pb2.QuotaFailure,
    error_pb2.ReceiptSummary,
)


def metadata(refused: Refusal) -> dict[str, str | bytes]:
    return dict(refused.trailing_metadata)


def status(refused: Refusal) -> status_pb2.Status:
    packed = metadata(refused)["grpc-status-details-bin"]
    assert isinstance(packed, bytes)
    return status_pb2.Status.FromString(packed)


def unpacked(detail: AnyMessage) -> Message:
    for kind in KINDS:
        if detail.Is(kind.DESCRIPTOR):
            message = kind()
            detail.Unpack(message)
            return message
    raise AssertionError(detail.type_url)


def details(refused: Refusal) -> dict[str, Message]:
    return {type(message).__name__: message for message in map(unpacked, status(refused).details)}


def test_every_reason_has_a_status_and_every_reason_of_the_api_is_ours() -> None:
    assert set(STATUS_CODES) == set(Reason)
    assert {"ERROR_REASON_UNSPECIFIED", *(f"ERROR_REASON_{reason.value}" for reason in Reason)} == set(
        error_pb2.ErrorReason.DESCRIPTOR.values_by_name
    )


@pytest.mark.parametrize("reason", list(Reason))
def test_the_status_of_a_reason_is_the_one_the_api_documents(reason: Reason) -> None:
    refused = refusal(RouterError("It failed.", reason=reason), request_id="r-1")

    assert refused.code.name == DOCUMENTED[reason.value]
    assert refused.message == "It failed."
    assert status(refused).code == refused.code.value[0]
    assert status(refused).message == "It failed."
    info = details(refused)["ErrorInfo"]
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert (info.reason, info.domain, dict(info.metadata)) == (reason.value, "llmrouter", {"request_id": "r-1"})
    assert metadata(refused)["x-request-id"] == "r-1"


DOCUMENTED = {
    "STATE_UNAVAILABLE": "UNAVAILABLE",
    "KEY_NOT_FOUND": "NOT_FOUND",
    "NOT_CONFIGURED": "FAILED_PRECONDITION",
    "QUALITY_NOT_MET": "FAILED_PRECONDITION",
    "INVALID_REQUEST": "INVALID_ARGUMENT",
    "POLICY_NOT_FOUND": "NOT_FOUND",
    "MODEL_NOT_FOUND": "NOT_FOUND",
    "RECEIPT_NOT_FOUND": "NOT_FOUND",
    "NO_ELIGIBLE_CANDIDATE": "FAILED_PRECONDITION",
    "ALL_CANDIDATES_COOLING": "UNAVAILABLE",
    "DECISION_TOKEN_INVALID": "FAILED_PRECONDITION",
    "DECISION_TOKEN_EXPIRED": "FAILED_PRECONDITION",
    "UPSTREAM_REJECTED": "INVALID_ARGUMENT",
    "CONTEXT_TOO_LONG": "INVALID_ARGUMENT",
    "CONTENT_FILTERED": "FAILED_PRECONDITION",
    "ATTEMPTS_EXHAUSTED": "UNAVAILABLE",
    "STREAM_TRUNCATED": "UNAVAILABLE",
    "DEADLINE_EXCEEDED": "DEADLINE_EXCEEDED",
    "CANCELLED": "CANCELLED",
    "PROVIDER_REFUSES_KEY": "INTERNAL",
    "DRAINING": "UNAVAILABLE",
    "OVERLOADED": "RESOURCE_EXHAUSTED",
    "RATE_LIMITED": "RESOURCE_EXHAUSTED",
    "BUDGET_EXHAUSTED": "RESOURCE_EXHAUSTED",
    "IDEMPOTENCY_CONFLICT": "ABORTED",
    "ALREADY_EXISTS": "ALREADY_EXISTS",
    "UNAUTHENTICATED": "UNAUTHENTICATED",
    "PERMISSION_DENIED": "PERMISSION_DENIED",
    "INTERNAL": "INTERNAL",
}


def test_an_invalid_request_names_its_fields() -> None:
    refused = refusal(InvalidRequest([Violation("chat.messages[2].role", "must be ...")]), request_id="r-1")

    bad_request = details(refused)["BadRequest"]
    assert isinstance(bad_request, error_details_pb2.BadRequest)
    assert [(bad.field, bad.description) for bad in bad_request.field_violations] == [
        ("chat.messages[2].role", "must be ...")
    ]


def test_an_overload_says_when_to_come_back_and_which_limit_it_was() -> None:
    refused = refusal(
        Overloaded("Too many.", retry_after=1.5, metadata={"limit": "concurrent_calls"}), request_id="r-1"
    )

    retry, quota = details(refused)["RetryInfo"], details(refused)["QuotaFailure"]
    assert isinstance(retry, error_details_pb2.RetryInfo)
    assert isinstance(quota, error_details_pb2.QuotaFailure)
    assert (retry.retry_delay.seconds, retry.retry_delay.nanos) == (1, 500_000_000)
    assert [(violation.subject, violation.description) for violation in quota.violations] == [
        ("concurrent_calls", "Too many.")
    ]


@pytest.mark.parametrize(("retry_after", "seconds"), [(-1.0, 0), (1e12, 86_400)])
def test_an_absurd_wait_is_bounded(retry_after: float, seconds: int) -> None:
    retry = details(refusal(Overloaded("x", retry_after=retry_after), request_id="r-1"))["RetryInfo"]

    assert isinstance(retry, error_details_pb2.RetryInfo)
    assert retry.retry_delay.seconds == seconds


def test_a_wait_that_is_no_number_is_left_out() -> None:
    assert "RetryInfo" not in details(refusal(Overloaded("x", retry_after=math.nan), request_id="r-1"))


def test_the_errors_own_metadata_wins_over_the_calls_id() -> None:
    error = NotFound("No.", reason=Reason.RECEIPT_NOT_FOUND, metadata={"request_id": "sought"})
    refused = refusal(error, request_id="r-1")

    info = details(refused)["ErrorInfo"]
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert info.metadata["request_id"] == "sought"
    assert metadata(refused)["x-request-id"] == "r-1"


def test_a_dispatched_call_is_not_to_be_repeated_by_the_client_itself() -> None:
    failed = FailedCall(AttemptsFailed("All failed."), dispatched=True, receipt=RECEIPT)
    refused = refusal(failed, request_id="r-1")

    assert refused.code is grpc.StatusCode.UNAVAILABLE
    assert metadata(refused)["grpc-retry-pushback-ms"] == "-1"
    summary = details(refused)["ReceiptSummary"]
    assert isinstance(summary, error_pb2.ReceiptSummary)
    assert summary == error_pb2.ReceiptSummary(
        request_id="r-1",
        attempts=[
            error_pb2.AttemptSummary(number=1, deployment="openai/small", error_type="429"),
            error_pb2.AttemptSummary(number=2, deployment="openai/large"),
        ],
        attempt_count=2,
        cost_nano_usd=100,
        cost_status=summary.cost_status,
    )


@pytest.mark.parametrize("error", [AttemptsFailed("x"), Draining("x"), Overloaded("x", retry_after=1.0)])
def test_a_call_that_was_not_dispatched_may_be_repeated_as_the_client_likes(error: RouterError) -> None:
    refused = refusal(FailedCall(error, dispatched=False, receipt=None), request_id="r-1")

    assert "grpc-retry-pushback-ms" not in metadata(refused)


@pytest.mark.parametrize(
    ("retry_after", "pushback"),
    [
        (0.0, "0"),
        (-1.0, "0"),
        (0.0001, "1"),
        (1.5, "1500"),
        (5.0, "5000"),
        (5.1, "-1"),
        (300.0, "-1"),
        (math.inf, "-1"),
    ],
)
def test_a_client_repeats_a_call_when_it_can_succeed_or_not_at_all(retry_after: float, pushback: str) -> None:
    cooling = NoCandidate("All are cooling.", reason=Reason.ALL_CANDIDATES_COOLING, retry_after=retry_after)
    failed = FailedCall(cooling, dispatched=False, receipt=None)

    assert metadata(refusal(failed, request_id="r-1"))["grpc-retry-pushback-ms"] == pushback


@pytest.mark.parametrize("error", [Draining("x"), AttemptsFailed("x", retry_after=1.0)])
def test_a_dispatched_call_is_never_repeated_by_itself(error: RouterError) -> None:
    failed = FailedCall(error, dispatched=True, receipt=None)

    assert metadata(refusal(failed, request_id="r-1"))["grpc-retry-pushback-ms"] == "-1"


@pytest.mark.parametrize("dispatched", [False, True])
def test_of_an_unexpected_error_the_client_learns_its_request_id_only(dispatched: bool) -> None:
    error = KeyError("canary-7f3a")
    refused = refusal(FailedCall(error, dispatched=dispatched, receipt=None), request_id="r-1")

    assert refused.code is grpc.StatusCode.INTERNAL
    assert "r-1" in refused.message
    assert "canary" not in repr(refused)
    assert ("grpc-retry-pushback-ms" in metadata(refused)) is dispatched


HUGE = ["x" * 2000, "é" * 1000, "🦊" * 500, "\n" * 900, "\ud800" * 500]
texts = st.text(max_size=20) | st.sampled_from(HUGE)


@st.composite
def receipts(draw: st.DrawFn) -> Receipt:
    deployment = replace(SMALL, id=draw(texts))
    attempt = replace(FAILED, deployment=deployment, error_type=draw(texts))
    return replace(RECEIPT, attempts=(attempt,) * draw(st.integers(0, 40)))


@settings(deadline=None)
@given(
    message=texts,
    entries=st.dictionaries(texts, texts, max_size=8) | st.just({f"k{n}": "v" * 500 for n in range(100)}),
    violations=st.lists(st.builds(Violation, texts, texts), max_size=8)
    | st.just([Violation(f"f[{n}]", "d" * 500) for n in range(64)]),
    reason=st.sampled_from(list(Reason)),
    receipt=receipts(),
    request_id=st.sampled_from(["r-1", "r" * 128]),
)
def test_no_error_however_large_outgrows_the_trailers(
    message: str,
    entries: dict[str, str],
    violations: list[Violation],
    reason: Reason,
    receipt: Receipt,
    request_id: str,
) -> None:
    for error in (
        RouterError(message, reason=reason, metadata=entries, retry_after=1.0),
        InvalidRequest(violations),
    ):
        failed = FailedCall(error, dispatched=True, receipt=receipt)
        refused = refusal(failed, request_id=request_id)

        packed = metadata(refused)["grpc-status-details-bin"]
        assert len(packed) < 4096
        assert len(refused.message.encode()) <= 500
        found = details(refused)
        assert {"ErrorInfo", "ReceiptSummary"} <= set(found)
        assert found["ReceiptSummary"].ByteSize() <= 2048
        if isinstance(error, InvalidRequest) and violations:
            bad_request = found["BadRequest"]
            assert isinstance(bad_request, error_details_pb2.BadRequest)
            assert bad_request.field_violations


def test_a_long_message_is_cut_between_characters() -> None:
    refused = refusal(RouterError("é" * 400), request_id="r-1")

    assert refused.message == "é" * 248 + "…"
