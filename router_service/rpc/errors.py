"""The one translator from `RouterError` to a gRPC status."""

from __future__ import annotations

import math
from dataclasses import dataclass

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from llmrouter.v1 import error_pb2, receipt_pb2
from router_service.domain.error import STATUS_NAMES, AlreadyExists, InvalidRequest, Reason, RouterError
from router_service.domain.receipt import Receipt
from router_service.edge.request_id import REQUEST_ID_KEY
from router_service.rpc.responses import WIRE_COST_STATUSES, duration

ERROR_DOMAIN = "llmrouter"
DETAILS_KEY = "grpc-status-details-bin"
PUSHBACK_KEY = "grpc-retry-pushback-ms"
STATUS_CODES: dict[Reason, grpc.StatusCode] = {reason: grpc.StatusCode[name] for reason, name in STATUS_NAMES.items()}

# gRPC drops a status whose metadata passes 8 KiB. The details travel in base64 (4/3), the message beside them
# percent-encoded (up to 3 bytes for one), so 4,000 bytes of the one and 500 of the other leave room for the rest.
MAX_STATUS_BYTES = 4000
MAX_MESSAGE_BYTES = 500
_MAX_METADATA_ENTRIES = 24
_MAX_METADATA_KEY_BYTES = 64
_MAX_METADATA_VALUE_BYTES = 160
_MAX_METADATA_BYTES = 1000
_MAX_VIOLATION_BYTES = 240
_MAX_SUMMARY_ATTEMPTS = 8
_MAX_SUMMARY_TEXT_BYTES = 96
_LONGEST_RETRY_SECONDS = 86_400.0
# A client that is told to wait longer had better know at once: it may have another way to its answer.
_LONGEST_PUSHBACK_SECONDS = 5.0
_NEVER = -1
_QUOTA_REASONS = frozenset({Reason.OVERLOADED, Reason.RATE_LIMITED, Reason.BUDGET_EXHAUSTED})


class FailedCall(Exception):
    """A call that failed, with what is known of it. The servicer raises it, the catch-all interceptor translates it.

    `dispatched` says that an upstream was called: a client must not repeat the call by itself.
    """

    def __init__(self, error: Exception, *, dispatched: bool, receipt: Receipt | None) -> None:
        super().__init__(type(error).__name__)
        self.error = error
        self.dispatched = dispatched
        self.receipt = receipt


@dataclass(frozen=True, slots=True)
class Refusal:
    """A non-OK status: its code, message and trailing metadata."""

    code: grpc.StatusCode
    message: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def refusal(error: Exception, *, request_id: str, dispatched: bool = False, receipt: Receipt | None = None) -> Refusal:
    """What the client is told. Of an error that is not a `RouterError` it learns the request id and nothing else."""
    if isinstance(error, FailedCall):
        return refusal(error.error, request_id=request_id, dispatched=error.dispatched, receipt=error.receipt)
    if not isinstance(error, RouterError):
        error = RouterError(f"The router failed. Its log knows more, under the request id {request_id}.")
    code = STATUS_CODES[error.reason]
    message = _cut(error.message, MAX_MESSAGE_BYTES)
    status = _Budgeted(status_pb2.Status(code=code.value[0], message=message))
    status.add(_error_info(error, request_id))
    if error.retry_after is not None and math.isfinite(error.retry_after):
        status.add(error_details_pb2.RetryInfo(retry_delay=duration(min(error.retry_after, _LONGEST_RETRY_SECONDS))))
    if error.reason in _QUOTA_REASONS:
        status.add(_quota_failure(error))
    if receipt is not None:
        status.add(_summary(receipt))
    if isinstance(error, AlreadyExists):
        status.add(_earlier(error))
    if isinstance(error, InvalidRequest):
        status.add(_bad_request(error, status.room()))
    trailing: list[tuple[str, str | bytes]] = [
        (REQUEST_ID_KEY, request_id),
        (DETAILS_KEY, status.status.SerializeToString()),
    ]
    pushback = _pushback(code, error.retry_after, dispatched=dispatched)
    if pushback is not None:
        trailing.append((PUSHBACK_KEY, str(pushback)))
    return Refusal(code, message, tuple(trailing))


def _pushback(code: grpc.StatusCode, retry_after: float | None, *, dispatched: bool) -> int | None:
    """When the client's own retry policy may repeat the call, in milliseconds: -1 for never, `None` as it likes."""
    if dispatched:
        return _NEVER
    if code is not grpc.StatusCode.UNAVAILABLE or retry_after is None:
        return None
    return math.ceil(max(0.0, retry_after) * 1000) if retry_after <= _LONGEST_PUSHBACK_SECONDS else _NEVER


class _Budgeted:
    """A status that takes details, the most important first, until they no longer fit."""

    # What packing adds to a detail: type URL, tags and lengths.
    _PACKING = 80

    def __init__(self, status: status_pb2.Status) -> None:
        self.status = status

    def room(self) -> int:
        """Bytes left for the next detail."""
        return MAX_STATUS_BYTES - int(self.status.ByteSize()) - self._PACKING

    def add(self, detail: Message) -> None:
        if detail.ByteSize() <= self.room():
            packed = Any()
            packed.Pack(detail)
            self.status.details.append(packed)


def _error_info(error: RouterError, request_id: str) -> error_details_pb2.ErrorInfo:
    info = error_details_pb2.ErrorInfo(reason=error.reason.value, domain=ERROR_DOMAIN)
    metadata = {"request_id": request_id, **error.metadata}
    room = _MAX_METADATA_BYTES
    for key, value in list(metadata.items())[:_MAX_METADATA_ENTRIES]:
        short_key = _cut(key, _MAX_METADATA_KEY_BYTES)
        short_value = _cut(value, _MAX_METADATA_VALUE_BYTES)
        room -= len(short_key.encode()) + len(short_value.encode())
        if room < 0:
            break
        info.metadata[short_key] = short_value
    return info


def _quota_failure(error: RouterError) -> error_details_pb2.QuotaFailure:
    subject = error.metadata.get("budget") or error.metadata.get("limit") or error.reason.value.lower()
    violation = error_details_pb2.QuotaFailure.Violation(
        subject=_cut(subject, _MAX_METADATA_VALUE_BYTES), description=_cut(error.message, _MAX_METADATA_VALUE_BYTES)
    )
    return error_details_pb2.QuotaFailure(violations=[violation])


def _bad_request(error: InvalidRequest, room: int) -> error_details_pb2.BadRequest:
    bad_request = error_details_pb2.BadRequest()
    for violation in error.violations:
        bad_request.field_violations.add(
            field=_cut(violation.field, _MAX_VIOLATION_BYTES),
            description=_cut(violation.description, _MAX_VIOLATION_BYTES),
        )
        if bad_request.ByteSize() > room:
            del bad_request.field_violations[-1]
            break
    return bad_request


def _summary(receipt: Receipt) -> error_pb2.ReceiptSummary:
    """The receipt in at most 2 KB: its last attempts, their names shortened."""
    return error_pb2.ReceiptSummary(
        request_id=receipt.request_id,
        attempts=[
            error_pb2.AttemptSummary(
                number=attempt.number,
                deployment=_cut(attempt.deployment.id, _MAX_SUMMARY_TEXT_BYTES),
                error_type=_cut(attempt.error_type, _MAX_SUMMARY_TEXT_BYTES // 2),
            )
            for attempt in receipt.attempts[-_MAX_SUMMARY_ATTEMPTS:]
        ],
        attempt_count=len(receipt.attempts),
        cost_nano_usd=receipt.cost,
        cost_status=WIRE_COST_STATUSES[receipt.cost_status],
    )


def _earlier(error: AlreadyExists) -> error_pb2.ReceiptSummary:
    """What is known of the call that was made under the key; GetReceipt has the rest, by its request id."""
    receipt = receipt_pb2.Receipt.FromString(error.receipt)
    summary = error_pb2.ReceiptSummary(
        request_id=receipt.request_id,
        attempts=[
            error_pb2.AttemptSummary(
                number=attempt.number,
                deployment=_cut(attempt.deployment, _MAX_SUMMARY_TEXT_BYTES),
                error_type=_cut(attempt.error_type, _MAX_SUMMARY_TEXT_BYTES // 2),
            )
            for attempt in receipt.attempts[-_MAX_SUMMARY_ATTEMPTS:]
        ],
        attempt_count=len(receipt.attempts),
        cost_status=receipt.cost_status,
    )
    if receipt.HasField("cost_nano_usd"):
        summary.cost_nano_usd = receipt.cost_nano_usd
    return summary


def _cut(text: str, most: int) -> str:
    """The text, shortened to at most so many bytes of UTF-8 without splitting a character."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= most:
        return encoded.decode()
    return encoded[: most - 3].decode("utf-8", "ignore") + "…"
